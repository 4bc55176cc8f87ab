//! The publisher as a whole: what must reach a sink, in which order, whatever fails.

mod gaps;
mod published;
mod rotation;
mod rules;
mod setback;
pub(in crate::publish) mod stage;

use super::{ChainLimits, DirectorySink, PublishError, PublishStatus, Publisher, Schedule, Sink};
use crate::iam::{Key, KeyProof};
use crate::store::Change;
use latchkey_core::{Generation, Role, UnixMillis};
use latchkey_snapshot::{Head, InlineSubject, Query, Reason};
use stage::{
    Hub, NOW, Stage, awaited, created, key, membership, organization, pepper, project, quick, revoked,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn tag(n: u64) -> InlineSubject {
    let KeyProof::Native(digest) = key(n).proof else { unreachable!("the stage's keys are native") };
    InlineSubject::Tag(Query::native_key(&pepper(), key(n).id, &digest).tag)
}

fn tells(head: &Head, subject: InlineSubject) -> bool {
    head.inline.iter().any(|inline| inline.subject == subject)
}

/// A stage whose key 1 a hub holds, and its publisher.
async fn published() -> (Stage, Arc<Hub>, Publisher, Generation) {
    let stage = Stage::new().await;
    let hub = Hub::new(&stage);
    let generation = stage.commit([created(1)]).await;
    let publisher = stage.start(vec![hub.clone()]);
    hub.statement(generation).await;
    (stage, hub, publisher, generation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_rides_in_a_head_while_its_page_is_still_going_up() {
    let (stage, hub, _publisher, before) = published().await;
    hub.holds_up_objects.send_replace(true);
    let generation = stage.commit([revoked(1)]).await;
    let head = hub.head(|head| tells(head, tag(1))).await;
    assert_eq!(head.statement.generation, before);
    assert_eq!((head.inline[0].generation, head.inline[0].reason), (generation, Reason::Revoked));
    hub.holds_up_objects.send_replace(false);
    let head = hub.statement(generation).await;
    assert!(head.inline.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspension_rides_and_a_lowered_role_is_none() {
    let (stage, hub, _publisher, _) = published().await;
    stage.commit([Change::Membership(membership(Role::Admin))]).await;
    let before = stage.commit([Change::Membership(membership(Role::Member))]).await;
    hub.statement(before).await;
    hub.holds_up_objects.send_replace(true);
    let project = InlineSubject::Organization(latchkey_core::OrganizationNumber(1));
    stage.commit([Change::Organization(organization(true))]).await;
    hub.head(|head| tells(head, project)).await;
    hub.holds_up_objects.send_replace(false);
    let resumed = stage.commit([Change::Organization(organization(false))]).await;
    hub.statement(resumed).await;
    let suspended_early = hub.heads.borrow().iter().any(|head| {
        head.inline.iter().any(|inline| inline.subject == project && inline.generation <= before)
    });
    assert!(!suspended_early);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_that_lacks_a_new_key_does_not_claim_to_be_young() {
    let (stage, hub, _publisher, before) = published().await;
    stage.clock.advance_ms(2_000);
    hub.head(|head| head.as_of >= NOW.plus_ms(2_000)).await;
    hub.holds_up_objects.send_replace(true);
    stage.commit([created(2)]).await;
    stage.clock.advance_ms(60_000);
    stage.commit([revoked(1)]).await;
    let head = hub.head(|head| tells(head, tag(1))).await;
    assert_eq!(head.statement.generation, before);
    assert!(head.as_of < NOW.plus_ms(60_000), "{:?}", head.as_of);
    hub.holds_up_objects.send_replace(false);
    hub.head(|head| head.as_of >= NOW.plus_ms(62_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_refusals_than_a_head_takes_go_straight_into_a_statement() {
    let (stage, hub, _publisher, _) = published().await;
    stage.commit((0..65).map(created)).await;
    let generation = stage.commit((0..65).map(revoked)).await;
    hub.statement(generation).await;
    assert!(hub.heads.borrow().iter().all(|head| head.inline.is_empty()));
}

/// A stage whose hub has a first base and is slow to take another, which is on its way to it; and what it holds.
async fn base_on_its_way(takes_only_named: bool) -> (Stage, Arc<Hub>, Publisher, Head) {
    let (stage, hub, publisher, _) = published().await;
    hub.takes_only_named.store(takes_only_named, Ordering::SeqCst);
    hub.holds_up_bases.send_replace(true);
    stage.clock.advance_ms(3_600_000);
    let generation = stage.commit([created(2)]).await;
    let first = hub.statement(generation).await;
    (stage, hub, publisher, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_and_refusals_go_on_as_deltas_while_a_new_base_is_on_its_way() {
    for takes_only_named in [false, true] {
        let (stage, hub, publisher, before) = base_on_its_way(takes_only_named).await;
        for round in 1..5 {
            stage.clock.advance_ms(10_000);
            let granted = stage.commit([created(100 + round)]).await;
            assert_eq!(hub.statement(granted).await.statement.manifest, before.statement.manifest);
            // More than ride in a head.
            let refused = stage.commit((0..65).map(|n| revoked(1_000 * round + n))).await;
            let head = hub.statement(refused).await;
            assert_eq!(head.statement.manifest, before.statement.manifest);
            hub.head(|head| head.as_of >= NOW.plus_ms(3_600_000 + 10_000 * round)).await;
            publisher.wait(refused).await;
        }
        assert_eq!(publisher.status().sinks[0].last_error, None);
        hub.holds_up_bases.send_replace(false);
        let head = hub.head(|head| head.statement.manifest != before.statement.manifest).await;
        let generation = stage.commit([created(200)]).await;
        let last = hub.statement(generation).await;
        assert_eq!(last.statement.manifest, head.statement.manifest, "it does not go back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_that_is_slow_to_take_bases_holds_back_no_other_and_stands_through_several() {
    let stage = Stage::new().await;
    let (slow, quick) = (Hub::named(&stage, "slow"), Hub::named(&stage, "quick"));
    let publisher = stage.start(vec![slow.clone(), quick.clone()]);
    let first = stage.commit([created(1)]).await;
    publisher.wait(first).await;
    let held = slow.statement(first).await.statement.manifest;
    slow.holds_up_bases.send_replace(true);
    let mut bases = std::collections::BTreeSet::new();
    for n in 2..6 {
        stage.clock.advance_ms(3_600_000);
        let generation = stage.commit([created(n)]).await;
        bases.insert(quick.statement(generation).await.statement.manifest);
        let generation = stage.commit([revoked(n)]).await;
        bases.insert(quick.statement(generation).await.statement.manifest);
        assert_eq!(slow.statement(generation).await.statement.manifest, held);
    }
    assert!(bases.len() > 3, "{}", bases.len());
    slow.holds_up_bases.send_replace(false);
    let newest = quick.last().statement.manifest;
    slow.head(|head| head.statement.manifest == newest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_that_does_not_arrive_is_told_of_though_heads_do() {
    let (stage, hub, publisher, before) = base_on_its_way(false).await;
    hub.refuses_bases.store(true, Ordering::SeqCst);
    hub.holds_up_bases.send_replace(false);
    let generation = stage.commit([created(3)]).await;
    hub.statement(generation).await;
    let mut status = publisher.watch();
    let told = |status: &PublishStatus| {
        let error = status.sinks[0].last_error.as_deref();
        status.sinks[0].as_of > NOW.plus_ms(3_660_000) && error.is_some_and(|error| error.contains("disk"))
    };
    stage.clock.advance_ms(120_000);
    awaited("the sink's error", status.wait_for(told)).await.unwrap();
    hub.refuses_bases.store(false, Ordering::SeqCst);
    hub.head(|head| head.statement.manifest != before.statement.manifest).await;
    status.wait_for(|status| status.sinks[0].last_error.is_none()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_under_a_hold_goes_on_refusing_and_lets_nothing_in() {
    let (stage, hub, publisher, _) = published().await;
    stage.commit([Change::HoldPublishing(NOW)]).await;
    hub.statement(stage.commit([created(2)]).await).await;
    publisher.stop().await;
    let crashed_at = hub.last().as_of;
    stage.commit([created(3)]).await;
    stage.clock.advance_ms(60_000);
    let publisher = stage.start(vec![hub.clone()]);
    hub.head(|head| head.as_of >= crashed_at.plus_ms(60_000)).await;
    hub.holds_up_objects.send_replace(true);
    let generation = stage.commit([revoked(1)]).await;
    hub.head(|head| tells(head, tag(1))).await;
    hub.holds_up_objects.send_replace(false);
    publisher.wait(generation).await;
    let many = stage.commit((1_000..1_100).map(revoked)).await;
    hub.statement(many).await;
    assert!(!hub.knows_key(2) && !hub.knows_key(3) && hub.knows_key(1_050));
    let released = stage.commit([Change::ReleasePublishing]).await;
    hub.statement(released).await;
    assert!(hub.knows_key(2) && hub.knows_key(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_at_any_call_is_resumed_and_heads_only_rise() {
    for calls in 0..12 {
        let stage = Stage::new().await;
        let hub = Hub::new(&stage);
        hub.fails_in.store(calls, Ordering::SeqCst);
        stage.commit([created(1)]).await;
        let publisher = stage.start(vec![hub.clone()]);
        // Until the failure, or until all is there.
        let mut status = publisher.watch();
        let failed = |status: &super::PublishStatus| status.sinks[0].last_error.is_some();
        let done = |status: &super::PublishStatus| status.published() == Generation(2);
        status.wait_for(|status| failed(status) || done(status)).await.unwrap();
        publisher.stop().await;
        hub.fails_in.store(u64::MAX, Ordering::SeqCst);
        let generation = stage.commit([revoked(1)]).await;
        let publisher = stage.start(vec![hub.clone()]);
        hub.statement(generation).await;
        publisher.wait(generation).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_is_renewed_though_nothing_changed() {
    let stage = Stage::new().await;
    let hub = Hub::new(&stage);
    let schedule = Schedule { statement_every: Duration::from_millis(5), ..quick() };
    let _publisher = stage.start_with(vec![hub.clone()], schedule);
    let first = hub.head(|_| true).await.statement;
    stage.clock.advance_ms(600_000);
    let renewed = hub.head(|head| head.statement.issued > first.issued).await.statement;
    assert_eq!((renewed.generation, renewed.manifest), (first.generation, first.manifest));
    assert_eq!(renewed.use_by.0, renewed.issued.0 + 3600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_goes_back_far_stops_heads_and_is_reported() {
    let (stage, hub, publisher, _) = published().await;
    stage.clock.set(NOW.0 - 10_000);
    let mut status = publisher.watch();
    let told = |error: &String| error.contains("the clock is");
    let status = status.wait_for(|status| status.sinks[0].last_error.as_ref().is_some_and(told));
    status.await.unwrap();
    let silent_at = hub.last().as_of;
    stage.clock.set(NOW.0 + 1_000);
    hub.head(|head| head.as_of > silent_at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_that_was_down_catches_up() {
    let (stage, hub, publisher, _) = published().await;
    hub.is_down.store(true, Ordering::SeqCst);
    stage.commit([created(2)]).await;
    let generation = stage.commit([revoked(1)]).await;
    let mut status = publisher.watch();
    status.wait_for(|status| status.sinks[0].last_error.is_some() && status.lag() > 0).await.unwrap();
    hub.is_down.store(false, Ordering::SeqCst);
    hub.statement(generation).await;
    status.wait_for(|status| status.sinks[0].last_error.is_none() && status.lag() == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_that_lost_its_objects_gets_them_again() {
    let (stage, hub, _publisher, _) = published().await;
    hub.forget();
    let generation = stage.commit([created(2)]).await;
    hub.statement(generation).await;
    hub.forget();
    let as_of = hub.last().as_of;
    hub.head(|head| head.as_of > as_of.plus_ms(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_anywhere_is_reported_and_publishing_goes_on() {
    let stage = Stage::new().await;
    let hub = Hub::new(&stage);
    let schedule = Schedule { statement_every: Duration::from_millis(5), ..quick() };
    let publisher = stage.start_with(vec![hub.clone()], schedule);
    hub.head(|_| true).await;
    stage.clock.is_broken.store(true, Ordering::SeqCst);
    let mut status = publisher.watch();
    let all_told = |status: &PublishStatus| {
        let told = |error: Option<&str>| error.is_some_and(|error| error.contains("broke off"));
        told(status.fault()) && told(status.sinks[0].last_error.as_deref())
    };
    status.wait_for(all_told).await.unwrap();
    stage.clock.is_broken.store(false, Ordering::SeqCst);
    let generation = stage.commit([created(2)]).await;
    hub.statement(generation).await;
    status.wait_for(|status| status.fault().is_none() && status.lag() == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_sink_does_not_hold_back_another() {
    let stage = Stage::new().await;
    let (broken, healthy) = (Hub::named(&stage, "broken"), Hub::named(&stage, "healthy"));
    broken.is_down.store(true, Ordering::SeqCst);
    let publisher = stage.start(vec![broken.clone(), healthy.clone()]);
    stage.commit([created(1)]).await;
    let generation = stage.commit([revoked(1)]).await;
    healthy.statement(generation).await;
    assert_eq!(publisher.status().published(), Generation(0));
    broken.is_down.store(false, Ordering::SeqCst);
    publisher.wait(generation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_publishes_the_same_bytes_that_changes_led_to() {
    let stage = Stage::new().await;
    let hub = Hub::new(&stage);
    // Every change is a base of its own.
    let chain = ChainLimits { chain_bytes_min: 0, chain_bytes_max: 0, ..ChainLimits::default() };
    let publisher = stage.start_with(vec![hub.clone()], Schedule { chain, ..quick() });
    hub.statement(stage.commit([created(1)]).await).await;
    let expiring = Key { expires: latchkey_core::ExpiryMinute::floor(NOW.seconds()), ..key(4) };
    stage.commit((2..9).filter(|n| *n != 4).map(created).chain([Change::Key(key(4))])).await;
    stage.commit([revoked(2), Change::Key(Key { disabled_at: Some(NOW), ..key(3) })]).await;
    stage.commit([Change::Project(project("renamed")), Change::Key(expiring)]).await;
    let generation = stage.commit([Change::Organization(organization(true))]).await;
    let is_base = |head: &Head| head.statement.generation == generation && head.statement.tip.is_none();
    let grown = hub.head(is_base).await.statement.manifest;
    publisher.stop().await;
    let other = Hub::named(&stage, "other");
    let _publisher = stage.start(vec![other.clone()]);
    assert_eq!(other.statement(generation).await.statement.manifest, grown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_older_than_what_was_published_is_refused() {
    let (stage, _hub, publisher, _) = published().await;
    publisher.stop().await;
    let bookmark = [&[1u8][..], &1u32.to_le_bytes(), &999u64.to_le_bytes(), &NOW.0.to_le_bytes()].concat();
    stage.store.put_publish_state("bookmark", bookmark).await.unwrap();
    let seeds = crate::outside::SystemSeeds;
    let clock = Arc::new(stage.clock.clone());
    let started = Publisher::start(stage.store.clone(), clock, &seeds, stage.settings(quick()), Vec::new());
    let error = started.map(drop).unwrap_err();
    assert!(matches!(error, PublishError::StateIsOlder { published: Generation(999), .. }), "{error}");
}

/// An older copy of the database would bring back what was revoked since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_signed_once_a_sink_holds_what_the_database_never_had() {
    let (newer, hub, publisher, _) = published().await;
    newer.commit([created(2)]).await;
    let generation = newer.commit([revoked(2)]).await;
    hub.statement(generation).await;
    publisher.stop().await;
    let before = hub.last();
    let copy = Stage::new().await;
    let publisher = copy.start(vec![hub.clone()]);
    let mut status = publisher.watch();
    let reported = |status: &PublishStatus| {
        let error = status.sinks[0].last_error.as_deref();
        error.is_some_and(|error| error.contains("older copy"))
    };
    tokio::time::timeout(Duration::from_secs(10), status.wait_for(reported)).await.unwrap().unwrap();
    assert_eq!(hub.last(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directory_holds_a_head_and_all_it_names() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(DirectorySink::open(folder.path(), stage.keyring.subscribe(), 1_000).unwrap());
    let publisher = stage.start(vec![sink.clone()]);
    let generation = stage.commit([created(1)]).await;
    publisher.wait(generation).await;
    let held = sink.held().await.unwrap();
    assert_eq!((held.root_version, held.head.unwrap().0), (1, generation));
    let head = std::fs::read(folder.path().join("head")).unwrap();
    let head = latchkey_snapshot::UnverifiedHead::parse(&head).unwrap().verify(&stage.root()).unwrap();
    let manifest = folder.path().join("objects").join(head.statement.manifest.digest().to_string());
    head.statement.manifest.admit(&std::fs::read(manifest).unwrap()).unwrap();
    assert!(head.as_of >= UnixMillis(NOW.0));
}

/// A sink that says of everything twice that it lacks it, as where two bases share a page.
#[derive(Default)]
struct Repeating {
    put: std::sync::Mutex<Vec<latchkey_snapshot::ObjectDigest>>,
}

impl Sink for Repeating {
    fn name(&self) -> &'static str {
        "repeating"
    }

    fn held(&self) -> super::sink::Answer<'_, super::Held> {
        Box::pin(async { Ok(super::Held::default()) })
    }

    fn put_root<'a>(&'a self, _version: u32, _bytes: &'a [u8]) -> super::sink::Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put_object<'a>(&'a self, object: &'a latchkey_snapshot::build::Object) -> super::sink::Answer<'a, ()> {
        self.put.lock().unwrap().push(object.reference.digest());
        Box::pin(async { Ok(()) })
    }

    fn put_head<'a>(
        &'a self,
        _head: &'a [u8],
        named: &'a super::Named,
    ) -> super::sink::Answer<'a, super::Told> {
        let put = self.put.lock().unwrap();
        let lacking = named.objects().map(|object| object.reference.digest());
        let lacking: Vec<_> = lacking.filter(|digest| !put.contains(digest)).collect();
        let outcome = match lacking.is_empty() {
            true => Ok(super::Told::default()),
            false => Err(super::SinkError::Missing([lacking.clone(), lacking].concat())),
        };
        Box::pin(async { outcome })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_that_is_missing_twice_is_pushed_once() {
    let stage = Stage::new().await;
    let sink = Arc::new(Repeating::default());
    let generation = stage.commit([created(1)]).await;
    let publisher = stage.start(vec![sink.clone()]);
    publisher.wait(generation).await;
    publisher.stop().await;
    let put = sink.put.lock().unwrap();
    let distinct: std::collections::HashSet<_> = put.iter().collect();
    assert!(!put.is_empty() && distinct.len() == put.len(), "{put:?}");
}
