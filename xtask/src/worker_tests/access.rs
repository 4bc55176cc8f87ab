//! Who else is let in: people with sessions, a key of another system, and what some keys are narrowed to.

use anyhow::{Result, anyhow};
use core::num::NonZeroU32;
use latchkey_core::{
    ExpiryMinute, IdentityId, ImportedDigest, KeyId, Matching, ModelName, Network, OrganizationNumber,
    Pepper, PermissionSet, ProjectNumber, Role, SessionId,
};
use latchkey_snapshot::build::{Narrowing, NarrowingContent, Record, Standing};
use latchkey_snapshot::{Binding, KeyState, ModelPattern, Query, Rate};
use serde_json::{Map, Value, json};

/// A key of another system, in the project 10.
pub(super) const IMPORTED: &str = "sk-other-0123456789abcdef";
const PROJECT: ProjectNumber = ProjectNumber(10);
const ORGANIZATION: OrganizationNumber = OrganizationNumber(1);
const LATER: ExpiryMinute = ExpiryMinute(34_000_000);

/// A name, the role in the organization, the role in the project 10 and on what that rests.
type Part = (&'static str, Option<Role>, Option<(Role, Standing)>);

const PEOPLE: [Part; 5] = [
    ("member", Some(Role::Member), Some((Role::Member, Standing::Member))),
    ("admin", Some(Role::Member), Some((Role::Admin, Standing::Member))),
    ("external", None, Some((Role::Member, Standing::External { ends: Some(LATER) }))),
    ("unjoined", Some(Role::Admin), None),
    ("signed_out", Some(Role::Admin), Some((Role::Admin, Standing::Member))),
];

fn body(kind: u8, at: usize) -> [u8; 16] {
    let mut body = [kind; 16];
    body[15] = b'a' + at as u8;
    body
}

/// The ids are base62 by construction.
fn identity(at: usize) -> IdentityId {
    IdentityId::from_body(body(b'i', at)).unwrap_or_else(|| unreachable!())
}

fn session(at: usize) -> SessionId {
    SessionId::from_body(body(b's', at)).unwrap_or_else(|| unreachable!())
}

pub(super) fn imported_id() -> KeyId {
    KeyId::from_number(0x1234_5678_9abc_def0)
}

/// The people as JSON, with the tags that an inline revocation needs.
pub(super) fn people(pepper: &Pepper) -> Map<String, Value> {
    let person = |at: usize| {
        json!({
            "identity": identity(at).to_string(),
            "session": session(at).to_string(),
            "collaboration_tag": hex(&Query::collaboration(pepper, &identity(at), PROJECT).tag),
            "session_tag": hex(&Query::ended_session(pepper, &session(at)).tag),
        })
    };
    PEOPLE.iter().enumerate().map(|(at, (name, ..))| ((*name).to_owned(), person(at))).collect()
}

/// Everything of theirs that a snapshot says.
pub(super) fn records() -> Vec<Record<'static>> {
    let mut records = vec![Record::ImportedKey {
        id: imported_id(),
        digest: ImportedDigest::of(IMPORTED.as_bytes()),
        binding: Binding {
            project: PROJECT,
            organization: ORGANIZATION,
            role: Some(Role::Member),
            permissions: PermissionSet::of_key(Role::Member),
        },
        expiry: None,
        state: KeyState::Active,
        out_of_budget: false,
        narrowing: None,
    }];
    for (at, (name, member, collaborator)) in PEOPLE.into_iter().enumerate() {
        let identity = identity(at);
        if let Some(role) = member {
            records.push(Record::Membership { identity, organization: ORGANIZATION, role });
        }
        if let Some((role, standing)) = collaborator {
            let (project, organization) = (PROJECT, ORGANIZATION);
            records.push(Record::Collaboration { identity, project, organization, role, standing });
        }
        if name == "signed_out" {
            records.push(Record::EndedSession { session: session(at), forget: LATER });
        }
    }
    records
}

/// What the key of this name is narrowed to.
pub(super) fn narrowing(name: &str, id: KeyId) -> Result<Option<Narrowing>> {
    let networks = ["10.1.0.0/16", "2001:db8::/32"].map(Network::parse);
    let [Ok(four), Ok(six)] = networks else { return Err(anyhow!("a network of the fixture is none")) };
    let text = ModelName::parse("meta/llama-3").map_err(|error| anyhow!("{error}"))?;
    let model = ModelPattern { matching: Matching::Exact, text };
    let content = match name {
        "in_network" => NarrowingContent { networks: &[four, six], ..NarrowingContent::default() },
        "of_model" => NarrowingContent { models: &[model], ..NarrowingContent::default() },
        "slow" => {
            let rate = NonZeroU32::new(12).map(|per_minute| Rate { per_minute, family: id });
            NarrowingContent { rate, ..NarrowingContent::default() }
        }
        _ => NarrowingContent::default(),
    };
    content.encode().map_err(|error| anyhow!("{error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
