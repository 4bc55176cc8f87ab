//! Snapshots of any size: built with bounded memory, published by the directory sink, and asked through
//! a gate that reads only what it needs.

mod build;
mod ledger;
mod publish;
pub(crate) mod republish;
mod shape;
mod spill;
mod verify;

use crate::installation::Signers;
use crate::memory;
use crate::row::Row;
use anyhow::{Context, Result, ensure};
use ledger::Ledger;
use std::fs;
use std::path::Path;
use std::process::Command;
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

    let (table, out, published) =
        (home.path().join("keys"), home.path().join("objects"), home.path().join("published"));
    fs::create_dir(&out)?;
    let start = Instant::now();
    build::write_keys(&ledger, &table, threads)?;
    eprintln!("{keys} keys made in {:.1} s", start.elapsed().as_secs_f64());

    memory::forget_peak()?;
    let start = Instant::now();
    let built = build::build(&ledger, &signers, &table, home.path(), &out, threads)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_mb = memory::peak_mb()?;
    fs::remove_file(&table)?;
    let shape = shape::row(&size, &built.manifest, &out)?;
    let start = Instant::now();
    publish::publish(&signers, &built.manifest, &out, &published)?;
    let publish_secs = start.elapsed().as_secs_f64();

    let detail = format!(
        "{keys} keys and {} projects, their records read from a file, {} objects of {:.0} MB written to a directory \
         without syncing, {threads} threads; peak memory {peak_mb:.0} MB. Handing them to the directory sink, which syncs each, \
         took {publish_secs:.1} s more, and the gate asks over what it holds",
        ledger.projects(),
        built.objects,
        built.bytes as f64 / 1e6
    );
    let rows = vec![
        Row::new(format!("build_{size}_s"), seconds, detail),
        Row::new(format!("build_{size}_memory_mb"), peak_mb, "peak resident memory of that build"),
        shape,
    ];
    gate_alone(keys, &published, asks)?;
    Ok(rows)
}

/// Asks a gate in a process of its own, so that only its memory counts. It prints its row itself.
fn gate_alone(keys: u64, published: &Path, asks: usize) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["gate", "--size", &keys.to_string(), "--asks", &asks.to_string(), "--published"]);
    let status = command.arg(published).status().context("the gate did not start")?;
    ensure!(status.success(), "the gate failed: {status}");
    Ok(())
}

/// Asks a gate over a directory that was published.
pub(crate) fn gate(keys: u64, published: &Path, asks: usize) -> Result<Vec<Row>> {
    let (ledger, signers) = (Ledger::new(keys)?, Signers::new());
    let statement = publish::statement(published)?;
    verify::rows(&size(keys), &ledger, &signers, &statement, published, asks)
}

/// How rows name a number of keys.
pub(crate) fn size(keys: u64) -> String {
    match keys {
        keys if keys.is_multiple_of(1_000_000) => format!("{}m", keys / 1_000_000),
        keys if keys.is_multiple_of(1000) => format!("{}k", keys / 1000),
        keys => keys.to_string(),
    }
}
