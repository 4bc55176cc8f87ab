//! The shelves of every kind, and the one thing all kinds of records have in common: where they stand.

use crate::leaf::{Leaf, LeafError};
use crate::quota::Asked;
use crate::shelf::{Account, Missing, NodeError, Part, Shelf, Staged, Wanted};
use alloc::vec::Vec;
use latchkey_snapshot::manifest::Section;
use latchkey_snapshot::node::PageRef;
use latchkey_snapshot::{Kind, Manifest, Names, Node, Page};

/// One of each kind of records.
#[derive(Debug)]
pub(crate) struct PerKind<T> {
    pub(crate) keys: T,
    pub(crate) imported_keys: T,
    pub(crate) resources: T,
    pub(crate) references: T,
    pub(crate) memberships: T,
    pub(crate) collaborations: T,
    pub(crate) ended_sessions: T,
}

impl<T> PerKind<T> {
    pub(crate) fn of(make: impl Fn(Kind) -> T) -> Self {
        Self {
            keys: make(Kind::NativeKey),
            imported_keys: make(Kind::ImportedKey),
            resources: make(Kind::Resource),
            references: make(Kind::ProjectReference),
            memberships: make(Kind::Membership),
            collaborations: make(Kind::Collaboration),
            ended_sessions: make(Kind::EndedSession),
        }
    }

    /// That of a kind; `None` for kinds of names.
    pub(crate) fn at(&self, kind: Kind) -> Option<&T> {
        match kind {
            Kind::NativeKey => Some(&self.keys),
            Kind::ImportedKey => Some(&self.imported_keys),
            Kind::Resource => Some(&self.resources),
            Kind::ProjectReference => Some(&self.references),
            Kind::Membership => Some(&self.memberships),
            Kind::Collaboration => Some(&self.collaborations),
            Kind::EndedSession => Some(&self.ended_sessions),
            Kind::ProjectNames | Kind::OrganizationNames => None,
        }
    }

    pub(crate) fn at_mut(&mut self, kind: Kind) -> Option<&mut T> {
        match kind {
            Kind::NativeKey => Some(&mut self.keys),
            Kind::ImportedKey => Some(&mut self.imported_keys),
            Kind::Resource => Some(&mut self.resources),
            Kind::ProjectReference => Some(&mut self.references),
            Kind::Membership => Some(&mut self.memberships),
            Kind::Collaboration => Some(&mut self.collaborations),
            Kind::EndedSession => Some(&mut self.ended_sessions),
            Kind::ProjectNames | Kind::OrganizationNames => None,
        }
    }

    /// All of them, in the order in which requests need them.
    pub(crate) fn all(&self) -> [&T; 7] {
        [
            &self.keys,
            &self.imported_keys,
            &self.references,
            &self.ended_sessions,
            &self.collaborations,
            &self.memberships,
            &self.resources,
        ]
    }

    fn join<U, V>(self, other: PerKind<U>, join: impl Fn(Kind, T, U) -> V) -> PerKind<V> {
        PerKind {
            keys: join(Kind::NativeKey, self.keys, other.keys),
            imported_keys: join(Kind::ImportedKey, self.imported_keys, other.imported_keys),
            resources: join(Kind::Resource, self.resources, other.resources),
            references: join(Kind::ProjectReference, self.references, other.references),
            memberships: join(Kind::Membership, self.memberships, other.memberships),
            collaborations: join(Kind::Collaboration, self.collaborations, other.collaborations),
            ended_sessions: join(Kind::EndedSession, self.ended_sessions, other.ended_sessions),
        }
    }
}

/// The pages of every kind.
#[derive(Debug)]
pub(crate) struct Shelves {
    pub(crate) records: PerKind<Shelf<Page>>,
    pub(crate) project_names: Shelf<Names>,
    pub(crate) organization_names: Shelf<Names>,
    /// Where eviction goes on: a shelf in the order of their kinds, and a slot in it.
    hand: (usize, usize),
}

/// Pages that are kept however little memory there is: one request needs nine at most.
const PAGES_KEPT_MIN: usize = 16;

impl Shelves {
    pub(crate) fn empty() -> Self {
        Self {
            records: PerKind::of(Shelf::empty),
            project_names: Shelf::empty(Kind::ProjectNames),
            organization_names: Shelf::empty(Kind::OrganizationNames),
            hand: (0, 0),
        }
    }

    /// Under another pepper every record is another.
    pub(crate) fn forget_records(self) -> Self {
        Self { records: PerKind::of(Shelf::empty), ..self }
    }

