//! Whatever bytes come from outside and are no request: backups, what is published, notes, tiles, proofs and tokens. Every
//! reader ends, says no, and takes no more memory than it was given bytes.

use latchkey_control::iam::PlainToken;
use latchkey_control::publish::{PublishedError, Snapshot, Source, SourceError};
use latchkey_control::store::backup::{Backup, BackupError, BackupSeal};
use latchkey_control::tlog::proof::{check_consistency, check_inclusion};
use latchkey_control::tlog::{Checkpoint, CheckpointKey, CheckpointSigner, Frontier, Hash, Tile, leaf_hash};
use latchkey_core::{Generation, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{HeadContent, RootContent, Signer, StatementContent};
use latchkey_snapshot::root::{Installation, KeyRole, RootKey};
use latchkey_snapshot::{ObjectDigest, ObjectRef};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const INSTALLATION: Installation = Installation([7; 16]);

fn log_signer() -> CheckpointSigner {
    CheckpointSigner::new("example.org/log", &[9; 32]).unwrap()
}

/// A backup with this behind its magic, and a right digest that nobody sealed.
fn backup(body: &[u8]) -> Vec<u8> {
    let mut whole = b"LKB1".to_vec();
    whole.extend(body);
    whole.extend(*blake3::hash(&whole).as_bytes());
    whole.extend([0; 32]);
    whole
}

fn open(path: &Path, bytes: &[u8], seal: Option<&BackupSeal>) -> Result<Backup, BackupError> {
    std::fs::write(path, bytes).unwrap();
    Backup::open(path, seal)
}

/// Format 1 or a later one, generation and moment, then these rows.
fn rows(format: u32, rows: &[u8]) -> Vec<u8> {
    [&format.to_le_bytes()[..], &[5; 8], &[6; 8], rows].concat()
}

#[test]
fn row_that_is_longer_than_its_file_is_cut_off_and_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup");
    let formats: Vec<u32> =
        (0..1000).filter(|format| open(&path, &backup(&rows(*format, &[0; 9])), None).is_ok()).collect();
    assert!(!formats.is_empty());
    for format in formats {
        let long = [&[2][..], &u32::MAX.to_le_bytes(), &u32::MAX.to_le_bytes(), &[7; 40]].concat();
        let refused = open(&path, &backup(&rows(format, &long)), None);
        assert!(matches!(refused, Err(BackupError::Truncated)), "{refused:?}");
        let sealed = open(&path, &backup(&rows(format, &[0; 9])), Some(&BackupSeal::of(&log_signer())));
        assert!(matches!(sealed, Err(BackupError::Seal)), "{sealed:?}");
    }
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn root() -> Vec<u8> {
    let key = |seed: u8, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let issued = NOW.seconds();
    let content = RootContent { installation: INSTALLATION, version: 1, issued, thresholds: [1; 3], keys };
    content.sign(&[&signer(1)]).unwrap()
}

/// A place that holds a head which is signed well over these bytes as a manifest and as a delta.
struct Place {
    head: Vec<u8>,
    objects: BTreeMap<ObjectDigest, Vec<u8>>,
}

impl Place {
    fn new(manifest: &[u8], tip: Option<&[u8]>) -> Self {
        let generation = manifest.get(20..28).and_then(|bytes| bytes.try_into().ok());
        let statement = StatementContent {
            installation: INSTALLATION,
            generation: Generation(generation.map_or(0, u64::from_le_bytes)),
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(3600),
            manifest: ObjectRef::to(manifest),
            tip: tip.map(ObjectRef::to),
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(2)]).unwrap();
        let head = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] };
        let head = head.sign(&[&signer(3)]).unwrap();
        let objects = [Some(manifest), tip].into_iter().flatten();
        Self { head, objects: objects.map(|bytes| (ObjectDigest::of(bytes), bytes.to_vec())).collect() }
    }

    fn read(&self) -> Result<Snapshot, PublishedError> {
        Snapshot::read(&[root()], self)
    }
}

impl Source for Place {
    fn name(&self) -> &str {
        "bytes"
    }

    fn root(&self, _: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Some(self.head.clone()))
    }

    fn object(&self, digest: ObjectDigest, _: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.objects.get(&digest).cloned())
    }
}

