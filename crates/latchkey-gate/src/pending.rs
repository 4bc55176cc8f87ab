//! What was published and does not serve yet: statements, each on one of the bases that it offers; the manifests of
//! bases that are new; and what is here of the deltas.

use crate::deltas::{Deltas, Ends, Link, Walk};
use crate::gate::Serving;
use crate::intake::Held;
use crate::leaf::LeafError;
use crate::quota::Asked;
use crate::refusal::AdoptError;
use crate::route::Routes;
use crate::shelf::{NodeError, Part, Shelf, Wanted, fits, wanted_node, wanted_page};
use crate::shelves::{AllStaged, Shelves};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::node::{NodeRef, PageRef};
use latchkey_snapshot::{Entry, Kind, Manifest, Node, ObjectRef, Page, Query};

/// Statements that wait on one base at most; when there are more, the newest one makes room.
const PENDING_MAX: usize = 4;
/// Bases at most that are waited for though the newest statement does not offer them.
const OLDER_BASES_MAX: usize = 1;
/// Refused manifests remembered at most.
const REFUSED_MAX: usize = 4;
/// Changed pages that a new manifest waits for at most; when there are more, it serves at once and they follow.
const STAGED_PAGES_MAX: usize = 32;

/// One way to what a statement says: a base and the newest of the deltas since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) base: ObjectRef,
    pub(crate) tip: Option<ObjectRef>,
}

impl Course {
    /// That of the statement's own base.
    pub(crate) const fn of(statement: &Statement) -> Self {
        Self { base: statement.manifest, tip: statement.tip }
    }

    /// That of the base before.
    pub(crate) fn before(statement: &Statement) -> Option<Self> {
        statement.previous.map(|previous| Self { base: previous.manifest, tip: Some(previous.tip) })
    }

    /// Whether it leads to what the statement says.
    pub(crate) fn is_offered(self, statement: &Statement) -> bool {
        self == Self::of(statement) || Some(self) == Self::before(statement)
    }
}

/// A statement that does not serve yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) statement: Statement,
    pub(crate) course: Course,
    pub(crate) as_of: UnixMillis,
    /// Why it never will, though what its deltas remove is still fetched.
    pub(crate) fault: Option<AdoptError>,
}

impl Pending {
    /// Whether this is what the statement says, on a base that it offers.
    fn is_of(&self, statement: &Statement) -> bool {
        self.statement.generation == statement.generation && self.course.is_offered(statement)
    }
}

/// Everything that does not serve yet.
#[derive(Debug, Default)]
pub(crate) struct Coming {
    /// In the order in which they came.
    pub(crate) pending: Vec<Pending>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) refused: Vec<(ObjectRef, AdoptError)>,
    pub(crate) deltas: Deltas,
    /// When whatever is waited for was asked for.
    asked: BTreeMap<ObjectRef, Asked>,
}

impl Coming {
    /// Under a new root nothing counts that came before.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Waits for a statement on a base.
    pub(crate) fn expect(&mut self, statement: &Statement, course: Course, as_of: UnixMillis) {
        let is_it = |pending: &Pending| {
            pending.course == course && pending.statement.generation == statement.generation
        };
        if let Some(pending) = self.pending.iter_mut().find(|pending| is_it(pending)) {
            (pending.as_of, pending.statement) = (as_of, statement.clone());
            return;
        }
        let on_base = |pending: &Pending| pending.course.base == course.base;
        if self.pending.iter().filter(|pending| on_base(pending)).count() >= PENDING_MAX {
            // The oldest are nearest to serving: under a stream of publications one of them must get there. One that
            // never will is not among those.
            let hopeless = |pending: &Pending| on_base(pending) && pending.fault.is_some();
            let at = self.pending.iter().position(hopeless);
            if let Some(at) = at.or_else(|| self.pending.iter().rposition(on_base)) {
                self.pending.remove(at);
            }
        }
        let fault = self.refusal(&course.base);
        self.pending.push(Pending { statement: statement.clone(), course, as_of, fault });
    }

    /// Why a manifest is refused, if it is.
    pub(crate) fn refusal(&self, base: &ObjectRef) -> Option<AdoptError> {
        self.refused.iter().find(|(refused, _)| refused == base).map(|(_, error)| *error)
    }

