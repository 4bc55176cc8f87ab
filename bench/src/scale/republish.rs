//! One change in a big installation, through the whole product: from the store's commit to the head that a sink holds.
//!
//! Store, publisher and directory sink are those that `latchkey serve` runs, with its schedule and its limits. Only the
//! clock can be put forward, so that a base becomes old enough to be replaced.

use super::ledger::{Fate, Ledger};
use super::size;
use crate::installation::Signers;
use crate::memory;
use crate::row::Row;
use crate::stock::{Stock, beside, dice, revoked, write};
use crate::timing::{median, quantile};
use anyhow::{Context, Result, anyhow};
use latchkey_control::iam::Key;
use latchkey_control::outside::{Clock, SystemClock, SystemSeeds};
use latchkey_control::publish::{DirectorySink, PublishStatus, Publisher, Schedule, Sink};
use latchkey_control::store::{Change, Store, View};
use latchkey_core::{KeyId, ProjectId, ProjectNumber, UnixMillis};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Changes that are published one by one: a key is revoked, then another is made, in turn.
const CHANGES: u64 = 200;
/// Keys that are revoked at once, so many that the deltas become too long and a base is made of everything.
const BURST: u64 = 40_000;
/// The size that DESIGN §8 asks for.
const TARGET_KEYS: u64 = 10_000_000;
/// Keys that a write of the fill brings.
const WRITE_KEYS: usize = 100_000;
/// How long a sink keeps what nothing names, as in `latchkey serve`.
const KEEP_MS: u64 = 4_500_000;
/// Longer than this, something is wrong.
const LOST: Duration = Duration::from_secs(600);

/// The system's clock, which can be put forward.
#[derive(Default)]
struct Forward(AtomicU64);

impl Clock for Forward {
    fn now(&self) -> UnixMillis {
        SystemClock.now().plus_ms(self.0.load(Ordering::SeqCst))
    }
}

/// Publishes changes of an installation of so many keys.
pub(crate) fn rows(keys: u64, directory: &Path) -> Result<Vec<Row>> {
    let home = tempfile::Builder::new().prefix("latchkey-scale-").tempdir_in(directory)?;
    let ledger = Ledger::new(keys)?;
    let clock = Arc::new(Forward::default());
    let store = Arc::new(Store::open(&home.path().join("state.redb"), clock.clone(), Arc::new(SystemSeeds))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        Rows::new(&ledger)?.fill(&store).await?;
        eprintln!("{keys} keys written to the store in {:.1} s", start.elapsed().as_secs_f64());
        measure(store, clock, &ledger, &home.path().join("published")).await
    })
}

async fn measure(store: Arc<Store>, clock: Arc<Forward>, ledger: &Ledger, out: &Path) -> Result<Vec<Row>> {
    let start = Instant::now();
    let (keyring, settings) = Signers::new().settings(Schedule::default())?;
    let sink: Arc<dyn Sink> = Arc::new(DirectorySink::open(out, keyring.subscribe(), KEEP_MS)?);
    let publisher = Publisher::start(store.clone(), clock.clone(), &SystemSeeds, settings, vec![sink])?;
    let (rows, product) = (Rows::new(ledger)?, Product { store, publisher, clock });
    let first = product.store.read()?.generation()?;
    product.until(|status| status.published() >= first && status.sinks[0].statement >= first).await?;
    eprintln!("the first base was published after {:.1} s", start.elapsed().as_secs_f64());

    let (mut commits, mut revoked_ms, mut made) = (Vec::new(), Vec::new(), Vec::new());
    for (change, number) in (0u32..).zip((0..CHANGES).map(|change| change * (ledger.keys() / CHANGES))) {
        let is_grant = !change.is_multiple_of(2);
        let said = if is_grant { beside(rows.key(number), change) } else { rows.revocation(number) };
        let (commit_ms, ms) = product.publish(said).await?;
        commits.push(commit_ms);
        if is_grant { &mut made } else { &mut revoked_ms }.push(ms);
    }
    let deltas = product.publisher.status().published;

    // The base is an hour old, and few pages changed.
    product.clock.0.fetch_add(3_700_000, Ordering::SeqCst);
    let small_ms = product.rebase(vec![rows.revocation(1)]).await?;
    // So much changed at once that no delta may say it.
    let burst = (0..BURST.min(ledger.keys() / 4)).map(|at| rows.revocation(at * 3 + 2)).collect();
    let burst_ms = product.rebase(burst).await?;
    let Product { publisher, .. } = product;
    publisher.stop().await;

    let all: Vec<f64> = revoked_ms.iter().chain(&made).copied().collect();
    let detail = format!(
        "{} keys in the store (redb on disk), through writer, outbox, publisher and directory sink, all of it synced, from the \
         call that commits to the head that the sink holds: {CHANGES} single changes, of which the commit takes {:.1} ms; \
         a revocation (rides in the head) {:.1} ms, a new key (rides in a delta) {:.1} ms; slowest {:.1} ms; at last {} deltas \
         of {} bytes. A new base after those changes, compared with the one before, {small_ms:.0} ms; one after {BURST} \
         revocations in one write, in which nearly every page is new, {burst_ms:.0} ms",
        ledger.keys(),
        median(&commits),
        median(&revoked_ms),
        median(&made),
        quantile(&all, 1.0),
        deltas.deltas,
        deltas.chain_bytes,
    );
    let memory = format!(
        "peak resident memory of that process: store, publisher and content of {} keys",
        ledger.keys()
    );
    let size = size(ledger.keys());
    // The row without a size in its name is the one of DESIGN §8.
    let id =
        if ledger.keys() == TARGET_KEYS { "republish_ms".to_owned() } else { format!("republish_{size}_ms") };
    Ok(vec![
        Row::new(id, median(&made).max(median(&revoked_ms)), detail),
        Row::new(format!("republish_{size}_memory_mb"), memory::peak_mb()?, memory),
    ])
}

