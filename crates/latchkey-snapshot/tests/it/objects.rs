//! Manifest, nodes, pages and names: what is found, what is not, and what is refused.

use crate::fixture::*;
use latchkey_core::{ExpiryMinute, KeyId, OrganizationNumber, ProjectNumber, ResourceId, ResourceType, Role};
use latchkey_snapshot::build::{Built, Content, Object, Record};
use latchkey_snapshot::page::{HEADER_LEN, RECORDS_MAX};
use latchkey_snapshot::*;
use proptest::prelude::*;

fn manifest(built: &Built) -> Manifest {
    Manifest::parse(&built.manifest.reference, &built.manifest.bytes).unwrap()
}

fn object<'b>(built: &'b Built, reference: &ObjectRef) -> &'b Object {
    built.objects.iter().find(|object| object.reference == *reference).unwrap()
}

fn page_object(built: &Built, kind: Kind, place: u64) -> Option<&Object> {
    let manifest = manifest(built);
    let section = manifest.section(kind)?;
    let node = section.nodes.iter().rfind(|node| node.first_place <= place)?;
    let node = Node::parse(kind, &node.object, &object(built, &node.object).bytes).unwrap();
    let page = node.pages().iter().rfind(|page| page.first_place <= place)?.object;
    Some(object(built, &page))
}

pub(crate) fn find(built: &Built, query: &Query) -> Option<Entry> {
    let object = page_object(built, query.kind, query.place)?;
    let page = Page::parse(query.kind, &object.reference, object.bytes.to_vec().into()).unwrap();
    page.find(query)
}

/// The page that would hold what is asked for.
pub(crate) fn page_of(built: &Built, query: &Query) -> Page {
    let object = page_object(built, query.kind, query.place).unwrap();
    Page::parse(query.kind, &object.reference, object.bytes.to_vec().into()).unwrap()
}

