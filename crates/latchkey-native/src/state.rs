//! The last good copy on disk, in the places of a published directory: `head`, `roots/<n>`, `objects/<hex>`.
//!
//! It is no better than any other source: what is read here is verified like what comes over the network, and a
//! file that is torn or altered is as good as none. So nothing but the head's own rename has to be atomic.

use latchkey_control::publish::{DirectorySource, Source as Place};
use latchkey_snapshot::ObjectDigest;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory.
pub(crate) struct State {
    path: PathBuf,
    place: Arc<dyn Place + Send + Sync>,
}

impl State {
    pub(crate) fn at(path: PathBuf) -> Self {
        let place = Arc::new(DirectorySource::new(&path));
        Self { path, place }
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

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let part = folder.join(format!("{name}.part"));
    fs::write(&part, bytes)?;
    fs::rename(part, folder.join(name))
}
