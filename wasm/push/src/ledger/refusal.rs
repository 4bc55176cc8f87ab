//! Why a hub takes something not.

use core::fmt;
use latchkey_snapshot::{HeadError, ObjectError, RootError};

/// Why something that was pushed is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no head that the newest root vouches for.
    Head(HeadError),
    /// It is no root that follows the newest.
    Root(RootError),
    /// It is not the object that it is pushed as.
    Object(ObjectError),
    /// The root of this version must come first.
    RootMissing {
        /// The version that is next.
        version: u32,
    },
    /// Something newer is held.
    Older,
    /// Other bytes of the same rank or version are held; the first stay.
    Conflict,
    /// The head's `as_of` lies more than a second ahead of the hub's clock.
    AsOfAhead {
        /// By how many milliseconds.
        ahead_ms: u64,
    },
    /// No verified statement names the object.
    NotNamed,
    /// The manifest leads to more objects than a hub keeps.
    TooManyObjects,
    /// A delta is not what its place in a chain demands.
    Chain,
    /// The generation is larger than the storage can hold.
    GenerationOutOfRange,
}

/// The classes of refusals; the shell turns them into status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A check failed: these bytes will never be taken.
    Bytes,
    /// What is held forbids it.
    Held,
    /// Nobody named it.
    NotNamed,
    /// It is longer than such a thing may be.
    TooLong,
}

impl Refusal {
    /// The class.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Head(HeadError::TooLong) | Self::Root(RootError::TooLong) => Fault::TooLong,
            Self::RootMissing { .. } | Self::Older | Self::Conflict => Fault::Held,
            Self::NotNamed => Fault::NotNamed,
            _ => Fault::Bytes,
        }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Head(error) => head_code(error),
            Self::Root(error) => root_code(error),
            Self::Object(ObjectError::Length { .. }) => "object_length",
            Self::Object(ObjectError::Digest) => "object_digest",
            Self::Object(ObjectError::Parse(_)) => "object_malformed",
            Self::RootMissing { .. } => "root_missing",
            Self::Older => "older",
            Self::Conflict => "conflict",
            Self::AsOfAhead { .. } => "as_of_ahead",
            Self::NotNamed => "object_not_named",
            Self::TooManyObjects => "too_many_objects",
            Self::Chain => "chain_broken",
            Self::GenerationOutOfRange => "generation_out_of_range",
        }
    }
}

const fn head_code(error: &HeadError) -> &'static str {
    match error {
        HeadError::TooLong => "too_long",
        HeadError::Parse(_) => "head_malformed",
        HeadError::RootVersion { .. } => "root_version",
        HeadError::Installation => "installation",
        HeadError::StatementSignatures => "statement_signatures",
        HeadError::HeadSignatures => "head_signatures",
    }
}

const fn root_code(error: &RootError) -> &'static str {
    match error {
        RootError::TooLong => "too_long",
        RootError::Parse(_) => "root_malformed",
        RootError::Installation => "installation",
        RootError::Version { .. } => "root_version",
        RootError::Issued => "root_issued",
        RootError::OwnSignatures => "root_own_signatures",
        RootError::PredecessorSignatures => "root_predecessor_signatures",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Root(error) => error.fmt(f),
            Self::Object(error) => error.fmt(f),
            Self::RootMissing { version } => write!(f, "root version {version} must come first"),
            Self::Older => f.write_str("something newer is held"),
            Self::Conflict => f.write_str("other bytes are held in its place; the first stay"),
            Self::AsOfAhead { ahead_ms } => {
                write!(f, "the head's `as_of` lies {ahead_ms} ms ahead of the hub's clock")
            }
            Self::NotNamed => f.write_str("no verified statement names the object, or not yet"),
            Self::TooManyObjects => f.write_str("the manifest leads to more objects than a hub keeps"),
            Self::Chain => f.write_str("a delta is not what its place in a chain demands"),
            Self::GenerationOutOfRange => f.write_str("the generation is out of range"),
        }
    }
}

impl core::error::Error for Refusal {}
