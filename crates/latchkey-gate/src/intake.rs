//! Taking bytes in: roots, heads and the objects that they name. Nothing is believed before it is verified, and
//! what is refused changes nothing.

use crate::config::Floor;
use crate::gate::{Gate, Serving};
use crate::route::{RouteError, Routes};
use crate::shelf::{LeafError, Misplaced, Part, Staged, Wanted};
use crate::shelves::{PerKind, Shelves};
use crate::{AS_OF_AHEAD_MS_MAX, INLINE_HELD_MAX, RefreshEnd};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::UnixMillis;
use latchkey_snapshot::head::{Rank, Statement};
use latchkey_snapshot::node::PageRef;
use latchkey_snapshot::{
    Head, HeadError, Kind, Manifest, Node, ObjectDigest, ObjectError, Page, RootError, UnverifiedHead,
};

/// Roots a shell fetches one after the other at most, before it gives up.
pub const ROOT_HOPS_MAX: u32 = 16;
/// Statements that wait for their manifests at most; when there are more, the newest one makes room.
const PENDING_MAX: usize = 4;
/// Changed pages that a new manifest waits for at most; when there are more, it serves at once and they follow.
const STAGED_PAGES_MAX: usize = 32;

/// What a head that was taken in changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAccepted {
    /// Nothing new, and all that it names is here: what is held is confirmed.
    Confirmed,
    /// It names a manifest that is not here yet; [`Gate::wanted`] says what to fetch.
    Pending,
    /// It names a manifest that this gate has refused.
    ManifestRefused(AdoptError),
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefusal {
    /// It was signed under a newer root: hand in this version first, then the head again.
    RootNeeded {
        /// The next version to fetch.
        next: u32,
    },
    /// It is no head of this installation, or not signed well enough.
    Head(HeadError),
    /// Its `as_of` lies more than a second ahead of the clock.
    FromTheFuture {
        /// By how many milliseconds.
        ahead_ms: u64,
    },
    /// It is older than what the gate was deployed to believe.
    BelowFloor,
    /// It ranks below the one that is held.
    Older,
    /// It ranks like the one that is held and is another: somebody signs twice. The first stays.
    Forked,
    /// It would bring more inline revocations than a gate keeps.
    TooManyInline,
}

/// Why an object is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectRefusal {
    /// It is not the object that was named, or no such object.
    Object(ObjectError),
    /// Its record count is not the one that its node names; the signer's fault.
    Records,
    /// Its pages do not lie where the manifest says; the signer's fault.
    Misplaced,
    /// It is a manifest that cannot serve.
    NotAdopted(AdoptError),
}

/// Why a manifest is not adopted; the last good one keeps serving, and grows old where all can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptError {
    /// The bytes that its digest names are no manifest.
    Manifest(ObjectError),
    /// It belongs to another installation.
    Installation,
    /// Its generation is not its statement's.
    Generation,
    /// It is under a pepper that this gate does not hold.
    Pepper([u8; 8]),
    /// The route rule with this number cannot stand.
    Routes(usize),
}

/// A statement that does not serve yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) statement: Statement,
    as_of: UnixMillis,
    candidate: Option<Box<Candidate>>,
}

/// A manifest that is here and waits for the pages that changed.
#[derive(Debug)]
struct Candidate {
    manifest: Manifest,
    routes: Routes,
    pepper: usize,
    staged: PerKind<Staged<Page>>,
    missing: Vec<(Wanted, Option<PageRef>)>,
    pages: usize,
}

impl Gate {
    /// Takes in the root that follows the one held.
    ///
    /// # Errors
    /// [`RootError`]; the root held stays.
    pub fn accept_root(&mut self, bytes: &[u8]) -> Result<(), RootError> {
        self.root = self.root.successor(bytes)?;
        Ok(())
    }

    /// The version of the root to hand in before this head can be read, if it needs one.
    pub fn root_needed(&self, head: &[u8]) -> Option<u32> {
        let named = UnverifiedHead::parse(head).ok()?.root_version();
        (named > self.root.version()).then(|| self.root.version().saturating_add(1))
    }

