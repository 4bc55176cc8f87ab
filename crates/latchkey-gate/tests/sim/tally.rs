//! What happened in a run: so that no run proves nothing, and for the figures.

use crate::watch::BOUND_MS;
use crate::world::World;
use latchkey_core::Generation;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) counts: RefCell<BTreeMap<&'static str, u64>>,
    pub(crate) behind_ms_max: Cell<u64>,
    pub(crate) recovery_ms_max: Cell<u64>,
    pub(crate) claim_ms_max: Cell<u64>,
    /// By isolate and revocation: how long after it an answer last did not know of it.
    pub(crate) unknowing: RefCell<BTreeMap<(usize, Generation), u64>>,
}

impl Tally {
    pub(crate) fn note(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    pub(crate) fn note_behind(&self, ms: u64) {
        self.behind_ms_max.set(self.behind_ms_max.get().max(ms));
    }

    pub(crate) fn note_recovery(&self, ms: u64) {
        self.recovery_ms_max.set(self.recovery_ms_max.get().max(ms));
    }

    pub(crate) fn note_claim(&self, ms: u64) {
        self.claim_ms_max.set(self.claim_ms_max.get().max(ms));
    }

    /// How long after a revocation answers still do not know of it: in milliseconds, one for each revocation and
    /// isolate, ascending.
    pub(crate) fn delays_ms(&self, world: &World) -> Vec<u64> {
        let authority = world.authority.borrow();
        let until_ms = world.clockwork.now_ms() - BOUND_MS;
        let revocations = authority
            .log
            .iter()
            .filter(|(generation, (fact, at_ms))| *at_ms < until_ms && authority.rides(*fact, **generation));
        let sites = 0..world.climate.sites as usize;
        let unknowing = self.unknowing.borrow();
        let mut delays: Vec<u64> = revocations
            .flat_map(|(generation, _)| sites.clone().map(|site| (site, *generation)))
            .map(|place| unknowing.get(&place).copied().unwrap_or(0))
            .collect();
        delays.sort_unstable();
        delays
    }

    pub(crate) fn add(&self, other: &Self) {
        for (what, times) in other.counts.borrow().iter() {
            *self.counts.borrow_mut().entry(what).or_default() += times;
        }
        self.note_behind(other.behind_ms_max.get());
        self.note_recovery(other.recovery_ms_max.get());
        self.note_claim(other.claim_ms_max.get());
    }
}
