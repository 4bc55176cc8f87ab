//! Keys of another system (K9): the operator opens the door, and a project's people bring digests through it.

use super::Minting;
use super::ask::Ask;
use super::error::{AppError, Conflict};
use super::keys::{batched, check_batch, shown};
use super::mint::Mint;
use super::render;
use crate::iam::OperatorAct;
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Dice, ImportedDigest, Permission};
use std::collections::HashSet;

/// Imports up to 10,000 keys by the digests of their texts: all of them, or none.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn import(
    ask: &Ask,
    dice: &mut Dice,
    minting: &Minting,
    project: &str,
    body: &api::ImportKeys,
) -> Result<Write<api::ImportedKeys>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::KeysCreate)?;
    if !place.organization.imports_keys {
        return Err(Conflict::ImportClosed.into());
    }
    check_batch(body.keys.len())?;
    let mut mint = Mint::new(ask, dice, minting, &place, &permit)?;
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(body.keys.len());
    for (index, one) in body.keys.iter().enumerate() {
        let path = format!("keys[{index}].");
        let digest = digest(&format!("{path}sha256"), &one.sha256)?;
        if !seen.insert(digest.0) {
            return Err(AppError::field(format!("{path}sha256"), "the digest stands in this batch before"));
        }
        keys.push(mint.imported(&path, one, digest)?);
    }
    // Last of all, and without a place: that some digest is taken is all that is told.
    for digest in seen {
        if ask.view.imported_key(&ImportedDigest(digest))?.is_some() {
            return Err(Conflict::DigestTaken.into());
        }
    }
    let subject = ("project", place.project.id.to_string());
    let entry = ask.entry(&permit, "keys.import", subject).after(&batched(&keys));
    let items = keys.iter().map(|key| shown(ask, key, &place)).collect::<Result<_, _>>()?;
    Ok(Write::new(entry, api::ImportedKeys { items }).put_all(keys))
}

/// Opens the import of keys for an organization.
///
/// # Errors
/// [`AppError`].
pub fn open(ask: &Ask, organization: &str) -> Result<Write<api::Organization>, AppError> {
    set(ask, organization, "organizations.open_import", true)
}

/// Closes it again; what was imported stays.
///
/// # Errors
/// [`AppError`].
pub fn close(ask: &Ask, organization: &str) -> Result<Write<api::Organization>, AppError> {
    set(ask, organization, "organizations.close_import", false)
}

fn set(
    ask: &Ask,
    id: &str,
    what: &'static str,
    imports_keys: bool,
) -> Result<Write<api::Organization>, AppError> {
    let place = ask.organization(id)?;
    let permit = place.permit_operator(ask, OperatorAct::Import)?;
    let now = place.organization.clone().importing(&permit, imports_keys);
    let shown = render::organization(&now);
    let entry = ask
        .entry(&permit, what, ("organization", now.id.to_string()))
        .before(&render::organization(&place.organization))
        .after(&shown);
    Ok(Write::new(entry, shown).put(now))
}

/// 64 hexadecimal digits, of either case.
fn digest(path: &str, text: &str) -> Result<ImportedDigest, AppError> {
    let wrong = || AppError::field(path, "a digest is 64 hexadecimal digits");
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() {
        return Err(wrong());
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (nibble(pair[0]).ok_or_else(wrong)? << 4) | nibble(pair[1]).ok_or_else(wrong)?;
    }
    Ok(ImportedDigest(digest))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
