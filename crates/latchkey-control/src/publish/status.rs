//! How far publishing has come, for operators and for whoever waits for their own change.

use super::keyring::EndingKey;
use latchkey_core::{Generation, UnixMillis};
use tokio::sync::watch;

/// How far publishing has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishStatus {
    /// The newest committed generation that was looked at.
    pub committed: Generation,
    /// The generation of the newest statement.
    pub stated: Generation,
    /// The base that it names, and the deltas since.
    pub published: Published,
    /// Why there is no newer statement, if building one failed.
    pub error: Option<String>,
    /// The root in force.
    pub root_version: u32,
    /// Keys that are used and soon will not be believed any more.
    pub ending_keys: Vec<EndingKey>,
    /// Why the keys on disk are not the ones in force, if they are refused.
    pub refused_keys: Option<String>,
    /// Each sink, in the order of the configuration.
    pub sinks: Vec<SinkStatus>,
}

/// What the newest statement names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Bytes of all pages of the base.
    pub base_bytes: u64,
    /// How many deltas there are since.
    pub deltas: usize,
    /// Bytes of those deltas.
    pub chain_bytes: usize,
    /// Why no new base is signed, until an operator releases it.
    pub held_back: Option<String>,
}

/// How far one sink has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// What it is called.
    pub name: String,
    /// Every change up to this one is in the head that it last took.
    pub published: Generation,
    /// The generation of the statement in that head.
    pub statement: Generation,
    /// That head's `as_of`; its age is the lag of all edges behind this sink.
    pub as_of: UnixMillis,
    /// Why the last attempt failed, until one succeeds.
    pub last_error: Option<String>,
    /// How far its clock is off ours, as far as the exchange's own delay does not explain it.
    pub clock_off_ms: u64,
    /// When it came to hold a generation, the newest last: as far back as the freshness bound may still run.
    pub marks: Vec<(Generation, UnixMillis)>,
}

/// An answer that is not marked as stale knows every change that sinks have held for so long (DESIGN §4).
pub const FRESHNESS_BOUND_MS: u64 = 5_000;

impl PublishStatus {
    /// The newest change that every sink holds.
    pub fn published(&self) -> Generation {
        self.sinks.iter().map(|sink| sink.published).min().unwrap_or(self.stated)
    }

    /// The moment by which every sink held the change, if all do; a sink must be there.
    pub fn reached(&self, generation: Generation) -> Option<UnixMillis> {
        let all: Option<Vec<UnixMillis>> = self.sinks.iter().map(|sink| sink.reached(generation)).collect();
        all?.into_iter().max()
    }

    /// What an operator has to look after, if anything.
    pub fn fault(&self) -> Option<&str> {
        self.error.as_deref().or(self.published.held_back.as_deref())
    }

    /// How many changes the slowest sink is behind.
    pub fn lag(&self) -> u64 {
        self.committed.0.saturating_sub(self.published().0)
    }
}

impl SinkStatus {
    /// Notes that every change up to this one is there now.
    pub(super) fn mark(&mut self, published: Generation, now: UnixMillis) {
        self.published = published;
        if self.marks.last().is_none_or(|(last, _)| *last < published) {
            self.marks.push((published, now));
        }
        let is_past = |at: UnixMillis| at.plus_ms(FRESHNESS_BOUND_MS) <= now;
        while self.marks.len() > MARKS_MAX || self.marks.get(1).is_some_and(|(_, at)| is_past(*at)) {
            self.marks.remove(0);
        }
    }

    /// The moment by which it held the change, if it does.
    fn reached(&self, generation: Generation) -> Option<UnixMillis> {
        let mut marks = self.marks.iter();
        marks.find(|(mark, _)| *mark >= generation).map(|(_, at)| *at)
    }
}

const MARKS_MAX: usize = 64;

/// Where the tasks write how far they are, and others read it.
#[derive(Debug, Clone)]
pub(super) struct Board(watch::Sender<PublishStatus>);

impl Board {
    pub(super) fn new(sinks: impl Iterator<Item = String>) -> Self {
        let sink = |name| SinkStatus {
            name,
            published: Generation(0),
            statement: Generation(0),
            as_of: UnixMillis(0),
            last_error: None,
            clock_off_ms: 0,
            marks: Vec::new(),
        };
        let status = PublishStatus { sinks: sinks.map(sink).collect(), ..PublishStatus::default() };
        Self(watch::Sender::new(status))
    }

    pub(super) fn read(&self) -> watch::Receiver<PublishStatus> {
        self.0.subscribe()
    }

    pub(super) fn committed(&self, generation: Generation) {
        self.0.send_if_modified(|status| {
            let rose = generation > status.committed;
            status.committed = status.committed.max(generation);
            rose
        });
    }

    pub(super) fn stated(&self, generation: Generation, published: Published) {
        self.0.send_modify(|status| {
            (status.stated, status.published, status.error) = (generation, published, None);
        });
    }

    pub(super) fn keys(&self, root_version: u32, ending: Vec<EndingKey>) {
        self.0.send_modify(|status| (status.root_version, status.ending_keys) = (root_version, ending));
    }

    pub(super) fn refused_keys(&self, why: Option<String>) {
        self.0.send_if_modified(|status| {
            let is_news = status.refused_keys != why;
            status.refused_keys = why;
            is_news
        });
    }

    /// Said once, not at every attempt.
    pub(super) fn build_failed(&self, error: String) {
        self.0.send_if_modified(|status| {
            let is_news = status.error.as_ref() != Some(&error);
            if is_news {
                tracing::error!(%error, "no new edition");
                status.error = Some(error);
            }
            is_news
        });
    }

    pub(super) fn sink(&self, index: usize, change: impl FnOnce(&mut SinkStatus)) {
        self.0.send_modify(|status| {
            if let Some(sink) = status.sinks.get_mut(index) {
                change(sink);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> SinkStatus {
        Board::new(std::iter::once("sink".to_owned())).read().borrow().sinks[0].clone()
    }

    fn mark(sink: &mut SinkStatus, generation: u64, at: u64) {
        sink.mark(Generation(generation), UnixMillis(at));
    }

    #[test]
    fn change_is_reached_when_the_first_head_that_covers_it_was_taken() {
        let mut sink = sink();
        assert_eq!(sink.reached(Generation(1)), None);
        mark(&mut sink, 3, 1_000);
        mark(&mut sink, 3, 1_500);
        mark(&mut sink, 7, 2_000);
        let reached = [1, 3, 4, 7, 8].map(|n| sink.reached(Generation(n)).map(|at| at.0));
        assert_eq!(reached, [Some(1_000), Some(1_000), Some(2_000), Some(2_000), None]);
    }

    #[test]
    fn marks_go_once_a_later_one_is_as_old_as_the_bound_and_never_make_it_sooner() {
        let mut sink = sink();
        mark(&mut sink, 3, 1_000);
        mark(&mut sink, 4, 2_000);
        mark(&mut sink, 5, 2_000 + FRESHNESS_BOUND_MS - 1);
        assert_eq!(sink.reached(Generation(3)), Some(UnixMillis(1_000)));
        mark(&mut sink, 5, 2_000 + FRESHNESS_BOUND_MS);
        assert_eq!(sink.reached(Generation(3)), Some(UnixMillis(2_000)));
        for n in 0..2 * MARKS_MAX as u64 {
            mark(&mut sink, 10 + n, 10_000 + n);
        }
        assert_eq!(sink.marks.len(), MARKS_MAX);
        // What was forgotten counts as there only since what is kept.
        assert!(sink.reached(Generation(3)).unwrap() > UnixMillis(10_000));
    }
}
