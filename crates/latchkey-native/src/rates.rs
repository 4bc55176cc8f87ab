//! Keys' rates (IAM K7), counted exactly: so many requests in each minute of UTC, by a key and its kin together.

use latchkey_core::{KeyId, UnixMillis};
use latchkey_gate::{Refusal, Unavailable};
use latchkey_snapshot::Rate;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What was let in, this minute.
#[derive(Default)]
pub(crate) struct Rates(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    number: u64,
    counts: HashMap<KeyId, u32>,
}

impl Rates {
    /// Counts a request, and says why it is refused, if it is. One that there is no room to count is not passed over.
    pub(crate) fn refusal(&self, rate: Rate, now: UnixMillis) -> Option<Refusal> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.0 / MINUTE_MS;
        // A clock that was set back begins no new minute.
        if number > minute.number {
            minute.number = number;
            minute.counts.clear();
        }
        if minute.counts.len() >= COUNTED_MAX && !minute.counts.contains_key(&rate.family) {
            return Some(Refusal::Unavailable(Unavailable::RateUnenforceable));
        }
        let count = minute.counts.entry(rate.family).or_default();
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
    use std::num::NonZeroU32;

    fn rate(family: u64, per_minute: u32) -> Rate {
        Rate { family: KeyId::from_number(family), per_minute: NonZeroU32::new(per_minute).unwrap() }
    }

    #[test]
    fn key_makes_exactly_its_requests_in_each_minute() {
        let rates = Rates::default();
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
    fn what_cannot_be_counted_is_refused() {
        let rates = Rates::default();
        let now = UnixMillis(60_000);
        rates.refusal(rate(0, 1), now);
        rates.0.lock().unwrap().counts =
            (0..COUNTED_MAX as u64).map(|n| (KeyId::from_number(n), 0)).collect();
        let refusal = rates.refusal(rate(COUNTED_MAX as u64, 9), now);
        assert_eq!(refusal, Some(Refusal::Unavailable(Unavailable::RateUnenforceable)));
        assert_eq!(rates.refusal(rate(7, 9), now), None);
    }
}
