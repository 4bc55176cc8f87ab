//! Vectors of where nodes and pages stand: each is read well alone, and is what those above it say of it, or not.

use crate::case::{hex, reason};
use crate::lookup::{PEPPER, key_record};
use crate::root::INSTALLATION;
use latchkey_core::key::Prefix;
use latchkey_core::{Generation, Pepper};
use latchkey_snapshot::build::{Content, Edition};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{Installation, Kind, ObjectRef};
use serde_json::{Value, json};

/// A page, where it begins, and how many records its node says that it has.
type Page<'a> = (u64, &'a [u8], u32);

/// The middle of all places.
const HALF: u64 = 1 << 63;

/// What a case reads.
#[derive(Default)]
struct Case {
    sections: Vec<u8>,
    count: u8,
    objects: Vec<Vec<u8>>,
}

impl Case {
    /// One more section: the records that the manifest says, and each node with the place that it says.
    fn section(mut self, kind: Kind, records: u64, nodes: &[(u64, &[Page<'_>])]) -> Self {
        self.count += 1;
        self.sections.push(kind as u8);
        self.sections.extend(records.to_le_bytes());
        self.sections.extend((nodes.len() as u16).to_le_bytes());
        for (first_place, pages) in nodes {
            let node = node(kind, pages);
            self.sections.extend(first_place.to_le_bytes());
            name(&mut self.sections, &node);
            self.objects.push(node);
            for (_, page, _) in *pages {
                if !self.objects.iter().any(|object| object == page) {
                    self.objects.push(page.to_vec());
                }
            }
        }
        self
    }

    fn manifest(&self) -> Vec<u8> {
        let mut bytes = b"LKM4".to_vec();
        bytes.extend(INSTALLATION);
        bytes.extend(5u64.to_le_bytes());
        bytes.extend(Pepper::new(PEPPER).id());
        bytes.extend(900u32.to_le_bytes());
        bytes.extend([2, 0, b'l', b'k', self.count]);
        bytes.extend(&self.sections);
        // No exceptions, session keys, edge keys, canaries, cross-origin requests and rules.
        bytes.extend([0; 7]);
        bytes
    }

    fn told(&self, name: &str) -> Value {
        let objects: Vec<Value> = self.objects.iter().map(|object| hex(object).into()).collect();
        json!({ "name": name, "manifest": hex(self.manifest()), "objects": objects })
    }
}

/// The length and the digest of an object.
fn name(bytes: &mut Vec<u8>, object: &[u8]) {
    bytes.extend((object.len() as u32).to_le_bytes());
    bytes.extend(ObjectRef::to(object).digest().0);
}

fn node(kind: Kind, pages: &[Page<'_>]) -> Vec<u8> {
    let mut bytes = b"LKN2".to_vec();
    bytes.push(kind as u8);
    bytes.extend((pages.len() as u16).to_le_bytes());
    for (first_place, page, records) in pages {
        bytes.extend(first_place.to_le_bytes());
        bytes.extend((page.len() as u32).to_le_bytes());
        bytes.extend(records.to_le_bytes());
        bytes.extend(ObjectRef::to(page).digest().0);
    }
    bytes
}

/// The one page of so many native keys.
fn keys(count: u32) -> Vec<u8> {
    let mut content = Content::new(Pepper::new(PEPPER));
    content.load((0..count).map(key_record));
    let edition = Edition {
        installation: Installation(INSTALLATION),
        generation: Generation(5),
        pepper_id: content.pepper_id(),
        grace_secs: 900,
        prefix: Prefix::parse("lk").unwrap(),
        exceptions: &Exceptions::default(),
        session_keys: &[],
        edge_keys: &[],
        canaries: &[],
        cors: None,
        rules: &[],
    };
    let built = content.build(&edition).unwrap();
    built.objects.iter().find(|object| object.bytes.starts_with(b"LKP2")).unwrap().bytes.to_vec()
}

/// A page of the names of so many organizations.
fn names(count: u32) -> Vec<u8> {
    let mut bytes = b"LKT1\x06".to_vec();
    bytes.extend(count.to_le_bytes());
    for number in 0..count {
        bytes.extend(number.to_le_bytes());
        bytes.extend([b'0'; 16]);
        bytes.extend([1, 0, b'o']);
    }
    bytes
}

pub(crate) fn vectors() -> Value {
    let mut cases = Vec::new();
    refuse(&mut cases);
    accept(&mut cases);
    json!({
        "about": "a case is a manifest, and its nodes and pages, of which each is read well alone. accepted: how many of \
                  them there are, and records",
        "cases": cases,
    })
}

fn refuse(cases: &mut Vec<Value>) {
    let (two, three, named) = (keys(2), keys(3), names(2));
    let mut refuse = |name: &str, case: Case, (object, why): (&str, &str)| {
        let mut told = case.told(name);
        told["refused"] = reason(object, why);
        cases.push(told);
    };
    let key = Kind::NativeKey;
    let out_of_place = ("node", "place");
    let one = |place, page| Case::default().section(key, 2, &[(place, &[page])]);
    refuse("a node that begins above its place", one(0, (1, &two, 2)), out_of_place);
    refuse("a node that begins below its place", one(HALF, (0, &two, 2)), out_of_place);
    for (name, last) in [
        ("a node whose last page begins where the next node does", HALF),
        ("a node whose last page begins beyond the next node's first", HALF + 1),
    ] {
        let nodes: [(u64, &[Page<'_>]); 2] =
            [(0, &[(0, &two, 2), (last, &three, 3)]), (HALF, &[(HALF, &three, 3)])];
        refuse(name, Case::default().section(key, 8, &nodes), out_of_place);
    }
    let nodes: [(u64, &[Page<'_>]); 2] = [(0, &[(0, &two, 2)]), (HALF, &[(HALF - 1, &three, 3)])];
    refuse("a second node out of its place", Case::default().section(key, 5, &nodes), out_of_place);
    let organizations = Kind::OrganizationNames;
    let case = Case::default().section(organizations, 2, &[(0, &[(1 << 32, &named, 2)])]);
    refuse("a node of names out of its place", case, out_of_place);

    for (name, said) in [
        ("a page with fewer records than its node says", 3),
        ("a page with more records than its node says", 1),
    ] {
        let case = Case::default().section(key, said.into(), &[(0, &[(0, &two, said)])]);
        refuse(name, case, ("page", "records"));
    }
    for (name, said) in [
        ("a page of names with fewer entries than its node says", 3),
        ("a page of names with more entries than its node says", 1),
    ] {
        let case = Case::default().section(organizations, said.into(), &[(0, &[(0, &named, said)])]);
        refuse(name, case, ("names", "records"));
    }

    let nodes: [(u64, &[Page<'_>]); 2] = [(0, &[(0, &two, 2)]), (HALF, &[(HALF, &three, 3)])];
    let wrong = ("manifest", "section records");
    for (name, said) in [
        ("a section with more records than its nodes name", 6),
        ("a section with fewer records than its nodes name", 4),
        ("a section with as many records as its first node names", 2),
    ] {
        refuse(name, Case::default().section(key, said, &nodes), wrong);
    }
    let case = Case::default().section(organizations, 3, &[(0, &[(0, &named, 2)])]);
    refuse("a section of names with more entries than its node names", case, wrong);
}

fn accept(cases: &mut Vec<Value>) {
    let (two, three, named) = (keys(2), keys(3), names(2));
    let mut accept = |name: &str, case: Case, nodes: usize, pages: usize, records: u64| {
        let mut told = case.told(name);
        told["accepted"] = json!({ "nodes": nodes, "pages": pages, "records": records });
        cases.push(told);
    };
    accept("nothing", Case::default(), 0, 0, 0);
    let key = Kind::NativeKey;
    accept("one page", Case::default().section(key, 2, &[(0, &[(0, &two, 2)])]), 1, 1, 2);
    accept("places that begin above 0", Case::default().section(key, 2, &[(7, &[(7, &two, 2)])]), 1, 1, 2);
    let nodes: [(u64, &[Page<'_>]); 2] =
        [(0, &[(0, &two, 2), (HALF - 1, &three, 3)]), (HALF, &[(HALF, &three, 3), (u64::MAX, &two, 2)])];
    accept("a last page right below the next node", Case::default().section(key, 10, &nodes), 2, 4, 10);
    let both = Case::default().section(key, 3, &[(0, &[(0, &three, 3)])]).section(
        Kind::OrganizationNames,
        2,
        &[(0, &[(0, &named, 2)])],
    );
    accept("keys and names", both, 2, 2, 5);
}
