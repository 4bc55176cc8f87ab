//! The keys on disk that may be replaced while the server runs: read as a whole, and looked at again every second.
//!
//! A role's keys are `keys/ROLE`, `keys/ROLE-2`, `keys/ROLE-3` …; several are there while one takes over from
//! another. What is on disk and does not belong together changes nothing: the keys in force stay, and it is said.

use crate::init::validity;
use crate::installation::{Folder, hex, read_secret_text, unhex};
use anyhow::{Context, Result, anyhow};
use latchkey_control::outside::{Clock, Seeds, SystemSeeds};
use latchkey_control::publish::{Keyring, Keyrings, Keys};
use latchkey_core::{Pepper, UnixSeconds};
use latchkey_snapshot::Root;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::manifest::TokenKey;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A new key of tokens is told to the edges for as long before it signs: they read it in the manifest.
pub(crate) const SETTLES_SECS: u64 = 60;

/// The pepper in force.
pub(crate) const PEPPER: &str = "secrets/pepper";
/// The pepper that is to follow.
pub(crate) const PEPPER_NEXT: &str = "secrets/pepper-next";
/// The pepper that was before.
pub(crate) const PEPPER_LAST: &str = "secrets/pepper-last";
const SESSION: &str = "keys/session";
/// No name of a key: what is in it counts once it is renamed.
const SESSION_NEXT: &str = "keys/session.next";

/// The keys as they are on disk.
pub(crate) struct HeldKeys {
    pub(crate) keyring: Keyring,
    /// The session keys, the oldest first.
    pub(crate) session: Vec<TokenSigner>,
}

/// A key of tokens. Its validity stands in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct TokenSigner {
    pub(crate) signer: Signer,
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
}

impl HeldKeys {
    /// Reads them all.
    ///
    /// # Errors
    /// What is wrong with which file, never what a secret says.
    pub(crate) fn load(folder: &Folder) -> Result<Self> {
        let _lock = folder.lock_to_read()?;
        Self::load_locked(folder)
    }

    /// Reads them all, for whoever has the lock.
    ///
    /// # Errors
    /// As [`HeldKeys::load`].
    pub(crate) fn load_locked(folder: &Folder) -> Result<Self> {
        let roots = folder.roots()?;
        let first = Root::pinned(roots.first().map(Vec::as_slice).unwrap_or_default());
        let first = first.context("`roots/1`")?;
        let session = token_signers(folder, "session", first.issued())?;
        let edge = token_signers(folder, "edge", first.issued())?;
        let keys = Keys {
            roots,
            release: signers(folder, "release")?,
            head: signers(folder, "head")?,
            session_keys: session.iter().map(TokenSigner::public).collect(),
            edge_keys: edge.iter().map(TokenSigner::public).collect(),
            pepper: Pepper::new(*folder.secret(PEPPER)?),
        };
        let keyring = Keyring::new(keys)?;
        let keyring = match other_pepper(folder)? {
            Some(other) => keyring.with_other_pepper(other),
            None => keyring,
        };
        Ok(Self { keyring, session })
    }
}

impl TokenSigner {
    /// What the manifest says of it.
    fn public(&self) -> TokenKey {
        let Self { signer, not_before, not_after } = self;
        TokenKey { public: signer.public(), not_before: *not_before, not_after: *not_after }
    }
}

/// The pepper that is to follow, or that was before, while it is rotated: edges hold both.
fn other_pepper(folder: &Folder) -> Result<Option<Pepper>> {
    for name in [PEPPER_NEXT, PEPPER_LAST] {
        if folder.path(name).exists() {
            return Ok(Some(Pepper::new(*folder.secret(name)?)));
        }
    }
    Ok(None)
}

/// Where the keys in force are read, and the end of it that replaces them.
pub(crate) struct KeyWatch {
    folder: Folder,
    keyring: watch::Sender<Arc<Keyring>>,
    session: watch::Sender<Signer>,
    /// The keys that were loaded last, of which the session keys are still to take turns.
    held: Vec<TokenSigner>,
    /// What the files looked like then.
    seen: Option<Vec<Trace>>,
    refused: Option<String>,
}

impl KeyWatch {
    /// Begins with these.
    ///
    /// # Errors
    /// There is no session key.
    pub(crate) fn new(folder: Folder, keys: HeldKeys, now: UnixSeconds) -> Result<Self> {
        let session = watch::Sender::new(session_signer(&keys.session, now)?.clone());
        let keyring = watch::Sender::new(Arc::new(keys.keyring));
        Ok(Self { folder, keyring, session, held: keys.session, seen: None, refused: None })
    }

    /// The keyring in force.
    pub(crate) fn keyrings(&self) -> Keyrings {
        self.keyring.subscribe()
    }

    /// What signs session tokens.
    pub(crate) fn session_signer(&self) -> watch::Receiver<Signer> {
        self.session.subscribe()
    }

