//! Editions: the committed state built, and named in a statement that is signed with the keys then in force.

use super::canaries;
use super::chain::{Line, Moment};
use super::keyring::{Keyring, TooFewSigners};
use super::picture::Picture;
use super::publisher::Settings;
use super::sink::Named;
use super::status::Published;
use super::succession::{self, Breach};
use crate::outside::Clock;
use crate::store::{AuditView, ReadView, Store, StoreError, View};
use crate::tlog::tree::Checkpoint;
use latchkey_core::{Generation, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{self, BuildError, StatementContent, Touched};
use latchkey_snapshot::root::KeyRole;
use latchkey_snapshot::{Canary, Exceptions, Previous};
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
    /// The build broke off in a way that it should not.
    Panicked,
    /// An operator holds grants back, and it is not known any more what was out before that.
    GrantsHeld,
    /// A base was held back, and there is nothing left that deltas could go on from.
    HeldBack(Breach),
}

/// What every builder of a run works with.
pub(super) struct Shop {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<Settings>,
    /// Set from when a base did not follow from the one before it until an operator decides. A builder that begins
    /// anew must not sign what the one before it held back.
    quarantine: Mutex<Option<Quarantine>>,
}

#[derive(Clone)]
struct Quarantine {
    breach: Breach,
    /// How often operators had released by then.
    releases: u64,
}

/// Builds one edition after the other from the same picture. Its work blocks.
pub(super) struct Builder {
    shop: Arc<Shop>,
    work: Option<Work>,
    built: u64,
}

/// What one build leaves to the next.
struct Work {
    picture: Picture,
    /// The keys that the base names.
    keyring: Arc<Keyring>,
    /// The canaries that the base names, and the base before it if that is carried on.
    canaries: Vec<Canary>,
    line: Line,
    previous: Option<Carried>,
    /// What was touched since where the line stands; something only while no delta could say it.
    owed: Touched,
}

/// A line that edges may go on with for a while.
struct Carried {
    line: Line,
    until: UnixSeconds,
}

/// An edition, and the look at the committed state that it came from.
pub(super) struct Fresh {
    pub(super) edition: Edition,
    pub(super) looked_at: UnixMillis,
    /// What was committed at that look.
    pub(super) committed: Generation,
    pub(super) published: Published,
}

impl Shop {
    pub(super) const fn new(store: Arc<Store>, clock: Arc<dyn Clock>, settings: Arc<Settings>) -> Self {
        Self { store, clock, settings, quarantine: Mutex::new(None) }
    }

    /// Why bases are held back now, if they are. An operator's release ends it.
    fn quarantine(&self, view: &ReadView) -> Result<Option<Breach>, StoreError> {
        let mut quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        let releases = view.publish_releases()?;
        if quarantine.as_ref().is_some_and(|held| held.releases != releases) {
            tracing::warn!(
                "an operator released what was held back: the next base is built from the whole state"
            );
            *quarantine = None;
        }
        Ok(quarantine.as_ref().map(|held| held.breach.clone()))
    }

    fn is_held_back(&self) -> bool {
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn hold_back(&self, breach: Breach, view: &ReadView) -> Result<(), StoreError> {
        tracing::error!(%breach, "a new base is not signed: it does not follow from what was published");
        let releases = view.publish_releases()?;
        *self.quarantine.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Quarantine { breach, releases });
        Ok(())
    }
}

impl Builder {
    /// A builder that knows nothing yet, after so many editions.
    pub(super) const fn new(shop: Arc<Shop>, built: u64) -> Self {
        Self { shop, work: None, built }
    }

    /// The edition of what is committed now. After an error the next one starts over from the whole state.
    pub(super) fn build(&mut self) -> Result<Fresh, EditionError> {
        let looked_at = self.shop.clock.now();
        let view = self.shop.store.read()?;
        let issued = self.shop.clock.now().seconds();
        let was_held_back = self.shop.is_held_back();
        let held_back = self.shop.quarantine(&view)?;
        let released = was_held_back && held_back.is_none();
        let keyring = self.shop.settings.keyring.borrow().clone();
        let is_ours = |work: &Work| !released && work.picture.content.pepper_id() == keyring.pepper().id();
        let work = match self.work.take().filter(is_ours) {
            Some(work) => self.go_on(work, &view, keyring, issued, held_back.is_some())?,
            None => match held_back {
                Some(breach) => return Err(EditionError::HeldBack(breach)),
                None => self.begin(&view, keyring, issued)?,
            },
        };
        let statement = self.state(&work, view.audit_checkpoint()?, issued);
        self.built += 1;
        let fresh = Fresh {
            edition: Edition {
                number: self.built,
                generation: work.line.generation(),
                statement,
                named: work.named(),
                signed: Mutex::default(),
            },
            looked_at,
            committed: view.generation()?,
            published: Published {
                base_bytes: work.line.pages_bytes(),
                deltas: work.line.deltas(),
                chain_bytes: work.line.chain_bytes(),
                held_back: self.shop.quarantine(&view)?.map(|breach| breach.to_string()),
            },
        };
        self.work = Some(work);
        Ok(fresh)
    }

    /// A base of the whole state.
    fn begin(
        &self,
        view: &ReadView,
        keyring: Arc<Keyring>,
        issued: UnixSeconds,
    ) -> Result<Work, EditionError> {
        if view.publish_held_since()?.is_some() {
            return Err(EditionError::GrantsHeld);
        }
        let mut picture = Picture::load(keyring.pepper().clone(), view)?;
        let exceptions = picture.exceptions();
        let canaries = canaries::expected(view, keyring.pepper(), &self.shop.settings.canaries)?;
        let line = self.base(&mut picture, &keyring, &exceptions, &canaries, issued)?;
        succession::check_canaries(&line).map_err(EditionError::HeldBack)?;
        Ok(Work { picture, keyring, canaries, line, previous: None, owed: Touched::default() })
    }

