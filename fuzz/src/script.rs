//! Scripts of edits: any bytes as changes to content, published as a base and deltas over it.
//!
//! Whatever is put, removed and published in whatever steps, base and deltas must answer as a rebuild does.

use crate::{INSTALLATION, PREFIX, pepper};
use latchkey_core::key::Prefix;
use latchkey_core::{
    ExpiryMinute, Generation, IdentityId, ImportedDigest, KeyDigest, KeyId, Network, OrganizationId,
    OrganizationNumber, PermissionSet, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, SessionId,
    Slug,
};
use latchkey_snapshot::build::{
    Built, Content, DeltaContent, Edition, Narrowing, NarrowingContent, Object, Record, Standing, Touched,
};
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// Things of each kind that a script changes one by one.
const THINGS: u32 = 16;
/// Keys that are put or removed at once, each with permissions of its own: more than a page has sets.
const MANY_KEYS: u32 = 300;
/// Organizations that are named at once: more than a page holds.
const MANY_NAMES: u32 = 600;

/// A base and what was published since.
pub struct Published {
    content: Content,
    exceptions: [BTreeSet<u32>; 2],
    generation: u64,
    base: Built,
    /// The oldest first.
    chain: Vec<Level>,
    /// What is refused as a whole as published last.
    said: Exceptions,
}

struct Level {
    delta: Object,
    from: u64,
    touched: Touched,
    before: Exceptions,
}

impl Published {
    /// Plays the script; what it changed at last is published, too.
    pub fn play(script: &[u8]) -> Self {
        let mut content = Content::new(pepper());
        let said = Exceptions::default();
        let base = build(&mut content, 1, &said);
        let exceptions = [BTreeSet::new(), BTreeSet::new()];
        let mut published = Self { content, exceptions, generation: 1, base, chain: vec![], said };
        for step in script.as_chunks::<3>().0 {
            published.edit(*step);
        }
        published.append(1);
        published
    }

    fn edit(&mut self, [what, which, how]: [u8; 3]) {
        let thing = u32::from(which) % THINGS;
        let content = &mut self.content;
        match what % 16 {
            0 | 1 => edit_key(content, thing, how),
            2 => edit_imported(content, thing, how),
            3 => edit_resource(content, thing, how),
            4 => edit_reference(content, thing, how),
            5 => edit_membership(content, thing, how),
            6 => edit_collaboration(content, thing, how),
            7 => edit_session(content, thing, how),
            8 => content.put(project_names(thing, how)),
            9 => content.put(organization_names(thing, how)),
            10 | 11 => {
                let numbers = &mut self.exceptions[usize::from(what % 2)];
                if !numbers.remove(&thing) {
                    numbers.insert(thing);
                }
            }
            12 => (0..MANY_KEYS).for_each(|index| edit_key(content, THINGS + index, how)),
            13 => (0..MANY_NAMES).for_each(|number| content.put(organization_names(THINGS + number, how))),
            14 => self.append(1 + u64::from(how)),
            _ => match how % 4 {
                0 | 1 => self.merge(1 + u64::from(how)),
                2 => self.append(1 + u64::from(how)),
                _ => self.rebase(),
            },
        }
    }

    fn in_force(&self) -> Exceptions {
        let [suspended, archived] = &self.exceptions;
        Exceptions::default()
            .with_suspended(suspended.iter().copied().map(OrganizationNumber))
            .with_archived(archived.iter().copied().map(ProjectNumber))
    }

    /// One more delta over those that are there, or in place of the newest if there would be too many.
    fn append(&mut self, generations: u64) {
        if self.chain.len() == CHAIN_MAX {
            return self.merge(generations);
        }
        let (from, before) = (self.generation, self.said.clone());
        let touched = self.content.take_touched();
        self.publish(from, before, touched, generations);
    }

    /// The newest delta again, with all that changed since.
    fn merge(&mut self, generations: u64) {
        let Some(Level { from, mut touched, before, .. }) = self.chain.pop() else {
            return self.append(generations);
        };
        touched.extend(&self.content.take_touched());
        self.publish(from, before, touched, generations);
    }

    fn publish(&mut self, from: u64, before: Exceptions, touched: Touched, generations: u64) {
        self.generation += generations;
        let now = self.in_force();
        let content = DeltaContent {
            installation: INSTALLATION,
            base: self.base.manifest.reference,
            from: Generation(from),
            generation: Generation(self.generation),
            parent: self.chain.last().map(|level| level.delta.reference),
            before: &before,
            now: &now,
        };
        let delta = self.content.delta(&content, &touched).unwrap();
        self.chain.push(Level { delta, from, touched, before });
        self.said = now;
    }

