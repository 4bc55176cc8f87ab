//! A page of records, validated once where it lies and then read in place.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKP2` |
//! | 4 | 1 | kind |
//! | 5 | 1 | permission set count |
//! | 6 | 2 | binding count |
//! | 8 | 4 | record count, 1 to 4,096 |
//! | 12 | 4 | bucket count |
//! | 16 | 4 | epoch, Unix minutes |
//! | 20 | 2 | narrowing count |
//! | 22 | 2 each | directory: the first record of each bucket, and the record count once more |
//! | – | 16 each | records: tag 10, binding 2, expiry 3, flags 1; by bucket, then ascending by tag |
//! | – | 12 each | bindings: project 4, organization 4, role 1, permission set 1, narrowing 2; ascending |
//! | – | 16 each | permission sets; ascending |
//! | – | 8 each | key ids, one a record in its order; only in a page of imported keys |
//! | – | 2 + n each | narrowings, ascending: see [`crate::narrowing`] |
//!
//! Here are the page and its look-ups; what is checked once, when a page comes, is in `check`.

mod check;

use crate::cursor::ParseError;
use crate::narrowing::{NARROWINGS_LEN_MAX, Narrowing};
use crate::object::{ObjectError, ObjectRef};
use crate::query::{Kind, Query, TAG_LEN};
use alloc::boxed::Box;
use core::fmt;
use latchkey_core::{
    ExpiryMinute, KeyId, OrganizationNumber, PermissionSet, ProjectNumber, Role, UnixMillis,
};

/// Records a page may hold at most.
pub const RECORDS_MAX: usize = 4096;
/// Bytes of a record.
pub const RECORD_LEN: usize = 16;
/// Bytes of a binding.
pub const BINDING_LEN: usize = 12;
/// Bytes a page may have at most.
pub const PAGE_LEN_MAX: usize = HEADER_LEN
    + (bucket_count(RECORDS_MAX) as usize + 1) * 2
    + RECORDS_MAX * (RECORD_LEN + BINDING_LEN + KEY_ID_LEN)
    + 255 * SET_LEN
    + NARROWINGS_LEN_MAX;
/// Bytes a permission set takes.
pub const SET_LEN: usize = 16;
/// Bytes of the id of an imported key.
pub const KEY_ID_LEN: usize = 8;
/// Bytes before the directory.
pub const HEADER_LEN: usize = 22;
/// The expiry of a record that never expires.
pub const EXPIRY_NEVER: u32 = 0x00FF_FFFF;
/// The flags that hold a key's state.
const FLAGS_STATE: u8 = 0b0011;
/// The flag of a key that is out of budget.
pub(crate) const FLAG_OUT_OF_BUDGET: u8 = 0b0100;
/// The flag of an external collaborator.
pub(crate) const FLAG_EXTERNAL: u8 = 0b1000;
pub(crate) const MAGIC: &[u8; 4] = b"LKP2";

/// A verified page.
#[derive(Clone)]
pub struct Page {
    bytes: Box<[u8]>,
    kind: Kind,
    buckets: u32,
    epoch: u32,
    records_at: usize,
    bindings_at: usize,
    sets_at: usize,
    ids_at: usize,
    /// Where each narrowing begins, at its length.
    narrowings: Box<[u32]>,
}

/// What a page says of a thing it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is and what it may do.
    pub binding: Binding,
    /// From when on it is refused, if ever.
    pub expiry: Option<ExpiryMinute>,
    /// Whether it is in force.
    pub state: KeyState,
    /// Whether what it may do is refused where it costs money (IAM B2); only a key can be.
    pub is_out_of_budget: bool,
    /// Whether it lets somebody in who need not be a member of the organization (IAM X1); only a collaboration can.
    pub is_external: bool,
    /// The record's index in its page.
    record: u16,
    /// The narrowing's index in its page, counted from 1; 0 for none.
    narrowing: u16,
}

/// Whose a record is and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// The project.
    pub project: ProjectNumber,
    /// The project's organization.
    pub organization: OrganizationNumber,
    /// The role, if the record is of a kind that has one.
    pub role: Option<Role>,
    /// What a key may do; empty for anything else.
    pub permissions: PermissionSet,
}

/// Whether a key is in force. Anything else is always active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyState {
    /// In force.
    Active = 0,
    /// Out of force until it is enabled.
    Disabled = 1,
    /// Out of force for good.
    Revoked = 2,
}

impl Entry {
    /// Whether its time is over at `now`.
    pub fn has_expired(&self, now: UnixMillis) -> bool {
        self.expiry.is_some_and(|expiry| expiry.has_passed(now))
    }
}