    /// What changed, as a delta; or a new base, where that is better and the old one leads to it.
    fn go_on(
        &self,
        work: Work,
        view: &ReadView,
        now_in_force: Arc<Keyring>,
        issued: UnixSeconds,
        is_held_back: bool,
    ) -> Result<Work, EditionError> {
        let Work { mut picture, mut keyring, mut canaries, mut line, previous, mut owed } = work;
        let limits = &self.shop.settings.schedule.chain;
        picture.catch_up(view)?;
        owed.extend(&picture.content.take_touched());
        let exceptions = picture.exceptions();
        let now = self.moment(&picture, &exceptions);
        let said = line.follow(&picture.content, &now, &owed, limits);
        let mut previous = previous.filter(|carried| issued < carried.until && said.is_ok());
        if let Some(carried) = &mut previous
            && (carried.line.follow(&picture.content, &now, &owed, limits).is_err()
                || carried.line.is_too_long_to_keep(limits))
        {
            previous = None;
        }
        // No delta can say them, and nobody may go on with those that were: one of them may be a thief's.
        let has_other_keys = !names_same_keys(&keyring, &now_in_force);
        // An edge adopts no chain under which a canary answers otherwise than its base says.
        let canaries_now = canaries::expected(view, keyring.pepper(), &self.shop.settings.canaries)?;
        let has_other_canaries = canaries_now != canaries;
        previous = previous.filter(|_| !has_other_canaries);
        let is_to_be_left = said.is_err() || has_other_keys || has_other_canaries;
        let wants_base = is_to_be_left || line.is_long(limits) || line.is_old(issued, limits);
        if said.is_ok() {
            owed = Touched::default();
        }
        if wants_base && !is_held_back {
            let base = self.base(&mut picture, &now_in_force, &exceptions, &canaries_now, issued)?;
            match succession::check(&line, &base, &owed) {
                Ok(()) => {
                    let old = std::mem::replace(&mut line, base);
                    let is_kept = !is_to_be_left && !old.is_too_long_to_keep(limits);
                    let until = issued.plus_secs(limits.previous_secs);
                    previous = (is_kept && until > issued).then_some(Carried { line: old, until });
                    owed = Touched::default();
                    (keyring, canaries) = (now_in_force, canaries_now);
                }
                Err(breach) => self.shop.hold_back(breach, view)?,
            }
        }
        Ok(Work { picture, keyring, canaries, line, previous, owed })
    }

    fn base(
        &self,
        picture: &mut Picture,
        keyring: &Keyring,
        exceptions: &Exceptions,
        canaries: &[Canary],
        issued: UnixSeconds,
    ) -> Result<Line, EditionError> {
        let settings = &self.shop.settings;
        let edition = build::Edition {
            installation: settings.installation,
            generation: picture.generation(),
            pepper_id: picture.content.pepper_id(),
            grace_secs: settings.grace_secs,
            prefix: settings.prefix,
            exceptions,
            session_keys: keyring.session_keys(),
            edge_keys: keyring.edge_keys(),
            canaries,
            rules: &settings.rules,
        };
        let built = picture.content.build(&edition)?;
        let generation = picture.generation();
        tracing::debug!(%generation, dirty_pages = built.dirty_pages, objects = built.objects.len(), "a base");
        Ok(Line::on(built, &self.moment(picture, exceptions), issued))
    }

    fn moment<'a>(&self, picture: &Picture, exceptions: &'a Exceptions) -> Moment<'a> {
        let installation = self.shop.settings.installation;
        Moment { installation, generation: picture.generation(), exceptions }
    }

    fn state(&self, work: &Work, audit: Checkpoint, issued: UnixSeconds) -> StatementContent {
        let settings = &self.shop.settings;
        StatementContent {
            installation: settings.installation,
            generation: work.line.generation(),
            issued,
            use_by: issued.plus_secs(settings.schedule.use_by_secs),
            manifest: work.line.manifest(),
            tip: work.line.tip(),
            previous: work.previous(),
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
            content.previous = content.previous.filter(|previous| previous.until > now);
        }
        let signers = keyring.signers(KeyRole::Release, content.issued).map_err(SignError::Signers)?;
        let bytes: Arc<[u8]> = content.sign(&signers).map_err(SignError::Build)?.into();
        *signed = Some(Signed { root_version, bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }
}

/// Whether a base of the one says of keys what a base of the other does.
fn names_same_keys(one: &Keyring, other: &Keyring) -> bool {
    one.session_keys() == other.session_keys() && one.edge_keys() == other.edge_keys()
}

impl Work {
    fn previous(&self) -> Option<Previous> {
        let Carried { line, until } = self.previous.as_ref()?;
        Some(Previous { manifest: line.manifest(), tip: line.tip()?, until: *until })
    }

    /// What a head leads to. An edge that follows closely fetches what stands first.
    fn named(&self) -> Named {
        let previous = self.previous.iter().flat_map(|carried| carried.line.bundles());
        Named::of(self.line.bundles().chain(previous).collect())
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
            Self::Panicked => f.write_str("the build broke off; it starts over from the whole state"),
            Self::GrantsHeld => f.write_str(
                "an operator holds grants back, and what was published before is not known after a restart: release it",
            ),
            Self::HeldBack(breach) => write!(f, "a base is held back: {breach}"),
        }
    }
}

#[cfg(test)]
mod tests;
