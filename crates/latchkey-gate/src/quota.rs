//! How often a request may cost a fetch: what somebody else's request fetches already is free, all else is rationed by
//! how much is proven of whoever asks. Beyond a ration the answer comes from what is held, and where that cannot tell,
//! it is 503.

use crate::clock::{Clock, has_elapsed, is_ahead};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use latchkey_core::UnixMillis;
use latchkey_snapshot::ObjectRef;

/// Unknown credentials without a mint check that may cost fetches (a node and a page) and a look at the head, in any
/// second: anybody can make up keys of other systems and tokens of unknown signers.
pub const SEEK_PER_SECOND_MAX: u64 = 20;
/// Objects fetched to prove a credential whose mint check or signature is right, in any second.
pub const PROVE_PER_SECOND_MAX: u64 = 100;
/// Objects fetched to find what a proven caller names (projects, resources, memberships) and what that is called, in
/// any second.
pub const NAMED_PER_SECOND_MAX: u64 = 50;
/// Objects fetched before answers of what the next snapshot waits for, in any second: as many as a new base waits for.
pub const PURSUE_PER_SECOND_MAX: u64 = 40;
const WINDOW_MS: u64 = 1000;
/// How long an object that was asked for is taken to be on its way.
const ON_ITS_WAY_MS: u64 = 1000;
const NEVER: u64 = u64::MAX;
/// How long an object that could not be had is not asked for behind answers: the first few times, so that a line that loses
/// half of what it carries delays no revocation beyond the bound, and at most.
const REST_MS_MIN: u64 = 250;
const REST_MS_MAX: u64 = 30_000;
/// So many times it rests no longer than at first.
const SHORT_RESTS: u64 = 4;

/// So many in any second, wherever it begins: when each of the last was taken.
#[derive(Debug)]
pub(crate) struct Quota {
    taken: Box<[AtomicU64]>,
    /// The one that was taken first.
    first: AtomicUsize,
}

impl Quota {
    pub(crate) fn new(per_second: u64) -> Self {
        Self { taken: (0..per_second).map(|_| AtomicU64::new(NEVER)).collect(), first: AtomicUsize::new(0) }
    }

    /// Takes one share, if there is one left.
    pub(crate) fn take(&self, now: UnixMillis) -> bool {
        let first = self.first.load(Relaxed);
        let Some(taken) = self.taken.get(first) else { return false };
        let may = has_elapsed(taken.load(Relaxed), now, WINDOW_MS);
        if may {
            taken.store(now.0, Relaxed);
            self.first.store((first + 1) % self.taken.len(), Relaxed);
        }
        may
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
    pub(crate) fn new() -> Self {
        Self {
            seek: Quota::new(SEEK_PER_SECOND_MAX),
            prove: Quota::new(PROVE_PER_SECOND_MAX),
            named: Quota::new(NAMED_PER_SECOND_MAX),
            pursue: Quota::new(PURSUE_PER_SECOND_MAX),
        }
    }
}

/// When an object was asked for last, and how long it is left alone because it could not be had.
#[derive(Debug)]
pub(crate) struct Asked {
    at: AtomicU64,
    rests_until: AtomicU64,
    failures: AtomicU64,
}

impl Asked {
    pub(crate) const fn never() -> Self {
        Self { at: AtomicU64::new(NEVER), rests_until: AtomicU64::new(0), failures: AtomicU64::new(0) }
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
            self.at.store(now.0, Relaxed);
        }
    }

    pub(crate) fn is_on_its_way(&self, now: UnixMillis) -> bool {
        !has_elapsed(self.at.load(Relaxed), now, ON_ITS_WAY_MS)
    }

