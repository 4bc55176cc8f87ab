//! What a hub holds, and which bytes it takes: trust comes from the pinned root alone.
//!
//! Every question is judged first (`judge_*`, which changes nothing), then written down by the shell in one
//! transaction, then applied (`apply_*`, which cannot fail). So memory never says more than the storage does.
//!
//! A head counts as *current* only when everything it leads to is held. A verified head over a statement that is
//! not complete becomes *pending* if it is over another base, and *next* if it is over the current head's, so that deltas
//! go on while a base is on its way. It is not served, but from then on what it names may be pushed: its *stems*, which
//! are manifests and the tips of chains, then the nodes and deltas which those name, then the pages. What a stem leads
//! to is kept once, however many heads name it, so a head over a new tip costs that tip.

mod index;
mod reach;
mod refusal;

use core::cmp::Ordering;
use index::{Index, Stem};
use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::manifest::GRACE_SECS_MAX;
use latchkey_snapshot::{Head, Installation, ObjectDigest, Root, RootError, UnverifiedHead};
use std::collections::BTreeMap;

pub use index::NAMED_MAX;
pub use refusal::{Fault, Refusal};

/// How many missing objects are named at once.
pub const MISSING_LISTED_MAX: usize = 64;
/// An `as_of` further ahead of the hub's clock than this is refused.
pub const AS_OF_AHEAD_MS_MAX: u64 = 1000;
/// How long an object outlives, beyond the grace, the moment from which nothing names it.
pub const UNNAMED_KEPT_SECS: u64 = 3600;
/// Objects that one sweep deletes at most.
pub const SWEEP_MAX: usize = 512;
/// The largest generation that the storage can hold exactly, its integers being JavaScript's.
pub const GENERATION_MAX: u64 = (1 << 53) - 1;

/// Reads an object that the storage holds.
pub type Read<'a> = &'a dyn Fn(&ObjectDigest) -> Option<Vec<u8>>;

/// What a hub holds.
pub struct Ledger {
    pinned: Held,
    /// The roots after the pinned one, one by one.
    later: Vec<Held>,
    current: Option<Edition>,
    /// Awaits deltas over the current head's base. It is not stored: whoever pushes it offers it again.
    next: Option<Edition>,
    /// Awaits another base.
    pending: Option<Edition>,
    /// What the stems of all lead to, each once.
    indexes: Vec<(Stem, Index)>,
    /// Every object held, with the moment from which nothing names it.
    objects: BTreeMap<ObjectDigest, Option<UnixMillis>>,
}

struct Held {
    root: Root,
    bytes: Vec<u8>,
}

/// A verified head.
#[derive(Clone)]
struct Edition {
    head: Head,
    bytes: Vec<u8>,
    stems: Vec<Stem>,
}

/// What is to be done about a head.
pub enum HeadJudgement {
    /// Nothing: it is the current one.
    Held,
    /// It becomes current.
    Take(HeadChange),
    /// It becomes pending, or the next one; these objects are missing, at most [`MISSING_LISTED_MAX`] of them.
    Await(HeadChange, Vec<ObjectDigest>),
}

/// A change of the heads.
pub struct HeadChange {
    current: Option<Edition>,
    next: Option<Edition>,
    pending: Option<Edition>,
    /// What is new among the stems.
    indexes: Vec<(Stem, Index)>,
    /// Objects that nothing names any more, from now on.
    pub unnamed: Vec<ObjectDigest>,
}

/// What is to be done about a root.
pub enum RootJudgement {
    /// Nothing: it is held.
    Held,
    /// It becomes the newest.
    Take(Box<RootChange>),
}

/// A new newest root.
pub struct RootChange {
    held: Held,
    /// What this does to the heads: whatever awaits objects under an older root is forgotten.
    pub heads: HeadChange,
}

/// An object that is taken.
pub struct ObjectChange {
    digest: ObjectDigest,
    /// The indexes that know more now.
    learned: Vec<(Stem, Index)>,
}

/// What a sweep changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Objects to mark as unnamed from now on.
    pub unnamed: Vec<ObjectDigest>,
    /// Objects that are named again.
    pub named: Vec<ObjectDigest>,
    /// Objects to delete.
    pub deleted: Vec<ObjectDigest>,
}

