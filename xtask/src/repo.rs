//! Where things are: the repository, the cache shared by all clones, and locks between processes.

use anyhow::{Context, Result, anyhow};
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The directory that clones share: `$LATCHKEY_CACHE`, else `$XDG_CACHE_HOME/latchkey`, else `~/.cache/latchkey`.
pub(crate) fn cache() -> Result<PathBuf> {
    let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = path("LATCHKEY_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|base| base.join("latchkey")))
        .or_else(|| path("HOME").map(|home| home.join(".cache/latchkey")))
        .ok_or_else(|| anyhow!("no place for a cache: set `LATCHKEY_CACHE` or `HOME`"))?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create `{}`", cache.display()))?;
    Ok(cache)
}

/// Takes the lock `name` between all xtasks of this user; it is released when the file is dropped.
pub(crate) fn lock(name: &str) -> Result<File> {
    let locks = cache()?.join("locks");
    fs::create_dir_all(&locks)?;
    let path = locks.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("waiting for another xtask ({name})");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

/// A digest over the names and contents of `paths`, directories walked in name order without what tools write.
pub(crate) fn digest(paths: &[PathBuf]) -> Result<blake3::Hasher> {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        absorb(&mut hasher, path)?;
    }
    Ok(hasher)
}

fn absorb(hasher: &mut blake3::Hasher, path: &Path) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().filter(|entry| !is_output(entry)).try_for_each(|entry| absorb(hasher, entry));
    }
    let content = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let name = path.strip_prefix(root()).unwrap_or(path).to_string_lossy();
    for part in [name.as_bytes(), &content] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Ok(())
}

/// Whether a tool wrote this directory; `build` only beside a manifest, for it may be a module's name as well.
fn is_output(path: &Path) -> bool {
    let named = |name: &str| path.file_name().is_some_and(|found| found == name);
    named("target") || named(".wrangler") || named("build") && path.with_file_name("Cargo.toml").exists()
}
