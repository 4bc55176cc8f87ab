//! The role as JSON.

use latchkey_core as core_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `member` or `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses what is there.
    #[default]
    Member,
    /// Also manages it.
    Admin,
}

impl From<core_words::Role> for Role {
    fn from(role: core_words::Role) -> Self {
        match role {
            core_words::Role::Member => Self::Member,
            core_words::Role::Admin => Self::Admin,
        }
    }
}

impl From<Role> for core_words::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
        }
    }
}
