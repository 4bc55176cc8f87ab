//! Everything a snapshot says, kept by place, and the editions of it that are published.

use super::Object;
use super::delta::Touched;
use super::encode::{self, BuildError};
use super::narrowing::Narrowing;
use super::page;
use super::record::{Record, Standing};
use super::slot::{ImportedSlot, Shared, Slot, names_fit};
use super::trie::{Item, Leaf, Trie, cut_runs};
use crate::canary::Canary;
use crate::manifest::{Exceptions, Manifest, Section, TokenKey};
use crate::names::{OrganizationNames, ProjectNames};
use crate::node::{NODE_PAGES_MAX, NodeRef, PageRef};
use crate::object::ObjectError;
use crate::page::{Binding, FLAG_EXTERNAL, FLAG_OUT_OF_BUDGET, KeyState};
use crate::query::{Kind, Query, TAG_LEN};
use crate::root::Installation;
use crate::rule::Rule;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_core::key::Prefix;
use latchkey_core::{
    Generation, IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationNumber, Pepper, ProjectNumber,
    ResourceId, ResourceType, SessionId,
};

/// Everything a snapshot says, ready to be changed and published again.
pub struct Content {
    pub(super) pepper: Pepper,
    pub(super) shared: Shared,
    /// Of every kind but imported keys and names.
    pub(super) records: BTreeMap<Kind, Trie<Slot>>,
    pub(super) imported: Trie<ImportedSlot>,
    pub(super) projects: Trie<ProjectNames>,
    pub(super) organizations: Trie<OrganizationNames>,
    /// What was said otherwise since somebody asked.
    pub(super) touched: Touched,
}

/// What a manifest says besides where the records are.
pub struct Edition<'a> {
    /// The installation.
    pub installation: Installation,
    /// The newest change the content knows.
    pub generation: Generation,
    /// The id of the content's pepper is filled in from here; see [`Content::pepper_id`].
    pub pepper_id: [u8; 8],
    /// How long a stale edge may still answer, in seconds.
    pub grace_secs: u32,
    /// How keys begin.
    pub prefix: Prefix,
    /// What is refused as a whole.
    pub exceptions: &'a Exceptions,
    /// Keys that sign session tokens.
    pub session_keys: &'a [TokenKey],
    /// Keys that sign an edge's assertions.
    pub edge_keys: &'a [TokenKey],
    /// What must come out of some look-ups, in any order.
    pub canaries: &'a [Canary],
    /// What routes need, in any order.
    pub rules: &'a [Rule],
}

/// A published edition: the manifest and all that it names.
#[derive(Clone, Debug)]
pub struct Built {
    /// The manifest.
    pub manifest: Object,
    /// The index nodes, then the pages: everything the manifest leads to, each after what names it.
    pub objects: Vec<Object>,
    /// How many pages were encoded anew.
    pub dirty_pages: usize,
}

impl Content {
    /// Content that says nothing yet, under this pepper.
    pub fn new(pepper: Pepper) -> Self {
        Self {
            pepper,
            shared: Shared::new(),
            records: BTreeMap::new(),
            imported: Trie::new(),
            projects: Trie::new(),
            organizations: Trie::new(),
            touched: Touched::default(),
        }
    }

    /// The id of the pepper that every tag is under.
    pub fn pepper_id(&self) -> [u8; 8] {
        self.pepper.id()
    }

    /// How many records of a kind there are.
    pub fn len(&self, kind: Kind) -> u64 {
        match kind {
            Kind::ProjectNames => self.projects.len(),
            Kind::OrganizationNames => self.organizations.len(),
            Kind::ImportedKey => self.imported.len(),
            _ => self.records.get(&kind).map_or(0, Trie::len),
        }
    }

