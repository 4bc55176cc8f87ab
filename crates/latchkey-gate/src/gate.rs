//! The gate: what it holds, and what it tells of itself. How it decides is in `judge`.

use crate::chain::Chain;
use crate::clock::{ASK_AFTER_MS, Clock};
use crate::config::{ConfigError, Floor, GateConfig, MEMORY_BYTES_MIN, PEPPERS_MAX};
use crate::intake::Held;
use crate::judge::{Admission, Case, Halt, fetch_within};
use crate::overlay::Overlay;
use crate::pending::{Coming, Course};
use crate::quota::Quotas;
use crate::refusal::AdoptError;
use crate::request::{Attempt, Question, Request};
use crate::route::Routes;
use crate::shelf::{Lookup, Missing, Shelf};
use crate::shelves::Shelves;
use crate::status::{Health, Status};
use crate::tally::Tally;
use crate::verdict::{Ask, Outcome, Pass, Refusal, Step, Verdict};
use crate::witness::Witnesses;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Generation, GenerationSecret, MintSecret, Pepper, UnixMillis};
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::{
    Binding, Entry, Exceptions, Found, Manifest, ObjectRef, OrganizationNames, Page, ProjectNames, Query,
    RememberedTokens, Root,
};

/// The edge's mind. Deciding takes it shared, handing objects in takes it alone.
pub struct Gate {
    pub(crate) peppers: Vec<([u8; 8], Pepper)>,
    pub(crate) mint: MintSecret,
    pub(crate) generations: GenerationSecret,
    pub(crate) tokens: RememberedTokens,
    pub(crate) quotas: Quotas,
    pub(crate) floor: Floor,
    pub(crate) root: Root,
    pub(crate) held: Option<Held>,
    pub(crate) serving: Option<Serving>,
    pub(crate) coming: Coming,
    /// When this gate leaves the base that serves for that one.
    pub(crate) moving: Option<(ObjectRef, UnixMillis)>,
    pub(crate) overlay: Overlay,
    pub(crate) witnesses: Witnesses,
    pub(crate) clock: Clock,
    pub(crate) tally: Tally,
    memory_bytes_max: usize,
    evictions: u64,
}

/// What answers: a base, the deltas since, and the statement that they lead to.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) statement: Statement,
    /// The version of the root under which it came.
    pub(crate) root_version: u32,
    pub(crate) course: Course,
    pub(crate) manifest: Manifest,
    pub(crate) routes: Routes,
    pub(crate) pepper: usize,
    pub(crate) shelves: Shelves,
    pub(crate) chain: Chain,
    /// What is refused as a whole: reckoned once, when something changes.
    pub(crate) exceptions: Exceptions,
    /// Why it is not believed any more.
    pub(crate) quarantined: Option<AdoptError>,
}

/// What is known of something.
pub(crate) enum Sight<'a> {
    /// It is this, in this page.
    Found(&'a Page, Entry),
    /// Nobody knows of it.
    Absent,
    /// This must be fetched first.
    Missing(Missing<'a>),
}

impl Serving {
    /// Looks for something: in the deltas, then in its kind's page of the base.
    pub(crate) fn look<'a>(&'a self, shelf: &'a Shelf<Page>, query: &Query) -> Sight<'a> {
        match self.chain.find(query) {
            Found::Here(page, entry) => return Sight::Found(page, entry),
            Found::Gone => return Sight::Absent,
            Found::Unknown => {}
        }
        match shelf.at(query.place) {
            Lookup::Held(page) => match page.find(query) {
                Some(entry) => Sight::Found(page, entry),
                None => Sight::Absent,
            },
            Lookup::Nothing => Sight::Absent,
            Lookup::Missing(missing) => Sight::Missing(missing),
        }
    }
}

/// What a project and its organization are called.
#[derive(Clone, Copy, Debug)]
pub struct NamesOf<'a> {
    /// The project's names.
    pub project: &'a ProjectNames,
    /// The organization's names.
    pub organization: &'a OrganizationNames,
}

