//! Explain: which rule decides, for a caller and an action. What can be asked about others follows what the asker
//! may read anyway.

use super::ask::{Ask, InOrganization, InProject};
use super::error::AppError;
use crate::iam::explain::{Exhausted, Request, Step, of_key, of_standing};
use crate::iam::{BudgetScope, Caller, Denied, Key, Standing};
use crate::store::StoreError;
use latchkey_api as api;
use latchkey_core::{KeyId, ModelName, OrganizationNumber, Permission, ProjectNumber, ResourceId, UserId};
use std::net::IpAddr;

/// Explains one case.
///
/// # Errors
/// [`AppError`].
pub fn explain(ask: &Ask, body: &api::Explain) -> Result<api::Explanation, AppError> {
    let permission = Permission::from_word(&body.permission);
    let permission =
        permission.ok_or_else(|| AppError::field("permission", "there is no such permission"))?;
    let steps = match (&body.caller, &ask.caller) {
        (Some(api::ExplainCaller::Key(id)), _) => {
            let id = KeyId::parse(id.as_bytes()).ok_or(AppError::NOT_FOUND)?;
            let key = ask.view.key(id)?.ok_or(AppError::NOT_FOUND)?;
            let place = ask.project_numbered(key.project)?;
            place.permit(ask, Permission::KeysRead)?;
            for_key(ask, &key, &place, permission, body)?
        }
        (None, Caller::Key(id)) => {
            let key = ask.view.key(*id)?.ok_or(StoreError::Corrupt("keys"))?;
            for_key(ask, &key, &ask.project_numbered(key.project)?, permission, body)?
        }
        (Some(api::ExplainCaller::User(id)), _) => {
            let user = UserId::parse(id).ok_or(AppError::NOT_FOUND)?;
            for_other(ask, &user, permission, body)?
        }
        (None, Caller::Session { .. }) => for_self(ask, permission, body)?,
        (None, _) => return Err(AppError::Denied(Denied::Forbidden("me"))),
    };
    let refused = steps.iter().find(|step| !step.holds);
    Ok(api::Explanation {
        allowed: refused.is_none(),
        rule: refused.map(|step| step.rule.to_owned()),
        steps: steps.iter().map(shown).collect(),
    })
}

fn shown(step: &Step) -> api::ExplainStep {
    api::ExplainStep { rule: step.rule.to_owned(), asks: step.asks.to_owned(), holds: step.holds }
}

fn for_key(
    ask: &Ask,
    key: &Key,
    place: &InProject,
    permission: Permission,
    body: &api::Explain,
) -> Result<Vec<Step>, AppError> {
    let number = place.project.number;
    let resource = match &body.resource {
        Some(one) => {
            ResourceId::parse(&one.id).map_err(|error| AppError::field("resource.id", error))?;
            let kind = one.kind.into();
            let held = ask.view.resource(kind, &one.id)?;
            let exists = held.is_some_and(|held| held.project == number && held.deleted_at.is_none());
            Some((kind, one.id.as_str(), exists))
        }
        None => None,
    };
    if let Some(model) = &body.model {
        ModelName::parse(model).map_err(|error| AppError::field("model", error))?;
    }
    let address = body.address.as_ref().map(|text| text.parse::<IpAddr>());
    let address = address.transpose().map_err(|_| AppError::field("address", "not an IP address"))?;
    let request = Request { permission, resource, model: body.model.as_deref(), address };
    let exhausted = exhausted(ask, place.organization.number, Some(number), Some(key))?;
    let mut steps = of_key(key, (&place.organization, &place.project), &request, exhausted, ask.now);
    if !is_own_place(place, body) {
        // Of another project a key is told nothing, not even whether there is one: no more is looked at.
        let own = Step { rule: "K4", asks: "it is in the key's own project", holds: false };
        steps.truncate(STATE_STEPS);
        steps.push(own);
    }
    Ok(steps)
}

