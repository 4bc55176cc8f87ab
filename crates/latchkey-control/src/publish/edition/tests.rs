//! The builder alone: what becomes a delta, what becomes a base, and which base is not signed.

use super::*;
use crate::iam::{Key, KeyProof, Name, Narrowing, Project};
use crate::publish::publisher::Schedule;
use crate::publish::tests::stage::{
    NOW, Stage, created, key, organization, pepper, project, quick, revoked, signer,
};
use crate::publish::{ChainLimits, Keys, records};
use crate::store::Change;
use latchkey_core::{Dice, KeyId, OrganizationNumber, ProjectId, ProjectNumber, Role, Slug};
use latchkey_snapshot::build::HeadContent;
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::{
    Delta, Found, KeyState, Kind, Manifest, Node, Page, Query, Statement, UnverifiedHead,
};

const SMALL: ChainLimits = ChainLimits {
    tip_bytes: 200,
    chain_bytes_min: 700,
    chain_bytes_max: 700,
    base_age_secs: 3600,
    previous_secs: 600,
};

fn shop(stage: &Stage, chain: ChainLimits, canaries: Vec<KeyId>) -> Arc<Shop> {
    let schedule = Schedule { chain, ..quick() };
    let settings = Settings { canaries, ..stage.settings(schedule) };
    let clock = Arc::new(stage.clock.clone());
    Arc::new(Shop::new((stage.store.clone(), clock), Arc::new(settings), Stands::default()))
}

fn stated(stage: &Stage, fresh: &Fresh) -> Statement {
    let statement = fresh.edition.signed(&stage.keyring.borrow(), NOW.seconds()).unwrap();
    let content = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] };
    let bytes = content.sign(&[&signer(3)]).unwrap();
    UnverifiedHead::parse(&bytes).unwrap().verify(&stage.root()).unwrap().statement
}

fn delta(fresh: &Fresh, reference: &latchkey_snapshot::ObjectRef) -> Delta {
    let object = fresh.edition.named.objects().find(|object| object.reference == *reference).unwrap();
    Delta::parse(reference, &object.bytes).unwrap()
}

/// A silent fault: the content says something else, and nothing notes that it was touched.
fn corrupt(builder: &mut Builder, n: u64) {
    let work = builder.work.as_mut().unwrap();
    assert!(work.picture.content.take_touched().is_empty());
    let wrong = Key { role: Role::Admin, ..key(n) };
    work.picture.content.put(records::key(&wrong, OrganizationNumber(1), false).unwrap());
    assert_eq!(work.picture.content.take_touched().len(), 1);
}

/// Projects of which the names alone are more than a delta holds.
fn long_names(first: u32) -> impl Iterator<Item = Change> {
    (first..first + 4_000).map(|number| {
        let slug = format!("a{number:0>62}");
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        Change::Project(Project {
            number: ProjectNumber(number),
            id: ProjectId::generate(&mut Dice::from_seed(&seed)),
            slug: Slug::parse(&slug).unwrap(),
            name: Name::parse(&"é".repeat(100)).unwrap(),
            ..project("alpha")
        })
    })
}

#[tokio::test]
async fn change_is_a_delta_over_the_base_that_is_there() {
    let stage = Stage::new().await;
    stage.commit((1..50).map(created)).await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), Vec::new()), 0);
    let first = stated(&stage, &builder.build().unwrap());
    assert_eq!((first.tip, first.previous), (None, None));
    let generation = stage.commit([revoked(7)]).await;
    let fresh = builder.build().unwrap();
    let second = stated(&stage, &fresh);
    assert_eq!((second.manifest, second.generation), (first.manifest, generation));
    let tip = delta(&fresh, &second.tip.unwrap());
    assert_eq!((tip.removals.from, tip.removals.generation), (first.generation, generation));
    assert_eq!((tip.removals.list().len(), tip.pages().len()), (1, 1));
    // Nothing changed: the same objects under a new signature.
    let third = stated(&stage, &builder.build().unwrap());
    assert_eq!((third.manifest, third.tip), (second.manifest, second.tip));
}

