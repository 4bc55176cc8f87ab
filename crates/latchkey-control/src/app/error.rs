//! Why a use case refused. The HTTP layer alone turns this into a status.

use crate::iam::Denied;
use crate::iam::key::KeyFault;
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
    /// The slug is taken (J3).
    SlugTaken,
    /// The resource's type and id were used before (G1).
    ResourceTaken,
    /// The key is revoked for good (K5).
    KeyRevoked,
    /// The installation does not let operators sign people in.
    OperatorSignInOff,
    /// The storage failed: ours.
    Store(StoreError),
}

/// Why a genuine credential is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has run out.
    Expired,
    /// It was revoked.
    Revoked,
}

impl AppError {
    /// There is nothing the caller may know of (R2).
    pub const NOT_FOUND: Self = Self::Denied(Denied::NotFound);

    /// A field that is wrong, with what is wrong about it.
    pub(super) fn field(path: impl Into<String>, message: impl Display) -> Self {
        Self::Field { path: path.into(), message: message.to_string() }
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
        }
    }
}
