//! What an organization's admins set for it (IAM M1, M6, K10).

use crate::nullable::present;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How people join an organization: one way at a time (IAM M1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JoinMethod {
    /// By an invitation to an e-mail address.
    Invitation,
    /// By single sign-on; an invitation is refused.
    Sso,
}

/// `GET /v1/organizations/{organization}/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganizationSettings {
    /// How people join.
    pub join_method: JoinMethod,
    /// Minutes a session of its members lasts.
    pub session_minutes: u32,
    /// What its keys must keep to.
    pub keys: KeyPolicy,
}

/// What an organization demands of its keys (IAM K10).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyPolicy {
    /// Minutes a new or lengthened key may be valid at most, from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_minutes_max: Option<u32>,
    /// Whether a key must expire.
    pub expiry_required: bool,
    /// Days without use after which a key is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_days_max: Option<u16>,
    /// Days before its expiry at which a key's project hears of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning_days: Option<u16>,
}

/// `PATCH /v1/organizations/{organization}/settings`: what is absent stays as it is.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOrganizationSettings {
    /// How people join. Members, projects and keys stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_method: Option<JoinMethod>,
    /// Minutes a session lasts that begins from now on: 5 to 43,200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_minutes: Option<u32>,
    /// What its keys must keep to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<ChangeKeyPolicy>,
}

/// A change of the key policy: what is absent stays as it is, `null` lifts a limit.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKeyPolicy {
    /// 1 to 5,260,320 minutes (ten years).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub lifetime_minutes_max: Option<Option<u32>>,
    /// Whether a key must expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_required: Option<bool>,
    /// 1 to 3,650 days.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub idle_days_max: Option<Option<u16>>,
    /// 1 to 365 days.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub warning_days: Option<Option<u16>>,
}
