//! What a use case hands to the writer: a [`Write`], which cannot be made without its audit entry (invariant 3).

use super::audit::{self, AuditEntry};
use super::error::StoreError;
use super::held;
use super::images::{budget_place, subject_bytes};
use super::outbox::{Effect, Touch, Touched};
use super::rows::{Row, decode, encode};
use super::tables::{WriteTables, counter};
use super::view::count;
use crate::iam::key::lasts_longer;
use crate::iam::{
    Amount, BatchOutcome, Budget, BudgetScope, Collaboration, Departure, Held, HeldPlace, Identity,
    Invitation, InvitedInto, Key, KeyProof, Membership, Notice, OperatorToken, Organization, OwnershipOffer,
    Project, Resource, RuleSet, Session, SlugHolder, UsageBatch, UsagePlace, UsageToken, User,
};
use latchkey_core::{
    Generation, KeyId, OrganizationNumber, Permission, ProjectNumber, Slug, UnixMillis, UserId,
};
use redb::{AccessGuard, ReadableTable};
use std::sync::Arc;

/// A decided change: its audit entry, the rows it puts, and the reply once they are durable.
#[derive(Debug)]
#[must_use = "nothing is written unless the store is handed this"]
pub struct Write<R> {
    pub(super) entry: AuditEntry,
    pub(super) changes: Vec<Change>,
    pub(super) reply: R,
    pub(super) keepsake: Option<Keepsake>,
}

/// A reply to be kept for whoever asks the same again.
#[derive(Debug)]
pub struct Keepsake {
    /// Where: a digest of caller, route and idempotency key.
    pub place: [u8; 32],
    /// The digest of what was asked.
    pub asked: [u8; 32],
    /// The reply's JSON, without secrets.
    pub reply: Vec<u8>,
}

impl<R> Write<R> {
    /// A write with its entry in the audit log.
    pub const fn new(entry: AuditEntry, reply: R) -> Self {
        Self { entry, changes: Vec::new(), reply, keepsake: None }
    }

    /// The reply.
    pub const fn reply(&self) -> &R {
        &self.reply
    }

    /// How the thing was before, as JSON; `None` if nothing was there.
    pub fn state_before(&self) -> Option<&str> {
        self.entry.state_before()
    }

    /// The write with its reply kept.
    pub fn kept(self, keepsake: Keepsake) -> Self {
        Self { keepsake: Some(keepsake), ..self }
    }

    /// The write with another reply, made of this one.
    pub fn answering<S>(self, answer: impl FnOnce(R) -> S) -> Write<S> {
        let Self { entry, changes, reply, keepsake } = self;
        Write { entry, changes, reply: answer(reply), keepsake }
    }

    /// The write with one row more.
    pub fn put(mut self, change: impl Into<Change>) -> Self {
        self.changes.push(change.into());
        self
    }

    /// The write with many rows more.
    pub fn put_all(mut self, changes: impl IntoIterator<Item = impl Into<Change>>) -> Self {
        self.changes.extend(changes.into_iter().map(Into::into));
        self
    }
}

/// A reply whose change is durable, and the generation it became.
#[derive(Debug)]
pub struct Committed<R> {
    /// The reply.
    pub reply: R,
    /// The generation.
    pub generation: Generation,
}

