//! Saying of a thing only what refuses: for an operator who holds grants back.

use super::content::Content;
use super::record::Record;
use super::row::Row;
use super::slot::{ImportedSlot, Slot};
use crate::page::{FLAG_EXTERNAL, FLAG_OUT_OF_BUDGET, KeyState};
use crate::query::{Kind, TAG_LEN};

impl Content {
    /// Says this only as far as it refuses what is allowed now. Returns whether that was all of it.
    ///
    /// What is new is not said, unless it refuses by being there. Of a record that is there each part gets the
    /// stricter of both values; where neither is, a key is disabled and any other record removed.
    pub fn tighten(&mut self, record: Record<'_>) -> bool {
        match Row::of(record, &self.pepper, &mut self.shared) {
            Row::Slot(kind, slot) => {
                let before = self.records.get(&kind).and_then(|trie| trie.get(slot.place_and_tag())).copied();
                let said = self.stricter(kind, before.as_ref(), &slot);
                self.settle(kind, slot, said, |slot| Row::Slot(kind, slot))
            }
            Row::Imported(ImportedSlot { slot, id }) => {
                let kind = Kind::ImportedKey;
                let before = self.imported.get(slot.place_and_tag()).map(|old| old.slot);
                let said = self.stricter(kind, before.as_ref(), &slot);
                self.settle(kind, slot, said, |slot| Row::Imported(ImportedSlot { slot, id }))
            }
            // What things are called allows nothing.
            names => {
                self.put_row(names);
                true
            }
        }
    }

    /// Says `said` in place of the whole row `slot`, which gives back what it shares with others.
    fn settle(&mut self, kind: Kind, slot: Slot, said: Said, row: impl Fn(Slot) -> Row) -> bool {
        if let Said::This(said) = said {
            self.shared.sets.hold_again(said.set);
            self.shared.narrowings.hold_again(said.narrowing);
        }
        self.shared.release(&slot);
        match said {
            Said::This(said) => self.put_row(row(said)),
            Said::Nothing => {}
            Said::Gone => self.remove(&slot.query(kind)),
        }
        matches!(said, Said::This(said) if said == slot)
    }

    fn stricter(&self, kind: Kind, old: Option<&Slot>, new: &Slot) -> Said {
        let Some(old) = old else {
            let refuses = kind == Kind::EndedSession || kind.is_key() && state(new) != 0;
            return if refuses { Said::This(*new) } else { Said::Nothing };
        };
        if kind == Kind::EndedSession {
            return Said::This(*new);
        }
        let is_same_thing = old.project == new.project && old.organization == new.organization;
        let both = Slot { role: old.role.min(new.role), expiry: sooner(old.expiry, new.expiry), ..*new };
        if !kind.is_key() {
            let is_same_standing = (old.flags ^ new.flags) & FLAG_EXTERNAL == 0;
            return if is_same_thing && is_same_standing { Said::This(both) } else { Said::Gone };
        }
        let budget = (old.flags | new.flags) & FLAG_OUT_OF_BUDGET;
        let state = state(old).max(state(new));
        match (self.stricter_set(old.set, new.set), stricter_narrowing(old.narrowing, new.narrowing)) {
            (Some(set), Some(narrowing)) if is_same_thing => {
                Said::This(Slot { set, narrowing, flags: state | budget, ..both })
            }
            _ => Said::This(Slot { flags: state.max(KeyState::Disabled as u8) | budget, ..*old }),
        }
    }

    /// The permission set that is a part of the other.
    fn stricter_set(&self, one: u32, other: u32) -> Option<u32> {
        let (first, second) = (self.shared.sets.value(one)?, self.shared.sets.value(other)?);
        if first.is_subset_of(*second) { Some(one) } else { second.is_subset_of(*first).then_some(other) }
    }
}

/// What is said in place of a record.
#[derive(Clone, Copy)]
enum Said {
    This(Slot),
    /// Nothing, as before.
    Nothing,
    /// Nothing more.
    Gone,
}

const fn state(slot: &Slot) -> u8 {
    slot.flags & 0b11
}

/// The narrowing that narrows more, if that can be told.
const fn stricter_narrowing(one: u32, other: u32) -> Option<u32> {
    match (one, other) {
        (0, other) => Some(other),
        (one, 0) => Some(one),
        (one, other) if one == other => Some(one),
        _ => None,
    }
}

/// The earlier end; `None` is none.
fn sooner(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Slot {
    const fn place_and_tag(&self) -> (u64, [u8; TAG_LEN]) {
        (self.place, self.tag)
    }
}
