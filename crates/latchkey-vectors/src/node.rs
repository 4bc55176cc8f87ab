//! Vectors of the index node.

use crate::case::{Cases, field, reason};
use crate::describe;
use latchkey_snapshot::{Fault, Kind, Node, ObjectRef};
use serde_json::{Value, json};

type Page = (u64, u32, u32, [u8; 32]);

fn bytes(kind: u8, pages: &[Page]) -> Vec<u8> {
    let mut bytes = b"LKN2".to_vec();
    bytes.push(kind);
    bytes.extend((pages.len() as u16).to_le_bytes());
    for (first_place, len, records, digest) in pages {
        bytes.extend(first_place.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(records.to_le_bytes());
        bytes.extend(digest);
    }
    bytes
}

fn keys() -> Value {
    json!({ "kind": Kind::NativeKey as u8 })
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse(&mut cases);
    let full: Vec<Page> = (0..256).map(|at| (at << 56, 100, 4096, [at as u8; 32])).collect();
    for (name, kind, pages) in [
        ("one page from place 0", Kind::NativeKey, vec![(0, 156, 4, [1; 32])]),
        (
            "places that begin above 0",
            Kind::Resource,
            vec![(1, 1, 1, [1; 32]), (u64::MAX, 218_174, u32::MAX, [2; 32])],
        ),
        ("256 pages", Kind::OrganizationNames, full),
    ] {
        let bytes = bytes(kind as u8, &pages);
        let node = Node::parse(kind, &ObjectRef::to(&bytes), &bytes).unwrap();
        cases.accept(name, json!({ "kind": kind as u8 }), &bytes, describe::node(&node));
    }
    json!({
        "about": "kind: the section that names the node. reference: what names the bytes, themselves if absent",
        "cases": cases.into_value(),
    })
}

fn refuse(cases: &mut Cases) {
    let page: Page = (5, 156, 4, [1; 32]);
    let good = bytes(1, &[page]);
    let other = ObjectRef::to(&bytes(1, &[(6, 156, 4, [1; 32])]));
    let named = |reference: &ObjectRef| json!({ "kind": 1, "reference": describe::reference(reference) });
    cases.refuse("other bytes than named", named(&other), &good, reason("node", "digest"));
    cases.refuse(
        "fewer bytes than named",
        named(&ObjectRef::to(&good)),
        &good[..54],
        reason("node", "length"),
    );
    cases.refuse(
        "more bytes than named",
        named(&ObjectRef::to(&good)),
        &[&good[..], &[0]].concat(),
        reason("node", "length"),
    );
    let mut refuse = |name: &str, bytes: &[u8], at: &str, fault| {
        cases.refuse(name, keys(), bytes, field("node", at, fault));
    };
    refuse("cut in its page count", &good[..6], "page count", Fault::Truncated);
    refuse("cut in a digest", &good[..54], "page digest", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse("another magic", &[b"LKP2", &good[4..]].concat(), "magic", Fault::Magic);
    refuse("another version", &[b"LKN1", &good[4..]].concat(), "magic", Fault::Magic);
    refuse("another kind", &bytes(3, &[page]), "kind", Fault::OutOfRange);
    refuse("an unknown kind", &bytes(10, &[page]), "kind", Fault::OutOfRange);
    refuse("no pages", &bytes(1, &[]), "page count", Fault::OutOfRange);
    let mut many = good.clone();
    many[5..7].copy_from_slice(&257u16.to_le_bytes());
    refuse("257 pages", &many, "page count", Fault::OutOfRange);
    refuse("one first place twice", &bytes(1, &[page, page]), "first place", Fault::NotAscending);
    let before = (4, 156, 4, [2; 32]);
    refuse("first places out of order", &bytes(1, &[page, before]), "first place", Fault::NotAscending);
    refuse(
        "a page that is too long",
        &bytes(1, &[(5, 218_175, 4, [1; 32])]),
        "page length",
        Fault::OutOfRange,
    );
    refuse("an empty page", &bytes(1, &[(5, 0, 4, [1; 32])]), "page length", Fault::OutOfRange);
    refuse("a page without records", &bytes(1, &[(5, 156, 0, [1; 32])]), "record count", Fault::OutOfRange);
}
