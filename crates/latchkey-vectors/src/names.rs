//! Vectors of the pages of names.

use crate::case::{Cases, field, reason};
use crate::describe;
use latchkey_snapshot::{Fault, Kind, Names, ObjectRef};
use serde_json::{Value, json};

const PROJECTS: Kind = Kind::ProjectNames;
const ORGANIZATIONS: Kind = Kind::OrganizationNames;
pub(crate) const ID: &[u8; 16] = b"0123456789ABCDEF";

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

pub(crate) fn project(number: u32, id: &[u8; 16], slug: &[u8], name: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], &7u32.to_le_bytes(), id, &text(slug), &text(name)].concat()
}

fn organization(number: u32, name: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], ID, &text(name)].concat()
}

fn page(kind: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    [b"LKT1", &[kind][..], &(entries.len() as u32).to_le_bytes(), &entries.concat()].concat()
}

/// A page of projects.
pub(crate) fn projects(entries: &[Vec<u8>]) -> Vec<u8> {
    page(PROJECTS as u8, entries)
}

/// A page of organizations with these numbers.
pub(crate) fn organizations(numbers: &[u32]) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = numbers.iter().map(|number| organization(*number, b"o")).collect();
    page(ORGANIZATIONS as u8, &entries)
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_form(&mut cases);
    refuse_texts(&mut cases);
    accept(&mut cases);
    json!({
        "about": "kind: the section that names the page. reference: what names the bytes, themselves if absent",
        "cases": cases.into_value(),
    })
}

fn refuse_form(cases: &mut Cases) {
    let alpha = project(1, ID, b"alpha", b"Alpha");
    let good = projects(std::slice::from_ref(&alpha));
    let other = json!({ "kind": 5, "reference": describe::reference(&ObjectRef::to(b"other")) });
    cases.refuse("other bytes than named", other, &good, reason("names", "length"));
    let mut refuse = |name: &str, kind: Kind, bytes: &[u8], at: &str, fault| {
        cases.refuse(name, json!({ "kind": kind as u8 }), bytes, field("names", at, fault));
    };
    refuse("cut in its count", PROJECTS, &good[..8], "count", Fault::Truncated);
    refuse("cut in an id", PROJECTS, &good[..20], "id", Fault::Truncated);
    refuse("cut in a name", PROJECTS, &good[..good.len() - 1], "name", Fault::Truncated);
    refuse("a byte behind the end", PROJECTS, &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse("another magic", PROJECTS, &[b"LKT2", &good[4..]].concat(), "magic", Fault::Magic);
    refuse("projects for organizations", ORGANIZATIONS, &good, "kind", Fault::OutOfRange);
    refuse(
        "a kind of records",
        Kind::NativeKey,
        &page(1, std::slice::from_ref(&alpha)),
        "kind",
        Fault::OutOfRange,
    );
    refuse("no entries", PROJECTS, &projects(&[]), "count", Fault::OutOfRange);
    let mut many = good.clone();
    many[5..9].copy_from_slice(&513u32.to_le_bytes());
    refuse("513 entries", PROJECTS, &many, "count", Fault::OutOfRange);
    refuse(
        "one number twice",
        PROJECTS,
        &projects(&[alpha.clone(), alpha.clone()]),
        "number",
        Fault::NotAscending,
    );
    let zero = project(0, ID, b"zero", b"Zero");
    refuse("numbers out of order", PROJECTS, &projects(&[alpha, zero]), "number", Fault::NotAscending);
}

fn refuse_texts(cases: &mut Cases) {
    let mut refuse = |name: &str, entry: Vec<u8>, at: &str, fault| {
        cases.refuse(name, json!({ "kind": 5 }), &projects(&[entry]), field("names", at, fault));
    };
    refuse("an id with `_`", project(1, b"0123456789ABCDE_", b"alpha", b"A"), "id", Fault::OutOfRange);
    refuse("an id that is no text", project(1, &[0xff; 16], b"alpha", b"A"), "id", Fault::OutOfRange);
    for (name, slug) in [
        ("an empty slug", &b""[..]),
        ("a slug of two", b"ab"),
        ("a slug of 64", &[b'a'; 64]),
        ("a slug in capitals", b"Alpha"),
        ("a slug with `_`", b"al_pha"),
        ("a slug that begins with `-`", b"-alpha"),
        ("a slug that ends with `-`", b"alpha-"),
    ] {
        refuse(name, project(1, ID, slug, b"A"), "slug", Fault::OutOfRange);
    }
    refuse("a slug that is not UTF-8", project(1, ID, b"al\xffa", b"A"), "slug", Fault::NotUtf8);
    for (name, text) in [
        ("an empty name", &b""[..]),
        ("a name of 201 bytes", &[b'n'; 201]),
        ("a name with a line feed", b"two\nlines"),
        ("a name with U+007F", b"del\x7f"),
        ("a name with U+0085", "next\u{85}line".as_bytes()),
    ] {
        refuse(name, project(1, ID, b"alpha", text), "name", Fault::OutOfRange);
    }
    for (name, text) in [
        ("a name that is not UTF-8", &b"caf\xe9"[..]),
        ("a name with an overlong encoding", b"\xc1\x81"),
        ("a name with a surrogate", b"\xed\xa0\x80"),
    ] {
        refuse(name, project(1, ID, b"alpha", text), "name", Fault::NotUtf8);
    }
}

fn accept(cases: &mut Cases) {
    let longest = [b'n'; 200];
    let two = [project(0, ID, b"abc", b"A"), project(u32::MAX, ID, &[b'a'; 63], &longest)];
    let organizations = [organization(256, "Ørsted & co".as_bytes()), organization(65_536, b" ")];
    for (name, kind, entries) in [
        ("one project", PROJECTS, &[project(1, ID, b"a-1", b"Alpha")][..]),
        ("the shortest and the longest", PROJECTS, &two),
        ("organizations", ORGANIZATIONS, &organizations),
    ] {
        let bytes = page(kind as u8, entries);
        let names = Names::parse(kind, &ObjectRef::to(&bytes), &bytes).unwrap();
        cases.accept(name, json!({ "kind": kind as u8 }), &bytes, describe::names(&names));
    }
}