/// Whether what the question names is the key's own project and organization, or nothing.
fn is_own_place(place: &InProject, body: &api::Explain) -> bool {
    let project = body.project.as_ref();
    let named = |text: &String| *text == place.project.id.to_string() || text == place.project.slug.as_str();
    let organization = body.organization.as_ref();
    project.is_none_or(named) && organization.is_none_or(|text| *text == place.organization.id.to_string())
}

fn for_self(ask: &Ask, permission: Permission, body: &api::Explain) -> Result<Vec<Step>, AppError> {
    match where_asked(body)? {
        Place::Organization(id) => {
            let place = ask.organization(id)?;
            let standing = Standing::Organization(&place.organization, place.membership.as_ref());
            if !standing.is_known() {
                return Err(AppError::NOT_FOUND);
            }
            Ok(of_standing(&standing, permission, Exhausted::default()))
        }
        Place::Project(id) => {
            let place = ask.project(id)?;
            if !place.is_known_to(&ask.caller) {
                return Err(AppError::NOT_FOUND);
            }
            let exhausted = exhausted(ask, place.organization.number, Some(place.project.number), None)?;
            Ok(of_standing(&place.standing(), permission, exhausted))
        }
    }
}

/// Another person's case: for whoever may read the members, or the collaborators.
fn for_other(
    ask: &Ask,
    user: &UserId,
    permission: Permission,
    body: &api::Explain,
) -> Result<Vec<Step>, AppError> {
    match where_asked(body)? {
        Place::Organization(id) => {
            let InOrganization { organization, .. } = {
                let place = ask.organization(id)?;
                place.permit(ask, Permission::OrgMembersRead)?;
                place
            };
            let membership = ask.view.membership(organization.number, user)?;
            let standing = Standing::Organization(&organization, membership.as_ref());
            Ok(of_standing(&standing, permission, Exhausted::default()))
        }
        Place::Project(id) => {
            let place = ask.project(id)?;
            place.permit(ask, Permission::CollaboratorsRead)?;
            let InProject { organization, project, .. } = place;
            let membership = ask.view.membership(organization.number, user)?;
            let collaboration = ask.view.collaboration(project.number, user)?;
            let running = |end: latchkey_core::ExpiryMinute| !end.has_passed(ask.now);
            let collaboration = collaboration.filter(|one| one.ends_at.is_none_or(running));
            let standing = Standing::Project {
                organization: &organization,
                project: &project,
                membership: membership.as_ref(),
                collaboration: collaboration.as_ref(),
            };
            let exhausted = exhausted(ask, organization.number, Some(project.number), None)?;
            Ok(of_standing(&standing, permission, exhausted))
        }
    }
}

enum Place<'a> {
    Organization(&'a str),
    Project(&'a str),
}

fn where_asked(body: &api::Explain) -> Result<Place<'_>, AppError> {
    match (&body.organization, &body.project) {
        (Some(id), None) => Ok(Place::Organization(id)),
        (None, Some(id)) => Ok(Place::Project(id)),
        (None, None) => Err(AppError::field("project", "`project` or `organization` is needed")),
        (Some(_), Some(_)) => Err(AppError::field("organization", "`project` alone says which one")),
    }
}

fn exhausted(
    ask: &Ask,
    organization: OrganizationNumber,
    project: Option<ProjectNumber>,
    key: Option<&Key>,
) -> Result<Exhausted, AppError> {
    let is_out = |scope| Ok::<_, AppError>(ask.view.budget(scope)?.is_some_and(|one| one.is_exhausted()));
    Ok(Exhausted {
        organization: is_out(BudgetScope::Organization(organization))?,
        project: project.map_or(Ok(false), |number| is_out(BudgetScope::Project(number)))?,
        key: key.map_or(Ok(false), |key| is_out(BudgetScope::of_key(key)))?,
    })
}

/// The first steps are about the key itself, wherever it is used.
const STATE_STEPS: usize = 5;
