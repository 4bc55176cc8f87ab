//! A key's narrowing between the API's words and the rules' (K7).

use super::error::AppError;
use crate::iam::Narrowing;
use crate::iam::narrowing::{ModelPattern, ResourcePattern};
use latchkey_api as api;
use latchkey_api::narrowing::{LIST_ITEMS_MAX, REQUESTS_PER_MINUTE_MAX};
use latchkey_core::narrowing::{MODELS_MAX, NETWORKS_MAX, RESOURCES_MAX};
use latchkey_core::{ModelName, Network, Permission, PermissionSet, ResourceId, Role};

const _: () = assert!(
    LIST_ITEMS_MAX == NETWORKS_MAX && LIST_ITEMS_MAX == RESOURCES_MAX && LIST_ITEMS_MAX == MODELS_MAX
);

/// The narrowing that a body at `path` asks for, in its one form.
pub(super) fn parse(path: &str, body: &api::Narrowing) -> Result<Narrowing, AppError> {
    let at = |list: &str| format!("{path}.{list}");
    let permissions =
        list(&at("permissions"), body.permissions.as_deref(), |path, word| permission(path, word))?;
    let narrowing = Narrowing {
        permissions: permissions.map(|all| all.into_iter().fold(PermissionSet::EMPTY, PermissionSet::with)),
        resources: list(&at("resources"), body.resources.as_deref(), resource)?.unwrap_or_default(),
        models: list(&at("models"), body.models.as_deref(), model)?.unwrap_or_default(),
        networks: list(&at("networks"), body.networks.as_deref(), |path, text| network(path, text))?
            .unwrap_or_default(),
        rate_per_minute: body.requests_per_minute,
    };
    if narrowing.rate_per_minute.is_some_and(|rate| !(1..=REQUESTS_PER_MINUTE_MAX).contains(&rate)) {
        let message = format!("a key makes 1 to {REQUESTS_PER_MINUTE_MAX} requests a minute");
        return Err(AppError::field(at("requests_per_minute"), message));
    }
    Ok(narrowing.canonical())
}

/// Refuses permissions that no key of the role has: whoever names one expects it to work.
pub(super) fn check_role(path: &str, narrowing: &Narrowing, role: Role) -> Result<(), AppError> {
    let named = narrowing.permissions.unwrap_or_default();
    match named.iter().find(|permission| !PermissionSet::of_key(role).contains(*permission)) {
        None => Ok(()),
        Some(permission) => {
            let role = role.as_str();
            Err(AppError::field(path, format!("a key of the role `{role}` never has `{permission}`")))
        }
    }
}

/// The narrowing as it is shown; `None` if it narrows nothing.
pub(super) fn show(narrowing: &Narrowing) -> Option<api::Narrowing> {
    let words = |set: PermissionSet| set.iter().map(|permission| permission.as_str().to_owned()).collect();
    let resource = |one: &ResourcePattern| api::narrowing::ResourcePattern {
        kind: one.kind.into(),
        matching: one.matching.into(),
        id: one.text.clone(),
    };
    let model = |one: &ModelPattern| api::narrowing::ModelPattern {
        matching: one.matching.into(),
        name: one.text.clone(),
    };
    (*narrowing != Narrowing::default()).then(|| api::Narrowing {
        permissions: narrowing.permissions.map(words),
        resources: shown_list(&narrowing.resources, resource),
        models: shown_list(&narrowing.models, model),
        networks: shown_list(&narrowing.networks, ToString::to_string),
        requests_per_minute: narrowing.rate_per_minute,
    })
}

/// A list that is there has items: nobody should take one that is empty for "nothing" or for "anything".
fn list<T, U>(
    path: &str,
    items: Option<&[T]>,
    parse: fn(&str, &T) -> Result<U, AppError>,
) -> Result<Option<Vec<U>>, AppError> {
    let Some(items) = items else { return Ok(None) };
    if !(1..=LIST_ITEMS_MAX).contains(&items.len()) {
        return Err(AppError::field(path, format!("this list has 1 to {LIST_ITEMS_MAX} items")));
    }
    let parsed = items.iter().enumerate().map(|(index, item)| parse(&format!("{path}[{index}]"), item));
    parsed.collect::<Result<_, _>>().map(Some)
}

fn permission(path: &str, word: &str) -> Result<Permission, AppError> {
    Permission::from_word(word)
        .ok_or_else(|| AppError::field(path, format!("there is no permission `{word}`")))
}

fn resource(path: &str, body: &api::narrowing::ResourcePattern) -> Result<ResourcePattern, AppError> {
    ResourceId::parse(&body.id).map_err(|error| AppError::field(format!("{path}.id"), error))?;
    Ok(ResourcePattern { kind: body.kind.into(), matching: body.matching.into(), text: body.id.clone() })
}

fn model(path: &str, body: &api::narrowing::ModelPattern) -> Result<ModelPattern, AppError> {
    ModelName::parse(&body.name).map_err(|error| AppError::field(format!("{path}.name"), error))?;
    Ok(ModelPattern { matching: body.matching.into(), text: body.name.clone() })
}

fn network(path: &str, text: &str) -> Result<Network, AppError> {
    Network::parse(text).map_err(|error| AppError::field(path, error))
}

fn shown_list<T, U>(items: &[T], show: impl FnMut(&T) -> U) -> Option<Vec<U>> {
    (!items.is_empty()).then(|| items.iter().map(show).collect())
}
