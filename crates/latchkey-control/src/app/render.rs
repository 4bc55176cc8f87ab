//! Nouns as the API shows them. None of these can show a secret: the nouns have none.

use crate::iam::{Key, KeyState, Organization, Project, Resource, Session, Visibility};
use latchkey_api as api;
use latchkey_core::{Role, SessionId, UnixMillis};

pub(super) fn organization(organization: &Organization) -> api::Organization {
    api::Organization {
        id: organization.id.to_string(),
        name: organization.name.as_str().to_owned(),
        owner_id: organization.owner.to_string(),
        created_at: organization.created_at.into(),
        suspended_at: organization.suspended_at.map(Into::into),
    }
}

pub(super) fn project(project: &Project, organization: &Organization, role: Option<Role>) -> api::Project {
    api::Project {
        id: project.id.to_string(),
        organization_id: organization.id.to_string(),
        name: project.name.as_str().to_owned(),
        slug: project.slug.to_string(),
        visibility: match project.visibility {
            Visibility::Open => api::Visibility::Open,
            Visibility::Closed => api::Visibility::Closed,
            Visibility::Private => api::Visibility::Private,
        },
        default: project.is_default,
        created_at: project.created_at.into(),
        role: role.map(Into::into),
    }
}

pub(super) fn key(key: &Key, project: &Project, now: UnixMillis) -> api::Key {
    api::Key {
        id: key.id.to_string(),
        project_id: project.id.to_string(),
        name: key.name.as_str().to_owned(),
        role: key.role.into(),
        status: match key.state(now) {
            KeyState::Active => api::KeyStatus::Active,
            KeyState::Disabled => api::KeyStatus::Disabled,
            KeyState::Expired => api::KeyStatus::Expired,
            KeyState::Revoked => api::KeyStatus::Revoked,
        },
        created_by: key.created_by.to_string(),
        created_at: key.created_at.into(),
        expires_at: key.expires.map(|expiry| api::Timestamp(expiry.begins())),
        disabled_at: key.disabled_at.map(Into::into),
        revoked_at: key.revoked_at.map(Into::into),
    }
}

pub(super) fn resource(resource: &Resource, project: &Project) -> api::Resource {
    api::Resource {
        kind: resource.kind.into(),
        id: resource.id.clone(),
        project_id: project.id.to_string(),
        created_at: resource.created_at.into(),
    }
}

pub(super) fn session(session: &Session, current: Option<&SessionId>) -> api::Session {
    api::Session {
        id: session.id.to_string(),
        created_at: session.created_at.into(),
        expires_at: session.expires_at.into(),
        current: current == Some(&session.id),
    }
}
