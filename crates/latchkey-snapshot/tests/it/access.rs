//! Imported keys, people and narrowing: what a page says of them, and what it must not let in.

use crate::fixture::*;
use crate::objects::{find, page_of, refused};
use latchkey_core::narrowing::{MODELS_MAX, NETWORKS_MAX, RESOURCES_MAX};
use latchkey_core::{
    ExpiryMinute, IdentityId, ImportedDigest, KeyId, Matching, ModelName, Network, OrganizationNumber,
    ProjectNumber, ResourceId, ResourceType, Role, SessionId,
};
use latchkey_snapshot::build::{BuildError, Content, Narrowing, NarrowingContent, Record, Standing};
use latchkey_snapshot::narrowing::NARROWING_LEN_MAX;
use latchkey_snapshot::page::{HEADER_LEN, PAGE_LEN_MAX};
use latchkey_snapshot::*;
use proptest::prelude::*;
use std::num::NonZeroU32;

const ORGANIZATION: OrganizationNumber = OrganizationNumber(1);

fn identity(seed: u8) -> IdentityId {
    IdentityId::from_body([b'a' + seed; 16]).unwrap()
}

fn session(seed: u8) -> SessionId {
    SessionId::from_body([b'a' + seed; 16]).unwrap()
}

fn rate(per_minute: u32, family: u64) -> Rate {
    Rate { per_minute: NonZeroU32::new(per_minute).unwrap(), family: KeyId::from_number(family) }
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| Network::parse(text).unwrap()).collect()
}