/// A row to put (a new one, or the new state of an old one) or to remove.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "a variant for each noun")]
pub enum Change {
    Organization(Organization),
    Project(Project),
    Slug(Slug, SlugHolder),
    User(User),
    Membership(Membership),
    Collaboration(Collaboration),
    Session(Session),
    OperatorToken(OperatorToken),
    Key(Key),
    Resource(Resource),
    Identity(Identity),
    Departure(Departure),
    OwnershipOffer(OwnershipOffer),
    Invitation(Invitation),
    UsageToken(UsageToken),
    Notice(Notice),
    Budget(Budget),
    UsageBatch(UsageBatch),
    /// Waits for an operator from now on.
    Held(Held),
    /// Waits no more.
    RemoveHeld(OrganizationNumber, HeldPlace),
    /// Adds to what was used.
    Usage(UsagePlace, Amount),
    /// Adds to what the budgets of a scope have to count on a day.
    Spent(BudgetScope, u32, Amount),
    /// Forgets that a batch was counted.
    ForgetUsageBatch(UsageBatch),
    /// The key was used then; an earlier moment changes nothing.
    KeyUse(KeyId, UnixMillis),
    /// The price of a request with this permission, in millionths of the currency unit.
    Price(Permission, u64),
    /// A set of route rules, and its text.
    RuleSet(RuleSet, Arc<str>),
    RemoveMembership(OrganizationNumber, UserId),
    RemoveCollaboration(ProjectNumber, UserId),
    RemoveDeparture(OrganizationNumber, UserId),
    RemoveOwnershipOffer(OrganizationNumber),
    RemoveBudget(BudgetScope),
    /// Grants are held back from edges, since then.
    HoldPublishing(UnixMillis),
    /// They no longer are, nor is anything else that waited for an operator.
    ReleasePublishing,
    /// Keys that were revoked then or before leave the snapshot; each is named by a [`Change::Bury`] of the same write.
    TombstonesUpTo(UnixMillis),
    /// The key leaves the snapshot.
    Bury(KeyId),
    /// Drops what the audit entry at this position says.
    EraseAudit(u64),
    /// Forgets a session that has ended, whoever ended it.
    RemoveSession(Session),
}

macro_rules! changes {
    ($($noun:ident)*) => {
        $(impl From<$noun> for Change {
            fn from(noun: $noun) -> Self {
                Self::$noun(noun)
            }
        })*
    };
}

changes!(Organization Project User Membership Collaboration Session OperatorToken Key Resource Identity Departure);
changes!(OwnershipOffer Invitation UsageToken Notice Budget UsageBatch Held);

impl Change {
    /// Puts the row and its index entries, and says what that touches at the edge.
    ///
    /// # Errors
    /// [`StoreError::Clash`] if it would take what belongs to another row for ever.
    pub(super) fn apply(&self, tables: &mut WriteTables) -> Result<[Option<Touch>; 2], StoreError> {
        let one = |touch| [Some(touch), None];
        let none = |()| [None, None];
        match self {
            Self::Organization(organization) => put_organization(tables, organization).map(one),
            Self::Project(project) => put_project(tables, project).map(one),
            Self::Slug(slug, holder) => put_slug(tables, slug, holder).map(none),
            Self::User(user) => put_user(tables, user).map(none),
            Self::Membership(membership) => put_membership(tables, membership),
            Self::Collaboration(collaboration) => put_collaboration(tables, collaboration),
            Self::Session(session) => put_session(tables, session).map(|touch| [touch, None]),
            Self::OperatorToken(token) => put_operator_token(tables, token).map(none),
            Self::Key(key) => put_key(tables, key).map(one),
            Self::Resource(resource) => put_resource(tables, resource).map(one),
            Self::Identity(identity) => put_identity(tables, identity).map(none),
            Self::Departure(departure) => put_departure(tables, departure).map(none),
            Self::OwnershipOffer(offer) => put_offer(tables, offer).map(none),
            Self::Invitation(invitation) => put_invitation(tables, invitation).map(none),
            Self::UsageToken(token) => put_usage_token(tables, token).map(none),
            Self::Notice(notice) => put_notice(tables, notice).map(none),
            Self::Budget(budget) => put_budget(tables, budget).map(|touch| [touch, None]),
            Self::UsageBatch(batch) => put_usage_batch(tables, batch).map(none),
            Self::Held(held) => held::put(tables, held).map(none),
            Self::RemoveHeld(organization, place) => {
                tables.held.remove((organization.0, held::held_place(*place).as_slice()))?;
                Ok([None, None])
            }
            Self::Usage(place, amount) => add_usage(tables, place, *amount).map(none),
            Self::Spent(scope, day, amount) => add_spent(tables, *scope, *day, *amount).map(none),
            Self::ForgetUsageBatch(batch) => forget_usage_batch(tables, batch).map(none),
            Self::KeyUse(key, at) => note_key_use(tables, *key, *at).map(none),
            Self::Price(permission, micros) => {
                tables.prices.insert(permission.number(), micros)?;
                Ok([None, None])
            }
            Self::RuleSet(set, text) => put_rule_set(tables, set, text).map(none),
            Self::HoldPublishing(since) => {
                tables.counters.insert(counter::PUBLISH_HELD_SINCE, since.0)?;
                Ok([None, None])
            }
            Self::ReleasePublishing => {
                let releases = count(tables, counter::PUBLISH_RELEASES)?;
                tables.counters.insert(counter::PUBLISH_RELEASES, releases + 1)?;
                tables.counters.insert(counter::PUBLISH_HELD_SINCE, 0)?;
                Ok([None, None])
            }
            Self::TombstonesUpTo(moment) => {
                let held = count(tables, counter::TOMBSTONES_UP_TO)?;
                tables.counters.insert(counter::TOMBSTONES_UP_TO, held.max(moment.0))?;
                Ok([None, None])
            }
            Self::Bury(key) => Ok([Some(touch(Touched::Key(*key), false)), None]),
            Self::EraseAudit(position) => audit::erase(tables, *position).map(none),
            Self::RemoveMembership(organization, user) => remove_membership(tables, *organization, user),
            Self::RemoveCollaboration(project, user) => remove_collaboration(tables, *project, user),
            Self::RemoveDeparture(organization, user) => {
                tables.departures.remove((organization.0, user.body()))?;
                Ok([None, None])
            }
            Self::RemoveOwnershipOffer(organization) => {
                tables.ownership_offers.remove(organization.0)?;
                Ok([None, None])
            }
            Self::RemoveSession(session) => remove_session(tables, session),
            Self::RemoveBudget(scope) => {
                let removed: Option<Budget> = replaced(tables.budgets.remove(budget_place(*scope))?)?;
                let freed = removed.filter(Budget::is_exhausted);
                Ok([freed.map(|_| touch(Touched::Budget(*scope), false)), None])
            }
        }
    }
}

