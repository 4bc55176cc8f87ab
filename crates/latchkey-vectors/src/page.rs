//! Vectors of the page of records.

use crate::case::{Cases, field, reason};
use crate::describe;
use latchkey_core::{PermissionSet, Role};
use latchkey_snapshot::page::bucket_count;
use latchkey_snapshot::{Fault, Kind, ObjectRef, Page, Query};
use serde_json::{Value, json};

const NEVER: u32 = 0x00ff_ffff;

#[derive(Clone)]
struct Record {
    tag: [u8; 10],
    binding: u16,
    expiry: u32,
    flags: u8,
}

#[derive(Clone, Copy)]
struct Binding {
    project: u32,
    organization: u32,
    role: u8,
    set: u8,
    zero: u16,
}

/// The fields of a page, free to hold nonsense.
#[derive(Clone)]
struct Fields {
    kind: u8,
    binding_count: u16,
    record_count: u32,
    bucket_count: u32,
    epoch: u32,
    directory: Vec<u16>,
    records: Vec<Record>,
    bindings: Vec<Binding>,
    sets: Vec<u128>,
}

fn record(tag: u8, binding: u16) -> Record {
    Record { tag: [tag; 10], binding, expiry: NEVER, flags: 0 }
}

fn binding(project: u32, organization: u32, role: u8, set: u8) -> Binding {
    Binding { project, organization, role, set, zero: 0 }
}

impl Fields {
    /// Four keys in one bucket: two projects, both roles, every state.
    fn keys() -> Self {
        let records = vec![
            Record { expiry: 0, ..record(1, 0) },
            Record { expiry: 1440, flags: 1, ..record(2, 1) },
            Record { flags: 2, ..record(3, 0) },
            Record { expiry: NEVER - 1, ..record(4, 1) },
        ];
        let sets = [Role::Member, Role::Admin].map(|role| PermissionSet::of_key(role).bits());
        Self { epoch: 30_000_000, ..Self::of(1, &[4], records, &[(10, 1, 1, 0), (11, 1, 2, 1)], &sets) }
    }

    /// Two resources of two projects.
    fn resources() -> Self {
        Self::of(3, &[2], vec![record(1, 1), record(2, 0)], &[(10, 1, 0, 0), (11, 1, 0, 0)], &[])
    }

    /// Sixteen keys in three buckets, the second of them empty.
    fn buckets() -> Self {
        let tags = [9, 10, 11, 12, 13, 14, 15, 16, 17, 1, 2, 3, 4, 5, 6, 7];
        let records = tags.into_iter().map(|tag| record(tag, 0)).collect();
        Self::of(1, &[9, 9, 16], records, &[(10, 1, 1, 0)], &[0])
    }

