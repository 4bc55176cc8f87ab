//! A backup: every row of one moment, with a digest of all of it and a seal that only the installation can make.
//!
//! ```text
//! LKB1, format of the database u32, generation u64, made at u64 (milliseconds)
//! 1, length u8, name                              a table begins
//! 2, key length u32, value length u32, key, value a row of it
//! 0, rows u64                                     the end
//! digest [32]                                     BLAKE3 of all before it
//! seal [32]                                       BLAKE3 of the digest, keyed with what the audit log's key yields
//! ```
//!
//! Numbers are little-endian. The digest tells that a file is whole, to anybody; the seal, that it is this
//! installation's own and nobody put a row into it. No secret is in it: the database has none.

use super::error::StoreError;
use super::tables::{WriteTables, counter};
use super::view::View;
use super::{FORMAT_VERSION, FORMAT_VERSION_MIN, ReadView, builder, disk};
use crate::tlog::CheckpointSigner;
use latchkey_core::{Generation, UnixMillis};
use redb::ReadableTable;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Writes the state of a view.
///
/// # Errors
/// Those of the disk, on either side.
pub fn write(
    view: &ReadView,
    made_at: UnixMillis,
    seal: &BackupSeal,
    out: &mut dyn Write,
) -> Result<BackupFacts, BackupError> {
    let facts = BackupFacts { format: FORMAT_VERSION, generation: view.generation()?, made_at };
    let mut out = Digested { inner: out, digest: blake3::Hasher::new() };
    out.write_all(MAGIC)?;
    out.write_all(&facts.format.to_le_bytes())?;
    out.write_all(&facts.generation.0.to_le_bytes())?;
    out.write_all(&facts.made_at.0.to_le_bytes())?;
    let (mut rows, mut current, mut failed) = (0u64, String::new(), None);
    let shown = view.show_rows(&mut |table, key, value| {
        let mut put = || -> io::Result<()> {
            if current != table {
                table.clone_into(&mut current);
                out.write_all(&[TABLE, table.len() as u8])?;
                out.write_all(table.as_bytes())?;
            }
            out.write_all(&[ROW])?;
            out.write_all(&(key.len() as u32).to_le_bytes())?;
            out.write_all(&(value.len() as u32).to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(value)
        };
        rows += 1;
        put().map_err(|error| {
            failed = Some(error);
            StoreError::Closed
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    shown?;
    out.write_all(&[END])?;
    out.write_all(&rows.to_le_bytes())?;
    let Digested { inner, digest } = out;
    let digest = digest.finalize();
    inner.write_all(digest.as_bytes())?;
    inner.write_all(seal.over(digest.as_bytes()).as_bytes())?;
    inner.flush()?;
    Ok(facts)
}

/// A backup that is whole, and if it was opened with a seal, this installation's own.
#[derive(Debug)]
pub struct Backup {
    file: File,
    facts: BackupFacts,
    digest: blake3::Hash,
}

/// How far above everything known a restored database goes on: more changes than were ever committed within the time
/// in which edges would have heard of one.
pub const GENERATION_MARGIN: u64 = 1 << 20;
/// The same for the numbers of organizations and projects.
pub const NUMBER_MARGIN: u64 = 1 << 12;

/// The greatest generation above which a database is restored: beyond 2^53 − 1 no hub takes a head any more, and half of
/// that is room for every change there will ever be.
pub const GENERATION_FLOOR_MAX: u64 = 1 << 52;

/// What a backup says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupFacts {
    /// The format of the database that it is of.
    pub format: u32,
    /// The newest change in it.
    pub generation: Generation,
    /// When it was made.
    pub made_at: UnixMillis,
}

/// What is known to have been given out. A restored database goes on above it, and above what may have been given out
/// since without anybody's knowing: [`GENERATION_MARGIN`], [`NUMBER_MARGIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floors {
    /// The generation.
    pub generation: Generation,
    /// The last organization number.
    pub organizations: u32,
    /// The last project number.
    pub projects: u32,
}

impl Backup {
    /// Reads all of a file, and refuses it unless it is a whole backup. Without a seal nothing says who made it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn open(path: &Path, seal: Option<&BackupSeal>) -> Result<Self, BackupError> {
        let file = File::open(path)?;
        let mut input = Input::new(&file);
        let facts = input.facts()?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while input.row(&mut key, &mut value)?.is_some() {}
        let digest = input.finish(seal)?;
        Ok(Self { file, facts, digest })
    }

    /// What it says of itself.
    pub const fn facts(&self) -> &BackupFacts {
        &self.facts
    }

    /// Makes a database of it, in a file that must not be there yet, above these floors. Says at which generation.
    ///
    /// # Errors
    /// [`BackupError`]; whatever was made until then is to be thrown away.
    pub fn unpack(&self, database: &Path, floors: &Floors) -> Result<Generation, BackupError> {
        if floors.generation.0.max(self.facts.generation.0) > GENERATION_FLOOR_MAX {
            return Err(BackupError::Floor);
        }
        if database.exists() {
            return Err(io::Error::from(ErrorKind::AlreadyExists).into());
        }
        disk::touch(database)?;
        let database = builder().create(database).map_err(StoreError::from)?;
        let transaction = database.begin_write().map_err(StoreError::from)?;
        let mut tables = WriteTables::open(&transaction)?;
        (&self.file).seek(SeekFrom::Start(0))?;
        let mut input = Input::new(&self.file);
        input.facts()?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while let Some(table) = input.row(&mut key, &mut value)? {
            if !tables.put_row(table, &key, &value)? {
                return Err(BackupError::Table(table.to_owned()));
            }
        }
        // The very bytes that were checked, or nothing is committed.
        if input.finish(None)? != self.digest {
            return Err(BackupError::Digest);
        }
        raise(&mut tables, floors)?;
        let generation = tables.generation()?;
        drop(tables);
        transaction.commit().map_err(StoreError::from)?;
        Ok(generation)
    }
}

fn raise(tables: &mut WriteTables, floors: &Floors) -> Result<(), StoreError> {
    for (name, floor, margin) in [
        (counter::GENERATION, floors.generation.0, GENERATION_MARGIN),
        (counter::ORGANIZATIONS, u64::from(floors.organizations), NUMBER_MARGIN),
        (counter::PROJECTS, u64::from(floors.projects), NUMBER_MARGIN),
    ] {
        let given = tables.counters.get(name)?.map_or(0, |count| count.value());
        tables.counters.insert(name, given.max(floor).saturating_add(margin))?;
    }
    Ok(())
}

/// What an installation seals its backups with.
#[derive(Clone)]
pub struct BackupSeal(Zeroizing<[u8; 32]>);

impl BackupSeal {
    /// The seal of the installation whose audit log this signs: edges do not hold that key.
    pub fn of(audit: &CheckpointSigner) -> Self {
        Self(audit.derived(SEAL_CONTEXT))
    }

    fn over(&self, digest: &[u8; 32]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, digest)
    }
}

impl fmt::Debug for BackupSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupSeal(..)")
    }
}

