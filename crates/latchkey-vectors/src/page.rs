//! Vectors of the page of records. Those of its narrowings are in `narrowing`.

pub(crate) mod fields;
mod narrowing;

use crate::case::{Cases, field, reason};
use crate::describe;
use fields::{Fields, NEVER, changed};
use latchkey_core::{Permission, PermissionSet};
use latchkey_snapshot::page::bucket_count;
use latchkey_snapshot::{Fault, Kind, ObjectRef, Page, Query};
use serde_json::{Value, json};

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_reference(&mut cases);
    refuse_header(&mut cases);
    refuse_directory(&mut cases);
    refuse_records(&mut cases);
    refuse_tables(&mut cases);
    refuse_kinds(&mut cases);
    narrowing::refuse(&mut cases);
    accept(&mut cases);
    let counts: Vec<Value> = [1, 7, 8, 15, 16, 38, 39, 4095, 4096]
        .map(|records| json!({ "records": records, "buckets": bucket_count(records) }))
        .to_vec();
    json!({
        "about": "kind: the section that names the page. reference: what names the bytes, themselves if absent",
        "bucket_counts": counts,
        "questions": describe::questions(),
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
    refuse("cut in its narrowing count", &good[..21], "narrowing count", Fault::Truncated);
    refuse("cut in its directory", &good[..25], "directory", Fault::Truncated);
    refuse("cut in its records", &good[..89], "records", Fault::Truncated);
    refuse("cut in a binding", &good[..113], "binding", Fault::Truncated);
    refuse("cut in a permission set", &good[..good.len() - 1], "permission set", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse("another version", &[b"LKP1", &good[4..]].concat(), "magic", Fault::Magic);
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str| {
        refuse(name, &changed(Fields::keys(), change), at, Fault::OutOfRange);
    };
    refuse("another kind", &|page| page.kind = 3, "kind");
    refuse("an unknown kind", &|page| page.kind = 10, "kind");
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
    refuse("state 3", &|page| page.records[0].flags = 3, "record flags", Fault::OutOfRange);
    refuse("a key that is external", &|page| page.records[0].flags = 8, "record flags", Fault::OutOfRange);
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

/// What records of one kind have and those of another do not.
fn refuse_kinds(cases: &mut Cases) {
    let mut refuse = |name: &str, page: Fields, at: &str, fault| {
        cases.refuse(name, json!({ "kind": page.kind }), &page.bytes(), field("page", at, fault));
    };
    let mut out_of_range = |name: &str, mut page: Fields, change: &dyn Fn(&mut Fields), at: &str| {
        change(&mut page);
        refuse(name, page, at, Fault::OutOfRange);
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Fields), &'a str);
    let none: [Change<'_>; 7] = [
        ("a resource that expires", &|page| page.records[0].expiry = 0, "record flags"),
        ("a resource that is disabled", &|page| page.records[0].flags = 1, "record flags"),
        ("a resource that is out of budget", &|page| page.records[0].flags = 4, "record flags"),
        ("a resource with a role", &|page| page.bindings[0].role = 1, "binding role"),
        ("a resource with a permission set", &|page| page.bindings[1].set = 1, "binding permission set"),
        ("a resource with a narrowing", &|page| page.bindings[1].narrowing = 1, "binding narrowing"),
        ("a reference of an unknown role", &|page| page.bindings[1].role = 3, "binding role"),
    ];
    for (name, change, at) in none {
        out_of_range(name, Fields::resources(), change, at);
    }
    let members: [Change<'_>; 6] = [
        ("a membership that expires", &|page| page.records[0].expiry = 0, "record flags"),
        ("a membership that is external", &|page| page.records[0].flags = 8, "record flags"),
        ("a membership of a project", &|page| page.bindings[2].project = 1, "binding project"),
        ("a membership without a role", &|page| page.bindings[0].role = 0, "binding role"),
        ("a membership with a permission set", &|page| page.bindings[2].set = 1, "binding permission set"),
        ("a membership with a narrowing", &|page| page.bindings[2].narrowing = 1, "binding narrowing"),
    ];
    for (name, change, at) in members {
        out_of_range(name, Fields::members(), change, at);
    }
    let collaborators: [Change<'_>; 4] = [
        ("a collaborating member who expires", &|page| page.records[0].expiry = 0, "record flags"),
        ("a collaboration that is disabled", &|page| page.records[0].flags = 1, "record flags"),
        ("an external who is revoked", &|page| page.records[1].flags = 10, "record flags"),
        ("a collaboration without a role", &|page| page.bindings[0].role = 0, "binding role"),
    ];
    for (name, change, at) in collaborators {
        out_of_range(name, Fields::collaborators(), change, at);
    }
    let ended: [Change<'_>; 5] = [
        ("an ended session for ever", &|page| page.records[0].expiry = NEVER, "record flags"),
        ("an ended session that is revoked", &|page| page.records[0].flags = 2, "record flags"),
        ("an ended session of a project", &|page| page.bindings[0].project = 1, "binding project"),
        (
            "an ended session of an organization",
            &|page| page.bindings[0].organization = 1,
            "binding organization",
        ),
        ("an ended session with a role", &|page| page.bindings[0].role = 1, "binding role"),
    ];
    for (name, change, at) in ended {
        out_of_range(name, Fields::ended(), change, at);
    }
    let mut sets = Fields::resources();
    sets.sets.push(0);
    refuse("a page of resources with a permission set", sets, "permission sets", Fault::NotCanonical);
    let mut ids = Fields::imported();
    ids.ids.pop();
    refuse("an imported key without an id", ids, "key ids", Fault::Truncated);
    let mut ids = Fields::imported();
    ids.ids.push(1);
    refuse("an id too many", ids, "end", Fault::Trailing);
}

fn every_permission() -> Fields {
    let every = Permission::ALL.iter().copied().fold(PermissionSet::EMPTY, PermissionSet::with);
    let mut page = Fields::keys();
    page.sets[1] = every.bits();
    page
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
        ("a key with every permission that there is", every_permission()),
        ("the latest expiry there is", earliest(u32::MAX - (NEVER - 1))),
        ("the earliest expiry there is", earliest(0)),
        ("resources", Fields::resources()),
        ("project references", references),
        ("imported keys", Fields::imported()),
        ("members", Fields::members()),
        ("collaborators", Fields::collaborators()),
        ("ended sessions", Fields::ended()),
        ("narrowed keys", Fields::narrowed(narrowing::every())),
        ("a key narrowed to 64 of each", Fields::narrowed(vec![narrowing::widest()])),
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
    let found = page.find(&query).unwrap();
    let mut described = describe::entry(page, &found);
    if let Some(narrowing) = page.narrowing(&found) {
        described["allowed"] = describe::allowed(&narrowing);
    }
    described["tag"] = crate::case::hex(tag).into();
    described["bucket_hash"] = hash.into();
    described
}
