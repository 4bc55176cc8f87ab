//! An installation on disk: one directory, only its owner can enter, one file a secret.
//!
//! ```text
//! DIR/            0700
//!   installation  its random name and what its keys begin with, as TOML; no secret
//!   state.redb    the database
//!   roots/1 …     the signed roots, binary; no secret
//!   keys/         0700: Ed25519 seeds as 64 hexadecimal characters, each file 0600
//!     offline-1 …  release  head  session  edge  audit, and release-2 … while one is replaced by the next
//!   secrets/      0700: pepper  mint  push-token  gate-token, the same
//! ```

use crate::init::seed;
use crate::keys::HeldKeys;
use anyhow::{Context, Result, bail, ensure};
use latchkey_control::tlog::CheckpointSigner;
use latchkey_core::{MintSecret, Prefix};
use latchkey_snapshot::Installation as Name;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes the file of a secret may have: 64 characters and a line end, and one more line for a key of tokens.
const SECRET_FILE_LEN_MAX: u64 = 128;
/// Roots that are looked for, one after the other.
const ROOTS_MAX: u32 = 1024;

/// What native gates read with.
pub(crate) const GATE_TOKEN: &str = "secrets/gate-token";

/// When a file was made that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Before,
    Now,
}

/// The directory of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// What the file `installation` says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    /// 32 hexadecimal characters.
    installation: String,
    prefix: String,
}

/// Everything in the directory but the database, read and checked.
pub(crate) struct Installation {
    pub(crate) name: Name,
    pub(crate) prefix: Prefix,
    /// What may be replaced while the server runs.
    pub(crate) keys: HeldKeys,
    pub(crate) audit: CheckpointSigner,
    pub(crate) mint: MintSecret,
    pub(crate) push_token: Zeroizing<String>,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("state.redb")
    }

    /// Makes the directory and its inner ones; refuses one that holds an installation.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in [self.0.clone(), self.0.join("keys"), self.0.join("secrets"), self.0.join("roots")] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot create `{}`", folder.display()))?;
        }
        if self.0.join("installation").exists() || self.database().exists() {
            bail!("`{}` holds an installation already; nothing was changed", self.0.display());
        }
        Ok(())
    }

    /// Writes what is known of the installation; the last file of `init`, so that a half-made one is seen.
    pub(crate) fn write_about(&self, name: Name, prefix: &Prefix) -> Result<()> {
        let about = About { installation: hex(&name.0), prefix: prefix.as_str().to_owned() };
        self.write("installation", toml::to_string(&about)?.as_bytes())
    }

    /// Writes 32 secret bytes.
    pub(crate) fn write_secret(&self, name: &str, bytes: &[u8; 32]) -> Result<()> {
        let text = Zeroizing::new(format!("{}\n", hex(bytes)));
        self.write(name, text.as_bytes())
    }

    /// What native gates read with, and whether it was made just now: installations that are older than it have none.
    pub(crate) fn gate_token(&self) -> Result<(Zeroizing<String>, Made)> {
        let path = self.path(GATE_TOKEN);
        let made = if path.exists() { Made::Before } else { Made::Now };
        if made == Made::Now {
            let token = Zeroizing::new(format!("{}\n", hex(&*seed()?)));
            replace(&path, token.as_bytes())?;
        }
        Ok((Zeroizing::new(hex(&*self.secret(GATE_TOKEN)?)), made))
    }

    /// Writes a new file that only its owner can read, and makes sure that it is on disk.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        create_new(&self.0.join(name), bytes)
    }

    /// Reads everything but the database.
    ///
    /// # Errors
    /// What is wrong with which file, never what a secret says.
    pub(crate) fn load(&self) -> Result<Installation> {
        let about = self.about()?;
        let name = Name(
            unhex(&about.installation)
                .context("`installation` in `installation`: not 32 hexadecimal characters")?,
        );
        let keys = HeldKeys::load(self)?;
        ensure!(keys.keyring.root().installation() == name, "`roots/1` belongs to another installation");
        Ok(Installation {
            name,
            prefix: Prefix::parse(&about.prefix).context("`prefix` in `installation`")?,
            keys,
            audit: self.audit_signer(name)?,
            mint: MintSecret::new(*self.secret("secrets/mint")?),
            push_token: Zeroizing::new(hex(&*self.secret("secrets/push-token")?)),
        })
    }

    fn about(&self) -> Result<About> {
        let path = self.0.join("installation");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("no installation in `{}`: `latchkey init --dir` makes one", self.0.display())
        })?;
        toml::from_str(&text).with_context(|| format!("`{}`", path.display()))
    }

    /// Every root's bytes, version 1 first.
    pub(crate) fn roots(&self) -> Result<Vec<Vec<u8>>> {
        let read = |version: u32| {
            let path = self.0.join(format!("roots/{version}"));
            match fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
            }
        };
        let mut roots = vec![read(1)?.context("`roots/1` is missing")?];
        for version in 2..=ROOTS_MAX {
            let Some(bytes) = read(version)? else { break };
            roots.push(bytes);
        }
        Ok(roots)
    }

    /// Keeps others from changing the keys while they are read. It ends when the file is dropped.
    pub(crate) fn lock_to_read(&self) -> Result<File> {
        self.lock(File::lock_shared)
    }

    /// Keeps others from reading or changing the keys while they are changed. It ends when the file is dropped.
    pub(crate) fn lock_to_change(&self) -> Result<File> {
        self.lock(File::lock)
    }

    fn lock(&self, how: impl FnOnce(&File) -> io::Result<()>) -> Result<File> {
        let path = self.0.join("installation");
        let cannot = || format!("cannot lock `{}`", path.display());
        let file = File::open(&path).with_context(cannot)?;
        how(&file).with_context(cannot)?;
        Ok(file)
    }

    /// The path of something inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The audit log bears the installation's name, and has a key of its own.
    pub(crate) fn audit_signer(&self, name: Name) -> Result<CheckpointSigner> {
        let seed = self.secret("keys/audit")?;
        Ok(CheckpointSigner::new(&format!("{}/audit", hex(&name.0)), &seed)?)
    }

    /// Reads 32 secret bytes from a file that nobody else can read.
    pub(crate) fn secret(&self, name: &str) -> Result<Zeroizing<[u8; 32]>> {
        read_seed(&self.0.join(name))
    }
}

