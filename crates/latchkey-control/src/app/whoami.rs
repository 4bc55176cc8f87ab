//! Who a key is, told to the key (K11).

use super::Control;
use super::ask::Ask;
use super::error::AppError;
use crate::iam::Caller;
use crate::store::StoreError;
use latchkey_api as api;
use latchkey_api::whoami::{WhoamiKey, WhoamiOrganization, WhoamiProject};
use latchkey_core::PermissionSet;

/// What the key that asks is. Anybody else is refused, and so is a key from outside its networks (K7).
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, control: &Control) -> Result<api::Whoami, AppError> {
    let Caller::Key(id) = &ask.caller else { return Err(AppError::KeyNeeded) };
    let key = ask.view.key(*id)?.ok_or(StoreError::Corrupt("keys"))?;
    let networks = &key.narrowing.networks;
    let is_inside = ask.from().is_some_and(|from| networks.iter().any(|network| network.contains(from)));
    if !networks.is_empty() && !is_inside {
        return Err(AppError::NetworkNotAllowed);
    }
    let project = ask.view.project(key.project)?.ok_or(StoreError::Corrupt("projects"))?;
    let organization = ask.view.organization(project.organization)?;
    let organization = organization.ok_or(StoreError::Corrupt("organizations"))?;
    let held = PermissionSet::of_key(key.role);
    let held = key.narrowing.permissions.map_or(held, |narrowed| held.intersection(narrowed));
    Ok(api::Whoami {
        key: WhoamiKey { id: key.id.to_string() },
        project: WhoamiProject {
            id: project.id.to_string(),
            slug: project.slug.to_string(),
            name: project.name.as_str().to_owned(),
        },
        organization: WhoamiOrganization {
            id: organization.id.to_string(),
            name: organization.name.as_str().to_owned(),
        },
        role: key.role.into(),
        permissions: held.iter().map(|permission| permission.as_str().to_owned()).collect(),
        expires_at: key.expires.map(|expiry| api::Timestamp(expiry.begins())),
        generation: control.generation_token(ask.view.generation()?).as_str().to_owned(),
    })
}
