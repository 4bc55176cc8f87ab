//! Service accounts: members of an organization that are no persons (IAM S3).

use crate::revealed::Revealed;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/organizations/{organization}/service-accounts`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateServiceAccount {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Its role in the organization; `member` unless told.
    #[serde(default)]
    pub role: Role,
    /// When its token ends: at most, and unless told, in 365 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST /v1/organizations/{organization}/service-accounts/{user}/rotate`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateServiceToken {
    /// When the new token ends: at most, and unless told, in 365 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A service account, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceAccount {
    /// `user_…`
    pub user_id: String,
    /// Its name.
    pub name: String,
    /// Its role in the organization.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its token, if it has one that was not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ServiceToken>,
}

/// What is known of a token: not its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceToken {
    /// `sess_…`
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The reply that shows a service account's token, the only time it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedServiceAccount {
    /// The service account.
    pub service_account: ServiceAccount,
    /// The token, for `Authorization: Bearer`.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}
