//! Taking bytes in: roots, heads and the objects that they name. Nothing is believed before it is verified, and
//! what is refused changes nothing, but that what a delta removes is refused.

use crate::config::Floor;
use crate::deltas::Link;
use crate::gate::Gate;
use crate::pending::{Before, Candidate, Course};
use crate::refusal::{AdoptError, HeadAccepted, HeadRefusal, ObjectRefusal};
use crate::route::{RouteError, Routes};
use crate::shelf::{Part, Wanted};
use crate::shelves::Shelves;
use crate::{AS_OF_AHEAD_MS_MAX, RefreshEnd};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use latchkey_core::UnixMillis;
use latchkey_snapshot::head::{Rank, Statement};
use latchkey_snapshot::{
    Delta, Head, Installation, Kind, Manifest, Node, ObjectDigest, Removals, RootError, SignerId,
    UnverifiedHead,
};

/// Roots a shell fetches one after the other at most, before it gives up.
pub const ROOT_HOPS_MAX: u32 = 16;

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
        if accepted.is_ok() {
            self.make_room();
        }
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
        // What a thief filled up must not keep out what ends the theft.
        if !self.is_under_new_root(&head) && !self.overlay.has_room_for(&head.inline) {
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
        if self.is_under_new_root(&head) {
            self.coming.clear();
            if !self.witnesses.stand_under(&self.root) || !self.overlay.has_room_for(&head.inline) {
                self.forget_old_root();
            }
        }
        self.overlay.add(&head.inline);
        if let Some(serving) = &mut self.serving
            && serving.is_of(&head.statement)
        {
            serving.statement.use_by = serving.statement.use_by.max(head.statement.use_by);
            serving.root_version = rank.root_version;
        }
        self.coming.give_up(self.serving.as_ref(), &head.statement);
        let held = Held {
            digest: head.digest,
            rank,
            statement: head.statement,
            signers: head.signers,
            statement_signers: head.statement_signers,
        };
        self.witnesses.add(&held);
        self.held = Some(held);
        self.pursue(now);
        // All that it names may be here already.
        self.adopt_ready(now);
        self.weigh(rank.as_of, now)
    }

    fn is_under_new_root(&self, head: &Head) -> bool {
        self.held.as_ref().is_some_and(|held| held.rank.root_version < head.root_version)
    }

    /// Whoever held a key that the new root does not name any more may have said anything: what was revoked, and how
    /// fresh it all is. Where the new root still names enough of those who signed all that is in force, it stays so: then
    /// what they said is worth what it was, and no revocation of theirs may be dropped, since the answers go on.
    fn forget_old_root(&mut self) {
        self.overlay.clear();
        self.witnesses.clear();
        self.clock.forget();
        self.renew_exceptions();
    }

    /// What the head that is held means for freshness.
    fn weigh(&mut self, as_of: UnixMillis, now: UnixMillis) -> HeadAccepted {
        let Some(held) = &self.held else { return HeadAccepted::Pending };
        if self.serving.as_ref().is_some_and(|serving| serving.is_of(&held.statement)) {
            self.confirm(as_of, now);
            if self.overlay.is_empty() && self.clock.as_of() == Some(as_of) {
                self.witnesses.only(held);
            }
            return HeadAccepted::Confirmed;
        }
        match self.coming.fault_of(&held.statement) {
            Some(error) => HeadAccepted::ManifestRefused(error),
            None => HeadAccepted::Pending,
        }
    }

    /// Takes in an object that was wanted. One that is no longer wanted is let go without a word.
    ///
    /// # Errors
    /// [`ObjectRefusal`].
    pub fn accept_object(
        &mut self,
        wanted: &Wanted,
        bytes: &[u8],
        now: UnixMillis,
    ) -> Result<(), ObjectRefusal> {
        let now = self.clock.tick(now);
        let taken = match wanted.part {
            Part::Manifest => self.take_manifest(wanted, bytes),
            Part::Delta => self.take_delta(wanted, bytes),
            Part::Node(kind) => self.take_node(kind, wanted, bytes),
            Part::Page(kind) => self.take_page(kind, wanted, bytes),
        };
        if taken.is_err() {
            self.tally.objects_refused += 1;
            self.stop_waiting(wanted, now);
        }
        let fault = self.adopt_ready(now);
        if wanted.part == Part::Delta {
            self.refuse_ahead(&wanted.reference);
        }
        let fault = fault.or_else(|| self.check_canaries());
        self.make_room();
        taken?;
        match fault {
            Some(error) => {
                self.tally.objects_refused += 1;
                Err(ObjectRefusal::NotAdopted(error))
            }
            None => Ok(()),
        }
    }

    /// Says that a wanted object could not be had. A new manifest that waits for it waits no longer, unless a canary
    /// needs it.
    pub fn object_failed(&mut self, wanted: &Wanted, now: UnixMillis) {
        let now = self.clock.tick(now);
        self.stop_waiting(wanted, now);
        self.adopt_ready(now);
        self.make_room();
    }

    /// Up to `most` objects that a shell may fetch behind its answers: what the next snapshot waits for, what canaries
    /// need, then what is missing of the one that serves: its nodes, and those of its pages that fit into memory. What
    /// could not be had a moment ago is left out for a while. Pages of names come last: no verdict waits for them, yet no
    /// origin is told of a caller without them.
    pub fn wanted(&self, most: usize) -> Vec<Wanted> {
        let (serving, now) = (self.serving.as_ref(), self.clock.latest());
        let coming = self
            .coming
            .wanted(serving)
            .filter(|wanted| !self.coming.asked(&wanted.reference).is_some_and(|asked| asked.rests(now)));
        let shelves = || serving.into_iter().map(|serving| &serving.shelves);
        let mut room = self.room_behind();
        let pages =
            shelves().flat_map(Shelves::missing_pages).filter(|(missing, _)| !missing.asked.rests(now));
        let fitting = pages.filter_map(|(missing, weight)| {
            room = room.checked_sub(weight)?;
            Some(missing)
        });
        let pins = shelves().flat_map(Shelves::missing_pins);
        let nodes = shelves().flat_map(Shelves::missing_nodes);
        let served = pins.chain(nodes).filter(|missing| !missing.asked.rests(now)).chain(fitting);
        let mut list: Vec<Wanted> = Vec::new();
        for wanted in coming.chain(served.map(|missing| missing.wanted)) {
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
        self.clock.give_back_behind();
        if self.coming.hopeful().next().is_none() && self.is_old(now) && !self.is_futile(now) {
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

    fn take_manifest(&mut self, wanted: &Wanted, bytes: &[u8]) -> Result<(), ObjectRefusal> {
        let base = &wanted.reference;
        let waits = self.coming.hopeful().find(|pending| pending.course.base == *base);
        let Some(installation) = waits.map(|pending| pending.statement.installation) else { return Ok(()) };
        let serves = self.serving.as_ref().is_some_and(|serving| serving.course.base == *base);
        if serves || self.coming.candidate(base).is_some() {
            return Ok(());
        }
        base.admit(bytes).map_err(ObjectRefusal::Object)?;
        match self.candidate(wanted, installation, bytes) {
            Ok(candidate) => {
                self.coming.candidates.push(candidate);
                Ok(())
            }
            Err(error) => {
                self.coming.refuse(*base, error);
                Err(ObjectRefusal::NotAdopted(error))
            }
        }
    }

    fn candidate(
        &self,
        wanted: &Wanted,
        installation: Installation,
        bytes: &[u8],
    ) -> Result<Candidate, AdoptError> {
        let mut manifest = Manifest::parse(&wanted.reference, bytes).map_err(AdoptError::Manifest)?;
        if manifest.installation != installation {
            return Err(AdoptError::Installation);
        }
        let pepper = self.peppers.iter().position(|(id, _)| *id == manifest.pepper_id);
        let pepper = pepper.ok_or(AdoptError::Pepper(manifest.pepper_id))?;
        let rules = core::mem::take(&mut manifest.rules);
        let routes = Routes::with_cors(&rules, manifest.cors.take())
            .map_err(|RouteError { rule, .. }| AdoptError::Routes(rule))?;
        let mut candidate =
            Candidate::new(wanted.reference, manifest, routes, pepper, self.waiting_bytes_max());
        // A cold gate answers as soon as it can, and looks at the canaries when their pages come; so does one that has
        // nothing better.
        if self.serving.as_ref().is_some_and(|serving| serving.quarantined.is_none()) {
            candidate.stage(Before::of(self.serving.as_ref(), pepper));
        }
        Ok(candidate)
    }

    fn take_delta(&mut self, wanted: &Wanted, bytes: &[u8]) -> Result<(), ObjectRefusal> {
        let reference = &wanted.reference;
        if !self.coming.awaits_delta(reference, self.serving.as_ref()) {
            return Ok(());
        }
        reference.admit(bytes).map_err(ObjectRefusal::Object)?;
        let link = match Delta::parse(reference, bytes) {
            Ok(delta) => Link::Whole(Arc::new(delta)),
            Err(error) => match Removals::parse(reference, bytes) {
                Ok(removals) => Link::Removing(Box::new(removals), AdoptError::Delta(error)),
                Err(error) => Link::Junk(AdoptError::Delta(error)),
            },
        };
        self.coming.keep_delta(*reference, link, self.serving.as_ref());
        Ok(())
    }

    fn take_node(&mut self, kind: Kind, wanted: &Wanted, bytes: &[u8]) -> Result<(), ObjectRefusal> {
        let node = Node::parse(kind, &wanted.reference, bytes).map_err(ObjectRefusal::Object)?;
        let mut staged = Ok(());
        for candidate in &mut self.coming.candidates {
            let before = Before::of(self.serving.as_ref(), candidate.pepper);
            staged = staged.and(candidate.take_node(kind, wanted, &node, before));
        }
        if let Some(serving) = &mut self.serving {
            serving.shelves.take_node(kind, wanted, node)?;
        }
        Ok(staged?)
    }

    fn take_page(&mut self, kind: Kind, wanted: &Wanted, bytes: &[u8]) -> Result<(), ObjectRefusal> {
        for candidate in &mut self.coming.candidates {
            candidate.take_page(kind, wanted, bytes)?;
        }
        if let Some(serving) = &mut self.serving {
            serving.shelves.take_page(kind, wanted, bytes)?;
        }
        Ok(())
    }

    fn stop_waiting(&mut self, wanted: &Wanted, now: UnixMillis) {
        let served = self.serving.as_ref().and_then(|serving| serving.shelves.asked(wanted));
        for asked in self.coming.asked(&wanted.reference).into_iter().chain(served) {
            asked.failed(&wanted.reference, &self.clock, now);
        }
        for candidate in &mut self.coming.candidates {
            candidate.stop_waiting(wanted);
        }
    }
}

/// The head that outranks all that came.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) digest: ObjectDigest,
    pub(crate) rank: Rank,
    pub(crate) statement: Statement,
    pub(crate) signers: Vec<SignerId>,
    pub(crate) statement_signers: Vec<SignerId>,
}

impl crate::gate::Serving {
    /// Whether this is what the statement says; it may be good for longer.
    pub(crate) fn is_of(&self, statement: &Statement) -> bool {
        self.statement.generation == statement.generation && Course::is_offered(self.course, statement)
    }
}

fn check_as_of(as_of: UnixMillis, now: UnixMillis) -> Result<(), HeadRefusal> {
    match as_of.since_ms(now) {
        ahead_ms if ahead_ms > AS_OF_AHEAD_MS_MAX => Err(HeadRefusal::FromTheFuture { ahead_ms }),
        _ => Ok(()),
    }
}