    /// Takes in a head: its revocations apply at once, its `as_of` once all that it names is here.
    ///
    /// # Errors
    /// [`HeadRefusal`]; what is held stays.
    pub fn accept_head(&mut self, bytes: &[u8], now: UnixMillis) -> Result<HeadAccepted, HeadRefusal> {
        let now = self.clock.tick(now);
        let accepted = self.take_head(bytes, now);
        match accepted {
            Ok(_) => self.tally.heads_accepted += 1,
            Err(HeadRefusal::RootNeeded { .. }) => {}
            Err(HeadRefusal::Forked) => {
                self.tally.heads_forked += 1;
                self.tally.heads_refused += 1;
            }
            Err(_) => self.tally.heads_refused += 1,
        }
        accepted
    }

    fn take_head(&mut self, bytes: &[u8], now: UnixMillis) -> Result<HeadAccepted, HeadRefusal> {
        let unverified = UnverifiedHead::parse(bytes).map_err(HeadRefusal::Head)?;
        if let Some(held) = &self.held
            && held.digest == unverified.digest()
            && held.rank.root_version == self.root.version()
        {
            // What it says was verified before, whoever's signatures it carries this time.
            let as_of = held.rank.as_of;
            check_as_of(as_of, now)?;
            return Ok(self.weigh(as_of, now));
        }
        if unverified.root_version() > self.root.version() {
            return Err(HeadRefusal::RootNeeded { next: self.root.version().saturating_add(1) });
        }
        let head = unverified.verify(&self.root).map_err(HeadRefusal::Head)?;
        check_as_of(head.as_of, now)?;
        self.check_rank(&head)?;
        if !self.overlay.has_room_for(&head.inline) {
            return Err(HeadRefusal::TooManyInline);
        }
        Ok(self.hold(head, now))
    }

    fn check_rank(&self, head: &Head) -> Result<(), HeadRefusal> {
        let rank = head.rank();
        let place = Floor { root_version: rank.root_version, generation: rank.generation };
        if place < self.floor {
            return Err(HeadRefusal::BelowFloor);
        }
        match self.held.as_ref().map(|held| rank.cmp(&held.rank)) {
            Some(core::cmp::Ordering::Less) => Err(HeadRefusal::Older),
            Some(core::cmp::Ordering::Equal) => Err(HeadRefusal::Forked),
            _ => Ok(()),
        }
    }

    /// Holds a head that outranks the one before.
    fn hold(&mut self, head: Head, now: UnixMillis) -> HeadAccepted {
        let rank = head.rank();
        let new_root = self.held.as_ref().is_some_and(|held| held.rank.root_version < rank.root_version);
        if new_root {
            // Whoever held the old head key may have said anything.
            self.overlay.clear();
            self.clock.forget();
            self.pending.clear();
        }
        self.overlay.add(&head.inline);
        self.held = Some(Held { digest: head.digest, rank, statement: head.statement.clone() });
        if let Some(serving) = &mut self.serving
            && is_same(&serving.statement, &head.statement)
        {
            serving.statement.use_by = serving.statement.use_by.max(head.statement.use_by);
        } else {
            self.await_manifest(head.statement, rank.as_of);
        }
        self.weigh(rank.as_of, now)
    }

    /// What the head that is held means for freshness.
    fn weigh(&mut self, as_of: UnixMillis, now: UnixMillis) -> HeadAccepted {
        let Some(held) = &self.held else { return HeadAccepted::Pending };
        if self.serving.as_ref().is_some_and(|serving| is_same(&serving.statement, &held.statement)) {
            self.clock.confirm(as_of, now);
            return HeadAccepted::Confirmed;
        }
        match self.refused_manifest {
            Some((reference, error)) if reference == held.statement.manifest => {
                HeadAccepted::ManifestRefused(error)
            }
            _ => HeadAccepted::Pending,
        }
    }

    fn await_manifest(&mut self, statement: Statement, as_of: UnixMillis) {
        if self.refused_manifest.is_some_and(|(reference, _)| reference == statement.manifest) {
            return;
        }
        if let Some(pending) = self.pending.iter_mut().find(|pending| is_same(&pending.statement, &statement))
        {
            (pending.as_of, pending.statement) = (as_of, statement);
            return;
        }
        if self.pending.len() >= PENDING_MAX {
            // The oldest are nearest to serving: under a stream of publications one of them must get there.
            self.pending.pop();
        }
        self.pending.push(Pending { statement, as_of, candidate: None });
    }

