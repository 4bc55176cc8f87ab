//! Resources: register, list, delete (IAM §9).

use super::ask::{Ask, InProject};
use super::error::AppError;
use super::{fields, pages, render};
use crate::iam::{OperatorAct, Resource, ResourceDetail};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Permission, ResourceId, ResourceType};

/// Registers a resource in a project. Its type and id are taken for ever (G1).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn register(
    ask: &Ask,
    project: &str,
    body: &api::RegisterResource,
) -> Result<Write<api::Resource>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit_operator(ask, OperatorAct::Resources)?;
    let kind = body.kind.into();
    ResourceId::parse(&body.id).map_err(|error| AppError::field("id", error))?;
    if ask.view.resource(kind, &body.id)?.is_some() {
        return Err(AppError::ResourceTaken);
    }
    let project = place.project.number;
    let name = fields::name("id", &body.id)?;
    let resource = Resource {
        kind,
        id: body.id.clone(),
        name,
        detail: ResourceDetail::None,
        project,
        created_at: ask.now,
        deleted_at: None,
    };
    let shown = render::resource(&resource, &place.project);
    let entry = ask.entry(&permit, "resources.register", subject(&resource)).after(&shown);
    Ok(Write::new(entry, shown).put(resource))
}

/// The resources of a project, by type and id.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask, project: &str, query: &api::PageQuery) -> Result<api::Page<api::Resource>, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::ProjectSettingsRead)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, parse_cursor)?;
    let resources = ask.view.resources_of(place.project.number, after, limit + 1)?;
    Ok(pages::page(resources, limit, cursor, |resource| render::resource(&resource, &place.project)))
}

/// Deletes a resource; its type and id stay taken (G1).
///
/// # Errors
/// [`AppError`].
pub fn delete(ask: &Ask, project: &str, kind: &str, id: &str) -> Result<Write<api::Resource>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit_operator(ask, OperatorAct::Resources)?;
    let before = find(ask, &place, kind, id)?;
    let now = before.clone().deleted(&permit, ask.now);
    let shown = render::resource(&before, &place.project);
    let entry = ask.entry(&permit, "resources.delete", subject(&now)).before(&shown);
    Ok(Write::new(entry, shown).put(now))
}

fn find(ask: &Ask, place: &InProject, kind: &str, id: &str) -> Result<Resource, AppError> {
    let kind = ResourceType::from_word(kind).ok_or(AppError::NOT_FOUND)?;
    let resource = ask.view.resource(kind, id)?;
    let here = |one: &Resource| one.project == place.project.number && one.deleted_at.is_none();
    resource.filter(here).ok_or(AppError::NOT_FOUND)
}

fn subject(resource: &Resource) -> (&'static str, String) {
    ("resource", format!("{}/{}", resource.kind.as_str(), resource.id))
}

fn cursor(resource: &Resource) -> String {
    format!("{}.{}", resource.kind.as_str(), resource.id)
}

fn parse_cursor(text: &str) -> Option<(ResourceType, String)> {
    let (kind, id) = text.split_once('.')?;
    ResourceId::parse(id).ok()?;
    Some((ResourceType::from_word(kind)?, id.to_owned()))
}
