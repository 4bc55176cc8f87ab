//! Organizations: create, list, read, suspend, resume.

use super::ask::Ask;
use super::error::AppError;
use super::{fields, pages, people, projects, render};
use crate::iam::{Caller, Demand, Denied, Membership, Name, OperatorAct, Organization, Scope, Settings};
use crate::store::{StoreError, Write};
use latchkey_api as api;
use latchkey_api::organization::CreatedOrganization;
use latchkey_core::{Dice, OrganizationId, Permission, Role, UserId};

/// Creates an organization with its owner and its Default Project (O2, O3, M4). An operator's act.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    body: &api::CreateOrganization,
) -> Result<Write<CreatedOrganization>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Organizations))?;
    let name = fields::name("name", &body.name)?;
    let email = fields::email("owner_email", &body.owner_email)?;
    let owner = people::by_email(ask, dice, &email)?;
    let organization = Organization {
        number: ask.view.next_organization()?,
        id: OrganizationId::generate(dice),
        name,
        owner: owner.user,
        created_at: ask.now,
        suspended_at: None,
        settings: Settings::default(),
        imports_keys: false,
    };
    let made = projects::make_default(ask, dice, &organization, owner.identity)?;
    let shown = CreatedOrganization {
        organization: render::organization(&organization),
        default_project: render::project(&made.project, &organization, None),
    };
    let entry = ask
        .entry(&permit, "organizations.create", ("organization", organization.id.to_string()))
        .after(&api::audit::FoundedOrganization { created: &shown, owner_email: email.as_str() })
        .within(Scope::Organization(organization.number));
    let membership = Membership {
        organization: organization.number,
        user: owner.user,
        role: Role::Admin,
        identity: owner.identity,
        joined_at: ask.now,
    };
    Ok(Write::new(entry, shown)
        .put_all(owner.newcomer)
        .put(organization)
        .put(membership)
        .put_all(made.changes()))
}

/// The organizations: all for an operator, their own for a person.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask, query: &api::PageQuery) -> Result<api::Page<api::Organization>, AppError> {
    let limit = pages::limit(query)?;
    let after = pages::after(query, OrganizationId::parse)?;
    let items = match &ask.caller {
        Caller::Operator { .. } => all(ask, after, limit + 1)?,
        Caller::Session { user, .. } => own(ask, user, after, limit + 1)?,
        Caller::Key(_) | Caller::Reporter(_) => return Err(AppError::Denied(Denied::Forbidden("me"))),
    };
    Ok(pages::page(items, limit, |item| item.id.to_string(), |item| render::organization(&item)))
}

fn all(ask: &Ask, after: Option<OrganizationId>, limit: usize) -> Result<Vec<Organization>, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Organizations))?;
    let number = |id| Ok::<_, AppError>(ask.view.organization_by_id(&id)?.ok_or(pages::NO_CURSOR)?.number);
    Ok(ask.view.organizations(after.map(number).transpose()?, limit)?)
}

fn own(
    ask: &Ask,
    user: &UserId,
    after: Option<OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, AppError> {
    ask.permit(Demand::Own)?;
    let memberships = ask.view.memberships_of(user)?;
    let own = memberships.iter().filter(|one| Some(&one.identity) == ask.caller.identity());
    let own = own.map(|one| organization_of(ask, one)).collect::<Result<Vec<_>, _>>()?;
    let first = match after {
        Some(id) => 1 + own.iter().position(|one| one.id == id).ok_or(pages::NO_CURSOR)?,
        None => 0,
    };
    Ok(own.into_iter().skip(first).take(limit).collect())
}

/// One organization.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, id: &str) -> Result<api::Organization, AppError> {
    let place = ask.organization(id)?;
    place.permit(ask, Permission::OrgSettingsRead)?;
    Ok(render::organization(&place.organization))
}

/// Gives it another name.
///
/// # Errors
/// [`AppError`].
pub fn change(
    ask: &Ask,
    id: &str,
    body: &api::ChangeOrganization,
) -> Result<Write<api::Organization>, AppError> {
    let place = ask.organization(id)?;
    let permit = place.permit(ask, Permission::OrgSettingsWrite)?;
    let name = fields::name("name", &body.name)?;
    let now = place.organization.clone().renamed(&permit, name);
    let entry = ask.entry(&permit, "organizations.change", ("organization", now.id.to_string()));
    Ok(changed(entry, &place.organization, now))
}

/// Suspends it: every key, session and membership of it is refused (O6).
///
/// # Errors
/// [`AppError`].
pub fn suspend(ask: &Ask, id: &str) -> Result<Write<api::Organization>, AppError> {
    let place = ask.organization(id)?;
    let permit = place.permit_operator(ask, OperatorAct::Suspension)?;
    let now = place.organization.clone().suspended(&permit, ask.now);
    let entry = ask.entry(&permit, "organizations.suspend", ("organization", now.id.to_string()));
    Ok(changed(entry, &place.organization, now))
}

/// Resumes it: what was refused comes back (O6).
///
/// # Errors
/// [`AppError`].
pub fn resume(ask: &Ask, id: &str) -> Result<Write<api::Organization>, AppError> {
    let place = ask.organization(id)?;
    let permit = place.permit_operator(ask, OperatorAct::Suspension)?;
    let now = place.organization.clone().resumed(&permit);
    let entry = ask.entry(&permit, "organizations.resume", ("organization", now.id.to_string()));
    Ok(changed(entry, &place.organization, now))
}

fn changed(
    entry: crate::store::AuditEntry,
    before: &Organization,
    now: Organization,
) -> Write<api::Organization> {
    let shown = render::organization(&now);
    Write::new(entry.before(&render::organization(before)).after(&shown), shown).put(now)
}

fn organization_of(ask: &Ask, membership: &Membership) -> Result<Organization, AppError> {
    let organization = ask.view.organization(membership.organization)?;
    Ok(organization.ok_or(StoreError::Corrupt("organizations"))?)
}

/// The name of every Default Project.
pub(super) fn default_project_name() -> Result<Name, AppError> {
    fields::name("name", "Default Project")
}
