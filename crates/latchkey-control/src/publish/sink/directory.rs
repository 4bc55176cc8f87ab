//! A directory: `objects/<hex>`, `roots/<n>` and `head`, each written whole or not at all.
//!
//! A file is written beside its place, synced, and renamed into it, so a reader sees the old or the new one
//! and a crash leaves at worst a `.part` file. Objects are there before a head names them.

use super::{Answer, Bundle, Held, Named, Sink, SinkError};
use crate::publish::Keyrings;
use latchkey_core::UnixMillis;
use latchkey_snapshot::build::Object;
use latchkey_snapshot::{Head, ObjectDigest, UnverifiedHead};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory that holds what is published, for native gates and for copies.
pub struct DirectorySink {
    name: String,
    shelf: Arc<Shelf>,
}

struct Shelf {
    path: PathBuf,
    keyring: Keyrings,
    keep_ms: u64,
    /// What leads the bundles of which every object was seen to be there.
    complete: Mutex<HashSet<ObjectDigest>>,
    /// Since when nothing names an object. A restart forgets it, and so only keeps longer.
    unnamed: Mutex<HashMap<String, UnixMillis>>,
}

impl DirectorySink {
    /// The directory at `path`, made if it is not there, for heads under these roots. What nothing names stays for
    /// `keep_ms`.
    ///
    /// # Errors
    /// The operating system's, when the directories cannot be made.
    pub fn open(path: &Path, keyring: Keyrings, keep_ms: u64) -> io::Result<Self> {
        for folder in [path.to_path_buf(), path.join(OBJECTS), path.join(ROOTS)] {
            fs::create_dir_all(folder)?;
        }
        let (complete, unnamed) = (Mutex::default(), Mutex::default());
        let shelf = Shelf { path: path.to_path_buf(), keyring, keep_ms, complete, unnamed };
        Ok(Self { name: path.display().to_string(), shelf: Arc::new(shelf) })
    }

    /// Runs disk work where it blocks nobody.
    fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, SinkError> + Send + 'static,
    ) -> Answer<'_, T> {
        let shelf = Arc::clone(&self.shelf);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&shelf)).await;
            done.unwrap_or_else(|_| Err(SinkError::Unavailable("the disk work did not end".to_owned())))
        })
    }
}

impl Sink for DirectorySink {
    fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> Answer<'_, Held> {
        self.on_disk(Shelf::held)
    }

    fn put_root<'a>(&'a self, version: u32, bytes: &'a [u8]) -> Answer<'a, ()> {
        let bytes = bytes.to_vec();
        self.on_disk(move |shelf| shelf.put(ROOTS, &version.to_string(), &bytes))
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        let object = object.clone();
        self.on_disk(move |shelf| match shelf.holds(&object)? {
            true => Ok(()),
            false => shelf.put(OBJECTS, &object.reference.digest().to_string(), &object.bytes),
        })
    }

    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, Option<UnixMillis>> {
        let (head, named) = (head.to_vec(), named.clone());
        self.on_disk(move |shelf| {
            shelf.check_order(&head)?;
            shelf.check_complete(&named)?;
            shelf.put("", HEAD, &head).map(|()| None)
        })
    }

    fn sweep<'a>(&'a self, named: &'a HashSet<ObjectDigest>, now: UnixMillis) -> Answer<'a, usize> {
        let named: HashSet<String> = named.iter().map(ToString::to_string).collect();
        self.on_disk(move |shelf| shelf.sweep(&named, now))
    }
}

impl Shelf {
    fn held(&self) -> Result<Held, SinkError> {
        let mut root_version = 0;
        while self.path.join(ROOTS).join((root_version + 1).to_string()).exists() {
            root_version += 1;
        }
        let bytes = match fs::read(self.path.join(HEAD)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Held { root_version, head: None });
            }
            Err(error) => return Err(failed(&error)),
        };
        // A head that no root of ours vouches for, or only one that was replaced, is as good as none.
        let head = self.verified(&bytes).filter(|head| head.root_version >= root_version);
        let head = head.map(|head| (head.statement.generation, head.as_of));
        Ok(Held { root_version, head })
    }

    /// The head in these bytes, if one of our roots vouches for it.
    fn verified(&self, bytes: &[u8]) -> Option<Head> {
        let head = UnverifiedHead::parse(bytes).ok()?;
        let keyring = self.keyring.borrow().clone();
        let root = keyring.root_of(head.root_version())?;
        head.verify(root).ok()
    }

    /// Refuses a head that does not rank above the one that is there, whoever put it there: else a second publisher,
    /// or one from an older copy of the database, would bring back what was revoked.
    fn check_order(&self, bytes: &[u8]) -> Result<(), SinkError> {
        let there = match fs::read(self.path.join(HEAD)) {
            Ok(there) if there == bytes => return Ok(()),
            Ok(there) => self.verified(&there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&error)),
        };
        let head = self.verified(bytes);
        let head =
            head.ok_or_else(|| SinkError::Refused("none of our roots vouches for the head".to_owned()))?;
        match there {
            Some(there) if head.rank() <= there.rank() => {
                Err(SinkError::Older { held: Some((there.statement.generation, there.as_of)) })
            }
            _ => Ok(()),
        }
    }

    fn holds(&self, object: &Object) -> Result<bool, SinkError> {
        let path = self.path.join(OBJECTS).join(object.reference.digest().to_string());
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.len() == u64::from(object.reference.len_bytes())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Refuses a head while something it names is not there. A bundle is looked at once, and again after it was not
    /// named for a while.
    fn check_complete(&self, named: &Named) -> Result<(), SinkError> {
        let mut complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        for bundle in named.bundles() {
            let Some(first) = bundle.first().map(|object| object.reference.digest()) else { continue };
            let lacking = if complete.contains(&first) { Vec::new() } else { self.lacking(bundle)? };
            if lacking.is_empty() {
                seen.insert(first);
            }
            missing.extend(lacking);
        }
        *complete = seen;
        if missing.is_empty() { Ok(()) } else { Err(SinkError::Missing(missing)) }
    }

    fn lacking(&self, bundle: &Bundle) -> Result<Vec<ObjectDigest>, SinkError> {
        let mut lacking = Vec::new();
        for object in bundle.iter() {
            if !self.holds(object)? {
                lacking.push(object.reference.digest());
            }
        }
        Ok(lacking)
    }

    /// Writes a file whole: beside its place, synced, renamed, the folder synced.
    fn put(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), SinkError> {
        write_whole(&self.path.join(folder), name, bytes).map_err(|error| failed(&error))
    }

    fn sweep(&self, named: &HashSet<String>, now: UnixMillis) -> Result<usize, SinkError> {
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        unnamed.retain(|name, _| !named.contains(name));
        let mut deleted = 0;
        for entry in fs::read_dir(self.path.join(OBJECTS)).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if named.contains(&name) {
                continue;
            }
            let since = *unnamed.entry(name.clone()).or_insert(now);
            if now.since_ms(since) > self.keep_ms {
                fs::remove_file(entry.path()).map_err(|error| failed(&error))?;
                unnamed.remove(&name);
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn failed(error: &io::Error) -> SinkError {
    SinkError::Unavailable(error.to_string())
}

pub(in crate::publish) const OBJECTS: &str = "objects";
pub(in crate::publish) const ROOTS: &str = "roots";
pub(in crate::publish) const HEAD: &str = "head";

#[cfg(test)]
mod tests;