    fn rebase(&mut self) {
        self.said = self.in_force();
        self.content.take_touched();
        self.base = build(&mut self.content, self.generation, &self.said.clone());
        self.chain.clear();
    }

    /// Every object of it: the base's manifest, the deltas, and what the manifest leads to.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        let deltas = self.chain.iter().map(|level| &level.delta);
        std::iter::once(&self.base.manifest).chain(deltas).chain(&self.base.objects)
    }

    /// The generation that it is of.
    pub fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    /// The base's manifest.
    pub fn manifest(&self) -> &Object {
        &self.base.manifest
    }

    /// What everything built anew says of these.
    pub fn rebuilt(&mut self, questions: &[Query]) -> Vec<Option<Told>> {
        let in_force = self.in_force();
        let rebuilt = Base::of(&build(&mut self.content, self.generation, &in_force));
        questions.iter().map(|query| rebuilt.find(query)).collect()
    }

    /// What is refused as a whole.
    pub fn exceptions(&self) -> Exceptions {
        self.in_force()
    }

    /// The newest delta.
    pub fn tip(&self) -> &Object {
        &self.chain.last().unwrap().delta
    }

    /// Asserts that base and deltas are a chain, and answer these as everything built anew does.
    pub fn assert_answers_as_a_rebuild(&mut self, questions: &[Query]) {
        let deltas: Vec<Delta> = self.chain.iter().map(|level| read(&level.delta)).collect();
        let base = Base::of(&self.base);
        let removals: Vec<&Removals> = deltas.iter().map(|delta| &delta.removals).collect();
        let statement = (INSTALLATION, Generation(self.generation));
        chain::check(statement, &self.base.manifest.reference, &base.manifest, &removals).unwrap();
        let in_force = deltas.iter().fold(base.manifest.exceptions.clone(), |in_force, delta| {
            in_force.plus(&delta.removals.begun).minus(&delta.lifted)
        });
        assert_eq!(in_force, self.in_force());
        let rebuilt = build(&mut self.content, self.generation, &in_force);
        let rebuilt = Base::of(&rebuilt);
        for query in questions {
            let found = deltas.iter().rev().find_map(|delta| match delta.find(query) {
                Found::Here(page, entry) => Some(Some(told(page, &entry))),
                Found::Gone => Some(None),
                Found::Unknown => None,
            });
            assert_eq!(found.unwrap_or_else(|| base.find(query)), rebuilt.find(query), "{query:?}");
        }
        for number in (0..THINGS + MANY_NAMES).map(OrganizationNumber) {
            let said = deltas.iter().rev().find_map(|delta| delta.organization_names(number));
            assert_eq!(said.or_else(|| base.organization(number)), rebuilt.organization(number));
        }
        for number in (0..THINGS).map(ProjectNumber) {
            let said = deltas.iter().rev().find_map(|delta| delta.project_names(number));
            assert_eq!(said.or_else(|| base.project(number)), rebuilt.project(number));
        }
    }
}

fn read(delta: &Object) -> Delta {
    Delta::parse(&delta.reference, &delta.bytes).unwrap()
}

fn build(content: &mut Content, generation: u64, exceptions: &Exceptions) -> Built {
    let edition = Edition {
        installation: INSTALLATION,
        generation: Generation(generation),
        pepper_id: content.pepper_id(),
        grace_secs: 900,
        prefix: Prefix::parse(PREFIX).unwrap(),
        exceptions,
        session_keys: &[],
        edge_keys: &[],
        canaries: &[],
        cors: None,
        rules: &[],
    };
    content.build(&edition).unwrap()
}

/// A base whose pages are all read.
struct Base {
    manifest: Manifest,
    pages: BTreeMap<(Kind, u64), Page>,
    names: Vec<Names>,
}

