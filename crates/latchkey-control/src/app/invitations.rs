//! Invitations to an organization: create, list, read, resend, cancel (M1, M2).
//!
//! What they share with invitations to a project is here too: [`drawn`] and [`resent`]. `acceptance` has their use.

use super::ask::{Ask, InOrganization};
use super::error::{AppError, Conflict};
use super::{fields, pages, render};
use crate::iam::{
    Email, Invitation, InvitationOutcome, InvitedInto, JoinMethod, Organization, Permit, PlainToken,
    TokenKind,
};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Dice, InvitationId, OrganizationNumber, Permission};

/// Invites an address to the organization, and shows the token of the link, once (M2).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    organization: &str,
    body: &api::CreateInvitation,
) -> Result<Write<api::CreatedInvitation>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, Permission::OrgMembersInvite)?;
    let email = fields::email("email", &body.email)?;
    check_invites(&place.organization)?;
    check_is_new(ask, &place.organization, &email)?;
    let into = InvitedInto::Organization(body.role.into());
    let (invitation, token) = drawn(ask, dice, place.organization.number, into, email)?;
    let shown = render::invitation(&invitation, &place.organization, None, ask.now);
    let entry = ask.entry(&permit, "invitations.create", ("invitation", shown.id.clone())).after(&shown);
    let reply = api::CreatedInvitation { invitation: shown, token: api::Revealed::new(token.expose()) };
    Ok(Write::new(entry, reply).put(invitation))
}

/// The organization's invitations, whatever became of them.
///
/// # Errors
/// [`AppError`].
pub fn list(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Invitation>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgMembersInvite)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, InvitationId::parse)?;
    let items = ask.view.invitations_to(place.organization.number, None, after, limit + 1)?;
    let show = |one: Invitation| render::invitation(&one, &place.organization, None, ask.now);
    Ok(pages::page(items, limit, |one| one.id.to_string(), show))
}

/// One invitation.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, organization: &str, id: &str) -> Result<api::Invitation, AppError> {
    let (place, _, invitation) = find(ask, organization, id)?;
    Ok(render::invitation(&invitation, &place.organization, None, ask.now))
}

/// Sends it again: a new link, and the old one is dead (M2).
///
/// # Errors
/// [`AppError`].
pub fn resend(
    ask: &Ask,
    dice: &mut Dice,
    organization: &str,
    id: &str,
) -> Result<Write<api::CreatedInvitation>, AppError> {
    let (place, permit, before) = find(ask, organization, id)?;
    check_invites(&place.organization)?;
    let (invitation, token) = resent(ask, dice, &permit, before.clone())?;
    let write = changed(ask, &permit, "invitations.resend", &place.organization, &before, invitation);
    let token = api::Revealed::new(token.expose());
    Ok(write.answering(|invitation| api::CreatedInvitation { invitation, token }))
}

/// Calls it back, for good.
///
/// # Errors
/// [`AppError`].
pub fn cancel(ask: &Ask, organization: &str, id: &str) -> Result<Write<api::Invitation>, AppError> {
    let (place, permit, before) = find(ask, organization, id)?;
    let now = before.clone().cancelled(&permit, ask.now)?;
    Ok(changed(ask, &permit, "invitations.cancel", &place.organization, &before, now))
}

/// A new invitation, sent by the caller, and its token.
pub(super) fn drawn(
    ask: &Ask,
    dice: &mut Dice,
    organization: OrganizationNumber,
    into: InvitedInto,
    email: Email,
) -> Result<(Invitation, PlainToken), AppError> {
    let token = PlainToken::generate(TokenKind::Invitation, dice);
    let invitation = Invitation {
        id: InvitationId::generate(dice),
        organization,
        into,
        email,
        digest: token.digest(),
        sender: *ask.person()?,
        sender_identity: *ask.identity()?,
        sent_at: ask.now,
        expires_at: into.invitation_expires(ask.now),
        outcome: InvitationOutcome::Pending,
    };
    Ok((invitation, token))
}

/// The invitation sent again by the caller, and its new token.
pub(super) fn resent(
    ask: &Ask,
    dice: &mut Dice,
    permit: &Permit,
    invitation: Invitation,
) -> Result<(Invitation, PlainToken), AppError> {
    let token = PlainToken::generate(TokenKind::Invitation, dice);
    let sender = (*ask.person()?, *ask.identity()?);
    Ok((invitation.resent(permit, token.digest(), sender, ask.now)?, token))
}

/// M1: where people join by single sign-on, an invitation is refused.
pub(super) fn check_invites(organization: &Organization) -> Result<(), AppError> {
    match organization.settings.join_method {
        JoinMethod::Invitation => Ok(()),
        JoinMethod::Sso => Err(Conflict::SsoOrganization.into()),
    }
}

fn check_is_new(ask: &Ask, organization: &Organization, email: &Email) -> Result<(), AppError> {
    if let Some(user) = ask.view.user_by_email(email)?
        && ask.view.membership(organization.number, &user.id)?.is_some()
    {
        return Err(Conflict::AlreadyMember.into());
    }
    let is_open = |one: &Invitation| {
        one.organization == organization.number && one.project().is_none() && one.is_open(ask.now)
    };
    if ask.view.invitations_for(email)?.iter().any(is_open) {
        return Err(Conflict::AlreadyInvited.into());
    }
    Ok(())
}

fn find(ask: &Ask, organization: &str, id: &str) -> Result<(InOrganization, Permit, Invitation), AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, Permission::OrgMembersInvite)?;
    let id = InvitationId::parse(id).ok_or(AppError::NOT_FOUND)?;
    let invitation = ask.view.invitation(&id)?.ok_or(AppError::NOT_FOUND)?;
    if invitation.organization != place.organization.number || invitation.project().is_some() {
        return Err(AppError::NOT_FOUND);
    }
    Ok((place, permit, invitation))
}

fn changed(
    ask: &Ask,
    permit: &Permit,
    what: &'static str,
    organization: &Organization,
    before: &Invitation,
    now: Invitation,
) -> Write<api::Invitation> {
    let shown = render::invitation(&now, organization, None, ask.now);
    let entry = ask
        .entry(permit, what, ("invitation", shown.id.clone()))
        .before(&render::invitation(before, organization, None, ask.now))
        .after(&shown);
    Write::new(entry, shown).put(now)
}
