//! How many bytes a page has where each kind of record is at its worst, and that all ways to write agree on it.

use crate::fixture::*;
use crate::streams::{check_same, streamed};
use latchkey_core::{
    Dice, ImportedDigest, KeyDigest, KeyId, Matching, ModelName, OrganizationId, OrganizationNumber,
    PermissionSet, ProjectId, ProjectNumber, Role, Slug,
};
use latchkey_snapshot::build::{Content, Narrowing, NarrowingContent, Record};
use latchkey_snapshot::names::NAME_LEN_MAX;
use latchkey_snapshot::page::RECORDS_MAX;
use latchkey_snapshot::*;

/// DESIGN §3: a page has at most 80 KB.
const PAGE_LEN_WANTED: usize = 80_000;
/// Records that are said twice, first otherwise, and as many that are taken back.
const CHANGED: usize = 60;

/// A key of number `number`: one organization's, so that all lie near one another and only their digests part them.
fn key(number: u32, dice: &mut Dice, binding: Binding, narrowing: Option<Narrowing>) -> Record<'static> {
    Record::Key {
        id: KeyId::generate(7, dice),
        digest: KeyDigest(dice.bytes()),
        binding,
        expiry: None,
        state: KeyState::Active,
        out_of_budget: number.is_multiple_of(9),
        narrowing,
    }
}

fn imported(dice: &mut Dice, binding: Binding, narrowing: Option<Narrowing>) -> Record<'static> {
    Record::ImportedKey {
        id: KeyId::generate(7, dice),
        digest: ImportedDigest(dice.bytes()),
        binding,
        expiry: None,
        state: KeyState::Active,
        out_of_budget: false,
        narrowing,
    }
}

/// A project of its own for each number, and one of so many permission sets.
fn binding(number: u32, sets: u32) -> Binding {
    let permissions = PermissionSet::from_bits(u128::from(number % sets)).unwrap();
    let (project, organization) = (ProjectNumber(number), OrganizationNumber(3));
    Binding { project, organization, role: Some(Role::Member), permissions }
}

/// A narrowing like no other, of some 150 bytes.
fn narrowing(number: u32) -> Option<Narrowing> {
    let name = format!("{number:0>128}");
    let text = ModelName::parse(&name).unwrap();
    let models = [ModelPattern { matching: Matching::Exact, text }];
    NarrowingContent { models: &models, ..NarrowingContent::default() }.encode().unwrap()
}

/// Pages of these records are never longer than a page should be, and some are nearly as long; content that is loaded, a
/// stream, and content that was otherwise before all give the same.
#[track_caller]
fn check_len(records: &[Record<'static>]) {
    check_same(records, 3, 150_000);
    let (manifest, objects) = streamed(records, 2, usize::MAX).unwrap();
    let longest = objects.iter().map(|object| object.bytes.len()).max().unwrap();
    assert!((PAGE_LEN_WANTED / 2..=PAGE_LEN_WANTED).contains(&longest), "{longest}");

    let mut content = Content::new(pepper());
    content.load(records.iter().skip(CHANGED).cloned());
    let strangers: Vec<_> = (0..CHANGED as u32).map(stranger).collect();
    strangers.iter().for_each(|stranger| content.put(stranger.clone()));
    records.iter().take(CHANGED).for_each(|record| content.put(record.clone()));
    for stranger in strangers {
        match stranger {
            Record::Key { id, digest, .. } => content.remove_key(id, &digest),
            Record::ImportedKey { digest, .. } => content.remove_imported_key(&digest),
            _ => unreachable!("strangers are keys"),
        }
    }
    // What changes and is as long as before, then what is longer, and back again.
    let some = || records.iter().skip(CHANGED).take(CHANGED);
    some().filter_map(revoked).for_each(|record| content.put(record));
    some().filter_map(moved).for_each(|record| content.put(record));
    some().for_each(|record| content.put(record.clone()));
    assert_eq!(build(&mut content, 9).manifest, manifest);
}

fn revoked(record: &Record<'static>) -> Option<Record<'static>> {
    let mut record = record.clone();
    match &mut record {
        Record::Key { state, .. } | Record::ImportedKey { state, .. } => *state = KeyState::Revoked,
        _ => return None,
    }
    Some(record)
}

/// The key in a project that no other has.
fn moved(record: &Record<'static>) -> Option<Record<'static>> {
    let mut record = record.clone();
    match &mut record {
        Record::Key { binding, .. } | Record::ImportedKey { binding, .. } => binding.project.0 += 1 << 21,
        _ => return None,
    }
    Some(record)
}

/// Somebody's key that comes and goes, with a binding and a narrowing of its own.
fn stranger(number: u32) -> Record<'static> {
    let mut dice = Dice::from_seed(&[0x80 | number as u8; 32]);
    let (binding, narrowing) = (binding(1 << 20 | number, 5), narrowing(1 << 20 | number));
    if number.is_multiple_of(2) {
        key(number, &mut dice, binding, narrowing)
    } else {
        imported(&mut dice, binding, narrowing)
    }
}

#[test]
fn page_of_keys_with_many_permission_sets_stays_below_80_kb() {
    let mut dice = Dice::from_seed(&[1; 32]);
    let keys =
        (0..RECORDS_MAX as u32 * 3 / 2).map(|number| key(number, &mut dice, binding(number, 255), None));
    check_len(&keys.collect::<Vec<_>>());
}

#[test]
fn page_of_narrowed_keys_stays_below_80_kb() {
    let mut dice = Dice::from_seed(&[2; 32]);
    // One in four: so there are as many bytes of narrowings as a page may have, and 1,800 records beside them.
    let narrowing = |number: u32| if number.is_multiple_of(4) { narrowing(number) } else { None };
    let keys =
        (0..RECORDS_MAX as u32).map(|number| key(number, &mut dice, binding(number, 2), narrowing(number)));
    check_len(&keys.collect::<Vec<_>>());
}

#[test]
fn page_of_imported_keys_stays_below_80_kb() {
    let mut dice = Dice::from_seed(&[3; 32]);
    let keys = (0..RECORDS_MAX as u32).map(|number| imported(&mut dice, binding(number, 2), None));
    check_len(&keys.collect::<Vec<_>>());
}

#[test]
fn page_of_imported_keys_that_are_narrowed_stays_below_80_kb() {
    let mut dice = Dice::from_seed(&[4; 32]);
    let narrowing = |number: u32| if number.is_multiple_of(3) { narrowing(number) } else { None };
    let keys =
        (0..RECORDS_MAX as u32).map(|number| imported(&mut dice, binding(number, 2), narrowing(number)));
    check_len(&keys.collect::<Vec<_>>());
}

#[test]
fn page_of_long_names_stays_below_80_kb() {
    let mut dice = Dice::from_seed(&[5; 32]);
    let name = "n".repeat(NAME_LEN_MAX);
    let slug = Slug::parse(&"s".repeat(latchkey_core::slug::LEN_MAX)).unwrap();
    let mut records = Vec::new();
    for number in 0..1024 {
        let organization = OrganizationNumber(number);
        let id = ProjectId::generate(&mut dice);
        let names = ProjectNames {
            number: ProjectNumber(number),
            organization,
            id,
            slug,
            name: name.as_str().into(),
        };
        records.push(Record::ProjectNames(names));
        let id = OrganizationId::generate(&mut dice);
        let names = OrganizationNames { number: organization, id, name: name.as_str().into() };
        records.push(Record::OrganizationNames(names));
    }
    check_len(&records);
}