#[tokio::test]
async fn exceptions_travel_in_deltas() {
    let stage = Stage::new().await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), Vec::new()), 0);
    builder.build().unwrap();
    let number = OrganizationNumber(1);
    stage.commit([Change::Organization(organization(true))]).await;
    let fresh = builder.build().unwrap();
    let tip = delta(&fresh, &stated(&stage, &fresh).tip.unwrap());
    assert!(tip.removals.begun.suspends(number) && tip.lifted.is_empty());
    stage.commit([Change::Organization(organization(false))]).await;
    let fresh = builder.build().unwrap();
    let tip = delta(&fresh, &stated(&stage, &fresh).tip.unwrap());
    // The tip was made anew from where it began: over all of it nothing changed.
    assert!(tip.removals.begun.is_empty() && tip.lifted.is_empty());
}

#[tokio::test]
async fn chain_stays_short_and_ends_in_a_base_that_names_the_one_before() {
    let stage = Stage::new().await;
    stage.commit((0..100).map(created)).await;
    let mut builder = Builder::new(shop(&stage, SMALL, Vec::new()), 0);
    let mut before = stated(&stage, &builder.build().unwrap());
    let (mut bases, mut depths, mut dice) = (0, [0; CHAIN_MAX + 1], Dice::from_seed(&[5; 32]));
    for _ in 0..300 {
        let n = u64::from_le_bytes(dice.bytes()) % 200;
        let name = Name::parse(&format!("key {n}")).unwrap();
        let role = if dice.bytes::<1>() > [127] { Role::Admin } else { Role::Member };
        stage.commit([Change::Key(Key { name, role, ..key(n) })]).await;
        let fresh = builder.build().unwrap();
        assert_eq!(fresh.published.held_back, None);
        let now = stated(&stage, &fresh);
        let (mut next, mut depth) = (now.tip, 0);
        while let Some(reference) = next {
            (next, depth) = (delta(&fresh, &reference).removals.parent, depth + 1);
        }
        depths[depth] += 1;
        if now.manifest == before.manifest {
            assert_eq!(now.previous.map(|one| one.manifest), before.previous.map(|one| one.manifest));
        } else {
            bases += 1;
            assert_eq!(now.previous.unwrap().manifest, before.manifest);
            let carried = delta(&fresh, &now.previous.unwrap().tip);
            assert_eq!(carried.removals.generation, now.generation);
        }
        before = now;
    }
    assert!(bases > 2, "{bases}");
    assert!(depths[1] > 0 && depths[2] > 0, "{depths:?}");
}

#[tokio::test]
async fn base_before_is_named_for_ten_minutes_and_a_base_is_at_most_an_hour_old() {
    let stage = Stage::new().await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), Vec::new()), 0);
    let first = stated(&stage, &builder.build().unwrap());
    stage.clock.advance_ms(3_600_000);
    assert_eq!(stated(&stage, &builder.build().unwrap()).manifest, first.manifest, "nothing changed");
    stage.commit([created(1)]).await;
    let second = stated(&stage, &builder.build().unwrap());
    assert_ne!(second.manifest, first.manifest);
    let previous = second.previous.unwrap();
    assert_eq!((previous.manifest, previous.until), (first.manifest, second.issued.plus_secs(600)));
    stage.clock.advance_ms(599_000);
    stage.commit([created(2)]).await;
    let third = stated(&stage, &builder.build().unwrap()).previous.unwrap();
    assert_eq!((third.manifest, third.until), (first.manifest, previous.until));
    assert_ne!(third.tip, previous.tip);
    stage.clock.advance_ms(1_000);
    assert_eq!(stated(&stage, &builder.build().unwrap()).previous, None);
}

#[tokio::test]
async fn change_that_no_delta_can_say_is_a_base_and_still_compared() {
    let stage = Stage::new().await;
    stage.commit((0..50).map(created)).await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), Vec::new()), 0);
    let first = stated(&stage, &builder.build().unwrap());
    stage.commit(long_names(2)).await;
    let fresh = builder.build().unwrap();
    let second = stated(&stage, &fresh);
    assert_eq!((fresh.published.held_back, second.tip, second.previous), (None, None, None));
    assert_ne!(second.manifest, first.manifest);
    corrupt(&mut builder, 7);
    stage.commit(long_names(10_000)).await;
    let fresh = builder.build().unwrap();
    assert!(fresh.published.held_back.is_some());
    assert_eq!(fresh.edition.generation, second.generation, "what is out stays, and confirms no more");
    assert!(fresh.committed > second.generation);
}

