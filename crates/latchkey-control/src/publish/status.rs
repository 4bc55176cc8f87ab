//! How far publishing has come, for operators and for whoever waits for their own change.

use super::keyring::EndingKey;
use super::sink::EdgeReport;
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
    pub marks: Vec<Mark>,
    /// Where edges behind it stood, as they tell, by our clock.
    pub edges: Vec<EdgeReport>,
}

/// When a sink came to hold a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Every change up to this one.
    pub published: Generation,
    /// The generation of the statement in that head, which edges answer from: refusals that ride in the head are beyond it.
    pub statement: Generation,
    /// When it took the head.
    pub at: UnixMillis,
}

/// An answer that is not marked as stale knows every change that sinks have held for so long (DESIGN §4).
pub const FRESHNESS_BOUND_MS: u64 = 5_000;

/// How long after the freshness bound a report may still come that an edge sent within it: a look at the head may take 2 s.
pub const REPORT_DELAY_MS: u64 = 2_000;
/// How long a report tells something.
pub const REPORT_AGE_MS: u64 = 60_000;

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

    /// The newest report of an edge that contradicts the receipt for a change: its answers were not marked as stale, and
    /// came from a generation before that change, when the freshness bound had passed.
    pub fn contradiction(&self, generation: Generation, now: UnixMillis) -> Option<EdgeReport> {
        let found = self.sinks.iter().filter_map(|sink| sink.contradiction(generation, now));
        found.max_by_key(|report| report.at)
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
    pub(super) fn mark(&mut self, published: Generation, statement: Generation, now: UnixMillis) {
        (self.published, self.statement) = (published, statement);
        if self.marks.last().is_none_or(|last| last.published < published) {
            self.marks.push(Mark { published, statement, at: now });
        }
        let is_past = |at: UnixMillis| at.plus_ms(FRESHNESS_BOUND_MS) <= now;
        while self.marks.len() > MARKS_MAX || self.marks.get(1).is_some_and(|mark| is_past(mark.at)) {
            self.marks.remove(0);
        }
    }

    /// The moment by which it held the change, if it does.
    fn reached(&self, generation: Generation) -> Option<UnixMillis> {
        self.mark_of(generation).map(|mark| mark.at)
    }

    fn mark_of(&self, generation: Generation) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.published >= generation)
    }

    /// The reports of the last minute.
    pub fn recent_reports(&self, now: UnixMillis) -> impl Iterator<Item = &EdgeReport> {
        self.edges.iter().filter(move |report| now.since_ms(report.at) <= REPORT_AGE_MS)
    }

    fn contradiction(&self, generation: Generation, now: UnixMillis) -> Option<EdgeReport> {
        let mark = self.mark_of(generation)?;
        let since = mark.at.plus_ms(FRESHNESS_BOUND_MS + REPORT_DELAY_MS);
        let contradicts = |report: &&EdgeReport| report.generation < mark.statement && report.at > since;
        self.recent_reports(now).filter(contradicts).max_by_key(|report| report.at).copied()
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
            edges: Vec::new(),
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
        sink.mark(Generation(generation), Generation(generation), UnixMillis(at));
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

    fn report(generation: u64, at: u64) -> EdgeReport {
        EdgeReport { generation: Generation(generation), at: UnixMillis(at), reports: 1 }
    }

    #[test]
    fn report_contradicts_only_below_the_statement_and_after_the_bound() {
        let mut sink = sink();
        let past = 1_000 + FRESHNESS_BOUND_MS + REPORT_DELAY_MS;
        sink.edges = vec![report(1, past + 1)];
        assert_eq!(
            sink.contradiction(Generation(5), UnixMillis(past + 2)),
            None,
            "the sink does not hold it"
        );
        // The head covers 5 and 6, of which no statement says anything but that of 4.
        sink.mark(Generation(6), Generation(4), UnixMillis(1_000));
        let mut told = |reports: &[EdgeReport], now| {
            sink.edges = reports.to_vec();
            sink.contradiction(Generation(5), UnixMillis(now))
        };
        assert_eq!(told(&[report(4, past + 1)], past + 2), None, "that is where it should stand");
        assert_eq!(told(&[report(3, past)], past + 2), None, "it may have been on its way");
        assert_eq!(told(&[report(3, past + 1)], past + 2), Some(report(3, past + 1)));
        // An older and lower one does not hide it.
        assert_eq!(told(&[report(1, past), report(3, past + 1)], past + 2), Some(report(3, past + 1)));
        assert_eq!(told(&[report(3, past + 1)], past + 1 + REPORT_AGE_MS), Some(report(3, past + 1)));
        assert_eq!(told(&[report(3, past + 1)], past + 2 + REPORT_AGE_MS), None, "it tells nothing of now");
    }
}
