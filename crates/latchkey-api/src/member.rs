//! Members of an organization, and those who were removed (IAM §2).

use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a member is a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// A person, known by an e-mail address.
    Person,
    /// A service account (IAM S3), known by a name.
    Service,
}

/// A member of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// `user_…`
    pub user_id: String,
    /// Whether it is a person.
    pub kind: MemberKind,
    /// A person's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A service account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their role.
    pub role: Role,
    /// Whether they are the owner (IAM O3).
    pub owner: bool,
    /// When they joined.
    pub joined_at: Timestamp,
}

/// `PATCH /v1/organizations/{organization}/members/{user}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    /// The new role.
    pub role: Role,
}

/// Somebody who was removed: only an admin lets them in again (IAM M7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Departure {
    /// `user_…`
    pub user_id: String,
    /// A person's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When they were removed.
    pub removed_at: Timestamp,
}
