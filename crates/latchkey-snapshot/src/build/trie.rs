//! Records by place, cut into leaves by prefix: a leaf is the largest prefix whose records fit one page.
//!
//! That rule depends on the records alone, so the same records give the same leaves whatever the order in
//! which they came, and one change touches one leaf (or splits it, or joins it with its sibling).

use super::Object;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

/// What lies in a trie: something with a place, and an order among those of one place.
pub(super) trait Item {
    /// What orders items within a place and tells whether two are about the same thing.
    type Key: Ord + Copy;

    fn key(&self) -> (u64, Self::Key);

    /// Whether any items fit exactly if they fit with `other` in this one's place. Where it cannot be told: no.
    fn weighs_like(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

/// All records of one kind.
pub(super) struct Trie<T> {
    leaves: BTreeMap<u64, Leaf<T>>,
    len: u64,
}

pub(super) struct Leaf<T> {
    /// How many leading bits of a place are the leaf's prefix.
    bits: u32,
    /// Ascending by key.
    pub(super) items: Vec<T>,
    /// Its encoded page, until a change makes it dirty.
    pub(super) page: Option<Object>,
}

/// Whether items fit one page.
pub(super) type Fits<'f, T> = &'f dyn Fn(&[T]) -> bool;

impl<T: Item> Trie<T> {
    pub(super) fn new() -> Self {
        let mut leaves = BTreeMap::new();
        leaves.insert(0, Leaf { bits: 0, items: Vec::new(), page: None });
        Self { leaves, len: 0 }
    }

    /// Replaces everything by these items, in any order; of two about the same thing the later stays.
    pub(super) fn load(&mut self, mut items: Vec<T>, fits: Fits<'_, T>) {
        items.sort_by_key(Item::key);
        items.reverse();
        items.dedup_by_key(|item| item.key());
        items.reverse();
        self.len = items.len() as u64;
        self.leaves.clear();
        self.cut(0, 0, items, fits);
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What is there about the thing.
    pub(super) fn get(&self, key: (u64, T::Key)) -> Option<&T> {
        let (_, leaf) = self.leaves.range(..=key.0).next_back()?;
        let at = leaf.items.binary_search_by_key(&key, Item::key).ok()?;
        leaf.items.get(at)
    }

    /// Leaves that hold something, with their first place, ascending.
    pub(super) fn leaves_mut(&mut self) -> impl Iterator<Item = (u64, &mut Leaf<T>)> {
        self.leaves.iter_mut().filter(|(_, leaf)| !leaf.items.is_empty()).map(|(first, leaf)| (*first, leaf))
    }

    /// Puts the item in; what was there about the same thing comes out.
    pub(super) fn put(&mut self, item: T, fits: Fits<'_, T>) -> Option<T> {
        let (first, leaf) = self.leaf_mut(item.key().0)?;
        let before = match leaf.items.binary_search_by_key(&item.key(), Item::key) {
            Ok(at) => {
                let before = mem::replace(&mut leaf.items[at], item);
                // Most changes are of this kind. The cut stays as it is, and measuring a page would cost more than the change.
                if leaf.items[at].weighs_like(&before) {
                    leaf.page = None;
                    return Some(before);
                }
                Some(before)
            }
            Err(at) => {
                leaf.items.insert(at, item);
                self.len += 1;
                None
            }
        };
        self.touched(first, fits);
        before
    }

    /// Takes out what is there about the thing.
    pub(super) fn remove(&mut self, key: (u64, T::Key), fits: Fits<'_, T>) -> Option<T> {
        let (first, leaf) = self.leaf_mut(key.0)?;
        let at = leaf.items.binary_search_by_key(&key, Item::key).ok()?;
        let before = leaf.items.remove(at);
        self.len -= 1;
        self.touched(first, fits);
        Some(before)
    }

    fn leaf_mut(&mut self, place: u64) -> Option<(u64, &mut Leaf<T>)> {
        self.leaves.range_mut(..=place).next_back().map(|(first, leaf)| (*first, leaf))
    }

    /// Restores the rule for a leaf whose items changed.
    fn touched(&mut self, first: u64, fits: Fits<'_, T>) {
        let Some(leaf) = self.leaves.get_mut(&first) else { return };
        leaf.page = None;
        if fits(&leaf.items) {
            self.join(first, fits);
        } else if let Some(leaf) = self.leaves.remove(&first) {
            self.cut(first, leaf.bits, leaf.items, fits);
        }
    }

    /// Joins a leaf with its sibling as long as both together fit.
    fn join(&mut self, mut first: u64, fits: Fits<'_, T>) {
        while let Some(bits) = self.leaves.get(&first).map(|leaf| leaf.bits).filter(|bits| *bits > 0) {
            let half = 1u64 << (64 - bits);
            let (low, high) = (first & !half, first | half);
            let same = |at: &u64| self.leaves.get(at).is_some_and(|leaf| leaf.bits == bits);
            if !same(&low) || !same(&high) {
                return;
            }
            let (Some(mut left), Some(mut right)) = (self.leaves.remove(&low), self.leaves.remove(&high))
            else {
                return;
            };
            let cut_at = left.items.len();
            left.items.append(&mut right.items);
            if !fits(&left.items) {
                right.items = left.items.split_off(cut_at);
                self.leaves.insert(low, left);
                self.leaves.insert(high, right);
                return;
            }
            self.leaves.insert(low, Leaf { bits: bits - 1, items: mem::take(&mut left.items), page: None });
            first = low;
        }
    }

    fn cut(&mut self, first: u64, bits: u32, mut items: Vec<T>, fits: Fits<'_, T>) {
        if bits == 64 || fits(&items) {
            items.shrink_to_fit();
            self.leaves.insert(first, Leaf { bits, items, page: None });
            return;
        }
        let middle = first | 1u64 << (63 - bits);
        let at = items.partition_point(|item| item.key().0 < middle);
        let high = items.split_off(at);
        self.cut(first, bits + 1, items, fits);
        self.cut(middle, bits + 1, high, fits);
    }
}

/// Cuts ascending first places into runs of at most `max` by the same rule, for the index nodes.
pub(super) fn cut_runs<'a, T>(
    entries: &'a [T],
    first_place: fn(&T) -> u64,
    max: usize,
    out: &mut Vec<&'a [T]>,
) {
    cut_runs_below(entries, first_place, max, (0, 0), out);
}

fn cut_runs_below<'a, T>(
    entries: &'a [T],
    first_place: fn(&T) -> u64,
    max: usize,
    (first, bits): (u64, u32),
    out: &mut Vec<&'a [T]>,
) {
    if entries.is_empty() {
        return;
    }
    if entries.len() <= max || bits == 64 {
        out.push(entries);
        return;
    }
    let middle = first | 1u64 << (63 - bits);
    let (low, high) = entries.split_at(entries.partition_point(|entry| first_place(entry) < middle));
    cut_runs_below(low, first_place, max, (first, bits + 1), out);
    cut_runs_below(high, first_place, max, (middle, bits + 1), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Dot(u64);

    impl Item for Dot {
        type Key = ();

        fn key(&self) -> (u64, ()) {
            (self.0, ())
        }
    }

    fn fits(items: &[Dot]) -> bool {
        items.len() <= 4
    }

    fn shape(trie: &Trie<Dot>) -> Vec<(u64, u32, Vec<Dot>)> {
        trie.leaves.iter().map(|(first, leaf)| (*first, leaf.bits, leaf.items.clone())).collect()
    }

    proptest! {
        #[test]
        fn leaves_follow_from_the_items_alone(ops in proptest::collection::vec((0u64..64, any::<bool>()), 0..200)) {
            let mut trie = Trie::new();
            let mut held = std::collections::BTreeSet::new();
            for (place, add) in ops {
                let place = place << 58 | place;
                if add {
                    trie.put(Dot(place), &fits);
                    held.insert(place);
                } else {
                    trie.remove((place, ()), &fits);
                    held.remove(&place);
                }
            }
            let mut loaded = Trie::new();
            loaded.load(held.iter().map(|place| Dot(*place)).collect(), &fits);
            prop_assert_eq!(shape(&trie), shape(&loaded));
            prop_assert_eq!(trie.len(), held.len() as u64);
        }
    }

    #[test]
    fn runs_hold_at_most_what_they_may() {
        let entries: Vec<u64> = (0..1000).map(|at| at << 54).collect();
        let mut runs = vec![];
        cut_runs(&entries, |place| *place, 256, &mut runs);
        assert!(runs.iter().all(|run| !run.is_empty() && run.len() <= 256));
        assert_eq!(runs.concat(), entries);
    }
}