/// One step towards the names of a project.
#[derive(Clone, Debug)]
pub enum NamesStep<'a> {
    /// The names.
    Names(NamesOf<'a>),
    /// Something that must be fetched first; then ask again.
    Ask(Ask),
    /// They are out of reach, or the snapshot has none.
    Unavailable,
}

impl Gate {
    /// A gate that holds nothing but what it was deployed with.
    ///
    /// # Errors
    /// [`ConfigError`], the operator's fault.
    pub fn new(config: GateConfig) -> Result<Self, ConfigError> {
        if !(1..=PEPPERS_MAX).contains(&config.peppers.len()) {
            return Err(ConfigError::Peppers(config.peppers.len()));
        }
        let peppers: Vec<_> = config.peppers.into_iter().map(|pepper| (pepper.id(), pepper)).collect();
        if peppers.iter().skip(1).any(|(id, _)| peppers.first().is_some_and(|(first, _)| first == id)) {
            return Err(ConfigError::PepperTwice);
        }
        if config.memory_bytes_max < MEMORY_BYTES_MIN {
            return Err(ConfigError::Memory(config.memory_bytes_max));
        }
        Ok(Self {
            memory_bytes_max: config.memory_bytes_max,
            evictions: 0,
            peppers,
            generations: config.mint.generation_secret(),
            tokens: RememberedTokens::new(config.mint.expose()),
            quotas: Quotas::new(),
            mint: config.mint,
            floor: config.floor,
            root: Root::pinned(&config.root).map_err(ConfigError::Root)?,
            held: None,
            serving: None,
            coming: Coming::default(),
            moving: None,
            overlay: Overlay::default(),
            witnesses: Witnesses::default(),
            clock: Clock::new(config.seed),
            tally: Tally::default(),
        })
    }

    /// Answers, or says what must be tried first. `attempt` is the request's own, kept through its loop.
    pub fn decide(
        &self,
        request: &Request<'_>,
        question: Question,
        now: UnixMillis,
        attempt: &mut Attempt,
    ) -> Step {
        let now = self.clock.tick(now);
        let mut case = Case { request, now, attempt, standing: None, matched: None, proven: None };
        let outcome = match self.judge(&mut case, question) {
            Ok(Admission::Grant(grant)) => Outcome::Allow(grant),
            Ok(Admission::Public) => Outcome::Pass(Pass::Public),
            Err(Halt::Refuse(refusal)) if question == Question::Route && self.is_in_shadow(&mut case) => {
                Outcome::Pass(Pass::Shadow(refusal))
            }
            Err(Halt::Refuse(refusal)) => Outcome::Refuse(refusal),
            Err(Halt::Ask(ask)) => {
                attempt.begun.get_or_insert(now);
                attempt.asks = attempt.asks.saturating_add(1);
                return Step::Ask(ask);
            }
        };
        let Case { standing, matched, proven, .. } = case;
        let verdict = Verdict { outcome, standing, matched, proven };
        self.tally.count(&verdict, attempt);
        Step::Answer(verdict)
    }

    /// What becomes of a request that was let in once the shell's own count of its rate refuses it, or the shell cannot
    /// count. `attempt` is the request's own.
    pub fn refused_for_rate(&self, refusal: Refusal, verdict: &Verdict, attempt: &mut Attempt) -> Verdict {
        let is_in_shadow = verdict.matched.is_some_and(|matched| matched.is_in_shadow);
        let outcome =
            if is_in_shadow { Outcome::Pass(Pass::Shadow(refusal)) } else { Outcome::Refuse(refusal) };
        let verdict = Verdict { outcome, ..*verdict };
        self.tally.count(&verdict, attempt);
        verdict
    }

    /// The rules that serve, for whoever tells which one a verdict came by.
    pub fn routes(&self) -> Option<&Routes> {
        self.serving.as_ref().map(|serving| &serving.routes)
    }

