//! The data set as files, for an edge in workerd: what a publisher makes of a store that goes on changing.
//!
//! | file | content |
//! |---|---|
//! | `edge` | pepper 32, mint secret 32, the moment as milliseconds 8, the root |
//! | `heads` | each: length 4, moment 8, head; the first one, then those that refresh it |
//! | `last` | in the same form: a head over another base, then one over a delta as long as one can be |
//! | `objects` | each: digest 32, length 4, object; all that the first head leads to |
//! | `later` | in the same form: what the other heads lead to |
//! | `keys` | a line each: key, and a path of a file in its project |
//! | `facts` | a JSON object: what was published |

mod recorder;

use crate::installation::Signers;
use crate::stock::{self, Stock, beside, revoked};
use crate::world::{self, Key, NOW, World};
use anyhow::{Context, Result, anyhow, ensure};
use latchkey_control::outside::SystemSeeds;
use latchkey_control::publish::{ChainLimits, PublishStatus, Publisher, Schedule, Sink};
use latchkey_control::store::{Change, Store};
use latchkey_core::Dice;
use latchkey_snapshot::build::Object;
use recorder::{Recorded, Recorder, Told};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Keys that are written down.
const KEYS: usize = 100_000;
/// Keys that a write of the fill brings.
const WRITE_KEYS: usize = 100_000;
/// A refresh comes so long after the one before.
const REFRESH_EVERY_MS: u64 = 250;
/// Keys that are revoked between two refreshes; as many are made.
const CHANGES: usize = 64;
/// Keys that are revoked at once, so that the delta that says it is nearly as long as one can be.
const BURST: usize = 31_000;
/// Longer than this, something is wrong.
const LOST: Duration = Duration::from_secs(60);

/// Writes all files.
pub(crate) fn write(world: &World, directory: &Path, refreshes: u32) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    let signers = Signers::new();
    let (pepper, mint, root) = (world::pepper(), world::mint(), signers.root()?);
    let edge = [pepper.expose().as_slice(), mint.expose(), &NOW.0.to_le_bytes(), &root];
    fs::write(directory.join("edge"), edge.concat())?;
    fs::write(directory.join("keys"), keys(world)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(publish(world, &signers, directory, refreshes))
}

async fn publish(world: &World, signers: &Signers, directory: &Path, refreshes: u32) -> Result<()> {
    let (clock, stock) = (Arc::new(Told::at(NOW)), Stock::new()?);
    let store = Arc::new(Store::in_memory(clock.clone(), Arc::new(SystemSeeds))?);
    fill(world, &store, &stock).await?;
    let mut stage = Stage { signers, store, clock, stock, number: 0 };
    // From the end, so that they are hardly among the keys that are asked for first.
    let mut keys = world.keys.iter().rev().step_by(4);

    let (publisher, recorder) = stage.start(ChainLimits::default()).await?;
    let first = recorder.take();
    fs::write(directory.join("objects"), objects(&first.objects)?)?;
    let (mut heads, mut later, mut bases, mut chain) = (first.heads, Vec::new(), 0, [0, 0]);
    for _ in 0..refreshes {
        stage.clock.forward(REFRESH_EVERY_MS);
        let changes = keys.by_ref().take(CHANGES).flat_map(|key| stage.change(key)).collect();
        let status = stage.commit(&publisher, changes).await?;
        bases += u32::from(status.published.deltas == 0);
        chain = [chain[0].max(status.published.deltas), chain[1].max(status.published.chain_bytes)];
        let Recorded { heads: more, objects: new } = recorder.take();
        heads.extend(more);
        later.extend(objects(&new)?);
    }
    publisher.stop().await;
    let limits = ChainLimits { chain_bytes_min: 4 << 20, chain_bytes_max: 4 << 20, ..ChainLimits::default() };
    stage.clock.forward(REFRESH_EVERY_MS);
    let (publisher, recorder) = stage.start(limits).await?;
    stage.clock.forward(REFRESH_EVERY_MS);
    let burst = keys.take(BURST).map(|key| revoked(key.stored(&stage.stock))).collect();
    let status = stage.commit(&publisher, burst).await?;
    ensure!(status.published.deltas == 1, "the burst is in {} deltas", status.published.deltas);
    publisher.stop().await;
    let last = recorder.take();
    later.extend(objects(&last.objects)?);

    fs::write(directory.join("heads"), frames(&heads)?)?;
    fs::write(directory.join("last"), frames(&last.heads)?)?;
    fs::write(directory.join("later"), later)?;
    let facts = json!({
        "refreshes": refreshes,
        "heads": heads.len() - 1,
        "changes": refreshes as usize * CHANGES * 2,
        "bases": bases,
        "deltas_max": chain[0],
        "chain_bytes_max": chain[1],
        "delta_bytes": status.published.chain_bytes,
    });
    Ok(fs::write(directory.join("facts"), facts.to_string())?)
}

