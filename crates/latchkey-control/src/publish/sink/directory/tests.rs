//! The directory alone: what is missing, what is swept, what would go back.

use super::*;
use crate::publish::tests::stage::{NOW, Stage, head_bytes, quick};
use latchkey_snapshot::ObjectRef;

fn object(bytes: &[u8]) -> Object {
    Object { reference: ObjectRef::to(bytes), bytes: bytes.into() }
}

async fn sink(folder: &Path) -> DirectorySink {
    let stage = Stage::new().await;
    let _ = stage.settings(quick());
    DirectorySink::open(folder, stage.keyring.subscribe(), 1_000).unwrap()
}

#[tokio::test]
async fn head_is_refused_until_everything_it_names_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let (one, other) = (object(b"one"), object(b"other"));
    let named = Named::of(vec![[one.clone()].into(), [other.clone()].into()]);
    sink.put_object(&one).await.unwrap();
    let torn = folder.path().join("objects").join(other.reference.digest().to_string());
    fs::write(&torn, b"oth").unwrap();
    let head = head_bytes(1, 7, NOW);
    let refused = sink.put_head(&head, &named).await.unwrap_err();
    assert_eq!(refused, SinkError::Missing(vec![other.reference.digest()]));
    assert!(!folder.path().join("head").exists());
    sink.put_object(&other).await.unwrap();
    sink.put_head(&head, &named).await.unwrap();
    assert_eq!(fs::read(torn).unwrap(), b"other");
}

#[tokio::test]
async fn head_never_goes_back_whoever_wrote_the_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sink(folder.path()).await, sink(folder.path()).await);
    let nothing = Named::default();
    let held = head_bytes(1, 7, NOW.plus_ms(5));
    one.put_head(&held, &nothing).await.unwrap();
    let older = SinkError::Older { held: Some((latchkey_core::Generation(7), NOW.plus_ms(5))) };
    for head in [head_bytes(1, 6, NOW.plus_ms(99)), head_bytes(1, 7, NOW.plus_ms(4))] {
        assert_eq!(other.put_head(&head, &nothing).await, Err(older.clone()));
    }
    // The same again is no news; another of the same rank is refused.
    assert_eq!(other.put_head(&held, &nothing).await, Ok(None));
    let forked = crate::publish::tests::stage::head_bytes_until(1, 7, NOW.plus_ms(5), 60);
    assert_eq!(other.put_head(&forked, &nothing).await, Err(older));
    assert_eq!(fs::read(folder.path().join("head")).unwrap(), held);
    other.put_head(&head_bytes(1, 7, NOW.plus_ms(6)), &nothing).await.unwrap();
    other.put_head(&head_bytes(1, 8, NOW), &nothing).await.unwrap();
}

#[tokio::test]
async fn head_that_no_root_vouches_for_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    for head in [b"head".to_vec(), head_bytes(2, 7, NOW)] {
        let refused = sink.put_head(&head, &Named::default()).await.unwrap_err();
        assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    }
    assert!(!folder.path().join("head").exists());
}

#[tokio::test]
async fn unnamed_object_outlives_its_time_and_not_more() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let (kept, gone) = (object(b"kept"), object(b"gone"));
    sink.put_object(&kept).await.unwrap();
    sink.put_object(&gone).await.unwrap();
    let named = HashSet::from([kept.reference.digest()]);
    assert_eq!(sink.sweep(&named, NOW).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(1_000)).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(1_001)).await, Ok(1));
    assert!(sink.shelf.holds(&kept).unwrap() && !sink.shelf.holds(&gone).unwrap());
}

#[tokio::test]
async fn broken_head_file_counts_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    fs::write(folder.path().join("head"), b"LKH1 and not more").unwrap();
    sink.put_root(1, b"root").await.unwrap();
    assert_eq!(sink.held().await, Ok(Held { root_version: 1, head: None }));
}
