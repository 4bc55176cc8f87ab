//! Keys that are replaced while the publisher runs.

use super::published;
use crate::publish::Publisher;
use crate::publish::tests::stage::{
    Hub, NOW, Stage, created, keyring, quick, revoked, root_bytes, root_until, signer,
};
use latchkey_core::{Generation, UnixSeconds};
use latchkey_snapshot::build::{HeadContent, StatementContent};
use latchkey_snapshot::{Head, UnverifiedHead};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn is_under(version: u32) -> impl Fn(&Head) -> bool {
    move |head| head.root_version == version
}

impl Stage {
    fn rotate(&self, root: Vec<u8>, release: &[u8], head: &[u8]) {
        let next = self.with_root(root, release, head);
        let next = self.keyring.borrow().succeed(next).unwrap();
        self.keyring.send_replace(Arc::new(next));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_signed_once_too_few_signers_are_valid() {
    let stage = Stage::new().await;
    let until = UnixSeconds(NOW.seconds().0 + 60);
    stage.keyring.send_replace(Arc::new(keyring(&[2], &[3], vec![root_until(until, &[2], &[3])])));
    let hub = Hub::new(&stage);
    let publisher = stage.start(vec![hub.clone()]);
    hub.head(|_| true).await;
    stage.clock.advance_ms(120_000);
    let mut status = publisher.watch();
    let told = |error: &String| error.contains("wants 1 head keys") && error.contains("nothing is signed");
    status.wait_for(|status| status.sinks[0].last_error.as_ref().is_some_and(told)).await.unwrap();
    assert!(hub.last().as_of.seconds() <= until);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_root_reaches_a_sink_before_the_first_head_under_it_and_restates_what_is_there() {
    let (stage, hub, _publisher, generation) = published().await;
    let before = hub.last();
    // Only the statement that is there may be said again: nothing new gets through.
    hub.holds_up_objects.send_replace(true);
    stage.commit([created(2)]).await;
    stage.rotate(root_bytes(2, &[4], &[5]), &[4], &[5]);
    let head = hub.head(is_under(2)).await;
    assert_eq!((head.statement.generation, head.statement.manifest), (generation, before.statement.manifest));
    let revocation = stage.commit([revoked(1)]).await;
    let riding = move |head: &Head| head.inline.iter().any(|inline| inline.generation == revocation);
    hub.head(riding).await;
    hub.holds_up_objects.send_replace(false);
    hub.statement(revocation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_take_over_with_overlap_one_root_after_the_other() {
    let (stage, hub, publisher, _) = published().await;
    stage.rotate(root_bytes(2, &[2, 4], &[3, 5]), &[2, 4], &[3, 5]);
    hub.head(is_under(2)).await;
    stage.rotate(root_bytes(3, &[4], &[5]), &[4], &[5]);
    hub.head(is_under(3)).await;
    let generation = stage.commit([created(2)]).await;
    assert_eq!(hub.statement(generation).await.root_version, 3);
    assert_eq!(publisher.status().root_version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_that_was_down_gets_every_root_it_missed() {
    let (stage, hub, publisher, _) = published().await;
    hub.is_down.store(true, Ordering::SeqCst);
    stage.rotate(root_bytes(2, &[2, 4], &[3]), &[2, 4], &[3]);
    stage.rotate(root_bytes(3, &[4], &[3]), &[4], &[3]);
    let mut status = publisher.watch();
    status.wait_for(|status| status.sinks[0].last_error.is_some()).await.unwrap();
    hub.is_down.store(false, Ordering::SeqCst);
    hub.head(is_under(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_under_a_root_older_than_heads_were_signed_under_is_refused() {
    let (stage, hub, publisher, _) = published().await;
    let older = stage.keyring.borrow().clone();
    stage.rotate(root_bytes(2, &[4], &[3]), &[4], &[3]);
    hub.head(is_under(2)).await;
    publisher.stop().await;
    stage.keyring.send_replace(older);
    let clock = Arc::new(stage.clock.clone());
    let seeds = crate::outside::SystemSeeds;
    let started = Publisher::start(stage.store.clone(), clock, &seeds, stage.settings(quick()), Vec::new());
    let error = started.map(drop).unwrap_err().to_string();
    assert!(error.contains("newest root here is 1") && error.contains("under 2"), "{error}");
}

/// Whoever stole both keys may have pushed anything. A new root outranks it; else nothing would ever be signed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thiefs_head_holds_back_nothing_once_a_root_without_the_stolen_keys_is_there() {
    let (stage, hub, publisher, generation) = published().await;
    publisher.stop().await;
    let last = hub.last();
    let forged = StatementContent {
        installation: last.statement.installation,
        generation: Generation(generation.0 + 1_000),
        issued: NOW.seconds(),
        use_by: NOW.seconds().plus_secs(3_600),
        manifest: last.statement.manifest,
        tip: None,
        previous: None,
        audit_size: 0,
        audit_root: [0; 32],
    };
    let statement = forged.sign(&[&signer(2)]).unwrap();
    let as_of = last.as_of.plus_ms(1);
    let head = HeadContent { root_version: 1, as_of, statement: &statement, inline: &[] };
    let head = head.sign(&[&signer(3)]).unwrap();
    let head = UnverifiedHead::parse(&head).unwrap().verify(&stage.root()).unwrap();
    hub.heads.send_modify(|heads| heads.push(head));
    let publisher = stage.start(vec![hub.clone()]);
    let mut status = publisher.watch();
    let told = |error: &String| error.contains("older copy");
    status.wait_for(|status| status.sinks[0].last_error.as_ref().is_some_and(told)).await.unwrap();
    publisher.stop().await;
    stage.rotate(root_bytes(2, &[4], &[5]), &[4], &[5]);
    let _publisher = stage.start(vec![hub.clone()]);
    assert_eq!(hub.head(is_under(2)).await.statement.generation, generation);
}
