//! One change of an installation's keys: a new root or none, files that come, files that go.
//!
//! New keys are written beside their places, then the root, then the keys are moved into their places, then those
//! that go are deleted. A crash before the root leaves nothing in force; after it, [`Bench::open`] goes on where it
//! stopped. Servers read under the same lock, so they see all of a change or nothing.

use super::Role;
use super::key::{NewKey, public};
use crate::installation::{Folder, hex, replace, sync_folder};
use crate::keys::{HeldKeys, PEPPER, TokenSigner, key_names, token_signer};
use anyhow::{Context, Result, ensure};
use latchkey_control::publish::{Keyring, Keys};
use latchkey_core::Pepper;
use latchkey_snapshot::Root;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::root::KeyRole;
use std::fs::{self, File};
use std::path::Path;
use zeroize::Zeroizing;

const PART: &str = ".part";

/// An installation whose keys nobody else reads or changes meanwhile.
pub(super) struct Bench {
    pub(super) folder: Folder,
    _lock: File,
    roots: Vec<Vec<u8>>,
    newest: Root,
    /// Every root, version 1 first.
    parsed: Vec<Root>,
}

/// A signing key in a file.
pub(super) struct KeyFile {
    /// As in `keys/head-2`.
    pub(super) name: String,
    pub(super) signer: Signer,
}

/// What is to change.
#[derive(Default)]
pub(super) struct Change {
    /// The root that follows, and its bytes.
    root: Option<(Root, Vec<u8>)>,
    added: Vec<NewKey>,
    /// Names of files.
    dropped: Vec<String>,
}

impl Change {
    /// A change to this root.
    pub(super) fn to(root: &Root, bytes: Vec<u8>) -> Self {
        Self { root: Some((root.clone(), bytes)), ..Self::default() }
    }

    /// A key that comes.
    pub(super) fn add(&mut self, key: NewKey) {
        self.added.push(key);
    }

    /// A key that comes, of which somebody else made the seed.
    pub(super) fn add_seed(&mut self, role: Role, seed: &[u8; 32]) {
        let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex(seed))));
        self.added.push(NewKey { role, signer: Signer::from_seed(seed), text });
    }

    /// A file that goes.
    pub(super) fn drop_file(&mut self, name: String) {
        self.dropped.push(name);
    }
}

