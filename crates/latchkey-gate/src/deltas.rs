//! Deltas that are here: those that serve, and those of statements that do not serve yet.

use crate::refusal::{AdoptError, ChainError};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use latchkey_core::Generation;
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::query::TAG_LEN;
use latchkey_snapshot::{Delta, Installation, Kind, ObjectRef, Removal, RemovalReason, Removals};

/// Deltas kept at most: the chains of all statements that may wait.
const KEPT_MAX: usize = 16 * CHAIN_MAX;

/// A delta that came.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Wholly read.
    Whole(Arc<Delta>),
    /// Of this one only what it removes can be read.
    Removing(Box<Removals>, AdoptError),
    /// The bytes that its digest names are no delta.
    Junk(AdoptError),
}

impl Link {
    pub(crate) fn removals(&self) -> Option<&Removals> {
        match self {
            Self::Whole(delta) => Some(&delta.removals),
            Self::Removing(removals, _) => Some(removals),
            Self::Junk(_) => None,
        }
    }

    /// Whether it is one of these.
    pub(crate) fn is_among(&self, deltas: &[Arc<Delta>]) -> bool {
        match self {
            Self::Whole(delta) => deltas.iter().any(|one| Arc::ptr_eq(one, delta)),
            Self::Removing(..) | Self::Junk(_) => false,
        }
    }

    fn fault(&self) -> Option<AdoptError> {
        match self {
            Self::Whole(_) => None,
            Self::Removing(_, error) | Self::Junk(error) => Some(*error),
        }
    }
}

/// Where a chain must begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) installation: Installation,
    pub(crate) base: ObjectRef,
    pub(crate) tip: Option<ObjectRef>,
    /// The statement's generation.
    pub(crate) generation: Generation,
    /// The base's generation and pepper, if its manifest is here.
    pub(crate) from: Option<(Generation, [u8; 8])>,
}

/// What is here of a chain.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Newest first, as far as all are whole.
    pub(crate) deltas: Vec<Arc<Delta>>,
    /// The next one to fetch.
    pub(crate) missing: Option<ObjectRef>,
    /// Why the chain does not serve, though what it removes may still come.
    pub(crate) fault: Option<AdoptError>,
}

#[derive(Debug, Default)]
pub(crate) struct Deltas(Vec<(ObjectRef, Link)>);

impl Deltas {
    pub(crate) fn get(&self, reference: &ObjectRef) -> Option<&Link> {
        self.0.iter().find(|(held, _)| held == reference).map(|(_, link)| link)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= KEPT_MAX
    }

    /// Keeps one more. Of too many, the one that came first and is none of `served` goes.
    pub(crate) fn insert(&mut self, reference: ObjectRef, link: Link, served: &[Arc<Delta>]) {
        if self.is_full() {
            let at = self.0.iter().position(|(_, link)| !link.is_among(served)).unwrap_or_default();
            self.0.remove(at);
        }
        self.0.push((reference, link));
    }

    /// What those weigh, about, that are none of `served`.
    pub(crate) fn weight(&self, served: &[Arc<Delta>]) -> usize {
        let idle = self.0.iter().filter(|(_, link)| !link.is_among(served));
        idle.map(
            |(reference, link)| if link.removals().is_some() { reference.len_bytes() as usize } else { 0 },
        )
        .sum()
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(&ObjectRef, &Link) -> bool) {
        self.0.retain(|(reference, link)| stays(reference, link));
    }

    /// The deltas since a base that are here and newer than one of this generation.
    pub(crate) fn newer(&self, base: &ObjectRef, than: Generation, most: Generation) -> Walk {
        let whole = self.0.iter().filter_map(|(_, link)| match link {
            Link::Whole(delta) => Some(delta),
            Link::Removing(..) | Link::Junk(_) => None,
        });
        let is_newer = |removals: &Removals| {
            removals.base == *base && removals.generation > than && removals.generation <= most
        };
        let deltas = whole.filter(|delta| is_newer(&delta.removals)).map(Arc::clone).collect();
        Walk { deltas, ..Walk::default() }
    }

    /// Follows a chain from its tip as far as it is here. One that is broken is followed all the same: whatever it
    /// removes applies.
    pub(crate) fn walk(&self, ends: &Ends) -> Walk {
        let mut walk = Walk::default();
        let mut next = ends.tip;
        // What the next delta must reach: the statement's generation, then where the one after it begins.
        let mut reach = ends.generation;
        for depth in 0.. {
            let Some(reference) = next else { break };
            if depth == CHAIN_MAX {
                walk.fault(ChainError::TooLong);
                return walk;
            }
            let Some(link) = self.get(&reference) else {
                walk.missing = Some(reference);
                return walk;
            };
            walk.fault = walk.fault.or(link.fault());
            let Some(removals) = link.removals() else { return walk };
            if let Some(error) = fault_of(removals, ends, reach, depth) {
                walk.fault(error);
            }
            if let Link::Whole(delta) = link {
                walk.deltas.push(Arc::clone(delta));
            }
            (next, reach) = (removals.parent, removals.from);
        }
        match ends.from {
            Some((from, _)) if from != reach => match ends.tip {
                Some(_) => walk.fault(ChainError::Gap),
                None => walk.fault = Some(AdoptError::Generation),
            },
            _ => {}
        }
        walk
    }
}

impl Walk {
    fn fault(&mut self, error: ChainError) {
        self.fault.get_or_insert(AdoptError::Chain(error));
    }

    /// The tags of which these deltas say something: what an older one removes of them is over.
    pub(crate) fn known(&self) -> BTreeSet<[u8; TAG_LEN]> {
        let mut known = BTreeSet::new();
        for delta in &self.deltas {
            known.extend(refusing(&delta.removals).map(|removal| removal.tag));
            known.extend(delta.pages().iter().flat_map(|(_, page)| page.entries()).map(|(tag, _)| *tag));
        }
        known
    }
}

fn fault_of(removals: &Removals, ends: &Ends, reach: Generation, depth: usize) -> Option<ChainError> {
    if removals.installation != ends.installation {
        return Some(ChainError::Installation);
    }
    if removals.base != ends.base {
        return Some(ChainError::Base);
    }
    if ends.from.is_some_and(|(_, pepper_id)| pepper_id != removals.pepper_id) {
        return Some(ChainError::Pepper);
    }
    match (removals.generation == reach, depth) {
        (true, _) => None,
        (false, 0) => Some(ChainError::Generation),
        (false, _) => Some(ChainError::Gap),
    }
}

/// The removals that refuse. That an ended session's record is gone refuses nothing, and takes nothing back: the session
/// was ended all the same.
fn refusing(removals: &Removals) -> impl Iterator<Item = &Removal> {
    removals.list().iter().filter(|removal| removal.kind != Kind::EndedSession)
}

/// What a delta refuses by itself, wherever the rest of it is: records that are gone or out of force, and sessions that
/// were ended.
pub(crate) fn refused(link: &Link) -> Vec<([u8; TAG_LEN], RemovalReason)> {
    let removed = link.removals().into_iter().flat_map(refusing);
    let mut list: Vec<_> = removed.map(|removal| (removal.tag, removal.reason)).collect();
    if let Link::Whole(delta) = link {
        let pages = delta.pages().iter().filter(|(_, page)| page.kind() == Kind::EndedSession);
        list.extend(
            pages.flat_map(|(_, page)| page.entries()).map(|(tag, _)| (*tag, RemovalReason::Revoked)),
        );
    }
    list
}
