//! Nouns as the records that edges hold of them. What a record says does not depend on the moment: expiry and end
//! dates are the edge's to judge, so the same state always gives the same bytes.

use crate::iam::{
    self, Collaboration, Key, KeyProof, Membership, Narrowing, Organization, Project, Resource, Session,
};
use latchkey_core::{
    ExpiryMinute, ModelName, OrganizationNumber, PermissionSet, ResourceId, UnixMillis, UnixSeconds,
};
use latchkey_snapshot::build::{self, NarrowingContent, Record, Standing};
use latchkey_snapshot::names::NAME_LEN_MAX;
use latchkey_snapshot::page::{Binding, KeyState};
use latchkey_snapshot::{ModelPattern, OrganizationNames, ProjectNames, Rate, ResourcePattern};
use std::num::NonZeroU32;

/// Whether the key was revoked so long ago that edges are told nothing of it any more.
pub(super) fn is_buried(key: &Key, tombstones_up_to: UnixMillis) -> bool {
    key.revoked_at.is_some_and(|revoked_at| revoked_at <= tombstones_up_to)
}

/// A key. `None` if it is narrowed to something that a snapshot cannot say, which the API does not let in: such a
/// key is known nowhere, so it is refused.
pub(super) fn key<'a>(
    key: &Key,
    organization: OrganizationNumber,
    out_of_budget: bool,
) -> Option<Record<'a>> {
    let state = match (key.revoked_at, key.disabled_at) {
        (Some(_), _) => KeyState::Revoked,
        (None, Some(_)) => KeyState::Disabled,
        (None, None) => KeyState::Active,
    };
    let held = PermissionSet::of_key(key.role);
    let permissions = key.narrowing.permissions.map_or(held, |narrowed| narrowed.intersection(held));
    let binding = Binding { project: key.project, organization, role: Some(key.role), permissions };
    let narrowing = narrowing(&key.narrowing, key)?;
    let (id, expiry) = (key.id, key.expires);
    Some(match key.proof {
        KeyProof::Native(digest) => {
            Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing }
        }
        KeyProof::Imported(digest) => {
            Record::ImportedKey { id, digest, binding, expiry, state, out_of_budget, narrowing }
        }
    })
}

fn narrowing<'n>(narrowing: &'n Narrowing, key: &Key) -> Option<Option<build::Narrowing>> {
    let resource = |one: &'n iam::narrowing::ResourcePattern| {
        let iam::narrowing::ResourcePattern { kind, matching, text } = one;
        let text = ResourceId::parse(text).ok()?;
        Some(ResourcePattern { resource: *kind, matching: *matching, text })
    };
    let resources = narrowing.resources.iter().map(resource).collect::<Option<Vec<_>>>()?;
    let model = |one: &'n iam::narrowing::ModelPattern| {
        let iam::narrowing::ModelPattern { matching, text } = one;
        Some(ModelPattern { matching: *matching, text: ModelName::parse(text).ok()? })
    };
    let models = narrowing.models.iter().map(model).collect::<Option<Vec<_>>>()?;
    let per_minute = narrowing.rate_per_minute.and_then(NonZeroU32::new);
    let rate = per_minute.map(|per_minute| Rate { per_minute, family: key.family });
    let content =
        NarrowingContent { rate, networks: &narrowing.networks, resources: &resources, models: &models };
    content.encode().ok()
}

/// A resource that is not deleted.
pub(super) fn resource(resource: &Resource, organization: OrganizationNumber) -> Option<Record<'_>> {
    let id = ResourceId::parse(&resource.id).ok()?;
    Some(Record::Resource { resource: resource.kind, id, project: resource.project, organization })
}

/// The texts by which a path may name the project.
pub(super) fn references<'a>(project: &'a Project, id: &'a str) -> [Record<'a>; 2] {
    let (number, organization) = (project.number, project.organization);
    let reference = |text| Record::ProjectReference { text, project: number, organization };
    [reference(id), reference(project.slug.as_str())]
}

pub(super) fn membership<'a>(membership: &Membership) -> Record<'a> {
    let Membership { identity, organization, role, .. } = *membership;
    Record::Membership { identity, organization, role }
}

pub(super) fn collaboration<'a>(
    collaboration: &Collaboration,
    organization: OrganizationNumber,
) -> Record<'a> {
    let Collaboration { identity, project, role, is_external, ends_at, .. } = *collaboration;
    let standing = if is_external { Standing::External { ends: ends_at } } else { Standing::Member };
    Record::Collaboration { identity, project, organization, role, standing }
}

/// A session that was ended, until no token of it can be valid: those never outlive it (S2).
pub(super) fn ended_session<'a>(session: &Session) -> Option<Record<'a>> {
    session.revoked_at?;
    let last = session.expires_at.seconds();
    let forget = ExpiryMinute::floor(UnixSeconds(last.0.saturating_add(MINUTE_SECS)))?;
    Some(Record::EndedSession { session: session.id, forget })
}

pub(super) fn project_names<'a>(project: &Project) -> Record<'a> {
    Record::ProjectNames(ProjectNames {
        number: project.number,
        organization: project.organization,
        id: project.id,
        slug: project.slug,
        name: bounded(project.name.as_str()),
    })
}

pub(super) fn organization_names<'a>(organization: &Organization) -> Record<'a> {
    Record::OrganizationNames(OrganizationNames {
        number: organization.number,
        id: organization.id,
        name: bounded(organization.name.as_str()),
    })
}

/// The name, cut at a character to what a page of names takes: 100 characters may be more bytes than that.
fn bounded(name: &str) -> Box<str> {
    let mut end = name.len().min(NAME_LEN_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}

const MINUTE_SECS: u64 = 60;
