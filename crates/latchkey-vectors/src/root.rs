//! Vectors of the root, alone and after another.

use crate::case::{Cases, field, hex, reason};
use crate::describe;
use crate::sign::{
    self, bad_public_keys, bare, by_mixed, entry, id, mixed_public, mixed_r, public, seal, small_r,
    unreduced, with,
};
use latchkey_snapshot::signature::Domain;
use latchkey_snapshot::{Fault, Root};
use serde_json::{Value, json};

/// When roots here are issued, where nothing else is said.
pub(crate) const ISSUED: u64 = 1_800_000_000;
pub(crate) const INSTALLATION: [u8; 16] = [7; 16];
pub(crate) const OFFLINE: u8 = 1;
pub(crate) const RELEASE: u8 = 2;
pub(crate) const HEAD: u8 = 3;

/// A signing key by its seed.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) public: [u8; 32],
    pub(crate) role: u8,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

impl Key {
    pub(crate) fn new(seed: u8, role: u8) -> Self {
        Self { public: public(seed), role, not_before: 1_000_000_000, not_after: 3_000_000_000 }
    }
}

/// The fields of a root, free to hold nonsense.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) installation: [u8; 16],
    pub(crate) version: u32,
    pub(crate) issued: u64,
    pub(crate) thresholds: [u8; 3],
    pub(crate) keys: Vec<Key>,
}

impl Fields {
    /// Root 1: the keys 1 offline, 2 release, 3 head.
    pub(crate) fn first() -> Self {
        let keys = vec![Key::new(OFFLINE, 1), Key::new(RELEASE, 2), Key::new(HEAD, 3)];
        Self { installation: INSTALLATION, version: 1, issued: ISSUED, thresholds: [1; 3], keys }.sorted()
    }

    /// Root 2: another offline and another head key.
    fn second() -> Self {
        let keys = vec![Key::new(11, 1), Key::new(RELEASE, 2), Key::new(13, 3)];
        Self { version: 2, keys, ..Self::first() }.sorted()
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.keys.sort_by_key(|key| key.public);
        self
    }

