//! Projects.

use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/organizations/{org}/projects`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Its slug: DNS-safe, 3 to 63 characters, unique in the installation.
    pub slug: String,
}

/// Who sees a project without being its collaborator (IAM P4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Members of the organization see and may join it.
    Open,
    /// Members see it and cannot join.
    Closed,
    /// Only organization admins see it.
    Private,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// `proj_…`, permanent.
    pub id: String,
    /// `org_…`
    pub organization_id: String,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether it is the organization's Default Project.
    pub default: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// The caller's own role in it; absent for one who has not joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}