fn files(patterns: &[(Matching, &'static str)]) -> Vec<ResourcePattern<'static>> {
    let pattern = |(matching, text): &(Matching, &'static str)| ResourcePattern {
        resource: ResourceType::File,
        matching: *matching,
        text: ResourceId::parse(text).unwrap(),
    };
    patterns.iter().map(pattern).collect()
}

fn models(patterns: &[(Matching, &'static str)]) -> Vec<ModelPattern<'static>> {
    let pattern = |(matching, text): &(Matching, &'static str)| ModelPattern {
        matching: *matching,
        text: ModelName::parse(text).unwrap(),
    };
    patterns.iter().map(pattern).collect()
}

fn narrowed(seed: u8, narrowing: Option<Narrowing>) -> Record<'static> {
    let (id, digest) = key(10, seed);
    let binding = binding(10, Role::Member);
    let state = KeyState::Active;
    Record::Key { id, digest, binding, expiry: None, state, out_of_budget: false, narrowing }
}

fn imported(seed: u8, id: u64) -> Record<'static> {
    Record::ImportedKey {
        id: KeyId::from_number(id),
        digest: ImportedDigest([seed; 32]),
        binding: binding(10, Role::Member),
        expiry: None,
        state: KeyState::Active,
        out_of_budget: true,
        narrowing: None,
    }
}

fn collaboration(seed: u8, standing: Standing) -> Record<'static> {
    let (project, role) = (ProjectNumber(10), Role::Member);
    Record::Collaboration { identity: identity(seed), project, organization: ORGANIZATION, role, standing }
}

fn loaded(records: impl IntoIterator<Item = Record<'static>>) -> Content {
    let mut content = Content::new(pepper());
    content.load(records);
    content
}

fn member(seed: u8, organization: OrganizationNumber) -> Query {
    Query::membership(&pepper(), &identity(seed), organization)
}

fn collaborator(seed: u8, project: u32) -> Query {
    Query::collaboration(&pepper(), &identity(seed), ProjectNumber(project))
}

#[test]
fn strangers_are_not_found() {
    let membership =
        Record::Membership { identity: identity(1), organization: ORGANIZATION, role: Role::Admin };
    let ended = Record::EndedSession { session: session(1), forget: ExpiryMinute(30_000_000) };
    let built =
        build(&mut loaded([membership, collaboration(1, Standing::Member), ended, imported(1, 77)]), 1);
    let known = |query: Query| find(&built, &query).is_some();
    let (imported, ended) = (Query::imported_key, Query::ended_session);
    assert!(!known(member(2, ORGANIZATION)) && !known(member(1, OrganizationNumber(10))));
    assert!(!known(collaborator(2, 10)) && !known(collaborator(1, 1)));
    assert!(!known(imported(&pepper(), &ImportedDigest([2; 32]))) && !known(ended(&pepper(), &session(2))));
    assert!(known(member(1, ORGANIZATION)) && known(collaborator(1, 10)));
    assert!(known(imported(&pepper(), &ImportedDigest([1; 32]))) && known(ended(&pepper(), &session(1))));
}

/// The same bytes under another kind are another thing: a membership is no collaboration.
#[test]
fn kinds_do_not_answer_for_one_another() {
    let tags = [
        member(1, OrganizationNumber(10)).tag,
        collaborator(1, 10).tag,
        Query::ended_session(&pepper(), &session(1)).tag,
        Query::imported_key(&pepper(), &ImportedDigest([1; 32])).tag,
        Query::native_key(&pepper(), KeyId::from_number(1), &latchkey_core::KeyDigest([1; 32])).tag,
    ];
    let mut different = tags.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), tags.len());
}

#[test]
fn people_are_found_with_role_standing_and_end() {
    let ends = Some(ExpiryMinute(31_000_000));
    let mut content = loaded([
        Record::Membership { identity: identity(1), organization: ORGANIZATION, role: Role::Admin },
        collaboration(1, Standing::Member),
        collaboration(2, Standing::External { ends }),
        collaboration(3, Standing::External { ends: None }),
    ]);
    let built = build(&mut content, 1);
    let entry = find(&built, &member(1, ORGANIZATION)).unwrap();
    let role_of = |entry: &Entry| (entry.binding.project.0, entry.binding.organization.0, entry.binding.role);
    assert_eq!(role_of(&entry), (0, 1, Some(Role::Admin)));
    assert!(entry.binding.permissions.iter().next().is_none() && entry.expiry.is_none());
    for (seed, is_external, expiry) in [(1, false, None), (2, true, ends), (3, true, None)] {
        let entry = find(&built, &collaborator(seed, 10)).unwrap();
        assert_eq!(role_of(&entry), (10, 1, Some(Role::Member)));
        assert_eq!((entry.is_external, entry.expiry, entry.state), (is_external, expiry, KeyState::Active));
    }
    content.remove_membership(&identity(1), ORGANIZATION);
    content.remove_collaboration(&identity(2), ProjectNumber(10));
    let built = build(&mut content, 2);
    assert_eq!(find(&built, &member(1, ORGANIZATION)), None);
    assert_eq!(find(&built, &collaborator(2, 10)), None);
    assert!(find(&built, &collaborator(3, 10)).is_some());
}

/// No state says that an external's time is over: what lies too far ahead for a page ends sooner, never later.
#[test]
fn external_never_stays_longer_than_was_said_x4() {
    let (early, late) = (30_000_000, 30_000_000 + 0x00FF_FFFF);
    let standing = |ends| Standing::External { ends: Some(ExpiryMinute(ends)) };
    let built = build(&mut loaded([collaboration(1, standing(early)), collaboration(2, standing(late))]), 1);
    let ends = |seed| find(&built, &collaborator(seed, 10)).unwrap().expiry;
    assert_eq!((ends(1), ends(2)), (Some(ExpiryMinute(early)), Some(ExpiryMinute(late - 1))));
}

#[test]
fn imported_key_is_found_with_its_id_and_budget() {
    let mut content = loaded((0..40).map(|seed| imported(seed, u64::from(seed) + 1000)));
    let built = build(&mut content, 1);
    for seed in 0..40 {
        let query = Query::imported_key(&pepper(), &ImportedDigest([seed; 32]));
        let page = page_of(&built, &query);
        let entry = page.find(&query).unwrap();
        assert_eq!(page.imported_key_id(&entry), Some(KeyId::from_number(u64::from(seed) + 1000)));
        assert!(entry.is_out_of_budget && page.narrowing(&entry).is_none());
    }
    content.remove_imported_key(&ImportedDigest([7; 32]));
    content.put(imported(8, 9));
    let built = build(&mut content, 2);
    let query = |seed| Query::imported_key(&pepper(), &ImportedDigest([seed; 32]));
    assert_eq!(find(&built, &query(7)), None);
    let page = page_of(&built, &query(8));
    assert_eq!(page.imported_key_id(&page.find(&query(8)).unwrap()), Some(KeyId::from_number(9)));
}

#[test]
fn narrowed_key_is_refused_outside_its_narrowing_k7() {
    let (networks, resources) =
        (networks(&["10.0.0.0/8", "2001:db8::/32"]), files(&[(Matching::Prefix, "job-")]));
    let models = models(&[(Matching::Exact, "llama-3"), (Matching::Prefix, "acme/")]);
    let rate = Some(rate(60, 5));
    let content = NarrowingContent { rate, networks: &networks, resources: &resources, models: &models };
    let built = build(&mut loaded([narrowed(1, content.encode().unwrap()), narrowed(2, None)]), 1);
    let (id, digest) = key(10, 1);
    let query = Query::native_key(&pepper(), id, &digest);
    let page = page_of(&built, &query);
    let narrowing = page.narrowing(&page.find(&query).unwrap()).unwrap();
    for client in ["11.0.0.1", "::1", "::ffff:11.0.0.1"] {
        assert!(!narrowing.allows_address(client.parse().unwrap()), "{client}");
    }
    assert!(narrowing.allows_address("::ffff:10.1.2.3".parse().unwrap()));
    for (resource, id) in
        [(ResourceType::File, "job"), (ResourceType::File, "xjob-1"), (ResourceType::Volume, "job-1")]
    {
        assert!(!narrowing.allows_resource(resource, id), "{id}");
    }
    assert!(narrowing.allows_resource(ResourceType::File, "job-1"));
    assert!(
        !narrowing.allows_model("llama-3-70")
            && !narrowing.allows_model("acme")
            && !narrowing.allows_model("")
    );
    assert!(narrowing.allows_model("llama-3") && narrowing.allows_model("acme/x"));
    assert_eq!(narrowing.rate(), rate);
    let (id, digest) = key(10, 2);
    let plain = Query::native_key(&pepper(), id, &digest);
    assert!(page_of(&built, &plain).narrowing(&find(&built, &plain).unwrap()).is_none());
}

#[test]
fn narrowing_beyond_its_limits_is_not_written() {
    let many: Vec<Network> = (0..=NETWORKS_MAX as u32)
        .map(|number| Network::new(std::net::Ipv4Addr::from_bits(number).into(), 32).unwrap())
        .collect();
    let of = |networks| NarrowingContent { networks, ..NarrowingContent::default() }.encode();
    assert_eq!(of(&many), Err(BuildError::TooMany("networks of a key")));
    assert!(of(&many[..NETWORKS_MAX]).is_ok_and(|narrowing| narrowing.is_some()));
    assert_eq!(of(&[]), Ok(None));
    let no_family = NarrowingContent { rate: Some(rate(1, 0)), ..NarrowingContent::default() };
    assert!(matches!(no_family.encode(), Err(BuildError::Unreadable(_))));
}

#[test]
fn narrowing_is_one_form_whatever_the_order_it_was_given_in() {
    let forth = networks(&["10.0.0.0/8", "::/0", "10.0.0.0/8"]);
    let back = networks(&["::/0", "10.0.0.0/8"]);
    let of = |networks| NarrowingContent { networks, ..NarrowingContent::default() }.encode().unwrap();
    assert_eq!(of(&forth), of(&back));
}

/// The longest narrowing there is, of a rate of its own.
fn widest(family: u64) -> Narrowing {
    let resources: Vec<String> = (0..RESOURCES_MAX).map(|at| format!("{at:0>96}")).collect();
    let models: Vec<String> = (0..MODELS_MAX).map(|at| format!("{at:0>128}")).collect();
    let networks: Vec<Network> = (0..NETWORKS_MAX as u128)
        .map(|number| Network::new(std::net::Ipv6Addr::from_bits(1 << 100 | number).into(), 128).unwrap())
        .collect();
    let resources: Vec<_> = resources
        .iter()
        .map(|text| ResourcePattern {
            resource: ResourceType::Cluster,
            matching: Matching::Exact,
            text: ResourceId::parse(text).unwrap(),
        })
        .collect();
    let models: Vec<_> = models
        .iter()
        .map(|text| ModelPattern { matching: Matching::Prefix, text: ModelName::parse(text).unwrap() })
        .collect();
    let rate = Some(rate(1, family));
    NarrowingContent { rate, networks: &networks, resources: &resources, models: &models }
        .encode()
        .unwrap()
        .unwrap()
}

/// A page holds four of them, so the records are cut into more pages.
#[test]
fn narrowings_that_do_not_fit_one_page_are_cut_into_several() {
    assert_eq!(widest(1).as_bytes().len(), NARROWING_LEN_MAX);
    let widest = |seed: u8| Some(widest(u64::from(seed) + 1));
    let mut content = loaded((0..9).map(|seed| narrowed(seed, widest(seed))));
    let built = build(&mut content, 1);
    for seed in 0..9 {
        let (id, digest) = key(10, seed);
        let query = Query::native_key(&pepper(), id, &digest);
        let page = page_of(&built, &query);
        assert!(page.len_bytes() <= PAGE_LEN_MAX && page.records() <= 65_536 / NARROWING_LEN_MAX);
        let narrowing = page.narrowing(&page.find(&query).unwrap()).unwrap();
        assert_eq!(narrowing.rate(), Some(rate(1, u64::from(seed) + 1)));
        let counts =
            [narrowing.networks().count(), narrowing.resources().count(), narrowing.models().count()];
        assert_eq!(counts, [NETWORKS_MAX, RESOURCES_MAX, MODELS_MAX]);
    }
    // The same content bit by bit, then without what narrows: as if it had been there from the beginning.
    let mut other = Content::new(pepper());
    (0..9).for_each(|seed| other.put(narrowed(seed, widest(seed))));
    assert_eq!(build(&mut other, 1).objects, built.objects);
    (0..9).for_each(|seed| other.put(narrowed(seed, None)));
    let plain = build(&mut loaded((0..9).map(|seed| narrowed(seed, None))), 1);
    assert_eq!(build(&mut other, 1).objects, plain.objects);
}

/// Pages that the writer would have cut: it is the reader's to refuse them all the same.
#[test]
fn narrowings_of_more_bytes_than_a_page_may_have_are_refused() {
    let page = |count: u16| {
        let mut page = b"LKP2\x01\x01".to_vec();
        page.extend(count.to_le_bytes());
        page.extend(u32::from(count).to_le_bytes());
        page.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        page.extend([count.to_le_bytes(), [0; 2], count.to_le_bytes()].concat());
        for index in 0..count {
            page.extend([index as u8; 10]);
            page.extend([index as u8, 0, 0xFF, 0xFF, 0xFF, 0]);
        }
        for index in 1..=count {
            page.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, index as u8, 0]);
        }
        page.extend([0; 16]);
        for index in 0..count {
            let narrowing = widest(u64::from(index) + 1);
            page.extend((narrowing.as_bytes().len() as u16).to_le_bytes());
            page.extend(narrowing.as_bytes());
        }
        Page::parse(Kind::NativeKey, &ObjectRef::to(&page), page.into())
    };
    assert_eq!(page(4).unwrap().records(), 4);
    let Err(ObjectError::Parse(error)) = page(5) else { panic!("five of the longest were let in") };
    assert_eq!((error.field, error.fault), ("narrowings", Fault::OutOfRange));
}

