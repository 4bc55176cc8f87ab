//! People.

use super::text::Email;
use super::text::Name;
use latchkey_core::{IdentityId, UnixMillis, UserId};

/// A person with an account. One account may be a member of several organizations (O5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The permanent id.
    pub id: UserId,
    /// How they are reached or called.
    pub contact: Contact,
    /// When the account was made.
    pub created_at: UnixMillis,
}

/// How a user is reached: a person by e-mail, a service account by whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// A person, by the address they are known by.
    Person(Email),
    /// A service account (S3), by its name. It is a member of one organization and no last admin (M9).
    Service(Name),
}

impl User {
    /// The e-mail address; a service account has none.
    pub const fn email(&self) -> Option<&Email> {
        match &self.contact {
            Contact::Person(email) => Some(email),
            Contact::Service(_) => None,
        }
    }

    /// Whether it is a service account.
    pub const fn is_service(&self) -> bool {
        matches!(self.contact, Contact::Service(_))
    }
}

/// What a provider says somebody is: at every check a person is an identity, never an address (M10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its permanent id.
    pub id: IdentityId,
    /// The account it signs in to.
    pub user: UserId,
    /// Who vouches for it: [`PROVIDER_OPERATOR`], [`PROVIDER_SERVICE`], or what an operator's broker names.
    pub provider: String,
    /// What the provider calls it.
    pub subject: String,
    /// When it was first seen.
    pub created_at: UnixMillis,
}

impl Identity {
    /// Whether it proves that its account's address is its own. Other providers only say so (M10).
    pub fn proves_address(&self) -> bool {
        self.provider == PROVIDER_OPERATOR
    }
}

/// The installation's own operator vouches: the subject is the address.
pub const PROVIDER_OPERATOR: &str = "operator";
/// The installation itself vouches for its service accounts.
pub const PROVIDER_SERVICE: &str = "service";