fn put_organization(tables: &mut WriteTables, now: &Organization) -> Result<Touch, StoreError> {
    let before: Option<Organization> =
        replaced(tables.organizations.insert(now.number.0, encode(now)?.as_slice())?)?;
    let refuses = match &before {
        Some(before) => {
            same(before.id == now.id, "organizations")?;
            now.refuses_more_than(before)
        }
        None => {
            let taken = tables.organization_ids.insert(now.id.body(), now.number.0)?.is_some();
            same(!taken, "organization_ids")?;
            raise(tables, counter::ORGANIZATIONS, now.number.0)?;
            false
        }
    };
    Ok(touch(Touched::Organization(now.number), refuses))
}

fn put_project(tables: &mut WriteTables, now: &Project) -> Result<Touch, StoreError> {
    let before: Option<Project> = replaced(tables.projects.insert(now.number.0, encode(now)?.as_slice())?)?;
    match &before {
        Some(before) => {
            same(before.id == now.id && before.organization == now.organization, "projects")?;
        }
        None => {
            let taken = tables.project_ids.insert(now.id.body(), now.number.0)?.is_some();
            same(!taken, "project_ids")?;
            tables.organization_projects.insert((now.organization.0, now.number.0), ())?;
            raise(tables, counter::PROJECTS, now.number.0)?;
        }
    }
    let refuses = before.is_some_and(|before| now.refuses_more_than(&before));
    Ok(touch(Touched::Project(now.number), refuses))
}

fn put_slug(tables: &mut WriteTables, slug: &Slug, now: &SlugHolder) -> Result<(), StoreError> {
    let before: Option<SlugHolder> = replaced(tables.slugs.insert(slug.as_str(), encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.organization == now.organization), "slugs")
}

fn put_user(tables: &mut WriteTables, now: &User) -> Result<(), StoreError> {
    let before: Option<User> = replaced(tables.users.insert(now.id.body(), encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.contact == now.contact), "users")?;
    let Some(email) = now.email() else { return Ok(()) };
    let holder = tables.user_emails.insert(email.as_str(), now.id.body())?.map(|id| *id.value());
    same(holder.is_none_or(|holder| holder == *now.id.body()), "user_emails")
}

fn put_membership(tables: &mut WriteTables, now: &Membership) -> Result<[Option<Touch>; 2], StoreError> {
    let place = (now.organization.0, now.user.body());
    let before: Option<Membership> = replaced(tables.memberships.insert(place, encode(now)?.as_slice())?)?;
    tables.user_memberships.insert((now.user.body(), now.organization.0), ())?;
    let refuses = before.is_some_and(|before| before.role > now.role);
    // Bound to another identity, it is gone for the one before.
    let gone = before.filter(|before| before.identity != now.identity);
    let gone = gone.map(|before| touch(Touched::Membership(now.organization, before.identity), true));
    Ok([Some(touch(Touched::Membership(now.organization, now.identity), refuses)), gone])
}

