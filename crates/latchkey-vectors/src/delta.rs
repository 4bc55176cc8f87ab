//! Vectors of the delta.

use crate::case::{Cases, field, reason};
use crate::describe;
use crate::manifest::write_exceptions;
use crate::names::{ID, organizations, project, projects};
use crate::page::fields::{Fields, changed};
use crate::root::INSTALLATION;
use latchkey_snapshot::{Delta, Fault, ObjectRef, Removals};
use serde_json::{Value, json};

const GONE: u8 = 0;
const REVOKED: u8 = 2;
const DISABLED: u8 = 3;

/// Length and digest of an object that is named.
type Reference = (u32, [u8; 32]);

/// The parts of a delta, free to hold nonsense.
#[derive(Clone)]
struct Parts {
    base: Reference,
    from: u64,
    generation: u64,
    parent: Reference,
    begun: Vec<(u8, Vec<u32>)>,
    /// Kind, reason, tag.
    removals: Vec<(u8, u8, [u8; 10])>,
    ended: Vec<(u8, Vec<u32>)>,
    pages: Vec<Page>,
}

#[derive(Clone)]
struct Page {
    kind: u8,
    first_place: u64,
    bytes: Vec<u8>,
}

fn page(kind: u8, first_place: u64, bytes: Vec<u8>) -> Page {
    Page { kind, first_place, bytes }
}

impl Parts {
    fn smallest() -> Self {
        Self {
            base: (1234, *blake3::hash(b"a manifest").as_bytes()),
            from: 5,
            generation: 6,
            parent: (0, [0; 32]),
            begun: vec![],
            removals: vec![],
            ended: vec![],
            pages: vec![],
        }
    }

    /// Four keys, of which 2 is disabled and 3 revoked; all else that a delta can say.
    fn full() -> Self {
        Self {
            parent: (4321, *blake3::hash(b"a delta").as_bytes()),
            begun: vec![(1, vec![3]), (5, vec![0, 256])],
            removals: vec![
                (1, DISABLED, [2; 10]),
                (1, REVOKED, [3; 10]),
                (1, GONE, [5; 10]),
                (3, GONE, [1; 10]),
                (9, GONE, [0xff; 10]),
            ],
            ended: vec![(1, vec![4]), (2, vec![3, 9])],
            pages: vec![
                page(1, 1 << 63, Fields::keys().bytes()),
                page(2, 0, Fields::imported().bytes()),
                page(5, 1 << 32, projects(&[project(1, ID, b"alpha", b"Alpha")])),
                page(6, 0, organizations(&[7])),
                page(6, 256 << 32, organizations(&[256, 257])),
                page(8, u64::MAX, Fields::collaborators().bytes()),
            ],
            ..Self::smallest()
        }
    }

    /// What begins and ends, and what is removed of other kinds than keys.
    fn refusals() -> Self {
        Self { removals: vec![(3, GONE, [1; 10]), (7, GONE, [1; 10])], ..Self::smallest() }
    }