    /// Refuses a manifest and all that stands on it.
    pub(crate) fn refuse(&mut self, base: ObjectRef, error: AdoptError) {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push((base, error));
        self.candidates.retain(|candidate| candidate.reference != base);
        for pending in self.pending.iter_mut().filter(|pending| pending.course.base == base) {
            pending.fault.get_or_insert(error);
        }
    }

    pub(crate) fn candidate(&self, base: &ObjectRef) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.reference == *base)
    }

    /// What is here of a statement's deltas.
    pub(crate) fn walk(&self, pending: &Pending, serving: Option<&Serving>) -> Walk {
        let Course { base, tip } = pending.course;
        let served = serving.filter(|serving| serving.course.base == base).map(|serving| &serving.manifest);
        let manifest = served.or_else(|| self.candidate(&base).map(|candidate| &candidate.manifest));
        self.deltas.walk(&Ends {
            installation: pending.statement.installation,
            base,
            tip,
            generation: pending.statement.generation,
            from: manifest.map(|manifest| (manifest.generation, manifest.pepper_id)),
        })
    }

    /// Notes which statements can never serve by what is here now. Says why, if there is a new one.
    pub(crate) fn review(&mut self, serving: Option<&Serving>) -> Option<AdoptError> {
        let faults: Vec<_> = self.pending.iter().map(|pending| self.walk(pending, serving).fault).collect();
        let mut new = None;
        for (pending, fault) in self.pending.iter_mut().zip(faults) {
            if pending.fault.is_none() && fault.is_some() {
                (pending.fault, new) = (fault, fault);
            }
        }
        new
    }

    /// What a statement waits for: deltas first, since what they remove applies at once.
    pub(crate) fn wanted_by(&self, pending: &Pending, serving: Option<&Serving>) -> Vec<Wanted> {
        let mut list: Vec<_> = self.delta_wanted_by(pending, serving).into_iter().collect();
        list.extend(self.of_base_wanted_by(pending, serving));
        list
    }

    /// The delta that a statement waits for.
    fn delta_wanted_by(&self, pending: &Pending, serving: Option<&Serving>) -> Option<Wanted> {
        let reference = self.walk(pending, serving).missing?;
        Some(Wanted { reference, part: Part::Delta, place: 0 })
    }

    /// What a statement waits for of its base.
    fn of_base_wanted_by(&self, pending: &Pending, serving: Option<&Serving>) -> Vec<Wanted> {
        let base = pending.course.base;
        let is_here = serving.is_some_and(|serving| serving.course.base == base);
        if is_here || pending.fault.or(self.walk(pending, serving).fault).is_some() {
            return Vec::new();
        }
        match self.candidate(&base) {
            None => Vec::from([Wanted { reference: base, part: Part::Manifest, place: 0 }]),
            Some(candidate) => candidate.missing.iter().map(|awaited| awaited.wanted).collect(),
        }
    }

    /// What statements wait for: deltas, of the newest first, since none may keep waiting what it removes; then the rest,
    /// of the oldest first, since it is nearest to serving.
    pub(crate) fn wanted<'a>(&'a self, serving: Option<&'a Serving>) -> impl Iterator<Item = Wanted> + 'a {
        let newest_first = self.pending.iter().rev();
        let deltas = newest_first.filter_map(move |pending| self.delta_wanted_by(pending, serving));
        let rest = self.pending.iter().flat_map(move |pending| self.of_base_wanted_by(pending, serving));
        deltas.chain(rest)
    }

    /// When something that is waited for was asked for.
    pub(crate) fn asked(&self, reference: &ObjectRef) -> Option<&Asked> {
        self.asked.get(reference)
    }

    /// Remembers of what is waited for when it was asked for, and of nothing else.
    pub(crate) fn note_wanted(&mut self, serving: Option<&Serving>) {
        let mut before = core::mem::take(&mut self.asked);
        let mut asked = BTreeMap::new();
        for Wanted { reference, .. } in self.wanted(serving) {
            asked.entry(reference).or_insert_with(|| before.remove(&reference).unwrap_or(Asked::never()));
        }
        self.asked = asked;
    }

    /// Whether a statement waits for this delta.
    pub(crate) fn awaits_delta(&self, reference: &ObjectRef, serving: Option<&Serving>) -> bool {
        self.pending.iter().any(|pending| self.walk(pending, serving).missing == Some(*reference))
    }

    /// The pending statement that should serve next: of those that wait for nothing more, the newest; on a new base
    /// rather than on the one that serves.
    pub(crate) fn next(&self, serving: Option<&Serving>, held: &Held) -> Option<usize> {
        let is_here = |base: &ObjectRef| serving.is_some_and(|serving| serving.course.base == *base);
        let is_ready = |pending: &Pending| {
            let base = is_here(&pending.course.base)
                || self.candidate(&pending.course.base).is_some_and(|candidate| candidate.missing.is_empty());
            let leads_on = serving.is_none_or(|serving| {
                serving.is_behind(pending.statement.generation, held.rank.root_version)
                    || (serving.course != pending.course && pending.is_of(&held.statement))
            });
            base && leads_on && pending.fault.is_none() && {
                let walk = self.walk(pending, serving);
                walk.missing.is_none() && walk.fault.is_none()
            }
        };
        let ready = self.pending.iter().enumerate().filter(|(_, pending)| is_ready(pending));
        ready
            .max_by_key(|(_, pending)| (pending.statement.generation, !is_here(&pending.course.base)))
            .map(|(at, _)| at)
    }

    /// Lets go of whatever is of no use beside what serves now and the statement that is held.
    pub(crate) fn prune(&mut self, serving: &Serving, held: &Statement) {
        let walks = self.pending.iter().map(|pending| self.walk(pending, Some(serving)));
        let reached: Vec<_> = walks.flat_map(|walk| walk.deltas).collect();
        let is_useful = |pending: &Pending| {
            let here = pending.course.base == serving.course.base;
            let left = pending.statement.manifest == serving.course.base && !here;
            let moves = pending.is_of(held) && !here;
            !left && (pending.statement.generation > serving.statement.generation || moves)
        };
        self.pending.retain(is_useful);
        let pending = &self.pending;
        let is_named = |base: &ObjectRef| {
            held.manifest == *base || pending.iter().any(|pending| pending.course.base == *base)
        };
        self.candidates
            .retain(|candidate| candidate.reference != serving.course.base && is_named(&candidate.reference));
        self.refused.retain(|(base, _)| is_named(base));
        // A tip that is still to come may continue what an earlier one did.
        self.deltas.retain(|reference, link| match link.removals() {
            _ if pending.iter().any(|pending| pending.course.tip == Some(*reference)) => true,
            Some(removals) if removals.generation > serving.statement.generation => true,
            _ => link.is_among(serving.chain.deltas()) || link.is_among(&reached),
        });
    }

    /// Gives up what is older than a statement that is new, where it would pile up: all on bases that this does not
    /// offer, but for one that may serve sooner.
    pub(crate) fn give_up(&mut self, serving: Option<&Serving>, held: &Statement) {
        let served = serving.map(|serving| serving.course.base);
        let is_current = |base: &ObjectRef| {
            let previous = held.previous.map(|previous| previous.manifest);
            *base == held.manifest || Some(*base) == previous || Some(*base) == served
        };
        let may_serve = |base: &ObjectRef| {
            let mut on_base = self.pending.iter().filter(|pending| pending.course.base == *base);
            self.refusal(base).is_none() && on_base.any(|pending| self.is_on_its_way(pending, serving))
        };
        let mut older: Vec<ObjectRef> = Vec::new();
        for pending in &self.pending {
            let base = pending.course.base;
            if older.len() < OLDER_BASES_MAX
                && !is_current(&base)
                && !older.contains(&base)
                && may_serve(&base)
            {
                older.push(base);
            }
        }
        self.retain_bases(serving, |base| is_current(base) || older.contains(base));
    }

    /// Whether it may yet serve, and nothing that it waits for could not be had.
    fn is_on_its_way(&self, pending: &Pending, serving: Option<&Serving>) -> bool {
        let has_failed = |wanted: &Wanted| self.asked(&wanted.reference).is_some_and(Asked::has_failed);
        pending.fault.is_none() && !self.wanted_by(pending, serving).iter().any(has_failed)
    }

    fn retain_bases(&mut self, serving: Option<&Serving>, stays: impl Fn(&ObjectRef) -> bool) {
        self.pending.retain(|pending| stays(&pending.course.base));
        let pending = &self.pending;
        let is_awaited = |base: &ObjectRef| pending.iter().any(|pending| pending.course.base == *base);
        self.candidates.retain(|candidate| is_awaited(&candidate.reference));
        let served = serving.map(|serving| serving.chain.deltas()).unwrap_or_default();
        let reached: Vec<_> = pending.iter().flat_map(|pending| self.reached(pending)).collect();
        self.deltas.retain(|reference, link| {
            let base = link.removals().map(|removals| removals.base);
            // A tip that is still to come may continue it.
            let may_be_reached = base.is_some_and(|base| is_awaited(&base));
            may_be_reached || reached.contains(reference) || link.is_among(served)
        });
    }

    /// What all of it weighs beside what serves, about.
    pub(crate) fn weight(&self, serving: Option<&Serving>) -> usize {
        let served = serving.map(|serving| serving.chain.deltas()).unwrap_or_default();
        let candidates: usize = self.candidates.iter().map(Candidate::weight).sum();
        let asked = self.asked.len() * size_of::<(ObjectRef, Asked)>();
        candidates + asked + self.deltas.weight(served)
    }

    /// Gives up what is least likely to serve until all weighs no more than this, or only what the statement that is held
    /// needs is left: deltas that nothing waits for, then the oldest statements.
    pub(crate) fn shrink_to(&mut self, weight_max: usize, serving: Option<&Serving>, held: &Statement) {
        if self.weight(serving) <= weight_max {
            return;
        }
        self.drop_unreached(serving);
        while self.weight(serving) > weight_max {
            let Some(at) = self.pending.iter().position(|pending| !pending.is_of(held)) else { return };
            self.pending.remove(at);
            let bases: Vec<_> = self.pending.iter().map(|pending| pending.course.base).collect();
            self.retain_bases(serving, |base| bases.contains(base));
            self.drop_unreached(serving);
        }
    }

    /// Keeps one more delta; of too many, those go first that lead nowhere.
    pub(crate) fn keep_delta(&mut self, reference: ObjectRef, link: Link, serving: Option<&Serving>) {
        if self.deltas.is_full() {
            self.drop_unreached(serving);
        }
        let served = serving.map(|serving| serving.chain.deltas()).unwrap_or_default();
        self.deltas.insert(reference, link, served);
    }

    /// Lets go of the deltas that lead to no statement, neither to one that waits nor to the one that serves.
    fn drop_unreached(&mut self, serving: Option<&Serving>) {
        let reached: Vec<_> = self.pending.iter().flat_map(|pending| self.reached(pending)).collect();
        let served = serving.map(|serving| serving.chain.deltas()).unwrap_or_default();
        self.deltas.retain(|reference, link| reached.contains(reference) || link.is_among(served));
    }

    /// The deltas that are here of a statement's chain, from its tip on.
    fn reached(&self, pending: &Pending) -> Vec<ObjectRef> {
        let mut list = Vec::new();
        let mut next = pending.course.tip;
        while let Some(reference) = next
            && list.len() < CHAIN_MAX
            && let Some(link) = self.deltas.get(&reference)
        {
            list.push(reference);
            next = link.removals().and_then(|removals| removals.parent);
        }
        list
    }

    /// Statements that may yet serve.
    pub(crate) fn hopeful(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.pending.iter().filter(|pending| pending.fault.is_none())
    }

    /// Why the statement that is held does not serve, if it never will by itself.
    pub(crate) fn fault_of(&self, held: &Statement) -> Option<AdoptError> {
        let of_held = || {
            let pending = self.pending.iter().rev();
            pending.filter(|pending| pending.statement.generation == held.generation)
        };
        if of_held().any(|pending| pending.fault.is_none()) {
            return None;
        }
        self.refusal(&held.manifest).or_else(|| of_held().find_map(|pending| pending.fault))
    }
}