#[tokio::test]
async fn base_that_says_something_else_of_what_nobody_touched_is_not_signed() {
    let stage = Stage::new().await;
    stage.commit((0..50).map(created)).await;
    let limits = ChainLimits { chain_bytes_min: 100, chain_bytes_max: 100, ..SMALL };
    let shop = shop(&stage, limits, Vec::new());
    let mut builder = Builder::new(shop.clone(), 0);
    let first = stated(&stage, &builder.build().unwrap());
    corrupt(&mut builder, 7);
    let generation = stage.commit([revoked(8)]).await;
    let fresh = builder.build().unwrap();
    let second = stated(&stage, &fresh);
    assert!(fresh.published.held_back.as_ref().unwrap().contains("nobody touched"), "{:?}", fresh.published);
    assert_eq!((second.manifest, second.generation), (first.manifest, generation), "the delta goes out");
    // It stays so, whatever comes and whoever builds, until an operator releases it.
    let generation = stage.commit([revoked(9)]).await;
    let third = stated(&stage, &builder.build().unwrap());
    assert_eq!((third.manifest, third.generation), (first.manifest, generation));
    let mut other = Builder::new(shop, 0);
    assert!(matches!(other.build(), Err(EditionError::HeldBack(Breach::Untouched(_)))));
    stage.commit([Change::ReleasePublishing]).await;
    let fresh = builder.build().unwrap();
    assert_eq!(fresh.published.held_back, None);
    assert_ne!(stated(&stage, &fresh).manifest, first.manifest);
    other.build().unwrap();
}

#[tokio::test]
async fn base_whose_canary_answers_otherwise_than_the_store_is_not_signed() {
    let stage = Stage::new().await;
    stage.commit((0..50).map(created)).await;
    let limits = ChainLimits { chain_bytes_min: 100, chain_bytes_max: 100, ..SMALL };
    let mut builder = Builder::new(shop(&stage, limits, vec![key(7).id, key(4_000).id]), 0);
    let first = stated(&stage, &builder.build().unwrap());
    let wrong = Key { role: Role::Admin, ..key(7) };
    let record = records::key(&wrong, OrganizationNumber(1), false).unwrap();
    builder.work.as_mut().unwrap().picture.content.put(record);
    stage.commit([revoked(8)]).await;
    let fresh = builder.build().unwrap();
    assert!(fresh.published.held_back.as_ref().unwrap().contains("canary"), "{:?}", fresh.published);
    assert_eq!(stated(&stage, &fresh).manifest, first.manifest);
}

#[tokio::test]
async fn change_to_a_canarys_key_is_another_manifest_of_the_same_pages_and_nobody_goes_on_with_the_one_before()
 {
    let stage = Stage::new().await;
    stage.commit((0..50).map(created)).await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), vec![key(7).id]), 0);
    let first = stated(&stage, &builder.build().unwrap());
    stage.commit([revoked(8)]).await;
    let second = stated(&stage, &builder.build().unwrap());
    assert_eq!((second.manifest, second.tip.is_some()), (first.manifest, true));
    let generation = stage.commit([revoked(7)]).await;
    let fresh = builder.build().unwrap();
    let third = stated(&stage, &fresh);
    assert_eq!(fresh.published.held_back, None);
    assert_ne!(third.manifest, first.manifest, "its canary would answer otherwise than it says");
    assert_eq!((third.generation, third.previous), (generation, None));
    let (before, now) = (manifest(&fresh, &first.manifest), manifest(&fresh, &third.manifest));
    assert!(before.is_none(), "the sink needs it no more");
    let (now, tip) = (now.unwrap(), delta(&fresh, &third.tip.unwrap()));
    assert_eq!((now.generation, tip.removals.from), (first.generation, first.generation));
    assert_eq!((tip.removals.base, tip.removals.parent), (third.manifest, None));
    assert!(
        now.canaries.iter().any(|canary| canary.expected.is_some_and(|one| one.state == KeyState::Revoked))
    );
    // It is a line as any other.
    let generation = stage.commit([created(9)]).await;
    let fourth = stated(&stage, &builder.build().unwrap());
    assert_eq!((fourth.manifest, fourth.generation), (third.manifest, generation));
}

