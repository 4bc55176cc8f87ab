//! What entries are found by: for each entry [`Terms`] of fixed length, and for 256 of them together one row of
//! terms and, for each organization among them, one row that says which of the 256 are its own.
//!
//! An append so costs no index row of its own; a search reads 28 bytes an entry, and only those of its organization.
//! Terms hold words as short fingerprints: a hit is compared with the entry itself before it is shown.

use super::entry::EntryFacts;
use super::split;
use crate::store::error::StoreError;
use crate::store::tables::{Tables, WriteTables};
use crate::tlog::tile::TILE_WIDTH;
use latchkey_core::{OrganizationNumber, ProjectNumber, UnixMillis};
use redb::ReadableTable;
use std::collections::BTreeMap;

/// Bytes of an entry's terms.
pub(super) const TERMS_LEN: usize = 28;
/// Bytes before the terms in a block's row: the latest time so far.
const LATEST_LEN: usize = 8;

/// What an entry is found by. Numbers are 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Terms {
    pub(super) organization: u32,
    pub(super) project: u32,
    pub(super) at_ms: u64,
    actor: u32,
    subject: u32,
    kind: u16,
    noun: u16,
}

impl Terms {
    pub(super) fn new(
        organization: Option<OrganizationNumber>,
        project: Option<ProjectNumber>,
        at: UnixMillis,
        facts: &EntryFacts,
    ) -> Self {
        Self {
            organization: organization.map_or(0, |number| number.0),
            project: project.map_or(0, |number| number.0),
            at_ms: at.0,
            actor: print(facts.who.name()),
            subject: print(&facts.subject.id),
            kind: print(&facts.subject.kind) as u16,
            noun: noun(&facts.what).map_or(0, |noun| print(noun) as u16),
        }
    }

    /// The terms without what could be personal.
    pub(super) const fn erased(self) -> Self {
        Self { actor: 0, subject: 0, kind: 0, noun: 0, ..self }
    }

    pub(super) fn to_bytes(self) -> [u8; TERMS_LEN] {
        let mut bytes = [0; TERMS_LEN];
        bytes[..4].copy_from_slice(&self.organization.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.project.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at_ms.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.actor.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.subject.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.kind.to_le_bytes());
        bytes[26..].copy_from_slice(&self.noun.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; TERMS_LEN]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            organization: u32_at(0),
            project: u32_at(4),
            at_ms: u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32,
            actor: u32_at(16),
            subject: u32_at(20),
            kind: u16_at(24),
            noun: u16_at(26),
        }
    }
}

/// What terms must be to be worth a look at the entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pattern {
    pub(super) organization: Option<u32>,
    pub(super) project: Option<u32>,
    pub(super) from_ms: Option<u64>,
    pub(super) to_ms: Option<u64>,
    pub(super) actor: Option<u32>,
    pub(super) subject: Option<u32>,
    pub(super) kind: Option<u16>,
    pub(super) noun: Option<u16>,
}

impl Pattern {
    /// The pattern with the words that are asked for.
    pub(super) fn words(
        self,
        actor: Option<&str>,
        subject_kind: Option<&str>,
        subject_id: Option<&str>,
        action: Option<&str>,
    ) -> Self {
        Self {
            actor: actor.map(print),
            subject: subject_id.map(print),
            kind: subject_kind.map(|kind| print(kind) as u16),
            noun: action.and_then(noun).map(|noun| print(noun) as u16),
            ..self
        }
    }

    pub(super) fn matches(&self, terms: &Terms) -> bool {
        fn is<T: PartialEq>(wanted: Option<T>, found: T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.organization, terms.organization)
            && is(self.project, terms.project)
            && self.from_ms.is_none_or(|from| terms.at_ms >= from)
            && self.to_ms.is_none_or(|to| terms.at_ms < to)
            && is(self.actor, terms.actor)
            && is(self.subject, terms.subject)
            && is(self.kind, terms.kind)
            && is(self.noun, terms.noun)
    }
}

