//! API keys and what may happen to one (IAM §5).
//!
//! Every change takes a [`Permit`] and checks the role of its result against it (K6a).

use super::narrowing::Narrowing;
use super::permit::{Denied, Permit};
use super::text::Name;
use latchkey_core::{
    ExpiryMinute, ImportedDigest, KeyDigest, KeyId, ProjectNumber, Role, UnixMillis, UserId,
};

/// An API key, of which only the digest is known here (K2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public id.
    pub id: KeyId,
    /// What proves it.
    pub proof: KeyProof,
    /// The project it belongs to (K1).
    pub project: ProjectNumber,
    /// Its name.
    pub name: Name,
    /// Its role (K6).
    pub role: Role,
    /// What it is narrowed to (K7).
    pub narrowing: Narrowing,
    /// The first key of its line of rotations, itself if it is that: rate, budget and usage are the line's (K8).
    pub family: KeyId,
    /// The key that it succeeds.
    pub predecessor: Option<KeyId>,
    /// The key that succeeds it.
    pub successor: Option<KeyId>,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops being valid.
    pub expires: Option<ExpiryMinute>,
    /// Since when it is disabled.
    pub disabled_at: Option<UnixMillis>,
    /// Since when it is revoked, for good (K5).
    pub revoked_at: Option<UnixMillis>,
}

/// The digest by which a key is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyProof {
    /// A key that was minted here: BLAKE3 of its text.
    Native(KeyDigest),
    /// A key of another system (K9): SHA-256 of its text.
    Imported(ImportedDigest),
}

/// What a key is worth at a moment. Of several reasons the most lasting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// Switched off, reversibly.
    Disabled,
    /// Its expiry has come.
    Expired,
    /// Gone for good.
    Revoked,
}

/// Why a key cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// The caller may not.
    Denied(Denied),
    /// It is revoked, and that is final (K5).
    Revoked,
}

impl Key {
    /// What it is worth at `now`.
    pub fn state(&self, now: UnixMillis) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expiry| expiry.has_passed(now)) {
            KeyState::Expired
        } else if self.disabled_at.is_some() {
            KeyState::Disabled
        } else {
            KeyState::Active
        }
    }

    /// The key revoked, for good. Revoking it again changes nothing (K5).
    #[must_use]
    pub fn revoked(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { revoked_at: self.revoked_at.or(Some(now)), ..self }
    }

    /// The key disabled.
    ///
    /// # Errors
    /// [`KeyFault::Revoked`].
    pub fn disabled(self, _permit: &Permit, now: UnixMillis) -> Result<Self, KeyFault> {
        let key = self.unrevoked()?;
        Ok(Self { disabled_at: key.disabled_at.or(Some(now)), ..key })
    }

    /// The key enabled, which needs at least its role (K6a).
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn enabled(self, permit: &Permit) -> Result<Self, KeyFault> {
        permit.admits(self.role).map_err(KeyFault::Denied)?;
        let key = self.unrevoked()?;
        Ok(Self { disabled_at: None, ..key })
    }

    /// The key with another name.
    ///
    /// # Errors
    /// [`KeyFault::Revoked`].
    pub fn renamed(self, _permit: &Permit, name: Name) -> Result<Self, KeyFault> {
        let key = self.unrevoked()?;
        Ok(Self { name, ..key })
    }

    /// The key with another expiry, or none. Lengthening it needs at least its role (K6a).
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn expiring(self, permit: &Permit, expires: Option<ExpiryMinute>) -> Result<Self, KeyFault> {
        if lasts_longer(expires, self.expires) {
            permit.admits(self.role).map_err(KeyFault::Denied)?;
        }
        let key = self.unrevoked()?;
        Ok(Self { expires, ..key })
    }

    /// Whether something that `before` allowed is refused now.
    pub fn refuses_more_than(&self, before: &Self) -> bool {
        let newly = |now: bool, then: bool| now && !then;
        newly(self.revoked_at.is_some(), before.revoked_at.is_some())
            || newly(self.disabled_at.is_some(), before.disabled_at.is_some())
            || lasts_longer(before.expires, self.expires)
    }

    fn unrevoked(self) -> Result<Self, KeyFault> {
        if self.revoked_at.is_some() { Err(KeyFault::Revoked) } else { Ok(self) }
    }
}

/// Whether `one` lets a key live longer than `other` does.
pub fn lasts_longer(one: Option<ExpiryMinute>, other: Option<ExpiryMinute>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}