/// A file that is read from its first byte on, and digested as it is.
struct Input<'f> {
    inner: BufReader<&'f File>,
    digest: blake3::Hasher,
    table: String,
    rows: u64,
}

impl<'f> Input<'f> {
    fn new(file: &'f File) -> Self {
        let inner = BufReader::with_capacity(BUFFER_BYTES, file);
        Self { inner, digest: blake3::Hasher::new(), table: String::new(), rows: 0 }
    }

    fn facts(&mut self) -> Result<BackupFacts, BackupError> {
        if &self.array::<4>()? != MAGIC {
            return Err(BackupError::Magic);
        }
        let format = u32::from_le_bytes(self.array()?);
        if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&format) {
            return Err(BackupError::Format { found: format, supported: FORMAT_VERSION });
        }
        let generation = Generation(u64::from_le_bytes(self.array()?));
        Ok(BackupFacts { format, generation, made_at: UnixMillis(u64::from_le_bytes(self.array()?)) })
    }

    /// The next row and its table, or the end.
    fn row(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<Option<&str>, BackupError> {
        loop {
            match self.array()? {
                [TABLE] => {
                    let [len] = self.array()?;
                    let mut name = Vec::new();
                    self.take(&mut name, usize::from(len))?;
                    self.table = String::from_utf8(name).map_err(|_| BackupError::Malformed)?;
                }
                [ROW] => {
                    let key_len = u32::from_le_bytes(self.array()?) as usize;
                    let value_len = u32::from_le_bytes(self.array()?) as usize;
                    self.take(key, key_len)?;
                    self.take(value, value_len)?;
                    self.rows += 1;
                    return Ok(Some(&self.table));
                }
                [END] => {
                    let rows = u64::from_le_bytes(self.array()?);
                    return if rows == self.rows { Ok(None) } else { Err(BackupError::Malformed) };
                }
                _ => return Err(BackupError::Malformed),
            }
        }
    }

    /// The digest, if it is the file's own and the last thing in it.
    fn finish(mut self, seal: Option<&BackupSeal>) -> Result<blake3::Hash, BackupError> {
        let digest = self.digest.finalize();
        let (said, sealed) = (self.array::<32>()?, self.array::<32>()?);
        if digest != blake3::Hash::from_bytes(said) {
            return Err(BackupError::Digest);
        }
        if seal.is_some_and(|seal| seal.over(&said) != blake3::Hash::from_bytes(sealed)) {
            return Err(BackupError::Seal);
        }
        if self.inner.read(&mut [0])? != 0 {
            return Err(BackupError::Trailing);
        }
        Ok(digest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.digest.update(&bytes);
        Ok(bytes)
    }

    /// Reads so many bytes; no more is taken from memory than the file has.
    fn take(&mut self, into: &mut Vec<u8>, len: usize) -> Result<(), BackupError> {
        into.clear();
        let read = (&mut self.inner).take(len as u64).read_to_end(into)?;
        if read < len {
            return Err(BackupError::Truncated);
        }
        self.digest.update(into);
        Ok(())
    }
}

/// A writer that digests what goes through it.
struct Digested<'w> {
    inner: &'w mut dyn Write,
    digest: blake3::Hasher,
}

