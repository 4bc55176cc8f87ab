//! A page of records, validated once where it lies and then read in place.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKP1` |
//! | 4 | 1 | kind |
//! | 5 | 1 | permission set count |
//! | 6 | 2 | binding count |
//! | 8 | 4 | record count, 1 to 4,096 |
//! | 12 | 4 | bucket count |
//! | 16 | 4 | epoch, Unix minutes |
//! | 20 | 2 each | directory: the first record of each bucket, and the record count once more |
//! | – | 16 each | records: tag 10, binding 2, expiry 3, flags 1; by bucket, then ascending by tag |
//! | – | 12 each | bindings: project 4, organization 4, role 1, permission set 1, zero 2; ascending |
//! | – | 16 each | permission sets; ascending |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::object::{ObjectError, ObjectRef};
use crate::query::{Kind, Query, TAG_LEN};
use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use latchkey_core::{ExpiryMinute, OrganizationNumber, PermissionSet, ProjectNumber, Role, UnixMillis};

/// Records a page may hold at most.
pub const RECORDS_MAX: usize = 4096;
/// Bytes of a record.
pub const RECORD_LEN: usize = 16;
/// Bytes of a binding.
pub const BINDING_LEN: usize = 12;
/// Bytes a page may have at most.
pub const PAGE_LEN_MAX: usize = HEADER_LEN
    + (bucket_count(RECORDS_MAX) as usize + 1) * 2
    + RECORDS_MAX * (RECORD_LEN + BINDING_LEN)
    + 255 * SET_LEN;
/// Bytes a permission set takes.
pub const SET_LEN: usize = 16;
/// Bytes before the directory.
pub const HEADER_LEN: usize = 20;
/// The expiry of a record that never expires.
pub const EXPIRY_NEVER: u32 = 0x00FF_FFFF;
pub(crate) const MAGIC: &[u8; 4] = b"LKP1";

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
}

/// Whose a record is and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// The project.
    pub project: ProjectNumber,
    /// The project's organization.
    pub organization: OrganizationNumber,
    /// A key's role; nothing else has one.
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
        Ok(Self::read(kind, bytes)?)
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
        let record = records.iter().find(|record| record_words(record) == wanted)?;
        self.entry(record)
    }

    fn entry(&self, record: &[u8; RECORD_LEN]) -> Option<Entry> {
        let binding = usize::from(u16::from_le_bytes([record[10], record[11]]));
        let expiry = u32::from_le_bytes([record[12], record[13], record[14], 0]);
        Some(Entry {
            binding: self.binding(binding)?,
            expiry: (expiry != EXPIRY_NEVER).then(|| ExpiryMinute(self.epoch.saturating_add(expiry))),
            state: KeyState::from_flags(record[15])?,
        })
    }

    fn binding(&self, index: usize) -> Option<Binding> {
        let at = self.bindings_at + index * BINDING_LEN;
        let role = *self.bytes.get(at + 8)?;
        let permissions = if role == 0 {
            PermissionSet::EMPTY
        } else {
            let at = self.sets_at + usize::from(*self.bytes.get(at + 9)?) * SET_LEN;
            PermissionSet::from_bits(u128::from_le_bytes(array_at(&self.bytes, at)?))?
        };
        Some(Binding {
            project: ProjectNumber(u32::from_le_bytes(array_at(&self.bytes, at)?)),
            organization: OrganizationNumber(u32::from_le_bytes(array_at(&self.bytes, at + 4)?)),
            role: Role::from_byte(role),
            permissions,
        })
    }

    fn read(kind: Kind, bytes: Box<[u8]>) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("page", MAGIC, &bytes)?;
        let before = cursor.clone();
        let same = cursor.u8("kind")? == kind as u8 && !kind.is_names();
        before.ensure("kind", same, Fault::OutOfRange)?;
        let sets = usize::from(cursor.u8("permission set count")?);
        let before = cursor.clone();
        let bindings = usize::from(cursor.u16("binding count")?);
        before.ensure("binding count", bindings > 0, Fault::OutOfRange)?;
        let before = cursor.clone();
        let records = cursor.u32("record count")? as usize;
        before.ensure("record count", (1..=RECORDS_MAX).contains(&records), Fault::OutOfRange)?;
        let before = cursor.clone();
        let buckets = cursor.u32("bucket count")?;
        before.ensure("bucket count", buckets == bucket_count(records), Fault::OutOfRange)?;
        let epoch = cursor.u32("epoch")?;
        check_directory(&mut cursor, buckets as usize, records)?;
        let records_at = cursor.at();
        let directory = bytes.get(HEADER_LEN..records_at).unwrap_or_default();
        check_records(&mut cursor, directory, Counts { records, bindings, epoch }, kind)?;
        let bindings_at = cursor.at();
        check_bindings(&mut cursor, bindings, sets, kind)?;
        let sets_at = cursor.at();
        check_sets(&mut cursor, sets)?;
        cursor.finish()?;
        Ok(Self { bytes, kind, buckets, epoch, records_at, bindings_at, sets_at })
    }
}

/// Buckets of a page with this many records: one for every 7.6, at least one.
pub const fn bucket_count(records: usize) -> u32 {
    let count = (records as u32 * 5).div_ceil(38);
    if count == 0 { 1 } else { count }
}

