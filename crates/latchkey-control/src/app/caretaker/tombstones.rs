//! Keys that were revoked long ago leave the snapshot; the store keeps them. Until then edges can say that a key was
//! revoked; from then on it is unknown to them, which is 401 all the same.
//!
//! The state says up to which moment that is so, not a clock: so the same state gives the same snapshot. The caretaker
//! moves it on, and names the keys that it passes over, so that they are taken out one by one.

use super::upkeep;
use crate::app::error::{AppError, Conflict};
use crate::iam::Key;
use crate::store::{Change, View, Write};
use latchkey_core::{KeyId, UnixMillis};
use std::collections::BTreeSet;

/// How long a revoked key stays in the snapshot.
pub(super) const KEPT_MS: u64 = 90 * super::DAY_MS;
/// Keys that one write takes out, and more if they were revoked in the same moment.
const KEYS_A_WRITE: usize = 200;
/// Keys that are taken out after one round over all of them.
const KEYS_A_ROUND: usize = 100_000;

/// One round over all keys, from the first to the last.
#[derive(Debug)]
pub(super) struct Round {
    /// Beyond this nothing is passed over.
    up_to: UnixMillis,
    due: BTreeSet<(UnixMillis, KeyId)>,
}

impl Round {
    /// A round that begins now.
    pub(super) const fn begin(now: UnixMillis) -> Self {
        Self { up_to: UnixMillis(now.0.saturating_sub(KEPT_MS)), due: BTreeSet::new() }
    }

    /// Looks at a key; what left before is passed over.
    pub(super) fn look(&mut self, key: &Key, left_up_to: UnixMillis) {
        let Some(at) = key.revoked_at.filter(|at| *at > left_up_to && *at <= self.up_to) else { return };
        self.due.insert((at, key.id));
        if self.due.len() > KEYS_A_ROUND
            && let Some((last, _)) = self.due.pop_last()
        {
            self.up_to = UnixMillis(last.0.saturating_sub(1));
        }
    }

    /// What is due after the round, in the order of the revocations: each part with the moment up to which it goes.
    pub(super) fn end(self) -> Vec<(UnixMillis, Vec<KeyId>)> {
        let mut parts: Vec<(UnixMillis, Vec<KeyId>)> = Vec::new();
        for (at, key) in self.due.into_iter().filter(|(at, _)| *at <= self.up_to) {
            match parts.last_mut() {
                Some((last, keys)) if *last == at || keys.len() < KEYS_A_WRITE => {
                    *last = at;
                    keys.push(key);
                }
                _ => parts.push((at, vec![key])),
            }
        }
        parts
    }
}

/// Takes these out: every key that was revoked up to that moment and is still in.
pub(super) fn bury(view: &dyn View, up_to: UnixMillis, keys: &[KeyId]) -> Result<Write<()>, AppError> {
    if view.tombstones_up_to()? >= up_to {
        return Err(Conflict::NothingToDo.into());
    }
    let mut changes = vec![Change::TombstonesUpTo(up_to)];
    changes.extend(keys.iter().map(|key| Change::Bury(*key)));
    upkeep("keys.leave_snapshot", changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(moments: impl IntoIterator<Item = u64>) -> Vec<(u64, usize)> {
        let mut round = Round { up_to: UnixMillis(1_000_000), due: BTreeSet::new() };
        round.due.extend((0..).map(KeyId::from_number).zip(moments).map(|(id, at)| (UnixMillis(at), id)));
        round.end().into_iter().map(|(at, keys)| (at.0, keys.len())).collect()
    }

    #[test]
    fn keys_of_one_moment_leave_together() {
        assert_eq!(parts([]), []);
        assert_eq!(parts([7, 7, 9]), [(9, 3)]);
        assert_eq!(parts((0..199).chain([199; 5])), [(199, 204)]);
        assert_eq!(parts((0..200).chain([200; 5])), [(199, 200), (200, 5)]);
        assert_eq!(parts([5, 2_000_000]), [(5, 1)]);
    }
}
