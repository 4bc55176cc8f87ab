//! API keys and what may happen to one (IAM §5).
//!
//! Every change takes a [`Permit`] and checks the role of its result against it (K6a).

use super::narrowing::Narrowing;
use super::organization::KeyPolicy;
use super::permit::{Denied, Permit};
use super::text::Name;
use latchkey_core::{
    ExpiryMinute, ImportedDigest, KeyDigest, KeyId, ProjectNumber, Role, UnixMillis, UserId,
};
use std::fmt;

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
    /// When it was last enabled: from then on it is idle anew (K10).
    pub enabled_at: Option<UnixMillis>,
    /// The expiry of which the project was warned, so that it hears of each but once (K10).
    pub warned_of: Option<ExpiryMinute>,
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
    /// It has expired, and only one that is accepted somewhere is rotated (K8).
    Expired,
    /// It has a successor already: it can only end sooner (K8).
    Rotated,
}

/// Why an expiry does not keep to the organization's policy (K10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFault {
    /// A key must expire.
    ExpiryRequired,
    /// A key is valid for so many minutes at most.
    Lifetime(u32),
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
    pub fn enabled(self, permit: &Permit, now: UnixMillis) -> Result<Self, KeyFault> {
        permit.admits(self.role).map_err(KeyFault::Denied)?;
        let key = self.unrevoked()?;
        let enabled_at = if key.disabled_at.is_some() { Some(now) } else { key.enabled_at };
        Ok(Self { disabled_at: None, enabled_at, ..key })
    }

    /// The key with another name.
    ///
    /// # Errors
    /// [`KeyFault::Revoked`].
    pub fn renamed(self, _permit: &Permit, name: Name) -> Result<Self, KeyFault> {
        let key = self.unrevoked()?;
        Ok(Self { name, ..key })
    }

    /// The key with another expiry, or none. Lengthening it needs at least its role (K6a), and one that was rotated
    /// outlives its overlap by nothing (K8).
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn expiring(self, permit: &Permit, expires: Option<ExpiryMinute>) -> Result<Self, KeyFault> {
        let is_longer = lasts_longer(expires, self.expires);
        if is_longer {
            permit.admits(self.role).map_err(KeyFault::Denied)?;
        }
        let key = self.unrevoked()?;
        if is_longer && key.successor.is_some() {
            return Err(KeyFault::Rotated);
        }
        Ok(Self { expires, ..key })
    }

    /// The key with another role, narrowed so instead. If the result allows what the key did not, that needs at
    /// least the result's role (K6a).
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn reaching(self, permit: &Permit, role: Role, narrowing: Narrowing) -> Result<Self, KeyFault> {
        if role > self.role || narrowing.allows_more_than(&self.narrowing) {
            permit.admits(role).map_err(KeyFault::Denied)?;
        }
        let key = self.unrevoked()?;
        Ok(Self { role, narrowing, ..key })
    }

    /// The key once `successor` has taken its place: it stays valid for the overlap, rounded up to a whole minute and
    /// never past its own expiry; without one it is revoked (K8). Needs at least its role (K6a).
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn rotated(
        self,
        permit: &Permit,
        now: UnixMillis,
        successor: KeyId,
        overlap_minutes: u32,
    ) -> Result<Self, KeyFault> {
        permit.admits(self.role).map_err(KeyFault::Denied)?;
        let key = self.unrevoked()?;
        match (key.successor, key.state(now)) {
            (Some(_), _) => return Err(KeyFault::Rotated),
            (None, KeyState::Expired) => return Err(KeyFault::Expired),
            (None, _) => {}
        }
        let key = Self { successor: Some(successor), ..key };
        if overlap_minutes == 0 {
            return Ok(key.revoked(permit, now));
        }
        let end = now.plus_ms(u64::from(overlap_minutes) * 60_000 + 59_999);
        let end = ExpiryMinute::floor(end.seconds()).filter(|end| !lasts_longer(Some(*end), key.expires));
        Ok(Self { expires: end.or(key.expires), ..key })
    }

    /// The key once its project was warned of its expiry (K10).
    #[must_use]
    pub fn warned(self, _permit: &Permit) -> Self {
        Self { warned_of: self.expires, ..self }
    }

    /// Since when nobody has used it, as far as is known; `last_use` is what edges reported (K10).
    pub fn idle_since(&self, last_use: Option<UnixMillis>) -> UnixMillis {
        let moments = [last_use, self.enabled_at].into_iter().flatten();
        moments.fold(self.created_at, UnixMillis::max)
    }

    /// Whether something that `before` allowed is refused now.
    pub fn refuses_more_than(&self, before: &Self) -> bool {
        let newly = |now: bool, then: bool| now && !then;
        newly(self.revoked_at.is_some(), before.revoked_at.is_some())
            || newly(self.disabled_at.is_some(), before.disabled_at.is_some())
            || lasts_longer(before.expires, self.expires)
            || self.role < before.role
            || before.narrowing.allows_more_than(&self.narrowing)
    }

    fn unrevoked(self) -> Result<Self, KeyFault> {
        if self.revoked_at.is_some() { Err(KeyFault::Revoked) } else { Ok(self) }
    }
}

impl KeyPolicy {
    /// Whether a key that is made or lengthened at `now` may expire then (K10).
    ///
    /// # Errors
    /// [`PolicyFault`].
    pub fn admits(&self, expires: Option<ExpiryMinute>, now: UnixMillis) -> Result<(), PolicyFault> {
        match (expires, self.lifetime_minutes_max) {
            (None, Some(most)) => Err(PolicyFault::Lifetime(most)),
            (None, None) if self.expiry_required => Err(PolicyFault::ExpiryRequired),
            (Some(expiry), Some(most)) if expiry.begins() > now.seconds().plus_secs(u64::from(most) * 60) => {
                Err(PolicyFault::Lifetime(most))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpiryRequired => f.write_str("the organization wants every key to expire"),
            Self::Lifetime(most) => {
                write!(f, "the organization lets a key be valid for at most {most} minutes from now on")
            }
        }
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