impl Write for Digested<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Why there is no backup, or why a file is none.
#[derive(Debug)]
pub enum BackupError {
    /// The file or the stream failed.
    Io(io::Error),
    /// The database failed.
    Store(StoreError),
    /// The file is no backup.
    Magic,
    /// It is of a database of another version of Latchkey.
    Format {
        /// What it says.
        found: u32,
        /// What this program reads.
        supported: u32,
    },
    /// It ends too soon.
    Truncated,
    /// Something in it is nothing that a backup holds.
    Malformed,
    /// It has a table that no database of this version has.
    Table(String),
    /// It was altered, or damaged.
    Digest,
    /// It is another installation's, or somebody altered it.
    Seal,
    /// There is something behind its end.
    Trailing,
    /// The generation to go on above leaves no room: more than [`GENERATION_FLOOR_MAX`].
    Floor,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Magic => f.write_str("the file is no backup"),
            Self::Format { found, supported } => {
                write!(f, "the backup has format {found}, and this program reads format {supported}")
            }
            Self::Truncated => f.write_str("the backup is cut off"),
            Self::Malformed => f.write_str("the backup is damaged"),
            Self::Table(name) => write!(f, "the backup has a table `{}`", name.escape_default()),
            Self::Digest => f.write_str("the backup was altered: its digest is another"),
            Self::Seal => f.write_str("the backup is not sealed by this installation"),
            Self::Trailing => f.write_str("there is something behind the backup's end"),
            Self::Floor => write!(
                f,
                "a generation above {GENERATION_FLOOR_MAX} leaves no room: hubs take none from 2^53 on"
            ),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Io(error) }
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

const MAGIC: &[u8; 4] = b"LKB1";
const END: u8 = 0;
const TABLE: u8 = 1;
const ROW: u8 = 2;
const SEAL_CONTEXT: &str = "latchkey backup seal v1";
const BUFFER_BYTES: usize = 1 << 16;

#[cfg(test)]
mod tests;