/// What was stored, as it is read back.
#[derive(Default)]
pub struct Stored {
    /// Roots by version, ascending.
    pub roots: Vec<(u32, Vec<u8>)>,
    /// The bytes of the current head.
    pub current: Option<Vec<u8>>,
    /// The bytes of the pending head.
    pub pending: Option<Vec<u8>>,
    /// The objects, with the moment from which nothing names each.
    pub objects: BTreeMap<ObjectDigest, Option<UnixMillis>>,
}

impl Ledger {
    /// The ledger of what was stored. Everything is verified again: what does not follow from the pinned root,
    /// or is of another installation, counts as not there.
    ///
    /// # Errors
    /// The pinned root is none; the operator's fault.
    pub fn open(pinned: &[u8], stored: Stored, read: Read<'_>) -> Result<Self, RootError> {
        let root = Root::pinned(pinned)?;
        let mut ledger = Self {
            pinned: Held { root, bytes: pinned.to_vec() },
            later: Vec::new(),
            current: None,
            next: None,
            pending: None,
            indexes: Vec::new(),
            objects: stored.objects,
        };
        for (_, bytes) in stored.roots {
            if let Ok(root) = ledger.newest().root.successor(&bytes) {
                ledger.later.push(Held { root, bytes });
            }
        }
        ledger.current = stored.current.and_then(|bytes| ledger.reopen(bytes, read));
        ledger.pending = stored.pending.and_then(|bytes| ledger.reopen(bytes, read));
        Ok(ledger)
    }

    /// The installation it serves.
    pub fn installation(&self) -> Installation {
        self.newest().root.installation()
    }

    /// The version of the newest root.
    pub fn root_version(&self) -> u32 {
        self.newest().root.version()
    }

    /// The current head's bytes.
    pub fn head_bytes(&self) -> Option<&[u8]> {
        self.current.as_ref().map(|edition| edition.bytes.as_slice())
    }

    /// The current head.
    pub fn head(&self) -> Option<&Head> {
        self.current.as_ref().map(|edition| &edition.head)
    }

    /// The head of the highest rank, those that await objects included.
    pub fn newest_head(&self) -> Option<&Head> {
        self.editions().map(|edition| &edition.head).max_by_key(|head| head.rank())
    }

    /// The newest generation that awaits objects, and how many are known to be missing.
    pub fn awaited(&self) -> Option<(Generation, usize)> {
        let edition = self.next.iter().chain(&self.pending).max_by_key(|edition| edition.head.rank())?;
        Some((edition.head.statement.generation, self.missing_count(&edition.stems)))
    }

    /// A root from the pinned one on.
    pub fn root_bytes(&self, version: u32) -> Option<&[u8]> {
        self.held_root(version).map(|held| held.bytes.as_slice())
    }

    /// Whether the object is held.
    pub fn holds(&self, digest: &ObjectDigest) -> bool {
        self.objects.contains_key(digest)
    }

    /// How many objects are held.
    pub fn objects_count(&self) -> usize {
        self.objects.len()
    }

    /// The length of an object that may be pushed: one that is missing and that a verified statement names.
    pub fn wants(&self, digest: &ObjectDigest) -> Option<u32> {
        let mut indexes = self.indexes.iter();
        indexes.find_map(|(_, index)| index.missing(digest)).map(|reference| reference.len_bytes())
    }

