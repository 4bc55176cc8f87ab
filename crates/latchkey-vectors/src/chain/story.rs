//! What is in the base of the chains, and what changes in two steps after it.

use crate::case::hex;
use crate::lookup::{self, IMPORTED, PEPPER, identity, imported, key, reference, session};
use latchkey_core::{
    ExpiryMinute, ImportedDigest, OrganizationId, OrganizationNumber, Pepper, PermissionSet, ProjectId,
    ProjectNumber, ResourceId, ResourceType, Role, Slug,
};
use latchkey_snapshot::build::{Content, Record, Standing};
use latchkey_snapshot::*;
use serde_json::{Value, json};

const PROJECT: ProjectNumber = ProjectNumber(10);
const ORGANIZATION: OrganizationNumber = OrganizationNumber(1);

pub(super) fn key_query(index: u32) -> Query {
    let (id, digest) = key(index);
    Query::native_key(&Pepper::new(PEPPER), id, &digest)
}

pub(super) fn binding(role: Role) -> Binding {
    Binding {
        project: PROJECT,
        organization: ORGANIZATION,
        role: Some(role),
        permissions: PermissionSet::of_key(Role::Member),
    }
}

pub(super) fn reference_query(text: &str) -> Query {
    Query::project_reference(&Pepper::new(PEPPER), text)
}

pub(super) fn resource_query() -> Query {
    let file = ResourceId::parse("file-1").unwrap();
    Query::resource(&Pepper::new(PEPPER), PROJECT, ResourceType::File, file)
}

pub(super) fn session_query(letter: u8) -> Query {
    Query::ended_session(&Pepper::new(PEPPER), &session(letter))
}

/// The membership and the collaboration.
pub(super) fn identity_query(letter: u8) -> [Query; 2] {
    let (pepper, identity) = (Pepper::new(PEPPER), identity(letter));
    [Query::membership(&pepper, &identity, ORGANIZATION), Query::collaboration(&pepper, &identity, PROJECT)]
}

fn key_record(index: u32, state: KeyState) -> Record<'static> {
    let (id, digest) = key(index);
    Record::Key {
        id,
        digest,
        binding: binding(Role::Member),
        expiry: None,
        state,
        out_of_budget: false,
        narrowing: None,
    }
}

fn names(number: u32, slug: &str) -> Record<'static> {
    Record::ProjectNames(ProjectNames {
        number: ProjectNumber(number),
        organization: ORGANIZATION,
        id: ProjectId::from_body([b'0' + number as u8 % 10; 16]).unwrap(),
        slug: Slug::parse(slug).unwrap(),
        name: slug.into(),
    })
}

/// The base: key 4 is disabled, all others are in force.
pub(super) fn records() -> Vec<Record<'static>> {
    let keys =
        (0..6).map(|index| key_record(index, if index == 4 { KeyState::Disabled } else { KeyState::Active }));
    let organization = OrganizationNames {
        number: ORGANIZATION,
        id: OrganizationId::from_body([b'1'; 16]).unwrap(),
        name: "One".into(),
    };
    let rest = [
        lookup::resource("file-1", PROJECT.0),
        reference("alpha", PROJECT.0),
        Record::Membership { identity: identity(b'A'), organization: ORGANIZATION, role: Role::Admin },
        collaboration(b'A'),
        ended(b'S'),
        names(PROJECT.0, "alpha"),
        Record::OrganizationNames(organization),
    ];
    keys.chain(rest).collect()
}

fn collaboration(letter: u8) -> Record<'static> {
    Record::Collaboration {
        identity: identity(letter),
        project: PROJECT,
        organization: ORGANIZATION,
        role: Role::Member,
        standing: Standing::Member,
    }
}

fn ended(letter: u8) -> Record<'static> {
    Record::EndedSession { session: session(letter), forget: ExpiryMinute(30_000_060) }
}

