//! What is checked of a page when it comes, so that no look-up has to: every byte, and that the writer would have
//! written it.

use super::{
    BINDING_LEN, EXPIRY_NEVER, FLAG_EXTERNAL, FLAG_OUT_OF_BUDGET, FLAGS_STATE, HEADER_LEN, KEY_ID_LEN,
    KeyState, MAGIC, Page, RECORD_LEN, RECORDS_MAX, bucket_count, u16_at,
};
use crate::cursor::{Cursor, Fault, ParseError};
use crate::narrowing::{self, NARROWINGS_LEN_MAX};
use crate::query::{Kind, TAG_LEN};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use latchkey_core::{PermissionSet, Role};

/// The page of these bytes.
pub(super) fn read(kind: Kind, bytes: Box<[u8]>) -> Result<Page, ParseError> {
    let mut cursor = Cursor::open("page", MAGIC, &bytes)?;
    let counts = read_header(&mut cursor, kind)?;
    check_directory(&mut cursor, counts.buckets as usize, counts.records)?;
    let records_at = cursor.at();
    let directory = bytes.get(HEADER_LEN..records_at).unwrap_or_default();
    check_records(&mut cursor, directory, &counts, kind)?;
    let bindings_at = cursor.at();
    check_bindings(&mut cursor, &counts, kind)?;
    let sets_at = cursor.at();
    check_sets(&mut cursor, counts.sets)?;
    let ids_at = cursor.at();
    if kind == Kind::ImportedKey {
        cursor.take("key ids", counts.records * KEY_ID_LEN)?;
    }
    let narrowings = check_narrowings(&mut cursor, counts.narrowings)?;
    cursor.finish()?;
    let Counts { buckets, epoch, .. } = counts;
    Ok(Page { bytes, kind, buckets, epoch, records_at, bindings_at, sets_at, ids_at, narrowings })
}

struct Counts {
    sets: usize,
    bindings: usize,
    records: usize,
    buckets: u32,
    epoch: u32,
    narrowings: usize,
}

fn read_header(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Counts, ParseError> {
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
    let narrowings = usize::from(cursor.u16("narrowing count")?);
    Ok(Counts { sets, bindings, records, buckets, epoch, narrowings })
}

fn check_directory(cursor: &mut Cursor<'_>, buckets: usize, records: usize) -> Result<(), ParseError> {
    let len = (buckets + 1) * 2;
    if cursor.rest().get(..len).is_some_and(|bytes| is_directory(bytes, records)) {
        return cursor.take("directory", len).map(drop);
    }
    name_directory_fault(cursor, buckets, records)
}

/// Whether all is well with a directory. An edge checks hundreds of pages when it starts: what is wrong, if anything, is
/// found out afterwards.
fn is_directory(bytes: &[u8], records: usize) -> bool {
    let (entries, _) = bytes.as_chunks::<2>();
    let mut entries = entries.iter().map(|entry| u16::from_le_bytes(*entry));
    let (mut last, mut ascending) = (0, entries.next() == Some(0));
    for first in entries {
        ascending &= last <= first;
        last = first;
    }
    ascending && usize::from(last) == records
}

/// Goes through a directory field by field, and names the first that is wrong.
fn name_directory_fault(cursor: &mut Cursor<'_>, buckets: usize, records: usize) -> Result<(), ParseError> {
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
    counts: &Counts,
    kind: Kind,
) -> Result<(), ParseError> {
    let len = counts.records * RECORD_LEN;
    if cursor.rest().get(..len).is_some_and(|bytes| are_records(bytes, directory, counts, kind)) {
        return cursor.take("records", len).map(drop);
    }
    name_record_fault(cursor, directory, counts, kind)
}

/// Whether all is well with the records, whose directory is.
fn are_records(bytes: &[u8], directory: &[u8], counts: &Counts, kind: Kind) -> bool {
    let (records, _) = bytes.as_chunks::<RECORD_LEN>();
    let (entries, _) = directory.as_chunks::<2>();
    let flags = [0, EXPIRY_NEVER].map(|expiry| flag_sets(kind, expiry));
    let latest = (u32::MAX - counts.epoch).min(EXPIRY_NEVER - 1);
    let mut used = vec![false; counts.bindings];
    let mut earliest = EXPIRY_NEVER;
    let mut first = 0;
    for end in entries.iter().skip(1).map(|entry| usize::from(u16::from_le_bytes(*entry))) {
        let Some(bucket) = records.get(first..end) else { return false };
        let mut last = None;
        for [a, b, c, d, e, f, g, h, i, j, b0, b1, e0, e1, e2, flag] in bucket {
            let tag = (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), u16::from_be_bytes([*i, *j]));
            let expiry = u32::from_le_bytes([*e0, *e1, *e2, 0]);
            let never = expiry == EXPIRY_NEVER;
            let fits = never | (expiry <= latest);
            let known = flags[usize::from(never)].checked_shr(u32::from(*flag)).unwrap_or(0) & 1 == 1;
            let Some(used) = used.get_mut(usize::from(u16::from_le_bytes([*b0, *b1]))) else { return false };
            if !(fits & known) || last.is_some_and(|last| last >= tag) {
                return false;
            }
            *used = true;
            earliest = earliest.min(expiry);
            last = Some(tag);
        }
        first = end;
    }
    let canonical = if earliest == EXPIRY_NEVER { counts.epoch == 0 } else { earliest == 0 };
    first == records.len() && canonical && used.iter().all(|used| *used)
}