    /// Replaces everything by these records, much faster than one by one.
    pub fn load<'a>(&mut self, records: impl IntoIterator<Item = Record<'a>>) {
        self.shared = Shared::new();
        self.touched = Touched::default();
        let mut slots: BTreeMap<Kind, Vec<Slot>> = BTreeMap::new();
        let (mut imported, mut projects, mut organizations) = (Vec::new(), Vec::new(), Vec::new());
        for record in records {
            match self.row(record) {
                Row::Slot(kind, slot) => slots.entry(kind).or_default().push(slot),
                Row::Imported(slot) => imported.push(slot),
                Row::Project(names) => projects.push(names),
                Row::Organization(names) => organizations.push(names),
            }
        }
        self.records.clear();
        for (kind, slots) in slots {
            let trie = self.records.entry(kind).or_insert_with(Trie::new);
            trie.load(slots, &|slots| self.shared.fit(slots));
        }
        self.imported.load(imported, &|slots| self.shared.fit(slots));
        self.projects.load(projects, &|names| names_fit(names));
        self.organizations.load(organizations, &|names| names_fit(names));
    }

    /// Says this, in place of what was said of the same thing before.
    pub fn put(&mut self, record: Record<'_>) {
        let (query, is_same) = match self.row(record) {
            Row::Slot(kind, slot) => {
                let trie = self.records.entry(kind).or_insert_with(Trie::new);
                let before = trie.put(slot, &|slots| self.shared.fit(slots));
                if let Some(before) = &before {
                    self.shared.release(before);
                }
                (slot.query(kind), before == Some(slot))
            }
            Row::Imported(slot) => {
                let before = self.imported.put(slot, &|slots| self.shared.fit(slots));
                if let Some(before) = &before {
                    self.shared.release(&before.slot);
                }
                (slot.slot.query(Kind::ImportedKey), before == Some(slot))
            }
            Row::Project(names) => {
                self.touched.note_names(Kind::ProjectNames, names.key().0);
                self.projects.put(names, &|names| names_fit(names));
                return;
            }
            Row::Organization(names) => {
                self.touched.note_names(Kind::OrganizationNames, names.key().0);
                self.organizations.put(names, &|names| names_fit(names));
                return;
            }
        };
        if !is_same {
            self.touched.note(&query);
        }
    }

    /// Says nothing more of a key.
    pub fn remove_key(&mut self, id: KeyId, digest: &KeyDigest) {
        self.remove(&Query::native_key(&self.pepper, id, digest));
    }

    /// Says nothing more of an imported key.
    pub fn remove_imported_key(&mut self, digest: &ImportedDigest) {
        self.remove(&Query::imported_key(&self.pepper, digest));
    }

    /// Says nothing more of a resource.
    pub fn remove_resource(&mut self, project: ProjectNumber, resource: ResourceType, id: ResourceId<'_>) {
        self.remove(&Query::resource(&self.pepper, project, resource, id));
    }

    /// Says nothing more of a text that named a project.
    pub fn remove_project_reference(&mut self, text: &str) {
        self.remove(&Query::project_reference(&self.pepper, text));
    }

    /// Says nothing more of a membership.
    pub fn remove_membership(&mut self, identity: &IdentityId, organization: OrganizationNumber) {
        self.remove(&Query::membership(&self.pepper, identity, organization));
    }

    /// Says nothing more of a collaboration.
    pub fn remove_collaboration(&mut self, identity: &IdentityId, project: ProjectNumber) {
        self.remove(&Query::collaboration(&self.pepper, identity, project));
    }

    /// Says nothing more of a session that was ended.
    pub fn remove_ended_session(&mut self, session: &SessionId) {
        self.remove(&Query::ended_session(&self.pepper, session));
    }

    /// The tag by which an inline revocation names a key.
    pub fn key_tag(&self, id: KeyId, digest: &KeyDigest) -> [u8; TAG_LEN] {
        Query::native_key(&self.pepper, id, digest).tag
    }

    /// The tag by which an inline revocation names an imported key.
    pub fn imported_key_tag(&self, digest: &ImportedDigest) -> [u8; TAG_LEN] {
        Query::imported_key(&self.pepper, digest).tag
    }

    /// The tag by which an inline revocation names a membership.
    pub fn membership_tag(&self, identity: &IdentityId, organization: OrganizationNumber) -> [u8; TAG_LEN] {
        Query::membership(&self.pepper, identity, organization).tag
    }

    /// The tag by which an inline revocation names a collaboration.
    pub fn collaboration_tag(&self, identity: &IdentityId, project: ProjectNumber) -> [u8; TAG_LEN] {
        Query::collaboration(&self.pepper, identity, project).tag
    }

    /// The tag by which an inline revocation names a session.
    pub fn ended_session_tag(&self, session: &SessionId) -> [u8; TAG_LEN] {
        Query::ended_session(&self.pepper, session).tag
    }

    /// Encodes the pages that changed, the index and the manifest.
    ///
    /// # Errors
    /// [`BuildError`], when the content is beyond what the format can say.
    pub fn build(&mut self, edition: &Edition<'_>) -> Result<Built, BuildError> {
        let mut index = Index::default();
        let shared = &self.shared;
        for (kind, trie) in &mut self.records {
            index.add(*kind, trie, |items| page::page(*kind, items, shared))?;
        }
        let kind = Kind::ImportedKey;
        index.add(kind, &mut self.imported, |items| page::page(kind, items, shared))?;
        index.add(Kind::ProjectNames, &mut self.projects, encode::project_names)?;
        index.add(Kind::OrganizationNames, &mut self.organizations, encode::organization_names)?;
        index.sections.sort_unstable_by_key(|section| section.kind);
        let manifest = encode::manifest(edition, &index.sections)?;
        match Manifest::parse(&manifest.reference, &manifest.bytes) {
            Ok(_) => {}
            Err(ObjectError::Parse(error)) => return Err(BuildError::Unreadable(error)),
            Err(_) => return Err(BuildError::TooLong("manifest")),
        }
        let mut objects = index.nodes;
        objects.append(&mut index.pages);
        Ok(Built { manifest, objects, dirty_pages: index.dirty_pages })
    }

    fn remove(&mut self, query: &Query) {
        let key = (query.place, query.tag);
        let before = if query.kind == Kind::ImportedKey {
            self.imported.remove(key, &|slots| self.shared.fit(slots)).map(|before| before.slot)
        } else {
            let trie = self.records.get_mut(&query.kind);
            trie.and_then(|trie| trie.remove(key, &|slots| self.shared.fit(slots)))
        };
        if let Some(before) = before {
            self.shared.release(&before);
            self.touched.note(query);
        }
    }

    fn row(&mut self, record: Record<'_>) -> Row {
        match record {
            Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing } => {
                let query = Query::native_key(&self.pepper, id, &digest);
                let slot = self.key_slot(&query, &binding, narrowing.as_ref());
                Row::Slot(query.kind, slot.lasting(expiry).flagged(key_flags(state, out_of_budget)))
            }
            Record::ImportedKey { id, digest, binding, expiry, state, out_of_budget, narrowing } => {
                let query = Query::imported_key(&self.pepper, &digest);
                let slot = self.key_slot(&query, &binding, narrowing.as_ref());
                let slot = slot.lasting(expiry).flagged(key_flags(state, out_of_budget));
                Row::Imported(ImportedSlot { slot, id })
            }
            Record::Resource { resource, id, project, organization } => {
                let query = Query::resource(&self.pepper, project, resource, id);
                Row::of(&query, |slot| slot.owned(project, organization))
            }
            Record::ProjectReference { text, project, organization } => {
                let query = Query::project_reference(&self.pepper, text);
                Row::of(&query, |slot| slot.owned(project, organization))
            }
            Record::Membership { identity, organization, role } => {
                let query = Query::membership(&self.pepper, &identity, organization);
                Row::of(&query, |slot| slot.owned(ProjectNumber(0), organization).with_role(role))
            }
            Record::Collaboration { identity, project, organization, role, standing } => {
                let query = Query::collaboration(&self.pepper, &identity, project);
                let (flags, ends) = match standing {
                    Standing::Member => (0, None),
                    Standing::External { ends } => (FLAG_EXTERNAL, ends),
                };
                let said = |slot: Slot| slot.owned(project, organization).with_role(role);
                Row::of(&query, |slot| said(slot).lasting(ends).flagged(flags))
            }
            Record::EndedSession { session, forget } => {
                let query = Query::ended_session(&self.pepper, &session);
                Row::of(&query, |slot| slot.lasting(Some(forget)))
            }
            Record::ProjectNames(names) => Row::Project(names),
            Record::OrganizationNames(names) => Row::Organization(names),
        }
    }

    fn key_slot(&mut self, query: &Query, binding: &Binding, narrowing: Option<&Narrowing>) -> Slot {
        Slot {
            role: binding.role.map_or(0, |role| role as u8),
            set: self.shared.sets.hold(&binding.permissions),
            narrowing: narrowing.map_or(0, |narrowing| self.shared.narrowings.hold(narrowing)),
            ..Slot::at(query).owned(binding.project, binding.organization)
        }
    }
}

