//! What was committed since a statement: refusals that can ride in a head, and what must wait for the next one.

use crate::iam::{Key, KeyProof};
use crate::store::{Effect, Outbound, ReadView, StoreError, Touch, Touched, View};
use latchkey_core::{Generation, Pepper, UnixMillis};
use latchkey_snapshot::head::INLINE_MAX;
use latchkey_snapshot::{Inline, InlineSubject, Query, Reason};
use std::collections::{BTreeMap, VecDeque};

/// The changes that were read from the outbox, in short.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Everything above this is known, up to `read_to`.
    from: Generation,
    read_to: Generation,
    /// Changes of which every touch rides in a head.
    refusals: BTreeMap<Generation, Vec<(InlineSubject, Reason)>>,
    /// Changes that no head can carry, ascending.
    waiting: VecDeque<Generation>,
}

/// What a head under some statement carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Riding {
    /// Its inline revocations.
    pub(super) inline: Vec<Inline>,
    /// The first change that is neither in the statement nor inline.
    pub(super) lacking: Option<Generation>,
}

impl Ledger {
    /// A ledger of what comes after `generation`.
    pub(super) const fn after(generation: Generation) -> Self {
        Self { from: generation, read_to: generation, refusals: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Reads what the outbox of this view has more.
    pub(super) fn read(
        &mut self,
        view: &ReadView,
        pepper: &Pepper,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        for outbound in view.outbox_after(self.read_to)? {
            let outbound = outbound?;
            self.enter(&outbound, view, pepper, now)?;
            self.read_to = outbound.generation;
        }
        while self.waiting.len() > WAITING_MAX || self.refusals.len() > REFUSALS_MAX {
            self.forget_first();
        }
        Ok(())
    }

    /// What a head under the statement of this generation carries: every refusal that fits whole.
    pub(super) fn riding(&self, statement: Generation) -> Riding {
        let after = self.waiting.partition_point(|waiting| *waiting <= statement);
        let mut lacking = self.waiting.get(after).copied();
        if statement < self.from {
            lacking = Some(statement.next());
        }
        let mut inline = Vec::new();
        for (&generation, subjects) in self.refusals.range(statement.next()..) {
            if inline.len() + subjects.len() > INLINE_MAX {
                lacking = Some(lacking.map_or(generation, |lacking| lacking.min(generation)));
                continue;
            }
            let entry = |&(subject, reason): &_| Inline { generation, subject, reason };
            inline.extend(subjects.iter().map(entry));
        }
        Riding { inline, lacking }
    }

    fn enter(
        &mut self,
        outbound: &Outbound,
        view: &ReadView,
        pepper: &Pepper,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut subjects = BTreeMap::new();
        let mut is_whole = outbound.touches.len() <= INLINE_MAX;
        for touch in outbound.touches.iter().take(INLINE_MAX) {
            match refusal(touch, view, pepper, now)? {
                Some((subject, reason)) => drop(subjects.insert(subject, reason)),
                None => is_whole = false,
            }
        }
        if !is_whole {
            self.waiting.push_back(outbound.generation);
        }
        // Beyond what a head takes the statement is the quicker way, and a part of a change would mislead.
        if !subjects.is_empty() && outbound.touches.len() <= INLINE_MAX {
            self.refusals.insert(outbound.generation, subjects.into_iter().collect());
        }
        Ok(())
    }

    /// Gives up knowing the earliest change; a head under a statement before it vouches for less.
    fn forget_first(&mut self) {
        let waiting = self.waiting.front().copied();
        let refusal = self.refusals.keys().next().copied();
        let Some(first) = waiting.into_iter().chain(refusal).min() else { return };
        self.from = first;
        self.refusals.remove(&first);
        if waiting == Some(first) {
            self.waiting.pop_front();
        }
    }
}

/// The touch as a head can carry it, if it refuses and if a head can say so. The noun's present state decides:
/// what was given back since must not be refused.
fn refusal(
    touch: &Touch,
    view: &ReadView,
    pepper: &Pepper,
    now: UnixMillis,
) -> Result<Option<(InlineSubject, Reason)>, StoreError> {
    if touch.effect == Effect::Grants {
        return Ok(None);
    }
    Ok(match &touch.noun {
        Touched::Key(id) => view.key(*id)?.and_then(|key| {
            let query = match &key.proof {
                KeyProof::Native(digest) => Query::native_key(pepper, key.id, digest),
                KeyProof::Imported(digest) => Query::imported_key(pepper, digest),
            };
            key_reason(&key, now).map(|reason| (InlineSubject::Tag(query.tag), reason))
        }),
        Touched::Membership(organization, identity) => {
            let held = view.membership_by(*organization, identity)?;
            held.is_none().then(|| revoked(&Query::membership(pepper, identity, *organization)))
        }
        Touched::Collaboration(project, identity) => {
            let held = view.collaboration_by(*project, identity)?;
            held.is_none().then(|| revoked(&Query::collaboration(pepper, identity, *project)))
        }
        Touched::Session(id) => {
            let ended = view.session_by_id(id)?.is_none_or(|session| session.revoked_at.is_some());
            ended.then(|| revoked(&Query::ended_session(pepper, id)))
        }
        Touched::Project(number) => view
            .project(*number)?
            .filter(|project| !project.is_in_force())
            .map(|_| (InlineSubject::Project(*number), Reason::Suspended)),
        Touched::Organization(number) => view
            .organization(*number)?
            .filter(|organization| organization.is_suspended())
            .map(|_| (InlineSubject::Organization(*number), Reason::Suspended)),
        Touched::Resource { .. } | Touched::Budget(_) => None,
    })
}

const fn revoked(query: &Query) -> (InlineSubject, Reason) {
    (InlineSubject::Tag(query.tag), Reason::Revoked)
}

fn key_reason(key: &Key, now: UnixMillis) -> Option<Reason> {
    use crate::iam::KeyState;
    match key.state(now) {
        KeyState::Active => None,
        KeyState::Disabled => Some(Reason::Disabled),
        KeyState::Expired => Some(Reason::Expired),
        KeyState::Revoked => Some(Reason::Revoked),
    }
}

const WAITING_MAX: usize = 1 << 18;
const REFUSALS_MAX: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(ledger: &mut Ledger, generation: u64, count: u64) {
        let subject = |n: u64| {
            let mut tag = [0; 10];
            tag[..8].copy_from_slice(&n.to_be_bytes());
            (InlineSubject::Tag(tag), Reason::Revoked)
        };
        ledger.refusals.insert(Generation(generation), (0..count).map(subject).collect());
    }

    #[test]
    fn refusals_ride_and_everything_else_is_lacking() {
        let mut ledger = Ledger::after(Generation(10));
        refused(&mut ledger, 11, 1);
        ledger.waiting.push_back(Generation(12));
        refused(&mut ledger, 13, 2);
        let riding = ledger.riding(Generation(10));
        assert_eq!((riding.inline.len(), riding.lacking), (3, Some(Generation(12))));
        let riding = ledger.riding(Generation(12));
        assert_eq!((riding.inline.len(), riding.lacking), (2, None));
    }

    #[test]
    fn change_that_does_not_fit_whole_waits_and_smaller_ones_still_ride() {
        let mut ledger = Ledger::after(Generation(10));
        refused(&mut ledger, 11, 60);
        refused(&mut ledger, 12, 5);
        refused(&mut ledger, 13, 4);
        let riding = ledger.riding(Generation(10));
        assert_eq!((riding.inline.len(), riding.lacking), (64, Some(Generation(12))));
    }

    #[test]
    fn statement_older_than_the_ledger_vouches_for_nothing_more() {
        let ledger = Ledger::after(Generation(10));
        assert_eq!(ledger.riding(Generation(9)).lacking, Some(Generation(10)));
        assert_eq!(ledger.riding(Generation(10)).lacking, None);
    }
}
