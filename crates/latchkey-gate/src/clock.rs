//! Freshness as a state machine over moments that are handed in (docs: DESIGN §4).
//!
//! Everything is a *time*, never a flag: a request that is cancelled half-way leaves nothing behind that does
//! not end by itself. All is atomic, so that deciding needs no exclusive access; two requests that race may
//! both start a refresh, and nothing worse.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_core::UnixMillis;

/// While a gate serves, it looks at the head this often, in milliseconds.
pub const REFRESH_EVERY_MS: u64 = 250;
/// At an age above this a gate asks before it answers; still above it, the answer is stale.
pub const ASK_AFTER_MS: u64 = 4000;
/// Fresh-only permissions need an age of at most this.
pub const FRESH_MS: u64 = 1000;
/// How long a look at the head may take before an answer.
pub const HEAD_BUDGET_MS: u64 = 500;
/// An `as_of` further ahead of the clock than this is refused.
pub const AS_OF_AHEAD_MS_MAX: u64 = 1000;
const LEASE_MS: u64 = 1000;
/// A look that began this long ago may be taken over; a little less than one may take, as timers are not exact.
const GIVEN_UP_AFTER_MS: u64 = HEAD_BUDGET_MS - 50;
const FORCED_EVERY_MS: u64 = 250;
/// Behind answers a gate looks less often, the older the newest head is: from this age on.
const PACED_FROM_MS: u64 = 2000;
const BREAKER_MS_MIN: u64 = 1000;
const BREAKER_MS_MAX: u64 = 10_000;
const NEVER: u64 = u64::MAX;

/// How a look at the head ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshEnd {
    /// A head came, whatever it said.
    Answered,
    /// None came in time, or it was refused.
    Failed,
}

/// Who wants to look at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urge {
    /// The age: what is held may not be used unasked.
    Age,
    /// Something unknown, a minimum generation, a fresh-only route: rationed.
    Forced,
}

/// Whether a request has waited for another's look at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    NotYet,
    InVain,
}

/// Whether one may look at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Granted,
    InFlight,
    Denied,
}

#[derive(Debug)]
pub(crate) struct Clock {
    seed: u64,
    /// The latest moment seen.
    latest: AtomicU64,
    /// The confirmed `as_of`; `NEVER` when there is none.
    confirmed: AtomicU64,
    lease_until: AtomicU64,
    begun: AtomicU64,
    /// When the look behind an answer began that has not ended; `NEVER` when there is none.
    behind: AtomicU64,
    forced: AtomicU64,
    breaker_until: AtomicU64,
    failures: AtomicU64,
}

impl Clock {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            latest: AtomicU64::new(0),
            confirmed: AtomicU64::new(NEVER),
            lease_until: AtomicU64::new(0),
            begun: AtomicU64::new(NEVER),
            behind: AtomicU64::new(NEVER),
            forced: AtomicU64::new(NEVER),
            breaker_until: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The moment to reckon with. Requests that overlap hand in moments slightly out of order: then the latest
    /// counts. A clock that was set back makes every age a guess: what is held must be confirmed anew.
    pub(crate) fn tick(&self, now: UnixMillis) -> UnixMillis {
        let latest = self.latest.load(Relaxed);
        if now.0 >= latest {
            self.latest.store(now.0, Relaxed);
            return now;
        }
        if latest - now.0 <= AS_OF_AHEAD_MS_MAX {
            return UnixMillis(latest);
        }
        self.latest.store(now.0, Relaxed);
        self.forget();
        self.lease_until.store(0, Relaxed);
        self.breaker_until.store(0, Relaxed);
        self.begun.store(NEVER, Relaxed);
        self.behind.store(NEVER, Relaxed);
        self.forced.store(NEVER, Relaxed);
        now
    }

    /// Notes that everything committed before `as_of` is known.
    pub(crate) fn confirm(&self, as_of: UnixMillis, now: UnixMillis) {
        let held = self.confirmed.load(Relaxed);
        if held == NEVER || held < as_of.0 {
            self.confirmed.store(as_of.0, Relaxed);
        }
        if self.age_ms(now).is_some_and(|age_ms| age_ms <= ASK_AFTER_MS) {
            self.failures.store(0, Relaxed);
            self.breaker_until.store(0, Relaxed);
        }
    }

    /// The latest moment that was handed in.
    pub(crate) fn latest(&self) -> UnixMillis {
        UnixMillis(self.latest.load(Relaxed))
    }

    /// Takes back every confirmation.
    pub(crate) fn forget(&self) {
        self.confirmed.store(NEVER, Relaxed);
    }

    pub(crate) fn as_of(&self) -> Option<UnixMillis> {
        Some(self.confirmed.load(Relaxed)).filter(|as_of| *as_of != NEVER).map(UnixMillis)
    }