/// A manifest that is here and waits for the pages that changed.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) reference: ObjectRef,
    pub(crate) manifest: Manifest,
    pub(crate) routes: Routes,
    pub(crate) pepper: usize,
    pub(crate) staged: AllStaged,
    pub(crate) missing: Vec<Awaited>,
    /// How many more pages it may wait for, and what they may weigh.
    pages_left: usize,
    bytes_left: usize,
}

/// An object that a candidate waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    pub(crate) wanted: Wanted,
    /// If it is a page: the page as its node names it.
    page: Option<PageRef>,
    /// Whether it is not adopted without it.
    is_canarys: bool,
}

/// What is known of the page that covers a place.
enum Covering<'a> {
    Page(&'a Page),
    Nothing,
    NodeMissing(NodeRef),
    PageMissing(PageRef),
}

/// What serves while a candidate waits.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    shelves: Option<&'a Shelves>,
    /// Whether its records are under the candidate's pepper: else they say nothing of the new ones.
    is_same_pepper: bool,
}

impl<'a> Before<'a> {
    pub(crate) fn of(serving: Option<&'a Serving>, pepper: usize) -> Self {
        let is_same_pepper = serving.is_some_and(|serving| serving.pepper == pepper);
        Self { shelves: serving.map(|serving| &serving.shelves), is_same_pepper }
    }