    /// Looks at the files every second, for ever. `note` is told why they are refused, or that they are not.
    pub(crate) async fn run(mut self, note: impl Fn(Option<String>) + Send, clock: Arc<dyn Clock>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (folder, seen) = (self.folder.clone(), self.seen.take());
            let look = tokio::task::spawn_blocking(move || look(&folder, seen)).await;
            let (seen, loaded) = look.unwrap_or_else(|_| (None, Err(anyhow!("the look broke off"))));
            self.seen = seen;
            let outcome = loaded.and_then(|keys| self.take(keys, clock.now().seconds()));
            let refused = match outcome {
                // Nothing was touched since: what was wrong is wrong still.
                Ok(false) => continue,
                Ok(true) => None,
                Err(error) => Some(format!("{error:#}")),
            };
            if refused != self.refused {
                match &refused {
                    Some(why) => tracing::error!(%why, "the keys on disk are refused: those in force stay"),
                    None => tracing::info!("the keys on disk are in force again"),
                }
                note(refused.clone());
                self.refused = refused;
            }
        }
    }

    /// Puts these in force, if they may follow, and lets session keys take turns. Whether there were any.
    fn take(&mut self, keys: Option<HeldKeys>, now: UnixSeconds) -> Result<bool> {
        let is_look = keys.is_some();
        if let Some(HeldKeys { keyring, session }) = keys {
            session_signer(&session, now)?;
            let next = self.keyring.borrow().succeed(keyring)?;
            self.held = session;
            self.keyring.send_if_modified(|held| {
                let is_new = !held.is_same(&next);
                if is_new {
                    tracing::info!(root = next.root().version(), "new keys are in force");
                    *held = Arc::new(next);
                }
                is_new
            });
        }
        let signer = session_signer(&self.held, now)?.clone();
        self.session.send_if_modified(|held| {
            let is_new = held.public() != signer.public();
            *held = signer;
            is_new
        });
        Ok(is_look)
    }
}

/// The key that signs session tokens now: the newest one that edges have had time to read of.
///
/// # Errors
/// There is none.
fn session_signer(keys: &[TokenSigner], now: UnixSeconds) -> Result<&Signer> {
    let at = settled(keys, now).context("there is no session key")?;
    Ok(&keys[at].signer)
}

/// Which of these signs; `None`: there is none.
fn settled(keys: &[TokenSigner], now: UnixSeconds) -> Option<usize> {
    let is_settled =
        |key: &TokenSigner| key.not_before.plus_secs(SETTLES_SECS) <= now && now <= key.not_after;
    let all = keys.iter().enumerate().filter(|(_, key)| is_settled(key));
    let newest = all.max_by_key(|(_, key)| key.not_before).map(|(at, _)| at);
    newest.or((!keys.is_empty()).then_some(0))
}

/// The seed of the edge key that signs now, for the edges' own variables.
///
/// # Errors
/// As [`HeldKeys::load`], or there is none.
pub(crate) fn edge_seed(folder: &Folder, now: UnixSeconds) -> Result<Zeroizing<[u8; 32]>> {
    let _lock = folder.lock_to_read()?;
    let roots = folder.roots()?;
    let first = Root::pinned(roots.first().map(Vec::as_slice).unwrap_or_default()).context("`roots/1`")?;
    let names = key_names(folder, "edge")?;
    let keys = token_signers(folder, "edge", first.issued())?;
    let name = settled(&keys, now).and_then(|at| names.get(at)).context("there is no edge key")?;
    let text = read_secret_text(&folder.path(name))?;
    let seed = text.lines().next().and_then(unhex::<32>).context("there is no edge key")?;
    Ok(Zeroizing::new(seed))
}

/// What tells that a file was touched.
type Trace = (PathBuf, u64, i64, i64, u64, u32);

/// Loads the keys if any of their files was touched since they looked like `seen`.
fn look(folder: &Folder, seen: Option<Vec<Trace>>) -> (Option<Vec<Trace>>, Result<Option<HeldKeys>>) {
    let lock = folder.lock_to_read();
    match lock.and_then(|lock| Ok((lock, traces(folder)?))) {
        Err(error) => (None, Err(error)),
        Ok((_, traces)) if seen.as_ref() == Some(&traces) => (seen, Ok(None)),
        Ok((_lock, traces)) => (Some(traces), HeldKeys::load_locked(folder).map(Some)),
    }
}

fn traces(folder: &Folder) -> Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for name in ["keys", "roots", "secrets"] {
        let path = folder.path(name);
        let cannot = || format!("cannot read `{}`", path.display());
        for entry in fs::read_dir(&path).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let about = entry.metadata().with_context(cannot)?;
            let changed = (about.ctime(), about.ctime_nsec());
            traces.push((entry.path(), about.ino(), changed.0, changed.1, about.len(), about.mode()));
        }
    }
    traces.sort();
    Ok(traces)
}

/// The names of a role's key files, the oldest first.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn key_names(folder: &Folder, role: &str) -> Result<Vec<String>> {
    let path = folder.path("keys");
    let cannot = || format!("cannot read `{}`", path.display());
    let mut numbered = Vec::new();
    for entry in fs::read_dir(&path).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let number = match name.strip_prefix(role) {
            Some("") => Some(1),
            Some(rest) => rest.strip_prefix('-').and_then(|number| number.parse::<u32>().ok()),
            None => None,
        };
        if let Some(number) = number {
            numbered.push((number, format!("keys/{name}")));
        }
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, name)| name).collect())
}