    pub(crate) fn age_ms(&self, now: UnixMillis) -> Option<u64> {
        self.as_of().map(|as_of| now.since_ms(as_of))
    }

    /// Takes the background refresh, if it is due: 250 ms after the last look began, later where the newest head that is held
    /// is old, and none in flight. The breaker keeps requests from waiting, not the gate from looking behind its answers,
    /// which costs nobody anything; but before the first head nothing else says how often.
    pub(crate) fn take_refresh(&self, newest: Option<UnixMillis>, now: UnixMillis) -> bool {
        let begun = self.begun.load(Relaxed);
        // Nearly every request ends here.
        if !has_elapsed(begun, now, REFRESH_EVERY_MS) {
            return false;
        }
        let is_alone = !self.is_in_flight(now) && has_elapsed(self.behind.load(Relaxed), now, LEASE_MS);
        let is_time = match newest {
            Some(as_of) => has_elapsed(begun, now, self.pause_ms(begun, now.since_ms(as_of))),
            None => !self.is_open(now),
        };
        let take = is_alone && is_time;
        if take {
            self.behind.store(now.0, Relaxed);
            self.lend(now);
        }
        take
    }

    /// Takes a look before an answer. Whoever has waited for another's look in vain takes that one's lease
    /// over: its holder is gone. Of many that waited, one does, and the others wait for that one.
    pub(crate) fn take_ask(&self, urge: Urge, waited: Waited, now: UnixMillis) -> Leave {
        if self.is_open(now) {
            return Leave::Denied;
        }
        let is_given_up =
            waited == Waited::InVain && has_elapsed(self.begun.load(Relaxed), now, GIVEN_UP_AFTER_MS);
        if self.is_in_flight(now) && !is_given_up {
            return Leave::InFlight;
        }
        if urge == Urge::Forced {
            if !has_elapsed(self.forced.load(Relaxed), now, FORCED_EVERY_MS) {
                return Leave::Denied;
            }
            self.forced.store(now.0, Relaxed);
        }
        self.lend(now);
        Leave::Granted
    }

    /// Ends the lease of whoever looked at the head.
    pub(crate) fn give_back(&self) {
        self.lease_until.store(0, Relaxed);
    }

    /// As [`Clock::give_back`], of a look behind an answer.
    pub(crate) fn give_back_behind(&self) {
        self.behind.store(NEVER, Relaxed);
        self.give_back();
    }

    /// Opens the breaker: for about 1 s at first, doubling to about 10 s, spread by a quarter either way.
    pub(crate) fn fail(&self, now: UnixMillis) {
        if self.is_open(now) {
            return;
        }
        let failures = self.failures.load(Relaxed).min(16);
        self.failures.store(failures + 1, Relaxed);
        let base_ms = (BREAKER_MS_MIN << failures).min(BREAKER_MS_MAX);
        let spread_ms = mix(self.seed ^ now.0) % (base_ms / 2 + 1);
        self.breaker_until.store(now.plus_ms(base_ms * 3 / 4 + spread_ms).0, Relaxed);
    }

    /// How long after the last look began the next one behind an answer is due, by the age of the newest head: 250 ms; beyond
    /// 2 s longer by an eighth of what is above on average, spread evenly from none of it to a quarter, at most 10 s. So a
    /// source that is back after an outage is seen after a small part of the time that the outage took, and not by all at
    /// once.
    fn pause_ms(&self, begun: u64, age_ms: u64) -> u64 {
        let most_ms = (age_ms.saturating_sub(PACED_FROM_MS) / 4).min(BREAKER_MS_MAX);
        REFRESH_EVERY_MS + self.spread(begun, most_ms)
    }

    /// A number up to `most`, the same for the same salt in this gate, another in others.
    pub(crate) const fn spread(&self, salt: u64, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(sides) => mix(self.seed ^ salt) % sides,
            None => mix(self.seed ^ salt),
        }
    }

    pub(crate) fn is_open(&self, now: UnixMillis) -> bool {
        is_ahead(self.breaker_until.load(Relaxed), now, BREAKER_MS_MAX * 2)
    }

    fn is_in_flight(&self, now: UnixMillis) -> bool {
        is_ahead(self.lease_until.load(Relaxed), now, LEASE_MS)
    }

    fn lend(&self, now: UnixMillis) {
        self.begun.store(now.0, Relaxed);
        self.lease_until.store(now.plus_ms(LEASE_MS).0, Relaxed);
    }
}

/// Whether `then` lies ahead, and not so far that only another clock can have set it.
pub(crate) fn is_ahead(then: u64, now: UnixMillis, most_ms: u64) -> bool {
    then > now.0 && then - now.0 <= most_ms
}

/// Whether `then` never was, lies `ms` back, or lies ahead, which only another clock can have done.
pub(crate) fn has_elapsed(then: u64, now: UnixMillis, ms: u64) -> bool {
    then > now.0 || now.0 - then >= ms
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014).
const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests;