    /// Notes that it did not come: the next fetch is a new one, and none is made behind answers for about 250 ms, after the
    /// fourth time 500 ms, doubling to 30 s, up to a quarter less. Whoever needs it for an answer may still ask within a ration.
    pub(crate) fn failed(&self, reference: &ObjectRef, clock: &Clock, now: UnixMillis) {
        self.at.store(NEVER, Relaxed);
        if self.rests(now) {
            return;
        }
        let failures = self.failures.load(Relaxed).min(16);
        self.failures.store(failures + 1, Relaxed);
        let most_ms = (REST_MS_MIN << (failures + 1).saturating_sub(SHORT_RESTS)).min(REST_MS_MAX);
        let [a, b, c, d, e, f, g, h, ..] = reference.digest().0;
        let salt = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ now.0;
        self.rests_until.store(now.plus_ms(most_ms - clock.spread(salt, most_ms / 4)).0, Relaxed);
    }

    /// Whether it could not be had.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures.load(Relaxed) > 0
    }

    /// Whether it is to be left alone behind answers.
    pub(crate) fn rests(&self, now: UnixMillis) -> bool {
        is_ahead(self.rests_until.load(Relaxed), now, REST_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::Dice;
    use std::vec::Vec;

    #[test]
    fn as_many_in_any_second_and_no_more() {
        let mut dice = Dice::from_seed(&[3; 32]);
        for per_second in
            [SEEK_PER_SECOND_MAX, PROVE_PER_SECOND_MAX, NAMED_PER_SECOND_MAX, PURSUE_PER_SECOND_MAX]
        {
            let quota = Quota::new(per_second);
            let taken = |now: u64| (0..1000).filter(|_| quota.take(UnixMillis(now))).count() as u64;
            assert_eq!(taken(10_000), per_second);
            assert_eq!((taken(10_000), taken(10_999)), (0, 0));
            assert_eq!(taken(11_000), per_second);
            assert_eq!(taken(50), per_second, "a clock that was set back");
            let mut now = 100_000;
            let mut moments = Vec::new();
            for _ in 0..20_000 {
                let [step] = dice.bytes();
                now += u64::from(step % 16);
                moments.extend(quota.take(UnixMillis(now)).then_some(now));
            }
            let most = per_second as usize;
            assert!(moments.windows(most + 1).all(|some| some[most] - some[0] >= WINDOW_MS));
            assert!(moments.len() as u64 > (now - 100_000) / WINDOW_MS * per_second * 9 / 10);
        }
    }

    #[test]
    fn what_is_on_its_way_is_free_until_it_failed() {
        let (quota, asked, clock) = (Quota::new(1), Asked::never(), Clock::new(5));
        assert!(asked.ask(&quota, UnixMillis(10_000)));
        assert!((0..100).all(|_| asked.ask(&quota, UnixMillis(10_000 + ON_ITS_WAY_MS - 1))));
        asked.failed(&ObjectRef::to(b"lost"), &clock, UnixMillis(10_400));
        assert!(!asked.ask(&quota, UnixMillis(10_500)));
        assert!(asked.ask(&quota, UnixMillis(11_000)), "an answer needs it, however it rests");
        assert!(asked.ask(&quota, UnixMillis(12_500)));
        assert!(!Asked::never().ask(&quota, UnixMillis(12_500)), "another object");
    }

    #[test]
    fn what_cannot_be_had_rests_for_longer_each_time_and_gates_differ() {
        let lost = ObjectRef::to(b"lost");
        let rests = |seed: u64| {
            let (asked, clock) = (Asked::never(), Clock::new(seed));
            let mut now = UnixMillis(10_000);
            let mut rests = Vec::new();
            for _ in 0..12 {
                let begun = now;
                asked.failed(&lost, &clock, now);
                asked.failed(&lost, &clock, now.plus_ms(1));
                while asked.rests(now) {
                    now = now.plus_ms(1);
                }
                rests.push(now.since_ms(begun));
            }
            rests
        };
        let most = [250, 250, 250, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        for (rest, most) in rests(5).into_iter().zip(most) {
            assert!((most * 3 / 4..=most).contains(&rest), "{rest} of {most}");
        }
        assert_ne!(rests(5), rests(6));
        assert!(!Asked::never().rests(UnixMillis(10_000)));
    }
}
