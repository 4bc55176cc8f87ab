//! Notices: what the people of a project or the admins of an organization should hear of (IAM K10, K12, B2).

use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A key was reported as leaked and is revoked.
    KeyLeaked,
    /// A key expires soon.
    KeyExpires,
    /// A key was disabled because nobody used it.
    KeyIdle,
    /// A budget is used up.
    BudgetExhausted,
}

/// Something to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Its number; later ones have higher numbers.
    pub number: u64,
    /// `proj_…`, if it concerns one project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What happened.
    pub what: NoticeKind,
    /// The public id of what it is about.
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
}