    /// Whether this shell should look at the head behind its answer. Who is told so has the lease for a second;
    /// [`Gate::refresh_ended`] gives it back.
    pub fn refresh_due(&self, now: UnixMillis) -> bool {
        let now = self.clock.tick(now);
        self.clock.take_refresh(self.held.as_ref().map(|held| held.rank.as_of), now)
    }

    /// What the project of a grant and its organization are called. `attempt` is the request's own.
    pub fn names(&self, binding: &Binding, now: UnixMillis, attempt: &mut Attempt) -> NamesStep<'_> {
        let Some(serving) = &self.serving else { return NamesStep::Unavailable };
        let now = self.clock.tick(now);
        let mut missing = Vec::new();
        let project = serving.chain.project_names(binding.project).or_else(|| {
            let lookup = serving.shelves.project_names.at(Query::names_place(binding.project.0));
            held(lookup, &mut missing).and_then(|names| names.project(binding.project))
        });
        let organization = serving.chain.organization_names(binding.organization).or_else(|| {
            let lookup = serving.shelves.organization_names.at(Query::names_place(binding.organization.0));
            held(lookup, &mut missing).and_then(|names| names.organization(binding.organization))
        });
        if !missing.is_empty() {
            let ask = fetch_within(&self.quotas.named, &missing, now, attempt);
            let step = ask.map_or(NamesStep::Unavailable, NamesStep::Ask);
            attempt.begun.get_or_insert(now);
            attempt.asks = attempt.asks.saturating_add(1);
            return step;
        }
        match (project, organization) {
            (Some(project), Some(organization)) => NamesStep::Names(NamesOf { project, organization }),
            _ => NamesStep::Unavailable,
        }
    }

    /// The gate's account of itself.
    pub fn status(&self, now: UnixMillis) -> Status {
        let now = self.clock.tick(now);
        let serving = self.serving.as_ref();
        let account = serving.map(|serving| serving.shelves.account()).unwrap_or_default();
        let refused = self.held.as_ref().filter(|held| {
            // On the base before, the new one may be refused all the same.
            serving.is_none_or(|serving| serving.course != Course::of(&held.statement))
        });
        Status {
            health: self.health(now),
            root_version: self.root.version(),
            generation: self.serving.as_ref().map(|serving| serving.statement.generation),
            pending: self.coming.hopeful().last().map(|pending| pending.statement.generation),
            as_of: self.clock.as_of(),
            age_ms: self.clock.age_ms(now),
            refused_manifest: refused.and_then(|held| {
                self.coming.refusal(&held.statement.manifest).or(self.coming.fault_of(&held.statement))
            }),
            quarantined: serving.and_then(|serving| serving.quarantined),
            inline: self.overlay.inline(),
            removed_ahead: self.overlay.ahead(),
            deltas: serving.map_or(0, |serving| serving.chain.len()),
            delta_bytes: serving.map_or(0, |serving| serving.chain.len_bytes() as u64),
            rules: self.serving.as_ref().map_or(0, |serving| serving.routes.len()),
            routing: self.serving.as_ref().map(|serving| serving.manifest.routing),
            nodes_held: account.nodes_held,
            nodes_named: account.nodes_named,
            pages_held: account.pages_held,
            pages_named: account.pages_named,
            bytes_held: account.bytes_held,
            memory_bytes: self.weight() as u64,
            evictions: self.evictions,
            breaker_open: self.clock.is_open(now),
            heads_accepted: self.tally.heads_accepted,
            heads_refused: self.tally.heads_refused,
            heads_forked: self.tally.heads_forked,
            objects_refused: self.tally.objects_refused,
            counts: self.tally.counts(),
            rejudged: self.tally.rejudged(),
        }
    }

    /// The generation that it serves, if its answers are [`Health::Fresh`].
    pub fn fresh_generation(&self, now: UnixMillis) -> Option<Generation> {
        let is_fresh = self.health(self.clock.tick(now)) == Health::Fresh;
        self.serving.as_ref().filter(|_| is_fresh).map(|serving| serving.statement.generation)
    }

    fn health(&self, now: UnixMillis) -> Health {
        match &self.serving {
            None => Health::Cold,
            Some(serving) if serving.quarantined.is_some() => Health::Refusing,
            Some(serving) if !self.is_old_for(serving, now) => Health::Fresh,
            Some(serving) if self.is_within_grace(serving, now) => Health::Stale,
            Some(_) => Health::Refusing,
        }
    }

    /// Gives up what waits beyond its part of the cap, then lets go of pages until memory is within it.
    pub(crate) fn make_room(&mut self) {
        self.coming.note_wanted(self.serving.as_ref());
        if let Some(held) = &self.held {
            self.coming.shrink_to(self.waiting_bytes_max(), self.serving.as_ref(), &held.statement);
        }
        let beside = self.coming.weight(self.serving.as_ref()) + self.overlay.weight();
        let Some(serving) = &mut self.serving else { return };
        let pages_max = self.memory_bytes_max.saturating_sub(beside + serving.fixed_weight());
        self.evictions += serving.shelves.shrink_to(pages_max);
    }

    /// How much may be loaded behind answers: an eighth of the cap is left to what requests ask for.
    pub(crate) fn room_behind(&self) -> usize {
        (self.memory_bytes_max - self.memory_bytes_max / 8).saturating_sub(self.weight())
    }

    /// What does not serve yet may take a quarter of the cap. What the newest statement itself needs may take more, and
    /// pages make room for it.
    pub(crate) const fn waiting_bytes_max(&self) -> usize {
        self.memory_bytes_max / 4
    }

    /// What is held weighs, about.
    fn weight(&self) -> usize {
        let serving = self.serving.as_ref();
        let served = serving.map_or(0, |serving| serving.shelves.weight() + serving.fixed_weight());
        served + self.coming.weight(serving) + self.overlay.weight()
    }

    /// Whether another look at the head would only say again what is held back: the source is well, and what it says
    /// is refused. What it revokes is learned behind the answers.
    pub(crate) fn is_futile(&self, now: UnixMillis) -> bool {
        self.held.as_ref().is_some_and(|held| {
            now.since_ms(held.rank.as_of) <= ASK_AFTER_MS && self.coming.fault_of(&held.statement).is_some()
        })
    }

    pub(crate) fn is_old(&self, now: UnixMillis) -> bool {
        self.serving.as_ref().is_none_or(|serving| self.is_old_for(serving, now))
    }

    pub(crate) fn is_old_for(&self, serving: &Serving, now: UnixMillis) -> bool {
        let young = self.clock.age_ms(now).is_some_and(|age_ms| age_ms <= ASK_AFTER_MS);
        !young || now >= serving.statement.use_by.millis()
    }

    /// Grace runs from the confirmed `as_of`, or from the statement's use-by if that came first: a head alone
    /// cannot keep a statement alive that nobody renews.
    pub(crate) fn is_within_grace(&self, serving: &Serving, now: UnixMillis) -> bool {
        let Some(as_of) = self.clock.as_of() else { return false };
        let from = as_of.min(serving.statement.use_by.millis());
        now.since_ms(from) <= u64::from(serving.manifest.grace_secs) * 1000
    }
}

impl Serving {
    /// What cannot be let go of weighs, about: the deltas, and the manifest, which as read takes twice its bytes.
    fn fixed_weight(&self) -> usize {
        self.chain.len_bytes() + 2 * self.course.base.len_bytes() as usize
    }
}

/// The page that would know, if it is here; else what to fetch.
fn held<'a, T>(lookup: Lookup<'a, T>, missing: &mut Vec<Missing<'a>>) -> Option<&'a T> {
    match lookup {
        Lookup::Held(page) => return Some(page),
        Lookup::Missing(one) => missing.push(one),
        Lookup::Nothing => {}
    }
    None
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.serving.as_ref().map(|serving| serving.statement.generation);
        write!(f, "Gate(root {}, generation {generation:?}, {:?})", self.root.version(), self.clock)
    }
}
