//! Who signed what the gate goes by, so that a new root which still names enough of them takes nothing away.

use crate::intake::Held;
use alloc::vec::Vec;
use latchkey_core::UnixSeconds;
use latchkey_snapshot::root::KeyRole;
use latchkey_snapshot::{Root, SignerId};

/// Sets of signers remembered at most. An installation that is healthy needs two; of more, none is believed under
/// another root.
const SETS_MAX: usize = 16;

/// The signers of the heads, and of their statements, of which something is still in force.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    sets: Vec<Set>,
    has_lost_some: bool,
}

/// Keys that signed together, and the first and the last moment at which they did.
#[derive(Debug)]
struct Set {
    role: KeyRole,
    signers: Vec<SignerId>,
    first: UnixSeconds,
    last: UnixSeconds,
}

impl Witnesses {
    /// Something that this head says is in force.
    pub(crate) fn add(&mut self, held: &Held) {
        self.note(KeyRole::Head, &held.signers, held.rank.as_of.seconds());
        self.note(KeyRole::Release, &held.statement_signers, held.statement.issued);
    }

    /// Nothing is in force but what this head says.
    pub(crate) fn only(&mut self, held: &Held) {
        *self = Self::default();
        self.add(held);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether this root vouches for all of it: enough of those who signed each are among its keys.
    pub(crate) fn stand_under(&self, root: &Root) -> bool {
        let stands =
            |set: &Set| [set.first, set.last].into_iter().all(|at| root.trusts(set.role, at, &set.signers));
        !self.has_lost_some && self.sets.iter().all(stands)
    }

    fn note(&mut self, role: KeyRole, signers: &[SignerId], at: UnixSeconds) {
        let has_room = self.sets.len() < SETS_MAX;
        let is_same = |set: &&mut Set| set.role == role && set.signers == signers;
        match self.sets.iter_mut().find(is_same) {
            Some(set) => (set.first, set.last) = (set.first.min(at), set.last.max(at)),
            None if has_room => {
                self.sets.push(Set { role, signers: signers.to_vec(), first: at, last: at });
            }
            None => self.has_lost_some = true,
        }
    }
}
