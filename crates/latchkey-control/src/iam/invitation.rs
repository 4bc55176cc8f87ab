//! Invitations: to an organization (M2), or to a project for somebody who is no member (X5).

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

impl Invitation {
    /// Whether it can be accepted at `now`, its sender's rights apart.
    pub fn is_open(&self, now: UnixMillis) -> bool {
        self.outcome == InvitationOutcome::Pending && now < self.expires_at
    }
}