    /// Takes in an object that was wanted. One that is no longer wanted is let go without a word.
    ///
    /// # Errors
    /// [`ObjectRefusal`].
    pub fn accept_object(
        &mut self,
        wanted: &Wanted,
        bytes: Vec<u8>,
        now: UnixMillis,
    ) -> Result<(), ObjectRefusal> {
        let now = self.clock.tick(now);
        let taken = match wanted.part {
            Part::Manifest => self.take_manifest(wanted, &bytes, now),
            Part::Node(kind) => self.take_node(kind, wanted, &bytes, now),
            Part::Page(kind) => self.take_page(kind, wanted, bytes, now),
        };
        if taken.is_err() {
            self.tally.objects_refused += 1;
            self.stop_waiting(wanted, now);
        }
        taken
    }

    /// Says that a wanted object could not be had. A new manifest that waits for it waits no longer.
    pub fn object_failed(&mut self, wanted: &Wanted, now: UnixMillis) {
        let now = self.clock.tick(now);
        self.stop_waiting(wanted, now);
    }

    /// Up to `most` objects that a shell may fetch behind its answers: what the next manifest waits for, then
    /// what is missing of the one that serves. Pages of names come last: no verdict
    /// waits for them, yet no origin is told of a caller without them.
    pub fn wanted(&self, most: usize) -> Vec<Wanted> {
        let pending = self.pending.iter().flat_map(Pending::wanted);
        let serving = self.serving.iter().flat_map(|serving| serving.shelves.missing());
        let mut list: Vec<Wanted> = Vec::new();
        for wanted in pending.chain(serving) {
            if list.len() >= most {
                break;
            }
            if !list.iter().any(|listed| listed.reference == wanted.reference) {
                list.push(wanted);
            }
        }
        list
    }

    /// Says that a background refresh has ended, well or not, that [`Gate::refresh_due`] granted. One lost look is not worth a
    /// pause while what is held is young.
    pub fn refresh_ended(&self, now: UnixMillis) {
        let now = self.clock.tick(now);
        self.clock.give_back();
        if self.pending.is_empty() && self.is_old(now) {
            self.clock.fail(now);
        }
    }

    /// Says how a look at the head ended that [`crate::HeadAsk::Start`] asked for.
    pub fn ask_ended(&self, end: RefreshEnd, now: UnixMillis) {
        let now = self.clock.tick(now);
        self.clock.give_back();
        if end == RefreshEnd::Failed {
            self.clock.fail(now);
        }
    }

    fn take_manifest(&mut self, wanted: &Wanted, bytes: &[u8], now: UnixMillis) -> Result<(), ObjectRefusal> {
        let waits =
            |pending: &Pending| pending.candidate.is_none() && pending.statement.manifest == wanted.reference;
        let Some(at) = self.pending.iter().position(waits) else { return Ok(()) };
        wanted.reference.admit(bytes).map_err(ObjectRefusal::Object)?;
        let Some(statement) = self.pending.get(at).map(|pending| pending.statement.clone()) else {
            return Ok(());
        };
        match self.candidate(&statement, bytes) {
            Ok(candidate) => {
                if let Some(pending) = self.pending.get_mut(at) {
                    pending.candidate = Some(Box::new(candidate));
                }
                self.adopt_ready(now);
                Ok(())
            }
            Err(error) => {
                self.refused_manifest = Some((wanted.reference, error));
                self.pending.remove(at);
                Err(ObjectRefusal::NotAdopted(error))
            }
        }
    }

