//! One change in a big installation: from the change to a head in the directory.

use super::build;
use super::ledger::Ledger;
use crate::installation::Signers;
use crate::row::Row;
use crate::timing::{median, quantile};
use crate::world::{self, NOW};
use anyhow::{Context, Result, anyhow, ensure};
use latchkey_core::Generation;
use latchkey_snapshot::build::{Content, DeltaContent, Object, Record, Touched};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{Installation, KeyState};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Changes that are published one by one, each in a delta with all before it.
const CHANGES: u64 = 200;

/// Publishes single changes of an installation of so many keys, which is held in memory.
pub(crate) fn rows(keys: u64, directory: &Path) -> Result<Vec<Row>> {
    let home = tempfile::Builder::new().prefix("latchkey-scale-").tempdir_in(directory)?;
    build::directories(home.path())?;
    let (ledger, signers) = (Ledger::new(keys)?, Signers::new());
    let mut content = Content::new(world::pepper());
    content.load((0..keys).map(|number| ledger.record(&ledger.row(number))));
    let base = signers.build(&mut content, 1)?;
    let exceptions = Exceptions::default();
    let (mut touched, mut ms, mut last_len) = (Touched::default(), Vec::new(), 0);
    for (number, generation) in (0..CHANGES).map(|change| change * (keys / CHANGES)).zip(2u64..) {
        let record = revoked(ledger.record(&ledger.row(number)));
        let start = Instant::now();
        content.put(record);
        touched.extend(&content.take_touched());
        let delta = DeltaContent {
            installation: Installation([7; 16]),
            base: base.manifest.reference,
            from: Generation(1),
            generation: Generation(generation),
            parent: None,
            before: &exceptions,
            now: &exceptions,
        };
        let delta = content.delta(&delta, &touched).map_err(|error| anyhow!("{error}"))?;
        publish(&signers, &base.manifest, &delta, generation, home.path())?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
        last_len = delta.bytes.len();
    }
    let start = Instant::now();
    content.put(ledger.record(&ledger.row(1)));
    content.put(revoked(ledger.record(&ledger.row(1))));
    let rebased = signers.build(&mut content, CHANGES + 2)?;
    let rebase_ms = start.elapsed().as_secs_f64() * 1e3;
    ensure!(rebased.dirty_pages <= CHANGES as usize + 1, "{} pages were encoded", rebased.dirty_pages);
    let detail = format!(
        "{keys} keys in memory: a key is revoked, the delta with all {CHANGES} changes so far (at last {last_len} bytes) is \
         made, statement and head are signed, delta and head are written and synced, without the look at the store; slowest \
         {:.1} ms; a new base at the end, {} pages encoded, takes {rebase_ms:.0} ms",
        quantile(&ms, 1.0),
        rebased.dirty_pages
    );
    Ok(vec![Row::new("republish_ms", median(&ms), detail)])
}

fn publish(signers: &Signers, base: &Object, tip: &Object, generation: u64, home: &Path) -> Result<()> {
    write_synced(&home.join("objects"), &tip.reference.digest().to_string(), &tip.bytes)?;
    let statement = signers.statement_over(base, Some(tip), generation)?;
    write_synced(home, "head", &signers.head(&statement, NOW, &[])?)
}

/// As the directory sink writes: beside its place, synced, then renamed.
fn write_synced(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let part = folder.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, folder.join(name))?;
    File::open(folder)?.sync_all().context("the directory cannot be synced")
}

fn revoked(record: Record<'static>) -> Record<'static> {
    match record {
        Record::Key { id, digest, binding, expiry, out_of_budget, narrowing, .. } => {
            Record::Key { id, digest, binding, expiry, state: KeyState::Revoked, out_of_budget, narrowing }
        }
        other => other,
    }
}
