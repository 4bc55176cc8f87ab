//! The ownership of an organization and its transfer (IAM O3, O3a).

use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/organizations/{organization}/ownership`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferOwnership {
    /// The admin who may accept, `user_…`.
    pub user_id: String,
}

/// Who owns an organization, and to whom that is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ownership {
    /// The owner, `user_…`.
    pub owner_id: String,
    /// The offer that stands, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<OwnershipOffer>,
}

/// An offer of the ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnershipOffer {
    /// The admin who may accept, `user_…`.
    pub to: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is void.
    pub expires_at: Timestamp,
}