    fn candidate(&self, statement: &Statement, bytes: &[u8]) -> Result<Candidate, AdoptError> {
        let mut manifest = Manifest::parse(&statement.manifest, bytes).map_err(AdoptError::Manifest)?;
        if manifest.installation != statement.installation {
            return Err(AdoptError::Installation);
        }
        if manifest.generation != statement.generation {
            return Err(AdoptError::Generation);
        }
        let pepper = self.peppers.iter().position(|(id, _)| *id == manifest.pepper_id);
        let pepper = pepper.ok_or(AdoptError::Pepper(manifest.pepper_id))?;
        let rules = core::mem::take(&mut manifest.rules);
        let routes = Routes::compile(&rules).map_err(|RouteError { rule, .. }| AdoptError::Routes(rule))?;
        let mut candidate = Candidate {
            manifest,
            routes,
            pepper,
            staged: PerKind::of(|_| Staged::default()),
            missing: Vec::new(),
            pages: 0,
        };
        if let Some(serving) = self.serving.as_ref().filter(|serving| serving.pepper == pepper) {
            candidate.stage_nodes(&serving.shelves);
        }
        Ok(candidate)
    }

    fn take_node(
        &mut self,
        kind: Kind,
        wanted: &Wanted,
        bytes: &[u8],
        now: UnixMillis,
    ) -> Result<(), ObjectRefusal> {
        let node = Node::parse(kind, &wanted.reference, bytes).map_err(ObjectRefusal::Object)?;
        let Some(serving) = &mut self.serving else { return Ok(()) };
        for candidate in self.pending.iter_mut().filter_map(|pending| pending.candidate.as_mut()) {
            candidate.take_node(kind, wanted, &node, &serving.shelves);
        }
        let taken = serving.shelves.take_node(kind, wanted, node);
        self.adopt_ready(now);
        taken.map(drop).map_err(|Misplaced| ObjectRefusal::Misplaced)
    }

    fn take_page(
        &mut self,
        kind: Kind,
        wanted: &Wanted,
        bytes: Vec<u8>,
        now: UnixMillis,
    ) -> Result<(), ObjectRefusal> {
        for candidate in self.pending.iter_mut().filter_map(|pending| pending.candidate.as_mut()) {
            candidate.take_page(kind, wanted, &bytes)?;
        }
        if let Some(serving) = &mut self.serving {
            serving.shelves.take_page(kind, wanted, bytes)?;
        }
        self.adopt_ready(now);
        Ok(())
    }

    fn stop_waiting(&mut self, wanted: &Wanted, now: UnixMillis) {
        for candidate in self.pending.iter_mut().filter_map(|pending| pending.candidate.as_mut()) {
            if candidate.missing.iter().any(|(missing, _)| missing == wanted) {
                candidate.missing.clear();
            }
        }
        self.adopt_ready(now);
    }

    /// Lets the newest manifest serve that waits for nothing more.
    fn adopt_ready(&mut self, now: UnixMillis) {
        let Some(at) = self.pending.iter().rposition(Pending::is_ready) else { return };
        let mut up_to_this = self.pending.drain(..=at);
        let Some(Pending { statement, as_of, candidate: Some(candidate) }) = up_to_this.next_back() else {
            return;
        };
        drop(up_to_this);
        let old = self.serving.take();
        let Candidate { manifest, routes, pepper, staged, .. } = *candidate;
        let shelves = match old {
            Some(old) if old.pepper == pepper => old.shelves,
            Some(old) => old.shelves.forget_records(),
            None => Shelves::empty(),
        };
        let shelves = shelves.succeed(&manifest, staged);
        self.overlay.settle(statement.generation);
        self.refused_manifest = None;
        self.serving = Some(Serving { statement, manifest, routes, pepper, shelves });
        self.clock.confirm(as_of, now);
    }
}

/// The head that outranks all that came.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) digest: ObjectDigest,
    pub(crate) rank: Rank,
    statement: Statement,
}

impl Pending {
    /// What it waits for.
    fn wanted(&self) -> impl Iterator<Item = Wanted> + '_ {
        let manifest = Wanted { reference: self.statement.manifest, part: Part::Manifest, place: 0 };
        let missing =
            self.candidate.iter().flat_map(|candidate| candidate.missing.iter().map(|(wanted, _)| *wanted));
        self.candidate.is_none().then_some(manifest).into_iter().chain(missing)
    }

    /// Everything it waits for now.
    pub(crate) fn all_wanted(&self) -> Vec<Wanted> {
        self.wanted().collect()
    }

    fn is_ready(&self) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.missing.is_empty())
    }
}