fn manifest(fresh: &Fresh, reference: &latchkey_snapshot::ObjectRef) -> Option<Manifest> {
    let object = fresh.edition.named.objects().find(|object| object.reference == *reference)?;
    Some(Manifest::parse(reference, &object.bytes).unwrap())
}

/// The stage's keyring, with these session keys.
fn with_session_keys(stage: &Stage, seeds: &[u8]) {
    let session_keys = seeds.iter().map(|seed| latchkey_snapshot::manifest::TokenKey {
        public: signer(*seed).public(),
        not_before: latchkey_core::UnixSeconds(0),
        not_after: latchkey_core::UnixSeconds(u64::MAX / 2),
    });
    let keys = Keys {
        roots: stage.keyring.borrow().roots().to_vec(),
        release: vec![signer(2)],
        head: vec![signer(3)],
        session_keys: session_keys.collect(),
        edge_keys: Vec::new(),
        pepper: pepper(),
    };
    stage.keyring.send_replace(Arc::new(Keyring::new(keys).unwrap()));
}

#[tokio::test]
async fn stolen_session_key_goes_at_once_though_a_base_is_held_back() {
    let stage = Stage::new().await;
    with_session_keys(&stage, &[11, 12]);
    stage.commit((0..50).map(created)).await;
    let limits = ChainLimits { chain_bytes_min: 100, chain_bytes_max: 100, ..SMALL };
    let mut builder = Builder::new(shop(&stage, limits, Vec::new()), 0);
    builder.build().unwrap();
    corrupt(&mut builder, 7);
    stage.commit([revoked(8)]).await;
    let held_back = builder.build().unwrap();
    assert!(held_back.published.held_back.is_some());
    with_session_keys(&stage, &[11]);
    let fresh = builder.build().unwrap();
    assert!(fresh.published.held_back.is_some(), "that is for an operator to decide");
    let statement = stated(&stage, &fresh);
    let now = manifest(&fresh, &statement.manifest).unwrap();
    assert_eq!(now.session_keys.iter().map(|key| key.public).collect::<Vec<_>>(), [signer(11).public()]);
    assert_eq!(state_of(&fresh, &stage, 7), Some((KeyState::Active, Some(Role::Member))), "the old pages");
    assert_eq!(state_of(&fresh, &stage, 8).unwrap().0, KeyState::Revoked);
    // The pages are those that sinks hold.
    let held: Vec<_> = held_back.edition.named.objects().map(|object| object.reference).collect();
    let lacking = fresh.edition.named.objects().filter(|object| !held.contains(&object.reference));
    assert_eq!(lacking.count(), 2, "a manifest and a delta");
}

#[tokio::test]
async fn replaced_session_key_costs_a_manifest_and_no_base_on_every_line() {
    let stage = Stage::new().await;
    with_session_keys(&stage, &[11, 12]);
    stage.commit((0..50).map(created)).await;
    let shop = shop(&stage, ChainLimits::default(), Vec::new());
    let mut builder = Builder::new(shop.clone(), 0);
    let first = builder.build().unwrap();
    // A sink that does not get any further than this base.
    shop.stands.note(0, first.edition.line);
    stage.clock.advance_ms(3_600_000);
    stage.commit([created(60)]).await;
    let fresh = builder.build().unwrap();
    assert_eq!((fresh.edition.older.len(), fresh.edition.older[0].line), (1, first.edition.line));
    stage.clock.advance_ms(3_600_000);
    assert_eq!(builder.build().unwrap().edition.older.len(), 1, "for as long as it stands there");
    with_session_keys(&stage, &[11]);
    let fresh = builder.build().unwrap();
    let older = &fresh.edition.older[0];
    assert_eq!(older.line, first.edition.line);
    for edition in [&fresh.edition, older] {
        let reference = edition.statement.manifest;
        let object = edition.named.objects().find(|object| object.reference == reference).unwrap();
        let manifest = Manifest::parse(&reference, &object.bytes).unwrap();
        assert_eq!((manifest.session_keys.len(), edition.statement.previous), (1, None));
        assert_eq!(edition.generation, fresh.committed);
    }
    shop.stands.note(0, fresh.edition.line);
    assert!(builder.build().unwrap().edition.older.is_empty());
}