    /// The four keys alone.
    fn keys() -> Self {
        let mut parts = Self::full();
        parts.pages.truncate(1);
        parts.removals.truncate(2);
        Self { pages: parts.pages, removals: parts.removals, ..Self::smallest() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"LKD3".to_vec();
        bytes.extend(INSTALLATION);
        bytes.extend(0x0123_4567_89ab_cdefu64.to_be_bytes());
        reference(&mut bytes, &self.base);
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        reference(&mut bytes, &self.parent);
        write_exceptions(&mut bytes, &self.begun);
        bytes.extend((self.removals.len() as u32).to_le_bytes());
        for (kind, reason, tag) in &self.removals {
            bytes.extend([*kind, *reason]);
            bytes.extend(tag);
        }
        write_exceptions(&mut bytes, &self.ended);
        bytes.extend((self.pages.len() as u16).to_le_bytes());
        for page in &self.pages {
            bytes.push(page.kind);
            bytes.extend(page.first_place.to_le_bytes());
            bytes.extend((page.bytes.len() as u32).to_le_bytes());
            bytes.extend(&page.bytes);
        }
        bytes
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        change(&mut self);
        self.bytes()
    }
}

fn reference(bytes: &mut Vec<u8>, (len, digest): &Reference) {
    bytes.extend(len.to_le_bytes());
    bytes.extend(digest);
}

/// What the removals of these bytes say alone; nothing if they are refused as well.
fn alone(reference: &ObjectRef, bytes: &[u8]) -> Value {
    Removals::parse(reference, bytes).map_or(Value::Null, |removals| describe::removals(&removals))
}

fn read_alone(bytes: &[u8]) -> Value {
    json!({ "alone": alone(&ObjectRef::to(bytes), bytes) })
}

fn refuse(cases: &mut Cases, name: &str, bytes: &[u8], (object, at): (&str, &str), fault: Fault) {
    cases.refuse(name, read_alone(bytes), bytes, field(object, at, fault));
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_form(&mut cases);
    refuse_header(&mut cases);
    refuse_exceptions(&mut cases);
    refuse_removals(&mut cases);
    refuse_pages(&mut cases);
    refuse_names(&mut cases);
    refuse_disagreement(&mut cases);
    accept(&mut cases);
    json!({
        "about": "reference: what names the bytes, themselves if absent. alone: what the removals say, read alone; \
                  null where they are refused, too",
        "cases": cases.into_value(),
    })
}

fn refuse_form(cases: &mut Cases) {
    let good = Parts::refusals().bytes();
    let named = json!({ "reference": describe::reference(&ObjectRef::to(&good)), "alone": null });
    let mut flipped = good.clone();
    flipped[72] ^= 1;
    cases.refuse("other bytes than named", named.clone(), &flipped, reason("delta", "digest"));
    let shorter = &good[..good.len() - 1];
    cases.refuse("fewer bytes than named", named, shorter, reason("delta", "length"));
    let mut refuse = |name: &str, bytes: &[u8], at, fault| refuse(cases, name, bytes, ("delta", at), fault);
    refuse("cut in its base", &good[..63], "base", Fault::Truncated);
    refuse("cut in its parent", &good[..115], "parent", Fault::Truncated);
    refuse("cut in its removals", &good[..144], "removals", Fault::Truncated);
    refuse("cut behind its removals", &good[..145], "exception class count", Fault::Truncated);
    refuse("cut in its page count", shorter, "page count", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse("another version", &[b"LKD2", &good[4..]].concat(), "magic", Fault::Magic);
    refuse("a manifest", &[b"LKM4", &good[4..]].concat(), "magic", Fault::Magic);
    let mut long = good.clone();
    long.resize((1 << 20) + 1, 0);
    refuse("a byte more than 1 MiB", &long, "end", Fault::OutOfRange);
}

fn refuse_header(cases: &mut Cases) {
    let mut refuse = |name: &str, change: &dyn Fn(&mut Parts), at| {
        refuse(cases, name, &Parts::smallest().with(change), ("delta", at), Fault::OutOfRange);
    };
    refuse("an empty base", &|parts| parts.base.0 = 0, "base");
    refuse("a base of more than 4 MiB", &|parts| parts.base.0 = (4 << 20) + 1, "base");
    refuse("no generation above from", &|parts| parts.generation = 5, "generation");
    refuse("a generation below from", &|parts| parts.generation = 4, "generation");
    refuse(
        "nothing above the last generation",
        &|parts| (parts.from, parts.generation) = (u64::MAX, 0),
        "generation",
    );
    refuse("a parent of more than 1 MiB", &|parts| parts.parent = ((1 << 20) + 1, [1; 32]), "parent");
    refuse("a parent of a digest alone", &|parts| parts.parent = (0, [1; 32]), "parent");
}

fn refuse_exceptions(cases: &mut Cases) {
    type Exceptions<'a> = &'a [(u8, &'a [u32])];
    let owned =
        |list: Exceptions<'_>| list.iter().map(|(class, numbers)| (*class, numbers.to_vec())).collect();
    let lists: [(&str, Exceptions<'_>, &str, Fault); 6] = [
        ("six classes", &[(1, &[1][..]); 6], "exception class count", Fault::OutOfRange),
        ("class 6", &[(6, &[1])], "exception class", Fault::OutOfRange),
        ("one class twice", &[(1, &[1]), (1, &[2])], "exception class", Fault::NotAscending),
        ("a class without numbers", &[(1, &[])], "exception count", Fault::OutOfRange),
        ("one number twice", &[(1, &[1, 1])], "exceptions", Fault::NotAscending),
        ("numbers out of order", &[(1, &[256, 9])], "exceptions", Fault::NotAscending),
    ];
    for (name, list, at, fault) in lists {
        let begun = Parts::refusals().with(|parts| parts.begun = owned(list));
        refuse(cases, &format!("what begins: {name}"), &begun, ("delta", at), fault);
        let ended = Parts::refusals().with(|parts| parts.ended = owned(list));
        refuse(cases, &format!("what ends: {name}"), &ended, ("delta", at), fault);
    }
    let both = Parts::refusals().with(|parts| {
        parts.begun = vec![(1, vec![1]), (2, vec![1, 9])];
        parts.ended = vec![(2, vec![9]), (3, vec![1])];
    });
    refuse(cases, "an exception that begins and ends", &both, ("delta", "exceptions"), Fault::NotCanonical);
}

fn refuse_removals(cases: &mut Cases) {
    let mut refuse = |name: &str, removals: &[(u8, u8, [u8; 10])], at, fault| {
        let bytes = Parts::smallest().with(|parts| parts.removals = removals.to_vec());
        refuse(cases, name, &bytes, ("delta", at), fault);
    };
    for kind in [0, 5, 6, 10] {
        refuse(&format!("removal kind {kind}"), &[(kind, GONE, [1; 10])], "removal kind", Fault::OutOfRange);
    }
    for reason in [1, 4] {
        let name = format!("removal reason {reason}");
        refuse(&name, &[(1, reason, [1; 10])], "removal reason", Fault::OutOfRange);
    }
    for kind in [3, 4, 7, 8, 9] {
        let name = format!("removal kind {kind} that is revoked");
        refuse(&name, &[(kind, REVOKED, [1; 10])], "removal reason", Fault::OutOfRange);
    }
    refuse("a membership that is disabled", &[(7, DISABLED, [1; 10])], "removal reason", Fault::OutOfRange);
    let one = (3, GONE, [1; 10]);
    refuse("one removal twice", &[one, one], "removals", Fault::NotAscending);
    let both = [(1, GONE, [1; 10]), (1, REVOKED, [1; 10])];
    refuse("one removal for two reasons", &both, "removals", Fault::NotAscending);
    refuse("tags of removals out of order", &[(3, GONE, [2; 10]), one], "removals", Fault::NotAscending);
    refuse("kinds of removals out of order", &[one, (1, GONE, [2; 10])], "removals", Fault::NotAscending);
    let mut promised = Parts::refusals().bytes();
    promised[117..121].fill(0xff);
    self::refuse(cases, "more removals than there are", &promised, ("delta", "removals"), Fault::Truncated);
}

fn refuse_pages(cases: &mut Cases) {
    let resources = || page(3, 7, Fields::resources().bytes());
    let mut refuse_pages = |name: &str, pages: &[Page], at, fault| {
        let bytes = Parts::refusals().with(|parts| {
            parts.removals.truncate(0);
            parts.pages = pages.to_vec();
        });
        refuse(cases, name, &bytes, at, fault);
    };
    let (delta, inside) = (|at| ("delta", at), |at| ("page", at));
    for kind in [0, 10] {
        let name = format!("page kind {kind}");
        let pages = [Page { kind, ..resources() }];
        refuse_pages(&name, &pages, delta("page kind"), Fault::OutOfRange);
    }
    let twice = [resources(), resources()];
    refuse_pages("one page twice", &twice, delta("pages"), Fault::NotAscending);
    let back = [resources(), Page { first_place: 6, ..resources() }];
    refuse_pages("pages out of order", &back, delta("pages"), Fault::NotAscending);
    let kinds = [resources(), page(1, 8, Fields::keys().bytes())];
    refuse_pages("kinds of pages out of order", &kinds, delta("pages"), Fault::NotAscending);
    refuse_pages("an empty page", &[page(3, 7, vec![])], delta("page length"), Fault::OutOfRange);
    let other = [page(4, 7, Fields::resources().bytes())];
    refuse_pages("a page of another kind", &other, inside("kind"), Fault::OutOfRange);
    let names = [page(3, 7, organizations(&[1]))];
    refuse_pages("names for records", &names, inside("magic"), Fault::Magic);
    let records = [page(5, 7, Fields::resources().bytes())];
    refuse_pages("records for names", &records, ("names", "magic"), Fault::Magic);
    let longer = [page(3, 7, [Fields::resources().bytes(), vec![0]].concat())];
    refuse_pages("a byte behind a page", &longer, inside("end"), Fault::Trailing);
    let broken = changed(Fields::resources(), |page| page.records[0].flags = 1);
    refuse_pages("a page with a fault", &[page(3, 7, broken)], inside("record flags"), Fault::OutOfRange);
    let good = Parts::refusals().with(|parts| parts.pages = vec![Page { kind: 4, ..resources() }]);
    refuse(cases, "cut in a page", &good[..good.len() - 1], delta("page"), Fault::Truncated);
    for (name, kind, len) in
        [("a page of 218,175 bytes", 3, 218_175u32), ("a page of names of 149,002 bytes", 5, 149_002)]
    {
        let mut bytes = Parts::refusals().with(|parts| parts.pages = vec![page(kind, 7, vec![])]);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&len.to_le_bytes());
        refuse(cases, name, &bytes, delta("page length"), Fault::OutOfRange);
    }
}

fn refuse_names(cases: &mut Cases) {
    let mut refuse = |name: &str, pages: Vec<Page>| {
        let bytes = Parts::smallest().with(|parts| parts.pages = pages);
        refuse(cases, name, &bytes, ("delta", "page"), Fault::NotCanonical);
    };
    let two = || organizations(&[7, 9]);
    refuse("names below their page", vec![page(6, (7 << 32) + 1, two())]);
    refuse("names in the next page's place", vec![page(6, 0, two()), page(6, 9 << 32, organizations(&[10]))]);
    refuse("names far below their page", vec![page(6, 0, two()), page(6, 10 << 32, organizations(&[8]))]);
}

/// The removals and the pages do not say the same.
fn refuse_disagreement(cases: &mut Cases) {
    let mut refuse = |name: &str, change: &dyn Fn(&mut Parts)| {
        refuse(cases, name, &Parts::keys().with(change), ("delta", "removals"), Fault::NotCanonical);
    };
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|tag| [tag; 10]);
    refuse("a key that is gone and there", &|parts| parts.removals.insert(0, (1, GONE, first)));
    refuse("a disabled key that is gone", &|parts| parts.removals[0].1 = GONE);
    refuse("a revoked key without its removal", &|parts| parts.removals.truncate(1));
    refuse("a disabled key that is removed as revoked", &|parts| parts.removals[0].1 = REVOKED);
    refuse("a revoked key that is removed as disabled", &|parts| parts.removals[1] = (1, DISABLED, third));
    refuse("an active key that is removed as revoked", &|parts| parts.removals.push((1, REVOKED, fourth)));
    refuse("a revoked key that is in no page", &|parts| parts.removals.push((1, REVOKED, [5; 10])));
    refuse("a revoked key of another kind", &|parts| parts.removals.push((2, REVOKED, third)));
    refuse("a disabled key in two pages", &|parts| {
        let again = Page { first_place: u64::MAX, ..parts.pages[0].clone() };
        parts.pages.push(again);
    });
    refuse("two keys in two pages, and two in none", &|parts| {
        let again = Page { first_place: u64::MAX, ..parts.pages[0].clone() };
        parts.pages.push(again);
        parts.removals =
            vec![(1, DISABLED, second), (1, REVOKED, third), (1, DISABLED, [5; 10]), (1, REVOKED, [6; 10])];
    });
}

fn accept(cases: &mut Cases) {
    let widest = Parts {
        base: (4 << 20, [0xff; 32]),
        from: 0,
        generation: u64::MAX,
        parent: (1 << 20, [0; 32]),
        ..Parts::smallest()
    };
    let everything = Parts {
        begun: (1..=5).map(|class| (class, vec![0, u32::MAX])).collect(),
        ended: (1..=5).map(|class| (class, vec![1, 256])).collect(),
        ..Parts::smallest()
    };
    for (name, parts) in [
        ("nothing in it", Parts::smallest()),
        ("everything in it", Parts::full()),
        ("keys alone", Parts::keys()),
        ("removals alone", Parts::refusals()),
        ("every class begins and ends", everything),
        ("at its limits", widest),
    ] {
        let bytes = parts.bytes();
        let delta = Delta::parse(&ObjectRef::to(&bytes), &bytes).unwrap();
        cases.accept(name, json!({}), &bytes, describe::delta(&delta));
    }
}