impl Base {
    fn of(built: &Built) -> Self {
        let manifest = Manifest::parse(&built.manifest.reference, &built.manifest.bytes).unwrap();
        let (mut pages, mut names) = (BTreeMap::new(), Vec::new());
        let bytes = |named: &ObjectRef| {
            built.objects.iter().find(|object| object.reference == *named).unwrap().bytes.to_vec()
        };
        for section in &manifest.sections {
            for node in &section.nodes {
                let node = Node::parse(section.kind, &node.object, &bytes(&node.object)).unwrap();
                for page in node.pages() {
                    if section.kind.is_names() {
                        names.push(Names::parse(section.kind, &page.object, &bytes(&page.object)).unwrap());
                    } else {
                        let read = Page::parse(section.kind, &page.object, bytes(&page.object).into());
                        pages.insert((section.kind, page.first_place), read.unwrap());
                    }
                }
            }
        }
        Self { manifest, pages, names }
    }

    fn find(&self, query: &Query) -> Option<Told> {
        let (_, page) = self.pages.range((query.kind, 0)..=(query.kind, query.place)).next_back()?;
        page.find(query).map(|entry| told(page, &entry))
    }

    fn organization(&self, number: OrganizationNumber) -> Option<&OrganizationNames> {
        self.names.iter().find_map(|names| names.organization(number))
    }

    fn project(&self, number: ProjectNumber) -> Option<&ProjectNames> {
        self.names.iter().find_map(|names| names.project(number))
    }
}

/// What an entry says, its narrowing as its bytes.
pub type Told = (Binding, Option<ExpiryMinute>, KeyState, bool, bool, Option<KeyId>, Option<Vec<u8>>);

/// What this entry of a page says.
pub fn told(page: &Page, entry: &Entry) -> Told {
    let Entry { binding, expiry, state, is_out_of_budget, is_external, .. } = *entry;
    let narrowing = page.narrowing(entry).map(|narrowing| written(&narrowing));
    (binding, expiry, state, is_out_of_budget, is_external, page.imported_key_id(entry), narrowing)
}

fn written(narrowing: &latchkey_snapshot::Narrowing<'_>) -> Vec<u8> {
    let networks: Vec<_> = narrowing.networks().collect();
    let resources: Vec<_> = narrowing.resources().collect();
    let models: Vec<_> = narrowing.models().collect();
    let rate = narrowing.rate();
    let content = NarrowingContent { rate, networks: &networks, resources: &resources, models: &models };
    content.encode().unwrap().unwrap().as_bytes().to_vec()
}

/// Narrowed by an edit with the highest bit: in one of eight ways, so that pages share some.
fn narrowed(index: u32, how: u8) -> Option<Narrowing> {
    let which = index % 8;
    let rate = NonZeroU32::new(which).map(|per_minute| Rate { per_minute, family: key_id(which) });
    let networks = [Network::parse(&format!("10.{which}.0.0/16")).unwrap()];
    let content = NarrowingContent { rate, networks: &networks, ..NarrowingContent::default() };
    if how & 0x80 == 0 { None } else { content.encode().unwrap() }
}

/// Everything that a script may have changed.
pub fn questions() -> Vec<Query> {
    let pepper = pepper();
    let keys = (0..THINGS + MANY_KEYS).map(|index| Query::native_key(&pepper, key_id(index), &digest(index)));
    let things = (0..THINGS).flat_map(|index| {
        let (identity, id) = (identity(index), resource_id(index));
        [
            Query::imported_key(&pepper, &imported(index)),
            Query::resource(&pepper, project(index), ResourceType::File, ResourceId::parse(&id).unwrap()),
            Query::project_reference(&pepper, &slug(index)),
            Query::membership(&pepper, &identity, organization(index)),
            Query::collaboration(&pepper, &identity, project(index)),
            Query::ended_session(&pepper, &session(index)),
        ]
    });
    keys.chain(things).collect()
}

fn project(index: u32) -> ProjectNumber {
    ProjectNumber(index % 5)
}

fn organization(index: u32) -> OrganizationNumber {
    OrganizationNumber(index % 3)
}

fn key_id(index: u32) -> KeyId {
    KeyId::from_number(u64::from(index % 3) << 62 | u64::from(index))
}

fn digest(index: u32) -> KeyDigest {
    let mut digest = [9; 32];
    digest[..4].copy_from_slice(&index.to_le_bytes());
    KeyDigest(digest)
}

fn imported(index: u32) -> ImportedDigest {
    ImportedDigest::of(&index.to_le_bytes())
}

fn letters(index: u32) -> [u8; 16] {
    [b'A' + (index % THINGS) as u8; 16]
}

fn identity(index: u32) -> IdentityId {
    IdentityId::from_body(letters(index)).unwrap()
}