/// What runs.
struct Product {
    store: Arc<Store>,
    publisher: Publisher,
    clock: Arc<Forward>,
}

impl Product {
    /// Commits the change; milliseconds until that is durable, and until every sink holds it.
    async fn publish(&self, change: Change) -> Result<(f64, f64)> {
        let start = Instant::now();
        let generation = write(&self.store, vec![change]).await?;
        let commit_ms = start.elapsed().as_secs_f64() * 1e3;
        tokio::time::timeout(LOST, self.publisher.wait(generation)).await.context("it was not published")?;
        Ok((commit_ms, start.elapsed().as_secs_f64() * 1e3))
    }

    /// Commits changes after which there is a new base; milliseconds until the sink holds a head that names it.
    async fn rebase(&self, changes: Vec<Change>) -> Result<f64> {
        let start = Instant::now();
        let generation = write(&self.store, changes).await?;
        let is_there = |status: &PublishStatus| {
            status.stated >= generation
                && status.published.deltas == 0
                && status.sinks[0].statement >= generation
        };
        self.until(is_there).await?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    async fn until(&self, is_so: impl Fn(&PublishStatus) -> bool) -> Result<()> {
        let mut status = self.publisher.watch();
        let seen = tokio::time::timeout(LOST, status.wait_for(is_so)).await;
        match seen {
            Ok(Ok(_)) => Ok(()),
            _ => Err(anyhow!("it was not published: {:?}", self.publisher.status())),
        }
    }
}

/// The ledger as rows of the store.
struct Rows<'a> {
    ledger: &'a Ledger,
    stock: Stock,
}

impl<'a> Rows<'a> {
    fn new(ledger: &'a Ledger) -> Result<Self> {
        Ok(Self { ledger, stock: Stock::new()? })
    }

    /// Writes everything, in the order of the keys' ids, in which the store keeps them.
    async fn fill(&self, store: &Store) -> Result<()> {
        let (mut changes, mut last) = (Vec::new(), None);
        for number in 0..self.ledger.projects() {
            let organization = self.ledger.organization_of(number);
            if last.replace(organization) != Some(organization) {
                changes.push(self.stock.organization(organization));
            }
            let number = u32::try_from(number)?;
            let (id, slug) = (ProjectId::generate(&mut dice(0x62, number)), format!("project-{number}"));
            changes.push(self.stock.project(ProjectNumber(number), id, &slug, organization)?);
        }
        let mut newest = write(store, changes).await?;
        let mut order: Vec<(KeyId, u64)> =
            (0..self.ledger.keys()).map(|number| (self.ledger.key_id(number), number)).collect();
        order.sort_unstable();
        for some in order.chunks(WRITE_KEYS) {
            let keys = some.iter().map(|(_, number)| Change::Key(self.key(*number)));
            newest = write(store, keys.collect()).await?;
        }
        // As after a run of the publisher, which needs no more what it published.
        store.trim_outbox(newest).await?;
        Ok(())
    }

    fn key(&self, number: u64) -> Key {
        let (plain, Fate { binding, expiry, state }) = (self.ledger.key(number), self.ledger.fate(number));
        self.stock.key(plain.id(), plain.digest(), &binding, expiry, state)
    }

    /// The key, or the next one that is in force, revoked.
    fn revocation(&self, number: u64) -> Change {
        let mut keys = (number..self.ledger.keys()).map(|number| self.key(number));
        revoked(keys.find(|key| key.revoked_at.is_none()).unwrap_or_else(|| self.key(number)))
    }
}
