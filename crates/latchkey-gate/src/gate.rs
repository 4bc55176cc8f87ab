//! The gate: what it holds, and how it decides.
//!
//! The order of a decision is IAM R5's: no proven credential, 401; out of force, 401 with the reason; no rule
//! or nothing the caller may know of, 404; no permission, 403. Whatever the gate cannot tell is 503, never 401.

use crate::clock::{ASK_AFTER_MS, Clock, FRESH_MS, Leave, Urge, Waited};
use crate::config::{ConfigError, Floor, GateConfig, PEPPERS_MAX};
use crate::intake::{AdoptError, Held, Pending};
use crate::overlay::Overlay;
use crate::request::{Attempt, Question, Request};
use crate::route::{Route, Routes};
use crate::shelf::{Account, Leaf, Lookup, Shelf, Wanted};
use crate::status::{Count, Health, Status};
use crate::verdict::{
    Absent, Ask, Grant, HeadAsk, Outcome, Refusal, Standing, Step, Unavailable, Unproven, Verdict,
};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use latchkey_core::{
    Generation, GenerationSecret, KeyText, MintSecret, Pepper, Permission, PermissionSet, ProjectId,
    ResourceId, Role, Slug, UnixMillis,
};
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::{
    Binding, Entry, Freshness, KeyState, Kind, Manifest, Names, ObjectRef, OrganizationNames, Page,
    ProjectNames, ProjectSource, Query, ResourceSource, Root, head::Reason,
};

/// The edge's mind. Deciding takes it shared, handing objects in takes it alone.
pub struct Gate {
    pub(crate) peppers: Vec<([u8; 8], Pepper)>,
    mint: MintSecret,
    generations: GenerationSecret,
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

/// The pages of every kind.
#[derive(Debug)]
pub(crate) struct Shelves {
    pub(crate) keys: Shelf<Page>,
    pub(crate) resources: Shelf<Page>,
    pub(crate) references: Shelf<Page>,
    pub(crate) project_names: Shelf<Names>,
    pub(crate) organization_names: Shelf<Names>,
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

/// Why a decision stops before it lets in.
enum Halt {
    Refuse(Refusal),
    Ask(Ask),
}

type Decided<T> = Result<T, Halt>;

/// What one decision is about, besides the gate.
struct Case<'a> {
    request: &'a Request<'a>,
    now: UnixMillis,
    attempt: &'a mut Attempt,
    standing: Option<Standing>,
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
        self.tally.count(&verdict);
        Step::Answer(verdict)
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

    fn judge(&self, case: &mut Case<'_>, question: Question) -> Decided<Grant> {
        let token = case.request.authorization.bearer().map_err(unproven)?;
        let Some(serving) = &self.serving else { return Err(self.warm_up(case)) };
        let key = KeyText::parse(token, &serving.manifest.prefix);
        let key = key.map_err(|error| unproven(Unproven::Malformed(error)))?;
        let (entry, tag) = self.prove(serving, &key, case)?;
        self.check_generation(serving, case)?;
        if let Some(reason) = self.out_of_force(serving, &entry, &tag, case.now) {
            return refuse(Refusal::OutOfForce(reason));
        }
        let permission = match question {
            Question::Whoami => None,
            Question::Route => Some(self.check_route(serving, &entry.binding, case)?),
        };
        let binding = Binding { permissions: effective(&entry.binding), ..entry.binding };
        Ok(Grant { key: key.id(), binding, expiry: entry.expiry, permission })
    }

    /// Finds the record of a key. Made-up keys end here, at no cost to anybody else.
    fn prove(&self, serving: &Serving, key: &KeyText<'_>, case: &mut Case<'_>) -> Decided<(Entry, [u8; 10])> {
        let query = Query::native_key(self.pepper(serving)?, key.id(), &key.digest());
        let lookup = serving.shelves.keys.at(query.place);
        if let Lookup::Held(page) = lookup
            && let Some(entry) = page.find(&query)
        {
            self.check_age(serving, case)?;
            return Ok((entry, query.tag));
        }
        if !key.mint_check_matches(&self.mint) {
            return Err(unproven(Unproven::MadeUp));
        }
        let standing = self.check_age(serving, case)?;
        if let Lookup::Missing(wanted) = lookup {
            return Err(self.fetch(wanted, case));
        }
        self.catch_up(Urge::Forced, case)?;
        self.check_generation(serving, case)?;
        if standing.stale {
            return refuse(Refusal::Unavailable(Unavailable::StaleUnknown));
        }
        Err(unproven(Unproven::Unknown))
    }

