//! Accepting an invitation, to an organization or to a project, and the invitations to one's own address.
//!
//! An invitation lives by its sender's right to send it (M2), is for one address, and what it gives belongs to the
//! identity that accepts it (M10). Whoever was removed returns only through an organization admin (M7, X6).

use super::ask::Ask;
use super::error::{AppError, Conflict};
use super::{invitations, members, render};
use crate::iam::{
    Collaboration, Demand, Email, Invitation, InvitedInto, Organization, PlainToken, Project, Standing,
    TokenKind, authorize,
};
use crate::store::{Change, StoreError, Write};
use latchkey_api as api;
use latchkey_core::{Permission, ProjectNumber, Role};

/// Accepts the invitation whose link has this token.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn accept(ask: &Ask, body: &api::AcceptInvitation) -> Result<Write<api::AcceptedInvitation>, AppError> {
    ask.permit(Demand::Own)?;
    let invitation = find(ask, body.token.expose())?;
    let (organization, project) = places(ask, &invitation)?;
    let standing = Standing::Invited(&organization, project.as_ref());
    let permit = authorize(&ask.caller, Demand::Accept, &standing)?;
    let now = invitation.clone().accepted(&permit, *ask.person()?, ask.now)?;
    if !has_living_sender(ask, &invitation, &organization, project.as_ref())? {
        return Err(Conflict::InvitationClosed.into());
    }
    let changes = match &project {
        None => into_organization(ask, &organization, invitation.role(), &invitation)?,
        Some(project) => into_project(ask, &organization, project, &invitation)?,
    };
    let reply = api::AcceptedInvitation {
        organization_id: organization.id.to_string(),
        project_id: project.as_ref().map(|project| project.id.to_string()),
        role: invitation.role().into(),
    };
    let show = |one| render::invitation(one, &organization, project.as_ref(), ask.now);
    let entry = ask
        .entry(&permit, "invitations.accept", ("invitation", invitation.id.to_string()))
        .before(&show(&invitation))
        .after(&show(&now));
    Ok(Write::new(entry, reply).put(now).put_all(changes))
}

/// The open invitations to the caller's own address. Only an identity that the installation itself vouches for
/// sees them: what another provider says of an address is no proof of it (M10).
///
/// # Errors
/// [`AppError`].
pub fn list_own(ask: &Ask) -> Result<api::MyInvitations, AppError> {
    ask.permit(Demand::Own)?;
    let identity = ask.view.identity(ask.identity()?)?.ok_or(StoreError::Corrupt("identities"))?;
    let mut items = Vec::new();
    if let Some(email) = own_address(ask)?.filter(|_| identity.proves_address()) {
        for invitation in ask.view.invitations_for(&email)? {
            items.extend(show_own(ask, &invitation)?);
        }
    }
    Ok(api::MyInvitations { items })
}

fn show_own(ask: &Ask, invitation: &Invitation) -> Result<Option<api::MyInvitation>, AppError> {
    let (organization, project) = places(ask, invitation)?;
    let is_there =
        !organization.is_suspended() && project.as_ref().is_none_or(|one| one.deleted_at.is_none());
    let is_open = is_there
        && invitation.is_open(ask.now)
        && has_living_sender(ask, invitation, &organization, project.as_ref())?;
    Ok(is_open.then(|| api::MyInvitation {
        id: invitation.id.to_string(),
        organization_name: organization.name.as_str().to_owned(),
        project_name: project.map(|project| project.name.as_str().to_owned()),
        role: invitation.role().into(),
        expires_at: invitation.expires_at.into(),
    }))
}

/// The invitation with this token, if it is for the caller. One for another address is not there.
fn find(ask: &Ask, token: &str) -> Result<Invitation, AppError> {
    let token = PlainToken::parse(token).filter(|token| token.kind() == TokenKind::Invitation);
    let token = token.ok_or(AppError::NOT_FOUND)?;
    let invitation = ask.view.invitation_by_token(&token.digest())?.ok_or(AppError::NOT_FOUND)?;
    let is_own = own_address(ask)?.is_some_and(|email| email == invitation.email);
    if is_own { Ok(invitation) } else { Err(AppError::NOT_FOUND) }
}

