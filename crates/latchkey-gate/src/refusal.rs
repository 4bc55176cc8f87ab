//! Why bytes are refused, and why what was published does not serve.

use crate::INLINE_HELD_MAX;
use crate::leaf::LeafError;
use crate::shelf::NodeError;
use core::fmt;
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::{HeadError, ObjectError};

/// What a head that was taken in changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAccepted {
    /// Nothing new, and all that it names is here: what is held is confirmed.
    Confirmed,
    /// It names something that is not here yet; [`crate::Gate::wanted`] says what to fetch.
    Pending,
    /// It names a manifest, or deltas, that this gate has refused.
    ManifestRefused(AdoptError),
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefusal {
    /// It was signed under a newer root: hand in this version first, then the head again.
    RootNeeded {
        /// The next version to fetch.
        next: u32,
    },
    /// It is no head of this installation, or not signed well enough.
    Head(HeadError),
    /// Its `as_of` lies more than a second ahead of the clock.
    FromTheFuture {
        /// By how many milliseconds.
        ahead_ms: u64,
    },
    /// It is older than what the gate was deployed to believe.
    BelowFloor,
    /// It ranks below the one that is held.
    Older,
    /// It ranks like the one that is held and is another: somebody signs twice. The first stays.
    Forked,
    /// It would bring more inline revocations than a gate keeps.
    TooManyInline,
}

/// Why an object is refused. Nothing of it is kept but what a delta removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectRefusal {
    /// It is not the object that was named, or no such object.
    Object(ObjectError),
    /// Its record count is not the one that its node names; the signer's fault.
    Records,
    /// Its pages do not lie where the manifest says; the signer's fault.
    Misplaced,
    /// With its pages a section has another number of records than the manifest says; the signer's fault.
    SectionRecords,
    /// With it, what was published cannot serve.
    NotAdopted(AdoptError),
}

/// Why what was published is not adopted; the last good snapshot keeps serving, and grows old where all can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptError {
    /// The bytes that its digest names are no manifest.
    Manifest(ObjectError),
    /// It belongs to another installation.
    Installation,
    /// Its generation is not its statement's.
    Generation,
    /// It is under a pepper that this gate does not hold.
    Pepper([u8; 8]),
    /// The route rule with this number cannot stand.
    Routes(usize),
    /// The bytes that a delta's digest names are no delta.
    Delta(ObjectError),
    /// Its deltas do not lead from the manifest to the statement.
    Chain(ChainError),
    /// The canary with this number does not answer as the manifest says.
    Canary(usize),
}

/// Why deltas do not lead from a manifest to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// One belongs to another installation.
    Installation,
    /// One is under another pepper than the manifest.
    Pepper,
    /// One stands on another base.
    Base,
    /// The tip's generation is not the statement's.
    Generation,
    /// One does not begin where the one before it, or the manifest, ends.
    Gap,
    /// There are more than a chain may have.
    TooLong,
}

impl From<LeafError> for ObjectRefusal {
    fn from(error: LeafError) -> Self {
        match error {
            LeafError::Object(error) => Self::Object(error),
            LeafError::Records => Self::Records,
        }
    }
}

impl From<NodeError> for ObjectRefusal {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Misplaced => Self::Misplaced,
            NodeError::Records => Self::SectionRecords,
        }
    }
}

impl fmt::Display for HeadRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootNeeded { next } => write!(f, "head: root {next} must come first"),
            Self::Head(error) => error.fmt(f),
            Self::FromTheFuture { ahead_ms } => {
                write!(f, "head: its as_of lies {ahead_ms} ms ahead of the clock")
            }
            Self::BelowFloor => f.write_str("head: it is older than the floor"),
            Self::Older => f.write_str("head: a newer one is held"),
            Self::Forked => f.write_str("head: another one of the same rank is held"),
            Self::TooManyInline => {
                write!(f, "head: more than {INLINE_HELD_MAX} inline revocations would be held")
            }
        }
    }
}

impl core::error::Error for HeadRefusal {}

impl fmt::Display for ObjectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => error.fmt(f),
            Self::Records => f.write_str("the page's record count is not the one its node names"),
            Self::Misplaced => f.write_str("the node's pages do not lie where the manifest says"),
            Self::SectionRecords => {
                f.write_str("the section's nodes name another number of records than the manifest")
            }
            Self::NotAdopted(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ObjectRefusal {}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) | Self::Delta(error) => error.fmt(f),
            Self::Installation => f.write_str("manifest: it belongs to another installation"),
            Self::Generation => f.write_str("manifest: its generation is not its statement's"),
            Self::Pepper(id) => {
                write!(
                    f,
                    "manifest: it is under the pepper `{:016x}`, which is not held",
                    u64::from_be_bytes(*id)
                )
            }
            Self::Routes(rule) => write!(f, "manifest: its route rule {rule} cannot stand"),
            Self::Chain(error) => error.fmt(f),
            Self::Canary(index) => write!(f, "manifest: its canary {index} does not answer as it says"),
        }
    }
}

impl core::error::Error for AdoptError {}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installation => f.write_str("delta: it belongs to another installation"),
            Self::Pepper => f.write_str("delta: it is under another pepper than its manifest"),
            Self::Base => f.write_str("delta: it stands on another base"),
            Self::Generation => f.write_str("delta: its generation is not its statement's"),
            Self::Gap => f.write_str("delta: it does not begin where the one before it ends"),
            Self::TooLong => write!(f, "delta: it has more than {CHAIN_MAX} in its chain"),
        }
    }
}

impl core::error::Error for ChainError {}
