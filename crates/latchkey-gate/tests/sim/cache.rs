//! The named cache of a data centre: one entry for all its isolates, judged by its own stored time. It may have lost the
//! entry, and it may serve an older one.

use crate::clockwork::Clockwork;
use latchkey_core::UnixMillis;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// An entry is good for this long.
const GOOD_MS: u64 = 250;
/// How long others leave the asking to whoever put a claim.
const CLAIM_MS: u64 = 300;

#[derive(Default)]
pub(crate) struct Cache {
    /// Oldest first.
    entries: RefCell<Vec<(UnixMillis, Vec<u8>)>>,
    claimed: Cell<UnixMillis>,
    /// How often it serves what it should not.
    pub(crate) old_percent: Cell<u64>,
}

impl Cache {
    /// The head to use instead of asking. `None`: ask, the claim is put.
    pub(crate) async fn look(&self, clockwork: &Rc<Clockwork>, now: UnixMillis) -> Option<Vec<u8>> {
        clockwork.sleep(1 + clockwork.random.below(4)).await;
        let entries = self.entries.borrow();
        let entry = if clockwork.random.percent(self.old_percent.get()) {
            entries.get(clockwork.random.below(entries.len() as u64 + 1) as usize)
        } else {
            entries.last()
        };
        let is_claimed = self.claimed.get() <= now && now.since_ms(self.claimed.get()) < CLAIM_MS;
        let good = entry.filter(|(stored, _)| (now.since_ms(*stored) <= GOOD_MS) || is_claimed);
        if good.is_none() {
            self.claimed.set(now);
        }
        good.map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn put(&self, bytes: Vec<u8>, now: UnixMillis) {
        self.entries.borrow_mut().push((now, bytes));
    }
}