    /// A gate without a manifest asks for one; it answers nothing.
    fn warm_up(&self, case: &mut Case<'_>) -> Halt {
        match self.catch_up(Urge::Age, case) {
            Err(halt) => halt,
            Ok(()) => {
                self.note_failure(case);
                Halt::Refuse(Refusal::Unavailable(Unavailable::NoSnapshot))
            }
        }
    }

    /// Whether what is held is young enough to answer from, asking first if it is not.
    fn check_age(&self, serving: &Serving, case: &mut Case<'_>) -> Decided<Standing> {
        let stale = self.is_old_for(serving, case.now);
        if stale {
            self.catch_up(Urge::Age, case)?;
            self.note_failure(case);
        }
        let standing = Standing {
            generation: serving.statement.generation,
            age_ms: self.clock.age_ms(case.now).unwrap_or(u64::MAX),
            stale,
        };
        case.standing = Some(standing);
        if stale && !self.is_within_grace(serving, case.now) {
            return refuse(Refusal::Unavailable(Unavailable::PastGrace));
        }
        Ok(standing)
    }

    /// Whether the generation that the client waits for is here. A token that was not made here is ignored. What
    /// rides inline does not count: a grant that came before it may still be on its way.
    fn check_generation(&self, serving: &Serving, case: &mut Case<'_>) -> Decided<()> {
        let token = case.request.min_generation;
        let Some(least) = token.and_then(|token| Generation::from_token(token, &self.generations)) else {
            return Ok(());
        };
        if serving.statement.generation >= least {
            return Ok(());
        }
        self.catch_up(Urge::Forced, case)?;
        refuse(Refusal::Unavailable(Unavailable::GenerationNotReached))
    }

    /// Why a proven key is refused, if it is: the most final reason of all that hold.
    fn out_of_force(
        &self,
        serving: &Serving,
        entry: &Entry,
        tag: &[u8; 10],
        now: UnixMillis,
    ) -> Option<Reason> {
        let exceptions = &serving.manifest.exceptions;
        let binding = &entry.binding;
        let overlaid = self.overlay.refusal(tag, binding);
        let holds = |reason: Reason| match reason {
            Reason::Revoked => entry.state == KeyState::Revoked,
            Reason::Expired => entry.has_expired(now),
            Reason::Disabled => entry.state == KeyState::Disabled,
            Reason::Suspended => {
                exceptions.suspends(binding.organization) || exceptions.archives(binding.project)
            }
        };
        [Reason::Revoked, Reason::Expired, Reason::Disabled, Reason::Suspended]
            .into_iter()
            .find(|reason| overlaid == Some(*reason) || holds(*reason))
    }

    /// What the rules need for this path, once the caller may know that it exists and holds the permission.
    fn check_route(&self, serving: &Serving, binding: &Binding, case: &mut Case<'_>) -> Decided<Permission> {
        let path = serving.routes.path(case.request.path);
        let path = path.map_err(|error| Halt::Refuse(Refusal::BadRequest(error)))?;
        let route = serving.routes.find(case.request.method, path).ok_or(absent(Absent::Route))?;
        if let ProjectSource::Path(parameter) = &route.rule.project {
            self.check_project(serving, binding, &route, parameter, case)?;
        }
        if let Some(source) = &route.rule.resource {
            self.check_resource(serving, binding, &route, source, case)?;
        }
        let permission = route.rule.permission;
        if !holds(binding, permission) {
            return refuse(Refusal::Forbidden(permission));
        }
        if route.rule.freshness == Freshness::FreshOnly {
            self.check_fresh(case)?;
        }
        Ok(permission)
    }

    /// K4: a key of one project is told nothing of any other, not even whether there is one.
    fn check_project(
        &self,
        serving: &Serving,
        binding: &Binding,
        route: &Route<'_, '_>,
        parameter: &str,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let text = route.parameter(parameter).ok_or(absent(Absent::Project))?;
        if ProjectId::parse(&text).is_none() && Slug::parse(&text).is_err() {
            return Err(absent(Absent::Project));
        }
        let query = Query::project_reference(self.pepper(serving)?, &text);
        match self.look_up(&serving.shelves.references, &query, case)? {
            Some(entry) if entry.binding.project == binding.project => Ok(()),
            found => {
                if found.is_some() {
                    // As much is done as for one that nobody has: how long a 404 takes tells nothing.
                    self.catch_up(Urge::Forced, case)?;
                }
                Err(absent(Absent::Project))
            }
        }
    }

