//! Why a use case refused. The HTTP layer alone turns this into a status.

use crate::iam::Denied;
use crate::iam::invitation::InvitationClosed;
use crate::iam::key::KeyFault;
use crate::iam::organization::Indispensable;
use crate::store::StoreError;
use std::fmt::Display;

/// A refusal, or a failure below.
#[derive(Debug, Clone)]
pub enum AppError {
    /// No credential, a malformed or an unknown one: the same for all (R1).
    Unauthenticated,
    /// The credential was genuine once.
    Ended(Ended),
    /// The caller may not.
    Denied(Denied),
    /// A field of the request is wrong: the caller's fault.
    Field {
        /// Where, like `keys[3].name`.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// A query parameter is wrong: the caller's fault.
    Query(&'static str),
    /// The idempotency key was used with another body or query.
    IdempotencyMismatch,
    /// The thing is not in the state that the caller named.
    PreconditionFailed,
    /// The slug is taken (J3).
    SlugTaken,
    /// The resource's type and id were used before (G1).
    ResourceTaken {
        /// Where, like `resources[3].id`.
        path: String,
    },
    /// The key is revoked for good (K5).
    KeyRevoked,
    /// The state does not allow it, for this reason.
    Conflict(Conflict),
    /// The installation does not let operators sign people in.
    OperatorSignInOff,
    /// The installation hands out no tokens for edges.
    EdgeTokensOff,
    /// Only an API key is told who it is (K11).
    KeyNeeded,
    /// The key is narrowed to networks that the caller is not in (K7).
    NetworkNotAllowed,
    /// The server's file of route rules is wrong, with where.
    RulesRefused(String),
    /// Publishing needs an operator.
    PublishingFailed,
    /// The storage failed: ours.
    Store(StoreError),
}

/// Why the state does not allow what was asked; the caller may know the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The owner cannot be removed, demoted, or leave (O3).
    Owner,
    /// There would be no admin left (M9).
    LastAdmin,
    /// They are a member already.
    AlreadyMember,
    /// They take part in the project already.
    AlreadyCollaborator,
    /// They were removed: only an organization admin lets them in again (M7, X6).
    Removed,
    /// The organization's people join by single sign-on (M1).
    SsoOrganization,
    /// The invitation was accepted or cancelled before, has expired, or its sender lost the right to send it.
    InvitationClosed,
    /// There is an open invitation to the address already.
    AlreadyInvited,
    /// There is an offer of the ownership already (O3a).
    OfferOpen,
    /// The Default Project stays open, joined and there (J7).
    DefaultProject,
    /// The project takes no external collaborators (X1).
    ExternalsOff,
    /// An organization admin is a project's admin while that lasts (J5, X6).
    OrganizationAdmin,
    /// The project is not archived (J10).
    NotArchived,
    /// A restore holds it: only an operator lets it go.
    HeldByRestore,
    /// Importing is not open for the organization (K9).
    ImportClosed,
    /// A digest was imported before, here or elsewhere (K9).
    DigestTaken,
    /// The key was rotated before: its successor is rotated instead, and itself it can only end sooner (K8).
    KeyRotated,
    /// The cluster has no such way in (P3).
    ClusterAccess,
    /// A line of the batch has nothing it could count for (B3).
    UsageUncountable,
    /// The batch was counted or thrown away before (B3).
    UsageSettled,
    /// The key has expired, so it is not rotated (K8).
    KeyExpired,
    /// What was asked is there already, or done already.
    NothingToDo,
    /// The server has no file of route rules.
    NoRulesFile,
}

/// Why a genuine credential is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has run out.
    Expired,
    /// It was revoked.
    Revoked,
    /// It is switched off.
    Disabled,
    /// Its organization is suspended, or its project archived.
    Suspended,
}

impl AppError {
    /// There is nothing the caller may know of (R2).
    pub const NOT_FOUND: Self = Self::Denied(Denied::NotFound);

    /// A field that is wrong, with what is wrong about it.
    pub(super) fn field(path: impl Into<String>, message: impl Display) -> Self {
        Self::Field { path: path.into(), message: message.to_string() }
    }
}

impl From<Conflict> for AppError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Denied> for AppError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<KeyFault> for AppError {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Denied(denied) => Self::Denied(denied),
            KeyFault::Revoked => Self::KeyRevoked,
            KeyFault::Rotated => Conflict::KeyRotated.into(),
            KeyFault::Expired => Conflict::KeyExpired.into(),
        }
    }
}

impl From<InvitationClosed> for AppError {
    fn from(_: InvitationClosed) -> Self {
        Self::Conflict(Conflict::InvitationClosed)
    }
}

impl From<Indispensable> for AppError {
    fn from(indispensable: Indispensable) -> Self {
        match indispensable {
            Indispensable::Owner => Self::Conflict(Conflict::Owner),
            Indispensable::LastAdmin => Self::Conflict(Conflict::LastAdmin),
        }
    }
}