    /// The shelves of a new manifest, with whatever these held and `staged` brings.
    pub(crate) fn succeed(self, manifest: &Manifest, staged: AllStaged) -> Self {
        let section = |kind| manifest.section(kind);
        let pins = |kind| {
            let canaries = manifest.canaries.iter().filter(move |canary| canary.query.kind == kind);
            canaries.map(|canary| canary.query.place).collect::<Vec<_>>()
        };
        let names = |shelf: Shelf<Names>, kind, fresh| shelf.succeed(section(kind), fresh, Vec::new());
        Self {
            records: self
                .records
                .join(staged.records, |kind, shelf, fresh| shelf.succeed(section(kind), fresh, pins(kind))),
            project_names: names(self.project_names, Kind::ProjectNames, staged.project_names),
            organization_names: names(
                self.organization_names,
                Kind::OrganizationNames,
                staged.organization_names,
            ),
            hand: (0, 0),
        }
    }

    /// The nodes that are missing; those of names last, since no verdict waits for them.
    pub(crate) fn missing_nodes(&self) -> impl Iterator<Item = Missing<'_>> + '_ {
        let records = self.records.all().into_iter().flat_map(Shelf::missing_nodes);
        records.chain(self.project_names.missing_nodes()).chain(self.organization_names.missing_nodes())
    }

    /// The pages that are missing and what they will weigh, in the same order.
    pub(crate) fn missing_pages(&self) -> impl Iterator<Item = (Missing<'_>, usize)> + '_ {
        let records = self.records.all().into_iter().flat_map(Shelf::missing_pages);
        records.chain(self.project_names.missing_pages()).chain(self.organization_names.missing_pages())
    }

    /// The nodes of a section that should be here before its manifest serves.
    pub(crate) fn nodes_to_stage(&self, section: &Section) -> Vec<Wanted> {
        match section.kind {
            Kind::ProjectNames => self.project_names.nodes_to_stage(section),
            Kind::OrganizationNames => self.organization_names.nodes_to_stage(section),
            kind => self.records.at(kind).map(|shelf| shelf.nodes_to_stage(section)).unwrap_or_default(),
        }
    }

    /// The pages of a new node that should be here before it serves.
    pub(crate) fn pages_to_stage(&self, kind: Kind, node: &Node) -> Vec<PageRef> {
        match kind {
            Kind::ProjectNames => self.project_names.pages_to_stage(node),
            Kind::OrganizationNames => self.organization_names.pages_to_stage(node),
            kind => self.records.at(kind).map(|shelf| shelf.pages_to_stage(node)).unwrap_or_default(),
        }
    }

    /// What canaries need that is not here.
    pub(crate) fn missing_pins(&self) -> impl Iterator<Item = Missing<'_>> + '_ {
        self.records.all().into_iter().flat_map(Shelf::missing_pins)
    }

    pub(crate) fn account(&self) -> Account {
        fn of<T: Leaf>(shelf: &Shelf<T>) -> Account {
            shelf.account()
        }
        let records = self.records.all().into_iter().map(of);
        let names = [of(&self.project_names), of(&self.organization_names)];
        records.chain(names).fold(Account::default(), Account::plus)
    }

    /// What everything here weighs, about.
    pub(crate) fn weight(&self) -> usize {
        fn of<T: Leaf>(shelf: &Shelf<T>) -> usize {
            shelf.load().1 + shelf.index_weight()
        }
        let records: usize = self.records.all().into_iter().map(of).sum();
        records + of(&self.project_names) + of(&self.organization_names)
    }

    /// Lets go of spare pages, then of pages in which nothing was looked up for longest, until all weighs no more than
    /// this. Says how many of the latter.
    pub(crate) fn shrink_to(&mut self, weight_max: usize) -> u64 {
        if self.weight() > weight_max {
            self.forget_spare();
        }
        let (mut weight, mut evicted) = (self.weight(), 0);
        let mut held = self.pages_held();
        // Twice around: the first time every page may have been used.
        let mut turns = 0;
        while weight > weight_max && held > PAGES_KEPT_MIN && turns <= 2 * SHELVES {
            let (shelf, mut slot) = self.hand;
            let before = self.load_of(shelf).1;
            if self.evict_from(shelf, &mut slot) {
                weight = weight.saturating_sub(before - self.load_of(shelf).1);
                (held, evicted) = (held - 1, evicted + 1);
                (self.hand, turns) = ((shelf, slot), 0);
            } else {
                (self.hand, turns) = (((shelf + 1) % SHELVES, 0), turns + 1);
            }
        }
        evicted
    }

    fn forget_spare(&mut self) {
        for kind in Kind::ALL {
            if let Some(shelf) = self.records.at_mut(kind) {
                shelf.forget_spare();
            }
        }
        self.project_names.forget_spare();
        self.organization_names.forget_spare();
    }

    fn pages_held(&self) -> usize {
        (0..SHELVES).map(|shelf| self.load_of(shelf).0).sum()
    }

    fn load_of(&self, shelf: usize) -> (usize, usize) {
        match Kind::ALL.get(shelf) {
            Some(Kind::ProjectNames) => self.project_names.load(),
            Some(Kind::OrganizationNames) => self.organization_names.load(),
            Some(kind) => self.records.at(*kind).map_or((0, 0), Shelf::load),
            None => (0, 0),
        }
    }

    fn evict_from(&mut self, shelf: usize, slot: &mut usize) -> bool {
        match Kind::ALL.get(shelf) {
            Some(Kind::ProjectNames) => self.project_names.evict(slot),
            Some(Kind::OrganizationNames) => self.organization_names.evict(slot),
            Some(kind) => self.records.at_mut(*kind).is_some_and(|shelf| shelf.evict(slot)),
            None => false,
        }
    }

    pub(crate) fn take_node(&mut self, kind: Kind, wanted: &Wanted, node: Node) -> Result<bool, NodeError> {
        match kind {
            Kind::ProjectNames => self.project_names.take_node(wanted, node),
            Kind::OrganizationNames => self.organization_names.take_node(wanted, node),
            _ => self.records.at_mut(kind).map_or(Ok(false), |shelf| shelf.take_node(wanted, node)),
        }
    }

    pub(crate) fn take_page(&mut self, kind: Kind, wanted: &Wanted, bytes: &[u8]) -> Result<bool, LeafError> {
        match kind {
            Kind::ProjectNames => self.project_names.take_page(wanted, bytes),
            Kind::OrganizationNames => self.organization_names.take_page(wanted, bytes),
            _ => self.records.at_mut(kind).map_or(Ok(false), |shelf| shelf.take_page(wanted, bytes)),
        }
    }

    /// When something that is wanted was asked for last.
    pub(crate) fn asked(&self, wanted: &Wanted) -> Option<&Asked> {
        match wanted.part {
            Part::Node(Kind::ProjectNames) | Part::Page(Kind::ProjectNames) => {
                self.project_names.asked(wanted)
            }
            Part::Node(Kind::OrganizationNames) | Part::Page(Kind::OrganizationNames) => {
                self.organization_names.asked(wanted)
            }
            Part::Node(kind) | Part::Page(kind) => self.records.at(kind)?.asked(wanted),
            Part::Manifest | Part::Delta => None,
        }
    }
}

/// What is here of a manifest that does not serve yet.
#[derive(Debug)]
pub(crate) struct AllStaged {
    pub(crate) records: PerKind<Staged<Page>>,
    pub(crate) project_names: Staged<Names>,
    pub(crate) organization_names: Staged<Names>,
}

impl AllStaged {
    pub(crate) fn nothing() -> Self {
        Self {
            records: PerKind::of(|_| Staged::default()),
            project_names: Staged::default(),
            organization_names: Staged::default(),
        }
    }