/// Why the last page of the kind is refused once `change` has been made to it.
pub(crate) fn refused(built: &Built, kind: Kind, change: impl Fn(&mut Vec<u8>)) -> ParseError {
    let mut bytes = page_object(built, kind, u64::MAX).unwrap().bytes.to_vec();
    change(&mut bytes);
    match Page::parse(kind, &ObjectRef::to(&bytes), bytes.into()) {
        Err(ObjectError::Parse(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn find_key(built: &Built, (id, digest): (KeyId, latchkey_core::KeyDigest)) -> Option<Entry> {
    find(built, &Query::native_key(&pepper(), id, &digest))
}

#[test]
fn unknown_things_are_not_found() {
    let built = small();
    assert_eq!(find_key(&built, key(10, 99)), None);
    let file = |project: u32, id: &str| {
        let id = ResourceId::parse(id).unwrap();
        find(&built, &Query::resource(&pepper(), ProjectNumber(project), ResourceType::File, id))
    };
    assert!(file(10, "file-1").is_some());
    assert_eq!(file(11, "file-1"), None);
    assert_eq!(file(10, "file-2"), None);
    let reference = |text: &str| find(&built, &Query::project_reference(&pepper(), text));
    assert_eq!(reference("beta").unwrap().binding.project, ProjectNumber(11));
    assert_eq!(reference("gamma"), None);
}

#[test]
fn key_is_found_with_all_that_was_said_of_it() {
    let built = small();
    for (seed, project, role, expiry, state) in [
        (1, 10, Role::Member, None, KeyState::Active),
        (2, 10, Role::Admin, Some(30_000_000), KeyState::Active),
        (3, 11, Role::Member, Some(30_000_100), KeyState::Disabled),
        (4, 20, Role::Member, None, KeyState::Revoked),
    ] {
        let entry = find_key(&built, key(project, seed)).unwrap();
        let said = (entry.binding, entry.expiry, entry.state, entry.is_out_of_budget, entry.is_external);
        assert_eq!(said, (binding(project, role), expiry.map(ExpiryMinute), state, false, false));
    }
}

/// 24 bits hold 31.9 years of minutes. What does not fit must not come back to life.
#[test]
fn key_that_expires_too_long_before_its_pages_latest_is_refused_for_good() {
    let mut content = Content::new(pepper());
    let (early, late) = (30_000_000, 30_000_000 + 0x00FF_FFFF);
    content.load([
        key_record(10, 1, Role::Member, Some(early), KeyState::Active),
        key_record(10, 2, Role::Member, Some(late), KeyState::Active),
    ]);
    let built = build(&mut content, 1);
    assert_eq!(find_key(&built, key(10, 1)).unwrap().state, KeyState::Revoked);
    let kept = find_key(&built, key(10, 2)).unwrap();
    assert_eq!((kept.state, kept.expiry), (KeyState::Active, Some(ExpiryMinute(late))));
}

#[test]
fn manifest_says_what_the_edition_said() {
    let manifest = manifest(&small());
    assert_eq!(manifest.rules, rules());
    assert!(
        manifest.exceptions.suspends(OrganizationNumber(3))
            && !manifest.exceptions.suspends(OrganizationNumber(1))
    );
    assert!(
        manifest.exceptions.archives(ProjectNumber(30)) && !manifest.exceptions.archives(ProjectNumber(3))
    );
    let exceptions = &manifest.exceptions;
    assert!(exceptions.closes_to_externals(ProjectNumber(11)) && !exceptions.archives(ProjectNumber(11)));
    let out_of_budget = |organization, project| {
        exceptions.is_out_of_budget(OrganizationNumber(organization), ProjectNumber(project))
    };
    assert!(!out_of_budget(1, 10) && out_of_budget(2, 10) && out_of_budget(1, 20));
    assert!(!exceptions.suspends(OrganizationNumber(2)));
    assert_eq!(manifest.pepper_id, pepper().id());
    assert_eq!(manifest.section(Kind::NativeKey).unwrap().records, 4);
}

#[test]
fn names_are_found_by_number() {
    let built = small();
    let object = page_object(&built, Kind::ProjectNames, Query::names_place(10)).unwrap();
    let names = Names::parse(Kind::ProjectNames, &object.reference, &object.bytes).unwrap();
    assert_eq!(&*names.project(ProjectNumber(10)).unwrap().name, "Alpha");
    assert!(names.project(ProjectNumber(11)).is_none());
    let object = page_object(&built, Kind::OrganizationNames, Query::names_place(1)).unwrap();
    let names = Names::parse(Kind::OrganizationNames, &object.reference, &object.bytes).unwrap();
    assert_eq!(&*names.organization(OrganizationNumber(1)).unwrap().name, "Ørsted & co");
}

#[test]
fn object_that_is_not_the_named_one_is_refused_before_it_is_parsed() {
    let built = small();
    let every = built.objects.iter().chain([&built.manifest]);
    for object in every {
        for bit in 0..object.bytes.len() * 8 {
            let mut flipped = object.bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(object.reference.admit(&flipped), Err(ObjectError::Digest), "bit {bit}");
        }
        for len in 0..object.bytes.len() {
            let error = object.reference.admit(&object.bytes[..len]).unwrap_err();
            assert!(matches!(error, ObjectError::Length { .. }), "{len} bytes");
        }
    }
}

/// A signer gone wrong names the flipped bytes: whatever parses then must not panic, and is canonical.
#[test]
fn every_flipped_bit_under_a_matching_digest_is_refused_or_says_something_else() {
    let built = small();
    let mut refused = 0;
    let object =
        page_object(&built, Kind::NativeKey, 0).or(page_object(&built, Kind::NativeKey, u64::MAX)).unwrap();
    for bit in 0..object.bytes.len() * 8 {
        let mut flipped = object.bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match Page::parse(Kind::NativeKey, &ObjectRef::to(&flipped), flipped.into()) {
            Err(_) => refused += 1,
            Ok(page) => assert_eq!(page.records(), 4),
        }
    }
    assert!(refused > HEADER_LEN * 8, "only {refused} flips were refused");
}

#[test]
fn page_of_one_kind_is_refused_as_another() {
    let built = small();
    let object = page_object(&built, Kind::NativeKey, u64::MAX).unwrap();
    for kind in Kind::ALL {
        let page = Page::parse(kind, &object.reference, object.bytes.to_vec().into());
        assert_eq!(page.is_ok(), kind == Kind::NativeKey, "{kind:?}");
    }
}

/// Rewrites a field of a good page and expects the named field to be refused.
#[track_caller]
fn check_refused(kind: Kind, change: impl Fn(&mut Vec<u8>), field: &str) {
    let error = refused(&small(), kind, change);
    assert_eq!(error.field, field, "{error}");
}

#[test]
fn page_that_the_writer_would_not_have_written_is_refused() {
    let keys = Kind::NativeKey;
    let directory = HEADER_LEN;
    let records = directory + 4;
    check_refused(keys, |page| page[3] = b'1', "magic");
    check_refused(keys, |page| page[8] = 0, "record count");
    check_refused(keys, |page| page[12] = 2, "bucket count");
    check_refused(keys, |page| page[directory] = 1, "directory");
    check_refused(keys, |page| page[directory + 2] = 3, "directory");
    check_refused(keys, |page| page[records..records + 10].fill(0xff), "record tag");
    check_refused(keys, |page| page[records + 11] = 1, "record binding");
    check_refused(keys, |page| page[records + 15] = 3, "record flags");
    check_refused(keys, |page| page[records + 15] = 8, "record flags");
    check_refused(keys, |page| page[20] = 1, "narrowings");
    check_refused(keys, |page| page.push(0), "end");
    check_refused(keys, |page| page[4] = 3, "kind");
}

fn load(keys: impl IntoIterator<Item = (u32, u8)>) -> Content {
    let mut content = Content::new(pepper());
    content.load(
        keys.into_iter()
            .map(|(project, seed)| key_record(project, seed, Role::Member, None, KeyState::Active)),
    );
    content
}

#[test]
fn same_content_in_any_order_gives_the_same_bytes() {
    let all: Vec<(u32, u8)> = (0..60).map(|seed| (u32::from(seed) % 7 + 10, seed)).collect();
    let mut one = load(all.iter().copied());
    let mut other = Content::new(pepper());
    for (project, seed) in all.iter().rev() {
        other.put(key_record(*project, *seed, Role::Admin, Some(5), KeyState::Disabled));
        other.put(key_record(*project, *seed, Role::Member, None, KeyState::Active));
    }
    other.put(key_record(10, 250, Role::Admin, None, KeyState::Active));
    let (id, digest) = key(10, 250);
    other.remove_key(id, &digest);
    let (one, other) = (build(&mut one, 9), build(&mut other, 9));
    assert_eq!(one.manifest, other.manifest);
    assert_eq!(one.objects, other.objects);
}

#[test]
fn one_change_among_many_dirties_one_page() {
    let mut content = Content::new(pepper());
    let mut dice = latchkey_core::Dice::from_seed(&[1; 32]);
    let mut many = Vec::new();
    for number in 0..20_000u32 {
        let organization = OrganizationNumber(number % 50);
        let id = KeyId::generate(organization.hint(), &mut dice);
        let digest = latchkey_core::KeyDigest(dice.bytes());
        let binding =
            Binding { project: ProjectNumber(number % 200), organization, ..binding(0, Role::Member) };
        many.push((id, digest, binding));
    }
    let record = |(id, digest, binding): &(KeyId, latchkey_core::KeyDigest, Binding), state| Record::Key {
        id: *id,
        digest: *digest,
        binding: *binding,
        expiry: None,
        state,
        out_of_budget: false,
        narrowing: None,
    };
    content.load(many.iter().map(|key| record(key, KeyState::Active)));
    let first = build(&mut content, 1);
    assert!(first.dirty_pages > 20_000 / RECORDS_MAX);
    content.put(record(&many[77], KeyState::Revoked));
    let second = build(&mut content, 2);
    assert_eq!(second.dirty_pages, 1);
    for (index, key) in many.iter().enumerate() {
        let entry = find_key_fast(&second, key.0, &key.1);
        let expected = if index == 77 { KeyState::Revoked } else { KeyState::Active };
        assert_eq!(entry.map(|entry| (entry.state, entry.binding)), Some((expected, key.2)));
    }
}

/// As [`find`], with the pages parsed once.
fn find_key_fast(built: &Built, id: KeyId, digest: &latchkey_core::KeyDigest) -> Option<Entry> {
    use std::cell::RefCell;
    use std::collections::HashMap;
    thread_local!(static PAGES: RefCell<HashMap<ObjectRef, Page>> = RefCell::default());
    let query = Query::native_key(&pepper(), id, digest);
    thread_local!(static INDEX: RefCell<Vec<(u64, ObjectRef)>> = RefCell::default());
    INDEX.with_borrow_mut(|index| {
        if index.is_empty() {
            let manifest = manifest(built);
            for node in &manifest.section(Kind::NativeKey)?.nodes {
                let node =
                    Node::parse(Kind::NativeKey, &node.object, &object(built, &node.object).bytes).unwrap();
                index.extend(node.pages().iter().map(|page| (page.first_place, page.object)));
            }
        }
        let (_, reference) = *index.iter().rfind(|(first, _)| *first <= query.place)?;
        PAGES.with_borrow_mut(|pages| {
            let page = pages.entry(reference).or_insert_with(|| {
                let bytes = object(built, &reference).bytes.to_vec().into();
                Page::parse(Kind::NativeKey, &reference, bytes).unwrap()
            });
            page.find(&query)
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in 0usize..8) {
        let magics = [b"LKR1", b"LKH1", b"LKS3", b"LKM4", b"LKN2", b"LKP2", b"LKT1", b"LKD3"];
        if bytes.len() >= 4 {
            bytes[..4].copy_from_slice(magics[magic]);
        }
        let reference = ObjectRef::to(&bytes);
        let _ = Root::pinned(&bytes);
        let _ = UnverifiedHead::parse(&bytes).map(|head| head.verify(&root()));
        let _ = Manifest::parse(&reference, &bytes);
        let _ = Delta::parse(&reference, &bytes);
        let _ = Removals::parse(&reference, &bytes);
        for kind in Kind::ALL {
            let _ = Node::parse(kind, &reference, &bytes);
            let _ = Names::parse(kind, &reference, &bytes);
            let _ = Page::parse(kind, &reference, bytes.clone().into());
        }
    }
}
