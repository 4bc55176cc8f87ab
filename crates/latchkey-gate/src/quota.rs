//! How often something that has no mint check may cost a fetch: keys of other systems and tokens of unknown signers
//! can be made up by anybody.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_core::UnixMillis;

/// Unknown credentials without a mint check that may cost a fetch or a look at the head, a second and gate.
pub const SEEK_PER_SECOND_MAX: u64 = 20;
const WINDOW_MS: u64 = 1000;
const SHARE_MS: u64 = WINDOW_MS / SEEK_PER_SECOND_MAX;

/// A leaky bucket, kept as the moment at which it will be empty (GCRA, ITU-T I.371).
#[derive(Debug, Default)]
pub(crate) struct Quota(AtomicU64);

impl Quota {
    /// Takes one share, if there is one left.
    pub(crate) fn take(&self, now: UnixMillis) -> bool {
        let empty_at = self.0.load(Relaxed);
        // One that lies further ahead than the bucket is deep was set by another clock.
        let from = if empty_at > now.0.saturating_add(WINDOW_MS) { now.0 } else { empty_at.max(now.0) };
        let next = from.saturating_add(SHARE_MS);
        let fits = next <= now.0.saturating_add(WINDOW_MS);
        if fits {
            self.0.store(next, Relaxed);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_and_no_more() {
        let quota = Quota::default();
        let taken = |now: u64| (0..100).filter(|_| quota.take(UnixMillis(now))).count() as u64;
        assert_eq!(taken(10_000), SEEK_PER_SECOND_MAX);
        assert_eq!(taken(10_000), 0);
        assert_eq!(taken(10_000 + SHARE_MS - 1), 0);
        assert_eq!(taken(10_000 + SHARE_MS), 1);
        assert_eq!(taken(60_000), SEEK_PER_SECOND_MAX);
        assert_eq!(taken(50), SEEK_PER_SECOND_MAX, "a clock that was set back");
    }
}