    pub(crate) fn put_node(&mut self, kind: Kind, wanted: &Wanted, node: Node) {
        let nodes = match kind {
            Kind::ProjectNames => Some(&mut self.project_names.nodes),
            Kind::OrganizationNames => Some(&mut self.organization_names.nodes),
            kind => self.records.at_mut(kind).map(|staged| &mut staged.nodes),
        };
        if let Some(nodes) = nodes {
            nodes.insert(wanted.reference.digest(), node);
        }
    }

    /// Reads a page as the node that names it says.
    pub(crate) fn put_page(&mut self, kind: Kind, page: &PageRef, bytes: &[u8]) -> Result<(), LeafError> {
        fn put<T: Leaf>(
            staged: &mut Staged<T>,
            kind: Kind,
            page: &PageRef,
            bytes: &[u8],
        ) -> Result<(), LeafError> {
            let parsed = T::parse(kind, page, bytes)?;
            staged.pages.insert(page.object.digest(), (*page, parsed));
            Ok(())
        }
        match kind {
            Kind::ProjectNames => put(&mut self.project_names, kind, page, bytes),
            Kind::OrganizationNames => put(&mut self.organization_names, kind, page, bytes),
            kind => self.records.at_mut(kind).map_or(Ok(()), |staged| put(staged, kind, page, bytes)),
        }
    }

    /// What all of it weighs, about.
    pub(crate) fn weight(&self) -> usize {
        let records: usize = self.records.all().into_iter().map(Staged::weight).sum();
        records + self.project_names.weight() + self.organization_names.weight()
    }
}

/// Shelves there are.
const SHELVES: usize = Kind::ALL.len();
