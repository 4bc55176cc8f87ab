//! Invitations: to an organization (M2), or to a project for somebody who is no member (X5).

use super::permit::Permit;
use super::text::Email;
use super::token::TokenDigest;
use latchkey_core::{
    ExpiryMinute, IdentityId, InvitationId, OrganizationNumber, ProjectNumber, Role, UnixMillis, UserId,
};

/// How long an invitation can be accepted, in milliseconds: 7 days (M2, X5).
pub const INVITATION_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// An invitation. Of its link only the digest is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its public id.
    pub id: InvitationId,
    /// The organization.
    pub organization: OrganizationNumber,
    /// To what.
    pub into: InvitedInto,
    /// To whom.
    pub email: Email,
    /// The digest of the link's token; resending replaces it.
    pub digest: TokenDigest,
    /// Who sends it: it dies with their right to.
    pub sender: UserId,
    /// The identity through which they sent it.
    pub sender_identity: IdentityId,
    /// When it was made or last resent.
    pub sent_at: UnixMillis,
    /// From when on it is dead.
    pub expires_at: UnixMillis,
    /// What became of it.
    pub outcome: InvitationOutcome,
}

/// What an invitation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitedInto {
    /// Membership in the organization.
    Organization(Role),
    /// External collaboration in a project, until a moment if one was set (X4).
    Project(ProjectNumber, Role, Option<ExpiryMinute>),
}

impl InvitedInto {
    /// From when on an invitation to it that is sent now is dead: after 7 days, or with the access that it gives.
    pub fn invitation_expires(&self, now: UnixMillis) -> UnixMillis {
        let last = now.plus_ms(INVITATION_MS);
        match self {
            Self::Project(_, _, Some(end)) => last.min(end.begins().millis()),
            Self::Organization(_) | Self::Project(_, _, None) => last,
        }
    }
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationOutcome {
    /// Nothing yet.
    Pending,
    /// Accepted, once and for all.
    Accepted(UserId, UnixMillis),
    /// Called back.
    Cancelled(UnixMillis),
}

/// It was accepted or cancelled before, or has expired: nothing brings it back (M2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvitationClosed;

impl Invitation {
    /// Whether it can be accepted at `now`, its sender's rights apart.
    pub fn is_open(&self, now: UnixMillis) -> bool {
        self.outcome == InvitationOutcome::Pending && now < self.expires_at
    }

    /// The role that it gives.
    pub const fn role(&self) -> Role {
        match self.into {
            InvitedInto::Organization(role) | InvitedInto::Project(_, role, _) => role,
        }
    }

    /// The project it leads to, if it does not lead to the organization.
    pub const fn project(&self) -> Option<ProjectNumber> {
        match self.into {
            InvitedInto::Organization(_) => None,
            InvitedInto::Project(project, ..) => Some(project),
        }
    }

    /// The invitation sent again: a new link and 7 new days, and it lives by its new sender's right (M2).
    ///
    /// # Errors
    /// [`InvitationClosed`]: an expired one is never revived.
    pub fn resent(
        self,
        _permit: &Permit,
        digest: TokenDigest,
        (sender, sender_identity): (UserId, IdentityId),
        now: UnixMillis,
    ) -> Result<Self, InvitationClosed> {
        let open = self.open(now)?;
        let expires_at = open.into.invitation_expires(now);
        Ok(Self { digest, sender, sender_identity, sent_at: now, expires_at, ..open })
    }

    /// The invitation called back, for good.
    ///
    /// # Errors
    /// [`InvitationClosed`].
    pub fn cancelled(self, _permit: &Permit, now: UnixMillis) -> Result<Self, InvitationClosed> {
        Ok(Self { outcome: InvitationOutcome::Cancelled(now), ..self.open(now)? })
    }

    /// The invitation used, once and for all.
    ///
    /// # Errors
    /// [`InvitationClosed`].
    pub fn accepted(self, _permit: &Permit, by: UserId, now: UnixMillis) -> Result<Self, InvitationClosed> {
        Ok(Self { outcome: InvitationOutcome::Accepted(by, now), ..self.open(now)? })
    }

    fn open(self, now: UnixMillis) -> Result<Self, InvitationClosed> {
        if self.is_open(now) { Ok(self) } else { Err(InvitationClosed) }
    }
}
