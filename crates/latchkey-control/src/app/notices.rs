//! Notices: what the people of a project, or the admins of an organization, should hear of (K10, K12, B2).

use super::ask::Ask;
use super::error::AppError;
use super::{pages, render};
use crate::iam::{Notice, Organization, Project};
use latchkey_api as api;
use latchkey_core::Permission;

/// The notices of a project, the newest first.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn of_project(
    ask: &Ask,
    project: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Notice>, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::CollaboratorsRead)?;
    page(ask, &place.organization, Some(&place.project), query)
}

/// The notices of an organization itself, the newest first. Those of its projects stay there (J4).
///
/// # Errors
/// [`AppError`].
pub fn of_organization(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Notice>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgSettingsWrite)?;
    page(ask, &place.organization, None, query)
}

fn page(
    ask: &Ask,
    organization: &Organization,
    project: Option<&Project>,
    query: &api::PageQuery,
) -> Result<api::Page<api::Notice>, AppError> {
    let limit = pages::limit(query)?;
    let before = pages::after(query, |text| text.parse().ok())?;
    let number = project.map(|project| project.number);
    let notices = ask.view.notices_of(organization.number, number, before, limit + 1)?;
    let show = |one: Notice| render::notice(&one, project);
    Ok(pages::page(notices, limit, |one| one.number.to_string(), show))
}