impl Bench {
    /// Locks the installation, mends what a crash left behind, and reads its roots.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let folder = Folder::new(dir);
        let lock = folder.lock_to_change()?;
        let roots = folder.roots()?;
        let mut parsed: Vec<Root> = Vec::new();
        for (version, bytes) in (1u32..).zip(&roots) {
            let root = match parsed.last() {
                None => Root::pinned(bytes),
                Some(before) => before.successor(bytes),
            };
            parsed.push(root.with_context(|| format!("`roots/{version}`"))?);
        }
        let newest = parsed.last().cloned().context("`roots/1` is missing")?;
        let bench = Self { folder, _lock: lock, roots, newest, parsed };
        bench.mend()?;
        Ok(bench)
    }

    /// The newest root.
    pub(super) const fn newest(&self) -> &Root {
        &self.newest
    }

    /// The files of a role's keys, the oldest first.
    pub(super) fn files(&self, role: Role) -> Result<Vec<KeyFile>> {
        let names = key_names(&self.folder, role.name())?;
        names
            .into_iter()
            .map(|name| {
                let signer = match role.in_root() {
                    Some(_) => Signer::from_seed(&*self.folder.secret(&name)?),
                    None => self.token_signer(&name)?.signer,
                };
                Ok(KeyFile { name, signer })
            })
            .collect()
    }

    /// A key of tokens with its validity.
    pub(super) fn token_signer(&self, name: &str) -> Result<TokenSigner> {
        let first = self.parsed.first().context("`roots/1` is missing")?;
        token_signer(&self.folder, name, first.issued())
    }

    /// Checks the change as a running server would, and makes it.
    ///
    /// # Errors
    /// Why it is refused; nothing was changed then, unless the disk failed half-way.
    pub(super) fn install(&self, mut change: Change) -> Result<()> {
        for role in [Role::Release, Role::Head] {
            for file in self.files(role)? {
                let is_listed = change.dropped.contains(&file.name);
                let named = |root: &Root| names(root, role, &file.signer);
                if !is_listed && change.root.as_ref().is_some_and(|(root, _)| !named(root)) {
                    change.dropped.push(file.name);
                }
            }
        }
        self.check(&change)?;
        let places = self.places(&change.added)?;
        for (key, name) in change.added.iter().zip(&places) {
            self.folder.write(&format!("{name}{PART}"), key.text.as_bytes())?;
        }
        if let Some((root, bytes)) = &change.root {
            let path = self.folder.path(&format!("roots/{}", root.version()));
            replace(&path, bytes)?;
            println!("root {} is installed", root.version());
        }
        for (key, name) in change.added.iter().zip(&places) {
            self.move_in(name)?;
            println!("`{name}` holds the new {} key {}", key.role.name(), public(&key.signer));
        }
        for name in &change.dropped {
            self.delete(name)?;
        }
        println!("a running server takes this up within a second");
        Ok(())
    }

    /// Whether what would be on disk belongs together, and is all that a server needs.
    fn check(&self, change: &Change) -> Result<()> {
        let held = |role: Role| -> Result<Vec<Signer>> {
            let stays = self.files(role)?.into_iter().filter(|file| !change.dropped.contains(&file.name));
            let comes = change.added.iter().filter(|key| key.role == role);
            Ok(stays.map(|file| file.signer).chain(comes.map(|key| key.signer.clone())).collect())
        };
        for role in [Role::Session, Role::Edge] {
            ensure!(!held(role)?.is_empty(), "no {} key would be left", role.name());
        }
        let comes = change.root.iter().map(|(_, bytes)| bytes.clone());
        let keys = Keys {
            roots: self.roots.iter().cloned().chain(comes).collect(),
            release: held(Role::Release)?,
            head: held(Role::Head)?,
            session_keys: Vec::new(),
            edge_keys: Vec::new(),
            pepper: Pepper::new(*self.folder.secret(PEPPER)?),
        };
        Keyring::new(keys).map(drop).context("a server would refuse these keys")
    }

    /// The names of the files that new keys get: after those that are there.
    fn places(&self, added: &[NewKey]) -> Result<Vec<String>> {
        let mut places: Vec<String> = Vec::new();
        for key in added {
            let role = key.role.name();
            let held = key_names(&self.folder, role)?;
            let free = (1u32..)
                .map(
                    |number| {
                        if number == 1 { format!("keys/{role}") } else { format!("keys/{role}-{number}") }
                    },
                )
                .filter(|name| !places.contains(name))
                .find(|name| held.last().is_none_or(|last| order(last) < order(name)));
            places.push(free.context("no number is left for a key's file")?);
        }
        Ok(places)
    }

    fn move_in(&self, name: &str) -> Result<()> {
        let (from, to) = (self.folder.path(&format!("{name}{PART}")), self.folder.path(name));
        fs::rename(&from, &to).with_context(|| format!("cannot write `{}`", to.display()))?;
        sync_folder(&self.folder.path("keys"))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.folder.path(name);
        fs::remove_file(&path).with_context(|| format!("cannot delete `{}`", path.display()))?;
        println!("`{name}` is deleted: nothing believes it any more");
        sync_folder(&self.folder.path("keys"))
    }

    /// Goes on with a change that a crash cut off: keys that the newest root names are moved in, others that never came
    /// into force are forgotten, and what it dropped is deleted.
    fn mend(&self) -> Result<()> {
        for role in Role::ALL {
            for name in part_names(&self.folder, role)? {
                let part = self.folder.path(&format!("{name}{PART}"));
                let is_named = role.in_root().is_some() && {
                    let seed = self.folder.secret(&format!("{name}{PART}"));
                    // A file that was cut off in the middle is no key.
                    seed.is_ok_and(|seed| names(&self.newest, role, &Signer::from_seed(&seed)))
                };
                match is_named {
                    true => self.move_in(&name)?,
                    false => fs::remove_file(&part).with_context(|| format!("`{}`", part.display()))?,
                }
            }
        }
        for role in [Role::Release, Role::Head] {
            for file in self.files(role)? {
                let was_named = self.parsed.iter().any(|root| names(root, role, &file.signer));
                if was_named && !names(&self.newest, role, &file.signer) {
                    self.delete(&file.name)?;
                }
            }
        }
        Ok(())
    }

    /// Everything as a server reads it.
    ///
    /// # Errors
    /// As [`HeldKeys::load`].
    pub(super) fn held(&self) -> Result<HeldKeys> {
        HeldKeys::load_locked(&self.folder)
    }
}

/// Whether the root names the signer for this role.
fn names(root: &Root, role: Role, signer: &Signer) -> bool {
    let (role, public): (Option<KeyRole>, _) = (role.in_root(), signer.public());
    root.keys().iter().any(|key| Some(key.role) == role && key.public == public)
}

/// `keys/head-2` of `keys/head-2.part`.
fn part_names(folder: &Folder, role: Role) -> Result<Vec<String>> {
    let path = folder.path("keys");
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read `{}`", path.display()))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(PART)) else { continue };
        let rest = name.strip_prefix(role.name());
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
            names.push(format!("keys/{name}"));
        }
    }
    Ok(names)
}

/// By number.
fn order(name: &str) -> u32 {
    name.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}
