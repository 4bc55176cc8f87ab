//! What is read back from a place: everything that an edge would not believe is refused, and where it lies is said.

use super::setback::{publish, read};
use super::stage::{Stage, created, keyring, root_bytes, signer};
use crate::publish::{DirectorySource, PublishedError, Snapshot};
use latchkey_core::Generation;
use latchkey_snapshot::build::{HeadContent, StatementContent};
use latchkey_snapshot::{ObjectRef, Statement};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Place {
    folder: tempfile::TempDir,
    stage: Stage,
    snapshot: Snapshot,
    /// The head that was published.
    head: Vec<u8>,
}

impl Place {
    async fn new() -> Self {
        let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new().await);
        stage.commit((1..9).map(created)).await;
        let snapshot = publish(&stage, folder.path()).await;
        let head = fs::read(folder.path().join("head")).unwrap();
        Self { folder, stage, snapshot, head }
    }

    fn read(&self) -> Result<Snapshot, PublishedError> {
        Snapshot::read(self.stage.keyring.borrow().roots(), &DirectorySource::new(self.folder.path()))
    }

    #[track_caller]
    fn refuses(&self, is_it: impl Fn(&PublishedError) -> bool, words: &str) {
        let error = self.read().map(|snapshot| snapshot.head).unwrap_err();
        assert!(is_it(&error) && error.to_string().contains(words), "{error:?}: {error}");
    }

    fn path(&self, object: &ObjectRef) -> PathBuf {
        self.folder.path().join("objects").join(object.digest().to_string())
    }

    /// Puts a head there whose statement says something else.
    fn state(&self, root_version: u32, change: impl FnOnce(&mut StatementContent)) {
        let Statement { installation, issued, use_by, manifest, tip, .. } =
            self.snapshot.head.statement.clone();
        let generation = self.snapshot.head.statement.generation;
        let (audit_size, audit_root, previous) = (0, [0; 32], None);
        let mut content = StatementContent {
            installation,
            generation,
            issued,
            use_by,
            manifest,
            tip,
            previous,
            audit_size,
            audit_root,
        };
        change(&mut content);
        let statement = content.sign(&[&signer(2)]).unwrap();
        let as_of = self.snapshot.head.as_of.plus_ms(1);
        let head = HeadContent { root_version, as_of, statement: &statement, inline: &[] };
        self.put("head", &head.sign(&[&signer(3)]).unwrap());
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }
}

fn page(place: &Place) -> ObjectRef {
    let nodes = place.snapshot.state.nodes.values().flatten();
    nodes.flat_map(|node| node.pages()).map(|page| page.object).next().unwrap()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

const fn is_root_older(error: &PublishedError) -> bool {
    matches!(error, PublishedError::RootIsOlder { head: 1, newest: 2 })
}

/// A thief of the first root's keys can sign whatever head under it there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_under_a_root_that_was_replaced_is_refused_wherever_the_new_root_is_known() {
    let place = Place::new().await;
    place.state(1, |_| {});
    assert_eq!(place.read().unwrap().head.root_version, 1);
    // The place alone has it.
    let second = root_bytes(2, &[4], &[5]);
    place.put("roots/2", &second);
    place.refuses(is_root_older, "root 2 replaced");
    // The installation alone has it.
    fs::remove_file(place.folder.path().join("roots/2")).unwrap();
    assert!(place.read().is_ok());
    let roots = vec![root_bytes(1, &[2], &[3]), second];
    place.stage.keyring.send_replace(Arc::new(keyring(&[4], &[5], roots)));
    place.refuses(is_root_older, "root 2 replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_that_does_not_follow_or_is_not_there_is_refused() {
    let place = Place::new().await;
    place.state(2, |_| {});
    let is_missing =
        |error: &PublishedError| matches!(error, PublishedError::Root { version: 2, fault: None });
    place.refuses(is_missing, "root 2 is not there");
    place.put("roots/2", &root_bytes(3, &[2], &[3]));
    place.refuses(|error| matches!(error, PublishedError::Root { version: 2, fault: Some(_) }), "root 2");
    for version in 2..=18 {
        place.put(&format!("roots/{version}"), &root_bytes(version, &[2], &[3]));
    }
    place.refuses(|error| *error == PublishedError::TooManyRoots, "more than 16 roots");
    fs::remove_file(place.folder.path().join("roots/18")).unwrap();
    place.refuses(|error| matches!(error, PublishedError::RootIsOlder { head: 2, newest: 17 }), "root 17");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_that_is_missing_altered_or_another_is_named() {
    let place = Place::new().await;
    let (page, manifest) = (place.path(&page(&place)), place.path(&place.snapshot.head.statement.manifest));
    let whole = fs::read(&page).unwrap();
    fs::remove_file(&page).unwrap();
    place.refuses(|error| matches!(error, PublishedError::Missing { .. }), "page 0 of node 0");
    fs::write(&page, &whole).unwrap();
    assert!(place.read().is_ok());
    flip(&page);
    place.refuses(|error| matches!(error, PublishedError::Object { .. }), "page 0 of node 0");
    fs::copy(&manifest, &page).unwrap();
    place.refuses(|error| matches!(error, PublishedError::Object { .. }), "page 0 of node 0");
    fs::write(&page, &whole[..whole.len() - 1]).unwrap();
    place.refuses(|error| matches!(error, PublishedError::Object { .. }), "page 0 of node 0");
    fs::write(&page, &whole).unwrap();
    fs::remove_file(&manifest).unwrap();
    place.refuses(|error| matches!(error, PublishedError::Missing { .. }), "manifest");
}

/// Both are signed; they do not belong together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_and_chain_that_are_not_the_statements_are_misplaced() {
    let place = Place::new().await;
    let is_misplaced = |error: &PublishedError| matches!(error, PublishedError::Misplaced { .. });
    place.state(1, |statement| statement.generation = Generation(statement.generation.0 + 1));
    place.refuses(is_misplaced, "another generation than the statement");
    // A running chain: its delta over another base.
    place.stage.clock.advance_ms(1_000);
    place.put("head", &place.head);
    let publisher = super::setback::start(&place.stage, place.folder.path());
    let base = *place.stage.store.newest().borrow();
    super::setback::stated(&publisher, base).await;
    let generation = place.stage.commit([created(9)]).await;
    super::setback::stated(&publisher, generation).await;
    super::setback::stopped(&place.stage, publisher).await;
    place.stage.clock.advance_ms(1_000);
    let running = read(&place.stage, place.folder.path());
    assert_eq!(running.state.chain.len(), 1);
    let first = publish(&place.stage, place.folder.path()).await;
    assert!(first.state.chain.is_empty());
    let tip = running.head.statement.tip;
    place.state(1, |statement| (statement.tip, statement.manifest) = (tip, first.head.statement.manifest));
    place.refuses(is_misplaced, "it belongs to another base");
}
