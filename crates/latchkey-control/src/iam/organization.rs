//! Organizations and who is a member of one (IAM §1, §2).

use super::caller::Actor;
use super::permit::{Demand, Denied, Permit};
use super::text::Name;
use latchkey_core::{IdentityId, OrganizationId, OrganizationNumber, Role, UnixMillis, UserId};

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
    /// What its admins set.
    pub settings: Settings,
    /// Whether the operator lets it import keys of another system (K9).
    pub imports_keys: bool,
}

/// What an organization's admins set for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How people join (M1).
    pub join_method: JoinMethod,
    /// Minutes a session of its members lasts (M6): 720 unless set, 5 at least.
    pub session_minutes: u32,
    /// What its keys must keep to (K10).
    pub keys: KeyPolicy,
}

/// How people join an organization: one way at a time (M1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum JoinMethod {
    /// By an invitation to an e-mail address.
    Invitation = 1,
    /// By single sign-on; an invitation is refused.
    Sso = 2,
}

/// What an organization demands of its keys (K10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Minutes a new or lengthened key may be valid at most, from now on.
    pub lifetime_minutes_max: Option<u32>,
    /// Whether a key must expire.
    pub expiry_required: bool,
    /// Days without use after which a key is disabled.
    pub idle_days_max: Option<u16>,
    /// Days before its expiry at which a project hears of it.
    pub warning_days: Option<u16>,
}

/// Minutes a session lasts unless set.
pub const SESSION_MINUTES_DEFAULT: u32 = 12 * 60;
/// Minutes a session lasts at least.
pub const SESSION_MINUTES_MIN: u32 = 5;
/// Minutes a session lasts at most: 30 days.
pub const SESSION_MINUTES_MAX: u32 = 30 * 24 * 60;
/// How long an offer of the ownership stands, in milliseconds: 7 days (O3a).
pub const OFFER_MS: u64 = 7 * 24 * 60 * 60 * 1000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            join_method: JoinMethod::Invitation,
            session_minutes: SESSION_MINUTES_DEFAULT,
            keys: KeyPolicy::default(),
        }
    }
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

    /// The organization with another name.
    #[must_use]
    pub fn renamed(self, _permit: &Permit, name: Name) -> Self {
        Self { name, ..self }
    }

    /// The organization with other settings.
    #[must_use]
    pub fn with_settings(self, _permit: &Permit, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The organization with the import of keys opened or closed (K9).
    #[must_use]
    pub fn importing(self, _permit: &Permit, imports_keys: bool) -> Self {
        Self { imports_keys, ..self }
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
    /// The identity that accepted it; no other acts through it (M10).
    pub identity: IdentityId,
    /// When they joined.
    pub joined_at: UnixMillis,
}

/// Why a member stays a member, or an admin an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indispensable {
    /// The owner is never removed or demoted, and never leaves (O3).
    Owner,
    /// There would be no admin left (M9).
    LastAdmin,
}

impl Membership {
    /// Whether it may end, or lose its admin role. `is_last` says that no other person is an admin.
    ///
    /// # Errors
    /// [`Indispensable`].
    pub fn check_dispensable(&self, organization: &Organization, is_last: bool) -> Result<(), Indispensable> {
        if self.user == organization.owner {
            Err(Indispensable::Owner)
        } else if self.role == Role::Admin && is_last {
            Err(Indispensable::LastAdmin)
        } else {
            Ok(())
        }
    }

    /// The membership with another role.
    #[must_use]
    pub const fn with_role(self, _permit: &Permit, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// Somebody who was removed from an organization: only its admins let them in again (M7, X6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// The organization.
    pub organization: OrganizationNumber,
    /// The person.
    pub user: UserId,
    /// When they were removed.
    pub at: UnixMillis,
}

/// The owner's offer of the ownership to another admin (O3a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnershipOffer {
    /// The organization: it has one offer at a time.
    pub organization: OrganizationNumber,
    /// The owner who offers.
    pub from: UserId,
    /// The admin who may accept.
    pub to: UserId,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when on it is void.
    pub expires_at: UnixMillis,
}

impl OwnershipOffer {
    /// Whether it can be accepted at `now`: its days are not over, and both sides are still what they were (O3a).
    pub fn stands(
        &self,
        now: UnixMillis,
        organization: &Organization,
        from: Option<&Membership>,
        to: Option<&Membership>,
    ) -> bool {
        let is_admin = |side: Option<&Membership>| side.is_some_and(|side| side.role == Role::Admin);
        now < self.expires_at && organization.owner == self.from && is_admin(from) && is_admin(to)
    }

    /// The organization under its new owner, who alone may accept (O3).
    ///
    /// # Errors
    /// [`Denied::Forbidden`] for anybody else.
    pub fn accepted(self, permit: &Permit, organization: Organization) -> Result<Organization, Denied> {
        match permit.actor() {
            Actor::User(user, _) if user == self.to => Ok(Organization { owner: user, ..organization }),
            _ => Err(Denied::Forbidden(Demand::Succession.as_str())),
        }
    }
}
