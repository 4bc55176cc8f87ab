//! What a token stands for: a session of a person, or an operator.

use super::permit::Permit;
use super::token::TokenDigest;
use latchkey_core::{SessionId, UnixMillis, UserId};

/// How long a session lasts that an operator made.
pub const SESSION_TTL_SECS: u64 = 12 * 60 * 60;

/// A signed-in session, of which only the token's digest is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its public id.
    pub id: SessionId,
    /// The digest of its token.
    pub digest: TokenDigest,
    /// The person it acts for.
    pub user: UserId,
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

    /// The session revoked.
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
