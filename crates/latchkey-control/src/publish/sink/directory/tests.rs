//! The directory alone: what is missing, what is swept.

use super::*;
use crate::publish::tests::stage::{NOW, Stage, quick};
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
    let refused = sink.put_head(b"head", &named).await.unwrap_err();
    assert_eq!(refused, SinkError::Missing(vec![other.reference.digest()]));
    assert!(!folder.path().join("head").exists());
    sink.put_object(&other).await.unwrap();
    sink.put_head(b"head", &named).await.unwrap();
    assert_eq!(fs::read(torn).unwrap(), b"other");
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
