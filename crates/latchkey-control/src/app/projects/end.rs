//! Archiving a project, which is reversible, and deleting it, which is not (J10).

use super::change::changed;
use super::shown;
use crate::app::ask::Ask;
use crate::app::error::{AppError, Conflict};
use crate::app::restore::check_not_held;
use crate::iam::{HeldPlace, SlugHolder};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::Permission;

/// Archives it: every key and session is refused in it, and nothing is lost.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn archive(ask: &Ask, project: &str) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::OrgProjectsArchive)?;
    if place.project.is_default {
        return Err(Conflict::DefaultProject.into());
    }
    let now = place.project.clone().archived(&permit, ask.now);
    Ok(changed(ask, &permit, "projects.archive", &place, now))
}

/// Takes it out of the archive: what was refused comes back.
///
/// # Errors
/// [`AppError`].
pub fn unarchive(ask: &Ask, project: &str) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::OrgProjectsArchive)?;
    if !place.project.is_archived() {
        return Err(Conflict::NotArchived.into());
    }
    check_not_held(ask.view, place.organization.number, HeldPlace::Project(place.project.number))?;
    let now = place.project.clone().unarchived(&permit);
    Ok(changed(ask, &permit, "projects.unarchive", &place, now))
}

/// Deletes an archived project, for good. Its slug must be typed; it stays the organization's (J3).
///
/// # Errors
/// [`AppError`].
pub fn delete(ask: &Ask, project: &str, body: &api::DeleteProject) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::OrgProjectsDelete)?;
    if place.project.is_default {
        return Err(Conflict::DefaultProject.into());
    }
    if !place.project.is_archived() {
        return Err(Conflict::NotArchived.into());
    }
    if body.slug != place.project.slug.as_str() {
        return Err(AppError::field("slug", "this is not the project's slug"));
    }
    let now = place.project.clone().deleted(&permit, ask.now);
    let reply = shown(&place, &now);
    let subject = ("project", now.id.to_string());
    let entry = ask.entry(&permit, "projects.delete", subject).before(&shown(&place, &place.project));
    let holder = SlugHolder { organization: now.organization, project: None };
    Ok(Write::new(entry, reply).put(Change::Slug(now.slug, holder)).put(now))
}
