//! After a restore: what it holds, and how an operator lets it go (DESIGN §7).
//!
//! [`hold`] runs once, on the restored database, before anything is published from it. Until a thing is confirmed,
//! nobody else can bring it back: [`check_not_held`] stands where people could.

use super::ask::Ask;
use super::budgets;
use super::error::{AppError, Conflict};
use super::pages;
use crate::iam::{
    BudgetScope, Demand, Held, HeldPlace, HeldReason, HeldThing, Invitation, OperatorAct, Permit, Project,
    Scope, TokenDigest, authorize_upkeep,
};
use crate::publish::Setback;
use crate::store::{AuditEntry, Change, Ctx, Store, StoreError, View, Write};
use latchkey_api as api;
use latchkey_api::restore::CONFIRMED_MAX;
use latchkey_core::{
    KeyId, OrganizationId, OrganizationNumber, ProjectId, ProjectNumber, ResourceType, UnixMillis, UserId,
};
use std::collections::BTreeMap;

/// Things that one write holds, sessions that one ends.
const A_WRITE: usize = 500;

/// Takes away what is held and ends what ends, with an audit entry for each organization.
///
/// # Errors
/// The store's. The database is then to be thrown away.
pub async fn hold(
    store: &Store,
    facts: &api::restore::LoggedRestore,
    setback: Setback,
) -> Result<(), AppError> {
    let Setback { held, sessions, resources, budgets, as_of } = setback;
    let facts = facts.clone();
    let decide = move |view: &dyn View, ctx: &mut Ctx| {
        let entry = AuditEntry::new(&authorize_upkeep(Scope::Installation), None, "restore.begin", whole())
            .after(&facts);
        Ok::<_, AppError>(Write::new(entry, ()).put_all(revoke_usage_tokens(view, ctx.now)?))
    };
    store.write(decide).await?;
    for some in sessions.chunks(A_WRITE) {
        let some = some.to_vec();
        store.write(move |view: &dyn View, ctx: &mut Ctx| end_sessions(view, ctx.now, &some)).await?;
    }
    let mut after = None;
    while let Some(organization) = store.read()?.organizations(after, 1)?.pop() {
        after = Some(organization.number);
        store
            .write(move |view: &dyn View, ctx: &mut Ctx| withdraw(view, ctx.now, organization.number))
            .await?;
    }
    for of_one in held.chunk_by(|one, next| one.organization == next.organization) {
        for some in of_one.chunks(A_WRITE) {
            let some = some.to_vec();
            store.write(move |view: &dyn View, ctx: &mut Ctx| hold_some(view, ctx.now, &some)).await?;
        }
    }
    for of_one in resources.chunk_by(|one, next| one.0 == next.0) {
        for some in of_one.chunks(A_WRITE) {
            let some = some.to_vec();
            store.write(move |view: &dyn View, ctx: &mut Ctx| delete_again(view, ctx.now, &some)).await?;
        }
    }
    for of_one in budgets.chunk_by(|one, next| one.0 == next.0) {
        for some in of_one.chunks(A_WRITE) {
            let some = some.to_vec();
            store.write(move |view: &dyn View, _: &mut Ctx| use_up(view, as_of, &some)).await?;
        }
    }
    Ok(())
}

/// Notes that an operator considered a state which a sink holds and this database lacks.
///
/// # Errors
/// The store's.
pub async fn consider(store: &Store, state: api::restore::LoggedConsidered) -> Result<(), AppError> {
    let decide = move |_: &dyn View, _: &mut Ctx| {
        let permit = authorize_upkeep(Scope::Installation);
        let entry = AuditEntry::new(&permit, None, "restore.consider", whole()).after(&state);
        Ok::<_, AppError>(Write::new(entry, ()))
    };
    store.write(decide).await.map(drop)
}

