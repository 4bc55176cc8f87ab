//! How often a gate answered what; approximate when several threads decide at once.

use crate::request::Attempt;
use crate::status::{Count, Rejudged};
use crate::verdict::{Outcome, Pass, Refusal, Unproven, Verdict};
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_snapshot::TokenError;

/// Counters.
#[derive(Debug)]
pub(crate) struct Tally {
    allowed: AtomicU64,
    public: AtomicU64,
    stale: AtomicU64,
    refused: [AtomicU64; CAUSES.len()],
    /// What would have been refused, were its route not in shadow.
    shadowed: [AtomicU64; CAUSES.len()],
    /// Of what went on after its answer.
    allowed_again: AtomicU64,
    refused_again: AtomicU64,
    pub(crate) heads_accepted: u64,
    pub(crate) heads_refused: u64,
    pub(crate) heads_forked: u64,
    pub(crate) objects_refused: u64,
}

/// What a request was counted as. It is judged anew after every wait, and only the last verdict counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    what: What,
    stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Allowed,
    Public,
    Refused(usize),
    Shadowed(usize),
    AllowedAgain,
    RefusedAgain,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            allowed: AtomicU64::new(0),
            public: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; CAUSES.len()],
            shadowed: [const { AtomicU64::new(0) }; CAUSES.len()],
            allowed_again: AtomicU64::new(0),
            refused_again: AtomicU64::new(0),
            heads_accepted: 0,
            heads_refused: 0,
            heads_forked: 0,
            objects_refused: 0,
        }
    }
}

impl Tally {
    /// Counts a verdict in the place of the one before.
    pub(crate) fn count(&self, verdict: &Verdict, attempt: &mut Attempt) {
        let stale = !attempt.is_again && verdict.standing.is_some_and(|standing| standing.stale);
        let what = match verdict.outcome {
            Outcome::Refuse(_) if attempt.is_again => What::RefusedAgain,
            _ if attempt.is_again => What::AllowedAgain,
            Outcome::Allow(_) => What::Allowed,
            Outcome::Pass(Pass::Public) => What::Public,
            Outcome::Pass(Pass::Shadow(refusal)) => What::Shadowed(place(refusal)),
            Outcome::Refuse(refusal) => What::Refused(place(refusal)),
        };
        self.replace(Counted { what, stale }, &mut attempt.counted);
    }

    /// All of them; of shadows those that were ever cast.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let read = |cause: &'static str, counter: &AtomicU64| Count {
            cause: Cow::Borrowed(cause),
            times: counter.load(Relaxed),
        };
        let first =
            [read("allowed", &self.allowed), read("public", &self.public), read("stale", &self.stale)];
        let refused = CAUSES.iter().zip(&self.refused).map(|(cause, counter)| read(cause, counter));
        let shadowed = CAUSES.iter().zip(&self.shadowed).filter_map(|(cause, counter)| {
            let times = counter.load(Relaxed);
            (times > 0).then(|| Count { cause: Cow::Owned(format!("shadow:{cause}")), times })
        });
        first.into_iter().chain(refused).chain(shadowed).collect()
    }

    /// Of what went on after its answer.
    pub(crate) fn rejudged(&self) -> Rejudged {
        Rejudged { allowed: self.allowed_again.load(Relaxed), refused: self.refused_again.load(Relaxed) }
    }

    fn replace(&self, now: Counted, counted: &mut Option<Counted>) {
        if let Some(before) = counted.replace(now) {
            self.add(before, u64::MAX);
        }
        self.add(now, 1);
    }

    fn add(&self, counted: Counted, times: u64) {
        let counter = match counted.what {
            What::Allowed => Some(&self.allowed),
            What::Public => Some(&self.public),
            What::Refused(index) => self.refused.get(index),
            What::Shadowed(index) => self.shadowed.get(index),
            What::AllowedAgain => Some(&self.allowed_again),
            What::RefusedAgain => Some(&self.refused_again),
        };
        if let Some(counter) = counter {
            add(counter, times);
        }
        if counted.stale {
            add(&self.stale, times);
        }
    }
}

fn place(refusal: Refusal) -> usize {
    if let Refusal::Unauthenticated(unproven) = refusal {
        return place_of_unproven(unproven);
    }
    let cause = refusal.cause();
    // A cause that is not in the list would be counted as nothing at all; a test goes through every refusal.
    CAUSES.iter().position(|known| *known == cause).unwrap_or(CAUSES.len())
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
pub(crate) const CAUSES: [&str; 49] = [
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
    "project_unnamed",
    "resource_unnamed",
    "query_ambiguous",
    "narrowed_model_unseen",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::every_refusal;

    #[test]
    fn every_refusal_has_a_counter() {
        for refusal in every_refusal() {
            let counter = CAUSES.get(place(refusal)).copied();
            assert_eq!(counter, Some(refusal.cause()), "{refusal:?}");
        }
        let causes: alloc::collections::BTreeSet<_> = CAUSES.into_iter().collect();
        assert_eq!(causes.len(), CAUSES.len());
        let told = every_refusal().map(Refusal::cause).collect();
        assert_eq!(causes, told, "a counter that nothing counts");
    }
}
