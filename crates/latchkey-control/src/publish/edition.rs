//! Editions: the committed state built, and named in a statement that is signed with the keys then in force.

use super::keyring::{Keyring, TooFewSigners};
use super::picture::Picture;
use super::publisher::Settings;
use super::sink::Named;
use crate::outside::Clock;
use crate::store::{AuditView, ReadView, Store, StoreError};
use crate::tlog::tree::Checkpoint;
use latchkey_core::{Generation, Pepper, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{self, BuildError, StatementContent};
use latchkey_snapshot::root::KeyRole;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What a statement says, and all objects it leads to.
pub(super) struct Edition {
    /// Counts the editions of this run.
    pub(super) number: u64,
    pub(super) generation: Generation,
    pub(super) statement: StatementContent,
    pub(super) named: Named,
    /// The statement as it was last signed.
    pub(super) signed: Mutex<Option<Signed>>,
}

/// A signed statement.
pub(super) struct Signed {
    root_version: u32,
    bytes: Arc<[u8]>,
}

/// Why a statement is not signed.
#[derive(Debug)]
pub(super) enum SignError {
    /// Too few release keys are held.
    Signers(TooFewSigners),
    /// The format cannot say it.
    Build(BuildError),
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
        let keyring = self.settings.keyring.borrow().clone();
        let mut picture = self.caught_up(&view, keyring.pepper())?;
        let built = self.encode(&mut picture, &keyring)?;
        let issued = self.clock.now().seconds();
        let statement = self.state(&picture, &built, view.audit_checkpoint()?, issued);
        let generation = picture.generation();
        self.picture = Some(picture);
        self.built += 1;
        let mut objects = vec![built.manifest];
        objects.extend(built.objects);
        tracing::debug!(%generation, dirty_pages = built.dirty_pages, objects = objects.len(), "built");
        let named = Named::of(vec![objects.into()]);
        let edition = Edition { number: self.built, generation, statement, named, signed: Mutex::default() };
        Ok(Fresh { edition, looked_at })
    }

    fn caught_up(&mut self, view: &ReadView, pepper: &Pepper) -> Result<Picture, StoreError> {
        match self.picture.take().filter(|picture| picture.content.pepper_id() == pepper.id()) {
            Some(mut picture) => picture.catch_up(view).map(|()| picture),
            None => Picture::load(pepper.clone(), view),
        }
    }

    fn encode(&self, picture: &mut Picture, keyring: &Keyring) -> Result<build::Built, BuildError> {
        let settings = &self.settings;
        let exceptions = picture.exceptions();
        let edition = build::Edition {
            installation: settings.installation,
            generation: picture.generation(),
            pepper_id: picture.content.pepper_id(),
            grace_secs: settings.grace_secs,
            prefix: settings.prefix,
            exceptions: &exceptions,
            session_keys: keyring.session_keys(),
            edge_keys: keyring.edge_keys(),
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
    ) -> StatementContent {
        StatementContent {
            installation: self.settings.installation,
            generation: picture.generation(),
            issued,
            use_by: issued.plus_secs(self.settings.schedule.use_by_secs),
            manifest: built.manifest.reference,
            tip: None,
            previous: None,
            audit_size: audit.size,
            audit_root: audit.root,
        }
    }
}

impl Edition {
    /// The statement, signed under the root in force. Once for each root; later ones say it again as of `now`, since
    /// their keys need not have been valid before.
    pub(super) fn signed(&self, keyring: &Keyring, now: UnixSeconds) -> Result<Arc<[u8]>, SignError> {
        let root_version = keyring.root().version();
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = signed.as_ref().filter(|signed| signed.root_version == root_version) {
            return Ok(Arc::clone(&signed.bytes));
        }
        let mut content = self.statement.clone();
        if signed.is_some() {
            let good_for_secs = content.use_by.0.saturating_sub(content.issued.0);
            (content.issued, content.use_by) = (now, now.plus_secs(good_for_secs));
        }
        let signers = keyring.signers(KeyRole::Release, content.issued).map_err(SignError::Signers)?;
        let bytes: Arc<[u8]> = content.sign(&signers).map_err(SignError::Build)?.into();
        *signed = Some(Signed { root_version, bytes: Arc::clone(&bytes) });
        Ok(bytes)
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
