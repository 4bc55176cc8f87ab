//! What a restore took away until an operator confirms it (DESIGN §7): a copy of the state that is older than what
//! was published would let in again whom the published one refuses.

use super::Key;
use super::key::lasts_longer;
use super::organization::Membership;
use super::permit::Permit;
use super::project::Collaboration;
use latchkey_core::{KeyId, OrganizationNumber, ProjectNumber, UnixMillis, UserId};

/// One thing that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The organization that it concerns.
    pub organization: OrganizationNumber,
    /// What was taken away.
    pub what: HeldThing,
    /// What the published state said of it.
    pub why: HeldReason,
    /// When it was restored.
    pub at: UnixMillis,
}

/// What was taken away, and what it takes to give it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldThing {
    /// The key was disabled, unless it was before: since when.
    Key(KeyId, Option<UnixMillis>),
    /// The membership was removed, or its role lowered: this is how it was.
    Membership(Membership),
    /// The collaboration was removed, or made less: this is how it was.
    Collaboration(Collaboration),
    /// The organization was suspended.
    Organization,
    /// The project was archived.
    Project(ProjectNumber),
    /// The project was closed to external collaborators.
    Externals(ProjectNumber),
}

/// Where a held thing is filed within its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldPlace {
    /// A key.
    Key(KeyId),
    /// A person's membership.
    Membership(UserId),
    /// A person's part in a project.
    Collaboration(ProjectNumber, UserId),
    /// The organization itself.
    Organization,
    /// A project.
    Project(ProjectNumber),
    /// A project's switch for externals.
    Externals(ProjectNumber),
}

/// Why something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum HeldReason {
    /// What is published does not know it.
    Absent = 1,
    /// What is published refuses it.
    Refused = 2,
    /// What is published lets it do less, or end sooner.
    Less = 3,
    /// Nothing published could be reached.
    Unknown = 4,
}

impl HeldReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Refused, Self::Less, Self::Unknown];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Less => "less",
            Self::Unknown => "unknown",
        }
    }
}

impl Held {
    /// Where it is filed.
    pub const fn place(&self) -> HeldPlace {
        match &self.what {
            HeldThing::Key(id, _) => HeldPlace::Key(*id),
            HeldThing::Membership(one) => HeldPlace::Membership(one.user),
            HeldThing::Collaboration(one) => HeldPlace::Collaboration(one.project, one.user),
            HeldThing::Organization => HeldPlace::Organization,
            HeldThing::Project(number) => HeldPlace::Project(*number),
            HeldThing::Externals(number) => HeldPlace::Externals(*number),
        }
    }
}

impl Key {
    /// The key as it was before a restore disabled it: `before` says since when it was disabled then. It is idle
    /// anew from now on (K10).
    #[must_use]
    pub fn let_go(self, _permit: &Permit, before: Option<UnixMillis>, now: UnixMillis) -> Self {
        let enabled_at = if before.is_none() { Some(now) } else { self.enabled_at };
        Self { disabled_at: before, enabled_at, ..self }
    }
}

impl Membership {
    /// The greater of what is there now and of what was held, if both are the same identity's.
    #[must_use]
    pub fn let_go(self, _permit: &Permit, now: Option<&Self>) -> Option<Self> {
        match now {
            None => Some(self),
            Some(now) if now.identity == self.identity => {
                Some(Self { role: self.role.max(now.role), ..*now })
            }
            // They were let in anew meanwhile, as somebody else.
            Some(_) => None,
        }
    }
}

impl Collaboration {
    /// The greater of what is there now and of what was held, if both are the same identity's.
    #[must_use]
    pub fn let_go(self, _permit: &Permit, now: Option<&Self>) -> Option<Self> {
        match now {
            None => Some(self),
            Some(now) if now.identity == self.identity => {
                let lasts = lasts_longer(self.ends_at, now.ends_at);
                let ends_at = if lasts { self.ends_at } else { now.ends_at };
                let is_external = self.is_external || now.is_external;
                Some(Self { role: self.role.max(now.role), ends_at, is_external, ..*now })
            }
            Some(_) => None,
        }
    }
}