fn remove_membership(
    tables: &mut WriteTables,
    organization: OrganizationNumber,
    user: &UserId,
) -> Result<[Option<Touch>; 2], StoreError> {
    let gone: Option<Membership> = replaced(tables.memberships.remove((organization.0, user.body()))?)?;
    tables.user_memberships.remove((user.body(), organization.0))?;
    Ok([gone.map(|gone| touch(Touched::Membership(organization, gone.identity), true)), None])
}

fn remove_collaboration(
    tables: &mut WriteTables,
    project: ProjectNumber,
    user: &UserId,
) -> Result<[Option<Touch>; 2], StoreError> {
    let gone: Option<Collaboration> = replaced(tables.collaborations.remove((project.0, user.body()))?)?;
    tables.user_collaborations.remove((user.body(), project.0))?;
    Ok([gone.map(|gone| touch(Touched::Collaboration(project, gone.identity), true)), None])
}

fn put_collaboration(
    tables: &mut WriteTables,
    now: &Collaboration,
) -> Result<[Option<Touch>; 2], StoreError> {
    let place = (now.project.0, now.user.body());
    let before: Option<Collaboration> =
        replaced(tables.collaborations.insert(place, encode(now)?.as_slice())?)?;
    tables.user_collaborations.insert((now.user.body(), now.project.0), ())?;
    let refuses =
        before.is_some_and(|before| before.role > now.role || lasts_longer(before.ends_at, now.ends_at));
    let gone = before.filter(|before| before.identity != now.identity);
    let gone = gone.map(|before| touch(Touched::Collaboration(now.project, before.identity), true));
    Ok([Some(touch(Touched::Collaboration(now.project, now.identity), refuses)), gone])
}

/// Edges hear of a session only when it ends before its time.
fn put_session(tables: &mut WriteTables, now: &Session) -> Result<Option<Touch>, StoreError> {
    let before: Option<Session> = replaced(tables.sessions.insert(&now.digest.0, encode(now)?.as_slice())?)?;
    let is_same = |before: &Session| before.id == now.id && before.user == now.user;
    same(before.as_ref().is_none_or(is_same), "sessions")?;
    let place = (now.user.body(), now.id.body());
    let digest = tables.user_sessions.insert(place, &now.digest.0)?.map(|digest| *digest.value());
    same(digest.is_none_or(|digest| digest == now.digest.0), "user_sessions")?;
    tables.session_ids.insert(now.id.body(), &now.digest.0)?;
    let is_ended = before.is_some_and(|before| now.refuses_more_than(&before));
    Ok(is_ended.then(|| touch(Touched::Session(now.id), true)))
}

fn remove_session(tables: &mut WriteTables, gone: &Session) -> Result<[Option<Touch>; 2], StoreError> {
    tables.sessions.remove(&gone.digest.0)?;
    tables.user_sessions.remove((gone.user.body(), gone.id.body()))?;
    tables.session_ids.remove(gone.id.body())?;
    // One that ran out by itself was never told of.
    Ok([gone.revoked_at.map(|_| touch(Touched::Session(gone.id), false)), None])
}

fn put_identity(tables: &mut WriteTables, now: &Identity) -> Result<(), StoreError> {
    let before: Option<Identity> =
        replaced(tables.identities.insert(now.id.body(), encode(now)?.as_slice())?)?;
    let is_same = |before: &Identity| {
        before.user == now.user && before.provider == now.provider && before.subject == now.subject
    };
    same(before.as_ref().is_none_or(is_same), "identities")?;
    tables.user_identities.insert((now.user.body(), now.id.body()), ())?;
    let place = (now.provider.as_str(), now.subject.as_str());
    let holder = tables.identity_subjects.insert(place, now.id.body())?.map(|id| *id.value());
    same(holder.is_none_or(|holder| holder == *now.id.body()), "identity_subjects")
}

fn put_departure(tables: &mut WriteTables, now: &Departure) -> Result<(), StoreError> {
    tables.departures.insert((now.organization.0, now.user.body()), encode(now)?.as_slice())?;
    Ok(())
}

