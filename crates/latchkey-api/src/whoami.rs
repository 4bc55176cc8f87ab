//! Who a key is (IAM K11), in the same shape as the edge's answer.

use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/whoami`, by an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Whoami {
    /// The key.
    pub key: WhoamiKey,
    /// Its project.
    pub project: WhoamiProject,
    /// Its organization.
    pub organization: WhoamiOrganization,
    /// Its role.
    pub role: Role,
    /// What it may do: what its role may, and of that what it is narrowed to.
    pub permissions: Vec<String>,
    /// When it stops being valid; `null` for never.
    pub expires_at: Option<Timestamp>,
    /// The token of the generation that answered.
    pub generation: String,
}

/// The key in a [`Whoami`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoamiKey {
    /// Its public id.
    pub id: String,
}

/// The project in a [`Whoami`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoamiProject {
    /// `proj_…`
    pub id: String,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// The organization in a [`Whoami`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoamiOrganization {
    /// `org_…`
    pub id: String,
    /// Its name.
    pub name: String,
}
