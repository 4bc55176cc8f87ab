//! Deltas and canaries: what they say, what they refuse alone, and what no writer would have written.

use crate::fixture::*;
use crate::objects::find;
use latchkey_core::{Generation, OrganizationNumber, ProjectNumber, Role};
use latchkey_snapshot::build::{Content, DeltaContent, Object, Touched};
use latchkey_snapshot::delta::DELTA_LEN_MAX;
use latchkey_snapshot::*;
use proptest::prelude::*;

const BEGUN_AT: usize = 116;

fn delta_of(content: &Content, base: ObjectRef, touched: &Touched, exceptions: [&Exceptions; 2]) -> Object {
    let [before, now] = exceptions;
    let said = DeltaContent {
        installation: Installation([7; 16]),
        base,
        from: Generation(5),
        generation: Generation(6),
        parent: None,
        before,
        now,
    };
    content.delta(&said, touched).unwrap()
}

/// A base, and a delta after which key 1 is revoked, key 2 is gone, key 9 is new, and project 30 is open again.
fn changed() -> (build::Built, Object) {
    let mut content = Content::new(pepper());
    content.load(records());
    let base = build(&mut content, 5);
    content.put(key_record(10, 1, Role::Member, None, KeyState::Revoked));
    let (id, digest) = key(10, 2);
    content.remove_key(id, &digest);
    content.put(key_record(10, 9, Role::Admin, None, KeyState::Active));
    let touched = content.take_touched();
    assert_eq!(touched.len(), 3);
    let archived = Exceptions::default().with_archived([ProjectNumber(30)]);
    let suspended = Exceptions::default().with_suspended([OrganizationNumber(4)]);
    let delta = delta_of(&content, base.manifest.reference, &touched, [&archived, &suspended]);
    (base, delta)
}

fn query(project: u32, seed: u8) -> Query {
    let (id, digest) = key(project, seed);
    Query::native_key(&pepper(), id, &digest)
}

/// What base and delta say together.
fn found(base: &build::Built, delta: &Delta, query: &Query) -> Option<Entry> {
    match delta.find(query) {
        Found::Here(_, entry) => Some(entry),
        Found::Gone => None,
        Found::Unknown => find(base, query),
    }
}

