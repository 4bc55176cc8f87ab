//! Resources: register one or many, list, read, change, delete (IAM §9). They never move, and a type and id are
//! never used again (G1).

use super::ask::{Ask, InProject};
use super::error::AppError;
use super::{clusters, fields, pages, render};
use crate::iam::resource::view_permission;
use crate::iam::{Caller, OperatorAct, Permit, Resource, ResourceDetail};
use crate::store::Write;
use latchkey_api as api;
use latchkey_api::resource::BATCH_RESOURCES_MAX;
use latchkey_core::{ResourceId, ResourceType};
use std::collections::HashSet;

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
    let resource = make(ask, &place, "", body)?;
    let shown = render::resource(&resource, &place.project);
    let entry = ask.entry(&permit, "resources.register", subject(&resource)).after(&shown);
    Ok(Write::new(entry, shown).put(resource))
}

/// Registers up to 10,000 resources: all of them, or none.
///
/// # Errors
/// [`AppError`].
pub fn register_batch(
    ask: &Ask,
    project: &str,
    body: &api::RegisterResources,
) -> Result<Write<api::RegisteredResources>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit_operator(ask, OperatorAct::Resources)?;
    if !(1..=BATCH_RESOURCES_MAX).contains(&body.resources.len()) {
        let message = format!("a batch has 1 to {BATCH_RESOURCES_MAX} resources");
        return Err(AppError::field("resources", message));
    }
    let mut fresh = HashSet::new();
    let mut resources = Vec::with_capacity(body.resources.len());
    for (index, one) in body.resources.iter().enumerate() {
        let path = format!("resources[{index}].");
        if !fresh.insert((ResourceType::from(one.kind), one.id.as_str())) {
            return Err(AppError::field(format!("{path}id"), "this stands in the batch twice"));
        }
        resources.push(make(ask, &place, &path, one)?);
    }
    let items = resources.iter().map(|one| render::resource(one, &place.project)).collect();
    let reply = api::RegisteredResources { items };
    let subject = ("project", place.project.id.to_string());
    let entry = ask.entry(&permit, "resources.register_batch", subject).after(&reply);
    Ok(Write::new(entry, reply).put_all(resources))
}

/// The resources of a project whose types the caller may see, by type and id (P3).
///
/// # Errors
/// [`AppError`].
pub fn list(
    ask: &Ask,
    project: &str,
    query: &api::ResourceQuery,
) -> Result<api::Page<api::Resource>, AppError> {
    let place = ask.project(project)?;
    let kinds = seen_kinds(ask, &place, query.kind.map(Into::into))?;
    let page = api::PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    let limit = pages::limit(&page)?;
    let after = pages::after(&page, parse_cursor)?;
    let mut resources = Vec::new();
    for kind in kinds {
        let after = match &after {
            Some((last, _)) if *last > kind => continue,
            Some((last, id)) if *last == kind => Some(id.as_str()),
            _ => None,
        };
        let missing = limit + 1 - resources.len();
        resources.extend(ask.view.resources_of(place.project.number, kind, after, missing)?);
    }
    Ok(pages::page(resources, limit, cursor, |resource| render::resource(&resource, &place.project)))
}

/// One resource.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, project: &str, kind: &str, id: &str) -> Result<api::Resource, AppError> {
    let place = ask.project(project)?;
    let kind = known_kind(ask, &place, kind)?;
    see(ask, &place, kind)?;
    Ok(render::resource(&find(ask, &place, kind, id)?, &place.project))
}

