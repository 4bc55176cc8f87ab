//! Rows that wait on disk until their partition is cut: one file for each thread, and where in it whose rows lie.

use anyhow::{Context, Result};
use latchkey_snapshot::build::stream::Partition;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Rows of one partition are written once they are so many bytes.
const BUFFER_LEN: usize = 64 * 1024;

/// Where rows of a partition lie.
pub(super) type Extents = Vec<Extent>;

/// Whole rows of one partition in one file.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    file: usize,
    at: u64,
    len: usize,
}

/// Sorts rows into partitions.
pub(super) struct Spill<'f> {
    number: usize,
    file: &'f File,
    end: u64,
    buffers: BTreeMap<Partition, (Vec<u8>, Extents)>,
}

/// The files of all threads.
pub(super) fn files(directory: &Path, threads: usize) -> Result<Vec<File>> {
    let open = |number: usize| {
        let path = directory.join(format!("rows-{number}"));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        // Nobody else looks at it, and it goes when we do.
        let file = file.with_context(|| format!("cannot create `{}`", path.display()))?;
        std::fs::remove_file(&path)?;
        Ok(file)
    };
    (0..threads).map(open).collect()
}

/// All the rows that lie there.
pub(super) fn read(files: &[File], extents: &[Extent], into: &mut Vec<u8>) -> Result<()> {
    into.clear();
    into.resize(extents.iter().map(|extent| extent.len).sum(), 0);
    let mut rest = into.as_mut_slice();
    for extent in extents {
        let (here, behind) = rest.split_at_mut(extent.len);
        files.get(extent.file).context("rows in no file")?.read_exact_at(here, extent.at)?;
        rest = behind;
    }
    Ok(())
}

/// Gives the space of rows that were read back: a big installation's would not fit beside its pages.
pub(super) fn forget(files: &[File], extents: &[Extent]) -> Result<()> {
    for extent in extents {
        let file = files.get(extent.file).context("rows in no file")?;
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(file, hole, i64::try_from(extent.at)?, i64::try_from(extent.len)?) {
            // A file system that makes no holes: then the rows stay until the file goes.
            Ok(()) | Err(Errno::EOPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn len(extents: &[Extent]) -> usize {
    extents.iter().map(|extent| extent.len).sum()
}

impl<'f> Spill<'f> {
    /// Appends to one of the files, behind `end`.
    pub(super) fn new(files: &'f [File], number: usize) -> Result<Self> {
        let file = files.get(number).context("no file")?;
        Ok(Self { number, file, end: file.metadata()?.len(), buffers: BTreeMap::new() })
    }

    pub(super) fn put(&mut self, partition: Partition, row: &[u8]) -> Result<()> {
        let (buffer, extents) = self.buffers.entry(partition).or_default();
        buffer.extend_from_slice(row);
        if buffer.len() >= BUFFER_LEN {
            write(self.number, self.file, &mut self.end, buffer, extents)?;
        }
        Ok(())
    }

    /// Writes what is left; where everything lies.
    pub(super) fn finish(mut self) -> Result<BTreeMap<Partition, Extents>> {
        for (buffer, extents) in self.buffers.values_mut() {
            write(self.number, self.file, &mut self.end, buffer, extents)?;
        }
        Ok(self.buffers.into_iter().map(|(partition, (_, extents))| (partition, extents)).collect())
    }
}

fn write(
    number: usize,
    file: &File,
    end: &mut u64,
    buffer: &mut Vec<u8>,
    extents: &mut Extents,
) -> Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    file.write_all_at(buffer, *end)?;
    extents.push(Extent { file: number, at: *end, len: buffer.len() });
    *end += buffer.len() as u64;
    buffer.clear();
    Ok(())
}
