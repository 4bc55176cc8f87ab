//! The one thread that writes: it takes what has queued up, runs each use case on the state as the ones before
//! it left it, commits all with one sync, and only then answers (group commit).
//!
//! A use case only reads, so one that refuses or panics leaves nothing behind. Should applying a decided write
//! fail, the whole transaction is thrown away and the others are run again without it.

use super::audit;
use super::change::{Committed, Write};
use super::error::StoreError;
use super::outbox::Touch;
use super::replays;
use super::rows::encode;
use super::tables::{WriteTables, counter};
use super::view::{View, count};
use crate::outside::Clock;
use latchkey_core::{Dice, Generation, UnixMillis};
use redb::{Database, Durability};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What a use case decides with, beside the view.
#[derive(Debug)]
pub struct Ctx {
    /// The moment of the decision.
    pub now: UnixMillis,
    /// Its randomness. The same each time the use case is run again.
    pub dice: Dice,
}

/// Writes that one commit carries at most.
pub const BATCH_WRITES_MAX: usize = 512;
/// Rows after which a commit takes no further write: one write may bring 10,000.
const BATCH_ROWS_MAX: usize = 10_000;

pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: mpsc::Receiver<Box<dyn Job>>,
    pub(super) newest: watch::Sender<Generation>,
}

impl Writer {
    /// Serves the queue until its last sender is gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < BATCH_WRITES_MAX {
                let Ok(next) = self.queue.try_recv() else { break };
                jobs.push(next);
            }
            self.serve(jobs);
        }
    }

    fn serve(&self, mut jobs: Vec<Box<dyn Job>>) {
        while !jobs.is_empty() {
            match self.attempt(&mut jobs) {
                Ok((done, generation)) => {
                    self.newest.send_if_modified(|newest| std::mem::replace(newest, generation) < generation);
                    jobs.drain(..done).for_each(|job| job.answer(Ok(())));
                }
                Err(Fault::Job(index, error)) => {
                    tracing::error!(%error, "a write failed and was taken out of its batch");
                    jobs.remove(index).answer(Err(error));
                }
                Err(Fault::Batch(error)) => {
                    tracing::error!(%error, "a commit failed");
                    return jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
                }
            }
        }
    }

    /// Runs jobs in one transaction, in their order and until it is large, and commits it unless none of them
    /// wrote. Says how many were run.
    fn attempt(&self, jobs: &mut [Box<dyn Job>]) -> Result<(usize, Generation), Fault> {
        let mut transaction = self.database.begin_write().map_err(Fault::batch)?;
        transaction.set_durability(Durability::Immediate).map_err(Fault::batch)?;
        let mut tables = WriteTables::open(&transaction).map_err(Fault::batch)?;
        let (mut done, mut has_written, mut rows) = (0, false, 0);
        for (index, job) in jobs.iter_mut().enumerate() {
            let run = catch_unwind(AssertUnwindSafe(|| job.run(&mut tables, self.clock.now())));
            let effect =
                run.unwrap_or(Err(StoreError::Panicked)).map_err(|error| Fault::Job(index, error))?;
            done = index + 1;
            if let JobEffect::Wrote(written) = effect {
                has_written = true;
                rows += written;
            }
            if rows >= BATCH_ROWS_MAX {
                // Whoever waits for a small change must not wait for everybody's large ones.
                break;
            }
        }
        if has_written {
            replays::drop_old(&mut tables, self.clock.now()).map_err(Fault::Batch)?;
        }
        let generation = tables.generation().map_err(Fault::batch)?;
        drop(tables);
        if has_written {
            transaction.commit().map_err(Fault::batch)?;
        } else {
            transaction.abort().map_err(Fault::batch)?;
        }
        Ok((done, generation))
    }
}

/// Why an attempt failed: one job's own fault, or everybody's.
enum Fault {
    Job(usize, StoreError),
    Batch(StoreError),
}