/// Changes a resource's name, or the way into a cluster.
///
/// # Errors
/// [`AppError`].
pub fn change(
    ask: &Ask,
    project: &str,
    kind: &str,
    id: &str,
    body: &api::ChangeResource,
) -> Result<Write<api::Resource>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit_operator(ask, OperatorAct::Resources)?;
    let before = find(ask, &place, known_kind(ask, &place, kind)?, id)?;
    if body.name.is_none() && body.cluster.is_none() {
        return Err(AppError::field("", "`name` or `cluster` is needed"));
    }
    let mut now = before.clone();
    if let Some(name) = &body.name {
        now = now.renamed(&permit, fields::name("name", name)?);
    }
    if let Some(cluster) = &body.cluster {
        only_of_clusters(now.kind, "cluster")?;
        now = now.reached_by(&permit, clusters::parse("cluster", cluster)?);
    }
    let shown = render::resource(&now, &place.project);
    let entry = ask.entry(&permit, "resources.change", subject(&now));
    let entry = entry.before(&render::resource(&before, &place.project)).after(&shown);
    Ok(Write::new(entry, shown).put(now))
}

/// Deletes a resource; its type and id stay taken (G1).
///
/// # Errors
/// [`AppError`].
pub fn delete(ask: &Ask, project: &str, kind: &str, id: &str) -> Result<Write<api::Resource>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit_operator(ask, OperatorAct::Resources)?;
    let before = find(ask, &place, known_kind(ask, &place, kind)?, id)?;
    let now = before.clone().deleted(&permit, ask.now);
    let shown = render::resource(&before, &place.project);
    let entry = ask.entry(&permit, "resources.delete", subject(&now)).before(&shown);
    Ok(Write::new(entry, shown).put(now))
}

fn make(
    ask: &Ask,
    place: &InProject,
    path: &str,
    body: &api::RegisterResource,
) -> Result<Resource, AppError> {
    let kind = body.kind.into();
    ResourceId::parse(&body.id).map_err(|error| AppError::field(format!("{path}id"), error))?;
    let name = match &body.name {
        Some(name) => fields::name(format!("{path}name"), name)?,
        None => fields::name(format!("{path}id"), &body.id)?,
    };
    let detail = match &body.cluster {
        Some(cluster) => {
            let path = format!("{path}cluster");
            only_of_clusters(kind, &path)?;
            ResourceDetail::Cluster(clusters::parse(&path, cluster)?)
        }
        None => ResourceDetail::None,
    };
    if ask.view.resource(kind, &body.id)?.is_some() {
        return Err(AppError::ResourceTaken { path: format!("{path}id") });
    }
    let (id, project) = (body.id.clone(), place.project.number);
    Ok(Resource { kind, id, name, detail, project, created_at: ask.now, deleted_at: None })
}

fn only_of_clusters(kind: ResourceType, path: &str) -> Result<(), AppError> {
    let is_cluster = kind == ResourceType::Cluster;
    is_cluster.then_some(()).ok_or_else(|| AppError::field(path, "only a cluster has this"))
}

/// The types that the caller may see: all of them, or the one that is asked for.
fn seen_kinds(
    ask: &Ask,
    place: &InProject,
    wanted: Option<ResourceType>,
) -> Result<Vec<ResourceType>, AppError> {
    if let Some(kind) = wanted {
        return see(ask, place, kind).map(|_| vec![kind]);
    }
    let (mut seen, mut refusal) = (Vec::new(), None);
    for kind in ResourceType::ALL {
        match see(ask, place, kind) {
            Ok(_) => seen.push(kind),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match refusal {
        Some(refusal) if seen.is_empty() => Err(refusal),
        _ => Ok(seen),
    }
}

/// Operators see what they register; all others by the permission of the type (P3).
fn see(ask: &Ask, place: &InProject, kind: ResourceType) -> Result<Permit, AppError> {
    match ask.caller {
        Caller::Operator { .. } => place.permit_operator(ask, OperatorAct::Resources),
        _ => place.permit(ask, view_permission(kind)),
    }
}

/// The type that a path names. Where there is none, whoever may see nothing here learns no more than elsewhere.
fn known_kind(ask: &Ask, place: &InProject, word: &str) -> Result<ResourceType, AppError> {
    match ResourceType::from_word(word) {
        Some(kind) => Ok(kind),
        None => seen_kinds(ask, place, None).and(Err(AppError::NOT_FOUND)),
    }
}

/// The resource of this type and id in the project.
pub(super) fn find(ask: &Ask, place: &InProject, kind: ResourceType, id: &str) -> Result<Resource, AppError> {
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
