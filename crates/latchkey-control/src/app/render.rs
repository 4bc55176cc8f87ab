//! Nouns as the API shows them. None of these can show a secret: the nouns have none.

use super::narrowing;
use crate::iam::{
    Cluster, Collaboration, Contact, Departure, Invitation, InvitationOutcome, InvitedInto, JoinMethod, Key,
    KeyProof, KeyState, Membership, Notice, NoticeKind, Organization, OwnershipOffer, Project, Resource,
    ResourceDetail, Session, Settings, User, Visibility,
};
use latchkey_api as api;
use latchkey_core::{Role, SessionId, UnixMillis};

pub(super) fn organization(organization: &Organization) -> api::Organization {
    api::Organization {
        id: organization.id.to_string(),
        name: organization.name.as_str().to_owned(),
        owner_id: organization.owner.to_string(),
        created_at: organization.created_at.into(),
        suspended_at: organization.suspended_at.map(Into::into),
        imports_keys: organization.imports_keys,
    }
}

pub(super) fn project_settings(project: &Project) -> api::ProjectSettings {
    api::ProjectSettings {
        name: project.name.as_str().to_owned(),
        slug: project.slug.to_string(),
        visibility: visibility(project.visibility),
        allows_external: project.allows_external,
    }
}

const fn visibility(visibility: Visibility) -> api::Visibility {
    match visibility {
        Visibility::Open => api::Visibility::Open,
        Visibility::Closed => api::Visibility::Closed,
        Visibility::Private => api::Visibility::Private,
    }
}

pub(super) fn project(project: &Project, organization: &Organization, role: Option<Role>) -> api::Project {
    api::Project {
        id: project.id.to_string(),
        organization_id: organization.id.to_string(),
        organization_name: organization.name.as_str().to_owned(),
        name: project.name.as_str().to_owned(),
        slug: project.slug.to_string(),
        visibility: visibility(project.visibility),
        default: project.is_default,
        allows_external: project.allows_external,
        created_at: project.created_at.into(),
        archived_at: project.archived_at.map(Into::into),
        role: role.map(Into::into),
    }
}

/// `last_use` is what the view says of it.
pub(super) fn key(key: &Key, project: &Project, last_use: Option<UnixMillis>, now: UnixMillis) -> api::Key {
    api::Key {
        id: key.id.to_string(),
        project_id: project.id.to_string(),
        name: key.name.as_str().to_owned(),
        role: key.role.into(),
        status: key_status(key, now),
        narrowing: narrowing::show(&key.narrowing),
        imported: matches!(key.proof, KeyProof::Imported(_)),
        predecessor_id: key.predecessor.map(|id| id.to_string()),
        successor_id: key.successor.map(|id| id.to_string()),
        created_by: key.created_by.to_string(),
        created_at: key.created_at.into(),
        last_used_at: last_use.map(Into::into),
        expires_at: key.expires.map(|expiry| api::Timestamp(expiry.begins())),
        disabled_at: key.disabled_at.map(Into::into),
        revoked_at: key.revoked_at.map(Into::into),
    }
}

pub(super) fn batched_key(key: &Key) -> api::audit::BatchedKey {
    api::audit::BatchedKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        role: key.role.into(),
        expires_at: key.expires.map(|expiry| api::Timestamp(expiry.begins())),
        narrowing: narrowing::show(&key.narrowing),
    }
}

pub(super) fn resource(resource: &Resource, project: &Project) -> api::Resource {
    api::Resource {
        kind: resource.kind.into(),
        id: resource.id.clone(),
        name: resource.name.as_str().to_owned(),
        cluster: match &resource.detail {
            ResourceDetail::None => None,
            ResourceDetail::Cluster(one) => Some(cluster(one)),
        },
        project_id: project.id.to_string(),
        created_at: resource.created_at.into(),
    }
}

