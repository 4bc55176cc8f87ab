//! Everything a snapshot says, kept by place, and the editions of it that are published.

use super::Object;
use super::encode::{self, BuildError};
use super::trie::{Item, Leaf, Trie, cut_runs};
use crate::manifest::{Exceptions, Manifest, Section, TokenKey};
use crate::names::{NAMES_MAX, OrganizationNames, ProjectNames};
use crate::node::{NODE_PAGES_MAX, NodeRef, PageRef};
use crate::object::ObjectError;
use crate::page::{Binding, KeyState, RECORDS_MAX};
use crate::query::{Kind, Query, TAG_LEN};
use crate::root::Installation;
use crate::rule::Rule;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_core::key::Prefix;
use latchkey_core::{
    ExpiryMinute, Generation, KeyDigest, KeyId, OrganizationNumber, Pepper, PermissionSet, ProjectNumber,
    ResourceId, ResourceType,
};

/// One thing that a snapshot says.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// A native key.
    Key {
        /// Its public id.
        id: KeyId,
        /// The digest of its text.
        digest: KeyDigest,
        /// Whose it is and what it may do; it has a role.
        binding: Binding,
        /// From when on it is refused.
        expiry: Option<ExpiryMinute>,
        /// Whether it is in force.
        state: KeyState,
    },
    /// A resource of a project.
    Resource {
        /// Its type.
        resource: ResourceType,
        /// Its id.
        id: ResourceId<'a>,
        /// The project.
        project: ProjectNumber,
        /// The project's organization.
        organization: OrganizationNumber,
    },
    /// A text by which a path names a project: its permanent id, or its slug.
    ProjectReference {
        /// The text.
        text: &'a str,
        /// The project.
        project: ProjectNumber,
        /// The project's organization.
        organization: OrganizationNumber,
    },
    /// What a project is called.
    ProjectNames(ProjectNames),
    /// What an organization is called.
    OrganizationNames(OrganizationNames),
}

/// Everything a snapshot says, ready to be changed and published again.
pub struct Content {
    pepper: Pepper,
    sets: Sets,
    records: BTreeMap<Kind, Trie<Slot>>,
    projects: Trie<ProjectNames>,
    organizations: Trie<OrganizationNames>,
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

/// A record as the trie holds it.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) place: u64,
    pub(super) bucket: u32,
    pub(super) tag: [u8; TAG_LEN],
    pub(super) role: u8,
    pub(super) state: KeyState,
    pub(super) project: u32,
    pub(super) organization: u32,
    pub(super) expiry: Option<u32>,
    pub(super) set: u32,
}

impl Content {
    /// Content that says nothing yet, under this pepper.
    pub fn new(pepper: Pepper) -> Self {
        Self {
            pepper,
            sets: Sets::default(),
            records: BTreeMap::new(),
            projects: Trie::new(),
            organizations: Trie::new(),
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
            _ => self.records.get(&kind).map_or(0, Trie::len),
        }
    }

