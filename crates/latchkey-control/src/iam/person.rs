//! People.

use super::text::Email;
use latchkey_core::{UnixMillis, UserId};

/// A person with an account. One account may be a member of several organizations (O5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The permanent id.
    pub id: UserId,
    /// The address they are known by.
    pub email: Email,
    /// When the account was made.
    pub created_at: UnixMillis,
}