/// First: 1 is revoked, 3 gone, 9 new; the slug is free; the membership is less; sessions T and U are ended; a new name.
/// Then: 2 is disabled, 4 enabled, 9 gone, 3 there again; the slug leads elsewhere; what is left of Ada goes, and
/// sessions S and U are forgotten; an imported key and a project are new.
pub(super) fn change(content: &mut Content, step: usize) {
    let remove_key = |content: &mut Content, index: u32| {
        let (id, digest) = key(index);
        content.remove_key(id, &digest);
    };
    if step == 1 {
        content.put(key_record(1, KeyState::Revoked));
        remove_key(content, 3);
        content.put(key_record(9, KeyState::Active));
        content.remove_project_reference("alpha");
        let identity = identity(b'A');
        content.put(Record::Membership { identity, organization: ORGANIZATION, role: Role::Member });
        content.put(ended(b'T'));
        content.put(ended(b'U'));
        content.put(names(PROJECT.0, "beta"));
    } else {
        content.put(key_record(2, KeyState::Disabled));
        content.put(key_record(4, KeyState::Active));
        remove_key(content, 9);
        content.put(key_record(3, KeyState::Active));
        content.put(reference("alpha", 11));
        content.remove_resource(PROJECT, ResourceType::File, ResourceId::parse("file-1").unwrap());
        content.remove_membership(&identity(b'A'), ORGANIZATION);
        content.remove_collaboration(&identity(b'A'), PROJECT);
        content.put(collaboration(b'B'));
        content.remove_ended_session(&session(b'S'));
        content.remove_ended_session(&session(b'U'));
        content.put(imported(IMPORTED));
        content.put(names(11, "alpha"));
    }
}

/// What is refused as a whole at each step.
pub(super) fn exceptions(step: usize) -> Exceptions {
    let organizations: &[u32] = [&[3][..], &[3, 4], &[4]][step];
    let archived: &[u32] = [&[30][..], &[32], &[30, 31]][step];
    let organizations = organizations.iter().copied().map(OrganizationNumber);
    let archived = archived.iter().copied().map(ProjectNumber);
    Exceptions::default().with_suspended(organizations).with_archived(archived)
}

pub(super) enum Question {
    Record(Query),
    Names(Kind, u32),
}

/// What is asked of every chain.
pub(super) fn questions() -> Vec<(Value, Question)> {
    let pepper = Pepper::new(PEPPER);
    let keys = [0, 1, 2, 3, 4, 5, 9, 100].into_iter().map(|index| {
        let (id, digest) = key(index);
        (
            json!({ "kind": 1, "id": id.to_string(), "digest": hex(digest.0) }),
            Question::Record(key_query(index)),
        )
    });
    let people = [b'A', b'B'].into_iter().flat_map(|letter| {
        let identity = identity(letter);
        let text = identity.to_string();
        [
            (
                json!({ "kind": 7, "identity": text, "organization": ORGANIZATION.0 }),
                Question::Record(Query::membership(&pepper, &identity, ORGANIZATION)),
            ),
            (
                json!({ "kind": 8, "identity": text, "project": PROJECT.0 }),
                Question::Record(Query::collaboration(&pepper, &identity, PROJECT)),
            ),
        ]
    });
    let sessions = [b'S', b'T', b'U'].into_iter().map(|letter| {
        let session = session(letter);
        let asked = json!({ "kind": 9, "session": session.to_string() });
        (asked, Question::Record(Query::ended_session(&pepper, &session)))
    });
    let file = ResourceId::parse("file-1").unwrap();
    let rest = [
        (
            json!({ "kind": 2, "text": IMPORTED }),
            Question::Record(Query::imported_key(&pepper, &ImportedDigest::of(IMPORTED.as_bytes()))),
        ),
        (
            json!({ "kind": 3, "project": PROJECT.0, "type": ResourceType::File as u8, "id": "file-1" }),
            Question::Record(Query::resource(&pepper, PROJECT, ResourceType::File, file)),
        ),
        (json!({ "kind": 4, "text": "alpha" }), Question::Record(Query::project_reference(&pepper, "alpha"))),
    ];
    let names =
        [(Kind::ProjectNames, 10), (Kind::ProjectNames, 11), (Kind::OrganizationNames, 1)].into_iter().map(
            |(kind, number)| (json!({ "kind": kind as u8, "number": number }), Question::Names(kind, number)),
        );
    keys.chain(people).chain(sessions).chain(rest).chain(names).collect()
}
