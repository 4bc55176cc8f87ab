//! Deltas and canaries: what they say, what they refuse alone, and what no writer would have written.

use crate::fixture::*;
use crate::objects::{find, page_of};
use latchkey_core::{ExpiryMinute, Generation, Network, OrganizationNumber, ProjectNumber, Role};
use latchkey_snapshot::build::{Content, DeltaContent, NarrowingContent, Object, Record, Touched};
use latchkey_snapshot::delta::DELTA_LEN_MAX;
use latchkey_snapshot::*;
use proptest::prelude::*;
use std::num::NonZeroU32;

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

/// Where the pages of [`changed`] stand: behind organization 4 and two removals comes project 30.
const PAGES_AT: usize = BEGUN_AT + 10 + 4 + 2 * 12 + 10;

#[test]
fn removal_of_a_key_that_no_page_names_is_refused_though_another_is_named_twice() {
    let (_, delta) = changed();
    let twice = |bytes: &mut Vec<u8>| {
        let mut page = bytes.split_off(PAGES_AT + 2);
        bytes[PAGES_AT] = 2;
        bytes.extend(&page);
        page[8] = 0x80;
        bytes.extend(&page);
        let removals = BEGUN_AT + 10 + 4;
        bytes[removals + 1] = RemovalReason::Revoked as u8;
        bytes[removals + 13] = RemovalReason::Revoked as u8;
    };
    let error = refused(&delta, twice);
    assert_eq!((error.field, error.fault), ("removals", Fault::NotCanonical));
}

#[test]
fn key_out_of_force_is_not_looked_for_further_back_wherever_its_record_lies() {
    let (base, object) = changed();
    let mut bytes = object.bytes.to_vec();
    bytes[PAGES_AT + 3..PAGES_AT + 11].fill(0xFF);
    let delta = Delta::parse(&ObjectRef::to(&bytes), &bytes).unwrap();
    assert!(find(&base, &query(10, 1)).is_some());
    assert!(matches!(delta.find(&query(10, 1)), Found::Gone));
    assert!(matches!(delta.find(&query(10, 9)), Found::Unknown));
}

#[test]
fn names_outside_of_their_page_are_refused() {
    let (base, none) = (small(), Exceptions::default());
    let mut content = Content::new(pepper());
    content.load([]);
    for record in records() {
        content.put(record);
    }
    let touched = content.take_touched();
    let delta = delta_of(&content, base.manifest.reference, &touched, [&none, &none]);
    let read = Delta::parse(&delta.reference, &delta.bytes).unwrap();
    assert_eq!(read.project_names(ProjectNumber(10)).unwrap().slug.as_str(), "alpha");
    let at = delta.bytes.windows(4).position(|four| four == b"LKT1").unwrap();
    // Project 10 lies at 10 << 32: the page may begin there, and not above.
    let begins =
        |place: u64| move |bytes: &mut Vec<u8>| bytes[at - 12..at - 4].copy_from_slice(&place.to_le_bytes());
    let error = refused(&delta, begins((10 << 32) + 1));
    assert_eq!((error.object, error.field, error.fault), ("delta", "page", Fault::NotCanonical));
    let mut bytes = delta.bytes.to_vec();
    begins(10 << 32)(&mut bytes);
    assert!(Delta::parse(&ObjectRef::to(&bytes), &bytes).is_ok());
}