#[tokio::test]
async fn base_before_is_left_when_a_canarys_key_changes() {
    let stage = Stage::new().await;
    let mut builder = Builder::new(shop(&stage, ChainLimits::default(), vec![key(7).id]), 0);
    stage.commit([created(7)]).await;
    builder.build().unwrap();
    stage.clock.advance_ms(3_600_000);
    stage.commit([created(1)]).await;
    assert!(stated(&stage, &builder.build().unwrap()).previous.is_some());
    stage.commit([revoked(7)]).await;
    assert_eq!(stated(&stage, &builder.build().unwrap()).previous, None);
}

#[tokio::test]
async fn base_names_the_operators_keys_and_one_that_never_was() {
    let stage = Stage::new().await;
    stage.commit([created(1), revoked(2)]).await;
    let view = stage.store.read().unwrap();
    let canaries = canaries::expected(&view, &pepper(), &[key(1).id, key(2).id, key(3).id]).unwrap();
    let expected: Vec<_> = canaries.iter().map(|canary| canary.expected.map(|one| one.state)).collect();
    use latchkey_snapshot::KeyState::{Active, Revoked};
    assert_eq!(canaries.len(), 3, "a key that is not there is none");
    assert!(
        expected.contains(&None) && expected.contains(&Some(Active)) && expected.contains(&Some(Revoked))
    );
}

#[tokio::test]
async fn key_leaves_the_snapshot_when_it_is_buried_and_a_restart_agrees() {
    let stage = Stage::new().await;
    stage.commit([created(1), created(2)]).await;
    stage.commit([revoked(1), revoked(2)]).await;
    let limits = ChainLimits { chain_bytes_min: 0, chain_bytes_max: 0, ..SMALL };
    let shop = shop(&stage, limits, Vec::new());
    let mut builder = Builder::new(shop.clone(), 0);
    let before = builder.build().unwrap().published.base_bytes;
    stage.commit([Change::TombstonesUpTo(NOW), Change::Bury(key(1).id), Change::Bury(key(2).id)]).await;
    let fresh = builder.build().unwrap();
    assert!(fresh.published.base_bytes < before);
    let grown = stated(&stage, &fresh).manifest;
    assert_eq!(stated(&stage, &Builder::new(shop, 0).build().unwrap()).manifest, grown);
}

/// What an edge finds that follows this edition.
fn state_of(fresh: &Fresh, stage: &Stage, n: u64) -> Option<(KeyState, Option<Role>)> {
    let KeyProof::Native(digest) = key(n).proof else { unreachable!("the stage's keys are native") };
    found(fresh, stage, &Query::native_key(&pepper(), key(n).id, &digest))
}

fn found(fresh: &Fresh, stage: &Stage, query: &Query) -> Option<(KeyState, Option<Role>)> {
    let statement = stated(stage, fresh);
    let mut next = statement.tip;
    while let Some(reference) = next {
        let delta = delta(fresh, &reference);
        match delta.find(query) {
            Found::Gone => return None,
            Found::Here(_, entry) => return Some((entry.state, entry.binding.role)),
            Found::Unknown => next = delta.removals.parent,
        }
    }
    let bytes = |reference: &latchkey_snapshot::ObjectRef| {
        let mut objects = fresh.edition.named.objects();
        objects.find(|object| object.reference == *reference).unwrap().bytes.clone()
    };
    let manifest = Manifest::parse(&statement.manifest, &bytes(&statement.manifest)).unwrap();
    let section = manifest.section(query.kind)?;
    let node = section.nodes.iter().rev().find(|node| node.first_place <= query.place)?;
    let node = Node::parse(query.kind, &node.object, &bytes(&node.object)).unwrap();
    let page = node.pages().iter().rev().find(|page| page.first_place <= query.place)?;
    let page = Page::parse(query.kind, &page.object, bytes(&page.object)[..].into()).unwrap();
    page.find(query).map(|entry| (entry.state, entry.binding.role))
}

