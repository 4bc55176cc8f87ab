//! What was committed since a statement: refusals that can ride in a head, and what must wait for the next one.
//!
//! A refusal is kept by what it refuses, not by its tag: while the pepper is rotated it rides under both, for edges
//! whose base is still under the other one.

use crate::iam::{Key, KeyProof};
use crate::store::{Effect, Outbound, ReadView, StoreError, Touch, Touched, View};
use latchkey_core::{
    Generation, IdentityId, KeyId, OrganizationNumber, Pepper, ProjectNumber, SessionId, UnixMillis,
};
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
    refusals: BTreeMap<Generation, Vec<(Refused, Reason)>>,
    /// Changes that no head can carry, ascending.
    waiting: VecDeque<Generation>,
}

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Key(KeyId, KeyProof),
    Membership(IdentityId, OrganizationNumber),
    Collaboration(IdentityId, ProjectNumber),
    Session(SessionId),
    Project(ProjectNumber),
    Organization(OrganizationNumber),
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
    pub(super) fn read(&mut self, view: &ReadView, now: UnixMillis) -> Result<(), StoreError> {
        for outbound in view.outbox_after(self.read_to)? {
            let outbound = outbound?;
            self.enter(&outbound, view, now)?;
            self.read_to = outbound.generation;
        }
        while self.waiting.len() > WAITING_MAX || self.refusals.len() > REFUSALS_MAX {
            self.forget_first();
        }
        Ok(())
    }

    /// What a head under the statement of this generation carries: every refusal that fits whole, under each of these
    /// peppers.
    pub(super) fn riding(&self, statement: Generation, peppers: &[&Pepper]) -> Riding {
        let after = self.waiting.partition_point(|waiting| *waiting <= statement);
        let mut lacking = self.waiting.get(after).copied();
        if statement < self.from {
            lacking = Some(statement.next());
        }
        let mut inline = Vec::new();
        for (&generation, refusals) in self.refusals.range(statement.next()..) {
            let subjects = refusals.iter().flat_map(|(refused, reason)| {
                let subject = |subject| Inline { generation, subject, reason: *reason };
                refused.subjects(peppers).into_iter().map(subject)
            });
            let entries: Vec<Inline> = subjects.collect();
            if inline.len() + entries.len() > INLINE_MAX {
                lacking = Some(lacking.map_or(generation, |lacking| lacking.min(generation)));
                continue;
            }
            inline.extend(entries);
        }
        Riding { inline, lacking }
    }

    fn enter(&mut self, outbound: &Outbound, view: &ReadView, now: UnixMillis) -> Result<(), StoreError> {
        let mut refusals: Vec<(Refused, Reason)> = Vec::new();
        let mut is_whole = outbound.touches.len() <= INLINE_MAX;
        for touch in outbound.touches.iter().take(INLINE_MAX) {
            match refusal(touch, view, now)? {
                Some(refusal) => {
                    refusals.retain(|(refused, _)| *refused != refusal.0);
                    refusals.push(refusal);
                }
                None => is_whole = false,
            }
        }
        if !is_whole {
            self.waiting.push_back(outbound.generation);
        }
        // Beyond what a head takes the statement is the quicker way, and a part of a change would mislead.
        if !refusals.is_empty() && outbound.touches.len() <= INLINE_MAX {
            self.refusals.insert(outbound.generation, refusals);
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

impl Refused {
    /// How heads name it: once, or by a tag under each pepper.
    fn subjects(&self, peppers: &[&Pepper]) -> Vec<InlineSubject> {
        let tags = |query: &dyn Fn(&Pepper) -> Query| {
            peppers.iter().map(|pepper| InlineSubject::Tag(query(pepper).tag)).collect()
        };
        match self {
            Self::Key(id, KeyProof::Native(digest)) => tags(&|pepper| Query::native_key(pepper, *id, digest)),
            Self::Key(_, KeyProof::Imported(digest)) => tags(&|pepper| Query::imported_key(pepper, digest)),
            Self::Membership(identity, organization) => {
                tags(&|pepper| Query::membership(pepper, identity, *organization))
            }
            Self::Collaboration(identity, project) => {
                tags(&|pepper| Query::collaboration(pepper, identity, *project))
            }
            Self::Session(id) => tags(&|pepper| Query::ended_session(pepper, id)),
            Self::Project(number) => vec![InlineSubject::Project(*number)],
            Self::Organization(number) => vec![InlineSubject::Organization(*number)],
        }
    }
}

/// The touch as a head can carry it, if it refuses and if a head can say so. The noun's present state decides:
/// what was given back since must not be refused.
fn refusal(touch: &Touch, view: &ReadView, now: UnixMillis) -> Result<Option<(Refused, Reason)>, StoreError> {
    if touch.effect == Effect::Grants {
        return Ok(None);
    }
    let revoked = |refused: Refused| (refused, Reason::Revoked);
    Ok(match &touch.noun {
        Touched::Key(id) => view.key(*id)?.and_then(|key| {
            let refused = Refused::Key(key.id, key.proof);
            key_reason(&key, now).map(|reason| (refused, reason))
        }),
        Touched::Membership(organization, identity) => {
            let held = view.membership_by(*organization, identity)?;
            held.is_none().then(|| revoked(Refused::Membership(*identity, *organization)))
        }
        Touched::Collaboration(project, identity) => {
            let held = view.collaboration_by(*project, identity)?;
            held.is_none().then(|| revoked(Refused::Collaboration(*identity, *project)))
        }
        Touched::Session(id) => {
            let ended = view.session_by_id(id)?.is_none_or(|session| session.revoked_at.is_some());
            ended.then(|| revoked(Refused::Session(*id)))
        }
        Touched::Project(number) => view
            .project(*number)?
            .filter(|project| !project.is_in_force())
            .map(|_| (Refused::Project(*number), Reason::Suspended)),
        Touched::Organization(number) => view
            .organization(*number)?
            .filter(|organization| organization.is_suspended())
            .map(|_| (Refused::Organization(*number), Reason::Suspended)),
        Touched::Resource { .. } | Touched::Budget(_) => None,
    })
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
    use latchkey_core::KeyDigest;

    fn refused(ledger: &mut Ledger, generation: u64, count: u64) {
        let refusal = |n: u64| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            let proof = KeyProof::Native(KeyDigest(digest));
            (Refused::Key(KeyId::from_number(n), proof), Reason::Revoked)
        };
        ledger.refusals.insert(Generation(generation), (0..count).map(refusal).collect());
    }

    fn riding_over(ledger: &Ledger, statement: u64) -> Riding {
        ledger.riding(Generation(statement), &[&Pepper::new([4; 32])])
    }

    #[test]
    fn refusals_ride_and_everything_else_is_lacking() {
        let mut ledger = Ledger::after(Generation(10));
        refused(&mut ledger, 11, 1);
        ledger.waiting.push_back(Generation(12));
        refused(&mut ledger, 13, 2);
        let riding = riding_over(&ledger, 10);
        assert_eq!((riding.inline.len(), riding.lacking), (3, Some(Generation(12))));
        let riding = riding_over(&ledger, 12);
        assert_eq!((riding.inline.len(), riding.lacking), (2, None));
    }

    #[test]
    fn change_that_does_not_fit_whole_waits_and_smaller_ones_still_ride() {
        let mut ledger = Ledger::after(Generation(10));
        refused(&mut ledger, 11, 60);
        refused(&mut ledger, 12, 5);
        refused(&mut ledger, 13, 4);
        let riding = riding_over(&ledger, 10);
        assert_eq!((riding.inline.len(), riding.lacking), (64, Some(Generation(12))));
    }

    #[test]
    fn statement_older_than_the_ledger_vouches_for_nothing_more() {
        let ledger = Ledger::after(Generation(10));
        assert_eq!(riding_over(&ledger, 9).lacking, Some(Generation(10)));
        assert_eq!(riding_over(&ledger, 10).lacking, None);
    }

    #[test]
    fn refusal_rides_under_both_peppers_and_takes_the_room_of_two() {
        let peppers = [Pepper::new([4; 32]), Pepper::new([5; 32])];
        let mut ledger = Ledger::after(Generation(10));
        refused(&mut ledger, 11, 32);
        refused(&mut ledger, 12, 1);
        let [one, other] = &peppers;
        let riding = ledger.riding(Generation(10), &[one, other]);
        assert_eq!((riding.inline.len(), riding.lacking), (64, Some(Generation(12))));
        let proof = KeyProof::Native(KeyDigest([0; 32]));
        for pepper in &peppers {
            let subjects = Refused::Key(KeyId::from_number(0), proof).subjects(&[pepper]);
            assert!(riding.inline.iter().any(|inline| subjects.contains(&inline.subject)));
        }
        let mut ledger = Ledger::after(Generation(10));
        ledger
            .refusals
            .insert(Generation(11), vec![(Refused::Organization(OrganizationNumber(1)), Reason::Suspended)]);
        assert_eq!(ledger.riding(Generation(10), &[one, other]).inline.len(), 1);
    }
}