/// Writes a new file that only its owner can read, and makes sure that it is on disk.
pub(crate) fn create_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    let open = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = open.with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.sync_all().with_context(cannot)
}

/// Writes a file whole or not at all: beside its place, then into it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    match fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace `{}`", part.display()));
        }
        _ => create_new(&part, bytes)?,
    }
    fs::rename(&part, path).with_context(|| format!("cannot write `{}`", path.display()))?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => sync_folder(folder),
        None => sync_folder(Path::new(".")),
    }
}

/// Makes sure that names in the folder are on disk.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot write `{}`", path.display()))
}

/// Reads 32 secret bytes from a file that nobody else can read.
pub(crate) fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let text = read_secret_text(path)?;
    let (seed, rest) = text.split_once('\n').unwrap_or((&text, ""));
    // Of a key of tokens, the second line says how long it is believed.
    let bytes = unhex::<32>(seed.trim_end()).filter(|_| rest.is_empty() || rest.starts_with("valid "));
    Ok(Zeroizing::new(
        bytes.with_context(|| format!("`{}` is not 64 hexadecimal characters", path.display()))?,
    ))
}

/// Reads a file that nobody else can read, if it is no longer than it may be.
pub(crate) fn read_secret_text(path: &Path) -> Result<Zeroizing<String>> {
    read_private_text(path, SECRET_FILE_LEN_MAX, "64 hexadecimal characters")
}

/// Reads a file that nobody else can read, if it is no longer than `what` it should be.
pub(crate) fn read_private_text(path: &Path, len_max: u64, what: &str) -> Result<Zeroizing<String>> {
    let cannot = || format!("cannot read `{}`", path.display());
    let about = fs::metadata(path).with_context(cannot)?;
    let mode = about.permissions().mode() & 0o777;
    ensure!(mode & 0o077 == 0, "`{}` can be read by others (mode {mode:o}): make it 0600", path.display());
    ensure!(about.len() <= len_max, "`{}` is not {what}", path.display());
    Ok(Zeroizing::new(fs::read_to_string(path).with_context(cannot)?))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    (pairs.len() == N && rest.is_empty()).then_some(())?;
    let mut out = [0; N];
    for (slot, pair) in out.iter_mut().zip(pairs) {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        *slot = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hexadecimal_of_another_length_or_alphabet_is_refused() {
        assert_eq!(unhex::<2>("00fF"), Some([0, 255]));
        for text in ["", "00", "00f", "00ff0", "00fg", "00ff00", "  00"] {
            assert_eq!(unhex::<2>(text), None, "{text}");
        }
    }

    #[test]
    fn secret_that_others_can_read_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        folder.write_secret("pepper", &[7; 32]).unwrap();
        assert_eq!(*folder.secret("pepper").unwrap(), [7; 32]);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(scratch.path().join("pepper"), fs::Permissions::from_mode(mode)).unwrap();
            let error = folder.secret("pepper").unwrap_err().to_string();
            assert!(error.contains("0600") && !error.contains("0707"), "{error}");
        }
    }

    #[test]
    fn malformed_secret_is_refused_without_being_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        for (index, text) in ["", "abc", &"g".repeat(64), &"0".repeat(200)].iter().enumerate() {
            folder.write(&index.to_string(), text.as_bytes()).unwrap();
            let error = format!("{:#}", folder.secret(&index.to_string()).unwrap_err());
            assert!(
                error.contains("64 hexadecimal") && (text.is_empty() || !error.contains(text)),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_as_a_secret_is_read_as_its_bytes_or_refused_without_being_shown(
            text in "[0-9a-fA-F]{62,66}(\\n|\\r\\n| )?(valid [0-9]{1,3} [0-9]{1,3}\\n)?|\\PC{0,140}",
        ) {
            let scratch = tempfile::tempdir().unwrap();
            let folder = Folder::new(scratch.path());
            folder.write("secret", text.as_bytes()).unwrap();
            match folder.secret("secret") {
                Ok(seed) => prop_assert_eq!(&hex(&*seed), &text[..64].to_lowercase()),
                Err(error) => {
                    let shown = format!("{error:#}");
                    prop_assert!(text.len() < 20 || !shown.contains(&text), "{shown}");
                }
            }
        }

        #[test]
        fn hexadecimal_is_read_back(bytes in any::<[u8; 16]>(), text in "[0-9a-fA-Fg]{30,34}") {
            prop_assert_eq!(unhex::<16>(&hex(&bytes)), Some(bytes));
            prop_assert!(unhex::<16>(&text).is_none_or(|bytes| hex(&bytes) == text.to_lowercase()));
        }
    }
}
