//! The gate: what it holds, and what it tells of itself. How it decides is in `judge`.

use crate::clock::{ASK_AFTER_MS, Clock};
use crate::config::{ConfigError, Floor, GateConfig, PEPPERS_MAX};
use crate::intake::{AdoptError, Held, Pending};
use crate::judge::{Case, Halt, fetch};
use crate::overlay::Overlay;
use crate::quota::Quota;
use crate::request::{Attempt, Question, Request};
use crate::route::Routes;
use crate::shelf::Lookup;
use crate::shelves::Shelves;
use crate::status::{Health, Status};
use crate::tally::Tally;
use crate::verdict::{Ask, Outcome, Refusal, Step, Verdict};
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{GenerationSecret, MintSecret, Pepper, UnixMillis};
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::{
    Binding, Manifest, ObjectRef, OrganizationNames, ProjectNames, Query, RememberedTokens, Root,
};

/// The edge's mind. Deciding takes it shared, handing objects in takes it alone.
pub struct Gate {
    pub(crate) peppers: Vec<([u8; 8], Pepper)>,
    pub(crate) mint: MintSecret,
    pub(crate) generations: GenerationSecret,
    pub(crate) tokens: RememberedTokens,
    pub(crate) quota: Quota,
    pub(crate) floor: Floor,
    pub(crate) root: Root,
    pub(crate) held: Option<Held>,
    pub(crate) serving: Option<Serving>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) refused_manifest: Option<(ObjectRef, AdoptError)>,
    pub(crate) overlay: Overlay,
    pub(crate) clock: Clock,
    pub(crate) tally: Tally,
}

/// The manifest that answers.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) statement: Statement,
    pub(crate) manifest: Manifest,
    pub(crate) routes: Routes,
    pub(crate) pepper: usize,
    pub(crate) shelves: Shelves,
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
        Ok(Self {
            peppers,
            generations: config.mint.generation_secret(),
            tokens: RememberedTokens::new(config.mint.expose()),
            quota: Quota::default(),
            mint: config.mint,
            floor: config.floor,
            root: Root::pinned(&config.root).map_err(ConfigError::Root)?,
            held: None,
            serving: None,
            pending: Vec::new(),
            refused_manifest: None,
            overlay: Overlay::default(),
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
        let mut case = Case { request, now, attempt, standing: None };
        let outcome = match self.judge(&mut case, question) {
            Ok(grant) => Outcome::Allow(grant),
            Err(Halt::Refuse(refusal)) => Outcome::Refuse(refusal),
            Err(Halt::Ask(ask)) => {
                attempt.begun.get_or_insert(now);
                attempt.asks = attempt.asks.saturating_add(1);
                return Step::Ask(ask);
            }
        };
        let verdict = Verdict { outcome, standing: case.standing };
        self.tally.count(&verdict, &mut attempt.counted);
        Step::Answer(verdict)
    }

    /// Says that a request that was let in was refused after all, by the shell's own count of its rate, or because the
    /// shell cannot count. `attempt` is the request's own.
    pub fn refused_for_rate(&self, refusal: Refusal, attempt: &mut Attempt) {
        self.tally.recount(refusal, &mut attempt.counted);
    }

    /// Whether this shell should look at the head behind its answer. Who is told so has the lease for a second;
    /// [`Gate::refresh_ended`] gives it back.
    pub fn refresh_due(&self, now: UnixMillis) -> bool {
        let now = self.clock.tick(now);
        self.clock.take_refresh(now)
    }

    /// What the project of a grant and its organization are called. `attempt` is the request's own.
    pub fn names(&self, binding: &Binding, now: UnixMillis, attempt: &mut Attempt) -> NamesStep<'_> {
        let Some(serving) = &self.serving else { return NamesStep::Unavailable };
        let now = self.clock.tick(now);
        let projects = serving.shelves.project_names.at(Query::names_place(binding.project.0));
        let organizations = serving.shelves.organization_names.at(Query::names_place(binding.organization.0));
        let mut wanted = Vec::new();
        for lookup in [&projects, &organizations] {
            if let Lookup::Missing(missing) = lookup {
                wanted.push(*missing);
            }
        }
        if !wanted.is_empty() {
            let step = fetch(wanted, now, attempt).map_or(NamesStep::Unavailable, NamesStep::Ask);
            attempt.begun.get_or_insert(now);
            attempt.asks = attempt.asks.saturating_add(1);
            return step;
        }
        let (Lookup::Held(projects), Lookup::Held(organizations)) = (projects, organizations) else {
            return NamesStep::Unavailable;
        };
        match (projects.project(binding.project), organizations.organization(binding.organization)) {
            (Some(project), Some(organization)) => NamesStep::Names(NamesOf { project, organization }),
            _ => NamesStep::Unavailable,
        }
    }

    /// The gate's account of itself.
    pub fn status(&self, now: UnixMillis) -> Status {
        let now = self.clock.tick(now);
        let account = self.serving.as_ref().map(|serving| serving.shelves.account()).unwrap_or_default();
        Status {
            health: self.health(now),
            root_version: self.root.version(),
            generation: self.serving.as_ref().map(|serving| serving.statement.generation),
            pending: self.pending.last().map(|pending| pending.statement.generation),
            as_of: self.clock.as_of(),
            age_ms: self.clock.age_ms(now),
            refused_manifest: self.refused_manifest.map(|(_, error)| error),
            inline: self.overlay.len(),
            rules: self.serving.as_ref().map_or(0, |serving| serving.routes.len()),
            nodes_held: account.nodes_held,
            nodes_named: account.nodes_named,
            pages_held: account.pages_held,
            pages_named: account.pages_named,
            bytes_held: account.bytes_held,
            breaker_open: self.clock.is_open(now),
            heads_accepted: self.tally.heads_accepted,
            heads_refused: self.tally.heads_refused,
            heads_forked: self.tally.heads_forked,
            objects_refused: self.tally.objects_refused,
            counts: self.tally.counts(),
        }
    }

    fn health(&self, now: UnixMillis) -> Health {
        match &self.serving {
            None => Health::Cold,
            Some(serving) if !self.is_old_for(serving, now) => Health::Fresh,
            Some(serving) if self.is_within_grace(serving, now) => Health::Stale,
            Some(_) => Health::Refusing,
        }
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

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.serving.as_ref().map(|serving| serving.statement.generation);
        write!(f, "Gate(root {}, generation {generation:?})", self.root.version())
    }
}
