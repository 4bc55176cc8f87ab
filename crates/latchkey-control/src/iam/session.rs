//! What a token stands for: a session of a person, or an operator.

use super::permit::Permit;
use super::token::TokenDigest;
use latchkey_core::{IdentityId, SessionId, UnixMillis, UserId};

/// A signed-in session, of which only the token's digest is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its public id.
    pub id: SessionId,
    /// The digest of its token.
    pub digest: TokenDigest,
    /// The account it acts for.
    pub user: UserId,
    /// The identity that signed in: it acts through this one's memberships and collaborations alone (M10).
    pub identity: IdentityId,
    /// Whether it is the token of a service account (S3).
    pub is_service: bool,
    /// When it began.
    pub created_at: UnixMillis,
    /// The first moment at which it is refused.
    pub expires_at: UnixMillis,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
}

impl Session {
    /// Whether it has run out at `now`.
    pub const fn has_expired(&self, now: UnixMillis) -> bool {
        now.0 >= self.expires_at.0
    }

    /// Whether something that `before` allowed is refused now.
    pub const fn refuses_more_than(&self, before: &Self) -> bool {
        self.revoked_at.is_some() && before.revoked_at.is_none()
    }

    /// The session revoked.
    #[must_use]
    pub fn revoked(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { revoked_at: self.revoked_at.or(Some(now)), ..self }
    }
}

/// A credential that brings usage and can do nothing else (B3), of which only the digest is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageToken {
    /// Its number: what the operator revokes it by.
    pub number: u32,
    /// What the operator calls it.
    pub name: String,
    /// The digest of its text.
    pub digest: TokenDigest,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
}

impl UsageToken {
    /// The token revoked.
    #[must_use]
    pub fn revoked(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { revoked_at: self.revoked_at.or(Some(now)), ..self }
    }
}

/// An operator's token, of which only the digest is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    /// Its number: what the audit log names.
    pub number: u32,
    /// What the operator calls it.
    pub name: String,
    /// The digest of its text.
    pub digest: TokenDigest,
    /// When it was made.
    pub created_at: UnixMillis,
}