impl Fault {
    fn batch(error: impl Into<StoreError>) -> Self {
        Self::Batch(error.into())
    }
}

/// Something for the writer to do. It may be run several times before it is answered.
pub(super) trait Job: Send {
    /// Does it, inside the transaction.
    fn run(&mut self, tables: &mut WriteTables, now: UnixMillis) -> Result<JobEffect, StoreError>;
    /// Tells whoever waits: it is durable, or it failed.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JobEffect {
    /// The transaction holds so many new rows.
    Wrote(usize),
    /// The use case refused.
    Nothing,
}

/// A use case on its way through the writer.
pub(super) struct UseCase<F, R, E> {
    decide: F,
    seed: [u8; 32],
    outcome: Option<Result<Committed<R>, E>>,
    reply: oneshot::Sender<Result<Committed<R>, E>>,
}

impl<F, R, E> UseCase<F, R, E> {
    pub(super) const fn new(
        decide: F,
        seed: [u8; 32],
        reply: oneshot::Sender<Result<Committed<R>, E>>,
    ) -> Self {
        Self { decide, seed, outcome: None, reply }
    }
}

impl<F, R, E> Job for UseCase<F, R, E>
where
    F: Fn(&dyn View, &mut Ctx) -> Result<Write<R>, E> + Send,
    R: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tables: &mut WriteTables, now: UnixMillis) -> Result<JobEffect, StoreError> {
        let mut ctx = Ctx { now, dice: Dice::from_seed(&self.seed) };
        match (self.decide)(tables, &mut ctx) {
            Ok(write) => {
                let rows = write.changes.len();
                let (reply, generation) = write.record(tables, &mut ctx)?;
                self.outcome = Some(Ok(Committed { reply, generation }));
                Ok(JobEffect::Wrote(rows))
            }
            Err(refusal) => {
                self.outcome = Some(Err(refusal));
                Ok(JobEffect::Nothing)
            }
        }
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Panicked.into()),
            (Err(error), _) => Err(error.into()),
        };
        // Nobody may be waiting any more: the client went away, and the change stands.
        let _ = self.reply.send(answer);
    }
}

impl<R> Write<R> {
    /// Records the write as the next generation: its rows, its outbox entry and its audit entry.
    fn record(self, tables: &mut WriteTables, ctx: &mut Ctx) -> Result<(R, Generation), StoreError> {
        let generation = Generation(count(tables, counter::GENERATION)?).next();
        let mut touches = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            touches.extend(change.apply(tables)?.into_iter().flatten());
        }
        debug_assert!(is_each_once(&touches), "one write changes a row twice: {touches:?}");
        tables.counters.insert(counter::GENERATION, generation.0)?;
        tables.outbox.insert(generation.0, encode(&touches)?.as_slice())?;
        audit::append(tables, &self.entry, generation, ctx.now, ctx.dice.bytes())?;
        if let Some(keepsake) = self.keepsake {
            replays::keep(tables, keepsake, generation, ctx.now)?;
        }
        Ok((self.reply, generation))
    }
}

/// Whether no row was changed twice. Rows are put whole, so the second of two changes, each made of the row as it stood, would take
/// the first one back.
fn is_each_once(touches: &[Touch]) -> bool {
    let mut nouns: Vec<_> = touches.iter().map(|touch| &touch.noun).collect();
    nouns.sort_unstable();
    nouns.is_sorted_by(|one, next| one != next)
}

/// Housekeeping that changes no IAM state, so it needs no audit entry: the publisher's bookmarks.
pub(super) struct Chore<F> {
    pub(super) act: F,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

impl<F: FnMut(&mut WriteTables) -> Result<(), StoreError> + Send> Job for Chore<F> {
    fn run(&mut self, tables: &mut WriteTables, _now: UnixMillis) -> Result<JobEffect, StoreError> {
        (self.act)(tables).map(|()| JobEffect::Wrote(1))
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let _ = self.reply.send(outcome);
    }
}
