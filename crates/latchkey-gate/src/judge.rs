//! How a gate decides.
//!
//! The order is IAM R5's: no proven credential, 401; out of force, 401 with the reason; no rule or nothing the caller
//! may know of, 404; not permitted, 403; out of budget, 402. The rate, 429, is counted by the shell. Whatever the gate
//! cannot tell is 503, never 401.
//!
//! Here are the two orders, of a key and of a session, and what both ask for first. Who presents a credential is in
//! `prove`, what the route says in `access`.

use crate::clock::{FRESH_MS, Leave, Urge, Waited};
use crate::gate::{Gate, Serving, Sight};
use crate::prove::ProvenKey;
use crate::quota::Quota;
use crate::request::{Attempt, Question, Request};
use crate::route::Route;
use crate::shelf::{Missing, Shelf, Wanted};
use crate::verdict::{
    Absent, Ask, Grant, HeadAsk, Matched, Proven, Refusal, Standing, Subject, Unavailable, Unproven,
};
use alloc::vec::Vec;
use latchkey_core::{Generation, KeyText, Pepper, Permission, PermissionSet, Role, UnixMillis};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::{Access, Binding, Entry, Forwarding, Freshness, KeyState, Page, Query, SessionToken};

/// Why a decision stops before it lets in.
pub(crate) enum Halt {
    Refuse(Refusal),
    Ask(Ask),
}

pub(crate) type Decided<T> = Result<T, Halt>;

/// What one decision is about, besides the gate.
pub(crate) struct Case<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) now: UnixMillis,
    pub(crate) attempt: &'a mut Attempt,
    pub(crate) standing: Option<Standing>,
    /// The rule it falls under, once one was found.
    pub(crate) matched: Option<Matched>,
    /// Who proved to be there, once somebody did.
    pub(crate) proven: Option<Proven>,
}

/// Who is let in.
pub(crate) enum Admission {
    /// Whoever holds this.
    Grant(Grant),
    /// Everybody.
    Public,
}

impl<'a> Case<'a> {
    /// The rule of the request, which is noted if it is one of the manifest.
    fn route(&mut self, serving: &'a Serving) -> Decided<Route<'a, 'a>> {
        if let Some(need) = self.request.need {
            return Ok(need.route());
        }
        let route = Gate::find_route(serving, self.request)?;
        let is_in_shadow = route.is_in_shadow(self.now);
        let forwarding = if is_in_shadow { Forwarding::Kept } else { route.rule.forwarding };
        self.matched = Some(Matched { rule: route.index, forwarding, is_in_shadow });
        Ok(route)
    }
}