fn put_offer(tables: &mut WriteTables, now: &OwnershipOffer) -> Result<(), StoreError> {
    tables.ownership_offers.insert(now.organization.0, encode(now)?.as_slice())?;
    Ok(())
}

fn put_invitation(tables: &mut WriteTables, now: &Invitation) -> Result<(), StoreError> {
    let before: Option<Invitation> =
        replaced(tables.invitations.insert(now.id.body(), encode(now)?.as_slice())?)?;
    if let Some(before) = &before {
        same(before.organization == now.organization && before.email == now.email, "invitations")?;
        if before.digest != now.digest {
            tables.invitation_tokens.remove(&before.digest.0)?;
        }
    }
    let project = match now.into {
        InvitedInto::Organization(_) => 0,
        InvitedInto::Project(project, ..) => project.0,
    };
    tables.invitation_places.insert((now.organization.0, project, now.id.body()), ())?;
    tables.invitation_emails.insert((now.email.as_str(), now.id.body()), ())?;
    let holder = tables.invitation_tokens.insert(&now.digest.0, now.id.body())?.map(|id| *id.value());
    same(holder.is_none_or(|holder| holder == *now.id.body()), "invitation_tokens")
}

fn put_usage_token(tables: &mut WriteTables, now: &UsageToken) -> Result<(), StoreError> {
    tables.usage_tokens.insert(&now.digest.0, encode(now)?.as_slice())?;
    Ok(())
}

fn put_notice(tables: &mut WriteTables, now: &Notice) -> Result<(), StoreError> {
    let project = now.project.map_or(0, |project| project.0);
    tables.notices.insert((now.organization.0, project, now.number), encode(now)?.as_slice())?;
    let given = tables.counters.get(counter::NOTICES)?.map_or(0, |count| count.value());
    tables.counters.insert(counter::NOTICES, given.max(now.number))?;
    Ok(())
}

/// Edges hear of a budget only when what it covers runs out of it, or no longer is.
fn put_budget(tables: &mut WriteTables, now: &Budget) -> Result<Option<Touch>, StoreError> {
    let place = budget_place(now.scope);
    let before: Option<Budget> = replaced(tables.budgets.insert(place, encode(now)?.as_slice())?)?;
    let was = before.is_some_and(|before| before.is_exhausted());
    let is = now.is_exhausted();
    Ok((was != is).then(|| touch(Touched::Budget(now.scope), is)))
}

/// A batch's id is taken for as long as it is known: what was counted or thrown away stays so.
fn put_usage_batch(tables: &mut WriteTables, now: &UsageBatch) -> Result<(), StoreError> {
    let before: Option<UsageBatch> =
        replaced(tables.usage_batches.insert(&now.id, encode(now)?.as_slice())?)?;
    let was_open = |before: &UsageBatch| matches!(before.outcome, BatchOutcome::Held(_));
    same(before.as_ref().is_none_or(was_open), "usage_batches")?;
    match &now.outcome {
        BatchOutcome::Held(_) => {
            tables.held_usage_batches.insert(&now.id, ())?;
            return Ok(());
        }
        BatchOutcome::Counted(at) => {
            tables.counted_usage_batches.insert((at.0, &now.id), ())?;
        }
        BatchOutcome::Discarded => {}
    }
    tables.held_usage_batches.remove(&now.id)?;
    Ok(())
}

fn forget_usage_batch(tables: &mut WriteTables, batch: &UsageBatch) -> Result<(), StoreError> {
    if let BatchOutcome::Counted(at) = batch.outcome {
        tables.counted_usage_batches.remove((at.0, &batch.id))?;
        tables.usage_batches.remove(&batch.id)?;
    }
    Ok(())
}

fn add_spent(
    tables: &mut WriteTables,
    scope: BudgetScope,
    day: u32,
    amount: Amount,
) -> Result<(), StoreError> {
    let (kind, number) = budget_place(scope);
    let held = tables.usage_sums.get((kind, number, day))?.map_or((0, 0), |held| held.value());
    let sum = Amount { requests: held.0, cost_micros: held.1 }.plus(amount);
    tables.usage_sums.insert((kind, number, day), (sum.requests, sum.cost_micros))?;
    Ok(())
}