struct Counts {
    records: usize,
    bindings: usize,
    epoch: u32,
}

fn check_directory(cursor: &mut Cursor<'_>, buckets: usize, records: usize) -> Result<(), ParseError> {
    let mut last = 0;
    for index in 0..=buckets {
        let before = cursor.clone();
        let first = usize::from(cursor.u16("directory")?);
        before.ensure("directory", index > 0 || first == 0, Fault::OutOfRange)?;
        before.ensure("directory", first >= last, Fault::NotAscending)?;
        before.ensure("directory", index < buckets || first == records, Fault::OutOfRange)?;
        last = first;
    }
    Ok(())
}

fn check_records(
    cursor: &mut Cursor<'_>,
    directory: &[u8],
    counts: Counts,
    kind: Kind,
) -> Result<(), ParseError> {
    let start = cursor.clone();
    let bytes = cursor.take("records", counts.records * RECORD_LEN)?;
    let mut used = vec![false; counts.bindings];
    let (mut earliest, mut reader) = (EXPIRY_NEVER, start.clone());
    let (records, _) = bytes.as_chunks::<RECORD_LEN>();
    let mut bucket = BucketStarts { directory, next: 1 };
    let mut last: Option<&[u8; RECORD_LEN]> = None;
    for (index, record) in records.iter().enumerate() {
        let here = reader.clone();
        reader.take("records", RECORD_LEN)?;
        if bucket.begins_at(index) {
            last = None;
        }
        let ascending = last.is_none_or(|last| last[..TAG_LEN] < record[..TAG_LEN]);
        here.ensure("record tag", ascending, Fault::NotAscending)?;
        let binding = used.get_mut(usize::from(u16::from_le_bytes([record[10], record[11]])));
        *binding.ok_or_else(|| here.fault("record binding", Fault::OutOfRange))? = true;
        let expiry = u32::from_le_bytes([record[12], record[13], record[14], 0]);
        let fits = expiry == EXPIRY_NEVER || counts.epoch.checked_add(expiry).is_some();
        here.ensure("record expiry", fits, Fault::OutOfRange)?;
        earliest = earliest.min(expiry);
        let plain = kind == Kind::NativeKey || (expiry == EXPIRY_NEVER && record[15] == 0);
        let known = plain && KeyState::from_flags(record[15]).is_some();
        here.ensure("record flags", known, Fault::OutOfRange)?;
        last = Some(record);
    }
    start.ensure("bindings", used.iter().all(|used| *used), Fault::NotCanonical)?;
    let canonical = if earliest == EXPIRY_NEVER { counts.epoch == 0 } else { earliest == 0 };
    start.ensure("epoch", canonical, Fault::NotCanonical)
}

/// Walks the directory beside the records: is this record the first of its bucket?
struct BucketStarts<'a> {
    directory: &'a [u8],
    next: usize,
}

impl BucketStarts<'_> {
    fn begins_at(&mut self, index: usize) -> bool {
        let mut begins = index == 0;
        while u16_at(self.directory, self.next * 2).is_some_and(|first| usize::from(first) <= index) {
            begins = true;
            self.next += 1;
        }
        begins
    }
}

fn check_bindings(
    cursor: &mut Cursor<'_>,
    bindings: usize,
    sets: usize,
    kind: Kind,
) -> Result<(), ParseError> {
    let start = cursor.clone();
    let mut used = vec![false; sets];
    let mut last = None;
    for _ in 0..bindings {
        let before = cursor.clone();
        let project = cursor.u32("binding project")?;
        let organization = cursor.u32("binding organization")?;
        let role = cursor.u8("binding role")?;
        let set = cursor.u8("binding permission set")?;
        let zero = cursor.u16("binding")?;
        before.ensure("binding", zero == 0, Fault::OutOfRange)?;
        let key = (project, organization, role, set);
        before.ensure("binding", last.is_none_or(|last| last < key), Fault::NotAscending)?;
        last = Some(key);
        if kind == Kind::NativeKey {
            before.ensure("binding role", Role::from_byte(role).is_some(), Fault::OutOfRange)?;
            let slot = used.get_mut(usize::from(set));
            *slot.ok_or_else(|| before.fault("binding permission set", Fault::OutOfRange))? = true;
        } else {
            before.ensure("binding role", role == 0 && set == 0, Fault::OutOfRange)?;
        }
    }
    start.ensure("permission sets", used.iter().all(|used| *used), Fault::NotCanonical)
}

fn check_sets(cursor: &mut Cursor<'_>, sets: usize) -> Result<(), ParseError> {
    let mut last = None;
    for _ in 0..sets {
        let before = cursor.clone();
        let bits = u128::from_le_bytes(cursor.array("permission set")?);
        before.ensure("permission set", PermissionSet::from_bits(bits).is_some(), Fault::OutOfRange)?;
        before.ensure("permission set", last.is_none_or(|last| last < bits), Fault::NotAscending)?;
        last = Some(bits);
    }
    Ok(())
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
    const fn from_flags(flags: u8) -> Option<Self> {
        match flags {
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
