//! Where the edges stand, as their reads of the head tell: the generation that each answers from, as long as it does not
//! mark its answers as stale. It is a sample, of the reads that get as far as the hub or a relay, and no proof: a report can
//! contradict a receipt and never make one.
//!
//! What is kept is the lowest generation of every few seconds, for a minute, in memory.

use latchkey_core::{Generation, UnixMillis};
use std::collections::BTreeMap;

/// The header on a read of the head: the generation that the reader answers from, of a reader whose answers are fresh.
pub const HEADER: &str = "latchkey-standing";
/// The header by which a relay tells the hub the lowest generation of its readers, and how many reads there were.
pub const READERS: &str = "latchkey-readers-standing";
/// How long a report is kept.
pub const KEPT_MS: u64 = 60_000;
/// Reports within one slot are one.
pub const SLOT_MS: u64 = 5_000;
/// How old a report may become at a relay, which gets a head twice a second.
pub const TOLD_WITHIN_MS: u64 = 1_000;
/// The highest generation that a hub takes.
const GENERATION_MAX: u64 = (1 << 53) - 1;
/// Reads that a relay may tell of at once.
const READS_MAX: u64 = 1_000_000;

/// The lowest generation of some reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The lowest generation that one of them answered from.
    pub generation: Generation,
    /// The last of the reads that told it.
    pub at: UnixMillis,
    /// How many reads there were.
    pub reads: u64,
}

/// The reports of the last minute, one for each slot.
#[derive(Debug, Default)]
pub struct Standings(BTreeMap<u64, Report>);

/// What a relay heard since it told the hub.
#[derive(Debug, Default)]
pub struct Hearsay(Option<(UnixMillis, Report)>);

impl Report {
    /// That of one read.
    pub const fn new(generation: Generation, at: UnixMillis) -> Self {
        Self { generation, at, reads: 1 }
    }

    fn join(&mut self, other: Self) {
        let reads = self.reads.saturating_add(other.reads);
        if other.generation < self.generation {
            *self = other;
        } else if other.generation == self.generation {
            self.at = self.at.max(other.at);
        }
        self.reads = reads;
    }
}

impl Standings {
    /// Notes a report. One of a moment that is not within the last minute is none.
    pub fn note(&mut self, report: Report, now: UnixMillis) {
        self.0.retain(|_, kept| is_kept(kept.at, now));
        if is_kept(report.at, now) {
            let slot = self.0.entry(report.at.0 / SLOT_MS);
            slot.and_modify(|kept| kept.join(report)).or_insert(report);
        }
    }

    /// The reports of the last minute, the newest last.
    pub fn list(&self, now: UnixMillis) -> Vec<Report> {
        self.0.values().filter(|report| is_kept(report.at, now)).copied().collect()
    }
}

impl Hearsay {
    /// Notes a read.
    pub fn note(&mut self, generation: Generation, now: UnixMillis) {
        let report = Report::new(generation, now);
        match &mut self.0 {
            Some((since, kept)) if is_within(*since, TOLD_WITHIN_MS, now) => kept.join(report),
            slot => *slot = Some((now, report)),
        }
    }

    /// What the hub is told, once; `None`: nobody read within the last second.
    pub fn take(&mut self, now: UnixMillis) -> Option<String> {
        let (_, report) = self.0.take().filter(|(since, _)| is_within(*since, TOLD_WITHIN_MS, now))?;
        Some(format!("{},{}", report.generation.0, report.reads.min(READS_MAX)))
    }
}

/// The generation that a header names, decimal, without leading zeros. `None`: the reader tells nothing, or nonsense.
pub fn parse(header: Option<&str>) -> Option<Generation> {
    parse_number(header?, GENERATION_MAX).map(Generation)
}

/// What a relay tells, as of `at`: as [`Hearsay::take`] writes it. `None`: nothing, or nonsense.
pub fn parse_told(header: Option<&str>, at: UnixMillis) -> Option<Report> {
    let (generation, reads) = header?.split_once(',')?;
    let generation = Generation(parse_number(generation, GENERATION_MAX)?);
    let reads = parse_number(reads, READS_MAX).filter(|reads| *reads > 0)?;
    Some(Report { generation, at, reads })
}

fn parse_number(text: &str, most: u64) -> Option<u64> {
    let is_plain = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text.len() == 1 || !text.starts_with('0');
    (is_plain && is_shortest).then(|| text.parse().ok())?.filter(|number| *number <= most)
}

