//! API keys.

use crate::revealed::Revealed;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Keys that one call of `POST /v1/projects/{project}/keys:batch` makes at most.
pub const BATCH_KEYS_MAX: usize = 10_000;

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
}

/// `POST /v1/projects/{project}/keys:batch`: all of them, or none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeys {
    /// 1 to 10,000 keys.
    pub keys: Vec<CreateKey>,
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
    /// Who made it, `user_…`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
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

/// Tells a field that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Timestamp>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
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