#[tokio::test]
async fn held_grants_stay_in_and_refusals_go_out_until_they_are_released() {
    use KeyState::{Active, Disabled, Revoked};
    // A base at every change: not even that lets a grant out.
    for limits in [ChainLimits::default(), ChainLimits { chain_bytes_min: 0, chain_bytes_max: 0, ..SMALL }] {
        let stage = Stage::new().await;
        let admin = Key { role: Role::Admin, ..key(1) };
        let disabled = Key { disabled_at: Some(NOW), ..key(4) };
        let narrowing = Narrowing { rate_per_minute: Some(10), ..Narrowing::default() };
        let narrowed = Key { narrowing, ..key(9) };
        stage.commit([Change::Key(admin), created(2), created(3), Change::Key(disabled)]).await;
        stage.commit([Change::Key(narrowed)]).await;
        let shop = shop(&stage, limits, Vec::new());
        let mut builder = Builder::new(shop.clone(), 0);
        builder.build().unwrap();
        stage.commit([Change::Organization(organization(true))]).await;
        builder.build().unwrap();
        stage.commit([Change::HoldPublishing(NOW)]).await;
        // Lowered, raised, revoked, enabled, and a new one; and more refusals than a head takes.
        let raised = Key { role: Role::Admin, ..key(2) };
        stage.commit([created(1), Change::Key(raised), revoked(3), created(4), created(5), created(9)]).await;
        stage.commit([Change::Organization(organization(false))]).await;
        let generation = stage.commit((1_000..1_100).map(revoked)).await;
        let fresh = builder.build().unwrap();
        assert_eq!(fresh.edition.generation, generation, "an edge is as young as ever");
        let seen = [1, 2, 3, 4, 5, 1_050].map(|n| state_of(&fresh, &stage, n));
        let member = Some(Role::Member);
        assert_eq!(
            seen,
            [
                Some((Active, member)),
                Some((Active, member)),
                Some((Revoked, member)),
                Some((Disabled, member)),
                None,
                Some((Revoked, member))
            ]
        );
        assert!(builder.work.as_ref().unwrap().picture.exceptions().suspends(OrganizationNumber(1)));
        // One that begins under the hold goes on from what was out.
        keep(&stage, &fresh).await;
        let mut other = Builder::new(shop, 0);
        let begun = other.build().unwrap();
        assert_eq!([1, 2, 3, 4, 5, 1_050].map(|n| state_of(&begun, &stage, n)), seen);
        if limits.chain_bytes_max == 0 {
            let manifests = [&begun, &fresh].map(|fresh| stated(&stage, fresh).manifest);
            assert_eq!(manifests[0], manifests[1], "to the byte");
        }
        assert!(other.work.as_ref().unwrap().picture.exceptions().suspends(OrganizationNumber(1)));
        stage.commit([revoked(2), created(6)]).await;
        let begun = other.build().unwrap();
        assert_eq!(state_of(&begun, &stage, 2), Some((Revoked, member)), "what refuses goes out");
        assert_eq!(state_of(&begun, &stage, 6), None);
        builder.build().unwrap();
        stage.commit([Change::ReleasePublishing]).await;
        let fresh = builder.build().unwrap();
        assert_eq!(fresh.published.held_back, None);
        let seen = [1, 2, 3, 4, 5].map(|n| state_of(&fresh, &stage, n));
        let (active, revoked) = (Some((Active, member)), Some((Revoked, member)));
        assert_eq!(seen, [active, revoked, revoked, active, active]);
        assert!(!builder.work.as_ref().unwrap().picture.exceptions().suspends(OrganizationNumber(1)));
        let begun = other.build().unwrap();
        assert_eq!([1, 2, 3, 4, 5].map(|n| state_of(&begun, &stage, n)), seen, "as if nothing had been held");
        assert!(!other.work.as_ref().unwrap().picture.exceptions().suspends(OrganizationNumber(1)));
    }
}

