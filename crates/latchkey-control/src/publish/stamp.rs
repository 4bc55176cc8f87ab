//! The `as_of` of heads: never more than is known, never less than before.
//!
//! `as_of` promises that every change committed before it is in the head. So it is a reading of the clock from
//! *before* a look at the committed state that the head covers. A head that lacks a change, say a new key whose
//! page is still on its way, carries the last reading at which that change was not there yet.

use latchkey_core::{Generation, UnixMillis};
use std::collections::BTreeMap;
use std::fmt;

/// Gives out the `as_of` of every head that this process signs.
#[derive(Debug)]
pub(super) struct Stamp {
    /// At this reading, the committed generation was this one: the latest reading for each.
    readings: BTreeMap<Generation, UnixMillis>,
    /// The greatest `as_of` given out under each statement's generation.
    given: BTreeMap<Generation, UnixMillis>,
    /// What an earlier run may have given out, at most.
    floor: UnixMillis,
}

/// The clock stands behind what was already given out, further than a bump can hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockBehind {
    /// How far, in milliseconds.
    pub(super) by_ms: u64,
}

impl Stamp {
    /// A stamp that stays above what an earlier run gave out.
    pub(super) const fn above(floor: UnixMillis) -> Self {
        Self { readings: BTreeMap::new(), given: BTreeMap::new(), floor }
    }

    /// Notes that the clock was read as `now` and the committed generation *afterwards* as `committed`.
    pub(super) fn note(&mut self, now: UnixMillis, committed: Generation) {
        let reading = self.readings.entry(committed).or_insert(now);
        *reading = now.max(*reading);
        while self.readings.len() > READINGS_MAX {
            self.readings.pop_first();
        }
    }

    /// The `as_of` of a head under the statement of generation `statement`, from a look noted at `now`. It covers
    /// every change before `lacking`, or all there are. `after` is what its sink last got.
    ///
    /// # Errors
    /// [`ClockBehind`]; nothing may be signed then.
    pub(super) fn give(
        &mut self,
        now: UnixMillis,
        statement: Generation,
        lacking: Option<Generation>,
        after: UnixMillis,
    ) -> Result<UnixMillis, ClockBehind> {
        let known = match lacking {
            None => now,
            Some(lacking) => self.last_without(lacking).unwrap_or_default(),
        };
        let before = self.given.get(&statement).copied().unwrap_or_default().max(after).max(self.floor);
        let as_of = known.max(before.plus_ms(1));
        let ahead_ms = as_of.since_ms(now);
        if ahead_ms > AHEAD_MS_MAX {
            return Err(ClockBehind { by_ms: ahead_ms });
        }
        self.given.insert(statement, as_of);
        while self.given.len() > READINGS_MAX {
            self.given.pop_first();
        }
        Ok(as_of)
    }

    /// The last reading at which `generation` was not committed yet.
    fn last_without(&self, generation: Generation) -> Option<UnixMillis> {
        self.readings.range(..generation).map(|(_, reading)| *reading).next_back()
    }
}

impl fmt::Display for ClockBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock is {} ms behind the last head; nothing is signed until it catches up",
            self.by_ms
        )
    }
}

impl std::error::Error for ClockBehind {}

/// How far ahead of the clock a head may be so as not to go back. Edges refuse one that is 1 s ahead of theirs.
pub(super) const AHEAD_MS_MAX: u64 = 500;
const READINGS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const G: Generation = Generation(7);

    fn give(stamp: &mut Stamp, now: u64, lacking: Option<u64>) -> Result<u64, ClockBehind> {
        stamp.give(UnixMillis(now), G, lacking.map(Generation), UnixMillis(0)).map(|as_of| as_of.0)
    }

    #[test]
    fn clock_far_behind_is_refused_and_a_small_step_back_is_bumped() {
        let mut stamp = Stamp::above(UnixMillis(0));
        assert_eq!(give(&mut stamp, 10_000, None), Ok(10_000));
        assert_eq!(give(&mut stamp, 10_000, None), Ok(10_001));
        assert_eq!(give(&mut stamp, 9_502, None), Ok(10_002));
        assert_eq!(give(&mut stamp, 9_502, None), Err(ClockBehind { by_ms: 501 }));
        assert_eq!(give(&mut stamp, 10_003, None), Ok(10_003));
    }

    #[test]
    fn restart_stays_above_what_was_given_before() {
        let mut stamp = Stamp::above(UnixMillis(10_250));
        assert_eq!(give(&mut stamp, 10_100, None), Ok(10_251));
        assert_eq!(
            give(&mut Stamp::above(UnixMillis(20_000)), 10_100, None),
            Err(ClockBehind { by_ms: 9_901 })
        );
    }

    #[test]
    fn head_that_lacks_a_change_is_no_younger_than_the_change() {
        let mut stamp = Stamp::above(UnixMillis(0));
        stamp.note(UnixMillis(1_000), G);
        stamp.note(UnixMillis(1_500), G);
        stamp.note(UnixMillis(2_000), Generation(9));
        assert_eq!(give(&mut stamp, 5_000, Some(8)), Ok(1_500));
        assert_eq!(give(&mut stamp, 6_000, Some(8)), Ok(1_501));
        assert_eq!(give(&mut stamp, 6_000, None), Ok(6_000));
    }

    #[test]
    fn heads_of_two_sinks_under_one_statement_never_share_a_moment() {
        let mut stamp = Stamp::above(UnixMillis(0));
        let one = stamp.give(UnixMillis(5), G, None, UnixMillis(0)).unwrap();
        let other = stamp.give(UnixMillis(5), G, None, UnixMillis(0)).unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn sink_never_sees_time_go_back_when_the_statement_changes() {
        let mut stamp = Stamp::above(UnixMillis(0));
        let before = stamp.give(UnixMillis(900), G, None, UnixMillis(0)).unwrap();
        stamp.note(UnixMillis(100), Generation(8));
        let after = stamp.give(UnixMillis(901), Generation(8), Some(Generation(9)), before).unwrap();
        assert!(after > before);
    }
}
