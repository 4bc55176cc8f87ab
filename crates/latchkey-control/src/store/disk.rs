//! Where the database lies: a file, or anything that behaves like one, so that a test can make a disk that fails.

use redb::StorageBackend;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// A disk that keeps one file.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// Those of the disk, as for all methods here.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// Also if the file ends before.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Cuts the file, or lengthens it by zeros.
    ///
    /// # Errors
    /// Those of the disk.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Writes at `offset`; it may be forgotten in a crash until the next [`Disk::sync`].
    ///
    /// # Errors
    /// Those of the disk.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&self) -> io::Result<()>;
}

/// A disk as the database engine sees it.
#[derive(Debug)]
pub(super) struct Backend<D>(pub(super) D);

impl<D: Disk> StorageBackend for Backend<D> {
    fn len(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// Makes the file if there is none, readable by its owner alone, and makes its name durable.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
