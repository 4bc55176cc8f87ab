//! Vectors of the look-up: from a pepper and a key to a tag, a place and a bucket, and to what a snapshot says.

use crate::case::hex;
use crate::describe::{self, wide};
use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, ExpiryMinute, Generation, IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationId,
    OrganizationNumber, Pepper, Permission, PermissionSet, ProjectId, ProjectNumber, ResourceId,
    ResourceType, Role, SessionId, Slug,
};
use latchkey_snapshot::build::{self, Built, Content, Edition, NarrowingContent, Record, Standing};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::*;
use serde_json::{Value, json};
use std::num::NonZeroU32;

pub(crate) const PEPPER: [u8; 32] = [0x55; 32];
/// Keys with a permission set each, so that a page of fewer than 4,096 records must be cut.
const KEYS: u32 = 300;
/// A key of another system.
pub(crate) const IMPORTED: &str = "sk-0123456789abcdef";
/// One more than a page of names holds.
const ORGANIZATIONS: u32 = 513;

pub(crate) fn vectors() -> Value {
    let built = snapshot();
    let objects: Vec<Value> = built.objects.iter().map(|object| hex(&object.bytes).into()).collect();
    json!({
        "about": "queries asked of one snapshot; found is null where it says nothing. An object's name is its digest",
        "pepper": hex(PEPPER),
        "pepper_id": hex(Pepper::new(PEPPER).id()),
        "manifest": hex(&built.manifest.bytes),
        "objects": objects,
        "records": record_queries(&built),
        "names": name_queries(&built),
    })
}

pub(crate) fn key(index: u32) -> (KeyId, KeyDigest) {
    let mut dice = Dice::from_seed(&[9; 32]);
    let mut seed = [0; 32];
    dice.fill(&mut seed);
    seed[..4].copy_from_slice(&index.to_le_bytes());
    let mut dice = Dice::from_seed(&seed);
    (KeyId::generate(organization(index).hint(), &mut dice), KeyDigest(dice.bytes()))
}

fn organization(index: u32) -> OrganizationNumber {
    OrganizationNumber(index % 5)
}

/// A set that no other index has.
fn set(index: u32) -> PermissionSet {
    let chosen = |bit: usize| index >> bit & 1 == 1;
    let data = PermissionSet::of_key(Role::Member);
    data.iter()
        .enumerate()
        .filter(|(bit, _)| *bit < 16 && chosen(*bit))
        .fold(PermissionSet::EMPTY.with(Permission::InferenceInvoke), |set, (_, permission)| {
            set.with(permission)
        })
}

pub(crate) fn key_record(index: u32) -> Record<'static> {
    let (id, digest) = key(index);
    let role = if index.is_multiple_of(2) { Role::Member } else { Role::Admin };
    Record::Key {
        id,
        digest,
        binding: Binding {
            project: ProjectNumber(index % 20),
            organization: organization(index),
            role: Some(role),
            permissions: set(index),
        },
        expiry: index.is_multiple_of(3).then_some(ExpiryMinute(30_000_000 + index)),
        state: [KeyState::Active, KeyState::Disabled, KeyState::Revoked][index as usize % 3],
        out_of_budget: index.is_multiple_of(5),
        narrowing: index.is_multiple_of(26).then(|| rated(id)),
    }
}

/// A narrowing to a rate of its own.
fn rated(family: KeyId) -> build::Narrowing {
    let rate = Some(Rate { per_minute: NonZeroU32::new(60).unwrap(), family });
    NarrowingContent { rate, ..NarrowingContent::default() }.encode().unwrap().unwrap()
}

pub(crate) fn imported(text: &str) -> Record<'static> {
    let (id, _) = key(text.len() as u32);
    Record::ImportedKey {
        id,
        digest: ImportedDigest::of(text.as_bytes()),
        binding: Binding {
            project: ProjectNumber(10),
            organization: OrganizationNumber(1),
            role: Some(Role::Member),
            permissions: PermissionSet::of_key(Role::Member),
        },
        expiry: None,
        state: KeyState::Active,
        out_of_budget: false,
        narrowing: Some(rated(id)),
    }
}

pub(crate) fn identity(letter: u8) -> IdentityId {
    IdentityId::from_body([letter; 16]).unwrap()
}

pub(crate) fn session(letter: u8) -> SessionId {
    SessionId::from_body([letter; 16]).unwrap()
}

