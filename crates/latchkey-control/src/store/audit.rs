//! The audit log: one entry for each generation, append-only, its leaves under a Merkle tree (IAM A1).
//!
//! A leaf is the entry's JSON followed by 16 random bytes, so that a neighbour cannot guess it. The row keeps
//! the leaf's hash apart: what is personal can be erased from a row without breaking any proof.

use super::error::StoreError;
use super::merkle::{Frontier, Hash, leaf_hash};
use super::tables::{Tables, WriteTables, meta};
use crate::iam::{Actor, Permit, Scope};
use latchkey_core::{Generation, UnixMillis};
use redb::ReadableTable;
use serde::Serialize;
use serde_json::Value;
use std::net::IpAddr;

/// Who did what to what, from where, and how it was before and after. It takes a [`Permit`] to make one.
#[derive(Debug)]
pub struct AuditEntry {
    permit: Permit,
    what: &'static str,
    from: Option<IpAddr>,
    kind: &'static str,
    id: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl AuditEntry {
    /// An entry: `permit` says who and where, `what` is the verb, `kind` and `id` name the thing.
    pub fn new(
        permit: &Permit,
        from: Option<IpAddr>,
        what: &'static str,
        (kind, id): (&'static str, String),
    ) -> Self {
        Self { permit: *permit, what, from, kind, id, before: None, after: None }
    }

    /// How the thing was, without secrets.
    #[must_use]
    pub fn before(self, state: &impl Serialize) -> Self {
        Self { before: serde_json::to_value(state).ok(), ..self }
    }

    /// How the thing is now, without secrets.
    #[must_use]
    pub fn after(self, state: &impl Serialize) -> Self {
        Self { after: serde_json::to_value(state).ok(), ..self }
    }

    fn to_json(&self, generation: Generation, at: UnixMillis) -> Result<Vec<u8>, StoreError> {
        let (organization, project) = match self.permit.scope() {
            Scope::Installation => (None, None),
            Scope::Organization(organization) => (Some(organization.0), None),
            Scope::Project(organization, project) => (Some(organization.0), Some(project.0)),
        };
        let image = EntryImage {
            version: 1,
            generation: generation.0,
            at_ms: at.0,
            who: who(self.permit.actor()),
            what: self.what,
            from: self.from,
            organization,
            project,
            subject: SubjectImage { kind: self.kind, id: &self.id },
            before: self.before.as_ref(),
            after: self.after.as_ref(),
        };
        serde_json::to_vec(&image).map_err(|_| StoreError::Corrupt("audit"))
    }
}

/// The tree's size and root at a moment: what is published and cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCheckpoint {
    /// Entries so far.
    pub size: u64,
    /// The RFC 6962 root over their leaves.
    pub root: Hash,
}

/// One entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLeaf {
    /// The leaf's hash.
    pub hash: Hash,
    /// The 16 random bytes at the leaf's end.
    pub salt: [u8; SALT_LEN],
    /// The entry's JSON.
    pub entry: Vec<u8>,
}

/// Bytes of salt in a leaf.
pub const SALT_LEN: usize = 16;

/// Appends an entry inside the writer's transaction.
pub(super) fn append(
    tables: &mut WriteTables,
    entry: &AuditEntry,
    generation: Generation,
    at: UnixMillis,
    salt: [u8; SALT_LEN],
) -> Result<(), StoreError> {
    let mut frontier = frontier(tables)?;
    let json = entry.to_json(generation, at)?;
    let hash = leaf_hash(&[&json[..], &salt].concat());
    let row = [&hash[..], &salt, &json].concat();
    if tables.audit.insert(frontier.size(), row.as_slice())?.is_some() {
        return Err(StoreError::Clash("audit"));
    }
    frontier.append(hash);
    tables.meta.insert(meta::AUDIT, frontier.to_bytes().as_slice())?;
    Ok(())
}

/// The checkpoint of what these tables hold.
pub(super) fn checkpoint(tables: &impl Tables) -> Result<AuditCheckpoint, StoreError> {
    let frontier = frontier(tables)?;
    Ok(AuditCheckpoint { size: frontier.size(), root: frontier.root() })
}

/// The entry at a position.
pub(super) fn leaf(tables: &impl Tables, position: u64) -> Result<Option<AuditLeaf>, StoreError> {
    let Some(row) = tables.audit().get(position)? else { return Ok(None) };
    let (hash, rest) = row.value().split_first_chunk().ok_or(StoreError::Corrupt("audit"))?;
    let (salt, entry) = rest.split_first_chunk().ok_or(StoreError::Corrupt("audit"))?;
    Ok(Some(AuditLeaf { hash: *hash, salt: *salt, entry: entry.to_vec() }))
}

fn frontier(tables: &impl Tables) -> Result<Frontier, StoreError> {
    match tables.meta().get(meta::AUDIT)? {
        None => Ok(Frontier::default()),
        Some(bytes) => Frontier::from_bytes(bytes.value()).ok_or(StoreError::Corrupt("audit")),
    }
}

fn who(actor: Actor) -> WhoImage {
    match actor {
        Actor::Installation => WhoImage::Installation,
        Actor::Operator(token) => WhoImage::Operator { token },
        Actor::User(user, session) => WhoImage::User { id: user.to_string(), session: session.to_string() },
        Actor::Service(user, token) => WhoImage::Service { id: user.to_string(), token: token.to_string() },
        Actor::Key(id) => WhoImage::Key { id: id.to_string() },
        Actor::Reporter => WhoImage::Reporter,
    }
}

#[derive(Serialize)]
struct EntryImage<'a> {
    #[serde(rename = "v")]
    version: u8,
    generation: u64,
    at_ms: u64,
    who: WhoImage,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<u32>,
    subject: SubjectImage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Value>,
}

#[derive(Serialize)]
struct SubjectImage<'a> {
    kind: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WhoImage {
    Installation,
    Operator { token: u32 },
    User { id: String, session: String },
    Service { id: String, token: String },
    Key { id: String },
    Reporter,
}
