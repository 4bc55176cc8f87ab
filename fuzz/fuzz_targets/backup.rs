//! Any bytes as the rows of a backup, and any change to one that the installation sealed: what is not whole is refused,
//! and so is what the installation did not seal. (Rows are only made a database of after that.)

#![no_main]

use latchkey_control::outside::{NoSeed, Seeds, SystemClock};
use latchkey_control::store::Store;
use latchkey_control::store::backup::{self, Backup, BackupError, BackupSeal};
use latchkey_control::tlog::CheckpointSigner;
use latchkey_fuzz::NOW;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
static SEAL: LazyLock<BackupSeal> =
    LazyLock::new(|| BackupSeal::of(&CheckpointSigner::new("example.org/log", &[9; 32]).unwrap()));
static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let store = Store::in_memory(Arc::new(SystemClock), Arc::new(NoSeeds)).unwrap();
    let mut bytes = Vec::new();
    backup::write(&store.read().unwrap(), NOW, &SEAL, &mut bytes).unwrap();
    assert!(put(&bytes)(Some(&SEAL)).is_ok());
    bytes
});

/// Magic, format, generation and moment.
const FACTS_LEN: usize = 24;
/// A row's first byte and its two lengths.
const ROW_LEN_MIN: u64 = 9;
/// Digest and seal.
const END_LEN: usize = 64;

struct NoSeeds;

impl Seeds for NoSeeds {
    fn seed(&self) -> Result<[u8; 32], NoSeed> {
        Err(NoSeed)
    }
}

/// Puts the bytes into a file, to be opened with a seal or without.
fn put(bytes: &[u8]) -> impl Fn(Option<&BackupSeal>) -> Result<Backup, BackupError> + use<> {
    let path = FOLDER.path().join("backup");
    std::fs::write(&path, bytes).unwrap();
    move |seal| Backup::open(&path, seal)
}

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (at, mask, rows) = input;
    let mut sealed = SEALED.clone();
    let at = usize::from(at) % sealed.len();
    match mask {
        0 => sealed.truncate(at),
        _ => sealed[at] ^= mask,
    }
    assert!(put(&sealed)(Some(&SEAL)).is_err());

    let mut whole = SEALED[..FACTS_LEN].to_vec();
    whole.extend(rows);
    whole.extend(blake3::hash(&whole).as_bytes());
    whole.extend([0; END_LEN / 2]);
    let open = put(&whole);
    assert!(open(Some(&SEAL)).is_err());
    let Ok(backup) = open(None) else { return };
    assert_eq!(backup.facts().made_at, NOW);
    // No more rows than the end says.
    let count = rows.last_chunk().map(|count| u64::from_le_bytes(*count));
    assert!(count.is_some_and(|count| count <= rows.len() as u64 / ROW_LEN_MIN));
    whole.push(mask);
    assert!(matches!(put(&whole)(None), Err(BackupError::Trailing)));
});
