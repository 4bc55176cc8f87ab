//! A directory: `objects/<hex>`, `roots/<n>` and `head`, each written whole or not at all.
//!
//! A file is written beside its place under a name that nobody else has, synced, and renamed into it, so a reader sees
//! the old or the new one and a crash leaves at worst a `.part` file, which is cleared away. Objects are there before a
//! head names them, and on disk: their folder is synced before the head is written. Whoever compares the head and
//! replaces it holds the lock on `lock`, so of several writers, in one process or in many, none moves it back.

use super::{Answer, Bundle, Held, Named, Sink, SinkError, Told};
use crate::publish::Keyrings;
use latchkey_core::UnixMillis;
use latchkey_snapshot::build::Object;
use latchkey_snapshot::{Head, ObjectDigest, UnverifiedHead};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A directory that holds what is published, for native gates and for copies.
pub struct DirectorySink {
    name: String,
    shelf: Arc<Shelf>,
}

struct Shelf {
    path: PathBuf,
    keyring: Keyrings,
    keep_ms: u64,
    /// How long another writer is waited for.
    lock_wait: Duration,
    seen: Mutex<Seen>,
    /// Since when nothing names an object. A restart forgets it, and so only keeps longer.
    unnamed: Mutex<HashMap<String, UnixMillis>>,
}

/// What was seen to be there.
#[derive(Default)]
struct Seen {
    /// What leads the bundles of which every object was.
    complete: HashSet<ObjectDigest>,
    /// Where the round stands in which they are looked at again.
    next: usize,
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
        let (seen, unnamed) = (Mutex::default(), Mutex::default());
        let shelf = Shelf { path: path.to_path_buf(), keyring, keep_ms, lock_wait: LOCK_WAIT, seen, unnamed };
        shelf.clear_parts()?;
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
        self.on_disk(move |shelf| {
            let _lock = shelf.lock()?;
            shelf.put(ROOTS, &version.to_string(), &bytes)
        })
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        let object = object.clone();
        self.on_disk(move |shelf| match shelf.holds(&object)? {
            true => Ok(()),
            false => shelf.put(OBJECTS, &object.reference.digest().to_string(), &object.bytes),
        })
    }

    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, Told> {
        let (head, named) = (head.to_vec(), named.clone());
        self.on_disk(move |shelf| {
            shelf.check_complete(&named)?;
            let _lock = shelf.lock()?;
            shelf.check_order(&head)?;
            shelf.put("", HEAD, &head).map(|()| Told::default())
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
    /// named for a while; and with every head some of what was seen before, so that it is noticed if somebody deletes it.
    fn check_complete(&self, named: &Named) -> Result<(), SinkError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.are_there_still(named, &mut seen)? {
            seen.complete.clear();
        }
        let mut missing = Vec::new();
        let mut complete = HashSet::new();
        let mut is_new = false;
        for bundle in named.bundles() {
            let Some(first) = bundle.first().map(|object| object.reference.digest()) else { continue };
            let is_known = seen.complete.contains(&first);
            let lacking = if is_known { Vec::new() } else { self.lacking(bundle)? };
            if lacking.is_empty() {
                complete.insert(first);
                is_new |= !is_known;
            }
            missing.extend(lacking);
        }
        seen.complete = complete;
        if !missing.is_empty() {
            return Err(SinkError::Missing(missing));
        }
        if is_new {
            // Another writer may have put some of it there, and not come to this yet.
            sync_folder(&self.path.join(OBJECTS)).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Whether the next few of the named objects, in a round over all, are there.
    fn are_there_still(&self, named: &Named, seen: &mut Seen) -> Result<bool, SinkError> {
        let count = named.objects().count();
        let begin = seen.next.checked_rem(count).unwrap_or_default();
        seen.next = begin + LOOKS_A_HEAD;
        let round = named.objects().chain(named.objects());
        for object in round.skip(begin).take(LOOKS_A_HEAD.min(count)) {
            if !self.holds(object)? {
                return Ok(false);
            }
        }
        Ok(true)
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

    /// Waits for whoever else writes the head or a root here. It ends when the file is dropped.
    fn lock(&self) -> Result<File, SinkError> {
        let path = self.path.join(LOCK);
        let file = File::options().create(true).append(true).open(path).map_err(|error| failed(&error))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
                Err(TryLockError::WouldBlock) if began.elapsed() < self.lock_wait => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(SinkError::Unavailable("another writer holds its lock".to_owned()));
                }
            }
        }
    }

    /// Clears away what writers of heads and roots left that were cut off: while the lock is held nobody else writes
    /// one. Parts of objects are swept like whatever else nothing names.
    fn clear_parts(&self) -> io::Result<()> {
        // Somebody is at it: the next start finds what there is.
        let Ok(_lock) = self.lock() else { return Ok(()) };
        for folder in [self.path.clone(), self.path.join(ROOTS)] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == PART) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
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
                match fs::remove_file(entry.path()) {
                    Ok(()) => deleted += 1,
                    // Another writer sweeps here, too.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&error)),
                }
                unnamed.remove(&name);
            }
        }
        Ok(deleted)
    }
}

/// Bytes that take their place whole or not at all. What was begun and failed is taken away again.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_whole_by(folder, name, |file| file.write_all(bytes))
}

fn write_whole_by(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let (part, mut file) = create_part(folder, name)?;
    let written =
        write(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&part, folder.join(name)));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&part);
    }
    written.and_then(|()| sync_folder(folder))
}

/// A new file beside the place of `name`, under a name that no other writer has, here or on another machine.
fn create_part(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let part = folder.join(format!("{name}.{}-{count}.{PART}", std::process::id()));
        match File::options().write(true).create_new(true).open(&part) {
            Ok(file) => return Ok((part, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(error: &io::Error) -> SinkError {
    SinkError::Unavailable(error.to_string())
}

pub(in crate::publish) const OBJECTS: &str = "objects";
pub(in crate::publish) const ROOTS: &str = "roots";
pub(in crate::publish) const HEAD: &str = "head";
const LOCK: &str = "lock";
/// How the name ends of what is not whole yet.
const PART: &str = "part";
/// Objects that are looked at again with every head.
const LOOKS_A_HEAD: usize = 256;
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
