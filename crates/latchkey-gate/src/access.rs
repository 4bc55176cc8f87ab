//! What a route says of a request: which project and resource it names, and whether the caller may know of them and
//! use them there.
//!
//! Whoever may not know of a project is told nothing, not even by how long it takes: a project that there is not costs
//! the same look-ups and the same fetches as one that the caller is no collaborator of (R2).

use crate::clock::Urge;
use crate::gate::{Gate, Serving, Sight};
use crate::judge::{Case, Decided, Halt, absent, refuse};
use crate::prove::ProvenKey;
use crate::query;
use crate::request::{Body, Header, Request};
use crate::route::Route;
use crate::verdict::{Absent, Ask, Narrowed, ProjectHeader, Refusal, Unnamed};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use latchkey_core::{
    IdentityId, ModelName, OrganizationNumber, Permission, PermissionSet, ProjectId, ProjectNumber,
    ResourceId, Role, Slug,
};
use latchkey_snapshot::{Binding, Entry, Narrowing, Query, Source};

impl Gate {
    /// The rule of a request's host, method and path.
    pub(crate) fn find_route<'r>(serving: &'r Serving, request: &Request<'r>) -> Decided<Route<'r, 'r>> {
        let path = serving.routes.path(request.path);
        let path = path.map_err(|error| Halt::Refuse(Refusal::BadRequest(error)))?;
        serving.routes.find(request.host, request.method, path).ok_or(absent(Absent::Route))
    }

    /// K4: a key of one project is told nothing of any other, not even whether there is one.
    pub(crate) fn check_own_project(
        &self,
        serving: &Serving,
        route: &Route<'_, '_>,
        own: ProjectNumber,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        if let Some(text) = project_in_route(route, case)? {
            self.check_same_project(serving, &text, own, case)?;
        }
        if let Some(text) = project_in_header(case)? {
            self.check_same_project(serving, text, own, case)?;
        }
        Ok(())
    }

    fn check_same_project(
        &self,
        serving: &Serving,
        text: &str,
        own: ProjectNumber,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        match self.project_named(serving, text, case)? {
            (_, Some(entry)) if entry.binding.project == own => Ok(()),
            _ => {
                self.catch_up(Urge::Forced, case)?;
                Err(absent(Absent::Project))
            }
        }
    }

    /// S2: the token says who, the request says in which project, and the snapshot says as what.
    pub(crate) fn check_collaborator(
        &self,
        serving: &Serving,
        route: &Route<'_, '_>,
        identity: &IdentityId,
        case: &mut Case<'_>,
    ) -> Decided<Binding> {
        let header = project_in_header(case)?;
        let (text, again) = match project_in_route(route, case)? {
            Some(text) => (text, header),
            None => match header {
                Some(text) => (Cow::Borrowed(text), None),
                None => return refuse(Refusal::ProjectHeader(ProjectHeader::Missing)),
            },
        };
        let (query, named) = self.project_named(serving, &text, case)?;
        let mut known = named.is_some();
        if let Some(again) = again {
            let (_, entry) = self.project_named(serving, again, case)?;
            known &= entry.map(|entry| entry.binding.project) == named.map(|entry| entry.binding.project);
        }
        let (project, organization) = match &named {
            Some(entry) => (entry.binding.project, entry.binding.organization),
            None => stand_in(&query),
        };
        let role = self.role_of(serving, identity, project, organization, case)?;
        match role.filter(|_| known) {
            Some((role, permissions)) => Ok(Binding { project, organization, role: Some(role), permissions }),
            None => {
                self.catch_up(Urge::Forced, case)?;
                Err(absent(Absent::Project))
            }
        }
    }

    /// The role of an identity in a project and what it may do there, if it is a collaborator: by a collaboration
    /// that counts together with a membership in the organization, or as an external's (X1). An admin of the
    /// organization who is a collaborator counts as admin (J5).
    fn role_of(
        &self,
        serving: &Serving,
        identity: &IdentityId,
        project: ProjectNumber,
        organization: OrganizationNumber,
        case: &mut Case<'_>,
    ) -> Decided<Option<(Role, PermissionSet)>> {
        let pepper = self.pepper(serving)?;
        let records = &serving.shelves.records;
        let collaboration = Query::collaboration(pepper, identity, project);
        let membership = Query::membership(pepper, identity, organization);
        let found = [(&records.collaborations, collaboration), (&records.memberships, membership)]
            .map(|(shelf, query)| (serving.look(shelf, &query), query.tag));
        let missing: Vec<_> = found
            .iter()
            .filter_map(|(sight, _)| match sight {
                Sight::Missing(missing) => Some(*missing),
                Sight::Found(..) | Sight::Absent => None,
            })
            .collect();
        if !missing.is_empty() {
            return Err(self.fetch(&missing, &self.quotas.named, case));
        }
        // What was revoked inline, or by a delta that does not serve, counts as absent.
        let [collaboration, membership] = found.map(|(sight, tag)| match sight {
            Sight::Found(_, entry) if !self.overlay.names(&tag) => Some(entry),
            _ => None,
        });
        let Some(collaboration) = collaboration.filter(|entry| !entry.has_expired(case.now)) else {
            return Ok(None);
        };
        let is_open = !serving.exceptions.closes_to_externals(project);
        Ok(match membership.map(|entry| entry.binding.role) {
            Some(Some(Role::Admin)) => Some((Role::Admin, PermissionSet::of_project(Role::Admin))),
            Some(_) => collaboration.binding.role.map(|role| (role, PermissionSet::of_project(role))),
            None if collaboration.is_external && is_open => {
                collaboration.binding.role.map(|role| (role, of_external(role)))
            }
            None => None,
        })
    }

    /// What a text says of a project, and the look-up that was made.
    fn project_named(
        &self,
        serving: &Serving,
        text: &str,
        case: &mut Case<'_>,
    ) -> Decided<(Query, Option<Entry>)> {
        if ProjectId::parse(text).is_none() && Slug::parse(text).is_err() {
            return Err(absent(Absent::Project));
        }
        let query = Query::project_reference(self.pepper(serving)?, text);
        let entry = self.look(serving, &serving.shelves.records.references, &query, case)?;
        Ok((query, entry))
    }

    /// Whether the resource that the route names is one of the project.
    pub(crate) fn check_resource(
        &self,
        serving: &Serving,
        route: &Route<'_, '_>,
        project: ProjectNumber,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let Some(source) = &route.rule.resource else { return Ok(()) };
        let text = match (named(route, &source.source, case)?, &source.source) {
            (Some(text), _) => text,
            (None, Source::Path(_)) => return Err(absent(Absent::Resource)),
            (None, _) => return refuse(Refusal::Unnamed(Unnamed::Resource)),
        };
        let id = ResourceId::parse(&text).map_err(|_| absent(Absent::Resource))?;
        let query = Query::resource(self.pepper(serving)?, project, source.resource, id);
        let found = self.look_up(serving, &serving.shelves.records.resources, &query, case)?;
        found.map(drop).ok_or(absent(Absent::Resource))
    }

    /// K7: whatever a key is narrowed to, besides its permissions.
    pub(crate) fn check_narrowing(
        &self,
        key: &ProvenKey<'_>,
        route: &Route<'_, '_>,
        case: &mut Case<'_>,
    ) -> Decided<()> {
        let Some(narrowing) = key.page.narrowing(&key.entry) else { return Ok(()) };
        if !allows_resource(&narrowing, route, case)? {
            return refuse(Refusal::Narrowed(Narrowed::Resource));
        }
        self.check_network(key, case)?;
        check_model(&narrowing, route, case)
    }

    /// Whether the client is where the key may be used. One whose address is not known is nowhere.
    pub(crate) fn check_network(&self, key: &ProvenKey<'_>, case: &Case<'_>) -> Decided<()> {
        let Some(narrowing) = key.page.narrowing(&key.entry) else { return Ok(()) };
        let allowed = match case.request.client {
            Some(client) => narrowing.allows_address(client),
            None => !narrowing.narrows_networks(),
        };
        if allowed { Ok(()) } else { refuse(Refusal::NetworkNotAllowed) }
    }
}