    /// Judges a head that was pushed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge_head(
        &self,
        bytes: &[u8],
        now: UnixMillis,
        read: Read<'_>,
    ) -> Result<HeadJudgement, Refusal> {
        let head = self.verify(bytes, now)?;
        let order = self.head().map_or(Ordering::Greater, |held| head.rank().cmp(&held.rank()));
        match order {
            Ordering::Less => Err(Refusal::Older),
            Ordering::Equal if self.head().is_some_and(|held| held.digest == head.digest) => {
                Ok(HeadJudgement::Held)
            }
            Ordering::Equal => Err(Refusal::Conflict),
            Ordering::Greater => self.place(head, bytes, read),
        }
    }

    /// Puts a judged head in its place, once it is stored.
    pub fn apply_head(&mut self, change: HeadChange, now: UnixMillis) {
        self.current = change.current;
        self.next = change.next;
        self.pending = change.pending;
        self.indexes.extend(change.indexes);
        let editions = [&self.current, &self.next, &self.pending];
        self.indexes.retain(|(stem, _)| {
            editions.iter().copied().flatten().any(|edition| edition.stems.contains(stem))
        });
        self.mark(&change.unnamed, now);
    }

    /// Judges a root that was pushed as `version`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge_root(&self, version: u32, bytes: &[u8]) -> Result<RootJudgement, Refusal> {
        if let Some(held) = self.held_root(version) {
            return if held.bytes == bytes { Ok(RootJudgement::Held) } else { Err(Refusal::Conflict) };
        }
        let expected = self.root_version().saturating_add(1);
        match version.cmp(&expected) {
            Ordering::Less => return Err(Refusal::Older),
            Ordering::Greater => return Err(Refusal::RootMissing { version: expected }),
            Ordering::Equal => {}
        }
        let root = self.newest().root.successor(bytes).map_err(Refusal::Root)?;
        let heads = self.change(self.current.clone(), (None, None), Vec::new());
        let held = Held { root, bytes: bytes.to_vec() };
        Ok(RootJudgement::Take(Box::new(RootChange { held, heads })))
    }

    /// Makes a judged root the newest, once it is stored.
    pub fn apply_root(&mut self, change: Box<RootChange>, now: UnixMillis) {
        let RootChange { held, heads } = *change;
        self.later.push(held);
        self.apply_head(heads, now);
    }

    /// Judges an object that was pushed; `None`: it is held.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge_object(
        &self,
        digest: &ObjectDigest,
        bytes: &[u8],
        read: Read<'_>,
    ) -> Result<Option<ObjectChange>, Refusal> {
        if self.holds(digest) && self.wants(digest).is_none() {
            return Ok(None);
        }
        if self.wants(digest).is_none() {
            return Err(Refusal::NotNamed);
        }
        let mut learned = Vec::new();
        for (stem, index) in &self.indexes {
            let index = index.learn(digest, bytes, &|digest| self.holds(digest), read)?;
            learned.extend(index.map(|index| (*stem, index)));
        }
        Ok(Some(ObjectChange { digest: *digest, learned }))
    }

    /// Counts a judged object as held, once it is stored.
    pub fn apply_object(&mut self, change: ObjectChange) {
        self.objects.insert(change.digest, None);
        for (stem, index) in change.learned {
            if let Some((_, held)) = self.indexes.iter_mut().find(|(held, _)| *held == stem) {
                *held = index;
            }
        }
        for (_, index) in &mut self.indexes {
            index.arrived(&change.digest);
        }
    }

    /// What nothing names any more, and what may go.
    pub fn judge_sweep(&self, now: UnixMillis) -> Sweep {
        let mut sweep = Sweep::default();
        let kept_ms = self.unnamed_kept_ms();
        for (digest, since) in &self.objects {
            match (self.names(digest), since) {
                (true, Some(_)) => sweep.named.push(*digest),
                (false, None) => sweep.unnamed.push(*digest),
                (false, Some(since)) if now.since_ms(*since) >= kept_ms => sweep.deleted.push(*digest),
                _ => {}
            }
        }
        sweep.deleted.truncate(SWEEP_MAX);
        sweep
    }

    /// Sweeps, once that is stored.
    pub fn apply_sweep(&mut self, sweep: &Sweep, now: UnixMillis) {
        self.mark(&sweep.unnamed, now);
        for digest in &sweep.named {
            self.objects.insert(*digest, None);
        }
        for digest in &sweep.deleted {
            self.objects.remove(digest);
        }
    }

    /// When the next object may go.
    pub fn next_sweep(&self) -> Option<UnixMillis> {
        let earliest = self.objects.values().flatten().min();
        earliest.map(|since| since.plus_ms(self.unnamed_kept_ms()))
    }

    fn newest(&self) -> &Held {
        self.later.last().unwrap_or(&self.pinned)
    }

    fn held_root(&self, version: u32) -> Option<&Held> {
        let mut roots = core::iter::once(&self.pinned).chain(&self.later);
        roots.find(|held| held.root.version() == version)
    }

    fn editions(&self) -> impl Iterator<Item = &Edition> {
        self.current.iter().chain(&self.next).chain(&self.pending)
    }

    fn names(&self, digest: &ObjectDigest) -> bool {
        self.indexes.iter().any(|(_, index)| index.names(digest))
    }

    fn reopen(&mut self, bytes: Vec<u8>, read: Read<'_>) -> Option<Edition> {
        let unverified = UnverifiedHead::parse(&bytes).ok()?;
        let root = &self.held_root(unverified.root_version())?.root;
        let head = unverified.verify(root).ok()?;
        let stems = Stem::all_of(&head.statement);
        let new = self.open_new(&stems, read).ok()?;
        self.indexes.extend(new);
        Some(Edition { head, bytes, stems })
    }

    fn verify(&self, bytes: &[u8], now: UnixMillis) -> Result<Head, Refusal> {
        let unverified = UnverifiedHead::parse(bytes).map_err(Refusal::Head)?;
        match unverified.root_version().cmp(&self.root_version()) {
            Ordering::Less => return Err(Refusal::Older),
            Ordering::Greater => {
                return Err(Refusal::RootMissing { version: self.root_version().saturating_add(1) });
            }
            Ordering::Equal => {}
        }
        let head = unverified.verify(&self.newest().root).map_err(Refusal::Head)?;
        if head.as_of > now.plus_ms(AS_OF_AHEAD_MS_MAX) {
            return Err(Refusal::AsOfAhead { ahead_ms: head.as_of.since_ms(now) });
        }
        if head.statement.generation.0 > GENERATION_MAX {
            return Err(Refusal::GenerationOutOfRange);
        }
        Ok(head)
    }

    /// Places a head that outranks the current one.
    fn place(&self, head: Head, bytes: &[u8], read: Read<'_>) -> Result<HeadJudgement, Refusal> {
        let (rank, stems) = (head.rank(), Stem::all_of(&head.statement));
        let new = self.open_new(&stems, read)?;
        let missing = self.first_missing(&stems, &new);
        if missing.is_empty() && !self.chains_fit(&stems, &new) {
            return Err(Refusal::Chain);
        }
        let is_of = |edition: &Edition| edition.stems == stems;
        let edition = Edition { head, bytes: bytes.to_vec(), stems: stems.clone() };
        let newer_next = self.next.clone().filter(|next| next.head.rank() > rank);
        if missing.is_empty() || self.current.as_ref().is_some_and(is_of) {
            let next = newer_next.filter(|next| !is_of(next) && next.is_on_base_of(&edition));
            // Whatever its rank: a base that is on its way is named until it is there, or another one is.
            let pending = self.pending.clone().filter(|pending| !pending.is_on_base_of(&edition));
            return Ok(HeadJudgement::Take(self.change(Some(edition), (next, pending), new)));
        }
        let is_next = self.current.as_ref().is_some_and(|current| current.is_on_base_of(&edition));
        let held = if is_next { &self.next } else { &self.pending };
        let awaited = match held.clone().filter(|held| held.head.rank() > rank) {
            Some(newer) if !is_of(&newer) => return Err(Refusal::Older),
            newer => Some(newer.unwrap_or(edition)),
        };
        let waiting = if is_next { (awaited, self.pending.clone()) } else { (self.next.clone(), awaited) };
        Ok(HeadJudgement::Await(self.change(self.current.clone(), waiting, new), missing))
    }

    fn mark(&mut self, unnamed: &[ObjectDigest], now: UnixMillis) {
        for digest in unnamed {
            if let Some(since) = self.objects.get_mut(digest) {
                *since = Some(now);
            }
        }
    }

    fn unnamed_kept_ms(&self) -> u64 {
        let current = self.current.as_ref().map(|edition| Stem::Manifest(edition.head.statement.manifest));
        let index = self.indexes.iter().find(|(stem, _)| Some(*stem) == current);
        let grace_secs = index.and_then(|(_, index)| index.grace_secs());
        (u64::from(grace_secs.unwrap_or(GRACE_SECS_MAX)) + UNNAMED_KEPT_SECS) * 1000
    }
}

impl Edition {
    fn is_on_base_of(&self, other: &Self) -> bool {
        self.head.statement.manifest == other.head.statement.manifest
    }
}

impl HeadChange {
    /// The head that will be current, with its bytes.
    pub fn current(&self) -> Option<(&Head, &[u8])> {
        self.current.as_ref().map(|edition| (&edition.head, edition.bytes.as_slice()))
    }

    /// The head that will be pending, with its bytes.
    pub fn pending(&self) -> Option<(&Head, &[u8])> {
        self.pending.as_ref().map(|edition| (&edition.head, edition.bytes.as_slice()))
    }
}

impl RootChange {
    /// The root's version and bytes.
    pub fn root(&self) -> (u32, &[u8]) {
        (self.held.root.version(), &self.held.bytes)
    }
}

#[cfg(test)]
mod tests;
