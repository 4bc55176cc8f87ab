//! Projects and who takes part in one (IAM §3).

use super::permit::Permit;
use super::text::Name;
use latchkey_core::{
    ExpiryMinute, IdentityId, OrganizationNumber, ProjectId, ProjectNumber, Role, Slug, UnixMillis, UserId,
};

/// An isolated workspace of an organization (J1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its number, which snapshots use.
    pub number: ProjectNumber,
    /// Its permanent id.
    pub id: ProjectId,
    /// The organization it belongs to.
    pub organization: OrganizationNumber,
    /// Its name.
    pub name: Name,
    /// Its slug (J3).
    pub slug: Slug,
    /// Who sees it without taking part (J6).
    pub visibility: Visibility,
    /// Whether external collaborators are let in (X1, X3).
    pub allows_external: bool,
    /// Whether it is the Default Project (J7).
    pub is_default: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Since when it is archived (J10).
    pub archived_at: Option<UnixMillis>,
    /// When it was deleted, for good; it was archived before (J10).
    pub deleted_at: Option<UnixMillis>,
}

impl Project {
    /// Whether every key and session is refused in it.
    pub const fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }

    /// The project with another name.
    #[must_use]
    pub fn renamed(self, _permit: &Permit, name: Name) -> Self {
        Self { name, ..self }
    }

    /// The project with another slug (J3).
    #[must_use]
    pub fn called(self, _permit: &Permit, slug: Slug) -> Self {
        Self { slug, ..self }
    }

    /// The project seen by others; who takes part keeps doing so (J6).
    #[must_use]
    pub fn visible_as(self, _permit: &Permit, visibility: Visibility) -> Self {
        Self { visibility, ..self }
    }

    /// The project with the switch for externals turned (X3).
    #[must_use]
    pub fn letting_externals_in(self, _permit: &Permit, allowed: bool) -> Self {
        Self { allows_external: allowed, ..self }
    }

    /// The project archived from `now` on, or since it first was (J10).
    #[must_use]
    pub fn archived(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { archived_at: self.archived_at.or(Some(now)), ..self }
    }

    /// The project out of the archive (J10).
    #[must_use]
    pub fn unarchived(self, _permit: &Permit) -> Self {
        Self { archived_at: None, ..self }
    }

    /// The project deleted, for good (J10).
    #[must_use]
    pub fn deleted(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { deleted_at: self.deleted_at.or(Some(now)), ..self }
    }

    /// Whether its keys and collaborators count (J10): it is neither archived nor deleted.
    pub const fn is_in_force(&self) -> bool {
        !self.is_archived() && self.deleted_at.is_none()
    }

    /// Whether something that `before` allowed is refused now, at once and in the whole project.
    pub const fn refuses_more_than(&self, before: &Self) -> bool {
        (self.is_archived() && !before.is_archived())
            || (self.deleted_at.is_some() && before.deleted_at.is_none())
            || (before.allows_external && !self.allows_external)
    }
}

/// Table P4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Visibility {
    /// Members of the organization see and may join it.
    Open = 1,
    /// Members see it and cannot join.
    Closed = 2,
    /// Only organization admins see it.
    Private = 3,
}

impl From<latchkey_api::Visibility> for Visibility {
    fn from(visibility: latchkey_api::Visibility) -> Self {
        match visibility {
            latchkey_api::Visibility::Open => Self::Open,
            latchkey_api::Visibility::Closed => Self::Closed,
            latchkey_api::Visibility::Private => Self::Private,
        }
    }
}

/// A person's part in a project. It counts only beside a membership, or if external with the switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collaboration {
    /// The project.
    pub project: ProjectNumber,
    /// The person.
    pub user: UserId,
    /// The role stored there (J5).
    pub role: Role,
    /// Whether they were added as an external collaborator (X1).
    pub is_external: bool,
    /// The identity that accepted it; no other acts through it (M10).
    pub identity: IdentityId,
    /// When they were added or joined.
    pub added_at: UnixMillis,
    /// From when on an external collaborator's access has ended (X4).
    pub ends_at: Option<ExpiryMinute>,
}

impl Collaboration {
    /// Whether an external collaborator's access has ended by itself (X4).
    pub fn has_ended(&self, now: UnixMillis) -> bool {
        self.ends_at.is_some_and(|end| end.has_passed(now))
    }

    /// The collaboration with another role.
    #[must_use]
    pub const fn with_role(self, _permit: &Permit, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The collaboration with another end, or none (X4).
    #[must_use]
    pub const fn ending(self, _permit: &Permit, ends_at: Option<ExpiryMinute>) -> Self {
        Self { ends_at, ..self }
    }
}

/// To whom a slug belongs, for ever: once used it goes to no other organization (J3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlugHolder {
    /// The organization that used it first.
    pub organization: OrganizationNumber,
    /// The project it resolves to now, if any.
    pub project: Option<ProjectNumber>,
}
