//! A copy of the log on disk, the same names whether it is written or read.
//!
//! ```text
//! DIR/checkpoint            the signed note
//!     entries.jsonl         a line an entry
//!     tile/0/000 …          the tree's hashes; only in a copy of the whole log
//!     consistency/<size>    the proof that the tree of that size is the beginning; only beside entries alone
//! ```

use anyhow::{Context, Result};
use latchkey_control::tlog::tile::TILE_WIDTH;
use latchkey_control::tlog::tree::Checkpoint;
use latchkey_control::tlog::{CheckpointKey, Hash, Tile};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes of one line: an entry may tell of 10,000 keys.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A copy's directory.
#[derive(Debug, Clone)]
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(super) fn entries(&self) -> PathBuf {
        self.0.join("entries.jsonl")
    }

    pub(super) fn tile(&self, tile: &Tile) -> PathBuf {
        self.0.join(tile.to_string())
    }

    pub(super) fn consistency(&self, earlier: u64) -> PathBuf {
        self.0.join(format!("consistency/{earlier}"))
    }

    /// Whether it is one of the whole log.
    pub(super) fn has_tiles(&self) -> bool {
        self.0.join("tile").is_dir()
    }

    /// The hashes of a tile.
    pub(super) fn hashes(&self, tile: &Tile) -> Result<Vec<Hash>> {
        let path = self.tile(tile);
        let bytes = read_limited(&path, TILE_WIDTH * size_of::<Hash>() as u64)?;
        let (hashes, rest) = bytes.as_chunks();
        anyhow::ensure!(
            rest.is_empty() && hashes.len() == usize::from(tile.width),
            "`{tile}` has {} bytes instead of {} hashes",
            bytes.len(),
            tile.width
        );
        Ok(hashes.to_vec())
    }

    /// The proof that an earlier tree is the beginning, if the copy has it.
    pub(super) fn proof(&self, earlier: u64) -> Result<Option<Vec<u8>>> {
        let path = self.consistency(earlier);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }
}

/// The checkpoint in a file, as this key signed it.
pub(super) fn open(key: &CheckpointKey, path: &Path) -> Result<Checkpoint> {
    let bytes = read_limited(path, latchkey_control::tlog::note::NOTE_BYTES_MAX as u64 + 1)?;
    let note =
        std::str::from_utf8(&bytes).ok().with_context(|| format!("`{}` is no text", path.display()))?;
    key.open(note).with_context(|| format!("`{}`", path.display()))
}

/// The lines of a file, each within the limit.
pub(super) fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let name = path.display().to_string();
    let next = move || -> Result<Option<String>> {
        let mut line = String::new();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line);
        read.with_context(|| format!("cannot read `{name}`"))?;
        match line.strip_suffix('\n') {
            Some(whole) => Ok(Some(whole.to_owned())),
            None if line.is_empty() => Ok(None),
            None => anyhow::bail!("`{name}` breaks off within a line"),
        }
    };
    let mut next = next;
    Ok(std::iter::from_fn(move || next().transpose()))
}

fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .with_context(cannot)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    anyhow::ensure!(bytes.len() as u64 <= bytes_max, "`{}` is too long", path.display());
    Ok(bytes)
}
