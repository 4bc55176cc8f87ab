//! A restore that looked at a place which lags another sink: nothing goes out from it until an operator says that what
//! the other one holds was considered.

use super::setback::{publish, read, restored, start, stated, stopped, write_backup};
use super::stage::{Hub, NOW, Stage, awaited, created, quick, revoked};
use super::{published, tag, tells};
use crate::publish::{Bookmark, Gap, PublishStatus, Publisher};
use latchkey_core::{Generation, UnixMillis};
use std::path::Path;
use std::sync::Arc;

/// Waits until the publisher says that it signs nothing, and stops it.
async fn stands_still(publisher: Publisher, hub: &Hub) {
    let before = hub.last();
    let mut status = publisher.watch();
    let told = |status: &PublishStatus| {
        let errors = status.sinks.iter().filter_map(|sink| sink.last_error.as_deref());
        errors.into_iter().any(|error| error.contains("which it never signed"))
    };
    awaited("the publisher to say that it signs nothing", status.wait_for(told)).await.unwrap();
    publisher.stop().await;
    assert_eq!(hub.last(), before);
}

/// An installation whose directory was down when key 1 was revoked, and the database that was restored from a backup
/// of before by what the directory has. The hub knows of the revocation.
async fn restored_behind_a_hub(folder: &Path) -> (Stage, Arc<Hub>) {
    let (stage, hub, publisher, _) = published().await;
    publisher.stop().await;
    stage.clock.advance_ms(1_000);
    let last = publish(&stage, &folder.join("sink")).await;
    write_backup(&stage.store, &folder.join("backup"));
    // Each run keeps a bookmark that is a little ahead.
    stage.clock.advance_ms(1_000);
    let publisher = stage.start(vec![hub.clone()]);
    hub.statement(stage.commit([revoked(1)]).await).await;
    publisher.stop().await;
    stage.clock.advance_ms(10_000);
    let (stage, setback) = restored(&stage, folder, Some(&last)).await;
    assert!(setback.held.is_empty(), "the place says nothing of it: {:?}", setback.held);
    (stage, hub)
}

async fn consider(stage: &Stage, generation: Generation, as_of: UnixMillis) {
    let view = stage.store.read().unwrap();
    let bookmark = Bookmark::read(&view).unwrap().max(Bookmark { as_of, generation, root_version: 0 });
    let gap = Gap { generation, as_of, ..Gap::read(&view).unwrap()[0] };
    drop(view);
    Gap::keep(&[gap], &stage.store).await.unwrap();
    bookmark.keep(&stage.store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_state_is_not_signed_while_a_sink_holds_what_the_restore_did_not_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, hub) = restored_behind_a_hub(folder.path()).await;
    for _ in 0..2 {
        stands_still(stage.start(vec![hub.clone()]), &hub).await;
    }
    let held = hub.last();
    consider(&stage, held.statement.generation, held.as_of).await;
    let publisher = stage.start(vec![hub.clone()]);
    // Not borrowed while it is waited for: the store writes there.
    let newest = *stage.store.newest().borrow();
    hub.statement(newest).await;
    publisher.stop().await;
    stage.clock.advance_ms(1_000);
    // It is its own now.
    let publisher = stage.start(vec![hub.clone()]);
    let generation = stage.commit([created(2)]).await;
    hub.statement(generation).await;
    publisher.stop().await;
}

/// The first run's own statements are above what the hub holds; the second run must not take them for a leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_that_comes_back_in_a_later_run_still_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, hub) = restored_behind_a_hub(folder.path()).await;
    let publisher = start(&stage, &folder.path().join("sink"));
    let newest = *stage.store.newest().borrow();
    stated(&publisher, newest).await;
    stopped(&stage, publisher).await;
    stage.clock.advance_ms(1_000);
    stands_still(stage.start(vec![hub.clone()]), &hub).await;
}

/// An inline revocation makes a head younger, and its statement no newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn younger_head_under_the_same_statement_stops_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, hub, publisher, generation) = published().await;
    publisher.stop().await;
    stage.clock.advance_ms(1_000);
    let last = publish(&stage, &folder.path().join("sink")).await;
    write_backup(&stage.store, &folder.path().join("backup"));
    stage.clock.advance_ms(1_000);
    let publisher = stage.start(vec![hub.clone()]);
    hub.head(|head| head.as_of > last.head.as_of).await;
    hub.holds_up_objects.send_replace(true);
    stage.clock.advance_ms(1_000);
    stage.commit([revoked(1)]).await;
    let riding = hub.head(|head| tells(head, tag(1))).await;
    assert_eq!((riding.statement.generation, last.head.statement.generation), (generation, generation));
    publisher.stop().await;
    hub.holds_up_objects.send_replace(false);
    stage.clock.advance_ms(10_000);
    let (stage, _) = restored(&stage, folder.path(), Some(&last)).await;
    stands_still(stage.start(vec![hub.clone()]), &hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_goes_on_though_the_last_answers_were_lost() {
    let (stage, hub, publisher, _) = published().await;
    publisher.stop().await;
    for n in 2..5 {
        let publisher = stage.start_with(vec![hub.clone()], quick());
        let generation = stage.commit([created(n)]).await;
        hub.statement(generation).await;
        publisher.stop().await;
        stage.clock.advance_ms(1_000);
    }
    assert!(hub.last().as_of >= NOW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_come_back_as_they_were_kept_and_the_oldest_go() {
    let stage = Stage::new().await;
    let read = |stage: &Stage| Gap::read(&stage.store.read().unwrap());
    assert_eq!(read(&stage).unwrap(), []);
    let gap = |n: u64| Gap { generation: Generation(n), as_of: UnixMillis(n + 1), above: Generation(n + 2) };
    let gaps: Vec<Gap> = (0..65).map(gap).collect();
    Gap::keep(&gaps, &stage.store).await.unwrap();
    assert_eq!(read(&stage).unwrap(), gaps[1..]);
    for malformed in [vec![], vec![2], vec![1; 24], vec![1; 26]] {
        stage.store.put_publish_state("gaps", malformed).await.unwrap();
        assert!(read(&stage).is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn place_of_a_restored_state_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, _hub) = restored_behind_a_hub(folder.path()).await;
    let now = publish(&stage, &folder.path().join("sink")).await;
    assert_eq!(read(&stage, &folder.path().join("sink")).head.rank(), now.head.rank());
}