fn add_usage(tables: &mut WriteTables, place: &UsagePlace, amount: Amount) -> Result<(), StoreError> {
    let subject = subject_bytes(place.subject);
    let key = (place.project.0, place.day, &subject, place.permission.number());
    let (requests, cost) = tables.usage.get(key)?.map_or((0, 0), |held| held.value());
    let sum = (requests.saturating_add(amount.requests), cost.saturating_add(amount.cost_micros));
    tables.usage.insert(key, sum)?;
    Ok(())
}

fn note_key_use(tables: &mut WriteTables, key: KeyId, at: UnixMillis) -> Result<(), StoreError> {
    let held = tables.key_uses.get(key.number())?.map_or(0, |held| held.value());
    if at.0 > held {
        tables.key_uses.insert(key.number(), at.0)?;
    }
    let newest = tables.counters.get(counter::NEWEST_USE)?.map_or(0, |newest| newest.value());
    tables.counters.insert(counter::NEWEST_USE, newest.max(at.0))?;
    Ok(())
}

/// Numbers are given once, and what one names never changes.
fn put_rule_set(tables: &mut WriteTables, set: &RuleSet, text: &str) -> Result<(), StoreError> {
    let is_taken = tables.rule_sets.insert(set.number, encode(set)?.as_slice())?.is_some();
    same(!is_taken, "rule_sets")?;
    tables.rule_texts.insert(set.number, text)?;
    Ok(())
}

fn put_operator_token(tables: &mut WriteTables, now: &OperatorToken) -> Result<(), StoreError> {
    let before: Option<OperatorToken> =
        replaced(tables.operator_tokens.insert(&now.digest.0, encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.number == now.number), "operator_tokens")?;
    raise(tables, counter::OPERATORS, now.number)
}

fn put_key(tables: &mut WriteTables, now: &Key) -> Result<Touch, StoreError> {
    let before: Option<Key> = replaced(tables.keys.insert(now.id.number(), encode(now)?.as_slice())?)?;
    let refuses = match &before {
        Some(before) => {
            let is_same = before.proof == now.proof
                && before.project == now.project
                && before.created_at == now.created_at
                && (before.revoked_at.is_none() || before.revoked_at == now.revoked_at);
            same(is_same, "keys")?;
            now.refuses_more_than(before)
        }
        None => {
            tables.project_keys.insert((now.project.0, now.created_at.0, now.id.number()), ())?;
            if let KeyProof::Imported(digest) = &now.proof {
                let is_taken = tables.imported_keys.insert(&digest.0, now.id.number())?.is_some();
                same(!is_taken, "imported_keys")?;
            }
            false
        }
    };
    Ok(touch(Touched::Key(now.id), refuses))
}

fn put_resource(tables: &mut WriteTables, now: &Resource) -> Result<Touch, StoreError> {
    let (kind, id) = (now.kind as u8, now.id.as_str());
    let before: Option<Resource> = replaced(tables.resources.insert((kind, id), encode(now)?.as_slice())?)?;
    if let Some(before) = &before {
        let is_same = before.project == now.project && before.created_at == now.created_at;
        same(is_same && (before.deleted_at.is_none() || before.deleted_at == now.deleted_at), "resources")?;
    }
    let place = (now.project.0, kind, id);
    match now.deleted_at {
        None => tables.project_resources.insert(place, ())?.is_some(),
        Some(_) => tables.project_resources.remove(place)?.is_some(),
    };
    let refuses = before.is_some_and(|before| now.refuses_more_than(&before));
    Ok(touch(Touched::Resource { kind: now.kind, id: now.id.clone() }, refuses))
}

fn replaced<R: Row>(guard: Option<AccessGuard<&'static [u8]>>) -> Result<Option<R>, StoreError> {
    guard.map(|guard| decode(guard.value())).transpose()
}

fn same(is_same: bool, table: &'static str) -> Result<(), StoreError> {
    if is_same { Ok(()) } else { Err(StoreError::Clash(table)) }
}

const fn touch(noun: Touched, refuses: bool) -> Touch {
    Touch { noun, effect: if refuses { Effect::Refuses } else { Effect::Grants } }
}

/// Numbers are given out once: the counter only rises.
fn raise(tables: &mut WriteTables, name: &str, number: u32) -> Result<(), StoreError> {
    let given = tables.counters.get(name)?.map_or(0, |count| count.value());
    tables.counters.insert(name, given.max(u64::from(number)))?;
    Ok(())
}
