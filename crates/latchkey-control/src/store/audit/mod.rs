//! The audit log: one entry for each generation, append-only, its leaves under a Merkle tree (IAM A1).
//!
//! A leaf is the entry's JSON followed by 16 random bytes, so that a neighbour cannot guess it. The row keeps
//! the leaf's hash apart: what is personal can be erased from a row without breaking any proof.
//!
//! [`entry`] says what an entry holds, this file appends and erases. Whenever 256 entries are complete, [`tiles`]
//! keeps their hashes as a tile and [`index`] what they can be found by, so that an append writes one row and
//! every 256th a few more. [`view`] reads all of it.

pub(super) mod entry;
mod index;
mod tiles;
mod view;

pub use entry::AuditEntry;
pub use view::{AuditFilter, AuditFound, AuditView, FOUND_BYTES_MAX};

use super::error::StoreError;
use super::tables::{Tables, WriteTables, meta};
use crate::tlog::tile::TILE_WIDTH;
use crate::tlog::{Checkpoint, Frontier, Hash, leaf_hash};
use index::{TERMS_LEN, Terms};
use latchkey_core::{Generation, OrganizationNumber, UnixMillis};
use redb::ReadableTable;

/// Bytes of salt in a leaf.
pub const SALT_LEN: usize = 16;

/// One entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLeaf {
    /// The leaf's hash.
    pub hash: Hash,
    /// What the hash is of; `None` once it is erased.
    pub content: Option<AuditContent>,
    pub(super) terms: Terms,
}

/// What a leaf's hash is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditContent {
    /// The entry's JSON: the leaf's beginning.
    pub entry: String,
    /// The 16 random bytes at the leaf's end.
    pub salt: [u8; SALT_LEN],
}

/// Appends an entry inside the writer's transaction.
pub(super) fn append(
    tables: &mut WriteTables,
    entry: &AuditEntry,
    generation: Generation,
    at: UnixMillis,
    salt: [u8; SALT_LEN],
) -> Result<(), StoreError> {
    let mut frontier = frontier(tables)?;
    let position = frontier.size();
    let number = entry.place().0.map(|organization| next_number(tables, organization)).transpose()?;
    let json = entry.to_json(tables, generation, number, at)?;
    let hash = leaf_hash(&[&json[..], &salt].concat());
    let row = [&hash[..], &entry.terms(at).to_bytes(), &salt, &json].concat();
    if tables.audit.insert(position, row.as_slice())?.is_some() {
        return Err(StoreError::Clash("audit"));
    }
    frontier.append(hash);
    tables.meta.insert(meta::AUDIT, frontier.to_bytes().as_slice())?;
    if frontier.size() % TILE_WIDTH == 0 {
        complete(tables, position / TILE_WIDTH)?;
    }
    Ok(())
}

/// Counts an organization's entry: their numbers have no gap, so that a reader of one log sees if one is withheld.
fn next_number(tables: &mut WriteTables, organization: OrganizationNumber) -> Result<u64, StoreError> {
    let number = tables.audit_counts.get(organization.0)?.map_or(0, |count| count.value()) + 1;
    tables.audit_counts.insert(organization.0, number)?;
    Ok(number)
}

/// Drops an entry and its salt for good. The hash stays, and where and when it was.
///
/// # Errors
/// [`StoreError::Clash`] if there is no such entry.
pub(super) fn erase(tables: &mut WriteTables, position: u64) -> Result<(), StoreError> {
    let leaf = leaf(tables, position)?.ok_or(StoreError::Clash("audit"))?;
    let terms = leaf.terms.erased();
    tables.audit.insert(position, [&leaf.hash[..], &terms.to_bytes()].concat().as_slice())?;
    index::replace(tables, position, &terms)
}

/// Keeps what is read of 256 entries together, once they are complete.
fn complete(tables: &mut WriteTables, block: u64) -> Result<(), StoreError> {
    let first = block * TILE_WIDTH;
    let mut hashes = Vec::with_capacity(TILE_WIDTH as usize);
    let mut terms = Vec::with_capacity(TILE_WIDTH as usize);
    for row in tables.audit.range(first..first + TILE_WIDTH)? {
        let (hash, one, _) = split(row?.1.value())?;
        hashes.push(hash);
        terms.push(one);
    }
    tiles::keep(tables, block, &hashes)?;
    index::keep(tables, block, &terms)
}

/// The checkpoint of what these tables hold.
fn checkpoint(tables: &impl Tables) -> Result<Checkpoint, StoreError> {
    Ok(frontier(tables)?.checkpoint())
}

/// The entry at a position.
fn leaf(tables: &impl Tables, position: u64) -> Result<Option<AuditLeaf>, StoreError> {
    tables.audit().get(position)?.map(|row| read(row.value())).transpose()
}

fn read(row: &[u8]) -> Result<AuditLeaf, StoreError> {
    let (hash, terms, rest) = split(row)?;
    if rest.is_empty() {
        return Ok(AuditLeaf { hash, terms, content: None });
    }
    let (salt, entry) = rest.split_first_chunk().ok_or(CORRUPT)?;
    let entry = String::from_utf8(entry.to_vec()).map_err(|_| CORRUPT)?;
    Ok(AuditLeaf { hash, terms, content: Some(AuditContent { entry, salt: *salt }) })
}

/// The parts of a row: hash, terms, and what is left.
fn split(row: &[u8]) -> Result<(Hash, Terms, &[u8]), StoreError> {
    let (hash, rest) = row.split_first_chunk().ok_or(CORRUPT)?;
    let (terms, rest) = rest.split_first_chunk::<TERMS_LEN>().ok_or(CORRUPT)?;
    Ok((*hash, Terms::from_bytes(terms), rest))
}

fn frontier(tables: &impl Tables) -> Result<Frontier, StoreError> {
    match tables.meta().get(meta::AUDIT)? {
        None => Ok(Frontier::default()),
        Some(bytes) => Frontier::from_bytes(bytes.value()).ok_or(CORRUPT),
    }
}

const CORRUPT: StoreError = StoreError::Corrupt("audit");
