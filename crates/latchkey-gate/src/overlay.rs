//! What is refused above the statement that is served: by heads, inline, and by deltas that came before all of what
//! they belong to is here, or that will never serve. Either ends when a statement serves that knows of it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;
use latchkey_core::Generation;
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::query::TAG_LEN;
use latchkey_snapshot::{Binding, ExceptionClass, Exceptions, RemovalReason};

/// Inline revocations a gate keeps at most. An honest publisher repeats a few dozen; a head that would bring
/// more is refused, and the gate goes stale where all can see it.
pub const INLINE_HELD_MAX: usize = 4096;

/// Removals that a gate keeps at most of deltas that do not serve.
pub(crate) const AHEAD_MAX: usize = 1 << 18;
/// Lots of exceptions kept apart at most; beyond it the two oldest end together, with the later of them.
const BEGUN_MAX: usize = 64;

/// What is refused above the statement that is served.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Ascending by subject, then generation.
    inline: Vec<Inline>,
    /// Ascending by tag.
    ahead: Vec<Ahead>,
    /// Ascending by generation.
    begun: Vec<(Generation, Exceptions)>,
    /// Up to which generation removals came that could not be kept in mind.
    lost: Option<Generation>,
}

/// A record that a delta removes which does not serve.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    tag: [u8; TAG_LEN],
    reason: RemovalReason,
    generation: Generation,
}

impl Ahead {
    /// By tag, then the newest first. Not in line: it would stand in the edge's code some dozen times.
    #[inline(never)]
    fn compare(&self, other: &Self) -> Ordering {
        self.tag.cmp(&other.tag).then(other.generation.cmp(&self.generation))
    }
}