/// Which of 256 entries are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(pub(super) [u8; 32]);

impl Marks {
    pub(super) const ALL: Self = Self([0xff; 32]);
    const NONE: Self = Self([0; 32]);

    fn mark(&mut self, slot: usize) {
        self.0[slot / 8] |= 1 << (slot % 8);
    }

    pub(super) const fn has(&self, slot: usize) -> bool {
        self.0[slot / 8] >> (slot % 8) & 1 == 1
    }
}

/// The row of 256 entries' terms.
pub(super) struct Block<'a> {
    /// The latest time of any entry up to and including these: clocks may go back, this does not.
    pub(super) latest_ms: u64,
    terms: &'a [[u8; TERMS_LEN]],
}

impl<'a> Block<'a> {
    pub(super) fn read(row: &'a [u8]) -> Result<Self, StoreError> {
        let (latest, rest) = row.split_first_chunk::<LATEST_LEN>().ok_or(CORRUPT)?;
        let (terms, trailing) = rest.as_chunks();
        let is_whole = trailing.is_empty() && terms.len() as u64 == TILE_WIDTH;
        if is_whole { Ok(Self { latest_ms: u64::from_le_bytes(*latest), terms }) } else { Err(CORRUPT) }
    }

    pub(super) fn terms(&self, slot: usize) -> Terms {
        Terms::from_bytes(&self.terms[slot])
    }
}

/// Writes the rows of 256 complete entries.
pub(super) fn keep(tables: &mut WriteTables, block: u64, terms: &[Terms]) -> Result<(), StoreError> {
    let before = match block.checked_sub(1) {
        Some(before) => {
            let row = tables.audit_blocks.get(before)?.ok_or(CORRUPT)?;
            Block::read(row.value())?.latest_ms
        }
        None => 0,
    };
    let latest = terms.iter().map(|terms| terms.at_ms).fold(before, u64::max);
    let mut row = latest.to_le_bytes().to_vec();
    let mut owners: BTreeMap<u32, Marks> = BTreeMap::new();
    for (slot, terms) in terms.iter().enumerate() {
        row.extend(terms.to_bytes());
        owners.entry(terms.organization).or_insert(Marks::NONE).mark(slot);
    }
    tables.audit_blocks.insert(block, row.as_slice())?;
    for (organization, marks) in owners.range(1..) {
        tables.audit_organizations.insert((*organization, block), &marks.0)?;
    }
    Ok(())
}

/// Writes an entry's terms anew, if its block is complete.
pub(super) fn replace(tables: &mut WriteTables, position: u64, terms: &Terms) -> Result<(), StoreError> {
    let (block, slot) = (position / TILE_WIDTH, (position % TILE_WIDTH) as usize);
    let Some(mut row) = tables.audit_blocks.get(block)?.map(|row| row.value().to_vec()) else {
        return Ok(());
    };
    let start = LATEST_LEN + slot * TERMS_LEN;
    row.get_mut(start..start + TERMS_LEN).ok_or(CORRUPT)?.copy_from_slice(&terms.to_bytes());
    tables.audit_blocks.insert(block, row.as_slice())?;
    Ok(())
}

/// The terms of an entry whose block is not complete yet.
pub(super) fn terms_of(tables: &impl Tables, position: u64) -> Result<Terms, StoreError> {
    let row = tables.audit().get(position)?.ok_or(CORRUPT)?;
    Ok(split(row.value())?.1)
}

/// A word's fingerprint; 0 stands for no word.
fn print(word: &str) -> u32 {
    let digest = blake3::hash(word.as_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What stands before the full stop of an action.
fn noun(action: &str) -> Option<&str> {
    action.split_once('.').map(|(noun, _)| noun)
}

const CORRUPT: StoreError = StoreError::Corrupt("audit_blocks");
