//! The named cache of a data centre: one entry for all its isolates and the claim of the one that reads, both judged by the
//! very rules of the edge. The cache may have lost the entry, and it may serve an older one.

use crate::clockwork::Clockwork;
use latchkey_core::UnixMillis;
use latchkey_push::shared::{self, Entry, Urgency};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[derive(Default)]
pub(crate) struct Cache {
    /// Oldest first.
    entries: RefCell<Vec<Vec<u8>>>,
    claim: RefCell<Option<Vec<u8>>>,
    /// How often it serves what it should not.
    pub(crate) old_percent: Cell<u64>,
}

impl Cache {
    /// The head to use instead of asking, if there is one that will do.
    pub(crate) async fn head(
        &self,
        clockwork: &Rc<Clockwork>,
        urgency: Urgency,
        now: impl Fn() -> UnixMillis,
    ) -> Option<Vec<u8>> {
        let random = &clockwork.random;
        clockwork.sleep(1 + random.below(4)).await;
        let bytes = {
            let entries = self.entries.borrow();
            let is_old = random.percent(self.old_percent.get());
            let at = if is_old {
                random.below(entries.len() as u64 + 1) as usize
            } else {
                entries.len().max(1) - 1
            };
            entries.get(at)?.clone()
        };
        let entry = Entry::parse(&bytes)?;
        if !entry.serves(urgency, now()) {
            if matches!(urgency, Urgency::Before { .. }) {
                return None;
            }
            clockwork.sleep(1 + random.below(4)).await;
            let claim = self.claim.borrow().as_deref().and_then(shared::parse_claim);
            if !entry.serves_while_claimed(urgency, claim, now()) {
                return None;
            }
        }
        Some(entry.head.to_vec())
    }

    pub(crate) fn put_claim(&self, now: UnixMillis) {
        *self.claim.borrow_mut() = Some(shared::encode_claim(now).to_vec());
    }

    pub(crate) fn put_head(&self, head: &[u8], put: UnixMillis) {
        self.entries.borrow_mut().push(Entry { put, head }.encode());
    }
}
