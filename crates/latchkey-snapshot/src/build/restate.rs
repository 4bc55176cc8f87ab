//! Saying of a thing again what a delta says of it: for whoever begins anew with what was published before.

use super::content::Content;
use super::narrowing::{Narrowing, NarrowingContent};
use super::record::Record;
use super::row::Row;
use super::slot::{ImportedSlot, Slot};
use crate::delta::{Delta, Found};
use crate::page::{Entry, FLAG_EXTERNAL, FLAG_OUT_OF_BUDGET, Page};
use crate::query::{Kind, Query};
use alloc::vec::Vec;

impl Content {
    /// Says of the thing that `record` is about what `delta` says of it, if that says anything; what else the record says
    /// does not count. The delta must be under the content's pepper.
    pub fn restate(&mut self, record: Record<'_>, delta: &Delta) {
        let (kind, slot, imported) = match Row::of(record, &self.pepper, &mut self.shared) {
            Row::Slot(kind, slot) => (kind, slot, None),
            Row::Imported(ImportedSlot { slot, id }) => (Kind::ImportedKey, slot, Some(id)),
            // What things are called allows nothing.
            Row::Project(_) | Row::Organization(_) => return,
        };
        self.shared.release(&slot);
        let query = slot.query(kind);
        match delta.find(&query) {
            Found::Unknown => {}
            Found::Gone => self.remove(&query),
            Found::Here(page, entry) => match (self.slot(&query, page, &entry), imported) {
                (Some(slot), Some(id)) => self.put_row(Row::Imported(ImportedSlot { slot, id })),
                (Some(slot), None) => self.put_row(Row::Slot(kind, slot)),
                (None, _) => self.remove(&query),
            },
        }
    }

    /// The row that an entry was made from. `None` if it is narrowed to what cannot be written.
    fn slot(&mut self, query: &Query, page: &Page, entry: &Entry) -> Option<Slot> {
        let narrowing = written(page, entry)?;
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let binding = &entry.binding;
        let slot = Slot::at(query).owned(binding.project, binding.organization).lasting(entry.expiry);
        let flags = entry.state as u8
            | flag(entry.is_out_of_budget, FLAG_OUT_OF_BUDGET)
            | flag(entry.is_external, FLAG_EXTERNAL);
        Some(Slot {
            role: binding.role.map_or(0, |role| role as u8),
            set: if query.kind.is_key() { self.shared.sets.hold(&binding.permissions) } else { 0 },
            narrowing: narrowing.map_or(0, |narrowing| self.shared.narrowings.hold(&narrowing)),
            ..slot.flagged(flags)
        })
    }
}

/// What the entry's key is narrowed to, as it is written.
fn written(page: &Page, entry: &Entry) -> Option<Option<Narrowing>> {
    let Some(narrowing) = page.narrowing(entry) else { return Some(None) };
    let networks: Vec<_> = narrowing.networks().collect();
    let resources: Vec<_> = narrowing.resources().collect();
    let models: Vec<_> = narrowing.models().collect();
    let content = NarrowingContent {
        rate: narrowing.rate(),
        networks: &networks,
        resources: &resources,
        models: &models,
    };
    content.encode().ok()
}