    /// Replaces everything by these records, much faster than one by one.
    pub fn load<'a>(&mut self, records: impl IntoIterator<Item = Record<'a>>) {
        let mut slots: BTreeMap<Kind, Vec<Slot>> = BTreeMap::new();
        let (mut projects, mut organizations) = (Vec::new(), Vec::new());
        for record in records {
            match self.slot(record) {
                Row::Slot(kind, slot) => slots.entry(kind).or_default().push(slot),
                Row::Project(names) => projects.push(names),
                Row::Organization(names) => organizations.push(names),
            }
        }
        self.records.clear();
        for (kind, slots) in slots {
            self.records.entry(kind).or_insert_with(Trie::new).load(slots, slots_fit);
        }
        self.projects.load(projects, names_fit);
        self.organizations.load(organizations, names_fit);
    }

    /// Says this, in place of what was said of the same thing before.
    pub fn put(&mut self, record: Record<'_>) {
        match self.slot(record) {
            Row::Slot(kind, slot) => {
                self.records.entry(kind).or_insert_with(Trie::new).put(slot, slots_fit);
            }
            Row::Project(names) => self.projects.put(names, names_fit),
            Row::Organization(names) => self.organizations.put(names, names_fit),
        }
    }

    /// Says nothing more of a key.
    pub fn remove_key(&mut self, id: KeyId, digest: &KeyDigest) {
        self.remove(&Query::native_key(&self.pepper, id, digest));
    }

    /// Says nothing more of a resource.
    pub fn remove_resource(&mut self, project: ProjectNumber, resource: ResourceType, id: ResourceId<'_>) {
        self.remove(&Query::resource(&self.pepper, project, resource, id));
    }

    /// Says nothing more of a text that named a project.
    pub fn remove_project_reference(&mut self, text: &str) {
        self.remove(&Query::project_reference(&self.pepper, text));
    }

    /// The tag by which an inline revocation names a key.
    pub fn key_tag(&self, id: KeyId, digest: &KeyDigest) -> [u8; TAG_LEN] {
        Query::native_key(&self.pepper, id, digest).tag
    }

    /// Encodes the pages that changed, the index and the manifest.
    ///
    /// # Errors
    /// [`BuildError`], when the content is beyond what the format can say.
    pub fn build(&mut self, edition: &Edition<'_>) -> Result<Built, BuildError> {
        let mut index = Index::default();
        let sets = &self.sets.list;
        for (kind, trie) in &mut self.records {
            index.add(*kind, trie, |items| encode::page(*kind, items, sets))?;
        }
        index.add(Kind::ProjectNames, &mut self.projects, encode::project_names)?;
        index.add(Kind::OrganizationNames, &mut self.organizations, encode::organization_names)?;
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
        if let Some(trie) = self.records.get_mut(&query.kind) {
            trie.remove((query.place, query.tag), slots_fit);
        }
    }

    fn slot(&mut self, record: Record<'_>) -> Row {
        match record {
            Record::Key { id, digest, binding, expiry, state } => {
                let query = Query::native_key(&self.pepper, id, &digest);
                let expiry = expiry.map(|expiry| expiry.0);
                let set = self.sets.index(binding.permissions);
                let role = binding.role.map_or(0, |role| role as u8);
                let slot = Slot {
                    role,
                    state,
                    expiry,
                    set,
                    ..Slot::plain(&query, binding.project, binding.organization)
                };
                Row::Slot(query.kind, slot)
            }
            Record::Resource { resource, id, project, organization } => {
                let query = Query::resource(&self.pepper, project, resource, id);
                Row::Slot(query.kind, Slot::plain(&query, project, organization))
            }
            Record::ProjectReference { text, project, organization } => {
                let query = Query::project_reference(&self.pepper, text);
                Row::Slot(query.kind, Slot::plain(&query, project, organization))
            }
            Record::ProjectNames(names) => Row::Project(names),
            Record::OrganizationNames(names) => Row::Organization(names),
        }
    }
}

enum Row {
    Slot(Kind, Slot),
    Project(ProjectNames),
    Organization(OrganizationNames),
}

impl Slot {
    fn plain(query: &Query, project: ProjectNumber, organization: OrganizationNumber) -> Self {
        Self {
            place: query.place,
            bucket: query.bucket,
            tag: query.tag,
            role: 0,
            state: KeyState::Active,
            project: project.0,
            organization: organization.0,
            expiry: None,
            set: 0,
        }
    }
}

/// The permission sets in use, each known by a small index.
#[derive(Default)]
struct Sets {
    list: Vec<PermissionSet>,
    index: BTreeMap<PermissionSet, u32>,
}

impl Sets {
    fn index(&mut self, set: PermissionSet) -> u32 {
        let next = self.list.len() as u32;
        *self.index.entry(set).or_insert_with(|| {
            self.list.push(set);
            next
        })
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

impl Item for Slot {
    type Key = [u8; TAG_LEN];

    fn key(&self) -> (u64, Self::Key) {
        (self.place, self.tag)
    }
}

impl Item for ProjectNames {
    type Key = ();

    fn key(&self) -> (u64, ()) {
        (Query::names_place(self.number.0), ())
    }
}

impl Item for OrganizationNames {
    type Key = ();

    fn key(&self) -> (u64, ()) {
        (Query::names_place(self.number.0), ())
    }
}

/// Permission sets a page may have.
const PAGE_SETS_MAX: usize = 255;

fn slots_fit(slots: &[Slot]) -> bool {
    slots.len() <= RECORDS_MAX && (slots.len() <= PAGE_SETS_MAX || distinct_sets(slots) <= PAGE_SETS_MAX)
}

fn distinct_sets(slots: &[Slot]) -> usize {
    // Nearly every page has two or three sets: a short list beats a tree.
    let mut seen: Vec<u32> = Vec::new();
    for slot in slots {
        if seen.last() != Some(&slot.set) && !seen.contains(&slot.set) {
            seen.push(slot.set);
        }
    }
    seen.len()
}

fn names_fit<T>(names: &[T]) -> bool {
    names.len() <= NAMES_MAX
}
