//! API keys: create one or many, list, read, change, revoke, disable, enable (IAM §5).

use super::Minting;
use super::ask::{Ask, InProject};
use super::error::AppError;
use super::{fields, pages, render};
use crate::iam::key::lasts_longer;
use crate::iam::{Key, KeyProof, Narrowing, Permit};
use crate::store::{KeyPlace, StoreError, Write};
use latchkey_api as api;
use latchkey_api::key::BATCH_KEYS_MAX;
use latchkey_core::{Dice, KeyId, Permission, PlainKey, UnixMillis, base62};
use std::collections::HashSet;

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
    let mut mint = Mint { ask, dice, minting, place: &place, permit: &permit, fresh: HashSet::new() };
    let (key, plain) = mint.key("", body)?;
    let shown = render::key(&key, &place.project, ask.now);
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
    if !(1..=BATCH_KEYS_MAX).contains(&body.keys.len()) {
        return Err(AppError::field("keys", format!("a batch has 1 to {BATCH_KEYS_MAX} keys")));
    }
    let mut mint = Mint { ask, dice, minting, place: &place, permit: &permit, fresh: HashSet::new() };
    let mut keys = Vec::with_capacity(body.keys.len());
    let mut items = Vec::with_capacity(body.keys.len());
    for (index, one) in body.keys.iter().enumerate() {
        let (key, plain) = mint.key(&format!("keys[{index}]."), one)?;
        let shown = render::key(&key, &place.project, ask.now);
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
    Ok(pages::page(keys, limit, cursor, |key| render::key(&key, &place.project, ask.now)))
}

/// One key.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, id: &str) -> Result<api::Key, AppError> {
    let (key, place) = find(ask, id)?;
    place.permit(ask, Permission::KeysRead)?;
    Ok(render::key(&key, &place.project, ask.now))
}

/// Revokes a key, for good (K5).
///
/// # Errors
/// [`AppError`].
pub fn revoke(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysRevoke)?;
    let now = key.clone().revoked(&permit, ask.now);
    Ok(changed(ask, &permit, "keys.revoke", &place, &key, now))
}

/// Disables a key, reversibly (K5).
///
/// # Errors
/// [`AppError`].
pub fn disable(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysRevoke)?;
    let now = key.clone().disabled(&permit, ask.now)?;
    Ok(changed(ask, &permit, "keys.disable", &place, &key, now))
}

/// Enables a disabled key, which needs at least its role (K6a).
///
/// # Errors
/// [`AppError`].
pub fn enable(ask: &Ask, id: &str) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    let now = key.clone().enabled(&permit)?;
    Ok(changed(ask, &permit, "keys.enable", &place, &key, now))
}

/// Changes a key's name or expiry. Lengthening it needs at least its role (K6a).
///
/// # Errors
/// [`AppError`].
pub fn change(ask: &Ask, id: &str, body: &api::ChangeKey) -> Result<Write<api::Key>, AppError> {
    let (key, place) = find(ask, id)?;
    let permit = place.permit(ask, permission_to_change(&key, body))?;
    if body.name.is_none() && body.expires_at.is_none() {
        return Err(AppError::field("", "`name` or `expires_at` is needed"));
    }
    let mut now = key.clone();
    if let Some(name) = &body.name {
        now = now.renamed(&permit, fields::name("name", name)?)?;
    }
    if let Some(at) = body.expires_at {
        let expiry = at.map(|at| fields::expiry("expires_at", at, ask.now)).transpose()?;
        now = now.expiring(&permit, expiry)?;
    }
    Ok(changed(ask, &permit, "keys.change", &place, &key, now))
}

/// Ending a key sooner is a part of revoking; all else is a part of creating.
fn permission_to_change(key: &Key, body: &api::ChangeKey) -> Permission {
    let minute = |at: api::Timestamp| latchkey_core::ExpiryMinute::floor(at.0);
    match (&body.name, body.expires_at) {
        (None, Some(Some(at))) if !lasts_longer(minute(at), key.expires) => Permission::KeysRevoke,
        _ => Permission::KeysCreate,
    }
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
) -> Write<api::Key> {
    let shown = render::key(&now, &place.project, ask.now);
    let entry = ask
        .entry(permit, what, ("key", shown.id.clone()))
        .before(&render::key(before, &place.project, ask.now))
        .after(&shown);
    Write::new(entry, shown).put(now)
}

/// Makes keys one after the other, none with an id that another has.
struct Mint<'a> {
    ask: &'a Ask<'a>,
    dice: &'a mut Dice,
    minting: &'a Minting,
    place: &'a InProject,
    permit: &'a Permit,
    fresh: HashSet<KeyId>,
}

impl Mint<'_> {
    fn key(&mut self, path: &str, body: &api::CreateKey) -> Result<(Key, PlainKey), AppError> {
        let role = body.role.into();
        self.permit.admits(role)?;
        let created_by = *self.ask.person()?;
        let name = fields::name(format!("{path}name"), &body.name)?;
        let expiry = |at| fields::future_expiry(&format!("{path}expires_at"), at, self.ask.now);
        let expires = body.expires_at.map(expiry).transpose()?;
        let plain = self.plain()?;
        let key = Key {
            id: plain.id(),
            proof: KeyProof::Native(plain.digest()),
            project: self.place.project.number,
            name,
            role,
            narrowing: Narrowing::default(),
            family: plain.id(),
            predecessor: None,
            successor: None,
            created_by,
            created_at: self.ask.now,
            expires,
            disabled_at: None,
            revoked_at: None,
        };
        Ok((key, plain))
    }

    /// The digest is as unique as the id, which is a part of the digested text.
    fn plain(&mut self) -> Result<PlainKey, AppError> {
        let hint = self.place.organization.number.hint();
        for _ in 0..ID_TRIES_MAX {
            let plain = PlainKey::generate(&self.minting.prefix, hint, &self.minting.secret, self.dice);
            if self.ask.view.key(plain.id())?.is_none() && self.fresh.insert(plain.id()) {
                return Ok(plain);
            }
        }
        Err(StoreError::Clash("keys").into())
    }
}

/// With 48 random bits in an id and a billion keys under one hint, eight clashes in a row come about never.
const ID_TRIES_MAX: usize = 8;

/// The keys of a batch as the audit log tells of them: shorter than they are shown, since there may be 10,000.
fn batched(keys: &[Key]) -> Vec<api::audit::BatchedKey> {
    let one = |key: &Key| api::audit::BatchedKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        role: key.role.into(),
        expires_at: key.expires.map(|expiry| api::Timestamp(expiry.begins())),
    };
    keys.iter().map(one).collect()
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
