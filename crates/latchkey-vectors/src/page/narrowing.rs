//! Vectors of the narrowings in a page of keys.

use super::fields::{Fields, changed};
use crate::case::{Cases, field};
use latchkey_snapshot::Fault;
use serde_json::json;

/// The fields of a narrowing, free to hold nonsense.
#[derive(Clone, Default)]
struct Entry {
    rate: u32,
    family: u64,
    networks: Vec<Vec<u8>>,
    resources: Vec<Vec<u8>>,
    models: Vec<Vec<u8>>,
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.rate.to_le_bytes().to_vec();
        bytes.extend(self.family.to_le_bytes());
        for list in [&self.networks, &self.resources, &self.models] {
            bytes.push(list.len() as u8);
            bytes.extend(list.concat());
        }
        bytes
    }

    /// The bytes behind their length.
    fn framed(&self) -> Vec<u8> {
        framed(&self.bytes())
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

fn network(prefix_len: u8, address: &[u8]) -> Vec<u8> {
    let version = if address.len() == 4 { 4 } else { 6 };
    [&[prefix_len, version], address].concat()
}

/// An IPv6 address that begins with these bytes.
fn six(begin: &[u8]) -> Vec<u8> {
    let mut address = begin.to_vec();
    address.resize(16, 0);
    address
}

fn resource(resource: u8, matching: u8, text: &[u8]) -> Vec<u8> {
    [&[resource, matching], &framed(text)[..]].concat()
}

fn model(matching: u8, text: &[u8]) -> Vec<u8> {
    [&[matching], &framed(text)[..]].concat()
}

fn full() -> Entry {
    Entry {
        rate: 60,
        family: 0x9e37_0123_4567_89ab,
        networks: vec![
            network(8, &[10, 0, 0, 0]),
            network(32, &[192, 0, 2, 1]),
            network(32, &six(&[0x20, 0x01, 0x0d, 0xb8])),
        ],
        resources: vec![resource(4, 0, b"chat"), resource(6, 0, b"data.csv"), resource(6, 1, b"job-")],
        models: vec![model(0, b"meta/llama-3"), model(1, b"acme/")],
    }
}

/// One narrowing for each thing that can be narrowed, and one for all.
pub(super) fn every() -> Vec<Vec<u8>> {
    let full = full();
    let mut all: Vec<Vec<u8>> = [
        Entry { rate: u32::MAX, family: u64::MAX, ..Entry::default() },
        Entry { networks: full.networks.clone(), ..Entry::default() },
        Entry { networks: vec![network(0, &[0; 4])], ..Entry::default() },
        Entry { networks: vec![network(0, &[0; 16])], ..Entry::default() },
        Entry { resources: full.resources.clone(), ..Entry::default() },
        Entry { models: full.models.clone(), ..Entry::default() },
        full,
    ]
    .iter()
    .map(Entry::bytes)
    .collect();
    all.sort();
    all.iter().map(|bytes| framed(bytes)).collect()
}

/// As many of everything as there may be.
pub(super) fn widest() -> Vec<u8> {
    let at = |at: u8| [b'0' + at / 10, b'0' + at % 10];
    let mut entry = Entry {
        networks: (0..64).map(|number| network(32, &[192, 0, 2, number])).collect(),
        resources: (0..63).map(|number| resource(1, 0, &at(number))).collect(),
        models: (0..63).map(|number| model(0, &at(number))).collect(),
        ..Entry::default()
    };
    entry.resources.push(resource(1, 0, &[b'a'; 96]));
    entry.models.push(model(0, &[b'~'; 128]));
    entry.framed()
}

pub(super) fn refuse(cases: &mut Cases) {
    refuse_table(cases);
    refuse_form(cases);
    refuse_networks(cases);
    refuse_resources(cases);
    refuse_models(cases);
}

fn refuse_page(cases: &mut Cases, name: &str, bytes: &[u8], at: &str, fault: Fault) {
    cases.refuse(name, json!({ "kind": 1 }), bytes, field("page", at, fault));
}

fn refuse_table(cases: &mut Cases) {
    let good = Fields::narrowed(every());
    let mut refuse = |name: &str, change: &dyn Fn(&mut Fields), at: &str, fault| {
        refuse_page(cases, name, &changed(good.clone(), change), at, fault);
    };
    refuse(
        "a narrowing beyond the table",
        &|page| page.bindings[6].narrowing = 8,
        "binding narrowing",
        Fault::OutOfRange,
    );
    refuse(
        "a narrowing that nothing uses",
        &|page| page.bindings[0].narrowing = 0,
        "narrowings",
        Fault::NotCanonical,
    );
    refuse("narrowings out of order", &|page| page.narrowings.swap(0, 1), "narrowing", Fault::NotAscending);
    refuse(
        "one narrowing twice",
        &|page| page.narrowings[1] = page.narrowings[0].clone(),
        "narrowing",
        Fault::NotAscending,
    );
    let one = Fields::narrowed(vec![full().framed()]).bytes();
    let at = one.len() - full().framed().len();
    let mut refuse = |name: &str, bytes: &[u8], at: &str, fault| refuse_page(cases, name, bytes, at, fault);
    refuse("cut in a narrowing's length", &one[..at + 1], "narrowing length", Fault::Truncated);
    refuse("cut in a narrowing", &one[..one.len() - 1], "narrowing", Fault::Truncated);
}

/// A page of one key whose narrowing is these bytes.
fn refuse_bytes(cases: &mut Cases, name: &str, bytes: &[u8], at: &str, fault: Fault) {
    refuse_page(cases, name, &Fields::narrowed(vec![framed(bytes)]).bytes(), at, fault);
}

fn refuse_form(cases: &mut Cases) {
    let good = full().bytes();
    let mut refuse = |name: &str, bytes: &[u8], at: &str, fault| refuse_bytes(cases, name, bytes, at, fault);
    refuse("an empty narrowing", &[], "narrowing rate", Fault::Truncated);
    refuse("a narrowing without its last byte", &good[..good.len() - 1], "narrowing model", Fault::Truncated);
    refuse("a byte behind a narrowing", &[&good[..], &[0]].concat(), "narrowing", Fault::Trailing);
    refuse("a narrowing of nothing", &Entry::default().bytes(), "narrowing", Fault::NotCanonical);
    let unshared = Entry { family: 0, ..full() };
    refuse("a rate without a family", &unshared.bytes(), "narrowing family", Fault::OutOfRange);
    let unrated = Entry { rate: 0, ..full() };
    refuse("a family without a rate", &unrated.bytes(), "narrowing family", Fault::OutOfRange);
    let rated = Entry { rate: 1, family: 1, ..Entry::default() }.bytes();
    for (at, list) in ["network", "resource", "model"].into_iter().enumerate() {
        let mut many = rated.clone();
        many[12 + at] = 65;
        let count = format!("narrowing {list} count");
        refuse(&format!("65 {list}s"), &many, &count, Fault::OutOfRange);
    }
}

fn refuse_networks(cases: &mut Cases) {
    let mut refuse = |name: &str, networks: &[Vec<u8>], fault| {
        let entry = Entry { networks: networks.to_vec(), ..Entry::default() };
        refuse_bytes(cases, name, &entry.bytes(), "narrowing network", fault);
    };
    let (ten, eleven) = (network(8, &[10, 0, 0, 0]), network(8, &[11, 0, 0, 0]));
    let narrow = network(9, &[10, 0, 0, 0]);
    let wide_six = network(8, &six(&[0x20]));
    refuse("one network twice", &[ten.clone(), ten.clone()], Fault::NotAscending);
    refuse("networks out of order", &[eleven, ten.clone()], Fault::NotAscending);
    refuse("networks out of order in their length", &[narrow, ten.clone()], Fault::NotAscending);
    refuse("networks out of order in their version", &[wide_six, ten], Fault::NotAscending);
    refuse("a network of version 5", &[[&[8, 5][..], &[10, 0, 0, 0]].concat()], Fault::OutOfRange);
    refuse("a prefix length of 33", &[network(33, &[10, 0, 0, 0])], Fault::OutOfRange);
    refuse("a prefix length of 129", &[network(129, &six(&[0x20]))], Fault::OutOfRange);
    refuse("a bit behind the prefix length", &[network(8, &[10, 0x80, 0, 0])], Fault::OutOfRange);
    refuse("a bit behind no prefix", &[network(0, &six(&[0x80]))], Fault::OutOfRange);
    let mapped = [&[0; 10][..], &[0xff, 0xff, 10, 0, 0, 0]].concat();
    refuse("IPv4 written as IPv6", &[network(104, &mapped)], Fault::OutOfRange);
}

fn refuse_resources(cases: &mut Cases) {
    let mut refuse = |name: &str, resources: &[Vec<u8>], fault| {
        let entry = Entry { resources: resources.to_vec(), ..Entry::default() };
        refuse_bytes(cases, name, &entry.bytes(), "narrowing resource", fault);
    };
    let (a, b) = (resource(1, 0, b"a"), resource(1, 0, b"b"));
    refuse("one resource twice", &[a.clone(), a.clone()], Fault::NotAscending);
    refuse("resources out of order", &[b, a.clone()], Fault::NotAscending);
    let longer = resource(1, 0, b"aa");
    refuse("a resource behind its continuation", &[longer, a.clone()], Fault::NotAscending);
    refuse(
        "resources out of order in their matching",
        &[resource(1, 1, b"a"), a.clone()],
        Fault::NotAscending,
    );
    refuse("resources out of order in their type", &[resource(2, 0, b"a"), a], Fault::NotAscending);
    for (name, one) in [
        ("a resource of type 0", resource(0, 0, b"a")),
        ("a resource of type 7", resource(7, 0, b"a")),
        ("a resource matched by 2", resource(1, 2, b"a")),
        ("a resource of no characters", resource(1, 1, b"")),
        ("a resource of 97 characters", resource(1, 0, &[b'a'; 97])),
        ("a resource with a `/`", resource(1, 1, b"a/")),
        ("a resource of dots alone", resource(1, 1, b"..")),
    ] {
        refuse(name, &[one], Fault::OutOfRange);
    }
    refuse("a resource that is not UTF-8", &[resource(1, 0, b"a\xff")], Fault::NotUtf8);
}

fn refuse_models(cases: &mut Cases) {
    let mut refuse = |name: &str, models: &[Vec<u8>], fault| {
        let entry = Entry { models: models.to_vec(), ..Entry::default() };
        refuse_bytes(cases, name, &entry.bytes(), "narrowing model", fault);
    };
    let (a, b) = (model(0, b"a"), model(0, b"b"));
    refuse("one model twice", &[a.clone(), a.clone()], Fault::NotAscending);
    refuse("models out of order", &[b, a.clone()], Fault::NotAscending);
    refuse("models out of order in their matching", &[model(1, b"a"), a], Fault::NotAscending);
    for (name, one) in [
        ("a model matched by 2", model(2, b"a")),
        ("a model of no characters", model(0, b"")),
        ("a model of 129 characters", model(0, &[b'a'; 129])),
        ("a model with a space", model(0, b"a b")),
        ("a model with a quote", model(0, b"a\"")),
        ("a model with a backslash", model(0, b"a\\")),
        ("a model with a control character", model(0, b"a\x7f")),
        ("a model in other letters", model(0, "\u{e9}".as_bytes())),
    ] {
        refuse(name, &[one], Fault::OutOfRange);
    }
    refuse("a model that is not UTF-8", &[model(0, b"a\xff")], Fault::NotUtf8);
}