fn session(index: u32) -> SessionId {
    SessionId::from_body(letters(index)).unwrap()
}

fn resource_id(index: u32) -> String {
    format!("file-{index}")
}

fn slug(index: u32) -> String {
    format!("slug-{index}")
}

fn role(how: u8) -> Role {
    if how & 4 == 0 { Role::Member } else { Role::Admin }
}

fn state(how: u8) -> KeyState {
    [KeyState::Active, KeyState::Disabled, KeyState::Revoked][usize::from(how % 4) % 3]
}

fn expiry(how: u8) -> Option<ExpiryMinute> {
    (how & 16 != 0).then_some(ExpiryMinute(30_000_000 + u32::from(how)))
}

fn binding(index: u32, how: u8) -> Binding {
    let all = PermissionSet::of_key(role(how));
    let chosen = |at: &usize| *at >= 10 || index >> *at & 1 == 1;
    let permissions = all.iter().enumerate().filter(|(at, _)| chosen(at));
    let permissions = permissions.fold(PermissionSet::EMPTY, |set, (_, permission)| set.with(permission));
    Binding { project: project(index), organization: organization(index), role: Some(role(how)), permissions }
}

fn edit_key(content: &mut Content, index: u32, how: u8) {
    let (id, digest) = (key_id(index), digest(index));
    if how % 4 == 3 {
        return content.remove_key(id, &digest);
    }
    content.put(Record::Key {
        id,
        digest,
        binding: binding(index, how),
        expiry: expiry(how),
        state: state(how),
        out_of_budget: how & 8 != 0,
        narrowing: narrowed(index, how),
    });
}

fn edit_imported(content: &mut Content, index: u32, how: u8) {
    let digest = imported(index);
    if how % 4 == 3 {
        return content.remove_imported_key(&digest);
    }
    content.put(Record::ImportedKey {
        id: KeyId::from_number(u64::from(how)),
        digest,
        binding: binding(index, how),
        expiry: expiry(how),
        state: state(how),
        out_of_budget: how & 8 != 0,
        narrowing: narrowed(index, how),
    });
}

fn edit_resource(content: &mut Content, index: u32, how: u8) {
    let (text, project) = (resource_id(index), project(index));
    let id = ResourceId::parse(&text).unwrap();
    if how % 2 == 1 {
        return content.remove_resource(project, ResourceType::File, id);
    }
    let organization = organization(u32::from(how));
    content.put(Record::Resource { resource: ResourceType::File, id, project, organization });
}

fn edit_reference(content: &mut Content, index: u32, how: u8) {
    let text = slug(index);
    if how % 2 == 1 {
        return content.remove_project_reference(&text);
    }
    let project = project(u32::from(how / 2));
    content.put(Record::ProjectReference { text: &text, project, organization: organization(index) });
}

fn edit_membership(content: &mut Content, index: u32, how: u8) {
    let (identity, organization) = (identity(index), organization(index));
    if how % 2 == 1 {
        return content.remove_membership(&identity, organization);
    }
    content.put(Record::Membership { identity, organization, role: role(how) });
}

fn edit_collaboration(content: &mut Content, index: u32, how: u8) {
    let (identity, project) = (identity(index), project(index));
    if how % 2 == 1 {
        return content.remove_collaboration(&identity, project);
    }
    let standing = if how & 8 == 0 { Standing::Member } else { Standing::External { ends: expiry(how) } };
    let organization = organization(index);
    content.put(Record::Collaboration { identity, project, organization, role: role(how), standing });
}

fn edit_session(content: &mut Content, index: u32, how: u8) {
    let session = session(index);
    if how % 2 == 1 {
        return content.remove_ended_session(&session);
    }
    content.put(Record::EndedSession { session, forget: ExpiryMinute(30_000_000 + u32::from(how)) });
}

fn project_names(number: u32, how: u8) -> Record<'static> {
    Record::ProjectNames(ProjectNames {
        number: ProjectNumber(number),
        organization: organization(number),
        id: ProjectId::from_body(letters(number)).unwrap(),
        slug: Slug::parse(&slug(u32::from(how))).unwrap(),
        name: format!("Project {how}").into(),
    })
}

fn organization_names(number: u32, how: u8) -> Record<'static> {
    Record::OrganizationNames(OrganizationNames {
        number: OrganizationNumber(number),
        id: OrganizationId::from_body(letters(number)).unwrap(),
        name: format!("Organization {how}").into(),
    })
}
