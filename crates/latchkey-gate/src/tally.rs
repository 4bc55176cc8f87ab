//! How often a gate answered what; approximate when several threads decide at once.

use crate::status::Count;
use crate::verdict::{Outcome, Refusal, Unproven, Verdict};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_snapshot::TokenError;

/// Counters.
#[derive(Debug)]
pub(crate) struct Tally {
    allowed: AtomicU64,
    stale: AtomicU64,
    refused: [AtomicU64; CAUSES.len()],
    pub(crate) heads_accepted: u64,
    pub(crate) heads_refused: u64,
    pub(crate) heads_forked: u64,
    pub(crate) objects_refused: u64,
}

/// What a request was counted as. It is judged anew after every wait, and only the last verdict counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    refused: Option<usize>,
    stale: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            allowed: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; CAUSES.len()],
            heads_accepted: 0,
            heads_refused: 0,
            heads_forked: 0,
            objects_refused: 0,
        }
    }
}

impl Tally {
    /// Counts a verdict in the place of the one before.
    pub(crate) fn count(&self, verdict: &Verdict, counted: &mut Option<Counted>) {
        let stale = verdict.standing.is_some_and(|standing| standing.stale);
        let refused = match verdict.outcome {
            Outcome::Allow(_) => None,
            Outcome::Refuse(refusal) => place(refusal),
        };
        self.replace(Counted { refused, stale }, counted);
    }

    /// Counts a request as refused that was counted before.
    pub(crate) fn recount(&self, refusal: Refusal, counted: &mut Option<Counted>) {
        let stale = counted.is_some_and(|before| before.stale);
        self.replace(Counted { refused: place(refusal), stale }, counted);
    }

    /// All of them.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let read = |cause, counter: &AtomicU64| Count { cause, times: counter.load(Relaxed) };
        let refused = CAUSES.iter().zip(&self.refused).map(|(cause, counter)| read(*cause, counter));
        [read("allowed", &self.allowed), read("stale", &self.stale)].into_iter().chain(refused).collect()
    }

    fn replace(&self, now: Counted, counted: &mut Option<Counted>) {
        if let Some(before) = counted.replace(now) {
            self.add(before, u64::MAX);
        }
        self.add(now, 1);
    }

    fn add(&self, counted: Counted, times: u64) {
        let counter = match counted.refused {
            None => Some(&self.allowed),
            Some(index) => self.refused.get(index),
        };
        if let Some(counter) = counter {
            add(counter, times);
        }
        if counted.stale {
            add(&self.stale, times);
        }
    }
}

fn place(refusal: Refusal) -> Option<usize> {
    if let Refusal::Unauthenticated(unproven) = refusal {
        return Some(place_of_unproven(unproven));
    }
    let cause = refusal.cause();
    // A cause that is not in the list would be counted as nothing at all; a test goes through every refusal.
    Some(CAUSES.iter().position(|known| *known == cause).unwrap_or(CAUSES.len()))
}

/// What anybody can send in any number is counted without a search.
const fn place_of_unproven(unproven: Unproven) -> usize {
    match unproven {
        Unproven::Missing => 0,
        Unproven::Several => 1,
        Unproven::Scheme => 2,
        Unproven::Malformed(_) => 3,
        Unproven::Unknown => 4,
        Unproven::MadeUp => 5,
        Unproven::Token(TokenError::Signer | TokenError::Signature | TokenError::Ahead) => 35,
        Unproven::Token(_) => 34,
    }
}

/// No read-modify-write: a lost count is cheaper than a locked bus. `u64::MAX` takes one away.
fn add(counter: &AtomicU64, times: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(times), Relaxed);
}

/// Every cause that a refusal can have.
pub(crate) const CAUSES: [&str; 45] = [
    "credential_missing",
    "credential_several",
    "credential_scheme",
    "credential_malformed",
    "credential_unknown",
    "credential_made_up",
    "expired",
    "revoked",
    "disabled",
    "suspended",
    "absent_route",
    "absent_project",
    "absent_resource",
    "permission_denied",
    "no_snapshot",
    "snapshot_too_old",
    "data_out_of_reach",
    "snapshot_quarantined",
    "generation_not_reached",
    "not_fresh",
    "stale_unknown",
    "path_too_long",
    "path_not_absolute",
    "path_empty_segment",
    "path_dot_segment",
    "path_backslash",
    "path_control_byte",
    "path_byte",
    "path_bad_escape",
    "path_encoded_slash",
    "path_needless_escape",
    "path_not_utf8",
    "project_header_missing",
    "project_header_several",
    "token_malformed",
    "token_unproven",
    "session_suspended",
    "narrowed_resource",
    "narrowed_model",
    "network_not_allowed",
    "credential_kind",
    "key_needed",
    "budget_exhausted",
    "rate_limited",
    "rate_unenforceable",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::every_refusal;

    #[test]
    fn every_refusal_has_a_counter() {
        for refusal in every_refusal() {
            let counter = place(refusal).and_then(|at| CAUSES.get(at).copied());
            assert_eq!(counter, Some(refusal.cause()), "{refusal:?}");
        }
        let causes: alloc::collections::BTreeSet<_> = CAUSES.into_iter().collect();
        assert_eq!(causes.len(), CAUSES.len());
        let told = every_refusal().map(Refusal::cause).collect();
        assert_eq!(causes, told, "a counter that nothing counts");
    }
}