/// Makes one new session key in place of all that are there: tokens by those are refused once edges hear of it.
///
/// # Errors
/// A file cannot be written or removed.
pub(crate) fn replace_session_keys(folder: &Folder, now: UnixSeconds) -> Result<()> {
    let seed = SystemSeeds.seed().map(Zeroizing::new).map_err(|error| anyhow!("{error}"))?;
    let (from, until) = validity(now);
    let text = Zeroizing::new(format!("{}\nvalid {} {}\n", *Zeroizing::new(hex(&*seed)), from.0, until.0));
    let next = folder.path(SESSION_NEXT);
    if next.exists() {
        fs::remove_file(&next).with_context(|| format!("cannot remove `{}`", next.display()))?;
    }
    folder.write(SESSION_NEXT, text.as_bytes())?;
    for name in key_names(folder, "session")? {
        let path = folder.path(&name);
        fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    fs::rename(&next, folder.path(SESSION)).with_context(|| format!("cannot write `{SESSION}`"))
}

fn signers(folder: &Folder, role: &str) -> Result<Vec<Signer>> {
    key_names(folder, role)?.iter().map(|name| Ok(Signer::from_seed(&*folder.secret(name)?))).collect()
}

fn token_signers(folder: &Folder, role: &str, first_issued: UnixSeconds) -> Result<Vec<TokenSigner>> {
    key_names(folder, role)?.iter().map(|name| token_signer(folder, name, first_issued)).collect()
}

/// Reads a key of tokens: the seed, and on a second line `valid FROM UNTIL` in Unix seconds. Without one it is as old
/// as the installation.
pub(crate) fn token_signer(folder: &Folder, name: &str, first_issued: UnixSeconds) -> Result<TokenSigner> {
    let path = folder.path(name);
    let text = read_secret_text(&path)?;
    let mut lines = text.lines();
    let seed = lines.next().and_then(unhex::<32>);
    let seed = seed.with_context(|| format!("`{}` is not 64 hexadecimal characters", path.display()))?;
    let (not_before, not_after) = match lines.next() {
        None => validity(first_issued),
        Some(line) => {
            let bounds = line.strip_prefix("valid ").and_then(|bounds| bounds.split_once(' '));
            let bounds = bounds.and_then(|(from, until)| Some((from.parse().ok()?, until.parse().ok()?)));
            let bounds = bounds.with_context(|| {
                format!("the second line of `{}` is not `valid FROM UNTIL` in seconds", path.display())
            });
            let (from, until) = bounds?;
            (UnixSeconds(from), UnixSeconds(until))
        }
    };
    Ok(TokenSigner { signer: Signer::from_seed(&seed), not_before, not_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8, not_before: u64) -> TokenSigner {
        let (not_before, not_after) = (UnixSeconds(not_before), UnixSeconds(10_000));
        TokenSigner { signer: Signer::from_seed(&[seed; 32]), not_before, not_after }
    }

    #[test]
    fn new_session_key_signs_once_edges_had_time_to_read_of_it() {
        let signs = |keys: &[TokenSigner], now| {
            let signer = session_signer(keys, UnixSeconds(now)).unwrap().public();
            keys.iter().position(|key| key.signer.public() == signer).unwrap()
        };
        let keys = [key(1, 0), key(2, 1_000)];
        assert_eq!((signs(&keys, 1_000), signs(&keys, 1_059), signs(&keys, 1_060)), (0, 0, 1));
        // The only one that is left signs at once.
        assert_eq!(signs(&keys[1..], 1_000), 0);
        assert!(session_signer(&[], UnixSeconds(0)).is_err());
    }

    #[test]
    fn key_files_are_ordered_by_number_and_others_are_none() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("keys")).unwrap();
        for name in ["head-10", "head", "head-2", "head-2.part", "head-x", "header", "release"] {
            fs::write(scratch.path().join("keys").join(name), "").unwrap();
        }
        let names = key_names(&Folder::new(scratch.path()), "head").unwrap();
        assert_eq!(names, ["keys/head", "keys/head-2", "keys/head-10"]);
    }

    #[test]
    fn validity_of_a_token_key_is_whole_or_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let seed = "ab".repeat(32);
        for (index, line) in
            ["valid", "valid 1", "valid 1 b", "from 1 2", "valid  1 2", "valid -1 2"].iter().enumerate()
        {
            folder.write(&index.to_string(), format!("{seed}\n{line}\n").as_bytes()).unwrap();
            let error =
                format!("{:#}", token_signer(&folder, &index.to_string(), UnixSeconds(0)).unwrap_err());
            assert!(error.contains("valid FROM UNTIL") && !error.contains(&seed), "{line}: {error}");
        }
        folder.write("good", format!("{seed}\nvalid 1 2\n").as_bytes()).unwrap();
        let key = token_signer(&folder, "good", UnixSeconds(0)).unwrap();
        assert_eq!((key.not_before, key.not_after), (UnixSeconds(1), UnixSeconds(2)));
    }
}