/// Ada is a member of organization 1 and of project 10; Bob comes to project 10 from outside, for a time.
fn people() -> [Record<'static>; 4] {
    let (project, organization) = (ProjectNumber(10), OrganizationNumber(1));
    let collaboration =
        |identity, role, standing| Record::Collaboration { identity, project, organization, role, standing };
    let ends = Some(ExpiryMinute(31_000_000));
    [
        Record::Membership { identity: identity(b'A'), organization, role: Role::Admin },
        collaboration(identity(b'A'), Role::Member, Standing::Member),
        collaboration(identity(b'B'), Role::Admin, Standing::External { ends }),
        Record::EndedSession { session: session(b'S'), forget: ExpiryMinute(30_000_060) },
    ]
}

pub(crate) fn resource(id: &'static str, project: u32) -> Record<'static> {
    Record::Resource {
        resource: ResourceType::File,
        id: ResourceId::parse(id).unwrap(),
        project: ProjectNumber(project),
        organization: OrganizationNumber(1),
    }
}

pub(crate) fn reference(text: &'static str, project: u32) -> Record<'static> {
    Record::ProjectReference { text, project: ProjectNumber(project), organization: OrganizationNumber(1) }
}

fn names(dice: &mut Dice) -> Vec<Record<'static>> {
    let project = Record::ProjectNames(ProjectNames {
        number: ProjectNumber(10),
        organization: OrganizationNumber(1),
        id: ProjectId::generate(dice),
        slug: Slug::parse("alpha").unwrap(),
        name: "Alpha".into(),
    });
    let organizations = (0..ORGANIZATIONS).map(|number| {
        let id = OrganizationId::from_body([b'0' + (number % 10) as u8; 16]).unwrap();
        Record::OrganizationNames(OrganizationNames {
            number: OrganizationNumber(number),
            id,
            name: "o".into(),
        })
    });
    organizations.chain([project]).collect()
}

fn snapshot() -> Built {
    let mut content = Content::new(Pepper::new(PEPPER));
    let keys = (0..KEYS).map(key_record);
    let rest = [
        resource("file-1", 10),
        resource("file-2", 11),
        reference("alpha", 10),
        reference("proj_0123456789ABCDEF", 10),
        imported(IMPORTED),
        imported("another-system's-key"),
    ];
    content.load(keys.chain(rest).chain(people()).chain(names(&mut Dice::from_seed(&[200; 32]))));
    let edition = Edition {
        installation: Installation(crate::root::INSTALLATION),
        generation: Generation(5),
        pepper_id: content.pepper_id(),
        grace_secs: 900,
        prefix: Prefix::parse("lk").unwrap(),
        exceptions: &Exceptions::default(),
        session_keys: &[],
        edge_keys: &[],
        canaries: &[],
        cors: None,
        rules: &[],
    };
    content.build(&edition).unwrap()
}

/// The bytes of the object that `reference` names.
fn bytes<'b>(built: &'b Built, reference: &ObjectRef) -> &'b [u8] {
    &built.objects.iter().find(|object| object.reference == *reference).unwrap().bytes
}

/// The page for a place, if any.
fn page(built: &Built, kind: Kind, place: u64) -> Option<node::PageRef> {
    let manifest = Manifest::parse(&built.manifest.reference, &built.manifest.bytes).unwrap();
    let section = manifest.section(kind)?;
    let node = section.nodes.iter().rfind(|node| node.first_place <= place)?;
    let node = Node::parse(kind, &node.object, bytes(built, &node.object)).unwrap();
    node.pages().iter().rfind(|page| page.first_place <= place).copied()
}

fn answer(built: &Built, name: &str, asked: Value, query: &Query) -> Value {
    let page = page(built, query.kind, query.place);
    json!({
        "name": name, "asked": asked, "tag": hex(query.tag), "place": wide(query.place), "bucket_hash": query.bucket,
        "page": page.map(|page| page.object.digest().to_string()), "found": found_in(built, query),
    })
}

/// What a snapshot says of a record.
pub(crate) fn found_in(built: &Built, query: &Query) -> Value {
    let found = page(built, query.kind, query.place).and_then(|page| {
        let bytes = bytes(built, &page.object).to_vec().into();
        let page = Page::parse(query.kind, &page.object, bytes).unwrap();
        page.find(query).map(|entry| describe::entry(&page, &entry))
    });
    found.into()
}

/// What a snapshot says of a number's names.
pub(crate) fn answer_names(built: &Built, kind: Kind, number: u32) -> Value {
    let found = page(built, kind, Query::names_place(number)).and_then(|page| {
        let names = Names::parse(kind, &page.object, bytes(built, &page.object)).unwrap();
        let project = names.project(ProjectNumber(number)).map(describe::project_names);
        project.or_else(|| names.organization(OrganizationNumber(number)).map(describe::organization_names))
    });
    found.into()
}