fn cluster(cluster: &Cluster) -> api::Cluster {
    api::Cluster {
        server: cluster.server.clone(),
        certificate_authority: cluster.certificate_authority.clone(),
        oidc: cluster
            .oidc
            .as_ref()
            .map(|oidc| api::ClusterOidc { issuer: oidc.issuer.clone(), client_id: oidc.client_id.clone() }),
        login: cluster.login.as_ref().map(|login| api::ClusterLogin {
            command: login.command.clone(),
            arguments: login.arguments.clone(),
        }),
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

pub(super) fn invitation(
    invitation: &Invitation,
    organization: &Organization,
    project: Option<&Project>,
    now: UnixMillis,
) -> api::Invitation {
    let ends_at = match invitation.into {
        InvitedInto::Organization(_) => None,
        InvitedInto::Project(_, _, ends_at) => ends_at,
    };
    api::Invitation {
        id: invitation.id.to_string(),
        organization_id: organization.id.to_string(),
        project_id: project.map(|project| project.id.to_string()),
        email: invitation.email.as_str().to_owned(),
        role: invitation.role().into(),
        ends_at: ends_at.map(|end| api::Timestamp(end.begins())),
        status: match invitation.outcome {
            InvitationOutcome::Accepted(..) => api::InvitationStatus::Accepted,
            InvitationOutcome::Cancelled(_) => api::InvitationStatus::Cancelled,
            InvitationOutcome::Pending if invitation.is_open(now) => api::InvitationStatus::Pending,
            InvitationOutcome::Pending => api::InvitationStatus::Expired,
        },
        sent_by: invitation.sender.to_string(),
        sent_at: invitation.sent_at.into(),
        expires_at: invitation.expires_at.into(),
    }
}

pub(super) fn member(user: &User, membership: &Membership, organization: &Organization) -> api::Member {
    let (kind, email, name) = contact(user);
    api::Member {
        user_id: user.id.to_string(),
        kind,
        email,
        name,
        role: membership.role.into(),
        owner: organization.owner == user.id,
        joined_at: membership.joined_at.into(),
    }
}

pub(super) fn departure(user: &User, departure: &Departure) -> api::Departure {
    api::Departure {
        user_id: user.id.to_string(),
        email: user.email().map(|email| email.as_str().to_owned()),
        removed_at: departure.at.into(),
    }
}

pub(super) fn settings(settings: &Settings) -> api::OrganizationSettings {
    api::OrganizationSettings {
        join_method: match settings.join_method {
            JoinMethod::Invitation => api::JoinMethod::Invitation,
            JoinMethod::Sso => api::JoinMethod::Sso,
        },
        session_minutes: settings.session_minutes,
        keys: api::KeyPolicy {
            lifetime_minutes_max: settings.keys.lifetime_minutes_max,
            expiry_required: settings.keys.expiry_required,
            idle_days_max: settings.keys.idle_days_max,
            warning_days: settings.keys.warning_days,
        },
    }
}

pub(super) fn ownership(organization: &Organization, offer: Option<&OwnershipOffer>) -> api::Ownership {
    api::Ownership {
        owner_id: organization.owner.to_string(),
        offer: offer.map(|offer| api::OwnershipOffer {
            to: offer.to.to_string(),
            created_at: offer.created_at.into(),
            expires_at: offer.expires_at.into(),
        }),
    }
}

pub(super) fn service_account(user: &User, role: Role, token: Option<&Session>) -> api::ServiceAccount {
    let name = match &user.contact {
        Contact::Person(email) => email.as_str(),
        Contact::Service(name) => name.as_str(),
    };
    api::ServiceAccount {
        user_id: user.id.to_string(),
        name: name.to_owned(),
        role: role.into(),
        created_at: user.created_at.into(),
        token: token.map(|token| api::ServiceToken {
            id: token.id.to_string(),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
        }),
    }
}

pub(super) fn collaborator(
    user: &User,
    collaboration: &Collaboration,
    effective: Option<Role>,
) -> api::Collaborator {
    let (kind, email, name) = contact(user);
    api::Collaborator {
        user_id: user.id.to_string(),
        kind,
        email,
        name,
        role: collaboration.role.into(),
        effective_role: effective.map(Into::into),
        external: collaboration.is_external,
        ends_at: collaboration.ends_at.map(|end| api::Timestamp(end.begins())),
        added_at: collaboration.added_at.into(),
    }
}

pub(super) fn collaborator_key(key: &Key, now: UnixMillis) -> api::CollaboratorKey {
    api::CollaboratorKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        status: key_status(key, now),
    }
}

pub(super) fn notice(notice: &Notice, project: Option<&Project>) -> api::Notice {
    api::Notice {
        number: notice.number,
        project_id: project.map(|project| project.id.to_string()),
        what: match notice.what {
            NoticeKind::KeyLeaked => api::NoticeKind::KeyLeaked,
            NoticeKind::KeyExpires => api::NoticeKind::KeyExpires,
            NoticeKind::KeyIdle => api::NoticeKind::KeyIdle,
            NoticeKind::BudgetExhausted => api::NoticeKind::BudgetExhausted,
        },
        subject: notice.subject.clone(),
        at: notice.at.into(),
    }
}

/// A user's kind, address and name.
fn contact(user: &User) -> (api::MemberKind, Option<String>, Option<String>) {
    match &user.contact {
        Contact::Person(email) => (api::MemberKind::Person, Some(email.as_str().to_owned()), None),
        Contact::Service(name) => (api::MemberKind::Service, None, Some(name.as_str().to_owned())),
    }
}

fn key_status(key: &Key, now: UnixMillis) -> api::KeyStatus {
    match key.state(now) {
        KeyState::Active => api::KeyStatus::Active,
        KeyState::Disabled => api::KeyStatus::Disabled,
        KeyState::Expired => api::KeyStatus::Expired,
        KeyState::Revoked => api::KeyStatus::Revoked,
    }
}
