//! How often a request may cost a fetch: what somebody else's request fetches already is free, all else is rationed by
//! how much is proven of whoever asks. Beyond a ration the answer comes from what is held, and where that cannot tell,
//! it is 503.

use crate::clock::has_elapsed;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_core::UnixMillis;

/// Unknown credentials without a mint check that may cost a fetch or a look at the head, a second and gate: anybody
/// can make up keys of other systems and tokens of unknown signers.
pub const SEEK_PER_SECOND_MAX: u64 = 20;
/// Objects fetched to prove a credential whose mint check or signature is right, a second and gate.
pub const PROVE_PER_SECOND_MAX: u64 = 100;
/// Objects fetched to find what a proven caller names (projects, resources, memberships), a second and gate.
pub const NAMED_PER_SECOND_MAX: u64 = 50;
/// Requests that ask for what the next snapshot waits for, a second and gate.
pub const PURSUE_PER_SECOND_MAX: u64 = 20;
const WINDOW_MS: u64 = 1000;
/// How long an object that was asked for is taken to be on its way.
const ON_ITS_WAY_MS: u64 = 1000;
const NEVER: u64 = u64::MAX;

/// A leaky bucket, kept as the moment at which it will be empty (GCRA, ITU-T I.371).
#[derive(Debug)]
pub(crate) struct Quota {
    share_ms: u64,
    empty_at: AtomicU64,
}

impl Quota {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { share_ms: WINDOW_MS / per_second, empty_at: AtomicU64::new(0) }
    }

    /// Takes one share, if there is one left.
    pub(crate) fn take(&self, now: UnixMillis) -> bool {
        let empty_at = self.empty_at.load(Relaxed);
        // One that lies further ahead than the bucket is deep was set by another clock.
        let from = if empty_at > now.0.saturating_add(WINDOW_MS) { now.0 } else { empty_at.max(now.0) };
        let next = from.saturating_add(self.share_ms);
        let fits = next <= now.0.saturating_add(WINDOW_MS);
        if fits {
            self.empty_at.store(next, Relaxed);
        }
        fits
    }
}

/// The rations of a gate.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// Of whoever has proven nothing.
    pub(crate) seek: Quota,
    /// Of credentials that were minted or signed here.
    pub(crate) prove: Quota,
    /// Of what proven callers name.
    pub(crate) named: Quota,
    /// Of whatever the next snapshot waits for.
    pub(crate) pursue: Quota,
}

impl Quotas {
    pub(crate) const fn new() -> Self {
        Self {
            seek: Quota::new(SEEK_PER_SECOND_MAX),
            prove: Quota::new(PROVE_PER_SECOND_MAX),
            named: Quota::new(NAMED_PER_SECOND_MAX),
            pursue: Quota::new(PURSUE_PER_SECOND_MAX),
        }
    }
}

/// When an object was asked for last.
#[derive(Debug)]
pub(crate) struct Asked(AtomicU64);

impl Asked {
    pub(crate) const fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// Whether one may ask: it is on its way already, or the ration has a share left.
    pub(crate) fn ask(&self, quota: &Quota, now: UnixMillis) -> bool {
        let may = self.is_on_its_way(now) || quota.take(now);
        if may {
            self.note(now);
        }
        may
    }

    /// Notes that somebody asks for it now.
    pub(crate) fn note(&self, now: UnixMillis) {
        if !self.is_on_its_way(now) {
            self.0.store(now.0, Relaxed);
        }
    }

    pub(crate) fn is_on_its_way(&self, now: UnixMillis) -> bool {
        !has_elapsed(self.0.load(Relaxed), now, ON_ITS_WAY_MS)
    }

    /// Notes that it did not come: the next fetch is a new one.
    pub(crate) fn failed(&self) {
        self.0.store(NEVER, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_a_second_and_no_more() {
        for per_second in [SEEK_PER_SECOND_MAX, PROVE_PER_SECOND_MAX, NAMED_PER_SECOND_MAX] {
            let quota = Quota::new(per_second);
            let taken = |now: u64| (0..1000).filter(|_| quota.take(UnixMillis(now))).count() as u64;
            assert_eq!(taken(10_000), per_second);
            assert_eq!(taken(10_000), 0);
            assert_eq!(taken(10_000 + quota.share_ms - 1), 0);
            assert_eq!(taken(10_000 + quota.share_ms), 1);
            assert_eq!(taken(60_000), per_second);
            assert_eq!(taken(50), per_second, "a clock that was set back");
        }
    }

    #[test]
    fn what_is_on_its_way_is_free_until_it_failed() {
        let (quota, asked) = (Quota::new(1), Asked::never());
        assert!(asked.ask(&quota, UnixMillis(10_000)));
        assert!((0..100).all(|_| asked.ask(&quota, UnixMillis(10_000 + ON_ITS_WAY_MS - 1))));
        asked.failed();
        assert!(!asked.ask(&quota, UnixMillis(10_500)));
        assert!(asked.ask(&quota, UnixMillis(11_000)));
        assert!(asked.ask(&quota, UnixMillis(12_500)));
        assert!(!Asked::never().ask(&quota, UnixMillis(12_500)), "another object");
    }
}
