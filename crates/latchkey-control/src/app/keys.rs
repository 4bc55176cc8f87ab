//! API keys: create one or many, list, read, change, rotate, revoke, disable, enable (IAM §5).

use super::Minting;
use super::ask::{Ask, InProject};
use super::error::AppError;
use super::mint::Mint;
use super::restore::check_not_held;
use super::{fields, narrowing, pages, render};
use crate::iam::key::lasts_longer;
use crate::iam::{HeldPlace, Key, Narrowing, Permit};
use crate::store::{KeyPlace, Write};
use latchkey_api as api;
use latchkey_api::key::{BATCH_KEYS_MAX, OVERLAP_MINUTES_MAX};
use latchkey_core::{Dice, ExpiryMinute, KeyId, Permission, Role, UnixMillis, base62};

/// Creates a key and shows its secret, once (K2). Its role is at most the caller's own (K6).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    minting: &Minting,
    project: &str,
    body: &api::CreateKey,
) -> Result<Write<api::CreatedKey>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    let (key, plain) = Mint::new(ask, dice, minting, &place, &permit)?.native("", body)?;
    let shown = shown(ask, &key, &place)?;
    let entry = ask.entry(&permit, "keys.create", ("key", shown.id.clone())).after(&shown);
    let reply = api::CreatedKey { key: shown, secret: api::Revealed::new(plain.expose()) };
    Ok(Write::new(entry, reply).put(key))
}

/// Creates up to 10,000 keys: all of them, or none.
///
/// # Errors
/// [`AppError`].
pub fn create_batch(
    ask: &Ask,
    dice: &mut Dice,
    minting: &Minting,
    project: &str,
    body: &api::CreateKeys,
) -> Result<Write<api::CreatedKeys>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    check_batch(body.keys.len())?;
    let mut mint = Mint::new(ask, dice, minting, &place, &permit)?;
    let mut keys = Vec::with_capacity(body.keys.len());
    let mut items = Vec::with_capacity(body.keys.len());
    for (index, one) in body.keys.iter().enumerate() {
        let (key, plain) = mint.native(&format!("keys[{index}]."), one)?;
        let shown = shown(ask, &key, &place)?;
        items.push(api::CreatedKey { key: shown, secret: api::Revealed::new(plain.expose()) });
        keys.push(key);
    }
    let subject = ("project", place.project.id.to_string());
    let entry = ask.entry(&permit, "keys.create_batch", subject).after(&batched(&keys));
    Ok(Write::new(entry, api::CreatedKeys { items }).put_all(keys))
}

/// The keys of a project, the newest first.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask, project: &str, query: &api::PageQuery) -> Result<api::Page<api::Key>, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::KeysRead)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, parse_cursor)?;
    let keys = ask.view.keys_of(place.project.number, after, limit + 1)?;
    let page = pages::page(keys, limit, cursor, |key| shown(ask, &key, &place));
    Ok(api::Page { items: page.items.into_iter().collect::<Result<_, _>>()?, next: page.next })
}

/// One key.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, id: &str) -> Result<api::Key, AppError> {
    let (key, place) = find(ask, id)?;
    place.permit(ask, Permission::KeysRead)?;
    shown(ask, &key, &place)
}

/// Revokes a key, for good (K5).
///
/// # Errors
/// [`AppError`].
pub fn revoke(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysRevoke)?;
    let now = key.clone().revoked(&permit, ask.now);
    changed(ask, &permit, "keys.revoke", &place, &key, now)
}

/// Disables a key, reversibly (K5).
///
/// # Errors
/// [`AppError`].
pub fn disable(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysRevoke)?;
    let now = key.clone().disabled(&permit, ask.now)?;
    changed(ask, &permit, "keys.disable", &place, &key, now)
}

/// Enables a disabled key, which needs at least its role (K6a).
///
/// # Errors
/// [`AppError`].
pub fn enable(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    check_not_held(ask.view, place.organization.number, HeldPlace::Key(key.id))?;
    let now = key.clone().enabled(&permit, ask.now)?;
    changed(ask, &permit, "keys.enable", &place, &key, now)
}

