//! The audit log: entries as they are searched and exported, and proofs about them (IAM A1).
//!
//! Hashes and salts are written in base64. An entry is passed on byte for byte: its leaf hash is SHA-256 over a
//! zero byte, the entry's bytes and the salt's (docs/spec/audit-log.md).

use crate::identity::Session;
use crate::narrowing::Narrowing;
use crate::organization::CreatedOrganization;
use crate::role::Role;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `GET …/audit`: what is looked for. All of it must be so.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// 1 to 200 entries; 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// In this organization's log; the operator's search only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Who did it: `user_…`, a key's id, `operator_1`, `installation` or `reporter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// An action or what it begins with: `keys.create`, `keys.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The kind of thing it was done to: `key`, `project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_kind: Option<String>,
    /// The id of the thing it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
    /// In this project, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// An entry of the log: an item of a search, a line of an export.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Its place in the log, counted from 0. The places between are other organizations'.
    pub position: u64,
    /// Its leaf's hash.
    pub leaf_hash: String,
    /// The 16 bytes that end the leaf; absent once the entry is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The entry; absent once it is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub entry: Option<Box<RawValue>>,
    /// Where asked for: the hashes from the leaf to the root of the tree of that size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<String>>,
}

/// `GET …/audit/export`: entries as JSON Lines, the oldest first. One answer is a part; the next begins behind its
/// last line, and an empty one is the end.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditExportQuery {
    /// The first position; 0 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Only what the tree of this size holds, and proofs for that tree; the log's size unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether each line brings its inclusion proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<bool>,
}

/// `GET …/audit/proof`: of inclusion with `position` and `size`, of consistency with `from` and `to`.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditProofQuery {
    /// The entry that is in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The size of the tree it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The size of the earlier tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The size of the later tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AuditProof {
    /// The entry is in the tree (RFC 6962 §2.1.1).
    Inclusion {
        /// The entry.
        position: u64,
        /// Its leaf's hash.
        leaf_hash: String,
        /// The tree's size.
        size: u64,
        /// The tree's root.
        root: String,
        /// From the leaf's sibling up.
        hashes: Vec<String>,
    },
    /// The earlier tree is the beginning of the later one (RFC 6962 §2.1.2).
    Consistency {
        /// The earlier tree's size.
        from: u64,
        /// Its root.
        from_root: String,
        /// The later tree's size.
        to: u64,
        /// Its root.
        to_root: String,
        /// The proof.
        hashes: Vec<String>,
    },
}

/// A key of a batch, as the log tells of it.
#[derive(Debug, Serialize)]
pub struct BatchedKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<Narrowing>,
}

/// A new organization, as the log tells of it.
#[derive(Debug, Serialize)]
pub struct FoundedOrganization<'a> {
    /// What was made.
    #[serde(flatten)]
    pub created: &'a CreatedOrganization,
    /// The address of its owner.
    pub owner_email: &'a str,
}

/// A session, as the log tells of it.
#[derive(Debug, Serialize)]
pub struct LoggedSession<'a> {
    /// The session.
    #[serde(flatten)]
    pub session: &'a Session,
    /// The address that was signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// An operator, as the log tells of them.
#[derive(Debug, Serialize)]
pub struct LoggedOperator<'a> {
    /// What their token is called.
    pub name: &'a str,
}
