//! Editions: the committed state built, and named in a statement that is signed with the keys then in force.

use super::canaries;
use super::chain::{ChainLimits, Line, Moment};
use super::heads::Bookmark;
use super::keyring::{Keyring, TooFewSigners};
use super::lines::Stands;
use super::picture::{Picture, Withheld};
use super::publisher::Settings;
use super::rulebook::Routing;
use super::sink::Named;
use super::status::Published;
use super::succession::{self, Breach};
use crate::outside::Clock;
use crate::store::{AuditView, ReadView, Store, StoreError, View};
use crate::tlog::tree::Checkpoint;
use latchkey_core::{Generation, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{self, BuildError, Object, StatementContent, Touched};
use latchkey_snapshot::root::KeyRole;
use latchkey_snapshot::{Canary, Exceptions, Manifest, Previous};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What a statement says, and all objects it leads to.
pub(super) struct Edition {
    /// Counts the editions of this run.
    pub(super) number: u64,
    /// The line that it stands on, by its number.
    pub(super) line: u64,
    /// The same state on lines before that one, for sinks that do not hold its base yet.
    pub(super) older: Vec<Arc<Edition>>,
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
    /// The state names route rules that nobody has read here.
    UnknownRules,
    /// A base was held back, and there is nothing left that deltas could go on from.
    HeldBack(Breach),
}

/// What every builder of a run works with.
pub(super) struct Shop {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<Settings>,
    pub(super) stands: Stands,
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

/// What a base says beside the records and the exceptions.
#[derive(Clone, Copy)]
struct Beside<'a> {
    keyring: &'a Arc<Keyring>,
    canaries: &'a [Canary],
    routing: &'a Arc<Routing>,
}

/// What one build leaves to the next.
struct Work {
    picture: Picture,
    /// The keys that the base names.
    keyring: Arc<Keyring>,
    /// The canaries that the base names.
    canaries: Vec<Canary>,
    /// The route rules that the base says.
    routing: Arc<Routing>,
    line: Line,
    /// The lines before, the newest first.
    before: Vec<Carried>,
    /// What was touched since where the line stands; something only while no delta could say it.
    owed: Touched,
}

/// A line that is carried on: edges may go on with it for a while, and sinks that stand on it until they hold what came
/// after.
struct Carried {
    line: Line,
    /// Until when edges may; 0 for not at all.
    until: UnixSeconds,
}

/// An edition, and the look at the committed state that it came from.
pub(super) struct Fresh {
    pub(super) edition: Edition,
    pub(super) looked_at: UnixMillis,
    /// What was committed at that look.
    pub(super) committed: Generation,
    pub(super) published: Published,
    /// What an operator holds back, for a restart.
    pub(super) withheld: Option<Withheld>,
}

impl Shop {
    pub(super) fn new(
        (store, clock): (Arc<Store>, Arc<dyn Clock>),
        settings: Arc<Settings>,
        stands: Stands,
    ) -> Self {
        Self { store, clock, settings, stands, quarantine: Mutex::new(None) }
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
        self.built += 1;
        let fresh = Fresh {
            edition: self.edition(&work, view.audit_checkpoint()?, issued),
            looked_at,
            committed: view.generation()?,
            published: Published {
                base_bytes: work.line.pages_bytes(),
                deltas: work.line.deltas(),
                chain_bytes: work.line.chain_bytes(),
                held_back: self.shop.quarantine(&view)?.map(|breach| breach.to_string()),
            },
            withheld: work.picture.withheld(work.keyring.pepper(), self.shop.settings.installation, &view)?,
        };
        self.work = Some(work);
        Ok(fresh)
    }

    /// A base of the whole state, but for what an operator holds back.
    fn begin(
        &self,
        view: &ReadView,
        keyring: Arc<Keyring>,
        issued: UnixSeconds,
    ) -> Result<Work, EditionError> {
        let pepper = keyring.pepper().clone();
        let mut picture = match view.publish_held_since()? {
            None => Picture::load(pepper, view)?,
            Some(_) => {
                let stated = Bookmark::read(view)?.generation;
                Picture::load_held(pepper, view, stated)?
            }
        };
        let exceptions = picture.exceptions();
        let canaries = canaries::expected(view, keyring.pepper(), &self.shop.settings.canaries)?;
        let routing = self.routing(view)?;
        let beside = Beside { keyring: &keyring, canaries: &canaries, routing: &routing };
        let line = self.base(&mut picture, &exceptions, beside, issued)?;
        succession::check_canaries(&line).map_err(EditionError::HeldBack)?;
        let (before, owed) = (Vec::new(), Touched::default());
        Ok(Work { picture, keyring, canaries, routing, line, before, owed })
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
        let mut work = work;
        let limits = &self.shop.settings.schedule.chain;
        work.picture.catch_up(view)?;
        work.owed.extend(&work.picture.content.take_touched());
        let exceptions = work.picture.exceptions();
        let canaries = canaries::expected(view, work.keyring.pepper(), &self.shop.settings.canaries)?;
        let routing = self.routing(view)?;
        let mut is_to_be_left = !work.follow(&self.moment(&work.picture, &exceptions), limits);
        let has_other_keys = !names_same_keys(&work.keyring, &now_in_force);
        // What was held back stays so, but no key that may be a thief's is believed any longer for it.
        let says_otherwise = canaries != work.canaries || routing != work.routing;
        let is_to_be_reissued = has_other_keys || (!is_held_back && says_otherwise);
        if is_to_be_reissued && !is_to_be_left {
            let said = if is_held_back { Arc::clone(&work.routing) } else { Arc::clone(&routing) };
            let beside = Beside { keyring: &now_in_force, canaries: &canaries, routing: &said };
            is_to_be_left = !self.reissue(&mut work, &exceptions, beside, view)?;
        }
        let wants_base = is_to_be_left || work.line.is_long(limits) || work.line.is_old(issued, limits);
        if wants_base && !is_held_back {
            let beside = Beside { keyring: &now_in_force, canaries: &canaries, routing: &routing };
            let base = self.base(&mut work.picture, &exceptions, beside, issued)?;
            match succession::check(&work.line, &base, &work.owed) {
                Ok(()) => {
                    let is_kept = !is_to_be_left && !work.line.is_too_long_to_keep(limits);
                    let until = issued.plus_secs(if is_kept { limits.previous_secs } else { 0 });
                    work.lay(base, (!is_to_be_left).then_some(until));
                    (work.keyring, work.canaries, work.routing) = (now_in_force, canaries, routing);
                }
                Err(breach) => self.shop.hold_back(breach, view)?,
            }
        }
        work.leave(issued, limits, &self.shop.stands);
        Ok(work)
    }

    /// What the route rules say that are in force in this view.
    fn routing(&self, view: &ReadView) -> Result<Arc<Routing>, EditionError> {
        let named = view.newest_rule_set()?;
        self.shop.settings.rules.in_force(named.as_ref()).ok_or(EditionError::UnknownRules)
    }

    /// Says the manifests of all lines anew, with these keys, canaries and rules, over the pages that sinks hold: no delta can
    /// say them, an edge adopts no chain under which a canary answers otherwise than its base says, and a key that may be
    /// a thief's must not be believed until a base is everywhere. Returns whether it could be said.
    fn reissue(
        &self,
        work: &mut Work,
        exceptions: &Exceptions,
        beside: Beside<'_>,
        view: &ReadView,
    ) -> Result<bool, EditionError> {
        let reissued = self.reissued(&work.line, work, exceptions, beside);
        let Some(mut line) = reissued else { return Ok(false) };
        let mut said = beside.canaries.to_vec();
        if let Err(breach) = succession::check_canaries(&line) {
            self.shop.hold_back(breach, view)?;
            said.clone_from(&work.canaries);
            match self.reissued(&work.line, work, exceptions, Beside { canaries: &said, ..beside }) {
                Some(other) => line = other,
                None => return Ok(false),
            }
        }
        // Edges that stand on what was said before must not go on with that.
        let older = work.before.iter().filter_map(|one| {
            let line = self.reissued(&one.line, work, exceptions, Beside { canaries: &said, ..beside })?;
            Some(Carried { line, until: UnixSeconds(0) })
        });
        work.before = older.collect();
        (work.keyring, work.routing) = (Arc::clone(beside.keyring), Arc::clone(beside.routing));
        (work.line, work.canaries) = (line, said);
        Ok(true)
    }

    fn reissued(
        &self,
        line: &Line,
        work: &Work,
        exceptions: &Exceptions,
        beside: Beside<'_>,
    ) -> Option<Line> {
        let before = Manifest::parse(&line.manifest(), &line.base().first()?.bytes).ok()?;
        let edition = self.content(line.began(), line.began_with(), beside);
        let manifest = edition.over(before.sections).ok()?;
        let now = self.moment(&work.picture, exceptions);
        line.reissued(manifest, &work.picture.content, &now, &self.shop.settings.schedule.chain).ok()
    }

    fn base(
        &self,
        picture: &mut Picture,
        exceptions: &Exceptions,
        beside: Beside<'_>,
        issued: UnixSeconds,
    ) -> Result<Line, EditionError> {
        let generation = picture.generation();
        let built = picture.content.build(&self.content(generation, exceptions, beside))?;
        tracing::debug!(%generation, dirty_pages = built.dirty_pages, objects = built.objects.len(), "a base");
        Ok(Line::on(self.shop.stands.next(), built, &self.moment(picture, exceptions), issued))
    }

    /// What a manifest says besides where the records are.
    fn content<'a>(
        &'a self,
        generation: Generation,
        exceptions: &'a Exceptions,
        beside: Beside<'a>,
    ) -> build::Edition<'a> {
        let settings = &self.shop.settings;
        let Beside { keyring, canaries, routing } = beside;
        build::Edition {
            installation: settings.installation,
            generation,
            pepper_id: keyring.pepper().id(),
            grace_secs: settings.grace_secs,
            prefix: settings.prefix,
            exceptions,
            session_keys: keyring.session_keys(),
            edge_keys: keyring.edge_keys(),
            canaries,
            cors: routing.cors.as_ref(),
            rules: &routing.rules,
        }
    }

    fn moment<'a>(&self, picture: &Picture, exceptions: &'a Exceptions) -> Moment<'a> {
        let installation = self.shop.settings.installation;
        Moment { installation, generation: picture.generation(), exceptions }
    }

    /// The edition that says the work, and for each line before it one that says the same.
    fn edition(&self, work: &Work, audit: Checkpoint, issued: UnixSeconds) -> Edition {
        let on = |line: &Line, previous, named, older| Edition {
            number: self.built,
            line: line.number(),
            older,
            generation: line.generation(),
            statement: self.state(line, previous, audit, issued),
            named,
            signed: Mutex::default(),
        };
        let older = work.before.iter().map(|one| {
            let named = Named::of(one.line.bundles().collect());
            Arc::new(on(&one.line, None, named, Vec::new()))
        });
        on(&work.line, work.previous(), work.named(), older.collect())
    }

    fn state(
        &self,
        line: &Line,
        previous: Option<Previous>,
        audit: Checkpoint,
        issued: UnixSeconds,
    ) -> StatementContent {
        let settings = &self.shop.settings;
        StatementContent {
            installation: settings.installation,
            generation: line.generation(),
            issued,
            use_by: issued.plus_secs(settings.schedule.use_by_secs),
            manifest: line.manifest(),
            tip: line.tip(),
            previous,
            audit_size: audit.size,
            audit_root: audit.root,
        }
    }
}

