//! Snapshots that are built a partition at a time: the same bytes as from content that holds everything.

use crate::fixture::*;
use latchkey_core::{
    Dice, ExpiryMinute, IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationId, OrganizationNumber,
    Permission, PermissionSet, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, SessionId, Slug,
};
use latchkey_snapshot::build::stream::{Cutter, Partition, Sorter};
use latchkey_snapshot::build::{BuildError, Content, Narrowing, NarrowingContent, Object, Record, Standing};
use latchkey_snapshot::page::RECORDS_MAX;
use latchkey_snapshot::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// What records are made of.
struct World {
    dice: Dice,
    texts: Vec<String>,
    organizations: u32,
}

impl World {
    fn new(seed: u8, organizations: u32) -> Self {
        let texts = (0..600).map(|number| format!("text-{number}")).collect();
        Self { dice: Dice::from_seed(&[seed; 32]), texts, organizations }
    }

    fn number(&mut self, below: u32) -> u32 {
        u32::from_le_bytes(self.dice.bytes()) % below
    }

    fn binding(&mut self) -> Binding {
        let organization = OrganizationNumber(self.number(self.organizations));
        let words = [Permission::InferenceInvoke, Permission::FilesRead, Permission::ModelsView];
        let permissions = match self.number(3) {
            0 => words
                .into_iter()
                .take(self.number(4) as usize)
                .fold(PermissionSet::EMPTY, PermissionSet::with),
            _ => PermissionSet::of_key(Role::Member),
        };
        let project = ProjectNumber(organization.0 * 4 + self.number(4));
        Binding { project, organization, role: Some(Role::Member), permissions }
    }

    fn narrowing(&mut self) -> Option<Narrowing> {
        (self.number(40) == 0).then_some(())?;
        let per_minute = NonZeroU32::new(1 + self.number(50)).unwrap();
        let rate = Some(Rate { per_minute, family: KeyId::from_number(1) });
        NarrowingContent { rate, ..NarrowingContent::default() }.encode().unwrap()
    }

    fn key(&mut self) -> Record<'static> {
        let binding = self.binding();
        let [state, budget, expires, ..] = self.dice.bytes::<8>();
        Record::Key {
            id: KeyId::generate(binding.organization.hint(), &mut self.dice),
            digest: KeyDigest(self.dice.bytes()),
            binding,
            expiry: (expires % 3 == 0).then(|| ExpiryMinute(30_000_000 + u32::from(expires))),
            state: [KeyState::Active, KeyState::Revoked, KeyState::Disabled][usize::from(state) % 3],
            out_of_budget: budget % 9 == 0,
            narrowing: self.narrowing(),
        }
    }

    fn imported(&mut self) -> Record<'static> {
        Record::ImportedKey {
            id: KeyId::generate(1, &mut self.dice),
            digest: ImportedDigest(self.dice.bytes()),
            binding: self.binding(),
            expiry: None,
            state: KeyState::Active,
            out_of_budget: false,
            narrowing: self.narrowing(),
        }
    }

    fn person(&mut self) -> Record<'static> {
        let letters = self.dice.bytes::<16>().map(|byte| b'a' + byte % 26);
        let organization = OrganizationNumber(self.number(self.organizations));
        match (IdentityId::from_body(letters), self.number(3)) {
            (Some(identity), 0) => Record::Membership { identity, organization, role: Role::Admin },
            (Some(identity), 1) => {
                let standing = Standing::External { ends: Some(ExpiryMinute(30_000_000)) };
                let project = ProjectNumber(organization.0 * 4);
                Record::Collaboration { identity, project, organization, role: Role::Member, standing }
            }
            _ => Record::EndedSession {
                session: SessionId::from_body(letters).unwrap(),
                forget: ExpiryMinute(30_000_000 + self.number(900)),
            },
        }
    }

    /// Projects with their names, references and files, each number once.
    fn projects<'a>(&'a self, count: usize) -> Vec<Record<'a>> {
        let mut dice = Dice::from_seed(&[9; 32]);
        let of = |(number, text): (u32, &'a String)| {
            let (project, organization) = (ProjectNumber(number * 7), OrganizationNumber(number));
            let id = ProjectId::generate(&mut dice);
            let slug = Slug::parse("slug").unwrap();
            let name = format!("name {number}").into();
            let names = ProjectNames { number: project, organization, id, slug, name };
            let owner = OrganizationId::generate(&mut dice);
            let name = format!("owner {number}").into();
            [
                Record::ProjectNames(names),
                Record::OrganizationNames(OrganizationNames { number: organization, id: owner, name }),
                Record::ProjectReference { text, project, organization },
                Record::Resource {
                    resource: ResourceType::File,
                    id: ResourceId::parse(text).unwrap(),
                    project,
                    organization,
                },
            ]
        };
        (0..).zip(self.texts.iter().take(count)).flat_map(of).collect()
    }
}

fn records(seed: u8, keys: usize, others: usize, organizations: u32) -> Vec<Record<'static>> {
    let mut world = World::new(seed, organizations);
    let mut records: Vec<Record<'static>> = (0..keys).map(|_| world.key()).collect();
    records.extend((0..others).map(|_| world.imported()));
    records.extend((0..others).map(|_| world.person()));
    let world: &'static World = Box::leak(Box::new(world));
    records.extend(world.projects(others.min(600)));
    records
}

