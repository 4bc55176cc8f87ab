//! Vectors of the head and of the statement in it.

use crate::case::{Cases, field, hex, reason};
use crate::describe;
use crate::root::{Fields, HEAD, INSTALLATION, ISSUED, Key, OFFLINE, RELEASE};
use crate::sign::{bare, entry, seal, small_r, unreduced, with};
use latchkey_snapshot::signature::Domain;
use latchkey_snapshot::{Fault, Root, UnverifiedHead};
use serde_json::{Value, json};

const AS_OF: u64 = ISSUED * 1000 + 250;
const GENERATION: u64 = 5;

/// Where a statement's fields begin.
const USE_BY: usize = 36;
const MANIFEST: usize = 44;
const DELTA_TIP: usize = 80;
const PREVIOUS: usize = 116;

fn statement_body() -> Vec<u8> {
    let mut bytes = b"LKS3".to_vec();
    bytes.extend(INSTALLATION);
    bytes.extend(GENERATION.to_le_bytes());
    bytes.extend(ISSUED.to_le_bytes());
    bytes.extend((ISSUED + 3600).to_le_bytes());
    bytes.extend(1234u32.to_le_bytes());
    bytes.extend(blake3::hash(b"a manifest").as_bytes());
    bytes.extend([0; 36 + 80]);
    bytes.extend(12u64.to_le_bytes());
    bytes.extend([8; 32]);
    bytes
}

fn statement() -> Vec<u8> {
    seal(&statement_body(), Domain::Statement, &[RELEASE])
}

/// A statement with these bytes at `at`, signed as it should be.
fn statement_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut body = statement_body();
    body[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&body, Domain::Statement, &[RELEASE])
}

/// An inline revocation: generation, kind, reason, subject.
type Inline = (u64, u8, u8, [u8; 10]);

const PROJECT_9: [u8; 10] = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn head_body(root_version: u32, as_of: u64, statement: &[u8], inline: &[Inline]) -> Vec<u8> {
    let mut bytes = b"LKH1".to_vec();
    bytes.extend(root_version.to_le_bytes());
    bytes.extend(as_of.to_le_bytes());
    bytes.extend((statement.len() as u16).to_le_bytes());
    bytes.extend(statement);
    bytes.push(inline.len() as u8);
    for (generation, kind, reason, subject) in inline {
        bytes.extend(generation.to_le_bytes());
        bytes.extend([*kind, *reason]);
        bytes.extend(subject);
    }
    bytes
}

fn head_over(statement: &[u8], inline: &[Inline]) -> Vec<u8> {
    seal(&head_body(1, AS_OF, statement, inline), Domain::Head, &[HEAD])
}

