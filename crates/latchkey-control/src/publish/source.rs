//! Where published objects are read from: what blocks is a [`Source`]; the control plane itself is read in
//! [`long_poll`]. What comes from there is worth nothing before it is verified.

pub mod long_poll;

use super::sink::directory::{HEAD, OBJECTS, ROOTS};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::head::HEAD_LEN_MAX;
use latchkey_snapshot::root::ROOT_LEN_MAX;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A place to read from. `None` is: it is not there. Reading blocks.
pub trait Source {
    /// What messages call it; no secret.
    fn name(&self) -> &str;

    /// The root of a version.
    ///
    /// # Errors
    /// [`SourceError`], as for all methods here.
    fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError>;

    /// The head.
    ///
    /// # Errors
    /// [`SourceError`].
    fn head(&self) -> Result<Option<Vec<u8>>, SourceError>;

    /// The object with this digest, if it has no more than so many bytes.
    ///
    /// # Errors
    /// [`SourceError`].
    fn object(&self, digest: ObjectDigest, len_max: usize) -> Result<Option<Vec<u8>>, SourceError>;
}

/// The place cannot be read: whoever runs it is at fault, or the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError(pub String);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

/// What a [`super::DirectorySink`] wrote.
#[derive(Debug)]
pub struct DirectorySource {
    name: String,
    path: PathBuf,
}

impl DirectorySource {
    /// The directory at this path.
    pub fn new(path: &Path) -> Self {
        Self { name: path.display().to_string(), path: path.to_owned() }
    }
}

impl Source for DirectorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        read(&self.path.join(ROOTS).join(version.to_string()), ROOT_LEN_MAX)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        read(&self.path.join(HEAD), HEAD_LEN_MAX)
    }

    fn object(&self, digest: ObjectDigest, len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        read(&self.path.join(OBJECTS).join(digest.to_string()), len_max)
    }
}

/// A file, if it is there; of a longer one so much that it is seen to be too long.
fn read(path: &Path, len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(len_max as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SourceError(format!("`{}`: {error}", path.display()))),
    }
}