/// What the press does before an edition goes out.
async fn keep(stage: &Stage, fresh: &Fresh) {
    if let Some(withheld) = &fresh.withheld {
        stage.store.put_publish_state(Withheld::NAME, withheld.to_bytes().unwrap()).await.unwrap();
    }
    Bookmark { generation: fresh.edition.generation, ..Bookmark::default() }
        .keep(&stage.store)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_granted_between_the_last_statement_and_a_crash_is_held_back_too() {
    use KeyState::{Active, Revoked};
    for is_stated_under_the_hold in [false, true] {
        let stage = Stage::new().await;
        stage.commit((1..10).map(created)).await;
        let shop = shop(&stage, ChainLimits::default(), Vec::new());
        let mut builder = Builder::new(shop.clone(), 0);
        keep(&stage, &builder.build().unwrap()).await;
        stage.commit([Change::HoldPublishing(NOW)]).await;
        if is_stated_under_the_hold {
            keep(&stage, &builder.build().unwrap()).await;
        }
        // No statement says these.
        let raised = Key { role: Role::Admin, ..key(2) };
        stage.commit([created(100), Change::Key(raised), revoked(3)]).await;
        let mut begun = Builder::new(shop, 0);
        let fresh = begun.build().unwrap();
        assert_eq!(fresh.edition.generation, fresh.committed, "an edge is as young as ever");
        let member = Some(Role::Member);
        let seen = [1, 2, 3, 100].map(|n| state_of(&fresh, &stage, n));
        // What it was before is not known any more.
        assert_eq!(seen, [Some((Active, member)), None, Some((Revoked, member)), None]);
        keep(&stage, &fresh).await;
        stage.commit([Change::ReleasePublishing]).await;
        let fresh = begun.build().unwrap();
        let seen = [2, 100].map(|n| state_of(&fresh, &stage, n));
        assert_eq!(seen, [Some((Active, Some(Role::Admin))), Some((Active, member))]);
    }
}

#[tokio::test]
async fn hold_over_a_restart_keeps_projects_budgets_and_people_as_they_were() {
    use crate::publish::tests::stage::{identity_of, membership, owner};
    let stage = Stage::new().await;
    let archived = Project { archived_at: Some(NOW), ..project("alpha") };
    let person = identity_of(9, membership(Role::Member).identity, owner());
    stage.commit([Change::Identity(person), Change::Membership(membership(Role::Member))]).await;
    stage.commit([created(1), Change::Project(archived)]).await;
    let shop = shop(&stage, ChainLimits::default(), Vec::new());
    let mut builder = Builder::new(shop.clone(), 0);
    keep(&stage, &builder.build().unwrap()).await;
    stage.commit([Change::HoldPublishing(NOW)]).await;
    // Another slug would be a way in as well.
    stage.commit([Change::Project(project("beta")), Change::Membership(membership(Role::Admin))]).await;
    let held = builder.build().unwrap();
    keep(&stage, &held).await;
    let mut begun = Builder::new(shop, 0);
    begun.build().unwrap();
    let alike = |one: &Builder, other: &Builder| {
        let said = |builder: &Builder| {
            let picture = &builder.work.as_ref().unwrap().picture;
            let lens = [Kind::ProjectReference, Kind::Membership].map(|kind| picture.content.len(kind));
            (picture.exceptions(), lens)
        };
        assert_eq!(said(one), said(other));
    };
    let is_archived =
        |builder: &Builder| builder.work.as_ref().unwrap().picture.exceptions().archives(ProjectNumber(1));
    alike(&begun, &builder);
    assert!(is_archived(&begun), "revived, but that is held");
    let member = Query::membership(&pepper(), &membership(Role::Admin).identity, OrganizationNumber(1));
    let fresh = begun.build().unwrap();
    assert_eq!(found(&fresh, &stage, &member).unwrap().1, Some(Role::Member));
    stage.commit([Change::ReleasePublishing]).await;
    let fresh = begun.build().unwrap();
    builder.build().unwrap();
    alike(&begun, &builder);
    assert!(!is_archived(&begun));
    assert_eq!(found(&fresh, &stage, &member).unwrap().1, Some(Role::Admin));
}

#[tokio::test]
async fn withheld_that_is_cut_off_is_an_error_and_not_nothing() {
    let stage = Stage::new().await;
    let shop = shop(&stage, ChainLimits::default(), Vec::new());
    let mut builder = Builder::new(shop.clone(), 0);
    builder.build().unwrap();
    stage.commit([Change::HoldPublishing(NOW)]).await;
    stage.commit([created(5)]).await;
    let bytes = builder.build().unwrap().withheld.unwrap().to_bytes().unwrap();
    for len in 0..bytes.len() {
        stage.store.put_publish_state(Withheld::NAME, bytes[..len].to_vec()).await.unwrap();
        let error = Builder::new(shop.clone(), 0).build().err().unwrap();
        assert!(matches!(error, EditionError::Store(StoreError::Corrupt(_))), "{len}: {error}");
    }
    stage.store.put_publish_state(Withheld::NAME, bytes).await.unwrap();
    Builder::new(shop, 0).build().unwrap();
}