    fn check_resource(
        &self,
        serving: &Serving,
        binding: &Binding,
        route: &Route<'_, '_>,
        source: &ResourceSource,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let text = route.parameter(&source.parameter).ok_or(absent(Absent::Resource))?;
        let id = ResourceId::parse(&text).map_err(|_| absent(Absent::Resource))?;
        let query = Query::resource(self.pepper(serving)?, binding.project, source.resource, id);
        let found = self.look_up(&serving.shelves.resources, &query, case)?;
        found.map(drop).ok_or(absent(Absent::Resource))
    }

    /// Looks for something that a proven key named; the unknown may be new.
    fn look_up(&self, shelf: &Shelf<Page>, query: &Query, case: &mut Case<'_>) -> Decided<Option<Entry>> {
        let found = match shelf.at(query.place) {
            Lookup::Missing(wanted) => return Err(self.fetch(wanted, case)),
            Lookup::Held(page) => page.find(query),
            Lookup::Nothing => None,
        };
        if found.is_none() {
            self.catch_up(Urge::Forced, case)?;
        }
        Ok(found)
    }

    fn check_fresh(&self, case: &mut Case<'_>) -> Decided<()> {
        let young = case.standing.is_some_and(|standing| !standing.stale && standing.age_ms <= FRESH_MS);
        if young {
            return Ok(());
        }
        self.catch_up(Urge::Forced, case)?;
        refuse(Refusal::Unavailable(Unavailable::NotFresh))
    }

    /// Asks for whatever could make the gate know more, until this attempt has tried it all.
    fn catch_up(&self, urge: Urge, case: &mut Case<'_>) -> Decided<()> {
        if case.attempt.is_spent(case.now) {
            return Ok(());
        }
        for pending in self.pending.iter().rev() {
            if let Some(ask) = fetch(pending.all_wanted(), case.now, case.attempt) {
                return Err(Halt::Ask(ask));
            }
        }
        if case.attempt.started {
            return Ok(());
        }
        let waited = if case.attempt.joined { Waited::InVain } else { Waited::NotYet };
        match self.clock.take_ask(urge, waited, case.now) {
            Leave::Denied => Ok(()),
            Leave::Granted => {
                case.attempt.started = true;
                Err(Halt::Ask(Ask::Head(HeadAsk::Start)))
            }
            Leave::InFlight => {
                case.attempt.joined = true;
                Err(Halt::Ask(Ask::Head(HeadAsk::Join)))
            }
        }
    }

    /// An ask that changed nothing is a failed one, whatever the shell says of it.
    fn note_failure(&self, case: &Case<'_>) {
        if case.attempt.started {
            self.clock.fail(case.now);
        }
    }

    fn fetch(&self, wanted: Wanted, case: &mut Case<'_>) -> Halt {
        match fetch(Vec::from([wanted]), case.now, case.attempt) {
            Some(ask) => Halt::Ask(ask),
            None => Halt::Refuse(Refusal::Unavailable(Unavailable::OutOfReach)),
        }
    }

    pub(crate) fn is_old(&self, now: UnixMillis) -> bool {
        self.serving.as_ref().is_none_or(|serving| self.is_old_for(serving, now))
    }

    fn is_old_for(&self, serving: &Serving, now: UnixMillis) -> bool {
        let young = self.clock.age_ms(now).is_some_and(|age_ms| age_ms <= ASK_AFTER_MS);
        !young || now >= serving.statement.use_by.millis()
    }

    /// Grace runs from the confirmed `as_of`, or from the statement's use-by if that came first: a head alone
    /// cannot keep a statement alive that nobody renews.
    fn is_within_grace(&self, serving: &Serving, now: UnixMillis) -> bool {
        let Some(as_of) = self.clock.as_of() else { return false };
        let from = as_of.min(serving.statement.use_by.millis());
        now.since_ms(from) <= u64::from(serving.manifest.grace_secs) * 1000
    }