    /// The key of this seed.
    pub(crate) fn key(&mut self, seed: u8) -> &mut Key {
        self.keys.iter_mut().find(|key| key.public == public(seed)).unwrap()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut bytes = b"LKR1".to_vec();
        bytes.extend(self.installation);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.issued.to_le_bytes());
        bytes.extend(self.thresholds);
        bytes.push(self.keys.len() as u8);
        for key in &self.keys {
            bytes.extend(key.public);
            bytes.push(key.role);
            bytes.extend(key.not_before.to_le_bytes());
            bytes.extend(key.not_after.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn signed(&self, seeds: &[u8]) -> Vec<u8> {
        seal(&self.body(), Domain::Root, seeds)
    }
}

fn changed(change: impl FnOnce(&mut Fields)) -> Fields {
    let mut fields = Fields::first();
    change(&mut fields);
    fields
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_form(&mut cases);
    refuse_keys(&mut cases);
    refuse_signature_block(&mut cases);
    refuse_own_signatures(&mut cases);
    refuse_successors(&mut cases);
    accept(&mut cases);
    json!({
        "about": "held: the root that the bytes should follow, null where the operator pins them",
        "held": held(),
        "successors": successors().iter().map(hex).collect::<Vec<_>>(),
        "in_a_row": in_a_row(),
        "cases": cases.into_value(),
    })
}

/// Roots one after the other, from the one that is pinned to one more than a reader follows in a row.
fn successors() -> Vec<Vec<u8>> {
    (1..=18).map(|version| Fields { version, ..Fields::first() }.signed(&[OFFLINE])).collect()
}

/// What becomes of a head that names a later root than the first of the successors.
fn in_a_row() -> Value {
    let refused = |name: &str, named: u32| json!({ "name": name, "named": named, "refused": reason("root", "too many") });
    let accepted = |name: &str, named: u32| json!({ "name": name, "named": named, "accepted": named });
    json!([
        refused("a head under the 17th successor", 18),
        accepted("a head under the root that is pinned", 1),
        accepted("a head under the first successor", 2),
        accepted("a head under the 16th successor", 17),
    ])
}

fn pinned() -> Value {
    json!({ "held": null })
}

fn refuse_form(cases: &mut Cases) {
    let good = Fields::first().signed(&[OFFLINE]);
    let mut refuse = |name: &str, bytes: &[u8], at: &str, fault| {
        cases.refuse(name, pinned(), bytes, field("root", at, fault));
    };
    refuse("empty", b"", "magic", Fault::Truncated);
    refuse("cut in its magic", &good[..3], "magic", Fault::Truncated);
    refuse("cut in its installation", &good[..19], "installation", Fault::Truncated);
    refuse("cut in a public key", &good[..60], "public key", Fault::Truncated);
    refuse("cut in a signature", &good[..good.len() - 1], "signatures", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    for magic in [b"LKR2", b"LKH1", b"lkr1"] {
        let body = [&magic[..], &Fields::first().body()[4..]].concat();
        let name = format!("magic {}", String::from_utf8_lossy(magic));
        refuse(&name, &seal(&body, Domain::Root, &[OFFLINE]), "magic", Fault::Magic);
    }
    let zero = changed(|root| root.version = 0).signed(&[OFFLINE]);
    refuse("version 0", &zero, "version", Fault::OutOfRange);
    cases.refuse("8,193 bytes", pinned(), &[0; 8193], reason("root", "too long"));
}

fn refuse_keys(cases: &mut Cases) {
    let mut refuse = |name: &str, fields: Fields, at: &str, fault| {
        cases.refuse(name, pinned(), &fields.signed(&[OFFLINE]), field("root", at, fault));
    };
    for thresholds in [[0, 1, 1], [1, 0, 1], [1, 1, 0], [2, 1, 1], [1, 2, 1], [1, 1, 2]] {
        let name = format!("thresholds {thresholds:?} over one key a role");
        refuse(&name, changed(|root| root.thresholds = thresholds), "thresholds", Fault::OutOfRange);
    }
    let nine = (100..109).map(|seed| Key::new(seed, 3));
    let nine = changed(|root| {
        root.keys.extend(nine);
        root.thresholds = [1, 1, 9];
    });
    refuse("a threshold above eight", nine.sorted(), "thresholds", Fault::OutOfRange);
    let many = changed(|root| root.keys.extend((100..130).map(|seed| Key::new(seed, 3)))).sorted();
    refuse("33 keys", many, "key count", Fault::OutOfRange);
    refuse("no keys", changed(|root| root.keys.clear()), "thresholds", Fault::OutOfRange);
    refuse("keys out of order", changed(|root| root.keys.swap(0, 1)), "keys", Fault::NotAscending);
    let twice = changed(|root| root.keys.push(Key::new(RELEASE, 3))).sorted();
    refuse("one key in two roles", twice, "keys", Fault::NotAscending);
    for role in [0, 4] {
        let fields = changed(|root| root.keys[0].role = role);
        refuse(&format!("key role {role}"), fields, "key role", Fault::OutOfRange);
    }
    for (why, bytes) in bad_public_keys() {
        let extra = Key { public: bytes, ..Key::new(9, 3) };
        let fields = changed(|root| root.keys.push(extra)).sorted();
        refuse(&format!("a public key that {why}"), fields, "public key", Fault::OutOfRange);
    }
    let backwards = changed(|root| root.keys[0].not_before = 3_000_000_001);
    refuse("a key valid until before it begins", backwards, "not after", Fault::OutOfRange);
}

fn refuse_signature_block(cases: &mut Cases) {
    let body = changed(|root| root.keys.push(Key::new(21, 1))).sorted().body();
    let mut refuse = |name: &str, bytes: Vec<u8>, fault| {
        cases.refuse(name, pinned(), &bytes, field("root", "signatures", fault));
    };
    let one = entry(OFFLINE, Domain::Root, &body);
    let mut both = [one, entry(21, Domain::Root, &body)];
    both.sort_unstable();
    refuse("no signatures", with(&body, &[]), Fault::OutOfRange);
    let strangers: Vec<u8> = (100..109).collect();
    refuse("nine signatures", seal(&body, Domain::Root, &strangers), Fault::OutOfRange);
    refuse("one signature twice", with(&body, &[one, one]), Fault::NotAscending);
    both.reverse();
    refuse("signatures out of order", with(&body, &both), Fault::NotAscending);
}

fn refuse_own_signatures(cases: &mut Cases) {
    let fields = Fields::first();
    let body = fields.body();
    let message = Domain::Root.message(&body);
    let good = entry(OFFLINE, Domain::Root, &body);
    let mut refuse = |name: &str, bytes: Vec<u8>| {
        cases.refuse(name, pinned(), &bytes, reason("root", "own signatures"));
    };
    refuse("signed by a stranger", fields.signed(&[99]));
    refuse("signed by the release and the head key", fields.signed(&[RELEASE, HEAD]));
    refuse(
        "signed by a stranger under the offline key's id",
        with(&body, &[(id(OFFLINE), sign::entry(99, Domain::Root, &body).1)]),
    );
    refuse("signed by the offline key under another's id", with(&body, &[(id(99), good.1)]));
    refuse("signed as a statement", with(&body, &[entry(OFFLINE, Domain::Statement, &body)]));
    refuse("signed as a head", with(&body, &[entry(OFFLINE, Domain::Head, &body)]));
    refuse("signed without a domain", with(&body, &[bare(OFFLINE, &body)]));
    refuse(
        "signed in a domain without its zero byte",
        with(&body, &[bare(OFFLINE, &[b"latchkey root v1", &body[..]].concat())]),
    );
    let mut flipped = with(&body, &[good]);
    flipped[24] ^= 1;
    refuse("another issued than was signed", flipped);
    refuse("a signature with an S that is not reduced", with(&body, &[unreduced(good)]));
    refuse("a signature with an R of small order", with(&body, &[small_r(OFFLINE, &message)]));
    refuse("a signature that only the cofactor makes valid", with(&body, &[mixed_r(OFFLINE, &message)]));
    refuse("a mixed key's signature that only the cofactor makes valid", by_mixed_key(false));
    refuse("a signature of zeros", with(&body, &[(id(OFFLINE), [0; 64])]));
    let late = changed(|root| root.key(OFFLINE).not_after = ISSUED - 1);
    refuse("issued a second after its key's validity", late.signed(&[OFFLINE]));
    let early = changed(|root| root.key(OFFLINE).not_before = ISSUED + 1);
    refuse("issued a second before its key's validity", early.signed(&[OFFLINE]));
    let two = changed(|root| {
        root.keys.push(Key::new(21, 1));
        root.thresholds[0] = 2;
    });
    let two = two.sorted();
    refuse("one signature where two are needed", two.signed(&[OFFLINE]));
    refuse("a good and a stranger's signature where two are needed", two.signed(&[OFFLINE, 99]));
}

/// A root signed by an offline key that has a part of order 8.
fn by_mixed_key(without_cofactor: bool) -> Vec<u8> {
    let body = changed(|root| root.key(OFFLINE).public = mixed_public(OFFLINE)).sorted().body();
    let entry = by_mixed(OFFLINE, &Domain::Root.message(&body), without_cofactor);
    with(&body, &[entry])
}

/// The roots that successors are held against.
fn held() -> Value {
    let strict = changed(|root| {
        root.keys.push(Key::new(21, 1));
        root.thresholds[0] = 2;
    });
    let narrow = changed(|root| root.key(OFFLINE).not_after = ISSUED);
    json!({
        "first": hex(Fields::first().signed(&[OFFLINE])),
        "second": hex(Fields::second().signed(&[OFFLINE, 11])),
        "two of two": hex(strict.sorted().signed(&[OFFLINE, 21])),
        "valid until issued": hex(narrow.signed(&[OFFLINE])),
        "last version": hex(changed(|root| root.version = u32::MAX).signed(&[OFFLINE])),
    })
}

fn refuse_successors(cases: &mut Cases) {
    let second = Fields::second();
    let mut refuse = |name: &str, held: &str, fields: &Fields, seeds: &[u8], why: &str| {
        cases.refuse(name, json!({ "held": held }), &fields.signed(seeds), reason("root", why));
    };
    refuse("signed by the old key alone", "first", &second, &[OFFLINE], "own signatures");
    refuse("signed by the new key alone", "first", &second, &[11], "predecessor signatures");
    refuse("signed by online keys", "first", &second, &[RELEASE, HEAD, 11], "predecessor signatures");
    refuse("one of two old keys", "two of two", &second, &[OFFLINE, 11], "predecessor signatures");
    let later = Fields { issued: ISSUED + 1, ..second.clone() };
    refuse(
        "the old key no more valid",
        "valid until issued",
        &later,
        &[OFFLINE, 11],
        "predecessor signatures",
    );
    for version in [1, 3, u32::MAX] {
        let fields = Fields { version, ..second.clone() };
        refuse(&format!("version {version} after 1"), "first", &fields, &[OFFLINE, 11], "version");
    }
    refuse("the held root once more", "second", &second, &[OFFLINE, 11], "version");
    refuse("nothing follows the last version", "last version", &second, &[OFFLINE, 11], "version");
    let early = Fields { issued: ISSUED - 1, ..second.clone() };
    refuse("issued a second before the held root", "first", &early, &[OFFLINE, 11], "issued");
    let foreign = Fields { installation: [8; 16], ..second.clone() };
    refuse("another installation", "first", &foreign, &[OFFLINE, 11], "installation");
    let after_first = json!({ "held": "first" });
    cases.refuse("8,193 bytes after the first", after_first, &[0; 8193], reason("root", "too long"));
}

fn accept(cases: &mut Cases) {
    let mut accept = |name: &str, held: Option<(&str, &Fields, &[u8])>, fields: &Fields, seeds: &[u8]| {
        let bytes = fields.signed(seeds);
        let root = match held {
            None => Root::pinned(&bytes),
            Some((_, held, seeds)) => Root::pinned(&held.signed(seeds)).unwrap().successor(&bytes),
        };
        let extra = json!({ "held": held.map(|(name, ..)| name) });
        cases.accept(name, extra, &bytes, describe::root(&root.unwrap()));
    };
    let first = Fields::first();
    accept("the first root", None, &first, &[OFFLINE]);
    accept("a stranger's signature beside counts for nothing", None, &first, &[OFFLINE, 99]);
    let exact =
        changed(|root| (root.key(OFFLINE).not_before, root.key(OFFLINE).not_after) = (ISSUED, ISSUED));
    accept("issued in the one second of its key's validity", None, &exact, &[OFFLINE]);
    let two = changed(|root| {
        root.keys.extend([Key::new(21, 1), Key::new(22, 1), Key::new(23, 2)]);
        root.thresholds = [2, 2, 1];
    });
    accept("two of three offline keys", None, &two.sorted(), &[21, 22]);
    let second = Fields::second();
    let by_first = ("first", &first, &[OFFLINE][..]);
    accept("the second root after the first", Some(by_first), &second, &[OFFLINE, 11]);
    let third = Fields { version: 3, ..Fields::second() };
    let by_second = ("second", &second, &[OFFLINE, 11][..]);
    accept("the third root after the second", Some(by_second), &third, &[11]);
    let by_mixed = by_mixed_key(true);
    let said = describe::root(&Root::pinned(&by_mixed).unwrap());
    cases.accept("a mixed key's signature that is valid without the cofactor", pinned(), &by_mixed, said);
}
