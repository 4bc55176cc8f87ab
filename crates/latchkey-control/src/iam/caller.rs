//! Who asks, once a credential has proven it.

use latchkey_core::{IdentityId, KeyId, SessionId, UserId};

/// Somebody whose credential was looked up and found good at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An operator of the installation.
    Operator {
        /// The number of their token.
        token: u32,
        /// The token's name.
        name: String,
    },
    /// A person through a session, or a service account through its token.
    Session {
        /// The account.
        user: UserId,
        /// The session they act through.
        session: SessionId,
        /// The identity that signed in: the one whose memberships and collaborations count (M10).
        identity: IdentityId,
        /// Whether it is a service account (S3).
        is_service: bool,
    },
    /// An API key. It manages nothing (K6b); here it is only told who it is (K11).
    Key(KeyId),
    /// A credential that brings usage and can do nothing else (B3), by its name.
    Reporter(String),
}

/// The same somebody as the audit log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The installation itself: while it is being set up, and when it keeps what was promised as time passes.
    Installation,
    /// An operator, by the number of their token.
    Operator(u32),
    /// A person and the session they acted through.
    User(UserId, SessionId),
    /// A service account and its token.
    Service(UserId, SessionId),
    /// An API key, or whoever holds its text.
    Key(KeyId),
    /// The credential that brings usage.
    Reporter,
}

impl Caller {
    /// The caller as the audit log names them.
    pub const fn actor(&self) -> Actor {
        match self {
            Self::Operator { token, .. } => Actor::Operator(*token),
            Self::Session { user, session, is_service: false, .. } => Actor::User(*user, *session),
            Self::Session { user, session, is_service: true, .. } => Actor::Service(*user, *session),
            Self::Key(id) => Actor::Key(*id),
            Self::Reporter(_) => Actor::Reporter,
        }
    }

    /// The account of a person or a service account.
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Session { user, .. } => Some(user),
            Self::Operator { .. } | Self::Key(_) | Self::Reporter(_) => None,
        }
    }

    /// The identity through which they act.
    pub const fn identity(&self) -> Option<&IdentityId> {
        match self {
            Self::Session { identity, .. } => Some(identity),
            Self::Operator { .. } | Self::Key(_) | Self::Reporter(_) => None,
        }
    }
}