impl Edition {
    /// The edition for a sink that holds this line.
    pub(super) fn on_line(self: &Arc<Self>, line: u64) -> Arc<Self> {
        let older = self.older.iter().find(|older| older.line == line && line != self.line);
        Arc::clone(older.unwrap_or(self))
    }

    /// Every object that any sink needs of it; some come twice.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        let older = self.older.iter().flat_map(|older| older.named.objects());
        self.named.objects().chain(older)
    }

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
    /// Takes every line on to where the picture is; a line before that no delta leads on is left. Returns whether the
    /// line itself is there.
    fn follow(&mut self, now: &Moment<'_>, limits: &ChainLimits) -> bool {
        let (content, owed) = (&self.picture.content, &self.owed);
        let is_there = self.line.follow(content, now, owed, limits).is_ok();
        self.before.retain_mut(|one| is_there && one.line.follow(content, now, owed, limits).is_ok());
        if is_there {
            self.owed = Touched::default();
        }
        is_there
    }

    /// Goes over to a new base. The line so far is carried on, for edges until the moment given, if there is one.
    fn lay(&mut self, base: Line, carried_until: Option<UnixSeconds>) {
        let line = std::mem::replace(&mut self.line, base);
        self.before.iter_mut().for_each(|one| one.until = UnixSeconds(0));
        match carried_until {
            Some(until) => self.before.insert(0, Carried { line, until }),
            None => self.before.clear(),
        }
        self.owed = Touched::default();
    }

    /// Leaves the lines that nobody goes on with any more.
    fn leave(&mut self, issued: UnixSeconds, limits: &ChainLimits, stands: &Stands) {
        for one in &mut self.before {
            if one.until <= issued || one.line.is_too_long_to_keep(limits) {
                one.until = UnixSeconds(0);
            }
        }
        self.before.retain(|one| one.until > issued || stands.any_on(one.line.number()));
    }

    /// What edges may go on with.
    fn previous(&self) -> Option<Previous> {
        let Carried { line, until } = self.before.first()?;
        if *until == UnixSeconds(0) {
            return None;
        }
        Some(Previous { manifest: line.manifest(), tip: line.tip()?, until: *until })
    }

    /// What a head leads to. An edge that follows closely fetches what stands first.
    fn named(&self) -> Named {
        let previous = self.previous().and(self.before.first());
        let previous = previous.into_iter().flat_map(|carried| carried.line.bundles());
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
            Self::UnknownRules => f.write_str("the state names route rules that are not in memory"),
            Self::HeldBack(breach) => write!(f, "a base is held back: {breach}"),
        }
    }
}

#[cfg(test)]
mod tests;
