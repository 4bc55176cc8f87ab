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

/// `GET /v1/projects/{project}/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSettings {
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether external collaborators are let in; `PUT /v1/projects/{project}/external` changes it.
    pub allows_external: bool,
}

/// `PATCH /v1/projects/{project}/settings`: what is absent stays as it is.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProjectSettings {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new slug. The old one resolves to nothing at once, and goes to no other organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Who sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// `PUT /v1/projects/{project}/external`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchExternal {
    /// Whether external collaborators are let in.
    pub allowed: bool,
}

/// `DELETE /v1/projects/{project}`: for good.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteProject {
    /// The project's slug, typed once more.
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
    /// The organization's name, all that an external collaborator sees of it (IAM X2).
    pub organization_name: String,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether it is the organization's Default Project.
    pub default: bool,
    /// Whether external collaborators are let in.
    pub allows_external: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it is archived: nobody works in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// The caller's own role in it; absent for one who has not joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// One project of `GET /v1/me`: how somebody finds the projects that they were added to, external collaborators
/// too, who see no more of the organization than its name (IAM X2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collaboration {
    /// `proj_…`
    pub project_id: String,
    /// The project's name.
    pub name: String,
    /// The project's slug.
    pub slug: String,
    /// The name of the organization that it belongs to.
    pub organization_name: String,
    /// The caller's role in it.
    pub role: Role,
    /// Whether they take part without being a member of the organization (IAM X1).
    pub external: bool,
    /// When their access ends, if it does by itself (IAM X4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}
