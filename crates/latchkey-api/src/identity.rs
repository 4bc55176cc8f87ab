//! Who is signed in: people and their sessions.

use crate::organization::Membership;
use crate::project::Collaboration;
use crate::revealed::Revealed;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/operator/sessions`: the operator signs a person in, where the installation allows it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The person's e-mail address.
    pub email: String,
    /// Who vouches for them, where the operator passes on another provider's word; the operator unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SignInIdentity>,
}

/// What a provider says somebody is. It never changes, whatever becomes of the address (IAM M10).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInIdentity {
    /// The provider: 1 to 200 characters, like an issuer's URL. `operator` and `service` are taken.
    pub provider: String,
    /// What it calls the person: 1 to 255 characters.
    pub subject: String,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedSession {
    /// The session.
    pub session: Session,
    /// The person it acts for, `user_…`.
    pub user_id: String,
    /// The token, for `Authorization: Bearer`.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}

/// `POST /v1/me/token`: the caller's session as edges know it, for ten minutes at most.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EdgeToken {
    /// The token, for `Authorization: Bearer` at an edge.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
    /// From when on edges refuse it.
    pub expires_at: Timestamp,
    /// Whom it names: `idn_…`.
    pub identity_id: String,
}

/// `GET /v1/me/sessions`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// The caller's sessions that have not ended, the newest first.
    pub items: Vec<Session>,
}

/// `POST /v1/me/sessions:revoke`: signing out everywhere.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeSessions {
    /// Whether the session that asks ends too.
    #[serde(default)]
    pub all: bool,
}

/// `GET /v1/me`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
        /// The projects they take part in.
        collaborations: Vec<Collaboration>,
    },
    /// A service account.
    Service {
        /// `user_…`
        id: String,
        /// Its name.
        name: String,
        /// The organization it is a member of.
        organizations: Vec<Membership>,
        /// The projects it takes part in.
        collaborations: Vec<Collaboration>,
    },
}