/// The flags that a record may have beside this expiry, as a bit for each value.
fn flag_sets(kind: Kind, expiry: u32) -> u32 {
    (0..32).filter(|flags| are_flags(kind, *flags, expiry)).fold(0, |set, flags| set | 1 << flags)
}

/// Goes through the records field by field, and names the first that is wrong.
fn name_record_fault(
    cursor: &mut Cursor<'_>,
    directory: &[u8],
    counts: &Counts,
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
        here.ensure("record flags", are_flags(kind, record[15], expiry), Fault::OutOfRange)?;
        last = Some(record);
    }
    start.ensure("bindings", used.iter().all(|used| *used), Fault::NotCanonical)?;
    let canonical = if earliest == EXPIRY_NEVER { counts.epoch == 0 } else { earliest == 0 };
    start.ensure("epoch", canonical, Fault::NotCanonical)
}

/// Whether a record of the kind may have these flags beside this expiry.
fn are_flags(kind: Kind, flags: u8, expiry: u32) -> bool {
    match kind {
        Kind::NativeKey | Kind::ImportedKey => {
            flags & !(FLAGS_STATE | FLAG_OUT_OF_BUDGET) == 0 && KeyState::from_flags(flags).is_some()
        }
        Kind::Collaboration => flags == FLAG_EXTERNAL || (flags == 0 && expiry == EXPIRY_NEVER),
        Kind::EndedSession => flags == 0 && expiry != EXPIRY_NEVER,
        _ => flags == 0 && expiry == EXPIRY_NEVER,
    }
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

fn check_bindings(cursor: &mut Cursor<'_>, counts: &Counts, kind: Kind) -> Result<(), ParseError> {
    let start = cursor.clone();
    let mut used = Used { sets: vec![false; counts.sets], narrowings: vec![false; counts.narrowings] };
    let mut last = None;
    for _ in 0..counts.bindings {
        let before = cursor.clone();
        let binding = read_binding(cursor)?;
        before.ensure("binding", last.is_none_or(|last| last < binding), Fault::NotAscending)?;
        last = Some(binding);
        let known = check_binding(binding, kind, &mut used);
        known.map_err(|field| before.fault(field, Fault::OutOfRange))?;
    }
    start.ensure("permission sets", used.sets.iter().all(|used| *used), Fault::NotCanonical)?;
    start.ensure("narrowings", used.narrowings.iter().all(|used| *used), Fault::NotCanonical)
}

/// Project, organization, role, permission set, narrowing.
type Binding = (u32, u32, u8, u8, u16);

fn read_binding(cursor: &mut Cursor<'_>) -> Result<Binding, ParseError> {
    let mut whole = cursor.part("binding", BINDING_LEN)?;
    let project = whole.u32("binding project")?;
    let organization = whole.u32("binding organization")?;
    let [role, set] = whole.array("binding role")?;
    Ok((project, organization, role, set, whole.u16("binding narrowing")?))
}

struct Used {
    sets: Vec<bool>,
    narrowings: Vec<bool>,
}

/// Notes what a binding uses; else which field is none that a binding of the kind can have.
fn check_binding(binding: Binding, kind: Kind, used: &mut Used) -> Result<(), &'static str> {
    let (project, organization, role, set, narrowing) = binding;
    let no_project = matches!(kind, Kind::Membership | Kind::EndedSession);
    ensure(project == 0 || !no_project, "binding project")?;
    ensure(organization == 0 || kind != Kind::EndedSession, "binding organization")?;
    ensure(if kind.has_role() { Role::from_byte(role).is_some() } else { role == 0 }, "binding role")?;
    if !kind.is_key() {
        ensure(set == 0, "binding permission set")?;
        return ensure(narrowing == 0, "binding narrowing");
    }
    *used.sets.get_mut(usize::from(set)).ok_or("binding permission set")? = true;
    if let Some(index) = usize::from(narrowing).checked_sub(1) {
        *used.narrowings.get_mut(index).ok_or("binding narrowing")? = true;
    }
    Ok(())
}