/// What the request names the project by, where the rule says that it does.
fn project_in_route<'p>(route: &Route<'_, 'p>, case: &Case<'p>) -> Decided<Option<Cow<'p, str>>> {
    let Some(source) = &route.rule.project else { return Ok(None) };
    match (named(route, source, case)?, source) {
        (Some(text), _) => Ok(Some(text)),
        (None, Source::Path(_) | Source::Host(_)) => Err(absent(Absent::Project)),
        (None, _) => refuse(Refusal::Unnamed(Unnamed::Project)),
    }
}

/// What stands in a request where a rule looks for something; `None` if it is not there just once.
fn named<'p>(route: &Route<'_, 'p>, source: &Source, case: &Case<'p>) -> Decided<Option<Cow<'p, str>>> {
    Ok(match source {
        Source::Path(name) => route.parameter(name),
        Source::Host(_) => route.label().map(Cow::Owned),
        Source::Header(name) => case.request.headers.one(name).map(Cow::Owned),
        Source::Query(name) => {
            let value = query::value(case.request.query, name);
            value.map_err(|query::Ambiguous| Halt::Refuse(Refusal::Unnamed(Unnamed::Query)))?.map(Cow::Owned)
        }
        Source::Body(_) => match case.request.body {
            Body::Says(text) => Some(Cow::Borrowed(text)),
            Body::Unread | Body::Silent => None,
        },
    })
}

