//! Snapshots of any size: built with bounded memory, published as the directory sink lays them out, and asked through
//! a gate that reads only what it needs.

mod build;
mod ledger;
pub(crate) mod republish;
mod shape;
mod spill;
mod verify;

use crate::installation::Signers;
use crate::memory;
use crate::row::Row;
use crate::world::NOW;
use anyhow::{Context, Result, ensure};
use ledger::Ledger;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// Bytes on disk that a key takes at the worst moment: in the table, as a row, and in a page.
const DISK_PER_KEY: u64 = 130;

/// Measures an installation of so many keys in `directory`, which is left as it was; `asks` is how many keys the gate
/// is asked for.
pub(crate) fn rows(keys: u64, directory: &Path, asks: usize) -> Result<Vec<Row>> {
    let home = tempfile::Builder::new().prefix("latchkey-scale-").tempdir_in(directory);
    let home = home.with_context(|| format!("no place in `{}`", directory.display()))?;
    let free = nix::sys::statvfs::statvfs(home.path())?;
    let (free, wanted) = (free.blocks_available() as u64 * free.fragment_size() as u64, keys * DISK_PER_KEY);
    ensure!(free > wanted, "{} MB are free, and {} are wanted", free / 1_000_000, wanted / 1_000_000);
    let (ledger, signers) = (Ledger::new(keys)?, Signers::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let size = size(keys);

    let (table, published) = (home.path().join("keys"), home.path().join("published"));
    build::directories(&published)?;
    let start = Instant::now();
    build::write_keys(&ledger, &table, threads)?;
    eprintln!("{keys} keys made in {:.1} s", start.elapsed().as_secs_f64());

    memory::forget_peak()?;
    let start = Instant::now();
    let objects = published.join("objects");
    let built = build::build(&ledger, &signers, &table, home.path(), &objects, threads)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_mb = memory::peak_mb()?;
    fs::remove_file(&table)?;
    let statement = publish(&signers, &built, &published)?;

    let detail = format!(
        "{keys} keys and {} projects, their records read from a file, {} objects of {:.0} MB written to a directory \
         without syncing, {threads} threads; peak memory {peak_mb:.0} MB",
        ledger.projects(),
        built.objects,
        built.bytes as f64 / 1e6
    );
    let mut rows = vec![
        Row::new(format!("build_{size}_s"), seconds, detail),
        Row::new(format!("build_{size}_memory_mb"), peak_mb, "peak resident memory of that build"),
    ];
    rows.push(shape::row(&size, &built.manifest, &objects)?);
    rows.extend(verify::rows(&size, &ledger, &signers, &statement, &published, asks)?);
    Ok(rows)
}

/// Writes root and head; the signed statement.
fn publish(signers: &Signers, built: &build::Built, published: &Path) -> Result<Vec<u8>> {
    fs::write(published.join("roots/1"), signers.root()?)?;
    let statement = signers.statement(&built.manifest, 1)?;
    fs::write(published.join("head"), signers.head(&statement, NOW, &[])?)?;
    Ok(statement)
}

/// How rows name a number of keys.
pub(crate) fn size(keys: u64) -> String {
    match keys {
        keys if keys.is_multiple_of(1_000_000) => format!("{}m", keys / 1_000_000),
        keys if keys.is_multiple_of(1000) => format!("{}k", keys / 1000),
        keys => keys.to_string(),
    }
}