    /// The shelf of a kind of records.
    fn records(self, kind: Kind) -> Option<&'a Shelf<Page>> {
        self.shelves.filter(|_| self.is_same_pepper)?.records.at(kind)
    }

    fn of_kind(self, kind: Kind) -> Option<&'a Shelves> {
        let is_names = matches!(kind, Kind::ProjectNames | Kind::OrganizationNames);
        self.shelves.filter(|_| is_names || self.is_same_pepper)
    }
}

impl Candidate {
    /// A manifest that waits for nothing.
    pub(crate) fn new(
        reference: ObjectRef,
        manifest: Manifest,
        routes: Routes,
        pepper: usize,
        bytes_max: usize,
    ) -> Self {
        Self {
            reference,
            manifest,
            routes,
            pepper,
            staged: AllStaged::nothing(),
            missing: Vec::new(),
            pages_left: STAGED_PAGES_MAX,
            bytes_left: bytes_max,
        }
    }

    /// What it weighs, about: as read, its manifest takes twice its bytes.
    fn weight(&self) -> usize {
        let missing = self.missing.len() * size_of::<Awaited>();
        2 * self.reference.len_bytes() as usize + self.staged.weight() + missing
    }

    /// Waits for the nodes that differ from those that serve, and for what canaries need.
    pub(crate) fn stage(&mut self, before: Before<'_>) {
        for section in &self.manifest.sections {
            let shelves = before.of_kind(section.kind);
            let nodes = shelves.map(|shelves| shelves.nodes_to_stage(section)).unwrap_or_default();
            self.missing.extend(nodes.into_iter().map(|wanted| Awaited {
                wanted,
                page: None,
                is_canarys: false,
            }));
        }
        self.stage_canaries(before);
    }