/// Where a page with one narrowed key in one bucket has its record, its binding and its narrowing.
const RECORD: usize = HEADER_LEN + 4;
const BINDING: usize = RECORD + 16;
const NARROWING: usize = BINDING + 12 + 16;

#[test]
fn page_of_people_that_the_writer_would_not_have_written_is_refused() {
    let membership =
        Record::Membership { identity: identity(1), organization: ORGANIZATION, role: Role::Admin };
    let ended = Record::EndedSession { session: session(1), forget: ExpiryMinute(30_000_000) };
    let built = build(&mut loaded([membership, collaboration(1, Standing::Member), ended]), 1);
    let check = |kind, at: usize, byte: u8, field| {
        assert_eq!(refused(&built, kind, |page| page[at] = byte).field, field, "{kind:?} {at} {byte}");
    };
    check(Kind::Membership, RECORD + 15, 8, "record flags");
    check(Kind::Membership, RECORD + 15, 1, "record flags");
    check(Kind::Membership, BINDING, 1, "binding project");
    check(Kind::Membership, BINDING + 8, 0, "binding role");
    check(Kind::Membership, BINDING + 9, 1, "binding permission set");
    check(Kind::Membership, BINDING + 10, 1, "binding narrowing");
    check(Kind::Collaboration, RECORD + 15, 2, "record flags");
    check(Kind::Collaboration, RECORD + 15, 4, "record flags");
    check(Kind::Collaboration, RECORD + 12, 0, "record flags");
    check(Kind::Collaboration, BINDING + 8, 3, "binding role");
    check(Kind::EndedSession, RECORD + 15, 2, "record flags");
    check(Kind::EndedSession, RECORD + 12, 1, "epoch");
    check(Kind::EndedSession, BINDING + 4, 1, "binding organization");
    check(Kind::EndedSession, BINDING + 8, 1, "binding role");
    let never = refused(&built, Kind::EndedSession, |page| page[RECORD + 12..RECORD + 15].fill(0xFF));
    assert_eq!((never.field, never.fault), ("record flags", Fault::OutOfRange));
}

