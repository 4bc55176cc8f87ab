//! Invitations: to an organization (IAM M2), or to a project as an external collaborator (X5).

use crate::revealed::Revealed;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/organizations/{organization}/invitations`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    /// The address it is for. Only an account of this address can accept it.
    pub email: String,
    /// The role it gives; `member` unless told.
    #[serde(default)]
    pub role: Role,
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationStatus {
    /// It can be accepted.
    Pending,
    /// It was accepted: it works once.
    Accepted,
    /// It was called back, or its sender lost the right to send it.
    Cancelled,
    /// Its 7 days are over.
    Expired,
}

/// An invitation, without its link's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// `inv_…`
    pub id: String,
    /// `org_…`
    pub organization_id: String,
    /// `proj_…`, if it leads to a project as an external collaborator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The address it is for.
    pub email: String,
    /// The role it gives.
    pub role: Role,
    /// When the access that it gives ends, if it does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What became of it.
    pub status: InvitationStatus,
    /// Who sent it last, `user_…`: it dies with their right to.
    pub sent_by: String,
    /// When it was sent last.
    pub sent_at: Timestamp,
    /// From when on it is dead.
    pub expires_at: Timestamp,
}

/// The reply that shows the token of an invitation's link, the only time it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The token that accepts it, for the person invited and nobody else.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}

/// `POST /v1/invitations:accept`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token of the link.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}

/// What the caller takes part in from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedInvitation {
    /// `org_…`
    pub organization_id: String,
    /// `proj_…`, if it led to a project as an external collaborator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The caller's role there.
    pub role: Role,
}

/// An invitation as the person invited sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MyInvitation {
    /// `inv_…`
    pub id: String,
    /// The name of the organization.
    pub organization_name: String,
    /// The name of the project, if it leads to one as an external collaborator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
    /// The role it gives.
    pub role: Role,
    /// From when on it is dead.
    pub expires_at: Timestamp,
}

/// `GET /v1/me/invitations`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MyInvitations {
    /// The open invitations to the caller's own address.
    pub items: Vec<MyInvitation>,
}
