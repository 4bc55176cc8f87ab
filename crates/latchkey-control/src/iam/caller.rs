//! Who asks, once a credential has proven it.

use latchkey_core::{SessionId, UserId};

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
    /// A person, through a session.
    Session {
        /// The person.
        user: UserId,
        /// The session they act through.
        session: SessionId,
    },
}

/// The same somebody as the audit log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The installation itself, while it is being set up.
    Installation,
    /// An operator, by the number of their token.
    Operator(u32),
    /// A person and the session they acted through.
    User(UserId, SessionId),
}

impl Caller {
    /// The caller as the audit log names them.
    pub const fn actor(&self) -> Actor {
        match self {
            Self::Operator { token, .. } => Actor::Operator(*token),
            Self::Session { user, session } => Actor::User(*user, *session),
        }
    }

    /// The person, if it is one.
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Operator { .. } => None,
            Self::Session { user, .. } => Some(user),
        }
    }
}