fn refused(delta: &Object, change: impl Fn(&mut Vec<u8>)) -> ParseError {
    let mut bytes = delta.bytes.to_vec();
    change(&mut bytes);
    match Delta::parse(&ObjectRef::to(&bytes), &bytes) {
        Err(ObjectError::Parse(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn delta_says_what_is_new_gone_and_out_of_force() {
    let (base, object) = changed();
    let delta = Delta::parse(&object.reference, &object.bytes).unwrap();
    assert_eq!(found(&base, &delta, &query(10, 1)).unwrap().state, KeyState::Revoked);
    assert_eq!(found(&base, &delta, &query(10, 2)), None);
    assert_eq!(found(&base, &delta, &query(10, 9)).unwrap().binding, binding(10, Role::Admin));
    assert_eq!(found(&base, &delta, &query(11, 3)), find(&base, &query(11, 3)));
    assert!(delta.lifted.archives(ProjectNumber(30)) && delta.removals.begun.suspends(OrganizationNumber(4)));
    let mut reasons: Vec<_> = delta.removals.list().iter().map(|removal| removal.reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [RemovalReason::Gone, RemovalReason::Revoked]);
}

#[test]
fn what_refuses_is_read_even_where_the_rest_is_broken() {
    let (_, delta) = changed();
    let mut bytes = delta.bytes.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 0xFF;
    let reference = ObjectRef::to(&bytes);
    assert!(Delta::parse(&reference, &bytes).is_err());
    let removals = Removals::parse(&reference, &bytes).unwrap();
    assert_eq!(removals.find(Kind::NativeKey, &query(10, 1).tag), Some(RemovalReason::Revoked));
    assert_eq!(removals.find(Kind::NativeKey, &query(10, 2).tag), Some(RemovalReason::Gone));
    assert_eq!(removals.find(Kind::Resource, &query(10, 2).tag), None);
}

#[test]
fn delta_with_any_bit_changed_is_refused_by_its_digest_and_cut_off_by_its_length() {
    let (_, delta) = changed();
    for at in 0..delta.bytes.len() {
        let mut bytes = delta.bytes.to_vec();
        bytes[at] ^= 1;
        assert_eq!(Delta::parse(&delta.reference, &bytes).unwrap_err(), ObjectError::Digest);
        assert_eq!(Removals::parse(&delta.reference, &bytes).unwrap_err(), ObjectError::Digest);
        assert!(matches!(
            Delta::parse(&delta.reference, &delta.bytes[..at]),
            Err(ObjectError::Length { .. })
        ));
    }
}

#[test]
fn delta_that_no_writer_writes_is_refused() {
    let (_, delta) = changed();
    let fault = |error: ParseError| (error.field, error.fault);
    assert_eq!(fault(refused(&delta, |bytes| bytes[3] = b'2')), ("magic", Fault::Magic));
    assert_eq!(fault(refused(&delta, |bytes| bytes[72] = 5)), ("generation", Fault::OutOfRange));
    assert_eq!(fault(refused(&delta, |bytes| bytes[84] = 1)), ("parent", Fault::OutOfRange));
    // Suspended organization 4 begins: class 1, one number. The removals come behind.
    let removals = BEGUN_AT + 1 + 9;
    assert_eq!(fault(refused(&delta, |bytes| bytes[removals + 4] = 5)), ("removal kind", Fault::OutOfRange));
    assert_eq!(
        fault(refused(&delta, |bytes| bytes[removals + 5] = 1)),
        ("removal reason", Fault::OutOfRange)
    );
    let swap = |bytes: &mut Vec<u8>| bytes[removals + 4..removals + 28].rotate_left(12);
    assert_eq!(fault(refused(&delta, swap)), ("removals", Fault::NotAscending));
    let other_reason = |bytes: &mut Vec<u8>| {
        for at in [removals + 5, removals + 17] {
            bytes[at] = RemovalReason::Disabled as u8;
        }
    };
    assert_eq!(fault(refused(&delta, other_reason)), ("removals", Fault::NotCanonical));
    let promised = |bytes: &mut Vec<u8>| bytes[removals + 3] = 0xFF;
    assert_eq!(fault(refused(&delta, promised)), ("removals", Fault::Truncated));
    assert_eq!(fault(refused(&delta, |bytes| bytes.push(0))), ("end", Fault::Trailing));
    let long = |bytes: &mut Vec<u8>| bytes.resize(DELTA_LEN_MAX + 1, 0);
    assert_eq!(fault(refused(&delta, long)), ("end", Fault::OutOfRange));
}

#[test]
fn exception_that_begins_and_ends_in_one_delta_is_refused() {
    let (base, _) = changed();
    let content = Content::new(pepper());
    let archived = Exceptions::default().with_archived([ProjectNumber(30)]);
    let none = Exceptions::default();
    let delta = delta_of(&content, base.manifest.reference, &Touched::default(), [&none, &archived]);
    let twice = |bytes: &mut Vec<u8>| {
        let begun = bytes[BEGUN_AT..BEGUN_AT + 10].to_vec();
        let lifted = BEGUN_AT + 10 + 4;
        bytes.splice(lifted..=lifted, begun);
    };
    let error = refused(&delta, twice);
    assert_eq!((error.field, error.fault), ("exceptions", Fault::NotCanonical));
}

#[test]
fn delta_of_nothing_still_says_which_generation_it_brings() {
    let (base, _) = changed();
    let (content, none) = (Content::new(pepper()), Exceptions::default());
    let object = delta_of(&content, base.manifest.reference, &Touched::default(), [&none, &none]);
    let delta = Delta::parse(&object.reference, &object.bytes).unwrap();
    assert_eq!((delta.removals.generation, delta.len_bytes()), (Generation(6), 124));
}

#[test]
fn canary_holds_only_for_the_very_entry() {
    let built = small();
    let entry = find(&built, &query(10, 1)).unwrap();
    let expected = Expected { binding: entry.binding, state: entry.state };
    let canary = Canary { query: query(10, 1), expected: Some(expected) };
    assert!(canary.holds(Some(&entry)) && !canary.holds(None));
    assert!(!canary.holds(find(&built, &query(10, 2)).as_ref()));
    let absent = Canary { query: query(10, 99), expected: None };
    assert!(absent.holds(None) && !absent.holds(Some(&entry)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A base with the deltas after it answers every question as the base that is built from all of it.
    #[test]
    fn base_and_deltas_say_what_a_rebuild_says(
        steps in prop::collection::vec(prop::collection::vec((0u8..40, 0u8..4), 0..12), 1..4)
    ) {
        let mut content = Content::new(pepper());
        content.load((0..20).map(|seed| key_record(10 + u32::from(seed % 3) * 10, seed, Role::Member, None, KeyState::Active)));
        let base = build(&mut content, 5);
        let none = Exceptions::default();
        let mut chain = Vec::new();
        for step in &steps {
            for &(seed, what) in step {
                let project = 10 + u32::from(seed % 3) * 10;
                let states = [KeyState::Active, KeyState::Disabled, KeyState::Revoked];
                match states.get(usize::from(what)) {
                    Some(state) => content.put(key_record(project, seed, Role::Member, None, *state)),
                    None => {
                        let (id, digest) = key(project, seed);
                        content.remove_key(id, &digest);
                    }
                }
            }
            let touched = content.take_touched();
            let object = delta_of(&content, base.manifest.reference, &touched, [&none, &none]);
            chain.push(Delta::parse(&object.reference, &object.bytes).unwrap());
        }
        let rebuilt = build(&mut content, 6);
        for seed in 0..40 {
            let query = query(10 + u32::from(seed % 3) * 10, seed);
            let newest = chain.iter().rev().map(|delta| delta.find(&query));
            let newest = newest.into_iter().find(|found| !matches!(found, Found::Unknown));
            let said = match newest {
                Some(Found::Here(_, entry)) => Some(entry),
                Some(_) => None,
                None => find(&base, &query),
            };
            let told = |entry: Option<Entry>| entry.map(|entry| (entry.binding, entry.state, entry.expiry));
            prop_assert_eq!(told(said), told(find(&rebuilt, &query)));
        }
    }
}