#[test]
fn narrowing_that_the_writer_would_not_have_written_is_refused() {
    let content = NarrowingContent { rate: Some(rate(7, 9)), ..NarrowingContent::default() };
    let built = build(&mut loaded([narrowed(1, content.encode().unwrap())]), 1);
    let kind = Kind::NativeKey;
    let check = |change: &dyn Fn(&mut Vec<u8>), field, fault| {
        let error = refused(&built, kind, change);
        assert_eq!((error.field, error.fault), (field, fault));
    };
    check(&|page| page[BINDING + 10] = 2, "binding narrowing", Fault::OutOfRange);
    check(&|page| page[BINDING + 10] = 0, "narrowings", Fault::NotCanonical);
    check(&|page| page[NARROWING] = 14, "narrowing model count", Fault::Truncated);
    check(&|page| page[NARROWING + 2] = 0, "narrowing family", Fault::OutOfRange);
    check(&|page| page[NARROWING + 6] = 0, "narrowing family", Fault::OutOfRange);
    check(&|page| page[NARROWING + 2..NARROWING + 14].fill(0), "narrowing", Fault::NotCanonical);
    check(&|page| page[NARROWING + 14] = 65, "narrowing network count", Fault::OutOfRange);
    check(&|page| page.truncate(NARROWING + 5), "narrowing", Fault::Truncated);
}

