//! Organizations and who is a member of one (IAM §1, §2).

use super::permit::Permit;
use super::text::Name;
use latchkey_core::{OrganizationId, OrganizationNumber, Role, UnixMillis, UserId};

/// One company's account, and the top of everything (O1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its number, which snapshots use.
    pub number: OrganizationNumber,
    /// Its permanent id.
    pub id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The owner: an admin who cannot be removed (O3).
    pub owner: UserId,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Since when it is suspended (O6).
    pub suspended_at: Option<UnixMillis>,
}

impl Organization {
    /// Whether every key, session and membership of it is refused (O6).
    pub const fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// The organization suspended from `now` on, or since it first was (O6).
    #[must_use]
    pub fn suspended(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { suspended_at: self.suspended_at.or(Some(now)), ..self }
    }

    /// The organization active again (O6).
    #[must_use]
    pub fn resumed(self, _permit: &Permit) -> Self {
        Self { suspended_at: None, ..self }
    }

    /// Whether something that `before` allowed is refused now.
    pub const fn refuses_more_than(&self, before: &Self) -> bool {
        self.is_suspended() && !before.is_suspended()
    }
}

/// A person's membership in an organization (O4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: OrganizationNumber,
    /// The person.
    pub user: UserId,
    /// Their role in it.
    pub role: Role,
}