/// A manifest of this installation without content.
fn manifest() -> Vec<u8> {
    let mut bytes = b"LKM4".to_vec();
    bytes.extend(INSTALLATION.0);
    bytes.extend(5u64.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(900u32.to_le_bytes());
    bytes.extend([2, 0, b'l', b'k']);
    bytes.extend([0; 8]);
    bytes
}

fn tree(size: u64) -> Checkpoint {
    Frontier::from_iter((0..size).map(|number| leaf_hash(&number.to_le_bytes()))).checkpoint()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_are_a_sealed_backup(
        format in 0u32..12,
        body in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 0..200),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup");
        prop_assert!(open(&path, &body, None).is_err());
        let whole = backup(&rows(format, &body));
        if let Ok(backup) = open(&path, &whole, None) {
            prop_assert_eq!(backup.facts().format, format);
            prop_assert!(body.ends_with(&[0; 5]), "no more rows than the end says");
        }
        let seal = BackupSeal::of(&log_signer());
        prop_assert!(open(&path, &whole, Some(&seal)).is_err());
        prop_assert!(open(&path, &whole[..whole.len() - 1], None).is_err());
    }

    #[test]
    fn no_bytes_are_published_but_what_the_writer_would_have_written(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), tip in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let good = manifest();
        prop_assert!(Place::new(&good, None).read().is_ok());
        prop_assert!(Place::new(&good, Some(&tip)).read().is_err());
        prop_assert!(Place::new(&tip, None).read().is_err());
        let mut changed = good.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        // Generation, pepper id and grace may be any.
        let is_free = (20..40).contains(&at) || (42..44).contains(&at);
        prop_assert!(changed == good || is_free || Place::new(&changed, None).read().is_err(), "{}", at);
    }

    #[test]
    fn text_of_the_log_is_read_only_as_it_is_written(
        text in "(example.org/log|[a-z+/.]{0,12})[+][0-9a-f]{8}[+]A[A-Za-z0-9+/]{42}=|[ -~\\n\u{2014}]{0,80}|[0-9]{1,2}\\n(x[0-9]{3}/){0,7}[0-9]{3}(.p/[0-9]{1,3})?",
    ) {
        if let Ok(key) = CheckpointKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text.clone());
        }
        prop_assert!(log_signer().key().open(&text).is_err(), "nobody signed it");
        let (level, rest) = text.split_once('\n').unwrap_or((&text, ""));
        if let Some(tile) = Tile::parse(level, rest) {
            prop_assert_eq!(tile.to_string(), format!("tile/{level}/{rest}"));
            let _ = tile.is_within(u64::MAX);
        }
        prop_assert!(PlainToken::parse(&text).is_none_or(|token| token.expose() == text));
    }

    #[test]
    fn changed_checkpoint_is_refused(at in any::<prop::sample::Index>(), letter in "[ -~\\n]", size in 1u64..50) {
        let note = log_signer().sign(&tree(size));
        prop_assert_eq!(log_signer().key().open(&note), Ok(tree(size)));
        let places: Vec<usize> = note.char_indices().map(|(place, _)| place).collect();
        let place = places[at.index(places.len())];
        let next = note[place..].chars().next().unwrap().len_utf8();
        let changed = [&note[..place], &letter, &note[place + next..]].concat();
        prop_assert!(changed == note || log_signer().key().open(&changed).is_err(), "{}", changed);
    }

    #[test]
    fn no_hashes_prove_what_is_not_so(
        position in prop_oneof![0u64..20, any::<u64>()],
        size in prop_oneof![1u64..20, any::<u64>()],
        proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let (stranger, log) = (leaf_hash(b"no leaf of this log"), tree(11));
        let proof: Vec<Hash> = proof;
        prop_assert!(check_inclusion(&stranger, position, &proof, &log).is_err());
        let other = Checkpoint { size, root: leaf_hash(b"another root") };
        prop_assert!(check_inclusion(&stranger, position, &proof, &other).is_err());
        prop_assert!(check_consistency(&other, &log, &proof).is_err());
        prop_assert!(check_consistency(&log, &other, &proof).is_err());
    }
}
