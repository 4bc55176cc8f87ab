//! The shelves of every kind, and the one thing all kinds of records have in common: where they stand.

use crate::shelf::{Account, Leaf, LeafError, Misplaced, Shelf, Staged, Wanted};
use alloc::vec::Vec;
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
    fn all(&self) -> [&T; 7] {
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
}

impl Shelves {
    pub(crate) fn empty() -> Self {
        Self {
            records: PerKind::of(Shelf::empty),
            project_names: Shelf::empty(Kind::ProjectNames),
            organization_names: Shelf::empty(Kind::OrganizationNames),
        }
    }

    /// Under another pepper every record is another.
    pub(crate) fn forget_records(self) -> Self {
        Self { records: PerKind::of(Shelf::empty), ..self }
    }

    /// The shelves of a new manifest, with whatever these held and `staged` brings.
    pub(crate) fn succeed(self, manifest: &Manifest, staged: PerKind<Staged<Page>>) -> Self {
        let section = |kind| manifest.section(kind);
        let names = |shelf: Shelf<Names>, kind| shelf.succeed(section(kind), Staged::default());
        Self {
            records: self.records.join(staged, |kind, shelf, fresh| shelf.succeed(section(kind), fresh)),
            project_names: names(self.project_names, Kind::ProjectNames),
            organization_names: names(self.organization_names, Kind::OrganizationNames),
        }
    }

    /// What is missing; names last, since no verdict waits for them.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Wanted> + '_ {
        let records = self.records.all().into_iter().flat_map(Shelf::missing);
        records.chain(self.project_names.missing()).chain(self.organization_names.missing())
    }

    pub(crate) fn account(&self) -> Account {
        fn of<T: Leaf>(shelf: &Shelf<T>) -> Account {
            shelf.account()
        }
        let records = self.records.all().into_iter().map(of);
        let names = [of(&self.project_names), of(&self.organization_names)];
        records.chain(names).fold(Account::default(), Account::plus)
    }

    pub(crate) fn take_node(&mut self, kind: Kind, wanted: &Wanted, node: Node) -> Result<bool, Misplaced> {
        match kind {
            Kind::ProjectNames => self.project_names.take_node(wanted, node),
            Kind::OrganizationNames => self.organization_names.take_node(wanted, node),
            _ => self.records.at_mut(kind).map_or(Ok(false), |shelf| shelf.take_node(wanted, node)),
        }
    }

    pub(crate) fn take_page(
        &mut self,
        kind: Kind,
        wanted: &Wanted,
        bytes: Vec<u8>,
    ) -> Result<bool, LeafError> {
        match kind {
            Kind::ProjectNames => self.project_names.take_page(wanted, bytes),
            Kind::OrganizationNames => self.organization_names.take_page(wanted, bytes),
            _ => self.records.at_mut(kind).map_or(Ok(false), |shelf| shelf.take_page(wanted, bytes)),
        }
    }
}