impl Page {
    /// Reads the page that `reference` names: every byte is checked now, so that no look-up has to.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(kind: Kind, reference: &ObjectRef, bytes: Box<[u8]>) -> Result<Self, ObjectError> {
        reference.admit(&bytes)?;
        Ok(check::read(kind, bytes)?)
    }

    /// Reads a page that stands in another object.
    pub(crate) fn read(kind: Kind, bytes: Box<[u8]>) -> Result<Self, ParseError> {
        check::read(kind, bytes)
    }

    /// Every record with its tag, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8; TAG_LEN], Entry)> {
        let entry = |(index, record): (usize, &_)| self.entry(record, index as u16);
        let entries = self.all_records().iter().enumerate().filter_map(entry);
        self.tags().zip(entries)
    }

    /// The tag of every record, in their order.
    pub fn tags(&self) -> impl Iterator<Item = &[u8; TAG_LEN]> {
        self.all_records().iter().filter_map(|record| record.first_chunk())
    }

    fn all_records(&self) -> &[[u8; RECORD_LEN]] {
        let records = self.bytes.get(self.records_at..self.bindings_at).unwrap_or_default();
        records.as_chunks().0
    }

    /// What its records are about.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes it takes.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        (self.bindings_at - self.records_at) / RECORD_LEN
    }

    /// What the page says of the thing that `query` names, or `None` if it does not know it.
    pub fn find(&self, query: &Query) -> Option<Entry> {
        let bucket = (u64::from(query.bucket) * u64::from(self.buckets)) >> 32;
        let slot = HEADER_LEN + bucket as usize * 2;
        let first = u16_at(&self.bytes, slot)? as usize;
        let end = u16_at(&self.bytes, slot + 2)? as usize;
        let start = self.records_at + first * RECORD_LEN;
        let records = self.bytes.get(start..self.records_at + end * RECORD_LEN)?;
        let (records, _) = records.as_chunks::<RECORD_LEN>();
        let wanted = tag_words(&query.tag);
        let (index, record) =
            records.iter().enumerate().find(|(_, record)| record_words(record) == wanted)?;
        self.entry(record, (first + index) as u16)
    }

    /// What the key of an entry of this page is narrowed to besides its permissions, if it is.
    pub fn narrowing(&self, entry: &Entry) -> Option<Narrowing<'_>> {
        let index = usize::from(entry.narrowing).checked_sub(1)?;
        let at = self.narrowings.get(index).map_or(usize::MAX, |at| *at as usize);
        // What lies there was checked when the page came; nothing is allowed of what does not.
        let entry = u16_at(&self.bytes, at).and_then(|len| self.bytes.get(at + 2..at + 2 + usize::from(len)));
        Some(Narrowing::open(entry.unwrap_or_default()))
    }

    /// The public id of the imported key of an entry of this page; the text of a native key says its own.
    pub fn imported_key_id(&self, entry: &Entry) -> Option<KeyId> {
        (self.kind == Kind::ImportedKey).then_some(())?;
        let at = self.ids_at + usize::from(entry.record) * KEY_ID_LEN;
        array_at(&self.bytes, at).map(|bytes| KeyId::from_number(u64::from_le_bytes(bytes)))
    }

    fn entry(&self, record: &[u8; RECORD_LEN], index: u16) -> Option<Entry> {
        let [.., b0, b1, e0, e1, e2, flags] = *record;
        let expiry = u32::from_le_bytes([e0, e1, e2, 0]);
        let (binding, narrowing) = self.binding(usize::from(u16::from_le_bytes([b0, b1])))?;
        Some(Entry {
            binding,
            expiry: (expiry != EXPIRY_NEVER).then(|| ExpiryMinute(self.epoch.saturating_add(expiry))),
            state: KeyState::from_flags(flags)?,
            is_out_of_budget: flags & FLAG_OUT_OF_BUDGET != 0,
            is_external: flags & FLAG_EXTERNAL != 0,
            record: index,
            narrowing,
        })
    }

    /// A binding and the narrowing that goes with it.
    fn binding(&self, index: usize) -> Option<(Binding, u16)> {
        let at = self.bindings_at + index * BINDING_LEN;
        let [p0, p1, p2, p3, o0, o1, o2, o3, role, set, n0, n1] = array_at::<BINDING_LEN>(&self.bytes, at)?;
        let permissions = if !self.kind.is_key() {
            PermissionSet::EMPTY
        } else {
            let at = self.sets_at + usize::from(set) * SET_LEN;
            PermissionSet::from_bits(u128::from_le_bytes(array_at(&self.bytes, at)?))?
        };
        let binding = Binding {
            project: ProjectNumber(u32::from_le_bytes([p0, p1, p2, p3])),
            organization: OrganizationNumber(u32::from_le_bytes([o0, o1, o2, o3])),
            role: Role::from_byte(role),
            permissions,
        };
        Some((binding, u16::from_le_bytes([n0, n1])))
    }
}

/// Buckets of a page with this many records: one for every 7.6, at least one.
pub const fn bucket_count(records: usize) -> u32 {
    let count = (records as u32 * 5).div_ceil(38);
    if count == 0 { 1 } else { count }
}

/// A tag as two numbers: comparing those needs no call, which a comparison of slices does.
const fn tag_words(tag: &[u8; TAG_LEN]) -> (u64, u16) {
    let [a, b, c, d, e, f, g, h, i, j] = *tag;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([i, j]))
}

const fn record_words(record: &[u8; RECORD_LEN]) -> (u64, u16) {
    let [a, b, c, d, e, f, g, h, i, j, ..] = *record;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([i, j]))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

impl KeyState {
    /// The state that a byte stands for, if any.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        if byte & !FLAGS_STATE == 0 { Self::from_flags(byte) } else { None }
    }

    /// The state in a record's flags.
    const fn from_flags(flags: u8) -> Option<Self> {
        match flags & FLAGS_STATE {
            0 => Some(Self::Active),
            1 => Some(Self::Disabled),
            2 => Some(Self::Revoked),
            _ => None,
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({:?}, {} records)", self.kind, self.records())
    }
}