fn ensure(holds: bool, field: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(field) }
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

/// Checks the narrowings and says where each begins.
fn check_narrowings(cursor: &mut Cursor<'_>, count: usize) -> Result<Box<[u32]>, ParseError> {
    let start = cursor.clone();
    let mut begins = Vec::with_capacity(count);
    let mut last = None;
    for _ in 0..count {
        let before = cursor.clone();
        begins.push(cursor.at() as u32);
        let len = usize::from(cursor.u16("narrowing length")?);
        let entry = cursor.part("narrowing", len)?;
        narrowing::check(entry.clone())?;
        let bytes = entry.rest();
        before.ensure("narrowing", last.is_none_or(|last| last < bytes), Fault::NotAscending)?;
        last = Some(bytes);
    }
    let fits = cursor.at() - start.at() <= NARROWINGS_LEN_MAX;
    start.ensure("narrowings", fits, Fault::OutOfRange)?;
    Ok(begins.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two buckets of three records, with two bindings; the first expires at the epoch.
    fn sample() -> (Vec<u8>, Vec<u8>, Counts) {
        let counts = Counts { sets: 1, bindings: 2, records: 6, buckets: 2, epoch: 7, narrowings: 0 };
        let record = |tag: u8, binding: u8, expiry: [u8; 3], flags: u8| {
            let mut record = [0; RECORD_LEN];
            (record[0], record[9], record[10], record[15]) = (tag, tag, binding, flags);
            record[12..15].copy_from_slice(&expiry);
            record
        };
        let never = [0xFF; 3];
        let records = [
            record(1, 0, [0; 3], 0),
            record(1 << 1, 1, never, 2),
            record(5, 0, [9, 0, 0], 4),
            record(1, 1, never, 1),
            record(2, 1, [0, 1, 0], 0),
            record(3, 0, never, 6),
        ];
        (vec![0, 0, 3, 0, 6, 0], records.concat(), counts)
    }

    #[track_caller]
    fn check_agree(directory: &[u8], records: &[u8], counts: &Counts) {
        for kind in Kind::ALL {
            let named = name_record_fault(&mut Cursor::inside("page", records), directory, counts, kind);
            assert_eq!(are_records(records, directory, counts, kind), named.is_ok(), "{named:?} {records:?}");
        }
    }

    #[test]
    fn quick_check_and_the_one_that_names_faults_agree_on_every_flipped_bit() {
        let (directory, records, counts) = sample();
        assert!(are_records(&records, &directory, &counts, Kind::NativeKey));
        check_agree(&directory, &records, &counts);
        for bit in 0..records.len() * 8 {
            let mut flipped = records.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_agree(&directory, &flipped, &counts);
        }
        for epoch in [0, u32::MAX - 1, u32::MAX - 255, u32::MAX - 256] {
            check_agree(&directory, &records, &Counts { epoch, ..sample().2 });
        }
        check_agree(&directory, &records, &Counts { bindings: 3, ..sample().2 });
    }

    #[test]
    fn quick_check_of_directories_agrees_on_every_change() {
        for (at, value) in (0..6).flat_map(|at| (0..=255).map(move |value| (at, value))) {
            let (mut directory, _, counts) = sample();
            directory[at] = value;
            let named = name_directory_fault(&mut Cursor::inside("page", &directory), 2, counts.records);
            assert_eq!(is_directory(&directory, counts.records), named.is_ok(), "{directory:?}");
        }
    }
}