/// What is held, by organization.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn list(ask: &Ask, query: &api::HeldQuery) -> Result<api::Page<api::HeldThing>, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Restore))?;
    let paging = api::PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    let limit = pages::limit(&paging)?;
    let organization = match &query.organization {
        Some(id) => Some(ask.organization(id)?.organization.number),
        None => None,
    };
    let after = match &paging.cursor {
        Some(cursor) => Some(parse_cursor(ask.view, cursor)?.ok_or(pages::NO_CURSOR)?),
        None => None,
    };
    let held = ask.view.held_things(organization, after, limit + 1)?;
    let shown = held.iter().map(|held| shown(ask.view, held)).collect::<Result<Vec<_>, _>>()?;
    let cursor = |one: &api::HeldThing| format!("{}/{}", one.organization, one.id);
    Ok(pages::page(shown, limit, cursor, |one| one))
}

/// Lets held things of an organization go: they are as the backup had them.
///
/// # Errors
/// [`AppError`].
pub fn confirm(ask: &Ask, body: &api::ConfirmRestore) -> Result<Write<api::ConfirmedRestore>, AppError> {
    // Before the organization is looked for: nobody else may learn whether it exists.
    ask.permit(Demand::Operator(OperatorAct::Restore))?;
    let place = ask.organization(&body.organization)?;
    let permit = place.permit_operator(ask, OperatorAct::Restore)?;
    let organization = place.organization.number;
    let held = match &body.held {
        None => ask.view.held_things(Some(organization), None, CONFIRMED_MAX)?,
        Some(ids) => named(ask.view, organization, ids)?,
    };
    let (mut changes, mut projects) = (Vec::new(), Projects::default());
    for one in &held {
        changes.push(Change::RemoveHeld(organization, one.place()));
        changes.extend(let_go(ask.view, ask.now, &permit, one, &mut projects)?);
    }
    changes.extend(projects.into_changes());
    let all = ask.view.held_things(Some(organization), None, held.len() + 1)?;
    let confirmed = held.iter().map(|one| shown(ask.view, one)).collect::<Result<Vec<_>, _>>()?;
    let subject = ("organization", place.organization.id.to_string());
    let entry = ask.entry(&permit, "restore.confirm", subject).after(&confirmed);
    let reply = api::ConfirmedRestore { confirmed, is_more_held: all.len() > held.len() };
    Ok(Write::new(entry, reply).put_all(changes))
}

/// Refuses to bring back what only an operator may.
///
/// # Errors
/// [`Conflict::HeldByRestore`].
pub(super) fn check_not_held(
    view: &dyn View,
    organization: OrganizationNumber,
    place: HeldPlace,
) -> Result<(), AppError> {
    match view.held(organization, place)? {
        Some(_) => Err(Conflict::HeldByRestore.into()),
        None => Ok(()),
    }
}

fn hold_some(view: &dyn View, now: UnixMillis, held: &[Held]) -> Result<Write<()>, AppError> {
    let first = held.first().ok_or(Conflict::NothingToDo)?;
    let organization = view.organization(first.organization)?.ok_or(StoreError::Corrupt("organizations"))?;
    let permit = authorize_upkeep(Scope::Organization(organization.number));
    let (mut changes, mut projects) = (Vec::new(), Projects::default());
    for one in held {
        changes.extend(take_away(view, now, &permit, one, &mut projects)?);
        changes.push(Change::Held(one.clone()));
    }
    changes.extend(projects.into_changes());
    let listed = held.iter().map(|one| shown(view, one)).collect::<Result<Vec<_>, _>>()?;
    let entry = AuditEntry::new(&permit, None, "restore.hold", ("organization", organization.id.to_string()));
    Ok(Write::new(entry.after(&listed), ()).put_all(changes))
}

