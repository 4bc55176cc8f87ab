//! API keys.

use crate::narrowing::Narrowing;
use crate::nullable::present;
use crate::revealed::Revealed;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys that one call of `POST /v1/projects/{project}/keys:batch` or `…/keys:import` makes at most.
pub const BATCH_KEYS_MAX: usize = 10_000;
/// Minutes that a rotated key may stay valid at most: 30 days (IAM K8).
pub const OVERLAP_MINUTES_MAX: u32 = 30 * 24 * 60;

/// `POST /v1/projects/{project}/keys`, and one entry of a batch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Its role; `member` unless told.
    #[serde(default)]
    pub role: Role,
    /// When it stops being valid, a whole minute at most ten years ahead; never, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<Narrowing>,
}

/// `POST /v1/projects/{project}/keys:batch`: all of them, or none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeys {
    /// 1 to 10,000 keys.
    pub keys: Vec<CreateKey>,
}

/// `POST /v1/projects/{project}/keys:import`: all of them, or none (IAM K9).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKeys {
    /// 1 to 10,000 keys of another system.
    pub keys: Vec<ImportKey>,
}

/// A key of another system, which goes on working unchanged.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKey {
    /// SHA-256 of the key's whole text as clients send it: 64 hexadecimal digits.
    pub sha256: String,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Its role; `member` unless told.
    #[serde(default)]
    pub role: Role,
    /// When it stops being valid, a whole minute at most ten years ahead; never, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<Narrowing>,
}

/// `POST /v1/keys/{key}/rotate` (IAM K8).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old key stays valid, 0 to 43,200 minutes, rounded up to a whole minute and never past its own
    /// expiry. With 0 it is revoked at once.
    pub overlap_minutes: u32,
}

/// `PATCH /v1/keys/{key}`: what is absent stays as it is.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKey {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new expiry, in whole minutes; one that has passed ends the key now. `null` cancels the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub expires_at: Option<Option<Timestamp>>,
    /// A new role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What it is narrowed to instead, as a whole. `null` takes the narrowing away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub narrowing: Option<Option<Narrowing>>,
}

/// What a key is worth at the moment of the answer. Of several reasons the most lasting is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It is accepted.
    Active,
    /// Switched off, and it can be enabled again.
    Disabled,
    /// Its expiry has come.
    Expired,
    /// Gone for good.
    Revoked,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// Its public id: the 11 characters in the middle of the key.
    pub id: String,
    /// `proj_…`
    pub project_id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// What it is worth now.
    pub status: KeyStatus,
    /// What it is narrowed to; absent if to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<Narrowing>,
    /// Whether it is another system's key (IAM K9).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The key that it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor_id: Option<String>,
    /// The key that succeeds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_id: Option<String>,
    /// Who made it, `user_…`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, as far as edges have reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it stops being valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// The reply that shows a key's secret, the only time it is shown (IAM K2).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// The key.
    pub key: Key,
    /// The whole text of the key, for `Authorization: Bearer`.
    #[serde(serialize_with = "Revealed::show_once")]
    pub secret: Revealed,
}

/// The reply to a batch: in the order of the request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKeys {
    /// The keys with their secrets.
    pub items: Vec<CreatedKey>,
}

/// The reply to an import: in the order of the request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportedKeys {
    /// The keys.
    pub items: Vec<Key>,
}

/// The reply to a rotation: the successor with its secret, shown this once, and the old key as it is now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotatedKey {
    /// The successor.
    pub key: Key,
    /// The whole text of the successor.
    #[serde(serialize_with = "Revealed::show_once")]
    pub secret: Revealed,
    /// The old key.
    pub predecessor: Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_expiry_is_not_an_absent_one() {
        let change = |text: &str| serde_json::from_str::<ChangeKey>(text).unwrap().expires_at;
        assert_eq!(change("{}"), None);
        assert_eq!(change(r#"{"expires_at":null}"#), Some(None));
        assert!(matches!(change(r#"{"expires_at":"2026-11-23T10:00:00Z"}"#), Some(Some(_))));
    }

    #[test]
    fn unknown_field_and_unknown_role_are_refused_r4() {
        for text in
            [r#"{"name":"a","admin":true}"#, r#"{"name":"a","role":"owner"}"#, r#"{"name":"a","name":"b"}"#]
        {
            assert!(serde_json::from_str::<CreateKey>(text).is_err(), "{text}");
        }
    }
}
