//! `cargo xtask vectors`: writes the test vectors of docs/spec to tests/vectors; `--check` only compares.

use crate::repo;
use anyhow::{Context, Result, bail};
use latchkey_vectors::File;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that all vectors together may have, so that they stay small enough to read and to review. Deltas and chains
/// of them take a fifth.
const BYTES_MAX: usize = 1_000_000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fails when a committed file is not what would be written, and changes nothing.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Where the vectors are.
pub(crate) fn directory() -> PathBuf {
    repo::root().join("tests/vectors")
}

/// Writes the vectors, or compares them.
///
/// # Errors
/// A file cannot be written; or, with `--check`, one is missing, different or no longer made.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let files = latchkey_vectors::files();
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > BYTES_MAX {
        bail!("the vectors have {bytes} bytes, more than {BYTES_MAX}");
    }
    let surplus = surplus(&files)?;
    if arguments.check {
        check(&files, &surplus)?
    } else {
        write(&files, &surplus)?
    }
    println!("vectors: {} files, {bytes} bytes", files.len());
    Ok(())
}

fn write(files: &[File], surplus: &BTreeSet<PathBuf>) -> Result<()> {
    for file in files {
        let path = directory().join(file.path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, &file.text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    surplus.iter().try_for_each(|path| Ok(fs::remove_file(path)?))
}

fn check(files: &[File], surplus: &BTreeSet<PathBuf>) -> Result<()> {
    let differs =
        |file: &&File| fs::read_to_string(directory().join(file.path)).ok().as_ref() != Some(&file.text);
    let stale: Vec<&str> = files.iter().filter(differs).map(|file| file.path).collect();
    if !stale.is_empty() {
        bail!(
            "tests/vectors: {} differ from what the code makes: run `cargo xtask vectors`",
            stale.join(", ")
        );
    }
    match surplus.first() {
        Some(path) => bail!("`{}` is no longer made: run `cargo xtask vectors`", path.display()),
        None => Ok(()),
    }
}

/// The committed files that are made no more.
fn surplus(files: &[File]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    walk(&directory(), &mut found)?;
    for file in files {
        found.remove(&directory().join(file.path));
    }
    Ok(found)
}

fn walk(directory: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.insert(path);
        }
    }
    Ok(())
}
