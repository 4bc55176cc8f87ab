//! A snapshot made again from the database and the pepper: the same state gives the same bytes, whatever led to it.

use super::canaries;
use super::picture::Picture;
use super::published::{PublishedError, PublishedState};
use super::source::{Source, SourceError};
use crate::store::{ReadView, StoreError};
use latchkey_core::{Generation, KeyId, Pepper, Prefix};
use latchkey_snapshot::build::{self, BuildError, Object};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::{Canary, Cors, Installation, ObjectDigest, ObjectRef, Rule};
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

/// What a base says beside the state, from where the publisher would take it: never from what is published, unless
/// whoever compares says so.
#[derive(Debug)]
pub struct Beside<'a> {
    /// The installation.
    pub installation: Installation,
    /// How its keys begin.
    pub prefix: Prefix,
    /// The keys whose session tokens are believed.
    pub session_keys: &'a [TokenKey],
    /// The keys whose assertions origins believe.
    pub edge_keys: &'a [TokenKey],
    /// Which pages in browsers may call, if any may.
    pub cors: Option<&'a Cors>,
    /// What routes need.
    pub rules: &'a [Rule],
    /// How long past `as_of` a stale edge may still answer, in seconds.
    pub grace_secs: u32,
    /// What edges try first.
    pub canaries: Canaries<'a>,
}

/// The look-ups of which a base says the answer.
#[derive(Debug, Clone, Copy)]
pub enum Canaries<'a> {
    /// Those of these keys, as the state answers them.
    Of(&'a [KeyId]),
    /// These, with the answers that they have.
    Said(&'a [Canary]),
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
    /// The base that a rebase would give now.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub fn of(view: &ReadView, pepper: Pepper, beside: &Beside<'_>) -> Result<Self, RebuildError> {
        let canaries = match beside.canaries {
            Canaries::Of(keys) => canaries::expected(view, &pepper, keys)?,
            Canaries::Said(canaries) => canaries.to_vec(),
        };
        let mut picture = Picture::load(pepper, view)?;
        let (generation, exceptions) = (picture.generation(), picture.exceptions());
        let edition = build::Edition {
            installation: beside.installation,
            generation,
            pepper_id: picture.content.pepper_id(),
            grace_secs: beside.grace_secs,
            prefix: beside.prefix,
            exceptions: &exceptions,
            session_keys: beside.session_keys,
            edge_keys: beside.edge_keys,
            canaries: &canaries,
            cors: beside.cors,
            rules: beside.rules,
        };
        let built = picture.content.build(&edition).map_err(RebuildError::Build)?;
        let manifest = built.manifest.reference;
        let objects = built.objects.into_iter().chain([built.manifest]);
        let memory = Memory(objects.map(|object| (object.reference.digest(), object)).collect());
        let state = PublishedState::read(&memory, (beside.installation, generation), &manifest, None);
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