/// What the header names the project by, if there is one.
fn project_in_header<'a>(case: &Case<'a>) -> Decided<Option<&'a str>> {
    match case.request.project {
        Header::None => Ok(None),
        Header::One(value) => core::str::from_utf8(value).map(Some).map_err(|_| absent(Absent::Project)),
        Header::Many => refuse(Refusal::ProjectHeader(ProjectHeader::Several)),
    }
}

/// Numbers of a project that nobody has under this name, so that looking for its collaborators costs as much as for
/// one that there is.
fn stand_in(query: &Query) -> (ProjectNumber, OrganizationNumber) {
    let [a, b, c, d, e, f, g, h, ..] = query.tag;
    (ProjectNumber(u32::from_le_bytes([a, b, c, d])), OrganizationNumber(u32::from_le_bytes([e, f, g, h])))
}

/// X3: an external project admin has all of P2 but the switch.
const fn of_external(role: Role) -> PermissionSet {
    PermissionSet::of_project(role).without(Permission::ProjectExternalWrite)
}

/// A key that is narrowed to some resources does nothing to resources that the route does not name: it would reach
/// beyond them.
fn allows_resource(narrowing: &Narrowing<'_>, route: &Route<'_, '_>, case: &Case<'_>) -> Decided<bool> {
    if !narrowing.narrows_resources() {
        return Ok(true);
    }
    let Some(resource) = &route.rule.resource else {
        return Ok(route.rule.permission().is_none_or(|permission| permission.resource_type().is_none()));
    };
    let id = named(route, &resource.source, case)?;
    Ok(id.is_some_and(|id| narrowing.allows_resource(resource.resource, &id)))
}

/// A key that is narrowed to some models uses none that it is not seen to use. The body is looked at last, and only for
/// such a key.
fn check_model(narrowing: &Narrowing<'_>, route: &Route<'_, '_>, case: &mut Case<'_>) -> Decided<()> {
    if !narrowing.narrows_models() {
        return Ok(());
    }
    let Some(source) = &route.rule.model else {
        let bears = route.rule.permission().is_some_and(Permission::bears_model);
        return if bears { refuse(Refusal::Narrowed(Narrowed::Model)) } else { Ok(()) };
    };
    if let Source::Body(field) = source {
        match case.request.body {
            Body::Unread if !core::mem::replace(&mut case.attempt.has_asked_body, true) => {
                return Err(Halt::Ask(Ask::Body(field.clone())));
            }
            Body::Unread | Body::Silent => return refuse(Refusal::Narrowed(Narrowed::ModelUnseen)),
            Body::Says(_) => {}
        }
    }
    let name = named(route, source, case)?;
    let is_allowed =
        name.is_some_and(|name| ModelName::parse(&name).is_ok() && narrowing.allows_model(&name));
    if is_allowed { Ok(()) } else { refuse(Refusal::Narrowed(Narrowed::Model)) }
}
