//! Who is signed in: people and their sessions.

use crate::organization::Membership;
use crate::revealed::Revealed;
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/operator/sessions`: the operator signs a person in, where the installation allows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The person's e-mail address.
    pub email: String,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `sess_…`
    pub id: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether it is the session that asks.
    pub current: bool,
}

/// The reply that shows a session's token, the only time it is shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreatedSession {
    /// The session.
    pub session: Session,
    /// The person it acts for, `user_…`.
    pub user_id: String,
    /// The token, for `Authorization: Bearer`.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}

/// `GET /v1/me/sessions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionList {
    /// The caller's sessions that have not ended, the newest first.
    pub items: Vec<Session>,
}

/// `GET /v1/me`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Me {
    /// An operator of the installation.
    Operator {
        /// The operator token's name.
        name: String,
    },
    /// A person.
    User {
        /// `user_…`
        id: String,
        /// The address they signed in with.
        email: String,
        /// The organizations they are a member of.
        organizations: Vec<Membership>,
    },
}
