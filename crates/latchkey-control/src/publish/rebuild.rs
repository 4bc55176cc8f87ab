//! A snapshot made again from the database and the pepper: the same state gives the same bytes, whatever led to it.

use super::picture::Picture;
use super::published::{PublishedError, PublishedState};
use super::source::{Source, SourceError};
use crate::store::{ReadView, StoreError};
use latchkey_core::{Generation, Pepper};
use latchkey_snapshot::build::{self, BuildError, Object};
use latchkey_snapshot::{Manifest, ObjectDigest, ObjectRef};
use std::collections::HashMap;
use std::fmt;

/// A base that follows from a database.
#[derive(Debug)]
pub struct Rebuilt {
    /// The generation that the database is at.
    pub generation: Generation,
    /// The manifest.
    pub manifest: ObjectRef,
    /// All that it leads to, read back.
    pub state: PublishedState,
}

/// Why nothing can be rebuilt.
#[derive(Debug)]
pub enum RebuildError {
    /// The state cannot be read.
    Store(StoreError),
    /// The format cannot say it.
    Build(BuildError),
    /// What was built cannot be read back: our bug.
    Unreadable(PublishedError),
}

impl Rebuilt {
    /// The base that a rebase would give now. What does not follow from the state (rules, public keys, grace,
    /// canaries) is taken from `like`.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub fn of(view: &ReadView, pepper: Pepper, like: &Manifest) -> Result<Self, RebuildError> {
        let mut picture = Picture::load(pepper, view)?;
        let (generation, exceptions) = (picture.generation(), picture.exceptions());
        let edition = build::Edition {
            installation: like.installation,
            generation,
            pepper_id: picture.content.pepper_id(),
            grace_secs: like.grace_secs,
            prefix: like.prefix,
            exceptions: &exceptions,
            session_keys: &like.session_keys,
            edge_keys: &like.edge_keys,
            canaries: &like.canaries,
            rules: &like.rules,
        };
        let built = picture.content.build(&edition).map_err(RebuildError::Build)?;
        let manifest = built.manifest.reference;
        let objects = built.objects.into_iter().chain([built.manifest]);
        let memory = Memory(objects.map(|object| (object.reference.digest(), object)).collect());
        let state = PublishedState::read(&memory, (like.installation, generation), &manifest, None);
        Ok(Self { generation, manifest, state: state.map_err(RebuildError::Unreadable)? })
    }
}

/// Objects that were built a moment ago.
struct Memory(HashMap<ObjectDigest, Object>);

impl Source for Memory {
    fn name(&self) -> &str {
        "what was rebuilt"
    }

    fn root(&self, _: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn object(&self, digest: ObjectDigest, _: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get(&digest).map(|object| object.bytes.to_vec()))
    }
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for RebuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Unreadable(error) => write!(f, "what was rebuilt cannot be read: {error}"),
        }
    }
}

impl std::error::Error for RebuildError {}