    /// Whatever covers a canary must be here before the manifest serves.
    fn stage_canaries(&mut self, before: Before<'_>) {
        for index in 0..self.manifest.canaries.len() {
            let Some(query) = self.manifest.canaries.get(index).map(|canary| canary.query) else { return };
            let (wanted, page) = match self.covering(&query, before) {
                Covering::Page(_) | Covering::Nothing => continue,
                Covering::NodeMissing(node) => (wanted_node(query.kind, &node), None),
                Covering::PageMissing(page) => (wanted_page(query.kind, &page), Some(page)),
            };
            match self.missing.iter_mut().find(|awaited| awaited.wanted == wanted) {
                Some(awaited) => awaited.is_canarys = true,
                None => self.missing.push(Awaited { wanted, page, is_canarys: true }),
            }
        }
    }

    fn covering<'a>(&'a self, query: &Query, before: Before<'a>) -> Covering<'a> {
        let section = self.manifest.section(query.kind);
        let Some((section, staged)) = section.zip(self.staged.records.at(query.kind)) else {
            return Covering::Nothing;
        };
        let shelf = before.records(query.kind);
        let nodes = section.nodes.partition_point(|node| node.first_place <= query.place);
        let Some(node) = nodes.checked_sub(1).and_then(|at| section.nodes.get(at)) else {
            return Covering::Nothing;
        };
        let digest = node.object.digest();
        let held = staged.nodes.get(&digest).or_else(|| shelf.and_then(|shelf| shelf.node(&digest)));
        let Some(held) = held else { return Covering::NodeMissing(*node) };
        let pages = held.pages().partition_point(|page| page.first_place <= query.place);
        let Some(page) = pages.checked_sub(1).and_then(|at| held.pages().get(at)) else {
            return Covering::Nothing;
        };
        let held = staged.pages.get(&page.object.digest()).map(|(_, page)| page);
        match held.or_else(|| shelf.and_then(|shelf| shelf.page(page))) {
            Some(held) => Covering::Page(held),
            None => Covering::PageMissing(*page),
        }
    }