impl Candidate {
    fn stage_nodes(&mut self, shelves: &Shelves) {
        for section in &self.manifest.sections {
            let Some(shelf) = shelves.records.at(section.kind) else { continue };
            self.missing.extend(shelf.nodes_to_stage(section).into_iter().map(|wanted| (wanted, None)));
        }
    }

    fn take_node(&mut self, kind: Kind, wanted: &Wanted, node: &Node, shelves: &Shelves) {
        let Some(at) = self.missing.iter().position(|(missing, _)| missing == wanted) else { return };
        self.missing.swap_remove(at);
        let (Some(shelf), Some(staged)) = (shelves.records.at(kind), self.staged.at_mut(kind)) else {
            return;
        };
        staged.nodes.insert(wanted.reference.digest(), node.clone());
        let pages = shelf.pages_to_stage(node);
        self.pages = self.pages.saturating_add(pages.len());
        if self.pages <= STAGED_PAGES_MAX {
            self.missing.extend(pages.into_iter().map(|(wanted, page)| (wanted, Some(page))));
        } else {
            self.missing.retain(|(_, page)| page.is_none());
        }
    }

    fn take_page(&mut self, kind: Kind, wanted: &Wanted, bytes: &[u8]) -> Result<(), LeafError> {
        let Some(at) = self.missing.iter().position(|(missing, _)| missing == wanted) else { return Ok(()) };
        let Some((_, Some(page))) = self.missing.get(at) else { return Ok(()) };
        let parsed = Page::parse(kind, &page.object, bytes.into()).map_err(LeafError::Object)?;
        if parsed.records() != page.records as usize {
            return Err(LeafError::Records);
        }
        self.missing.swap_remove(at);
        if let Some(staged) = self.staged.at_mut(kind) {
            staged.pages.insert(wanted.reference.digest(), parsed);
        }
        Ok(())
    }
}

/// Whether two statements publish the same thing; the younger one may be good for longer.
fn is_same(one: &Statement, other: &Statement) -> bool {
    (one.generation, one.manifest) == (other.generation, other.manifest)
}

fn check_as_of(as_of: UnixMillis, now: UnixMillis) -> Result<(), HeadRefusal> {
    match as_of.since_ms(now) {
        ahead_ms if ahead_ms > AS_OF_AHEAD_MS_MAX => Err(HeadRefusal::FromTheFuture { ahead_ms }),
        _ => Ok(()),
    }
}

impl From<LeafError> for ObjectRefusal {
    fn from(error: LeafError) -> Self {
        match error {
            LeafError::Object(error) => Self::Object(error),
            LeafError::Records => Self::Records,
        }
    }
}

impl fmt::Display for HeadRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootNeeded { next } => write!(f, "head: root {next} must come first"),
            Self::Head(error) => error.fmt(f),
            Self::FromTheFuture { ahead_ms } => {
                write!(f, "head: its as_of lies {ahead_ms} ms ahead of the clock")
            }
            Self::BelowFloor => f.write_str("head: it is older than the floor"),
            Self::Older => f.write_str("head: a newer one is held"),
            Self::Forked => f.write_str("head: another one of the same rank is held"),
            Self::TooManyInline => {
                write!(f, "head: more than {INLINE_HELD_MAX} inline revocations would be held")
            }
        }
    }
}

impl core::error::Error for HeadRefusal {}

impl fmt::Display for ObjectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => error.fmt(f),
            Self::Records => f.write_str("the page's record count is not the one its node names"),
            Self::Misplaced => f.write_str("the node's pages do not lie where the manifest says"),
            Self::NotAdopted(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ObjectRefusal {}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => error.fmt(f),
            Self::Installation => f.write_str("manifest: it belongs to another installation"),
            Self::Generation => f.write_str("manifest: its generation is not its statement's"),
            Self::Pepper(id) => {
                write!(
                    f,
                    "manifest: it is under the pepper `{:016x}`, which is not held",
                    u64::from_be_bytes(*id)
                )
            }
            Self::Routes(rule) => write!(f, "manifest: its route rule {rule} cannot stand"),
        }
    }
}

impl core::error::Error for AdoptError {}
