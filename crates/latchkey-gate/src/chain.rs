//! The deltas since a base, laid over its pages.
//!
//! Nearly every look-up is about something that no delta knows. Two loads from small tables of bits say so; only where
//! they do not are the deltas asked, newest first.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use latchkey_core::{OrganizationNumber, ProjectNumber};
use latchkey_snapshot::query::TAG_LEN;
use latchkey_snapshot::{Delta, Exceptions, Found, OrganizationNames, ProjectNames, Query};

/// The deltas between a base and a tip.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// Newest first.
    deltas: Vec<Arc<Delta>>,
    /// What the newest one knows.
    tip: Filter,
    /// What those before it know.
    rest: Arc<Filter>,
}

impl Chain {
    /// These deltas, newest first, each continuing the next. Most often only the newest is another than `before`.
    pub(crate) fn new(deltas: Vec<Arc<Delta>>, before: Option<&Self>) -> Self {
        let (tip, rest) = deltas.split_at(deltas.len().min(1));
        let is_rest_of = |chain: &&Self| {
            let held = chain.deltas.get(1..).unwrap_or_default();
            held.len() == rest.len() && held.iter().zip(rest).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        let held = before.filter(is_rest_of).map(|chain| Arc::clone(&chain.rest));
        let rest = held.unwrap_or_else(|| Arc::new(Filter::of(rest)));
        Self { tip: Filter::of(tip), rest, deltas }
    }

    pub(crate) fn deltas(&self) -> &[Arc<Delta>] {
        &self.deltas
    }

    pub(crate) fn len(&self) -> usize {
        self.deltas.len()
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.deltas.iter().map(|delta| delta.len_bytes()).sum()
    }

    /// What the newest delta says that knows of it.
    pub(crate) fn find(&self, query: &Query) -> Found<'_> {
        if !self.tip.may_have(&query.tag) && !self.rest.may_have(&query.tag) {
            return Found::Unknown;
        }
        let said = self.deltas.iter().map(|delta| delta.find(query));
        said.into_iter().find(|found| !matches!(found, Found::Unknown)).unwrap_or(Found::Unknown)
    }

    pub(crate) fn project_names(&self, number: ProjectNumber) -> Option<&ProjectNames> {
        self.deltas.iter().find_map(|delta| delta.project_names(number))
    }

    pub(crate) fn organization_names(&self, number: OrganizationNumber) -> Option<&OrganizationNames> {
        self.deltas.iter().find_map(|delta| delta.organization_names(number))
    }

    /// What is refused as a whole, where the base refuses these.
    pub(crate) fn exceptions(&self, base: &Exceptions) -> Exceptions {
        let oldest_first = self.deltas.iter().rev();
        oldest_first.fold(base.clone(), |held, delta| held.plus(&delta.removals.begun).minus(&delta.lifted))
    }
}

/// A Bloom filter of tags in which one word answers: two bits of the word that the tag chooses. A tag is the output of
/// a keyed hash, so its own bits choose; nobody without the pepper can aim at any.
#[derive(Debug, Default)]
struct Filter {
    /// As many as a power of two, or none.
    words: Box<[u64]>,
}

/// With 16 bits a tag, one look-up in sixty asks the deltas in vain.
const TAGS_A_WORD: usize = 4;

impl Filter {
    fn of(deltas: &[Arc<Delta>]) -> Self {
        let tags = |delta: &Delta| {
            let records: usize = delta.pages().iter().map(|(_, page)| page.records()).sum();
            records + delta.removals.list().len()
        };
        let mut filter = Self::for_tags(deltas.iter().map(|delta| tags(delta)).sum());
        for delta in deltas {
            delta.removals.list().iter().for_each(|removal| filter.add(&removal.tag));
            for (_, page) in delta.pages() {
                page.tags().for_each(|tag| filter.add(tag));
            }
        }
        filter
    }

    fn for_tags(count: usize) -> Self {
        if count == 0 {
            return Self::default();
        }
        Self { words: vec![0; count.div_ceil(TAGS_A_WORD).next_power_of_two()].into() }
    }

    #[inline]
    fn add(&mut self, tag: &[u8; TAG_LEN]) {
        let (at, bits) = self.spot(tag);
        if let Some(word) = self.words.get_mut(at) {
            *word |= bits;
        }
    }

    fn may_have(&self, tag: &[u8; TAG_LEN]) -> bool {
        let (at, bits) = self.spot(tag);
        self.words.get(at).is_some_and(|word| word & bits == bits)
    }

    #[inline]
    fn spot(&self, tag: &[u8; TAG_LEN]) -> (usize, u64) {
        let [a, b, c, d, e, f, g, h, ..] = *tag;
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let at = (number >> 12) as usize & self.words.len().wrapping_sub(1);
        (at, 1 << (number & 63) | 1 << (number >> 6 & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::Dice;

    #[test]
    fn filter_misses_nothing_and_seldom_asks_in_vain() {
        let mut dice = Dice::from_seed(&[7; 32]);
        let mut draw = |count: usize| (0..count).map(|_| dice.bytes()).collect::<Vec<[u8; TAG_LEN]>>();
        for count in [1, 5, 100, 20_000_usize] {
            let (known, unknown) = (draw(count), draw(20_000));
            let mut filter = Filter::for_tags(count);
            known.iter().for_each(|tag| filter.add(tag));
            assert!(known.iter().all(|tag| filter.may_have(tag)));
            let in_vain = unknown.iter().filter(|tag| filter.may_have(tag)).count();
            assert!(in_vain * 30 < unknown.len(), "{in_vain} of {} with {count}", unknown.len());
        }
        assert!(!draw(1000).iter().any(|tag| Filter::default().may_have(tag)));
    }
}