impl Gate {
    /// Decides. Where there are public routes, the route is found first: whoever comes to one is not asked who they are.
    pub(crate) fn judge<'a>(&'a self, case: &mut Case<'a>, question: Question) -> Decided<Admission> {
        if question == Question::Route
            && let Some(serving) = self.serving.as_ref().filter(|serving| serving.quarantined.is_none())
            && serving.routes.has_public()
            && let Ok(route) = case.route(serving)
            && route.rule.access == Access::Public
        {
            self.check_age(serving, case)?;
            return Ok(Admission::Public);
        }
        self.judge_credential(case, question).map(Admission::Grant)
    }

    /// Whether a request that is refused falls under a rule that is in shadow now.
    pub(crate) fn is_in_shadow<'a>(&'a self, case: &mut Case<'a>) -> bool {
        let Some(serving) = self.serving.as_ref().filter(|serving| serving.quarantined.is_none()) else {
            return false;
        };
        if !serving.routes.has_shadow() || !self.is_within_grace(serving, case.now) {
            return false;
        }
        if case.matched.is_none() && case.route(serving).is_err() {
            return false;
        }
        case.matched.is_some_and(|matched| matched.is_in_shadow)
    }

    fn judge_credential<'a>(&'a self, case: &mut Case<'a>, question: Question) -> Decided<Grant> {
        let credential = case.request.authorization.bearer().map_err(unproven)?;
        let Some(serving) = &self.serving else { return Err(self.warm_up(Unavailable::NoSnapshot, case)) };
        if serving.quarantined.is_some() {
            return Err(self.warm_up(Unavailable::Quarantined, case));
        }
        match KeyText::parse(credential, &serving.manifest.prefix) {
            Ok(key) => self.judge_key(serving, &self.prove_native(serving, &key, case)?, case, question),
            Err(error) if serving.manifest.prefix.begins(credential) => {
                Err(unproven(Unproven::Malformed(error)))
            }
            Err(_) if credential.starts_with(latchkey_snapshot::token::PREFIX.as_bytes()) => {
                self.judge_session(serving, &self.prove_session(serving, credential, case)?, case, question)
            }
            Err(error) => {
                let key = self.prove_imported(serving, credential, error, case)?;
                self.judge_key(serving, &key, case, question)
            }
        }
    }

    fn judge_key<'a>(
        &self,
        serving: &'a Serving,
        key: &ProvenKey<'_>,
        case: &mut Case<'a>,
        question: Question,
    ) -> Decided<Grant> {
        let subject = Subject::Key(key.id);
        case.proven = Some(Proven { subject, role: key.entry.binding.role });
        self.check_generation(serving, case)?;
        if let Some(reason) = self.out_of_force(serving, key, case.now) {
            return refuse(Refusal::OutOfForce(reason));
        }
        let permission = match question {
            Question::Whoami => {
                self.check_network(key, case)?;
                None
            }
            Question::Route => Some(self.check_key_route(serving, key, case)?),
        };
        let entry = &key.entry;
        Ok(Grant {
            subject,
            binding: Binding { permissions: effective(&entry.binding), ..entry.binding },
            expiry: entry.expiry,
            permission,
            rate: key.page.narrowing(entry).and_then(|narrowing| narrowing.rate()),
        })
    }

    fn judge_session<'a>(
        &self,
        serving: &'a Serving,
        session: &SessionToken,
        case: &mut Case<'a>,
        question: Question,
    ) -> Decided<Grant> {
        let subject = Subject::Session(*session.identity());
        case.proven = Some(Proven { subject, role: None });
        self.check_generation(serving, case)?;
        self.check_ended(serving, session, case)?;
        if question == Question::Whoami {
            return refuse(Refusal::KeyNeeded);
        }
        let (binding, permission) = self.check_session_route(serving, session.identity(), case)?;
        Ok(Grant { subject, binding, expiry: None, permission: Some(permission), rate: None })
    }

    fn check_key_route<'a>(
        &self,
        serving: &'a Serving,
        key: &ProvenKey<'_>,
        case: &mut Case<'a>,
    ) -> Decided<Permission> {
        let route = case.route(serving)?;
        let (rule, binding) = (route.rule, &key.entry.binding);
        let permission = needed(&route)?;
        self.check_own_project(serving, &route, binding.project, case)?;
        self.check_resource(serving, &route, binding.project, case)?;
        if !holds(binding, permission) {
            return refuse(Refusal::Forbidden(permission));
        }
        self.check_narrowing(key, &route, case)?;
        if !rule.credentials.takes_keys() {
            return refuse(Refusal::CredentialKind);
        }
        check_budget(serving, binding, permission, key.entry.is_out_of_budget)?;
        self.check_fresh(rule.freshness, case)?;
        Ok(permission)
    }

    fn check_session_route<'a>(
        &self,
        serving: &'a Serving,
        identity: &latchkey_core::IdentityId,
        case: &mut Case<'a>,
    ) -> Decided<(Binding, Permission)> {
        let route = case.route(serving)?;
        let rule = route.rule;
        let permission = needed(&route)?;
        let binding = self.check_collaborator(serving, &route, identity, case)?;
        case.proven = Some(Proven { subject: Subject::Session(*identity), role: binding.role });
        self.check_resource(serving, &route, binding.project, case)?;
        if self.is_suspended(serving, &binding) {
            return refuse(Refusal::Suspended);
        }
        if !binding.permissions.contains(permission) {
            return refuse(Refusal::Forbidden(permission));
        }
        if !rule.credentials.takes_sessions() {
            return refuse(Refusal::CredentialKind);
        }
        check_budget(serving, &binding, permission, false)?;
        self.check_fresh(rule.freshness, case)?;
        Ok((binding, permission))
    }

    /// A gate without a manifest that it can believe asks for one; it answers nothing.
    fn warm_up(&self, unavailable: Unavailable, case: &mut Case<'_>) -> Halt {
        if self.is_futile(case.now) {
            return Halt::Refuse(Refusal::Unavailable(unavailable));
        }
        match self.catch_up(Urge::Age, case) {
            Err(halt) => halt,
            Ok(()) => {
                self.note_failure(case);
                Halt::Refuse(Refusal::Unavailable(unavailable))
            }
        }
    }

    /// Whether what is held is young enough to answer from, asking first if it is not.
    pub(crate) fn check_age(&self, serving: &Serving, case: &mut Case<'_>) -> Decided<Standing> {
        let stale = self.is_old_for(serving, case.now);
        if stale && !self.is_futile(case.now) {
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
    pub(crate) fn check_generation(&self, serving: &Serving, case: &mut Case<'_>) -> Decided<()> {
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
    fn out_of_force(&self, serving: &Serving, key: &ProvenKey<'_>, now: UnixMillis) -> Option<Reason> {
        let exceptions = &serving.exceptions;
        let (entry, binding) = (&key.entry, &key.entry.binding);
        let overlaid = self.overlay.refusals(&key.tag, binding);
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
            .find(|reason| overlaid.contains(&Some(*reason)) || holds(*reason))
    }

    /// Whether everything in the project is refused, by the manifest or inline.
    fn is_suspended(&self, serving: &Serving, binding: &Binding) -> bool {
        let exceptions = &serving.exceptions;
        exceptions.suspends(binding.organization)
            || exceptions.archives(binding.project)
            || self.overlay.closes(binding)
    }

    fn check_fresh(&self, freshness: Freshness, case: &mut Case<'_>) -> Decided<()> {
        let young = case.standing.is_some_and(|standing| !standing.stale && standing.age_ms <= FRESH_MS);
        if young || freshness == Freshness::Normal {
            return Ok(());
        }
        self.catch_up(Urge::Forced, case)?;
        refuse(Refusal::Unavailable(Unavailable::NotFresh))
    }

    /// Looks for something that a proven credential named; the unknown may be new.
    pub(crate) fn look_up(
        &self,
        serving: &Serving,
        shelf: &Shelf<Page>,
        query: &Query,
        case: &mut Case<'_>,
    ) -> Decided<Option<Entry>> {
        let found = self.look(serving, shelf, query, case)?;
        if found.is_none() {
            self.catch_up(Urge::Forced, case)?;
        }
        Ok(found)
    }

    /// Looks for something, without a look at the head if it is unknown. What a delta removes that does not serve is
    /// unknown.
    pub(crate) fn look(
        &self,
        serving: &Serving,
        shelf: &Shelf<Page>,
        query: &Query,
        case: &mut Case<'_>,
    ) -> Decided<Option<Entry>> {
        match serving.look(shelf, query) {
            Sight::Missing(missing) => Err(self.fetch(&[missing], &self.quotas.named, case)),
            Sight::Found(_, entry) => Ok(Some(entry).filter(|_| !self.overlay.is_gone(&query.tag))),
            Sight::Absent => Ok(None),
        }
    }

    /// Asks for whatever could make the gate know more, until this attempt has tried it all.
    pub(crate) fn catch_up(&self, urge: Urge, case: &mut Case<'_>) -> Decided<()> {
        if case.attempt.has_caught_up_enough(case.now) {
            return Ok(());
        }
        for pending in self.coming.hopeful().rev() {
            let wanted = self.coming.wanted_by(pending, self.serving.as_ref());
            let missing = wanted.into_iter().filter_map(|wanted| {
                let asked = self.coming.asked(&wanted.reference)?;
                Some(Missing { wanted, asked })
            });
            let missing: Vec<_> = missing.collect();
            if let Some(ask) = fetch_within(&self.quotas.pursue, &missing, case.now, case.attempt) {
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

    /// Asks for these objects, as far as they are on their way or the quota allows, or says that they are out of reach.
    pub(crate) fn fetch(&self, missing: &[Missing<'_>], quota: &Quota, case: &mut Case<'_>) -> Halt {
        match fetch_within(quota, missing, case.now, case.attempt) {
            Some(ask) => Halt::Ask(ask),
            None => Halt::Refuse(Refusal::Unavailable(Unavailable::OutOfReach)),
        }
    }

    /// The pepper of the manifest that serves. One that is not held is never adopted.
    pub(crate) fn pepper(&self, serving: &Serving) -> Decided<&Pepper> {
        let held = self.peppers.get(serving.pepper).map(|(_, pepper)| pepper);
        held.ok_or(Halt::Refuse(Refusal::Unavailable(Unavailable::NoSnapshot)))
    }
}

/// Objects of one ask at most: a request looks up again in between, and sees that its time is over.
const OBJECTS_AN_ASK_MAX: usize = 8;

/// The ask for those of `missing` that this attempt has not asked for yet, each once, as far as they are on their way
/// or the quota allows.
pub(crate) fn fetch_within(
    quota: &Quota,
    missing: &[Missing<'_>],
    now: UnixMillis,
    attempt: &mut Attempt,
) -> Option<Ask> {
    if attempt.is_spent(now) {
        return None;
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for Missing { wanted: one, asked } in missing {
        let is_new = attempt.may_fetch(one) && !wanted.iter().any(|other| other.reference == one.reference);
        if is_new && wanted.len() < OBJECTS_AN_ASK_MAX && asked.ask(quota, now) {
            wanted.push(*one);
        }
    }
    attempt.fetched.extend(wanted.iter().map(|wanted| wanted.reference.digest()));
    (!wanted.is_empty()).then_some(Ask::Objects(wanted))
}

pub(crate) const fn refuse<T>(refusal: Refusal) -> Decided<T> {
    Err(Halt::Refuse(refusal))
}

pub(crate) const fn unproven(unproven: Unproven) -> Halt {
    Halt::Refuse(Refusal::Unauthenticated(unproven))
}

pub(crate) const fn absent(absent: Absent) -> Halt {
    Halt::Refuse(Refusal::NotFound(absent))
}

/// The permission that a route needs. A public one is never judged by who calls.
fn needed(route: &Route<'_, '_>) -> Decided<Permission> {
    route.rule.permission().ok_or(absent(Absent::Route))
}

/// B2: only what costs money is refused for want of it.
fn check_budget(
    serving: &Serving,
    binding: &Binding,
    permission: Permission,
    key_is_out: bool,
) -> Decided<()> {
    let is_out = permission.is_metered()
        && (key_is_out || serving.exceptions.is_out_of_budget(binding.organization, binding.project));
    if is_out { refuse(Refusal::BudgetExhausted) } else { Ok(()) }
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
    effective(binding).contains(permission)
}

fn effective(binding: &Binding) -> PermissionSet {
    binding.permissions.intersection(ceiling(binding.role))
}
