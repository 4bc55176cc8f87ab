//! A backup comes back row by row, and nothing else does.

use super::*;
use crate::iam::authorize_first_operator;
use crate::outside::{SystemClock, SystemSeeds};
use crate::store::{AuditEntry, Change, Ctx, Store, Write as Decided};
use latchkey_core::Permission;
use std::sync::Arc;

fn seal() -> BackupSeal {
    seal_of(5)
}

fn seal_of(seed: u8) -> BackupSeal {
    BackupSeal::of(&CheckpointSigner::new("test/audit", &[seed; 32]).unwrap())
}

/// Every row as text.
fn rows(view: &ReadView) -> Vec<String> {
    let mut rows = Vec::new();
    let mut show = |table: &str, key: &[u8], value: &[u8]| {
        rows.push(format!("{table} {key:?} {value:?}"));
        Ok(())
    };
    view.show_rows(&mut show).unwrap();
    rows
}

async fn store() -> Store {
    let store = Store::in_memory(Arc::new(SystemClock), Arc::new(SystemSeeds)).unwrap();
    for micros in 1..4 {
        let decide = move |_: &dyn View, _: &mut Ctx| {
            let permit = authorize_first_operator(0).unwrap();
            let entry = AuditEntry::new(&permit, None, "test", ("test", String::new()));
            let priced = Change::Price(Permission::ALL[micros as usize], micros);
            Ok::<_, StoreError>(Decided::new(entry, ()).put(priced))
        };
        store.write(decide).await.unwrap();
    }
    store
}

async fn bytes() -> (Store, Vec<u8>) {
    let store = store().await;
    let mut bytes = Vec::new();
    let facts = write(&store.read().unwrap(), UnixMillis(7), &seal(), &mut bytes).unwrap();
    assert_eq!((facts.generation, facts.made_at), (Generation(3), UnixMillis(7)));
    (store, bytes)
}

fn open(bytes: &[u8], seal: Option<&BackupSeal>) -> Result<Backup, BackupError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    std::fs::write(&path, bytes).unwrap();
    Backup::open(&path, seal)
}

#[tokio::test]
async fn backup_that_is_cut_or_altered_anywhere_is_refused() {
    let (_, bytes) = bytes().await;
    for len in 0..bytes.len() {
        assert!(open(&bytes[..len], Some(&seal())).is_err(), "{len} bytes");
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(open(&altered, Some(&seal())).is_err(), "byte {at}");
    }
    assert!(matches!(open(&[&bytes[..], &[0]].concat(), Some(&seal())), Err(BackupError::Trailing)));
    assert!(open(&bytes, Some(&seal())).is_ok());
}

#[tokio::test]
async fn backup_of_another_installation_or_of_nobody_is_refused() {
    let (_, bytes) = bytes().await;
    assert!(matches!(open(&bytes, Some(&seal_of(6))), Err(BackupError::Seal)));
    // Whoever alters a row can make its digest anew, but not the seal.
    let mut altered = bytes.clone();
    let end = altered.len() - 64;
    let word = altered.windows(6).position(|part| part == b"\"test\"").unwrap();
    altered[word + 1] = b'b';
    let digest = blake3::hash(&altered[..end]);
    altered[end..end + 32].copy_from_slice(digest.as_bytes());
    assert!(matches!(open(&altered, Some(&seal())), Err(BackupError::Seal)));
}

#[tokio::test]
async fn every_row_comes_back_and_nothing_is_given_out_twice() {
    let (store, bytes) = bytes().await;
    let backup = open(&bytes, Some(&seal())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restored");
    let floors = Floors { generation: Generation(900), organizations: 5, projects: 0 };
    let above = backup.unpack(&path, &floors).unwrap();
    assert_eq!(above, Generation(900 + GENERATION_MARGIN));
    let view = Store::open_read_only(&path).unwrap();
    assert_eq!(view.next_organization().unwrap().0, 5 + NUMBER_MARGIN as u32 + 1);
    let same =
        |rows: Vec<String>| rows.into_iter().filter(|row| !row.starts_with("counters")).collect::<Vec<_>>();
    assert_eq!(same(rows(&view)), same(rows(&store.read().unwrap())));
    assert!(matches!(backup.unpack(&path, &floors), Err(BackupError::Io(_))));
}

#[tokio::test]
async fn floor_that_leaves_hubs_no_room_is_refused() {
    let (_, bytes) = bytes().await;
    let backup = open(&bytes, Some(&seal())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let floors = |generation| Floors { generation: Generation(generation), ..Floors::default() };
    let path = folder.path().join("database");
    let refused = backup.unpack(&path, &floors(GENERATION_FLOOR_MAX + 1)).unwrap_err();
    assert!(matches!(refused, BackupError::Floor) && !path.exists(), "{refused}");
    let above = backup.unpack(&path, &floors(GENERATION_FLOOR_MAX)).unwrap();
    assert_eq!(above, Generation(GENERATION_FLOOR_MAX + GENERATION_MARGIN));
}
