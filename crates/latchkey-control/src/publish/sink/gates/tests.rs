//! What gates are shown, and what they are never shown.

use super::*;
use crate::publish::tests::stage::{NOW, Stage, created, head_bytes, head_bytes_until, quick, revoked};
use latchkey_core::Generation;
use latchkey_snapshot::{Manifest, ObjectRef};

const SOON: Duration = Duration::from_secs(20);

fn object(bytes: &[u8]) -> Object {
    Object { reference: ObjectRef::to(bytes), bytes: bytes.into() }
}

fn named(objects: &[&[u8]]) -> Named {
    Named::of(objects.iter().map(|bytes| [object(bytes)].into()).collect())
}

async fn gates() -> Arc<Gates> {
    Gates::new(Stage::new().await.keyring.subscribe(), GateToken::new("gates"))
}

fn digest_of(bytes: &[u8]) -> ObjectDigest {
    ObjectDigest::of(bytes)
}

#[tokio::test]
async fn head_that_no_root_vouches_for_is_shown_to_nobody() {
    let gates = gates().await;
    for head in [b"head".to_vec(), head_bytes(2, 7, NOW)] {
        let refused = gates.take_head(&head, &named(&[b"one"])).unwrap_err();
        assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    }
    assert!(gates.object(digest_of(b"one")).is_none());
    assert_eq!(gates.held_now(), Held { root_version: 1, head: None });
}

#[tokio::test]
async fn head_never_goes_back_and_a_refused_one_takes_nothing_away() {
    let gates = gates().await;
    let held = head_bytes(1, 7, NOW.plus_ms(5));
    gates.take_head(&held, &named(&[b"one"])).unwrap();
    let older = SinkError::Older { held: Some((Generation(7), NOW.plus_ms(5))) };
    let forked = head_bytes_until(1, 7, NOW.plus_ms(5), 60);
    for head in [head_bytes(1, 6, NOW.plus_ms(99)), head_bytes(1, 7, NOW.plus_ms(4)), forked] {
        assert_eq!(gates.take_head(&head, &named(&[b"other"])), Err(older.clone()));
    }
    assert_eq!(gates.take_head(&held, &named(&[b"one"])), Ok(()));
    assert_eq!(gates.head(None, SOON).await.unwrap().unwrap()[..], held[..]);
    assert!(gates.object(digest_of(b"one")).is_some() && gates.object(digest_of(b"other")).is_none());
}

#[tokio::test]
async fn object_that_was_named_a_moment_ago_is_there_and_their_memory_is_bounded() {
    let gates = gates().await;
    let bytes: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 9]).collect();
    for (generation, bytes) in (1..).zip(&bytes) {
        gates.take_head(&head_bytes(1, generation, NOW), &named(&[b"kept", bytes])).unwrap();
    }
    let there = bytes.iter().filter(|bytes| gates.object(digest_of(bytes)).is_some()).count();
    assert_eq!(there, 1 + OUTGOING_MAX);
    assert!(gates.object(digest_of(&bytes[98])).is_some() && gates.object(digest_of(b"kept")).is_some());
    // A large one pushes out those before it, and then goes itself.
    let large = vec![1; OUTGOING_BYTES_MAX];
    gates.take_head(&head_bytes(1, 200, NOW), &named(&[&large])).unwrap();
    gates.take_head(&head_bytes(1, 201, NOW), &named(&[b"next"])).unwrap();
    assert!(gates.object(digest_of(&large)).is_some() && gates.object(digest_of(&bytes[99])).is_none());
    gates.take_head(&head_bytes(1, 202, NOW), &named(&[b"last"])).unwrap();
    assert!(gates.object(digest_of(&large)).is_none() && gates.object(digest_of(b"next")).is_some());
}

#[tokio::test(start_paused = true)]
async fn head_is_held_back_until_it_is_news() {
    let gates = gates().await;
    assert_eq!(gates.head(None, SOON).await, Ok(None), "there is none");
    let first = head_bytes(1, 1, NOW);
    let waiting = {
        let gates = Arc::clone(&gates);
        tokio::spawn(async move { gates.head(None, SOON).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(gates.waiting(), 1);
    gates.take_head(&first, &Named::default()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap()[..], first[..]);
    assert_eq!(gates.waiting(), 0);
    let began = tokio::time::Instant::now();
    assert_eq!(gates.head(Some(digest_of(&first)), SOON).await, Ok(None));
    assert_eq!(began.elapsed(), SOON);
    // Whatever else the gate has, it is told the newest at once.
    let other = gates.head(Some(digest_of(b"another")), SOON).await.unwrap().unwrap();
    assert_eq!((&other[..], began.elapsed()), (&first[..], SOON));
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_refused_and_news_is_told_to_anybody() {
    let gates = gates().await;
    let first = head_bytes(1, 1, NOW);
    gates.take_head(&first, &Named::default()).unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..WAITS_MAX {
        let (gates, first) = (Arc::clone(&gates), digest_of(&first));
        waiting.spawn(async move { gates.head(Some(first), SOON).await });
    }
    while gates.waiting() < WAITS_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(gates.head(Some(digest_of(&first)), SOON).await, Err(TooManyWaits));
    assert!(gates.head(None, SOON).await.unwrap().is_some());
    waiting.abort_all();
    while waiting.join_next().await.is_some() {}
    assert_eq!(gates.head(Some(digest_of(&first)), SOON).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_answered_when_the_server_stops() {
    let gates = gates().await;
    let began = tokio::time::Instant::now();
    let waiting = {
        let gates = Arc::clone(&gates);
        tokio::spawn(async move { gates.head(None, SOON).await })
    };
    tokio::task::yield_now().await;
    gates.close();
    assert_eq!(waiting.await.unwrap(), Ok(None));
    assert_eq!(gates.head(None, SOON).await, Ok(None));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn token_is_its_whole_text_and_shows_nothing() {
    let token = GateToken::new("secret-text");
    assert!(token.is("secret-text"));
    for other in ["", "secret-tex", "secret-textt", "Secret-text"] {
        assert!(!token.is(other), "{other}");
    }
    assert_eq!(format!("{token:?}"), "GateToken(..)");
}

/// A whole publisher: what it publishes is read here, and everything that a head names is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_arrives_and_a_revocation_ends_the_wait() {
    let stage = Stage::new().await;
    let gates = Gates::new(stage.keyring.subscribe(), GateToken::new("gates"));
    let generation = stage.commit([created(1)]).await;
    let publisher = stage.start_with(vec![gates.clone()], quick());
    publisher.wait(generation).await;
    let root = stage.root();
    assert_eq!(gates.root(1).unwrap(), stage.keyring.borrow().roots()[0]);
    assert!(gates.root(0).is_none() && gates.root(2).is_none());
    let mut after = None;
    let mut next = async |is_it: &dyn Fn(&Head) -> bool| loop {
        let bytes = gates.head(after, SOON).await.unwrap().expect("none came");
        after = Some(ObjectDigest::of(&bytes));
        let head = UnverifiedHead::parse(&bytes).unwrap().verify(&root).unwrap();
        if is_it(&head) {
            return head;
        }
    };
    let head = next(&|head| head.statement.generation >= generation).await;
    let manifest = gates.object(head.statement.manifest.digest()).unwrap();
    let manifest = Manifest::parse(&head.statement.manifest, &manifest).unwrap();
    for node in manifest.sections.iter().flat_map(|section| &section.nodes) {
        assert!(gates.object(node.object.digest()).is_some());
    }
    let revocation = stage.commit([revoked(1)]).await;
    next(&|head| head.newest_generation() >= revocation).await;
}
