//! Keys' rates (IAM K7), counted exactly: so many requests in each minute of UTC, by a key and its kin together. For
//! shells that are one process, or one of which few stand beside each other; each counts apart.

use crate::verdict::{Refusal, Unavailable};
use alloc::collections::BTreeMap;
use latchkey_core::{KeyId, UnixMillis};
use latchkey_snapshot::Rate;

/// What was let in, this minute.
#[derive(Debug, Default)]
pub struct Rates {
    minute: u64,
    counts: BTreeMap<KeyId, u32>,
}

impl Rates {
    /// Counts a request, and says why it is refused, if it is. One that there is no room to count is not passed over.
    pub fn refusal(&mut self, rate: Rate, now: UnixMillis) -> Option<Refusal> {
        let minute = now.0 / MINUTE_MS;
        // A clock that is set back by less than a minute begins no new one; one that was far ahead is not waited for.
        if minute > self.minute || minute + 1 < self.minute {
            self.minute = minute;
            self.counts.clear();
        }
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&rate.family) {
            return Some(Refusal::Unavailable(Unavailable::RateUnenforceable));
        }
        let count = self.counts.entry(rate.family).or_default();
        if *count >= rate.per_minute.get() {
            return Some(Refusal::RateLimited);
        }
        *count += 1;
        None
    }
}

const MINUTE_MS: u64 = 60_000;
/// Lines of keys that are counted in a minute.
const COUNTED_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    fn rate(family: u64, per_minute: u32) -> Rate {
        Rate { family: KeyId::from_number(family), per_minute: NonZeroU32::new(per_minute).unwrap() }
    }

    #[test]
    fn key_makes_exactly_its_requests_in_each_minute() {
        let mut rates = Rates::default();
        let at = |ms: u64| UnixMillis(600_000 + ms);
        for _ in 0..3 {
            assert_eq!(rates.refusal(rate(1, 3), at(59_999)), None);
        }
        assert_eq!(rates.refusal(rate(1, 3), at(59_999)), Some(Refusal::RateLimited));
        assert_eq!(rates.refusal(rate(2, 1), at(59_999)), None, "another line");
        assert_eq!(rates.refusal(rate(1, 3), at(60_000)), None);
        // Set back, the minute goes on.
        assert_eq!(rates.refusal(rate(1, 3), at(0)), None);
        assert_eq!(rates.refusal(rate(1, 3), at(0)), None);
        assert_eq!(rates.refusal(rate(1, 3), at(60_001)), Some(Refusal::RateLimited));
    }

    #[test]
    fn clock_that_was_far_ahead_is_not_waited_for() {
        let mut rates = Rates::default();
        assert_eq!(rates.refusal(rate(1, 1), UnixMillis(86_400_000)), None);
        assert_eq!(rates.refusal(rate(1, 1), UnixMillis(60_000)), None);
        assert_eq!(rates.refusal(rate(1, 1), UnixMillis(60_000)), Some(Refusal::RateLimited));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let mut rates = Rates::default();
        let now = UnixMillis(60_000);
        rates.refusal(rate(0, 1), now);
        rates.counts = (0..COUNTED_MAX as u64).map(|n| (KeyId::from_number(n), 0)).collect();
        let refusal = rates.refusal(rate(COUNTED_MAX as u64, 9), now);
        assert_eq!(refusal, Some(Refusal::Unavailable(Unavailable::RateUnenforceable)));
        assert_eq!(rates.refusal(rate(7, 9), now), None);
    }
}