/// Rows by partition, sorted by two sorters in turn; what is in a partition longer than `longest` is divided.
fn sorted(records: &[Record<'_>], bits: u32, longest: usize) -> (Cutter, BTreeMap<Partition, Vec<u8>>) {
    let mut sorters = Sorter::several(&pepper(), 2);
    let mut partitions: BTreeMap<Partition, Vec<u8>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let mut row = Vec::new();
        let (kind, place) = sorters[at % 2].sort(record.clone(), &mut row).unwrap();
        partitions.entry(Partition::holding(kind, place, bits)).or_default().append(&mut row);
    }
    while let Some((partition, rows)) = partitions.iter().find(|(_, rows)| rows.len() > longest) {
        let (partition, rows) = (*partition, rows.clone());
        partitions.remove(&partition);
        let give = |finer, row: &[u8]| partitions.entry(finer).or_default().extend_from_slice(row);
        partition.divide(&rows, 5, give).unwrap();
    }
    (Cutter::new(sorters), partitions)
}

pub(crate) fn streamed(
    records: &[Record<'_>],
    bits: u32,
    longest: usize,
) -> Result<(Object, Vec<Object>), BuildError> {
    let (cutter, partitions) = sorted(records, bits, longest);
    let mut objects = Vec::new();
    let mut pieces = Vec::new();
    for (partition, rows) in partitions.iter().rev() {
        pieces.push(cutter.cut(*partition, rows, &mut |object| objects.push(object))?);
    }
    let manifest =
        with_edition(9, &[], |edition| cutter.finish(pieces, edition, &mut |object| objects.push(object)))?;
    objects.sort_unstable_by_key(|object| object.reference);
    Ok((manifest, objects))
}

#[track_caller]
pub(crate) fn check_same(records: &[Record<'_>], bits: u32, longest: usize) {
    let mut content = Content::new(pepper());
    content.load(records.iter().cloned());
    let mut built = build(&mut content, 9);
    built.objects.sort_unstable_by_key(|object| object.reference);
    let (manifest, objects) = streamed(records, bits, longest).unwrap();
    assert_eq!(manifest, built.manifest);
    assert!(objects == built.objects, "{} objects, {}", objects.len(), built.objects.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn stream_gives_the_same_bytes_as_content(
        seed: u8,
        keys in 0usize..6000,
        others in 0usize..700,
        organizations in 1u32..40,
        bits in 0u32..9,
        longest in 20_000usize..400_000,
    ) {
        check_same(&records(seed, keys, others, organizations), bits, longest);
    }
}

#[test]
fn one_organization_that_fills_many_pages_is_divided_below_its_hint() {
    check_same(&records(3, 3 * RECORDS_MAX, 0, 1), 4, 60_000);
}

#[test]
fn exactly_one_page_stays_one_and_one_record_more_splits_it() {
    for keys in [RECORDS_MAX, RECORDS_MAX + 1] {
        for bits in [0, 1, 6] {
            check_same(&records(4, keys, 0, 30), bits, usize::MAX);
        }
    }
}

#[test]
fn empty_installation_has_a_manifest_without_sections() {
    check_same(&[], 8, usize::MAX);
}

#[test]
fn two_records_about_the_same_thing_are_refused() {
    for keys in [1, RECORDS_MAX] {
        let mut all = records(5, keys, 0, 3);
        all.push(all[0].clone());
        assert_eq!(streamed(&all, 2, usize::MAX).map(drop), Err(BuildError::Twice), "{keys}");
    }
}

#[test]
fn rows_that_end_too_soon_are_refused() {
    let (cutter, partitions) = sorted(&records(6, 3, 1, 3), 0, usize::MAX);
    for (partition, rows) in &partitions {
        let cut_short = &rows[..rows.len() - 1];
        let refused = cutter.cut(*partition, cut_short, &mut drop).map(drop);
        assert_eq!(refused, Err(BuildError::Lost("row")), "{partition:?}");
    }
}

#[test]
fn permission_set_that_no_sorter_knows_is_refused() {
    let (_, partitions) = sorted(&records(7, 3, 0, 3), 0, usize::MAX);
    let stranger = Cutter::new(Sorter::several(&pepper(), 2));
    let (partition, rows) = partitions.first_key_value().unwrap();
    let refused = stranger.cut(*partition, rows, &mut drop).map(drop);
    assert_eq!(refused, Err(BuildError::Lost("shared value")));
}

#[test]
fn pages_stay_below_80_kb_though_nearly_every_key_has_a_binding_of_its_own() {
    let mut world = World::new(8, 1);
    let mut all = Vec::new();
    for number in 0..2 * RECORDS_MAX as u32 {
        let Record::Key { id, digest, binding, expiry, state, out_of_budget, .. } = world.key() else {
            continue;
        };
        let binding = Binding { project: ProjectNumber(number), ..binding };
        all.push(Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing: None });
    }
    check_same(&all, 3, usize::MAX);
    let (_, objects) = streamed(&all, 3, usize::MAX).unwrap();
    let longest = objects.iter().map(|object| object.bytes.len()).max().unwrap();
    assert!((40_000..80_000).contains(&longest), "{longest}");
}