fn own_address(ask: &Ask) -> Result<Option<Email>, AppError> {
    let user = ask.view.user(ask.person()?)?.ok_or(StoreError::Corrupt("users"))?;
    Ok(user.email().cloned())
}

fn places(ask: &Ask, invitation: &Invitation) -> Result<(Organization, Option<Project>), AppError> {
    let organization = ask.view.organization(invitation.organization)?;
    let organization = organization.ok_or(StoreError::Corrupt("organizations"))?;
    let project = |number: ProjectNumber| ask.view.project(number)?.ok_or(StoreError::Corrupt("projects"));
    Ok((organization, invitation.project().map(project).transpose()?))
}

/// Whether its sender could send it now, through the identity that sent it (M2).
fn has_living_sender(
    ask: &Ask,
    invitation: &Invitation,
    organization: &Organization,
    project: Option<&Project>,
) -> Result<bool, AppError> {
    let Invitation { sender, sender_identity, .. } = invitation;
    Ok(match project {
        None => is_inviter(ask, invitation, organization)?,
        Some(project) => {
            ask.project_of(project.clone(), sender, sender_identity)?.holds(Permission::CollaboratorsAdd)
        }
    })
}

/// Whether its sender invites for the organization itself.
fn is_inviter(ask: &Ask, invitation: &Invitation, organization: &Organization) -> Result<bool, AppError> {
    let sender =
        ask.organization_of(organization.clone(), &invitation.sender, &invitation.sender_identity)?;
    Ok(sender.holds(Permission::OrgMembersInvite))
}

/// Membership, and the Default Project (M4).
fn into_organization(
    ask: &Ask,
    organization: &Organization,
    role: Role,
    invitation: &Invitation,
) -> Result<Vec<Change>, AppError> {
    invitations::check_invites(organization)?;
    let (user, identity) = (*ask.person()?, *ask.identity()?);
    if ask.view.membership(organization.number, &user)?.is_some() {
        return Err(Conflict::AlreadyMember.into());
    }
    let mut changes = members::joining(ask, organization, (user, identity), role)?;
    if let Some(departure) = ask.view.departure(organization.number, &user)? {
        if departure.at > invitation.sent_at {
            return Err(Conflict::Removed.into());
        }
        changes.push(Change::RemoveDeparture(organization.number, user));
    }
    Ok(changes)
}

/// Collaboration: external, unless the caller became a member in the meantime.
fn into_project(
    ask: &Ask,
    organization: &Organization,
    project: &Project,
    invitation: &Invitation,
) -> Result<Vec<Change>, AppError> {
    let (user, identity) = (*ask.person()?, *ask.identity()?);
    let is_member = ask.project_numbered(project.number)?.membership.is_some();
    if !is_member && !project.allows_external {
        return Err(Conflict::ExternalsOff.into());
    }
    let there = ask.view.collaboration(project.number, &user)?;
    if there.is_some_and(|one| !one.ends_at.is_some_and(|end| end.has_passed(ask.now))) {
        return Err(Conflict::AlreadyCollaborator.into());
    }
    // X6: the departure stays, so that each later return takes an organization admin again.
    if let Some(departure) = ask.view.departure(organization.number, &user)?
        && (departure.at > invitation.sent_at || !is_inviter(ask, invitation, organization)?)
    {
        return Err(Conflict::Removed.into());
    }
    let ends_at = match invitation.into {
        InvitedInto::Project(_, _, ends_at) if !is_member => ends_at,
        _ => None,
    };
    Ok(vec![
        Collaboration {
            project: project.number,
            user,
            role: invitation.role(),
            is_external: !is_member,
            identity,
            added_at: ask.now,
            ends_at,
        }
        .into(),
    ])
}