/// More would be removed than a gate can keep in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Overlay {
    /// Whether these still fit.
    pub(crate) fn has_room_for(&self, inline: &[Inline]) -> bool {
        let new = inline.iter().filter(|entry| self.position(entry).is_err()).count();
        self.inline.len() + new <= INLINE_HELD_MAX
    }

    pub(crate) fn add(&mut self, inline: &[Inline]) {
        for entry in inline {
            if let Err(at) = self.position(entry) {
                self.inline.insert(at, *entry);
            }
        }
    }

    /// Refuses what a delta of this generation removes, but for what newer deltas say something of.
    pub(crate) fn remove(
        &mut self,
        removed: Vec<([u8; TAG_LEN], RemovalReason)>,
        known: &BTreeSet<[u8; TAG_LEN]>,
        generation: Generation,
    ) -> Result<(), TooMany> {
        if let Some(lost) = &mut self.lost {
            *lost = generation.max(*lost);
            return Err(TooMany);
        }
        let new = removed.into_iter().filter(|(tag, _)| !known.contains(tag));
        self.ahead.extend(new.map(|(tag, reason)| Ahead { tag, reason, generation }));
        self.ahead.sort_unstable_by(Ahead::compare);
        self.ahead.dedup_by_key(|ahead| ahead.tag);
        if self.ahead.len() <= AHEAD_MAX {
            return Ok(());
        }
        let newest = self.ahead.iter().map(|ahead| ahead.generation).max();
        (self.lost, self.ahead) = (newest, Vec::new());
        Err(TooMany)
    }

    /// Whether something is refused that could not be kept in mind: then nothing may be let in.
    pub(crate) const fn has_lost_some(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether nothing is refused here.
    pub(crate) fn is_empty(&self) -> bool {
        self.inline.is_empty() && self.ahead.is_empty() && self.begun.is_empty() && self.lost.is_none()
    }

    /// What it weighs, about.
    pub(crate) fn weight(&self) -> usize {
        let numbers = |exceptions: &Exceptions| {
            ExceptionClass::ALL.into_iter().map(|class| exceptions.numbers(class).len()).sum::<usize>()
        };
        let begun: usize = self.begun.iter().map(|(_, exceptions)| numbers(exceptions)).sum();
        self.inline.capacity() * size_of::<Inline>()
            + self.ahead.capacity() * size_of::<Ahead>()
            + begun * size_of::<u32>()
    }

    /// Refuses as a whole what a delta of this generation does.
    pub(crate) fn begin(&mut self, begun: Exceptions, generation: Generation) {
        if begun.is_empty() {
            return;
        }
        let at = self.begun.partition_point(|(held, _)| *held < generation);
        match self.begun.get_mut(at) {
            Some((held, exceptions)) if *held == generation => *exceptions = exceptions.plus(&begun),
            _ => self.begun.insert(at, (generation, begun)),
        }
        if self.begun.len() > BEGUN_MAX {
            let (_, oldest) = self.begun.remove(0);
            if let Some((_, next)) = self.begun.first_mut() {
                *next = next.plus(&oldest);
            }
        }
    }

    /// These exceptions and all that begun since.
    pub(crate) fn exceptions(&self, held: &Exceptions) -> Exceptions {
        self.begun.iter().fold(held.clone(), |held, (_, begun)| held.plus(begun))
    }

    /// Drops what an adopted statement of this generation has taken in.
    pub(crate) fn settle(&mut self, adopted: Generation) {
        self.inline.retain(|entry| entry.generation > adopted);
        self.ahead.retain(|ahead| ahead.generation > adopted);
        self.begun.retain(|(generation, _)| *generation > adopted);
        self.lost = self.lost.filter(|lost| *lost > adopted);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many inline revocations there are.
    pub(crate) fn inline(&self) -> usize {
        self.inline.len()
    }

    /// How many records are removed by deltas that do not serve.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Why a key is refused, if it is: by a head, and by a delta.
    pub(crate) fn refusals(&self, tag: &[u8; TAG_LEN], binding: &Binding) -> [Option<Reason>; 2] {
        if self.inline.is_empty() && self.ahead.is_empty() {
            return [None; 2];
        }
        let inline = [
            InlineSubject::Tag(*tag),
            InlineSubject::Project(binding.project),
            InlineSubject::Organization(binding.organization),
        ]
        .into_iter()
        .find_map(|subject| self.newest(subject));
        let ahead = self.removal(tag).map(|reason| match reason {
            RemovalReason::Gone | RemovalReason::Revoked => Reason::Revoked,
            RemovalReason::Disabled => Reason::Disabled,
        });
        [inline, ahead]
    }

    /// Whether the record with this tag is revoked: a session that ended, a collaboration or membership that is gone.
    pub(crate) fn names(&self, tag: &[u8; TAG_LEN]) -> bool {
        (!self.inline.is_empty() && self.newest(InlineSubject::Tag(*tag)).is_some())
            || self.removal(tag).is_some()
    }

    /// Whether the record with this tag is no more.
    pub(crate) fn is_gone(&self, tag: &[u8; TAG_LEN]) -> bool {
        self.removal(tag) == Some(RemovalReason::Gone)
    }

    /// Whether everything in the project or in its organization is refused.
    pub(crate) fn closes(&self, binding: &Binding) -> bool {
        let subjects =
            [InlineSubject::Project(binding.project), InlineSubject::Organization(binding.organization)];
        !self.inline.is_empty() && subjects.into_iter().any(|subject| self.newest(subject).is_some())
    }

    /// The reason of the newest entry about a subject.
    fn newest(&self, subject: InlineSubject) -> Option<Reason> {
        let end = self.inline.partition_point(|entry| entry.subject <= subject);
        let last = self.inline.get(..end)?.last()?;
        (last.subject == subject).then_some(last.reason)
    }

    fn removal(&self, tag: &[u8; TAG_LEN]) -> Option<RemovalReason> {
        let at = self.ahead.binary_search_by_key(&tag, |ahead| &ahead.tag).ok()?;
        self.ahead.get(at).map(|ahead| ahead.reason)
    }

    fn position(&self, entry: &Inline) -> Result<usize, usize> {
        self.inline
            .binary_search_by_key(&(entry.subject, entry.generation), |held| (held.subject, held.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::{OrganizationNumber, ProjectNumber};

    fn tag(number: u32) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    }

    fn removed(numbers: core::ops::Range<u32>) -> Vec<([u8; TAG_LEN], RemovalReason)> {
        numbers.map(|number| (tag(number), RemovalReason::Disabled)).collect()
    }

    #[test]
    fn more_removals_than_fit_are_said_until_a_statement_serves_that_knows_them() {
        let mut overlay = Overlay::default();
        let most = AHEAD_MAX as u32;
        assert_eq!(overlay.remove(removed(0..most), &BTreeSet::new(), Generation(5)), Ok(()));
        assert_eq!(overlay.remove(removed(0..most), &BTreeSet::new(), Generation(6)), Ok(()));
        assert_eq!(overlay.remove(removed(0..most + 1), &BTreeSet::new(), Generation(7)), Err(TooMany));
        assert!(overlay.has_lost_some(), "whoever is not in the list may be among those");
        assert_eq!(overlay.remove(removed(0..1), &BTreeSet::new(), Generation(8)), Err(TooMany));
        assert_eq!(overlay.weight(), 0, "no list grows of which not all fits");
        overlay.settle(Generation(7));
        assert!(overlay.has_lost_some());
        overlay.settle(Generation(8));
        assert!(overlay.is_empty());
        assert_eq!(overlay.remove(removed(0..1), &BTreeSet::new(), Generation(9)), Ok(()));
    }

    #[test]
    fn removal_ends_with_the_generation_that_named_it_last() {
        let mut overlay = Overlay::default();
        let none = BTreeSet::new();
        overlay.remove(removed(0..2), &none, Generation(7)).unwrap();
        overlay.remove(removed(1..3), &none, Generation(5)).unwrap();
        overlay.remove(removed(3..5), &BTreeSet::from([tag(3)]), Generation(9)).unwrap();
        overlay.settle(Generation(4));
        assert_eq!(
            (0..5).map(|at| overlay.names(&tag(at))).collect::<Vec<_>>(),
            [true, true, true, false, true]
        );
        overlay.settle(Generation(5));
        assert_eq!(
            (0..5).map(|at| overlay.names(&tag(at))).collect::<Vec<_>>(),
            [true, true, false, false, true]
        );
        overlay.settle(Generation(9));
        assert_eq!(overlay.ahead(), 0);
    }

    #[test]
    fn exceptions_that_begun_end_no_sooner_than_their_generation_however_many() {
        let mut overlay = Overlay::default();
        for at in 1..=200 {
            overlay
                .begin(Exceptions::default().with_archived([ProjectNumber(at)]), Generation(u64::from(at)));
        }
        assert!(overlay.begun.len() <= BEGUN_MAX);
        overlay.settle(Generation(100));
        let held = Exceptions::default().with_suspended([OrganizationNumber(7)]);
        let all = overlay.exceptions(&held);
        assert!(all.suspends(OrganizationNumber(7)));
        assert!((101..=200).all(|at| all.archives(ProjectNumber(at))));
        overlay.settle(Generation(200));
        assert!(
            overlay.exceptions(&Exceptions::default()).numbers(ExceptionClass::ProjectArchived).is_empty()
        );
    }
}