fn is_kept(moment: UnixMillis, now: UnixMillis) -> bool {
    is_within(moment, KEPT_MS, now)
}

fn is_within(moment: UnixMillis, most_ms: u64, now: UnixMillis) -> bool {
    moment <= now && now.since_ms(moment) <= most_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn note(standings: &mut Standings, generation: u64, at: u64) {
        standings.note(Report::new(Generation(generation), UnixMillis(at)), UnixMillis(at));
    }

    fn listed(standings: &Standings, now: u64) -> Vec<(u64, u64, u64)> {
        let reports = standings.list(UnixMillis(now));
        reports.iter().map(|report| (report.generation.0, report.at.0, report.reads)).collect()
    }

    #[test]
    fn nonsense_is_no_report() {
        let beyond = (GENERATION_MAX + 1).to_string();
        for text in
            ["", "-1", "+1", "01", "00", " 1", "1 ", "1,2", "0x1", "1.0", "99999999999999999", &beyond]
        {
            assert_eq!(parse(Some(text)), None, "{text}");
            assert_eq!(parse_told(Some(&format!("{text},1")), NOW), None, "{text}");
        }
        for text in ["", "7", "7,", "7,0", "7,-1", "7,01", ",1", "7,1,1", "7, 1", "7,1000001"] {
            assert_eq!(parse_told(Some(text), NOW), None, "{text}");
        }
        assert_eq!((parse(None), parse_told(None, NOW)), (None, None));
        assert_eq!(parse(Some("0")), Some(Generation(0)));
        assert_eq!(parse(Some(&GENERATION_MAX.to_string())), Some(Generation(GENERATION_MAX)));
    }

    #[test]
    fn lowest_generation_of_a_slot_stays_with_the_last_read_that_told_it() {
        let mut standings = Standings::default();
        for (generation, at) in [(8, 1_000_000), (7, 1_000_001), (9, 1_000_002), (7, 1_004_999)] {
            note(&mut standings, generation, at);
        }
        assert_eq!(listed(&standings, 1_004_999), [(7, 1_004_999, 4)]);
        // A later one is told beside it, not hidden behind it.
        note(&mut standings, 8, 1_005_000);
        assert_eq!(listed(&standings, 1_005_000), [(7, 1_004_999, 4), (8, 1_005_000, 1)]);
    }

    #[test]
    fn reports_go_after_a_minute_and_are_bounded() {
        let mut standings = Standings::default();
        note(&mut standings, 3, NOW.0);
        assert_eq!(listed(&standings, NOW.0 + KEPT_MS).len(), 1);
        assert_eq!(listed(&standings, NOW.0 + KEPT_MS + 1), []);
        for step in 0..1_000 {
            note(&mut standings, 3 + step, NOW.0 + step * 1_000);
        }
        assert!(standings.0.len() as u64 <= KEPT_MS / SLOT_MS + 1);
    }

    #[test]
    fn moment_that_cannot_be_is_not_kept() {
        let mut standings = Standings::default();
        for at in [NOW.0 + 1, NOW.0 - KEPT_MS - 1] {
            standings.note(Report::new(Generation(1), UnixMillis(at)), NOW);
        }
        assert_eq!(standings.list(NOW), []);
    }

    #[test]
    fn relay_tells_once_what_it_heard_within_the_last_second() {
        let mut hearsay = Hearsay::default();
        assert_eq!(hearsay.take(NOW), None);
        for generation in [9, 7, 8] {
            hearsay.note(Generation(generation), NOW);
        }
        let told = hearsay.take(NOW.plus_ms(TOLD_WITHIN_MS)).unwrap();
        let report = Report { generation: Generation(7), at: NOW, reads: 3 };
        assert_eq!(parse_told(Some(&told), NOW), Some(report));
        assert_eq!(hearsay.take(NOW), None);
        hearsay.note(Generation(3), NOW);
        assert_eq!(
            hearsay.take(NOW.plus_ms(TOLD_WITHIN_MS + 1)),
            None,
            "that would be told as if it were now"
        );
        hearsay.note(Generation(3), NOW);
        hearsay.note(Generation(9), NOW.plus_ms(TOLD_WITHIN_MS + 1));
        assert_eq!(hearsay.take(NOW.plus_ms(TOLD_WITHIN_MS + 1)).as_deref(), Some("9,1"));
    }
}