/// Makes a key's successor, with everything but the secret inherited, and shows the new secret, once. The old key
/// stays valid for the overlap (K8). Needs at least the key's role (K6a).
///
/// # Errors
/// [`AppError`].
pub fn rotate(
    ask: &Ask,
    dice: &mut Dice,
    minting: &Minting,
    id: &str,
    body: api::RotateKey,
) -> Result<Write<api::RotatedKey>, AppError> {
    let (before, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    check_not_held(ask.view, place.organization.number, HeldPlace::Key(before.id))?;
    let (key, plain) = Mint::new(ask, dice, minting, &place, &permit)?.successor(&before)?;
    let now = before.clone().rotated(&permit, ask.now, key.id, body.overlap_minutes)?;
    if body.overlap_minutes > OVERLAP_MINUTES_MAX {
        let message = format!("an overlap is 0 to {OVERLAP_MINUTES_MAX} minutes");
        return Err(AppError::field("overlap_minutes", message));
    }
    fields::policy("expires_at", &place, key.expires, ask.now)?;
    let predecessor = shown(ask, &now, &place)?;
    let entry = ask
        .entry(&permit, "keys.rotate", ("key", predecessor.id.clone()))
        .before(&shown(ask, &before, &place)?)
        .after(&predecessor);
    let secret = api::Revealed::new(plain.expose());
    let reply = api::RotatedKey { key: shown(ask, &key, &place)?, secret, predecessor };
    Ok(Write::new(entry, reply).put(now).put(key))
}

/// Changes a key's name, expiry, role or narrowing. What it may do or last beyond before needs at least the role of
/// the result (K6a).
///
/// # Errors
/// [`AppError`].
pub fn change(ask: &Ask, id: &str, body: &api::ChangeKey) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let role = body.role.map_or(key.role, Into::into);
    let wanted = match &body.narrowing {
        None => Ok(key.narrowing.clone()),
        Some(None) => Ok(Narrowing::default()),
        Some(Some(wanted)) => narrowing::parse("narrowing", wanted),
    };
    let permission = permission_to_change(&key, body, role, wanted.as_ref().ok());
    let permit = place.permit(ask, permission)?;
    let mut now = key.clone();
    if body.role.is_some() || body.narrowing.is_some() {
        now = now.reaching(&permit, role, wanted?)?;
        let path = if body.narrowing.is_some() { "narrowing.permissions" } else { "role" };
        narrowing::check_role(path, &now.narrowing, role)?;
    } else if body.name.is_none() && body.expires_at.is_none() {
        return Err(AppError::field("", "`name`, `expires_at`, `role` or `narrowing` is needed"));
    }
    if let Some(name) = &body.name {
        now = now.renamed(&permit, fields::name("name", name)?)?;
    }
    if let Some(at) = body.expires_at {
        let expiry = at.map(|at| fields::expiry("expires_at", at, ask.now)).transpose()?;
        now = now.expiring(&permit, expiry)?;
        if lasts_longer(expiry, key.expires) {
            fields::policy("expires_at", &place, expiry, ask.now)?;
        }
    }
    changed(ask, &permit, "keys.change", &place, &key, now)
}

/// Only taking away is a part of revoking; all else is a part of creating. `narrowing` is `None` if it is no good.
fn permission_to_change(
    key: &Key,
    body: &api::ChangeKey,
    role: Role,
    narrowing: Option<&Narrowing>,
) -> Permission {
    let minute = |at: api::Timestamp| ExpiryMinute::floor(at.0);
    let takes_away = [
        body.name.is_none(),
        body.expires_at.is_none_or(|at| !lasts_longer(at.and_then(minute), key.expires)),
        role <= key.role,
        narrowing.is_some_and(|narrowing| !narrowing.allows_more_than(&key.narrowing)),
    ];
    if takes_away == [true; 4] { Permission::KeysRevoke } else { Permission::KeysCreate }
}

pub(super) fn find(ask: &Ask, id: &str) -> Result<(Key, InProject), AppError> {
    let id = KeyId::parse(id.as_bytes()).ok_or(AppError::NOT_FOUND)?;
    let key = ask.view.key(id)?.ok_or(AppError::NOT_FOUND)?;
    let place = ask.project_numbered(key.project)?;
    Ok((key, place))
}

fn changed(
    ask: &Ask,
    permit: &Permit,
    what: &'static str,
    place: &InProject,
    before: &Key,
    now: Key,
) -> Result<Write<api::Key>, AppError> {
    let after = shown(ask, &now, place)?;
    let entry =
        ask.entry(permit, what, ("key", after.id.clone())).before(&shown(ask, before, place)?).after(&after);
    Ok(Write::new(entry, after).put(now))
}

/// Whether a batch has a size that a batch may have.
pub(super) fn check_batch(len: usize) -> Result<(), AppError> {
    if (1..=BATCH_KEYS_MAX).contains(&len) {
        return Ok(());
    }
    Err(AppError::field("keys", format!("a batch has 1 to {BATCH_KEYS_MAX} keys")))
}

/// The key as it is shown, its last use included.
pub(super) fn shown(ask: &Ask, key: &Key, place: &InProject) -> Result<api::Key, AppError> {
    Ok(render::key(key, &place.project, ask.view.key_use(key.id)?, ask.now))
}

/// What the audit log says of each key of a batch.
pub(super) fn batched(keys: &[Key]) -> Vec<api::audit::BatchedKey> {
    keys.iter().map(render::batched_key).collect()
}

/// Where a list goes on: the creation time and the id of the last key.
fn cursor(key: &Key) -> String {
    let mut created = [0; CURSOR_TIME_LEN];
    base62::encode(key.created_at.0, &mut created);
    format!("{}{}", String::from_utf8_lossy(&created), key.id)
}

fn parse_cursor(text: &str) -> Option<KeyPlace> {
    let (created, id) = text.as_bytes().split_at_checked(CURSOR_TIME_LEN)?;
    Some((UnixMillis(base62::decode(created)?), KeyId::parse(id)?))
}

const CURSOR_TIME_LEN: usize = 11;
