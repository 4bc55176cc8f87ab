//! The last good copy on disk, in the places of a published directory: `head`, `roots/<n>`, `objects/<hex>`.
//!
//! It is no better than any other source: what is read here is verified like what comes over the network, and a
//! file that is torn or altered is as good as none. So nothing has to be synced. What the head does not lead to any more
//! is swept.

use latchkey_control::publish::{DirectorySource, Source as Place};
use latchkey_gate::ROOT_HOPS_MAX;
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::{Delta, Manifest, Node, ObjectDigest, ObjectRef, Root, UnverifiedHead};
use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The directory.
pub(crate) struct State {
    path: PathBuf,
    /// The root that the gate was deployed with.
    pinned: Vec<u8>,
    place: Arc<dyn Place + Send + Sync>,
}

impl State {
    pub(crate) fn at(path: PathBuf, pinned: Vec<u8>) -> Self {
        let place = Arc::new(DirectorySource::new(&path));
        Self { path, pinned, place }
    }

    pub(crate) async fn head(&self) -> Option<Vec<u8>> {
        crate::source::read(&self.place, |place| place.head()).await.ok().flatten()
    }

    pub(crate) async fn root(&self, version: u32) -> Option<Vec<u8>> {
        crate::source::read(&self.place, move |place| place.root(version)).await.ok().flatten()
    }

    /// An object, if these are its bytes.
    pub(crate) async fn object(&self, digest: ObjectDigest, len_max: usize) -> Option<Vec<u8>> {
        let read = crate::source::read(&self.place, move |place| place.object(digest, len_max)).await;
        read.ok().flatten().filter(|bytes| ObjectDigest::of(bytes) == digest)
    }

    pub(crate) async fn keep_head(&self, bytes: Vec<u8>) {
        self.keep(String::new(), "head".to_owned(), bytes).await;
    }

    pub(crate) async fn keep_root(&self, version: u32, bytes: Vec<u8>) {
        self.keep("roots".to_owned(), version.to_string(), bytes).await;
    }

    pub(crate) async fn keep_object(&self, digest: ObjectDigest, bytes: Vec<u8>) {
        self.keep("objects".to_owned(), digest.to_string(), bytes).await;
    }

    /// Deletes objects that the head on disk does not lead to and that nobody has written for a while. Without a head that
    /// counts nothing is deleted.
    pub(crate) async fn sweep(&self) {
        let (place, pinned, objects) =
            (Arc::clone(&self.place), self.pinned.clone(), self.path.join("objects"));
        let swept = tokio::task::spawn_blocking(move || match named(&*place, &pinned) {
            Some(named) => delete_others(&objects, &named),
            None => Ok(0),
        });
        match swept.await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(count, "objects that nothing names were deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "the last good copy could not be swept"),
            Err(_) => tracing::warn!("the last good copy could not be swept"),
        }
    }

    /// What cannot be kept is told and costs nothing else: requests go on.
    async fn keep(&self, folder: String, name: String, bytes: Vec<u8>) {
        let folder = self.path.join(folder);
        let kept = tokio::task::spawn_blocking(move || write(&folder, &name, &bytes)).await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last good copy could not be kept"),
            Err(_) => tracing::warn!("the last good copy could not be kept"),
        }
    }
}

/// Everything that the head leads to, as far as it is here to be read; `None` if no root vouches for the head.
fn named(place: &dyn Place, pinned: &[u8]) -> Option<HashSet<ObjectDigest>> {
    let bytes = place.head().ok()??;
    let head = UnverifiedHead::parse(&bytes).ok()?;
    let mut root = Root::pinned(pinned).ok()?;
    for _ in 0..ROOT_HOPS_MAX {
        if root.version() >= head.root_version() {
            break;
        }
        root = root.successor(&place.root(root.version() + 1).ok()??).ok()?;
    }
    let statement = head.verify(&root).ok()?.statement;
    let mut named = HashSet::new();
    name_base(place, &statement.manifest, &mut named);
    name_chain(place, statement.tip, &mut named);
    if let Some(previous) = statement.previous {
        name_base(place, &previous.manifest, &mut named);
        name_chain(place, Some(previous.tip), &mut named);
    }
    Some(named)
}

fn name_base(place: &dyn Place, manifest: &ObjectRef, named: &mut HashSet<ObjectDigest>) {
    named.insert(manifest.digest());
    let manifest = read(place, manifest).and_then(|bytes| Manifest::parse(manifest, &bytes).ok());
    for section in manifest.iter().flat_map(|manifest| &manifest.sections) {
        for node in &section.nodes {
            named.insert(node.object.digest());
            let node = read(place, &node.object)
                .and_then(|bytes| Node::parse(section.kind, &node.object, &bytes).ok());
            let pages = node.iter().flat_map(|node| node.pages());
            named.extend(pages.map(|page| page.object.digest()));
        }
    }
}

fn name_chain(place: &dyn Place, tip: Option<ObjectRef>, named: &mut HashSet<ObjectDigest>) {
    let mut next = tip;
    for _ in 0..CHAIN_MAX {
        let Some(delta) = next else { return };
        named.insert(delta.digest());
        let parsed = read(place, &delta).and_then(|bytes| Delta::parse(&delta, &bytes).ok());
        next = parsed.and_then(|delta| delta.removals.parent);
    }
}

fn read(place: &dyn Place, reference: &ObjectRef) -> Option<Vec<u8>> {
    place.object(reference.digest(), reference.len_bytes() as usize).ok().flatten()
}

fn delete_others(objects: &Path, named: &HashSet<ObjectDigest>) -> io::Result<usize> {
    let mut deleted = 0;
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        let digest = entry.file_name().to_str().and_then(ObjectDigest::parse_hex);
        let is_named = digest.is_some_and(|digest| named.contains(&digest));
        // A file of the future is as good as one of this moment.
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if !is_named && age >= KEEP_UNNAMED {
            fs::remove_file(entry.path())?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// How long an object is kept that nothing names: a head that names it may be about to be kept.
const KEEP_UNNAMED: Duration = Duration::from_secs(3600);

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = folder.join(format!("{name}.part"));
    fs::write(&part, bytes)?;
    fs::rename(part, folder.join(name))
}
