//! Makes keys one after the other, none with an id that another has.

use super::Minting;
use super::ask::{Ask, InProject};
use super::error::AppError;
use super::{fields, narrowing};
use crate::iam::{Key, KeyProof, Name, Narrowing, Permit};
use crate::store::StoreError;
use latchkey_api as api;
use latchkey_core::{Dice, ExpiryMinute, ImportedDigest, KeyId, PlainKey, Role, UserId};
use std::collections::HashSet;

/// What it takes to make the keys of one request.
pub(super) struct Mint<'a> {
    ask: &'a Ask<'a>,
    dice: &'a mut Dice,
    minting: &'a Minting,
    place: &'a InProject,
    permit: &'a Permit,
    creator: UserId,
    fresh: HashSet<KeyId>,
}

/// What a body says of a key that is to be made or imported.
pub(super) struct Wish<'a> {
    name: &'a str,
    role: api::Role,
    expires_at: Option<api::Timestamp>,
    narrowing: Option<&'a api::Narrowing>,
}

impl<'a> From<&'a api::CreateKey> for Wish<'a> {
    fn from(body: &'a api::CreateKey) -> Self {
        let narrowing = body.narrowing.as_ref();
        Self { name: &body.name, role: body.role, expires_at: body.expires_at, narrowing }
    }
}

impl<'a> From<&'a api::ImportKey> for Wish<'a> {
    fn from(body: &'a api::ImportKey) -> Self {
        let narrowing = body.narrowing.as_ref();
        Self { name: &body.name, role: body.role, expires_at: body.expires_at, narrowing }
    }
}

/// The same, parsed: it keeps to the caller's role (K6) and the organization's policy (K10).
struct Wanted {
    name: Name,
    role: Role,
    expires: Option<ExpiryMinute>,
    narrowing: Narrowing,
}

impl<'a> Mint<'a> {
    pub(super) fn new(
        ask: &'a Ask<'a>,
        dice: &'a mut Dice,
        minting: &'a Minting,
        place: &'a InProject,
        permit: &'a Permit,
    ) -> Result<Self, AppError> {
        let creator = *ask.person()?;
        Ok(Self { ask, dice, minting, place, permit, creator, fresh: HashSet::new() })
    }

    /// A new key; `path` is in front of its fields' names.
    pub(super) fn native<'w>(
        &mut self,
        path: &str,
        wish: impl Into<Wish<'w>>,
    ) -> Result<(Key, PlainKey), AppError> {
        let wanted = self.wanted(path, &wish.into())?;
        let plain = self.plain()?;
        // The digest is as unique as the id, which is a part of the digested text.
        Ok((self.key(wanted, plain.id(), KeyProof::Native(plain.digest())), plain))
    }

    /// A key of another system; nobody has this digest yet.
    pub(super) fn imported<'w>(
        &mut self,
        path: &str,
        wish: impl Into<Wish<'w>>,
        digest: ImportedDigest,
    ) -> Result<Key, AppError> {
        let wanted = self.wanted(path, &wish.into())?;
        for _ in 0..ID_TRIES_MAX {
            let id = KeyId::generate(self.place.organization.number.hint(), self.dice);
            if self.is_free(id)? {
                return Ok(self.key(wanted, id, KeyProof::Imported(digest)));
            }
        }
        Err(StoreError::Clash("keys").into())
    }

    /// A key that takes the place of `before` and inherits everything but the secret (K8).
    pub(super) fn successor(&mut self, before: &Key) -> Result<(Key, PlainKey), AppError> {
        let plain = self.plain()?;
        let key = Key {
            id: plain.id(),
            proof: KeyProof::Native(plain.digest()),
            predecessor: Some(before.id),
            successor: None,
            created_by: self.creator,
            created_at: self.ask.now,
            enabled_at: None,
            warned_of: None,
            ..before.clone()
        };
        Ok((key, plain))
    }

    fn wanted(&self, path: &str, wish: &Wish) -> Result<Wanted, AppError> {
        let role = wish.role.into();
        self.permit.admits(role)?;
        let name = fields::name(format!("{path}name"), wish.name)?;
        let expires_path = format!("{path}expires_at");
        let expiry = |at| fields::future_expiry(&expires_path, at, self.ask.now);
        let expires = wish.expires_at.map(expiry).transpose()?;
        fields::policy(&expires_path, self.place, expires, self.ask.now)?;
        let narrowing_path = format!("{path}narrowing");
        let narrowing = wish.narrowing.map(|body| narrowing::parse(&narrowing_path, body)).transpose()?;
        let narrowing = narrowing.unwrap_or_default();
        narrowing::check_role(&format!("{narrowing_path}.permissions"), &narrowing, role)?;
        Ok(Wanted { name, role, expires, narrowing })
    }

    fn key(&self, wanted: Wanted, id: KeyId, proof: KeyProof) -> Key {
        let Wanted { name, role, expires, narrowing } = wanted;
        Key {
            id,
            proof,
            project: self.place.project.number,
            name,
            role,
            narrowing,
            family: id,
            predecessor: None,
            successor: None,
            created_by: self.creator,
            created_at: self.ask.now,
            expires,
            disabled_at: None,
            enabled_at: None,
            warned_of: None,
            revoked_at: None,
        }
    }

    fn plain(&mut self) -> Result<PlainKey, AppError> {
        let hint = self.place.organization.number.hint();
        for _ in 0..ID_TRIES_MAX {
            let plain = PlainKey::generate(&self.minting.prefix, hint, &self.minting.secret, self.dice);
            if self.is_free(plain.id())? {
                return Ok(plain);
            }
        }
        Err(StoreError::Clash("keys").into())
    }

    fn is_free(&mut self, id: KeyId) -> Result<bool, AppError> {
        Ok(self.ask.view.key(id)?.is_none() && self.fresh.insert(id))
    }
}

/// With 48 random bits in an id and a billion keys under one hint, eight clashes in a row come about never.
const ID_TRIES_MAX: usize = 8;
