//! A snapshot of any size: records from a file, rows sorted on disk, pages written to a directory, on every core.

use super::ledger::{Ledger, ROW_LEN};
use super::spill::{self, Extents, Spill};
use crate::installation::Signers;
use crate::world;
use anyhow::{Result, anyhow, bail};
use latchkey_core::Dice;
use latchkey_snapshot::build::stream::{Cutter, Partition, Piece, Sorter};
use latchkey_snapshot::build::{BuildError, Object, Record};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Keys that a thread takes at a time.
const BLOCK_KEYS: u64 = 32 * 1024;
/// Rows that partitions have about.
const PARTITION_ROWS: u64 = 100_000;
/// A partition with more bytes is divided.
const PARTITION_LEN_MAX: usize = 16 << 20;
/// By so many bits at a time.
const DIVIDED_BITS: u32 = 8;

/// What a build made.
pub(super) struct Built {
    pub(super) manifest: Object,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Writes the file of keys, which stands for the store's table.
pub(super) fn write_keys(ledger: &Ledger, path: &Path, threads: usize) -> Result<()> {
    let (file, next) = (File::create(path)?, AtomicU64::new(0));
    on_threads(threads, |_| {
        let mut block = Vec::new();
        while let Some(numbers) = take(&next, ledger.keys()) {
            let at = numbers.start * ROW_LEN as u64;
            block.clear();
            numbers.for_each(|number| block.extend_from_slice(&ledger.row(number)));
            file.write_all_at(&block, at)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Builds the edition and writes its objects into `out`.
pub(super) fn build(
    ledger: &Ledger,
    signers: &Signers,
    keys: &Path,
    scratch: &Path,
    out: &Path,
    threads: usize,
) -> Result<Built> {
    let files = spill::files(scratch, threads)?;
    let (sorters, partitions) = sort(ledger, &File::open(keys)?, &files)?;
    let cutter = Cutter::new(sorters);
    let sink = Sink { directory: out, objects: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    let pieces = cut(&cutter, &files, partitions, &sink)?;
    let mut failed = Ok(());
    let manifest = signers.with_edition(1, |edition| {
        let finished = cutter.finish(pieces, edition, &mut |object| sink.keep(&object, &mut failed));
        finished.map_err(said)
    })?;
    sink.keep(&manifest, &mut failed);
    failed?;
    Ok(Built { manifest, objects: sink.objects.into_inner(), bytes: sink.bytes.into_inner() })
}

/// Makes rows of all records and sorts them into partitions on disk.
fn sort(ledger: &Ledger, keys: &File, files: &[File]) -> Result<(Vec<Sorter>, BTreeMap<Partition, Extents>)> {
    let bits = (ledger.keys() / PARTITION_ROWS + 1).ilog2().min(10);
    let next = AtomicU64::new(0);
    let sorters = Sorter::several(&world::pepper(), u8::try_from(files.len())?);
    let sorters: Vec<Mutex<Option<Sorter>>> = sorters.into_iter().map(|one| Mutex::new(Some(one))).collect();
    let done = on_threads(files.len(), |thread| {
        let mut sorter = lock(&sorters[thread]).take().ok_or_else(|| anyhow!("a thread without a sorter"))?;
        let (mut spill, mut block, mut row) = (Spill::new(files, thread)?, Vec::new(), Vec::new());
        let mut sort = |record: Record<'_>| -> Result<()> {
            row.clear();
            let (kind, place) = sorter.sort(record, &mut row).map_err(said)?;
            spill.put(Partition::holding(kind, place, bits), &row)
        };
        while let Some(numbers) = take(&next, ledger.keys()) {
            block.resize((numbers.end - numbers.start) as usize * ROW_LEN, 0);
            keys.read_exact_at(&mut block, numbers.start * ROW_LEN as u64)?;
            let (rows, _) = block.as_chunks::<ROW_LEN>();
            rows.iter().try_for_each(|row| sort(ledger.record(row)))?;
        }
        if thread == 0 {
            (0..ledger.projects()).try_for_each(|number| project(ledger, number, &mut sort))?;
        }
        Ok((sorter, spill.finish()?))
    })?;
    let (mut sorters, mut partitions) = (Vec::new(), BTreeMap::<Partition, Extents>::new());
    for (sorter, sorted) in done {
        sorters.push(sorter);
        for (partition, mut extents) in sorted {
            partitions.entry(partition).or_default().append(&mut extents);
        }
    }
    Ok((sorters, partitions))
}

/// What is said of a project: its names and by what it is found.
fn project(ledger: &Ledger, number: u64, sort: &mut impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
    let mut seed = [0x44; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let project =
        world::Project::of(number as u32, ledger.organization_of(number), &mut Dice::from_seed(&seed));
    project.records().try_for_each(&mut *sort)?;
    let is_first = number == 0 || ledger.organization_of(number - 1) != ledger.organization_of(number);
    if is_first { sort(project.organization_names()) } else { Ok(()) }
}

/// Partitions that wait to be cut.
struct Queue {
    waiting: Mutex<(Vec<(Partition, Extents)>, usize)>,
    changed: Condvar,
}

/// Cuts all partitions, on as many threads as there are files; divides those that are too big.
fn cut(
    cutter: &Cutter,
    files: &[File],
    partitions: BTreeMap<Partition, Extents>,
    sink: &Sink<'_>,
) -> Result<Vec<Piece>> {
    let mut waiting: Vec<_> = partitions.into_iter().collect();
    // The biggest are taken first.
    waiting.sort_by_key(|(_, extents)| spill::len(extents));
    let queue = Queue { waiting: Mutex::new((waiting, 0)), changed: Condvar::new() };
    let pieces = on_threads(files.len(), |thread| {
        let (mut pieces, mut rows) = (Vec::new(), Vec::new());
        while let Some((partition, extents)) = queue.take() {
            let done = if spill::len(&extents) > PARTITION_LEN_MAX {
                divide(partition, &extents, files, thread).map(|finer| queue.put(finer))
            } else {
                spill::read(files, &extents, &mut rows)
                    .and_then(|()| cut_one(cutter, partition, &rows, sink))
                    .map(|piece| pieces.push(piece))
            };
            queue.finish_one();
            done?;
            spill::forget(files, &extents)?;
        }
        Ok(pieces)
    })?;
    Ok(pieces.into_iter().flatten().collect())
}

fn cut_one(cutter: &Cutter, partition: Partition, rows: &[u8], sink: &Sink<'_>) -> Result<Piece> {
    let mut failed = Ok(());
    let piece = cutter.cut(partition, rows, &mut |object| sink.keep(&object, &mut failed));
    failed?;
    piece.map_err(said)
}

fn divide(
    partition: Partition,
    extents: &[spill::Extent],
    files: &[File],
    thread: usize,
) -> Result<Vec<(Partition, Extents)>> {
    let (mut spill, mut rows) = (Spill::new(files, thread)?, Vec::new());
    for extent in extents {
        spill::read(files, std::slice::from_ref(extent), &mut rows)?;
        let mut failed = Ok(());
        let put = |finer, row: &[u8]| {
            if failed.is_ok() {
                failed = spill.put(finer, row);
            }
        };
        partition.divide(&rows, DIVIDED_BITS, put).map_err(said)?;
        failed?;
    }
    Ok(spill.finish()?.into_iter().collect())
}

impl Queue {
    /// The next one; `None` once nothing waits and nobody can add to it.
    fn take(&self) -> Option<(Partition, Extents)> {
        let mut state = lock(&self.waiting);
        loop {
            if let Some(next) = state.0.pop() {
                state.1 += 1;
                return Some(next);
            }
            if state.1 == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, mut more: Vec<(Partition, Extents)>) {
        lock(&self.waiting).0.append(&mut more);
        self.changed.notify_all();
    }

    fn finish_one(&self) {
        lock(&self.waiting).1 -= 1;
        self.changed.notify_all();
    }
}

/// The directory that the objects go to.
struct Sink<'a> {
    directory: &'a Path,
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Sink<'_> {
    /// Keeps an object, unless one could not be kept before.
    fn keep(&self, object: &Object, failed: &mut Result<()>) {
        if failed.is_ok() {
            *failed = self.write(object);
        }
    }

    fn write(&self, object: &Object) -> Result<()> {
        let mut file = File::create(self.directory.join(object.reference.digest().to_string()))?;
        file.write_all(&object.bytes)?;
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(object.bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The next numbers below `end`, if any are left.
fn take(next: &AtomicU64, end: u64) -> Option<std::ops::Range<u64>> {
    let first = next.fetch_add(BLOCK_KEYS, Ordering::Relaxed);
    (first < end).then(|| first..end.min(first + BLOCK_KEYS))
}

/// Does the work on so many threads; what each gave.
fn on_threads<T: Send>(threads: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let spawned: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let joined = spawned.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(_) => bail!("a thread panicked"),
        });
        joined.collect()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn said(error: BuildError) -> anyhow::Error {
    anyhow!("{error}")
}
