//! Organizations.

use crate::project::Project;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/organizations`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganization {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// The address of the person who becomes its owner.
    pub owner_email: String,
}

/// `PATCH /v1/organizations/{organization}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOrganization {
    /// Its new name, 1 to 100 characters.
    pub name: String,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// `org_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// The owner, `user_…`.
    pub owner_id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the operator suspended it; absent while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// Whether the operator has opened the import of keys for it (IAM K9).
    #[serde(default)]
    pub imports_keys: bool,
}

/// The reply to a creation: the organization and the project every member is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedOrganization {
    /// The organization.
    pub organization: Organization,
    /// Its Default Project.
    pub default_project: Project,
}

/// One organization of `GET /v1/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// `org_…`
    pub organization_id: String,
    /// The organization's name.
    pub name: String,
    /// The caller's role in it.
    pub role: Role,
}