fn any_network() -> impl Strategy<Value = Network> {
    (any::<u128>(), 0u8..=128, any::<bool>()).prop_filter_map("a network", |(bits, len, four)| {
        let mask = u128::MAX.checked_shr(u32::from(len)).map_or(u128::MAX, |host| !host);
        let masked = bits & mask;
        let address =
            if four { ((masked >> 96) as u32).to_be_bytes().into() } else { masked.to_be_bytes().into() };
        Network::new(address, len).ok()
    })
}

proptest! {
    /// What was said comes back, read in place, for any lists.
    #[test]
    fn narrowing_reads_back(
        nets in proptest::collection::vec(any_network(), 0..6),
        ids in proptest::collection::vec(("[a-z0-9_-]{1,9}", any::<bool>(), 0usize..6), 0..6),
        names in proptest::collection::vec(("[!#-\\[\\]-~]{1,9}", any::<bool>()), 0..6),
        per_minute: u32,
        client: u128,
    ) {
        let matching = |prefix: bool| if prefix { Matching::Prefix } else { Matching::Exact };
        let mut resources: Vec<_> = ids.iter().map(|(id, prefix, resource)| ResourcePattern {
            resource: ResourceType::ALL[*resource],
            matching: matching(*prefix),
            text: ResourceId::parse(id).unwrap(),
        }).collect();
        let mut models: Vec<_> = names.iter().map(|(name, prefix)| ModelPattern {
            matching: matching(*prefix),
            text: ModelName::parse(name).unwrap(),
        }).collect();
        let rate = NonZeroU32::new(per_minute).map(|per_minute| Rate { per_minute, family: KeyId::from_number(3) });
        let content = NarrowingContent { rate, networks: &nets, resources: &resources, models: &models };
        let Some(encoded) = content.encode().unwrap() else {
            prop_assert!(rate.is_none() && nets.is_empty() && resources.is_empty() && models.is_empty());
            return Ok(());
        };
        let built = build(&mut loaded([narrowed(1, Some(encoded))]), 1);
        let (id, digest) = key(10, 1);
        let query = Query::native_key(&pepper(), id, &digest);
        let page = page_of(&built, &query);
        let read = page.narrowing(&page.find(&query).unwrap()).unwrap();
        let mut expected = nets.clone();
        expected.sort_unstable();
        expected.dedup();
        let client = std::net::IpAddr::from(client.to_be_bytes());
        prop_assert_eq!(read.allows_address(client), nets.is_empty() || nets.iter().any(|net| net.contains(client)));
        prop_assert_eq!(read.networks().collect::<Vec<_>>(), expected);
        resources.sort_unstable();
        resources.dedup();
        models.sort_unstable();
        models.dedup();
        prop_assert_eq!(read.resources().collect::<Vec<_>>(), resources);
        prop_assert_eq!(read.models().collect::<Vec<_>>(), models);
        prop_assert_eq!(read.rate(), rate);
    }
}