const fn key_flags(state: KeyState, out_of_budget: bool) -> u8 {
    state as u8 | if out_of_budget { FLAG_OUT_OF_BUDGET } else { 0 }
}

enum Row {
    Slot(Kind, Slot),
    Imported(ImportedSlot),
    Project(ProjectNames),
    Organization(OrganizationNames),
}

impl Row {
    fn of(query: &Query, say: impl Fn(Slot) -> Slot) -> Self {
        Self::Slot(query.kind, say(Slot::at(query)))
    }
}

/// Sections, nodes and pages of an edition in the making.
#[derive(Default)]
struct Index {
    sections: Vec<Section>,
    nodes: Vec<Object>,
    pages: Vec<Object>,
    dirty_pages: usize,
}

impl Index {
    fn add<T: Item>(
        &mut self,
        kind: Kind,
        trie: &mut Trie<T>,
        encode: impl Fn(&[T]) -> Result<Object, BuildError>,
    ) -> Result<(), BuildError> {
        let records = trie.len();
        let mut entries = Vec::new();
        for (first_place, leaf) in trie.leaves_mut() {
            self.dirty_pages += usize::from(leaf.page.is_none());
            let object = page_of(leaf, &encode)?;
            entries.push(PageRef { first_place, records: leaf.items.len() as u32, object: object.reference });
            self.pages.push(object);
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut runs = Vec::new();
        cut_runs(&entries, |entry| entry.first_place, NODE_PAGES_MAX, &mut runs);
        let mut nodes = Vec::with_capacity(runs.len());
        for run in runs {
            let node = encode::node(kind, run)?;
            let first_place = run.first().map_or(0, |page| page.first_place);
            nodes.push(NodeRef { first_place, object: node.reference });
            self.nodes.push(node);
        }
        self.sections.push(Section { kind, records, nodes });
        Ok(())
    }
}

fn page_of<T>(
    leaf: &mut Leaf<T>,
    encode: impl Fn(&[T]) -> Result<Object, BuildError>,
) -> Result<Object, BuildError> {
    if let Some(page) = &leaf.page {
        return Ok(page.clone());
    }
    let page = encode(&leaf.items)?;
    leaf.page = Some(page.clone());
    Ok(page)
}
