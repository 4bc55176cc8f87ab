//! From a statement down to a base: what must hold between a manifest and the deltas over it before they serve.

use crate::delta::{CHAIN_MAX, Removals};
use crate::manifest::Manifest;
use crate::object::ObjectRef;
use crate::root::Installation;
use core::fmt;
use latchkey_core::Generation;

/// Why a manifest and deltas are not what a statement names. Its signer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// More deltas than a chain may have.
    TooMany,
    /// One belongs to another installation.
    Installation,
    /// A delta's tags are under another pepper than the manifest's.
    PepperId,
    /// A delta stands on another manifest.
    Base,
    /// A delta does not continue what comes before it.
    Continuity,
    /// The newest of them is not at the statement's generation.
    Generation,
}

/// Whether `manifest`, which `base` names, and these deltas, the oldest first, are what a statement of this
/// installation and this generation names. Each delta must have been fetched as the parent of the next, the last as
/// the statement's tip: that is not checked here.
///
/// # Errors
/// [`ChainError`].
pub fn check(
    (installation, generation): (Installation, Generation),
    base: &ObjectRef,
    manifest: &Manifest,
    deltas: &[&Removals],
) -> Result<(), ChainError> {
    ensure(deltas.len() <= CHAIN_MAX, ChainError::TooMany)?;
    ensure(manifest.installation == installation, ChainError::Installation)?;
    let mut reached = manifest.generation;
    for (index, delta) in deltas.iter().enumerate() {
        ensure(delta.installation == installation, ChainError::Installation)?;
        ensure(delta.pepper_id == manifest.pepper_id, ChainError::PepperId)?;
        ensure(delta.base == *base, ChainError::Base)?;
        let continues = delta.from == reached && delta.parent.is_none() == (index == 0);
        ensure(continues, ChainError::Continuity)?;
        reached = delta.generation;
    }
    ensure(reached == generation, ChainError::Generation)
}

fn ensure(holds: bool, error: ChainError) -> Result<(), ChainError> {
    if holds { Ok(()) } else { Err(error) }
}

impl ChainError {
    /// The specification's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too many",
            Self::Installation => "installation",
            Self::PepperId => "pepper id",
            Self::Base => "base",
            Self::Continuity => "continuity",
            Self::Generation => "generation",
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "chain: more deltas than one may have",
            Self::Installation => "chain: a part of it belongs to another installation",
            Self::PepperId => "chain: a delta is under another pepper than its base",
            Self::Base => "chain: a delta stands on another base",
            Self::Continuity => "chain: a delta does not continue what comes before it",
            Self::Generation => "chain: it does not end at the statement's generation",
        })
    }
}

impl core::error::Error for ChainError {}
