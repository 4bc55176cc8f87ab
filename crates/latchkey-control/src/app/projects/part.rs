//! Taking part of one's own accord: joining a project and leaving it (P4, J4, J5, J9).

use super::shown;
use crate::app::ask::{Ask, InProject};
use crate::app::error::{AppError, Conflict};
use crate::app::{collaborators, members};
use crate::iam::{Collaboration, Demand, Denied};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::Role;

/// Joins it. The role stored is `member`, also for an organization admin, who counts as the project's admin while
/// being that (J5).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn join(ask: &Ask, project: &str) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = match place.authorize(ask, Demand::Join) {
        Err(AppError::Denied(Denied::Forbidden(_))) if place.collaboration.is_some() => {
            return Err(Conflict::AlreadyCollaborator.into());
        }
        answer => answer?,
    };
    let identity = *ask.identity()?;
    let collaboration = Collaboration {
        project: place.project.number,
        user: *ask.person()?,
        role: Role::Member,
        is_external: false,
        identity,
        added_at: ask.now,
        ends_at: None,
    };
    let before = shown(&place, &place.project);
    let joined = InProject { collaboration: Some(collaboration), ..place };
    let reply = shown(&joined, &joined.project);
    let entry = ask.entry(&permit, "projects.join", ("project", reply.id.clone()));
    Ok(Write::new(entry.before(&before).after(&reply), reply).put(collaboration))
}

/// Leaves it. Nobody leaves the Default Project while being a member (J7, J9). The open invitations that they sent
/// die with their right to send them (M2).
///
/// # Errors
/// [`AppError`].
pub fn leave(ask: &Ask, project: &str) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = place.authorize(ask, Demand::Own)?;
    let user = members::account(ask, ask.person()?)?;
    if place.collaboration.is_none() {
        return Err(AppError::Denied(Denied::Forbidden("project.leave")));
    }
    if place.project.is_default && place.membership.is_some() {
        return Err(Conflict::DefaultProject.into());
    }
    let changes = collaborators::parting(ask, &permit, &place, &user)?;
    let before = shown(&place, &place.project);
    let left = InProject { collaboration: None, ..place };
    let reply = shown(&left, &left.project);
    let entry = ask.entry(&permit, "projects.leave", ("project", reply.id.clone()));
    Ok(Write::new(entry.before(&before).after(&reply), reply).put_all(changes))
}