    fn of(
        kind: u8,
        ends: &[u16],
        records: Vec<Record>,
        bindings: &[(u32, u32, u8, u8)],
        sets: &[u128],
    ) -> Self {
        let bindings: Vec<Binding> = bindings
            .iter()
            .map(|(project, owner, role, set)| binding(*project, *owner, *role, *set))
            .collect();
        Self {
            kind,
            binding_count: bindings.len() as u16,
            record_count: records.len() as u32,
            bucket_count: bucket_count(records.len()),
            epoch: 0,
            directory: [&[0], ends].concat(),
            records,
            bindings,
            sets: sets.to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"LKP1".to_vec();
        bytes.extend([self.kind, self.sets.len() as u8]);
        bytes.extend(self.binding_count.to_le_bytes());
        bytes.extend(self.record_count.to_le_bytes());
        bytes.extend(self.bucket_count.to_le_bytes());
        bytes.extend(self.epoch.to_le_bytes());
        self.directory.iter().for_each(|first| bytes.extend(first.to_le_bytes()));
        for record in &self.records {
            bytes.extend(record.tag);
            bytes.extend(record.binding.to_le_bytes());
            bytes.extend(&record.expiry.to_le_bytes()[..3]);
            bytes.push(record.flags);
        }
        for binding in &self.bindings {
            bytes.extend(binding.project.to_le_bytes());
            bytes.extend(binding.organization.to_le_bytes());
            bytes.extend([binding.role, binding.set]);
            bytes.extend(binding.zero.to_le_bytes());
        }
        self.sets.iter().for_each(|set| bytes.extend(set.to_le_bytes()));
        bytes
    }
}

fn changed(mut fields: Fields, change: impl FnOnce(&mut Fields)) -> Vec<u8> {
    change(&mut fields);
    fields.bytes()
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_reference(&mut cases);
    refuse_header(&mut cases);
    refuse_directory(&mut cases);
    refuse_records(&mut cases);
    refuse_tables(&mut cases);
    refuse_plain(&mut cases);
    accept(&mut cases);
    let counts: Vec<Value> = [1, 7, 8, 15, 16, 38, 39, 4095, 4096]
        .map(|records| json!({ "records": records, "buckets": bucket_count(records) }))
        .to_vec();
    json!({
        "about": "kind: the section that names the page. reference: what names the bytes, themselves if absent",
        "bucket_counts": counts,
        "cases": cases.into_value(),
    })
}

fn refuse_reference(cases: &mut Cases) {
    let good = Fields::keys().bytes();
    let reference = json!({ "kind": 1, "reference": describe::reference(&ObjectRef::to(&good)) });
    let mut flipped = good.clone();
    flipped[60] ^= 1;
    cases.refuse("other bytes than named", reference.clone(), &flipped, reason("page", "digest"));
    cases.refuse("fewer bytes than named", reference, &good[..good.len() - 1], reason("page", "length"));
}

fn key_page(cases: &mut Cases, name: &str, bytes: &[u8], at: &str, fault: Fault) {
    cases.refuse(name, json!({ "kind": 1 }), bytes, field("page", at, fault));
}

fn refuse_header(cases: &mut Cases) {
    let good = Fields::keys().bytes();
    let mut refuse = |name: &str, bytes: &[u8], at: &str, fault| key_page(cases, name, bytes, at, fault);
    refuse("cut in its epoch", &good[..19], "epoch", Fault::Truncated);
    refuse("cut in its directory", &good[..23], "directory", Fault::Truncated);
    refuse("cut in its records", &good[..87], "records", Fault::Truncated);
    refuse("cut in a binding", &good[..111], "binding", Fault::Truncated);
    refuse("cut in a permission set", &good[..good.len() - 1], "permission set", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse("another magic", &[b"LKP2", &good[4..]].concat(), "magic", Fault::Magic);
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str| {
        refuse(name, &changed(Fields::keys(), change), at, Fault::OutOfRange);
    };
    refuse("another kind", &|page| page.kind = 3, "kind");
    refuse("an unknown kind", &|page| page.kind = 2, "kind");
    refuse("no bindings", &|page| page.binding_count = 0, "binding count");
    refuse("no records", &|page| page.record_count = 0, "record count");
    refuse("4,097 records", &|page| page.record_count = 4097, "record count");
    refuse("a bucket too few", &|page| page.bucket_count = 0, "bucket count");
    refuse("a bucket too many", &|page| page.bucket_count = 2, "bucket count");
    let names = changed(Fields::resources(), |page| page.kind = 5);
    cases.refuse(
        "a page of records of a kind of names",
        json!({ "kind": 5 }),
        &names,
        field("page", "kind", Fault::OutOfRange),
    );
}

fn refuse_directory(cases: &mut Cases) {
    let mut refuse = |name: &str, directory: [u16; 4], fault| {
        let bytes = changed(Fields::buckets(), |page| page.directory = directory.to_vec());
        key_page(cases, name, &bytes, "directory", fault);
    };
    refuse("a directory that begins above 0", [1, 9, 9, 16], Fault::OutOfRange);
    refuse("a directory that goes back", [0, 9, 8, 16], Fault::NotAscending);
    refuse("a directory that ends too early", [0, 9, 9, 15], Fault::OutOfRange);
    refuse("a directory that ends too late", [0, 9, 9, 17], Fault::OutOfRange);
    refuse("a directory that exceeds the records and comes back", [0, 9, 17, 16], Fault::NotAscending);
}

fn refuse_records(cases: &mut Cases) {
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str, fault| {
        key_page(cases, name, &changed(Fields::keys(), change), at, fault);
    };
    refuse("one tag twice", &|page| page.records[1].tag = [1; 10], "record tag", Fault::NotAscending);
    refuse("tags out of order", &|page| page.records.swap(2, 3), "record tag", Fault::NotAscending);
    refuse(
        "tags out of order in their last byte",
        &|page| {
            page.records[0].tag = [2; 10];
            page.records[1].tag[9] = 1;
        },
        "record tag",
        Fault::NotAscending,
    );
    refuse(
        "a binding beyond the table",
        &|page| page.records[3].binding = 2,
        "record binding",
        Fault::OutOfRange,
    );
    refuse("unknown flags", &|page| page.records[0].flags = 3, "record flags", Fault::OutOfRange);
    refuse("an unknown high flag", &|page| page.records[0].flags = 0x80, "record flags", Fault::OutOfRange);
    refuse(
        "a binding that nothing uses",
        &|page| page.records.iter_mut().for_each(|record| record.binding = 0),
        "bindings",
        Fault::NotCanonical,
    );
    refuse(
        "an epoch before the earliest expiry",
        &|page| page.records[0].expiry = 1,
        "epoch",
        Fault::NotCanonical,
    );
    refuse(
        "an epoch where nothing expires",
        &|page| page.records.iter_mut().for_each(|record| record.expiry = NEVER),
        "epoch",
        Fault::NotCanonical,
    );
    refuse(
        "an expiry beyond 32 bits",
        &|page| page.epoch = u32::MAX - 1439,
        "record expiry",
        Fault::OutOfRange,
    );
    let bytes = changed(Fields::buckets(), |page| page.directory = vec![0, 8, 10, 16]);
    key_page(cases, "tags out of order within the second bucket", &bytes, "record tag", Fault::NotAscending);
}

fn refuse_tables(cases: &mut Cases) {
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str, fault| {
        key_page(cases, name, &changed(Fields::keys(), change), at, fault);
    };
    refuse("bytes behind a binding", &|page| page.bindings[0].zero = 0x100, "binding", Fault::OutOfRange);
    refuse("one binding twice", &|page| page.bindings[1] = page.bindings[0], "binding", Fault::NotAscending);
    refuse("bindings out of order", &|page| page.bindings.swap(0, 1), "binding", Fault::NotAscending);
    refuse("a key without a role", &|page| page.bindings[0].role = 0, "binding role", Fault::OutOfRange);
    refuse("an unknown role", &|page| page.bindings[1].role = 3, "binding role", Fault::OutOfRange);
    refuse(
        "a permission set beyond the table",
        &|page| page.bindings[1].set = 2,
        "binding permission set",
        Fault::OutOfRange,
    );
    refuse(
        "a permission set that nothing uses",
        &|page| page.bindings[1].set = 0,
        "permission sets",
        Fault::NotCanonical,
    );
    refuse(
        "a number that is no permission",
        &|page| page.sets[0] |= 1 << 16,
        "permission set",
        Fault::OutOfRange,
    );
    refuse("the greatest bit", &|page| page.sets[1] |= 1 << 127, "permission set", Fault::OutOfRange);
    refuse(
        "one permission set twice",
        &|page| page.sets[1] = page.sets[0],
        "permission set",
        Fault::NotAscending,
    );
    refuse(
        "permission sets out of order",
        &|page| page.sets.swap(0, 1),
        "permission set",
        Fault::NotAscending,
    );
}

/// What only keys have, in a page of resources.
fn refuse_plain(cases: &mut Cases) {
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str, fault| {
        let bytes = changed(Fields::resources(), change);
        cases.refuse(name, json!({ "kind": 3 }), &bytes, field("page", at, fault));
    };
    refuse("a resource that expires", &|page| page.records[0].expiry = 0, "record flags", Fault::OutOfRange);
    refuse(
        "a resource that is disabled",
        &|page| page.records[0].flags = 1,
        "record flags",
        Fault::OutOfRange,
    );
    refuse("a resource with a role", &|page| page.bindings[0].role = 1, "binding role", Fault::OutOfRange);
    refuse(
        "a resource with a permission set",
        &|page| page.bindings[1].set = 1,
        "binding role",
        Fault::OutOfRange,
    );
    refuse(
        "a page of resources with a permission set",
        &|page| page.sets.push(0),
        "permission sets",
        Fault::NotCanonical,
    );
}

fn accept(cases: &mut Cases) {
    let earliest = |epoch: u32| {
        let mut page = Fields::keys();
        page.epoch = epoch;
        page
    };
    let mut references = Fields::resources();
    references.kind = 4;
    for (name, page) in [
        ("keys", Fields::keys()),
        ("keys in three buckets, one of them empty", Fields::buckets()),
        ("the latest expiry there is", earliest(u32::MAX - (NEVER - 1))),
        ("the earliest expiry there is", earliest(0)),
        ("resources", Fields::resources()),
        ("project references", references),
    ] {
        let bytes = page.bytes();
        let kind = Kind::from_byte(page.kind).unwrap();
        let parsed = Page::parse(kind, &ObjectRef::to(&bytes), bytes.clone().into()).unwrap();
        let entries: Vec<Value> = page
            .records
            .iter()
            .enumerate()
            .map(|(index, record)| {
                let ends = page.directory[1..].iter();
                let bucket = ends.take_while(|end| usize::from(**end) <= index).count();
                entry(&parsed, record.tag, bucket as u32, page.bucket_count)
            })
            .collect();
        let said = json!({ "records": page.record_count, "entries": entries });
        cases.accept(name, json!({ "kind": page.kind }), &bytes, said);
    }
}

/// What the page says of a tag, asked with the smallest bucket number that leads to `bucket`.
fn entry(page: &Page, tag: [u8; 10], bucket: u32, buckets: u32) -> Value {
    let hash = (u64::from(bucket) << 32).div_ceil(u64::from(buckets)) as u32;
    let query = Query { kind: page.kind(), place: 0, bucket: hash, tag };
    let mut described = describe::entry(&page.find(&query).unwrap());
    described["tag"] = crate::case::hex(tag).into();
    described["bucket_hash"] = hash.into();
    described
}