/// Roots of version 1 under which heads are read.
fn roots() -> [(&'static str, Vec<u8>); 6] {
    let changed = |change: &dyn Fn(&mut Fields)| {
        let mut fields = Fields::first();
        change(&mut fields);
        fields.sorted().signed(&[OFFLINE])
    };
    [
        ("first", changed(&|_| {})),
        ("head key until its second", changed(&|root| root.key(HEAD).not_after = ISSUED)),
        ("release key until the second before", changed(&|root| root.key(RELEASE).not_after = ISSUED - 1)),
        ("release key until its second", changed(&|root| root.key(RELEASE).not_after = ISSUED)),
        ("release key from the second after", changed(&|root| root.key(RELEASE).not_before = ISSUED + 1)),
        (
            "two of each",
            changed(&|root| {
                root.keys.extend([Key::new(32, 2), Key::new(33, 3)]);
                root.thresholds = [1, 2, 2];
            }),
        ),
    ]
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_form(&mut cases);
    refuse_statement(&mut cases);
    refuse_inline(&mut cases);
    refuse_signature_blocks(&mut cases);
    refuse_signers(&mut cases);
    accept(&mut cases);
    let roots: serde_json::Map<String, Value> =
        roots().into_iter().map(|(name, bytes)| (name.to_owned(), hex(bytes).into())).collect();
    json!({
        "about": "root: the root that is held, of `roots`",
        "roots": roots,
        "cases": cases.into_value(),
    })
}

fn first() -> Value {
    json!({ "root": "first" })
}

fn refuse_form(cases: &mut Cases) {
    let good = head_over(&statement(), &[]);
    let mut refuse = |name: &str, bytes: &[u8], object: &str, at: &str, fault| {
        cases.refuse(name, first(), bytes, field(object, at, fault));
    };
    refuse("empty", b"", "head", "magic", Fault::Truncated);
    refuse("cut in as of", &good[..15], "head", "as of", Fault::Truncated);
    refuse("cut in its statement", &good[..200], "head", "statement", Fault::Truncated);
    refuse("cut in its signature", &good[..good.len() - 1], "head", "signatures", Fault::Truncated);
    refuse("a byte behind the end", &[&good[..], &[0]].concat(), "head", "end", Fault::Trailing);
    refuse("a root", &roots()[0].1, "head", "magic", Fault::Magic);
    let body = head_body(1, AS_OF, &statement(), &[]);
    let next_version = seal(&[b"LKH2", &body[4..]].concat(), Domain::Head, &[HEAD]);
    refuse("another version of the format", &next_version, "head", "magic", Fault::Magic);
    let resized = |by: i32| {
        let mut body = body.clone();
        let len = (statement().len() as i32 + by) as u16;
        body[16..18].copy_from_slice(&len.to_le_bytes());
        seal(&body, Domain::Head, &[HEAD])
    };
    refuse("a statement length one too small", &resized(-1), "statement", "signatures", Fault::Truncated);
    refuse("a statement length one too great", &resized(1), "statement", "end", Fault::Trailing);
    refuse("a statement length beyond the end", &resized(9000), "head", "statement", Fault::Truncated);
    cases.refuse("4,097 bytes", first(), &[0; 4097], reason("head", "too long"));
}

fn refuse_statement(cases: &mut Cases) {
    let mut refuse = |name: &str, statement: Vec<u8>, at: &str, fault| {
        cases.refuse(name, first(), &head_over(&statement, &[]), field("statement", at, fault));
    };
    refuse("an empty statement", vec![], "magic", Fault::Truncated);
    refuse("a statement with another magic", statement_with(0, b"LKS1"), "magic", Fault::Magic);
    refuse("use by at issued", statement_with(USE_BY, &ISSUED.to_le_bytes()), "use by", Fault::OutOfRange);
    refuse("use by before issued", statement_with(USE_BY, &1u64.to_le_bytes()), "use by", Fault::OutOfRange);
    let too_late = (ISSUED + 86_401).to_le_bytes();
    refuse(
        "use by more than a day after issued",
        statement_with(USE_BY, &too_late),
        "use by",
        Fault::OutOfRange,
    );
    let too_long = ((4u32 << 20) + 1).to_le_bytes();
    refuse(
        "a manifest of more than 4 MiB",
        statement_with(MANIFEST, &too_long),
        "manifest",
        Fault::OutOfRange,
    );
    refuse("an empty manifest", statement_with(MANIFEST, &[0; 4]), "manifest", Fault::OutOfRange);
    let too_long = ((1u32 << 20) + 1).to_le_bytes();
    refuse(
        "a delta tip of more than 1 MiB",
        statement_with(DELTA_TIP, &too_long),
        "delta tip",
        Fault::OutOfRange,
    );
    refuse(
        "a delta tip of a digest alone",
        statement_with(DELTA_TIP + 35, &[1]),
        "delta tip",
        Fault::OutOfRange,
    );
    let good = previous(1234, b"another manifest", 1 << 20, ISSUED + 600);
    let mut refuse = |name: &str, change: &dyn Fn(&mut [u8]), at: &str, fault| {
        let mut bytes = good.clone();
        change(&mut bytes);
        refuse(name, statement_with(PREVIOUS, &bytes), at, fault);
    };
    refuse("a previous digest alone", &|bytes| bytes[..4].fill(0), "previous manifest", Fault::OutOfRange);
    refuse(
        "a previous manifest of more than 4 MiB",
        &|bytes| bytes[..4].copy_from_slice(&((4u32 << 20) + 1).to_le_bytes()),
        "previous manifest",
        Fault::OutOfRange,
    );
    let same = previous(1234, b"a manifest", 1 << 20, ISSUED + 600);
    refuse(
        "the manifest as the previous one",
        &|bytes| bytes.copy_from_slice(&same),
        "previous manifest",
        Fault::NotCanonical,
    );
    refuse(
        "a previous manifest without a delta",
        &|bytes| bytes[36..72].fill(0),
        "previous delta tip",
        Fault::OutOfRange,
    );
    refuse(
        "a previous delta tip of more than 1 MiB",
        &|bytes| bytes[36] = 1,
        "previous delta tip",
        Fault::OutOfRange,
    );
    for (name, until) in [
        ("nothing but an end of the previous", None),
        ("a previous base until issued", Some(ISSUED)),
        ("a previous base until more than a day after issued", Some(ISSUED + 86_401)),
        ("a previous base for ever", Some(u64::MAX)),
    ] {
        let change = |bytes: &mut [u8]| match until {
            Some(until) => bytes[72..].copy_from_slice(&until.to_le_bytes()),
            None => bytes[..72].fill(0),
        };
        let at = if until.is_some() { "previous until" } else { "previous manifest" };
        refuse(name, &change, at, Fault::OutOfRange);
    }
}

/// The 80 bytes of a base before: of these lengths, until then.
fn previous(manifest_len: u32, manifest: &[u8], tip_len: u32, until: u64) -> Vec<u8> {
    let mut bytes = manifest_len.to_le_bytes().to_vec();
    bytes.extend(blake3::hash(manifest).as_bytes());
    bytes.extend(tip_len.to_le_bytes());
    bytes.extend(blake3::hash(b"its tip").as_bytes());
    bytes.extend(until.to_le_bytes());
    bytes
}

fn refuse_inline(cases: &mut Cases) {
    let mut refuse = |name: &str, inline: &[Inline], at: &str, fault| {
        cases.refuse(name, first(), &head_over(&statement(), inline), field("head", at, fault));
    };
    let one = (6, 1, 2, [0xab; 10]);
    let many: Vec<Inline> = (0..65).map(|tag| (6, 1, 2, [tag; 10])).collect();
    refuse("65 inline revocations", &many, "inline count", Fault::OutOfRange);
    for generation in [0, 4, 5] {
        let name = format!("inline generation {generation} over statement generation {GENERATION}");
        refuse(&name, &[(generation, 1, 2, [0xab; 10])], "inline generation", Fault::OutOfRange);
    }
    for kind in [0, 4] {
        refuse(
            &format!("inline subject kind {kind}"),
            &[(6, kind, 2, PROJECT_9)],
            "inline subject kind",
            Fault::OutOfRange,
        );
    }
    for reason in [0, 5] {
        refuse(
            &format!("inline reason {reason}"),
            &[(6, 1, reason, [0xab; 10])],
            "inline reason",
            Fault::OutOfRange,
        );
    }
    let mut padded = PROJECT_9;
    padded[4] = 1;
    refuse(
        "a project with more behind its number",
        &[(6, 2, 2, padded)],
        "inline subject",
        Fault::NotCanonical,
    );
    refuse(
        "an organization with more behind its number",
        &[(6, 3, 2, padded)],
        "inline subject",
        Fault::NotCanonical,
    );
    refuse("one revocation twice", &[one, one], "inline", Fault::NotAscending);
    refuse("one subject for two reasons", &[one, (6, 1, 3, [0xab; 10])], "inline", Fault::NotAscending);
    refuse(
        "generations out of order",
        &[(7, 1, 2, [1; 10]), (6, 1, 2, [2; 10])],
        "inline",
        Fault::NotAscending,
    );
    refuse("kinds out of order", &[(6, 2, 2, PROJECT_9), one], "inline", Fault::NotAscending);
    refuse("tags out of order", &[(6, 1, 2, [2; 10]), (6, 1, 2, [1; 10])], "inline", Fault::NotAscending);
    // 256 before 9: numbers are compared, not their bytes.
    let number_256 = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    refuse(
        "numbers out of order",
        &[(6, 2, 2, number_256), (6, 2, 2, PROJECT_9)],
        "inline",
        Fault::NotAscending,
    );
}

fn refuse_signature_blocks(cases: &mut Cases) {
    for (object, domain, seed) in [("statement", Domain::Statement, RELEASE), ("head", Domain::Head, HEAD)] {
        let body = match domain {
            Domain::Statement => statement_body(),
            _ => head_body(1, AS_OF, &statement(), &[]),
        };
        let whole = |signed: Vec<u8>| match domain {
            Domain::Statement => head_over(&signed, &[]),
            _ => signed,
        };
        let mut refuse = |name: &str, signed: Vec<u8>, fault| {
            let name = format!("{object}: {name}");
            cases.refuse(&name, first(), &whole(signed), field(object, "signatures", fault));
        };
        let one = entry(seed, domain, &body);
        let mut two = [one, entry(99, domain, &body)];
        two.sort_unstable();
        two.reverse();
        refuse("no signatures", with(&body, &[]), Fault::OutOfRange);
        let nine: Vec<u8> = (100..109).collect();
        refuse("nine signatures", seal(&body, domain, &nine), Fault::OutOfRange);
        refuse("one signature twice", with(&body, &[one, one]), Fault::NotAscending);
        refuse("signatures out of order", with(&body, &two), Fault::NotAscending);
    }
}

fn refuse_signers(cases: &mut Cases) {
    let mut refuse = |name: &str, root: &str, bytes: &[u8], why: &str| {
        cases.refuse(name, json!({ "root": root }), bytes, reason("head", why));
    };
    let content = statement_body();
    for (who, seed) in [("head", HEAD), ("offline", OFFLINE), ("stranger's", 99)] {
        let by_other = seal(&content, Domain::Statement, &[seed]);
        refuse(
            &format!("a statement signed by the {who} key"),
            "first",
            &head_over(&by_other, &[]),
            "statement signatures",
        );
    }
    let as_head = with(&content, &[entry(RELEASE, Domain::Head, &content)]);
    refuse("a statement signed as a head", "first", &head_over(&as_head, &[]), "statement signatures");
    let plain = with(&content, &[bare(RELEASE, &content)]);
    refuse("a statement signed without a domain", "first", &head_over(&plain, &[]), "statement signatures");

    let body = head_body(1, AS_OF, &statement(), &[]);
    for (who, seed) in [("release", RELEASE), ("offline", OFFLINE), ("stranger's", 99)] {
        let name = format!("a head signed by the {who} key");
        refuse(&name, "first", &seal(&body, Domain::Head, &[seed]), "head signatures");
    }
    let good = entry(HEAD, Domain::Head, &body);
    let as_statement = with(&body, &[entry(HEAD, Domain::Statement, &body)]);
    refuse("a head signed as a statement", "first", &as_statement, "head signatures");
    refuse("a head signed without a domain", "first", &with(&body, &[bare(HEAD, &body)]), "head signatures");
    refuse("an S that is not reduced", "first", &with(&body, &[unreduced(good)]), "head signatures");
    let small = small_r(HEAD, &Domain::Head.message(&body));
    refuse("an R of small order", "first", &with(&body, &[small]), "head signatures");
    let mut younger = with(&body, &[good]);
    younger[8] ^= 1;
    refuse("another as of than was signed", "first", &younger, "head signatures");

    let two = "two of each";
    let both = seal(&content, Domain::Statement, &[RELEASE, 32]);
    let over =
        |statement: &[u8], seeds: &[u8]| seal(&head_body(1, AS_OF, statement, &[]), Domain::Head, seeds);
    refuse("one head key where two are needed", two, &over(&both, &[HEAD]), "head signatures");
    refuse(
        "one release key where two are needed",
        two,
        &over(&statement(), &[HEAD, 33]),
        "statement signatures",
    );

    let other_root = seal(&head_body(2, AS_OF, &statement(), &[]), Domain::Head, &[HEAD]);
    refuse("under root version 2", "first", &other_root, "root version");
    let foreign = statement_with(4, &[8; 16]);
    refuse("another installation", "first", &head_over(&foreign, &[]), "installation");
    let late = second_later();
    refuse("as of a second after its key's validity", "head key until its second", &late, "head signatures");
    refuse(
        "a statement issued before its key's validity, in a head within it",
        "release key from the second after",
        &late,
        "statement signatures",
    );
    let expired = "release key until the second before";
    refuse(
        "a statement issued after its key's validity",
        expired,
        &head_over(&statement(), &[]),
        "statement signatures",
    );
}

/// A head of the second after the one in which its statement is issued.
fn second_later() -> Vec<u8> {
    seal(&head_body(1, (ISSUED + 1) * 1000, &statement(), &[]), Domain::Head, &[HEAD])
}

fn accept(cases: &mut Cases) {
    let roots = roots();
    let mut accept = |name: &str, root: &str, bytes: &[u8]| {
        let (_, held) = roots.iter().find(|(known, _)| *known == root).unwrap();
        let held = Root::pinned(held).unwrap();
        let head = UnverifiedHead::parse(bytes).unwrap().verify(&held).unwrap();
        cases.accept(name, json!({ "root": root }), bytes, describe::head(&head));
    };
    accept("no revocation", "first", &head_over(&statement(), &[]));
    accept("one revocation", "first", &head_over(&statement(), &[(6, 1, 2, [0xab; 10])]));
    let tip = [&124u32.to_le_bytes()[..], blake3::hash(b"a delta").as_bytes()].concat();
    accept("a delta tip", "first", &head_over(&statement_with(DELTA_TIP, &tip), &[]));
    let both = [&tip[..], &previous(4 << 20, b"another manifest", 1 << 20, ISSUED + 86_400)].concat();
    accept("a delta tip and a base before", "first", &head_over(&statement_with(DELTA_TIP, &both), &[]));
    let before = previous(1, b"a manifest", 1, ISSUED + 1);
    accept("a base before, and no delta tip", "first", &head_over(&statement_with(PREVIOUS, &before), &[]));
    let every: [Inline; 6] = [
        (6, 1, 2, [1; 10]),
        (6, 1, 3, [2; 10]),
        (6, 2, 4, PROJECT_9),
        (6, 2, 4, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (6, 3, 4, PROJECT_9),
        (u64::MAX, 1, 1, [1; 10]),
    ];
    accept("every kind and every reason", "first", &head_over(&statement(), &every));
    let full: Vec<Inline> = (0..64).map(|tag| (6, 1, 2, [tag; 10])).collect();
    accept("64 revocations", "first", &head_over(&statement(), &full));
    let last = head_body(1, ISSUED * 1000 + 999, &statement(), &[]);
    let last = seal(&last, Domain::Head, &[HEAD]);
    accept("as of in the last millisecond of its key's validity", "head key until its second", &last);
    let over = "a statement issued in the last second of its key's validity, in a later head";
    accept(over, "release key until its second", &second_later());
    let day = (ISSUED + 86_400).to_le_bytes();
    accept("use by a day after issued", "first", &head_over(&statement_with(USE_BY, &day), &[]));
    let both = seal(&statement_body(), Domain::Statement, &[RELEASE, 32]);
    let two = seal(&head_body(1, AS_OF, &both, &[]), Domain::Head, &[HEAD, 33]);
    accept("two of two of each", "two of each", &two);
}
