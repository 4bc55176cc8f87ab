//! Inline revocations: what heads refuse above the statement that is served.

use alloc::vec::Vec;
use latchkey_core::Generation;
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::{Binding, query::TAG_LEN};

/// Inline revocations a gate keeps at most. An honest publisher repeats a few dozen; a head that would bring
/// more is refused, and the gate goes stale where all can see it.
pub const INLINE_HELD_MAX: usize = 4096;

/// The inline revocations in force, ascending by subject, then generation.
#[derive(Debug, Default)]
pub(crate) struct Overlay(Vec<Inline>);

impl Overlay {
    /// Whether these still fit.
    pub(crate) fn has_room_for(&self, inline: &[Inline]) -> bool {
        let new = inline.iter().filter(|entry| self.position(entry).is_err()).count();
        self.0.len() + new <= INLINE_HELD_MAX
    }

    pub(crate) fn add(&mut self, inline: &[Inline]) {
        for entry in inline {
            if let Err(at) = self.position(entry) {
                self.0.insert(at, *entry);
            }
        }
    }

    /// Drops what an adopted statement of this generation has taken in.
    pub(crate) fn settle(&mut self, adopted: Generation) {
        self.0.retain(|entry| entry.generation > adopted);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Why a key is refused, if it is.
    pub(crate) fn refusal(&self, tag: &[u8; TAG_LEN], binding: &Binding) -> Option<Reason> {
        if self.0.is_empty() {
            return None;
        }
        [
            InlineSubject::Tag(*tag),
            InlineSubject::Project(binding.project),
            InlineSubject::Organization(binding.organization),
        ]
        .into_iter()
        .find_map(|subject| self.newest(subject))
    }

    /// Whether the record with this tag is revoked: a session that ended, a collaboration or membership that is gone.
    pub(crate) fn names(&self, tag: &[u8; TAG_LEN]) -> bool {
        !self.0.is_empty() && self.newest(InlineSubject::Tag(*tag)).is_some()
    }

    /// Whether everything in the project or in its organization is refused.
    pub(crate) fn closes(&self, binding: &Binding) -> bool {
        let subjects =
            [InlineSubject::Project(binding.project), InlineSubject::Organization(binding.organization)];
        !self.0.is_empty() && subjects.into_iter().any(|subject| self.newest(subject).is_some())
    }

    /// The reason of the newest entry about a subject.
    fn newest(&self, subject: InlineSubject) -> Option<Reason> {
        let end = self.0.partition_point(|entry| entry.subject <= subject);
        let last = self.0.get(..end)?.last()?;
        (last.subject == subject).then_some(last.reason)
    }

    fn position(&self, entry: &Inline) -> Result<usize, usize> {
        self.0
            .binary_search_by_key(&(entry.subject, entry.generation), |held| (held.subject, held.generation))
    }
}
