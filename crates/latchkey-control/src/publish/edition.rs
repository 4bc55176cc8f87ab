//! Editions: the committed state built, named in a statement, and the statement signed.

use super::picture::Picture;
use super::publisher::Settings;
use super::sink::Named;
use crate::outside::Clock;
use crate::store::{AuditView, ReadView, Store, StoreError};
use crate::tlog::tree::Checkpoint;
use latchkey_core::{Generation, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{self, BuildError, StatementContent};
use std::fmt;
use std::sync::Arc;

/// A signed statement and all objects it leads to.
pub(super) struct Edition {
    /// Counts the editions of this run.
    pub(super) number: u64,
    pub(super) generation: Generation,
    pub(super) statement: Vec<u8>,
    pub(super) named: Named,
}

/// Why there is no edition.
#[derive(Debug)]
pub(super) enum EditionError {
    /// The state could not be read.
    Store(StoreError),
    /// The format cannot say it.
    Build(BuildError),
}

/// Builds one edition after the other from the same picture. Its work blocks.
pub(super) struct Builder {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    picture: Option<Picture>,
    built: u64,
}

/// An edition, and the look at the committed state that it came from.
pub(super) struct Fresh {
    pub(super) edition: Edition,
    pub(super) looked_at: UnixMillis,
}

impl Builder {
    pub(super) const fn new(store: Arc<Store>, clock: Arc<dyn Clock>, settings: Arc<Settings>) -> Self {
        Self { store, clock, settings, picture: None, built: 0 }
    }

    /// The edition of what is committed now. After an error the next one starts over from the whole state.
    pub(super) fn build(&mut self) -> Result<Fresh, EditionError> {
        let looked_at = self.clock.now();
        let view = self.store.read()?;
        let mut picture = self.caught_up(&view)?;
        let built = self.encode(&mut picture)?;
        let issued = self.clock.now().seconds();
        let statement = self.state(&picture, &built, view.audit_checkpoint()?, issued)?;
        let generation = picture.generation();
        self.picture = Some(picture);
        self.built += 1;
        let mut objects = vec![built.manifest];
        objects.extend(built.objects);
        tracing::debug!(%generation, dirty_pages = built.dirty_pages, objects = objects.len(), "built");
        let named = Named::of(vec![objects.into()]);
        Ok(Fresh { edition: Edition { number: self.built, generation, statement, named }, looked_at })
    }

    fn caught_up(&mut self, view: &ReadView) -> Result<Picture, StoreError> {
        match self.picture.take() {
            Some(mut picture) => picture.catch_up(view).map(|()| picture),
            None => Picture::load(self.settings.pepper.clone(), view),
        }
    }

    fn encode(&self, picture: &mut Picture) -> Result<build::Built, BuildError> {
        let settings = &self.settings;
        let exceptions = picture.exceptions();
        let edition = build::Edition {
            installation: settings.installation,
            generation: picture.generation(),
            pepper_id: picture.content.pepper_id(),
            grace_secs: settings.grace_secs,
            prefix: settings.prefix,
            exceptions: &exceptions,
            session_keys: &settings.session_keys,
            edge_keys: &settings.edge_keys,
            canaries: &[],
            rules: &settings.rules,
        };
        picture.content.build(&edition)
    }

    fn state(
        &self,
        picture: &Picture,
        built: &build::Built,
        audit: Checkpoint,
        issued: UnixSeconds,
    ) -> Result<Vec<u8>, BuildError> {
        let content = StatementContent {
            installation: self.settings.installation,
            generation: picture.generation(),
            issued,
            use_by: issued.plus_secs(self.settings.schedule.use_by_secs),
            manifest: built.manifest.reference,
            tip: None,
            previous: None,
            audit_size: audit.size,
            audit_root: audit.root,
        };
        content.sign(&self.settings.release.iter().collect::<Vec<_>>())
    }
}

impl From<StoreError> for EditionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<BuildError> for EditionError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl fmt::Display for EditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the state cannot be read: {error}"),
            Self::Build(error) => write!(f, "the state cannot be built: {error}"),
        }
    }
}