/// What it takes to have it refused.
fn take_away(
    view: &dyn View,
    now: UnixMillis,
    permit: &Permit,
    held: &Held,
    projects: &mut Projects,
) -> Result<Vec<Change>, AppError> {
    let organization = held.organization;
    Ok(match &held.what {
        HeldThing::Key(id, _) => {
            let key = view.key(*id)?.ok_or(StoreError::Corrupt("keys"))?;
            vec![key.disabled(permit, now)?.into()]
        }
        HeldThing::Membership(one) if held.why == HeldReason::Less => {
            vec![one.with_role(permit, latchkey_core::Role::Member).into()]
        }
        HeldThing::Membership(one) => {
            // Else single sign-on would let them in again.
            let departure = crate::iam::Departure { organization, user: one.user, at: held.at };
            vec![Change::RemoveMembership(organization, one.user), departure.into()]
        }
        HeldThing::Collaboration(one) => vec![Change::RemoveCollaboration(one.project, one.user)],
        HeldThing::Organization => {
            let now_held = view.organization(organization)?.ok_or(StoreError::Corrupt("organizations"))?;
            vec![now_held.suspended(permit, now).into()]
        }
        HeldThing::Project(number) => {
            projects.change(view, *number, |project| project.archived(permit, now))?;
            Vec::new()
        }
        HeldThing::Externals(number) => {
            projects.change(view, *number, |project| project.letting_externals_in(permit, false))?;
            Vec::new()
        }
    })
}

/// What it takes to have it as the backup had it. What was decided anew since stands.
fn let_go(
    view: &dyn View,
    now: UnixMillis,
    permit: &Permit,
    held: &Held,
    projects: &mut Projects,
) -> Result<Vec<Change>, AppError> {
    let organization = held.organization;
    Ok(match &held.what {
        HeldThing::Key(id, before) => {
            let key = view.key(*id)?.ok_or(StoreError::Corrupt("keys"))?;
            if key.revoked_at.is_some() { Vec::new() } else { vec![key.let_go(permit, *before, now).into()] }
        }
        HeldThing::Membership(one) => {
            let there = view.membership(organization, &one.user)?;
            let departure = view.departure(organization, &one.user)?;
            let is_removed_anew = match held.why {
                HeldReason::Less => there.is_none(),
                _ => departure.is_some_and(|departure| departure.at > held.at),
            };
            match one.let_go(permit, there.as_ref()) {
                Some(back) if !is_removed_anew => {
                    vec![back.into(), Change::RemoveDeparture(organization, one.user)]
                }
                _ => Vec::new(),
            }
        }
        HeldThing::Collaboration(one) => {
            let there = view.collaboration(one.project, &one.user)?;
            one.let_go(permit, there.as_ref()).map(Change::from).into_iter().collect()
        }
        HeldThing::Organization => {
            let there = view.organization(organization)?.ok_or(StoreError::Corrupt("organizations"))?;
            vec![there.resumed(permit).into()]
        }
        HeldThing::Project(number) => {
            let back = |there: Project| match there.deleted_at {
                Some(_) => there,
                None => there.unarchived(permit),
            };
            projects.change(view, *number, back)?;
            Vec::new()
        }
        HeldThing::Externals(number) => {
            projects.change(view, *number, |there| there.letting_externals_in(permit, true))?;
            Vec::new()
        }
    })
}

/// Projects as a write leaves them. Of one project two things may be held, which are one row: a change that began from
/// the row as it stands would undo the other.
#[derive(Default)]
struct Projects(BTreeMap<ProjectNumber, Project>);

impl Projects {
    /// Changes the project, on top of what was changed before.
    fn change(
        &mut self,
        view: &dyn View,
        number: ProjectNumber,
        change: impl FnOnce(Project) -> Project,
    ) -> Result<(), StoreError> {
        let there = match self.0.remove(&number) {
            Some(changed) => changed,
            None => view.project(number)?.ok_or(StoreError::Corrupt("projects"))?,
        };
        self.0.insert(number, change(there));
        Ok(())
    }

    fn into_changes(self) -> impl Iterator<Item = Change> {
        self.0.into_values().map(Change::from)
    }
}

