//! Everything a snapshot says, kept by place, and the editions of it that are published.

use super::Object;
use super::delta::Touched;
use super::encode::{self, BuildError};
use super::index::Index;
use super::page;
use super::record::Record;
use super::row::Row;
use super::slot::{ImportedSlot, Shared, Slot, names_fit};
use super::trie::{Item, Leaf, Trie};
use crate::canary::Canary;
use crate::cors::Cors;
use crate::manifest::{Exceptions, TokenKey};
use crate::names::{OrganizationNames, ProjectNames};
use crate::node::PageRef;
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
    /// Which pages in browsers may call; its lists in any order.
    pub cors: Option<&'a Cors>,
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
            match Row::of(record, &self.pepper, &mut self.shared) {
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
        let row = Row::of(record, &self.pepper, &mut self.shared);
        self.put_row(row);
    }

    pub(super) fn put_row(&mut self, row: Row) {
        let (query, is_same) = match row {
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
        let (mut index, mut objects, mut pages) = (Index::default(), Vec::new(), Pages::default());
        let shared = &self.shared;
        for (kind, trie) in &mut self.records {
            let named = pages.add(trie, |items| page::page(*kind, items, shared))?;
            objects.append(&mut index.add(*kind, &named)?);
        }
        let kind = Kind::ImportedKey;
        let named = pages.add(&mut self.imported, |items| page::page(kind, items, shared))?;
        objects.append(&mut index.add(kind, &named)?);
        let named = pages.add(&mut self.projects, encode::project_names)?;
        objects.append(&mut index.add(Kind::ProjectNames, &named)?);
        let named = pages.add(&mut self.organizations, encode::organization_names)?;
        objects.append(&mut index.add(Kind::OrganizationNames, &named)?);
        let manifest = index.manifest(edition)?;
        objects.append(&mut pages.encoded);
        Ok(Built { manifest, objects, dirty_pages: pages.dirty })
    }

    pub(super) fn remove(&mut self, query: &Query) {
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
}

/// The pages of an edition in the making.
#[derive(Default)]
struct Pages {
    encoded: Vec<Object>,
    dirty: usize,
}

impl Pages {
    /// Adds the pages of a kind, those of them encoded that changed; how an index names them.
    fn add<T: Item>(
        &mut self,
        trie: &mut Trie<T>,
        encode: impl Fn(&[T]) -> Result<Object, BuildError>,
    ) -> Result<Vec<PageRef>, BuildError> {
        let mut named = Vec::new();
        for (first_place, leaf) in trie.leaves_mut() {
            self.dirty += usize::from(leaf.page.is_none());
            let object = page_of(leaf, &encode)?;
            named.push(PageRef { first_place, records: leaf.items.len() as u32, object: object.reference });
            self.encoded.push(object);
        }
        Ok(named)
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