async fn fill(world: &World, store: &Store, stock: &Stock) -> Result<()> {
    let (owners, keys) = world.changes(stock)?;
    let mut newest = stock::write(store, owners).await?;
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        newest = stock::write(store, keys.by_ref().take(WRITE_KEYS).collect()).await?;
    }
    Ok(store.trim_outbox(newest).await?)
}

/// A store and what publishes it.
struct Stage<'a> {
    signers: &'a Signers,
    store: Arc<Store>,
    clock: Arc<Told>,
    stock: Stock,
    number: u32,
}

impl Stage<'_> {
    /// A publisher that has published the state as it is, with nothing yet to be recorded twice.
    async fn start(&self, chain: ChainLimits) -> Result<(Publisher, Arc<Recorder>)> {
        // Heads come with changes alone: a machine that is busy records no other than one that is not.
        let schedule = Schedule { head_every: Duration::from_secs(86_400), chain, ..Schedule::default() };
        let (_keyring, settings) = self.signers.settings(schedule)?;
        let recorder = Arc::new(Recorder::new(self.clock.clone()));
        let sink: Arc<dyn Sink> = recorder.clone();
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let publisher = Publisher::start(store, clock, &SystemSeeds, settings, vec![sink])?;
        reached(&publisher, |status| status.sinks.iter().all(|sink| sink.statement.0 > 0)).await?;
        Ok((publisher, recorder))
    }

    /// Commits the changes; how publishing stands once a head names all of them.
    async fn commit(&self, publisher: &Publisher, changes: Vec<Change>) -> Result<PublishStatus> {
        let generation = stock::write(&self.store, changes).await?;
        reached(publisher, |status| status.sinks.iter().all(|sink| sink.statement >= generation)).await
    }

    /// The key is revoked, and another made.
    fn change(&mut self, key: &Key) -> [Change; 2] {
        self.number += 1;
        let stored = key.stored(&self.stock);
        [revoked(stored.clone()), beside(stored, self.number)]
    }
}

async fn reached(publisher: &Publisher, is_so: impl Fn(&PublishStatus) -> bool) -> Result<PublishStatus> {
    let mut status = publisher.watch();
    let seen = tokio::time::timeout(LOST, status.wait_for(is_so)).await;
    match seen {
        Ok(Ok(seen)) => Ok(seen.clone()),
        _ => Err(anyhow!("it was not published: {:?}", publisher.status())),
    }
}

fn objects(list: &[Object]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for object in list {
        out.extend(object.reference.digest().0);
        frame(&mut out, &[&object.bytes])?;
    }
    Ok(out)
}

fn frames(heads: &[recorder::Sent]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (moment, head) in heads {
        frame(&mut out, &[&moment.0.to_le_bytes(), head])?;
    }
    Ok(out)
}

fn frame(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend(u32::try_from(len)?.to_le_bytes());
    parts.iter().for_each(|part| out.extend(*part));
    Ok(())
}

fn keys(world: &World) -> Result<String> {
    let (mut dice, mut lines) = (Dice::from_seed(&[0x33; 32]), String::new());
    for (number, key) in (0u32..).zip(world.draw(&mut dice).take(KEYS)) {
        let project = world.project_of(key).context("a key without a project")?;
        let text = str::from_utf8(&key.text)?;
        writeln!(lines, "{text} {}", project.file_path(number))?;
    }
    Ok(lines)
}
