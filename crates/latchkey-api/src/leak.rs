//! Reports of leaked credentials (IAM K12).

use crate::revealed::Revealed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/leaks`, by anybody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportLeak {
    /// The whole text that was found.
    pub secret: Revealed,
}

/// The reply to every report, whatever was reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeakReported {
    /// Always true: what is genuine is revoked by the time of this reply.
    pub received: bool,
}
