//! Values that many records share, each kept once and known by a small number while a record uses it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is in use, by number. Numbers count from 1; 0 stands for nothing.
pub(super) struct Interner<T> {
    numbers: BTreeMap<T, u32>,
    held: Vec<Option<Held<T>>>,
    free: Vec<u32>,
}

struct Held<T> {
    value: T,
    uses: u64,
}

impl<T: Ord + Clone> Interner<T> {
    pub(super) const fn new() -> Self {
        Self { numbers: BTreeMap::new(), held: Vec::new(), free: Vec::new() }
    }

    /// The value's number, used once more than before.
    pub(super) fn hold(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value).copied() {
            if let Some(held) = self.slot(number) {
                held.uses += 1;
            }
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            self.held.len() as u32
        });
        self.held[number as usize - 1] = Some(Held { value: value.clone(), uses: 1 });
        self.numbers.insert(value.clone(), number);
        number
    }

    /// A number that is in use is used once more than before.
    pub(super) fn hold_again(&mut self, number: u32) {
        if let Some(held) = self.slot(number) {
            held.uses += 1;
        }
    }

    /// The number is used once less than before.
    pub(super) fn release(&mut self, number: u32) {
        let Some(held) = self.slot(number) else { return };
        held.uses -= 1;
        if held.uses > 0 {
            return;
        }
        if let Some(held) = self.held[number as usize - 1].take() {
            self.numbers.remove(&held.value);
            self.free.push(number);
        }
    }

    /// The value behind a number.
    pub(super) fn value(&self, number: u32) -> Option<&T> {
        let index = (number as usize).checked_sub(1)?;
        self.held.get(index)?.as_ref().map(|held| &held.value)
    }

    /// Holds everything that another one holds; by that one's number less one, the number here.
    pub(super) fn adopt(&mut self, other: &Self) -> Vec<u32> {
        let ours = |held: &Option<Held<T>>| held.as_ref().map_or(0, |held| self.hold(&held.value));
        other.held.iter().map(ours).collect()
    }

    fn slot(&mut self, number: u32) -> Option<&mut Held<T>> {
        let index = (number as usize).checked_sub(1)?;
        self.held.get_mut(index)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_that_nobody_uses_is_forgotten_and_its_number_used_again() {
        let mut words = Interner::new();
        let (one, two) = (words.hold(&"one"), words.hold(&"two"));
        assert_eq!((one, two, words.hold(&"one")), (1, 2, 1));
        words.release(one);
        assert_eq!(words.value(one), Some(&"one"));
        words.release(one);
        assert_eq!((words.value(one), words.numbers.len()), (None, 1));
        assert_eq!((words.hold(&"three"), words.hold(&"one")), (1, 3));
        words.release(0);
        words.release(77);
        assert_eq!((words.value(0), words.value(2)), (None, Some(&"two")));
    }
}