/// Deletes resources of an organization.
fn delete_again(
    view: &dyn View,
    now: UnixMillis,
    some: &[(OrganizationNumber, ResourceType, String)],
) -> Result<Write<()>, AppError> {
    let (number, ..) = some.first().ok_or(Conflict::NothingToDo)?;
    let (permit, subject) = of_organization(view, *number)?;
    let (mut deleted, mut ids) = (Vec::new(), Vec::new());
    for (_, kind, id) in some {
        let resource = view.resource(*kind, id)?.ok_or(StoreError::Corrupt("resources"))?;
        ids.push(format!("{}/{id}", kind.as_str()));
        deleted.push(resource.deleted(&permit, now));
    }
    let entry = AuditEntry::new(&permit, None, "restore.delete_resources", subject).after(&ids);
    Ok(Write::new(entry, ()).put_all(deleted))
}

/// Has budgets of an organization used up, as of then.
fn use_up(
    view: &dyn View,
    as_of: UnixMillis,
    some: &[(OrganizationNumber, BudgetScope)],
) -> Result<Write<()>, AppError> {
    let (number, _) = some.first().ok_or(Conflict::NothingToDo)?;
    let (permit, subject) = of_organization(view, *number)?;
    let (mut used_up, mut told) = (Vec::new(), Vec::new());
    for (_, scope) in some {
        used_up.push(budgets::used_up(view, *scope, as_of)?);
        told.push(match scope {
            BudgetScope::Organization(_) => "organization".to_owned(),
            BudgetScope::Project(number) => {
                let project = view.project(*number)?.ok_or(StoreError::Corrupt("projects"))?;
                format!("project/{}", project.id)
            }
            BudgetScope::Key(family) => format!("key/{family}"),
        });
    }
    let entry = AuditEntry::new(&permit, None, "restore.use_up_budgets", subject).after(&told);
    Ok(Write::new(entry, ()).put_all(used_up))
}

fn of_organization(
    view: &dyn View,
    number: OrganizationNumber,
) -> Result<(Permit, (&'static str, String)), AppError> {
    let organization = view.organization(number)?.ok_or(StoreError::Corrupt("organizations"))?;
    let subject = ("organization", organization.id.to_string());
    Ok((authorize_upkeep(Scope::Organization(number)), subject))
}

/// Ends sessions, of those that are there.
fn end_sessions(view: &dyn View, now: UnixMillis, digests: &[TokenDigest]) -> Result<Write<()>, AppError> {
    let permit = authorize_upkeep(Scope::Installation);
    let mut ended = Vec::new();
    for digest in digests {
        ended.extend(view.session(digest)?.map(|session| session.revoked(&permit, now)));
    }
    let ids: Vec<String> = ended.iter().map(|session| session.id.to_string()).collect();
    let entry = AuditEntry::new(&permit, None, "restore.end_sessions", whole()).after(&ids);
    Ok(Write::new(entry, ()).put_all(ended))
}

/// Calls back every open invitation of an organization and its offer of ownership: what became of them is not known.
fn withdraw(view: &dyn View, now: UnixMillis, number: OrganizationNumber) -> Result<Write<()>, AppError> {
    let organization = view.organization(number)?.ok_or(StoreError::Corrupt("organizations"))?;
    let permit = authorize_upkeep(Scope::Organization(number));
    let open = view.invitations_of(number)?.into_iter().filter(|one| one.is_open(now));
    let cancelled: Vec<Invitation> = open.filter_map(|one| one.cancelled(&permit, now).ok()).collect();
    let offer = view.ownership_offer(number)?.map(|_| Change::RemoveOwnershipOffer(number));
    let ids: Vec<String> = cancelled.iter().map(|one| one.id.to_string()).collect();
    let subject = ("organization", organization.id.to_string());
    let entry = AuditEntry::new(&permit, None, "restore.withdraw", subject).after(&ids);
    Ok(Write::new(entry, ()).put_all(cancelled).put_all(offer))
}

/// One that was revoked since the backup must not come back, and nobody knows which.
fn revoke_usage_tokens(view: &dyn View, now: UnixMillis) -> Result<Vec<Change>, AppError> {
    let permit = authorize_upkeep(Scope::Installation);
    let tokens = view.usage_tokens()?.into_iter().filter(|token| token.revoked_at.is_none());
    Ok(tokens.map(|token| token.revoked(&permit, now).into()).collect())
}

const fn whole() -> (&'static str, String) {
    ("installation", String::new())
}

/// The held things with these ids, each once.
fn named(view: &dyn View, organization: OrganizationNumber, ids: &[String]) -> Result<Vec<Held>, AppError> {
    if !(1..=CONFIRMED_MAX).contains(&ids.len()) {
        return Err(AppError::field("held", format!("1 to {CONFIRMED_MAX} ids")));
    }
    let mut held: Vec<Held> = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let wrong = || AppError::field(format!("held[{index}]"), "nothing with this id is held there");
        let place = parse_place(view, id)?.ok_or_else(wrong)?;
        let one = view.held(organization, place)?.ok_or_else(wrong)?;
        if !held.contains(&one) {
            held.push(one);
        }
    }
    Ok(held)
}