fn record_queries(built: &Built) -> Value {
    let pepper = Pepper::new(PEPPER);
    let asked_key = |index: u32| {
        let (id, digest) = key(index);
        json!({ "kind": 1, "id": id.to_string(), "digest": hex(digest.0) })
    };
    let ask_key = |name: &str, index: u32| {
        let (id, digest) = key(index);
        answer(built, name, asked_key(index), &Query::native_key(&pepper, id, &digest))
    };
    let mut cases = vec![ask_key("an unknown key", KEYS), ask_key("another unknown key", KEYS + 1)];
    let ((id, _), (_, digest)) = (key(4), key(5));
    let mixed = json!({ "kind": 1, "id": id.to_string(), "digest": hex(digest.0) });
    cases.push(answer(
        built,
        "a digest under another key's id",
        mixed,
        &Query::native_key(&pepper, id, &digest),
    ));
    for (name, project, resource, id) in [
        ("an unknown file", 10, ResourceType::File, "file-3"),
        ("a file of another project", 11, ResourceType::File, "file-1"),
        ("a volume with a file's id", 10, ResourceType::Volume, "file-1"),
        ("a file", 10, ResourceType::File, "file-1"),
        ("another file", 11, ResourceType::File, "file-2"),
    ] {
        let asked = json!({ "kind": 3, "project": project, "type": resource as u8, "id": id });
        let query =
            Query::resource(&pepper, ProjectNumber(project), resource, ResourceId::parse(id).unwrap());
        cases.push(answer(built, name, asked, &query));
    }
    for (name, text) in [
        ("an unknown slug", "beta"),
        ("an id without its prefix", "0123456789ABCDEF"),
        ("a slug", "alpha"),
        ("a permanent id", "proj_0123456789ABCDEF"),
    ] {
        let asked = json!({ "kind": 4, "text": text });
        cases.push(answer(built, name, asked, &Query::project_reference(&pepper, text)));
    }
    cases.extend(people_queries(built, &pepper));
    cases.extend((0..KEYS).step_by(13).map(|index| ask_key(&format!("key {index}"), index)));
    cases.into()
}

/// Imported keys and people, the unknown ones first.
fn people_queries(built: &Built, pepper: &Pepper) -> Vec<Value> {
    let mut cases = Vec::new();
    for (name, text) in [("an unknown imported key", "sk-0123456789abcdeg"), ("an imported key", IMPORTED)] {
        let asked = json!({ "kind": 2, "text": text });
        let query = Query::imported_key(pepper, &ImportedDigest::of(text.as_bytes()));
        cases.push(answer(built, name, asked, &query));
    }
    for (name, letter, number) in [
        ("an external's membership", b'B', 1),
        ("a membership in an organization with the project's number", b'A', 10),
        ("a membership", b'A', 1),
    ] {
        let identity = identity(letter);
        let asked = json!({ "kind": 7, "identity": identity.to_string(), "organization": number });
        let query = Query::membership(pepper, &identity, OrganizationNumber(number));
        cases.push(answer(built, name, asked, &query));
    }
    for (name, letter, number) in [
        ("a stranger's collaboration", b'C', 10),
        ("a collaboration in a project with the organization's number", b'A', 1),
        ("a member's collaboration", b'A', 10),
        ("an external's collaboration", b'B', 10),
    ] {
        let identity = identity(letter);
        let asked = json!({ "kind": 8, "identity": identity.to_string(), "project": number });
        let query = Query::collaboration(pepper, &identity, ProjectNumber(number));
        cases.push(answer(built, name, asked, &query));
    }
    for (name, letter) in [("a session that goes on", b'T'), ("a session that was ended", b'S')] {
        let session = session(letter);
        let asked = json!({ "kind": 9, "session": session.to_string() });
        cases.push(answer(built, name, asked, &Query::ended_session(pepper, &session)));
    }
    cases
}

fn name_queries(built: &Built) -> Value {
    let ask = |kind: Kind, number: u32| {
        let place = Query::names_place(number);
        let page = page(built, kind, place);
        json!({
            "asked": { "kind": kind as u8, "number": number }, "place": wide(place),
            "page": page.map(|page| page.object.digest().to_string()), "found": answer_names(built, kind, number),
        })
    };
    let unknown = [
        (Kind::ProjectNames, 9),
        (Kind::ProjectNames, 11),
        (Kind::OrganizationNames, 513),
        (Kind::OrganizationNames, u32::MAX),
    ];
    let known = [
        (Kind::ProjectNames, 10),
        (Kind::OrganizationNames, 0),
        (Kind::OrganizationNames, 255),
        (Kind::OrganizationNames, 256),
        (Kind::OrganizationNames, 511),
        (Kind::OrganizationNames, 512),
    ];
    unknown.into_iter().chain(known).map(|(kind, number)| ask(kind, number)).collect()
}
