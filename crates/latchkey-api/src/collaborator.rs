//! Collaborators of a project, external ones included (IAM §3, §4).

use crate::invitation::CreatedInvitation;
use crate::key::KeyStatus;
use crate::member::MemberKind;
use crate::nullable::present;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who takes part in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collaborator {
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
    /// The role they were given in the project.
    pub role: Role,
    /// The role that counts now: an organization admin's is `admin` (IAM J5). Absent while they have no access,
    /// because it ended (X4) or the project's switch for external collaborators is off (X3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<Role>,
    /// Whether they take part without being a member of the organization (IAM X1).
    pub external: bool,
    /// When an external collaborator's access ends by itself (IAM X4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// When they were added or joined.
    pub added_at: Timestamp,
}

/// `POST /v1/projects/{project}/collaborators`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCollaborator {
    /// The person's address; or `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A member's id, `user_…`: the only way to name a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The role they get; `member` unless told.
    #[serde(default)]
    pub role: Role,
    /// Whether to invite somebody who is no member of the organization. What an external collaborator adds is an
    /// invitation in any case.
    #[serde(default)]
    pub external: bool,
    /// When an external collaborator's access ends by itself: a whole minute, at most ten years ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// The reply to adding somebody: a member takes part at once, anybody else is invited.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AddedCollaborator {
    /// They take part from now on.
    Added {
        /// The collaborator.
        collaborator: Collaborator,
    },
    /// They can accept an invitation.
    Invited(CreatedInvitation),
}

/// `PATCH /v1/projects/{project}/collaborators/{user}`: what is absent stays as it is.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCollaborator {
    /// A new role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// A new end of an external collaborator's access, in whole minutes; `null` lets it last.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub ends_at: Option<Option<Timestamp>>,
}

/// The query of `DELETE /v1/projects/{project}/collaborators/{user}`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveCollaboratorQuery {
    /// Whether to revoke the keys that they made, for good.
    #[serde(default)]
    pub revoke_keys: bool,
}

/// Who was removed, and what they leave behind (IAM X7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedCollaborator {
    /// As they were.
    pub collaborator: Collaborator,
    /// The project's keys that they made and nobody had revoked, as they are now.
    pub keys_created: Vec<CollaboratorKey>,
}

/// A key that a collaborator made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollaboratorKey {
    /// Its public id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is worth.
    pub status: KeyStatus,
}
