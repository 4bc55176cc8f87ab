//! How long to wait before a sink is asked again: doubling, with jitter from dice that are handed in.

use latchkey_core::Dice;
use std::time::Duration;

/// The waits after one failure, two in a row, and so on.
#[derive(Debug)]
pub(super) struct Backoff {
    dice: Dice,
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    pub(super) const fn new(dice: Dice) -> Self {
        Self { dice, failures: 0 }
    }

    /// The sink answered.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one failure more: between half of the step and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let step_ms = (FIRST_MS << self.failures.min(16)).min(MOST_MS);
        self.failures = self.failures.saturating_add(1);
        let random = u64::from_le_bytes(self.dice.bytes());
        Duration::from_millis(step_ms / 2 + random % (step_ms / 2 + 1))
    }
}

const FIRST_MS: u64 = 50;
/// Short, since revocations wait: a sink that comes back is served within a second.
const MOST_MS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second_and_start_over() {
        let mut backoff = Backoff::new(Dice::from_seed(&[1; 32]));
        let waits: Vec<u128> = (0..40).map(|_| backoff.next().as_millis()).collect();
        assert!((25..=50).contains(&waits[0]) && (50..=100).contains(&waits[1]), "{waits:?}");
        assert!(waits[10..].iter().all(|wait| (500..=1000).contains(wait)));
        assert!(waits[10..].iter().any(|wait| *wait != waits[10]));
        backoff.reset();
        assert!(backoff.next().as_millis() <= 50);
    }
}
