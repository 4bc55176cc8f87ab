//! Whether the control plane can answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// The newest generation, which nobody can act on without its token.
    pub generation: u64,
}