    /// The pepper of the manifest that serves. One that is not held is never adopted.
    fn pepper(&self, serving: &Serving) -> Decided<&Pepper> {
        let held = self.peppers.get(serving.pepper).map(|(_, pepper)| pepper);
        held.ok_or(Halt::Refuse(Refusal::Unavailable(Unavailable::NoSnapshot)))
    }
}

/// Objects of one ask at most: a request looks up again in between, and sees that its time is over.
const OBJECTS_AN_ASK_MAX: usize = 8;

/// The ask for those of `wanted` that this attempt has not asked for yet, each once.
fn fetch(mut wanted: Vec<Wanted>, now: UnixMillis, attempt: &mut Attempt) -> Option<Ask> {
    if attempt.is_spent(now) {
        return None;
    }
    wanted.retain(|wanted| attempt.may_fetch(wanted));
    wanted.sort_unstable_by_key(|wanted| wanted.reference);
    wanted.dedup_by_key(|wanted| wanted.reference);
    wanted.truncate(OBJECTS_AN_ASK_MAX);
    attempt.fetched.extend(wanted.iter().map(|wanted| wanted.reference.digest()));
    (!wanted.is_empty()).then_some(Ask::Objects(wanted))
}

const fn refuse<T>(refusal: Refusal) -> Decided<T> {
    Err(Halt::Refuse(refusal))
}

const fn unproven(unproven: Unproven) -> Halt {
    Halt::Refuse(Refusal::Unauthenticated(unproven))
}

const fn absent(absent: Absent) -> Halt {
    Halt::Refuse(Refusal::NotFound(absent))
}

/// What any key of a role may do at most, whatever its record says (K6b).
const fn ceiling(role: Option<Role>) -> PermissionSet {
    const MEMBER: PermissionSet = PermissionSet::of_key(Role::Member);
    const ADMIN: PermissionSet = PermissionSet::of_key(Role::Admin);
    match role {
        Some(Role::Member) => MEMBER,
        Some(Role::Admin) => ADMIN,
        None => PermissionSet::EMPTY,
    }
}

fn holds(binding: &Binding, permission: Permission) -> bool {
    binding.permissions.contains(permission) && ceiling(binding.role).contains(permission)
}

fn effective(binding: &Binding) -> PermissionSet {
    PermissionSet::from_bits(binding.permissions.bits() & ceiling(binding.role).bits()).unwrap_or_default()
}

impl Shelves {
    pub(crate) const fn empty() -> Self {
        Self {
            keys: Shelf::empty(Kind::NativeKey),
            resources: Shelf::empty(Kind::Resource),
            references: Shelf::empty(Kind::ProjectReference),
            project_names: Shelf::empty(Kind::ProjectNames),
            organization_names: Shelf::empty(Kind::OrganizationNames),
        }
    }

    fn account(&self) -> Account {
        fn of<T: Leaf>(shelf: &Shelf<T>) -> Account {
            shelf.account()
        }
        [
            of(&self.keys),
            of(&self.resources),
            of(&self.references),
            of(&self.project_names),
            of(&self.organization_names),
        ]
        .into_iter()
        .fold(Account::default(), Account::plus)
    }
}

/// Counters; approximate when several threads decide at once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    allowed: AtomicU64,
    stale: AtomicU64,
    refused: [AtomicU64; CAUSES.len()],
    pub(crate) heads_accepted: u64,
    pub(crate) heads_refused: u64,
    pub(crate) heads_forked: u64,
    pub(crate) objects_refused: u64,
}

impl Tally {
    fn count(&self, verdict: &Verdict) {
        match verdict.outcome {
            Outcome::Allow(_) => increment(&self.allowed),
            Outcome::Refuse(refusal) => {
                let cause = refusal.cause();
                let known = CAUSES.iter().position(|known| *known == cause);
                if let Some(counter) = known.and_then(|index| self.refused.get(index)) {
                    increment(counter);
                }
            }
        }
        if verdict.standing.is_some_and(|standing| standing.stale) {
            increment(&self.stale);
        }
    }

    fn counts(&self) -> Vec<Count> {
        let read = |cause, counter: &AtomicU64| Count { cause, times: counter.load(Relaxed) };
        let refused = CAUSES.iter().zip(&self.refused).map(|(cause, counter)| read(*cause, counter));
        [read("allowed", &self.allowed), read("stale", &self.stale)].into_iter().chain(refused).collect()
    }
}

/// No read-modify-write: a lost count is cheaper than a locked bus.
fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.serving.as_ref().map(|serving| serving.statement.generation);
        write!(f, "Gate(root {}, generation {generation:?})", self.root.version())
    }
}

/// Every cause that a refusal can have.
const CAUSES: [&str; 31] = [
    "credential_missing",
    "credential_several",
    "credential_scheme",
    "credential_malformed",
    "credential_unknown",
    "credential_made_up",
    "expired",
    "revoked",
    "disabled",
    "suspended",
    "absent_route",
    "absent_project",
    "absent_resource",
    "permission_denied",
    "no_snapshot",
    "snapshot_too_old",
    "data_out_of_reach",
    "generation_not_reached",
    "not_fresh",
    "stale_unknown",
    "path_too_long",
    "path_not_absolute",
    "path_empty_segment",
    "path_dot_segment",
    "path_backslash",
    "path_control_byte",
    "path_byte",
    "path_bad_escape",
    "path_encoded_slash",
    "path_needless_escape",
    "path_not_utf8",
];