    /// What its pages say; `None` if the one that would know is not here.
    pub(crate) fn find(&self, query: &Query, before: Before<'_>) -> Option<Option<Entry>> {
        match self.covering(query, before) {
            Covering::Page(page) => Some(page.find(query)),
            Covering::Nothing => Some(None),
            Covering::NodeMissing(_) | Covering::PageMissing(_) => None,
        }
    }

    pub(crate) fn take_node(
        &mut self,
        kind: Kind,
        wanted: &Wanted,
        node: &Node,
        before: Before<'_>,
    ) -> Result<(), NodeError> {
        let Some(at) = self.missing.iter().position(|missing| missing.wanted == *wanted) else {
            return Ok(());
        };
        let nodes = self.manifest.section(kind).map(|section| section.nodes.as_slice()).unwrap_or_default();
        let until = nodes.iter().map(|node| node.first_place).find(|place| *place > wanted.place);
        if !fits(node, wanted.place, until) {
            return Err(NodeError::Misplaced);
        }
        self.missing.swap_remove(at);
        let pages =
            before.of_kind(kind).map(|shelves| shelves.pages_to_stage(kind, node)).unwrap_or_default();
        self.staged.put_node(kind, wanted, node.clone());
        if self.may_wait_for(&pages) {
            self.missing.extend(pages.into_iter().map(|page| Awaited {
                wanted: wanted_page(kind, &page),
                page: Some(page),
                is_canarys: false,
            }));
        } else {
            self.missing.retain(|awaited| awaited.page.is_none() || awaited.is_canarys);
        }
        self.stage_canaries(before);
        Ok(())
    }

    /// Whether these pages are few and small enough; if not, it waits for no more of any.
    fn may_wait_for(&mut self, pages: &[PageRef]) -> bool {
        let bytes: usize = pages.iter().map(|page| page.object.len_bytes() as usize).sum();
        let left = self.pages_left.checked_sub(pages.len()).zip(self.bytes_left.checked_sub(bytes));
        (self.pages_left, self.bytes_left) = left.unwrap_or_default();
        left.is_some()
    }

    pub(crate) fn take_page(&mut self, kind: Kind, wanted: &Wanted, bytes: &[u8]) -> Result<(), LeafError> {
        let Some(at) = self.missing.iter().position(|missing| missing.wanted == *wanted) else {
            return Ok(());
        };
        let Some(Awaited { page: Some(page), .. }) = self.missing.get(at) else { return Ok(()) };
        self.staged.put_page(kind, page, bytes)?;
        self.missing.swap_remove(at);
        Ok(())
    }

    /// Something it waits for could not be had: it waits for nothing more but what its canaries need.
    pub(crate) fn stop_waiting(&mut self, wanted: &Wanted) {
        if self.missing.iter().any(|awaited| awaited.wanted == *wanted) {
            self.missing.retain(|awaited| awaited.is_canarys);
        }
    }
}

impl Serving {
    /// Whether a statement of this generation, under a head of this root, is newer.
    pub(crate) fn is_behind(&self, generation: Generation, root_version: u32) -> bool {
        (self.root_version, self.statement.generation) < (root_version, generation)
    }
}