/// A held thing as it is shown.
///
/// # Errors
/// The store's.
pub fn shown(view: &dyn View, held: &Held) -> Result<api::HeldThing, StoreError> {
    let organization = view.organization(held.organization)?.ok_or(StoreError::Corrupt("organizations"))?;
    let project = |number| {
        let project = view.project(number)?.ok_or(StoreError::Corrupt("projects"))?;
        Ok::<_, StoreError>(project.id.to_string())
    };
    let id = match held.place() {
        HeldPlace::Key(id) => format!("key/{id}"),
        HeldPlace::Membership(user) => format!("membership/{user}"),
        HeldPlace::Collaboration(number, user) => format!("collaboration/{}/{user}", project(number)?),
        HeldPlace::Organization => "organization".to_owned(),
        HeldPlace::Project(number) => format!("project/{}", project(number)?),
        HeldPlace::Externals(number) => format!("externals/{}", project(number)?),
    };
    let why = match held.why {
        HeldReason::Absent => api::HeldReason::Absent,
        HeldReason::Refused => api::HeldReason::Refused,
        HeldReason::Less => api::HeldReason::Less,
        HeldReason::Unknown => api::HeldReason::Unknown,
    };
    Ok(api::HeldThing { id, organization: organization.id.to_string(), why, held_at: held.at.into() })
}

fn parse_place(view: &dyn View, id: &str) -> Result<Option<HeldPlace>, StoreError> {
    let mut parts = id.split('/');
    let (kind, first, second) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Ok(None);
    }
    let project = |id: &str| match ProjectId::parse(id) {
        Some(id) => Ok::<_, StoreError>(view.project_by_id(&id)?.map(|project| project.number)),
        None => Ok(None),
    };
    Ok(match (kind, first, second) {
        (Some("key"), Some(id), None) => KeyId::parse(id.as_bytes()).map(HeldPlace::Key),
        (Some("membership"), Some(user), None) => UserId::parse(user).map(HeldPlace::Membership),
        (Some("collaboration"), Some(id), Some(user)) => {
            project(id)?.zip(UserId::parse(user)).map(|(number, user)| HeldPlace::Collaboration(number, user))
        }
        (Some("organization"), None, None) => Some(HeldPlace::Organization),
        (Some("project"), Some(id), None) => project(id)?.map(HeldPlace::Project),
        (Some("externals"), Some(id), None) => project(id)?.map(HeldPlace::Externals),
        _ => None,
    })
}

fn parse_cursor(
    view: &dyn View,
    cursor: &str,
) -> Result<Option<(OrganizationNumber, HeldPlace)>, StoreError> {
    let Some((organization, id)) = cursor.split_once('/') else { return Ok(None) };
    let Some(organization) = OrganizationId::parse(organization) else { return Ok(None) };
    let Some(organization) = view.organization_by_id(&organization)? else { return Ok(None) };
    Ok(parse_place(view, id)?.map(|place| (organization.number, place)))
}
