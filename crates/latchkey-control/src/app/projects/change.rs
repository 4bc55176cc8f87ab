//! What a project is called and who sees it: name, slug, visibility, the switch for externals (J3, J6, X3).

use super::{is_free, shown};
use crate::app::ask::{Ask, InProject};
use crate::app::error::{AppError, Conflict};
use crate::app::restore::check_not_held;
use crate::app::{fields, render};
use crate::iam::{HeldPlace, Permit, Project, SlugHolder, Visibility};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::Permission;

/// Changes a project's name, slug or visibility. The visibility alone may be changed by organization admins who
/// did not join as well (J4, J6). An old slug resolves to nothing at once and stays the organization's (J3).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn change_settings(
    ask: &Ask,
    project: &str,
    body: &api::ChangeProjectSettings,
) -> Result<Write<api::ProjectSettings>, AppError> {
    let place = ask.project(project)?;
    let permit = may_change(ask, &place, body)?;
    if body.name.is_none() && body.slug.is_none() && body.visibility.is_none() {
        return Err(AppError::field("", "`name`, `slug` or `visibility` is needed"));
    }
    let mut now = place.project.clone();
    let mut slugs = Vec::new();
    if let Some(name) = &body.name {
        now = now.renamed(&permit, fields::name("name", name)?);
    }
    if let Some(slug) = &body.slug {
        let slug = fields::slug("slug", slug)?;
        if slug != now.slug {
            if !is_free(ask, &slug, &place.organization)? {
                return Err(AppError::SlugTaken);
            }
            let holder = |project| SlugHolder { organization: now.organization, project };
            slugs.push(Change::Slug(now.slug, holder(None)));
            slugs.push(Change::Slug(slug, holder(Some(now.number))));
            now = now.called(&permit, slug);
        }
    }
    if let Some(visibility) = body.visibility {
        let visibility = Visibility::from(visibility);
        if now.is_default && visibility != Visibility::Open {
            return Err(Conflict::DefaultProject.into());
        }
        now = now.visible_as(&permit, visibility);
    }
    let reply = render::project_settings(&now);
    let entry = ask.entry(&permit, "projects.change_settings", ("project", now.id.to_string()));
    let entry = entry.before(&render::project_settings(&place.project)).after(&reply);
    Ok(Write::new(entry, reply).put(now).put_all(slugs))
}

/// A project's settings.
///
/// # Errors
/// [`AppError`].
pub fn settings(ask: &Ask, project: &str) -> Result<api::ProjectSettings, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::ProjectSettingsRead)?;
    Ok(render::project_settings(&place.project))
}

/// Turns the switch for external collaborators: off refuses them at once, on lets them in again (X3).
///
/// # Errors
/// [`AppError`].
pub fn switch_external(
    ask: &Ask,
    project: &str,
    body: &api::SwitchExternal,
) -> Result<Write<api::Project>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::ProjectExternalWrite)?;
    if place.project.is_default && body.allowed {
        return Err(Conflict::DefaultProject.into());
    }
    if body.allowed {
        let held = HeldPlace::Externals(place.project.number);
        check_not_held(ask.view, place.organization.number, held)?;
    }
    let now = place.project.clone().letting_externals_in(&permit, body.allowed);
    Ok(changed(ask, &permit, "projects.switch_external", &place, now))
}

/// The permit for this change. Who lacks both permissions is told the one of the project.
fn may_change(ask: &Ask, place: &InProject, body: &api::ChangeProjectSettings) -> Result<Permit, AppError> {
    let own = place.permit(ask, Permission::ProjectSettingsWrite);
    match own {
        Err(AppError::Denied(_)) if body.name.is_none() && body.slug.is_none() => {
            place.permit(ask, Permission::OrgProjectsSetVisibility).or(own)
        }
        own => own,
    }
}

pub(super) fn changed(
    ask: &Ask,
    permit: &Permit,
    what: &'static str,
    place: &InProject,
    now: Project,
) -> Write<api::Project> {
    let reply = shown(place, &now);
    let subject = ("project", now.id.to_string());
    let entry = ask.entry(permit, what, subject).before(&shown(place, &place.project)).after(&reply);
    Write::new(entry, reply).put(now)
}