#[test]
fn chain_that_does_not_lead_from_its_base_to_its_statement_is_refused() {
    let (base, object) = changed();
    let manifest = Manifest::parse(&base.manifest.reference, &base.manifest.bytes).unwrap();
    let first = Delta::parse(&object.reference, &object.bytes).unwrap().removals;
    let base = base.manifest.reference;
    let with = |removals: &Removals, change: &dyn Fn(&mut Removals)| {
        let mut changed = removals.clone();
        change(&mut changed);
        changed
    };
    let second = with(&first, &|delta| {
        (delta.from, delta.generation, delta.parent) = (Generation(6), Generation(9), Some(object.reference));
    });
    let at = |generation| (Installation([7; 16]), Generation(generation));
    let check = |generation, chain: &[&Removals]| chain::check(at(generation), &base, &manifest, chain);
    assert_eq!(check(6, &[]), Err(ChainError::Generation));
    assert_eq!(check(4, &[]), Err(ChainError::Generation));
    assert_eq!(check(7, &[&first]), Err(ChainError::Generation));
    assert_eq!(check(6, &[&first, &second]), Err(ChainError::Generation));
    assert_eq!(check(9, &[&second]), Err(ChainError::Continuity));
    assert_eq!(check(6, &[&second, &first]), Err(ChainError::Continuity));
    assert_eq!(check(9, &[&first, &second, &second]), Err(ChainError::Continuity));
    let skips = with(&second, &|delta| delta.from = Generation(7));
    assert_eq!(check(9, &[&first, &skips]), Err(ChainError::Continuity));
    let overlaps = with(&second, &|delta| delta.from = Generation(5));
    assert_eq!(check(9, &[&first, &overlaps]), Err(ChainError::Continuity));
    let alone = with(&second, &|delta| delta.parent = None);
    assert_eq!(check(9, &[&first, &alone]), Err(ChainError::Continuity));
    let orphan = with(&first, &|delta| delta.parent = Some(base));
    assert_eq!(check(6, &[&orphan]), Err(ChainError::Continuity));
    let elsewhere = with(&second, &|delta| delta.base = object.reference);
    assert_eq!(check(9, &[&first, &elsewhere]), Err(ChainError::Base));
    let peppered = with(&second, &|delta| delta.pepper_id = [0; 8]);
    assert_eq!(check(9, &[&first, &peppered]), Err(ChainError::PepperId));
    let foreign = with(&second, &|delta| delta.installation = Installation([8; 16]));
    assert_eq!(check(9, &[&first, &foreign]), Err(ChainError::Installation));
    let other = (Installation([8; 16]), Generation(5));
    assert_eq!(chain::check(other, &base, &manifest, &[]), Err(ChainError::Installation));
    assert_eq!(check(9, &[&first; 5]), Err(ChainError::TooMany));
    assert_eq!(check(5, &[]), Ok(()));
    assert_eq!(check(9, &[&first, &second]), Ok(()));
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

#[test]
fn canary_that_no_record_of_its_kind_could_hold_for_is_refused() {
    let entry = find(&small(), &query(10, 1)).unwrap();
    let key = Expected { binding: entry.binding, state: KeyState::Active };
    let bare = Binding { permissions: latchkey_core::PermissionSet::EMPTY, ..key.binding };
    let nobody = Binding { role: None, ..bare };
    let of = |binding| Expected { binding, state: KeyState::Active };
    let membership = Binding { project: ProjectNumber(0), ..bare };
    let ended = Binding { project: ProjectNumber(0), organization: OrganizationNumber(0), ..nobody };
    let reads = |kind, expected| {
        let canary = Canary { query: Query { kind, ..query(10, 1) }, expected: Some(expected) };
        let mut content = Content::new(pepper());
        let built = build_with(&mut content, 5, &[canary]);
        match built {
            Ok(_) => true,
            Err(build::BuildError::Unreadable(error)) => {
                assert_eq!((error.field, error.fault), ("canary expected", Fault::OutOfRange));
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    for kind in [Kind::NativeKey, Kind::ImportedKey] {
        assert!(!reads(kind, of(nobody)), "{kind:?} without a role");
        assert!(reads(kind, key) && reads(kind, Expected { state: KeyState::Revoked, ..key }));
    }
    for (kind, fits) in [
        (Kind::Resource, nobody),
        (Kind::ProjectReference, nobody),
        (Kind::Membership, membership),
        (Kind::Collaboration, bare),
        (Kind::EndedSession, ended),
    ] {
        assert!(reads(kind, of(fits)), "{kind:?}");
        assert!(!reads(kind, Expected { state: KeyState::Disabled, ..of(fits) }), "{kind:?} disabled");
        assert!(!reads(kind, of(Binding { permissions: key.binding.permissions, ..fits })), "{kind:?}");
        let role = if fits.role.is_some() { None } else { Some(Role::Member) };
        assert!(!reads(kind, of(Binding { role, ..fits })), "{kind:?} with {role:?}");
    }
    assert!(!reads(Kind::Membership, of(bare)) && !reads(Kind::EndedSession, of(nobody)));
}

/// A key, narrowed to a rate of its own and a network where `which` is not 0.
fn narrowed(project: u32, seed: u8, state: KeyState, which: u8) -> Record<'static> {
    let mut record = key_record(project, seed, Role::Member, None, state);
    if let Record::Key { id, narrowing, .. } = &mut record
        && which > 0
    {
        let rate = NonZeroU32::new(u32::from(seed) + 1).map(|per_minute| Rate { per_minute, family: *id });
        let networks = [Network::parse(&format!("10.{}.0.0/16", seed % 4)).unwrap()];
        let content = NarrowingContent { rate, networks: &networks, ..NarrowingContent::default() };
        *narrowing = content.encode().unwrap();
    }
    record
}

/// All that an entry says, and what it is narrowed to.
type Told = (Binding, KeyState, Option<ExpiryMinute>, Option<(Option<Rate>, Vec<Network>)>);

fn told(page: &Page, entry: &Entry) -> Told {
    let narrowing = page.narrowing(entry).map(|narrowing| (narrowing.rate(), narrowing.networks().collect()));
    (entry.binding, entry.state, entry.expiry, narrowing)
}

fn told_by(base: &build::Built, query: &Query) -> Option<Told> {
    let entry = find(base, query)?;
    Some(told(&page_of(base, query), &entry))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A base with the deltas after it answers every question as the base that is built from all of it.
    #[test]
    fn base_and_deltas_say_what_a_rebuild_says(
        steps in prop::collection::vec(prop::collection::vec((0u8..40, 0u8..8), 0..12), 1..4)
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
                match states.get(usize::from(what % 4)) {
                    Some(state) => content.put(narrowed(project, seed, *state, what / 4)),
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
                Some(Found::Here(page, entry)) => Some(told(page, &entry)),
                Some(_) => None,
                None => told_by(&base, &query),
            };
            prop_assert_eq!(said, told_by(&rebuilt, &query));
        }
    }
}
