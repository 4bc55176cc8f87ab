//! Invitations to a project: list, read, resend, cancel (X5). `collaborators` makes them, `acceptance` has their use.

use super::ask::{Ask, InProject};
use super::error::{AppError, Conflict};
use super::{invitations, pages, render};
use crate::iam::{Invitation, Permit};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Dice, InvitationId, Permission};

/// The project's invitations, whatever became of them.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn list(
    ask: &Ask,
    project: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Invitation>, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::CollaboratorsAdd)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, InvitationId::parse)?;
    let (organization, project) = (place.organization.number, Some(place.project.number));
    let items = ask.view.invitations_to(organization, project, after, limit + 1)?;
    Ok(pages::page(items, limit, |one| one.id.to_string(), |one| show(ask, &place, &one)))
}

/// One invitation.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, project: &str, id: &str) -> Result<api::Invitation, AppError> {
    let (place, _, invitation) = find(ask, project, id)?;
    Ok(show(ask, &place, &invitation))
}

/// Sends it again: a new link, and the old one is dead.
///
/// # Errors
/// [`AppError`].
pub fn resend(
    ask: &Ask,
    dice: &mut Dice,
    project: &str,
    id: &str,
) -> Result<Write<api::CreatedInvitation>, AppError> {
    let (place, permit, before) = find(ask, project, id)?;
    if !place.project.allows_external {
        return Err(Conflict::ExternalsOff.into());
    }
    let (now, token) = invitations::resent(ask, dice, &permit, before.clone())?;
    let write = changed(ask, &permit, "project_invitations.resend", &place, &before, now);
    let token = api::Revealed::new(token.expose());
    Ok(write.answering(|invitation| api::CreatedInvitation { invitation, token }))
}

/// Calls it back, for good.
///
/// # Errors
/// [`AppError`].
pub fn cancel(ask: &Ask, project: &str, id: &str) -> Result<Write<api::Invitation>, AppError> {
    let (place, permit, before) = find(ask, project, id)?;
    let now = before.clone().cancelled(&permit, ask.now)?;
    Ok(changed(ask, &permit, "project_invitations.cancel", &place, &before, now))
}

fn find(ask: &Ask, project: &str, id: &str) -> Result<(InProject, Permit, Invitation), AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::CollaboratorsAdd)?;
    let id = InvitationId::parse(id).ok_or(AppError::NOT_FOUND)?;
    let invitation = ask.view.invitation(&id)?.ok_or(AppError::NOT_FOUND)?;
    if invitation.project() != Some(place.project.number) {
        return Err(AppError::NOT_FOUND);
    }
    Ok((place, permit, invitation))
}

fn changed(
    ask: &Ask,
    permit: &Permit,
    what: &'static str,
    place: &InProject,
    before: &Invitation,
    now: Invitation,
) -> Write<api::Invitation> {
    let shown = show(ask, place, &now);
    let entry = ask
        .entry(permit, what, ("invitation", shown.id.clone()))
        .before(&show(ask, place, before))
        .after(&shown);
    Write::new(entry, shown).put(now)
}

fn show(ask: &Ask, place: &InProject, invitation: &Invitation) -> api::Invitation {
    render::invitation(invitation, &place.organization, Some(&place.project), ask.now)
}
