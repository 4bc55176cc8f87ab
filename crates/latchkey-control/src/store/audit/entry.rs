//! What an entry says: who did what to what, where, when, from where, and how it was before and after.

use super::index::Terms;
use crate::iam::{Actor, Organization, Permit, Project, Scope};
use crate::store::error::StoreError;
use crate::store::tables::Tables;
use crate::store::view::row;
use latchkey_core::{Generation, OrganizationNumber, ProjectNumber, UnixMillis};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::net::IpAddr;

/// Who did what to what, from where, and how it was before and after. It takes a [`Permit`] to make one.
#[derive(Debug)]
pub struct AuditEntry {
    actor: Actor,
    scope: Scope,
    what: &'static str,
    from: Option<IpAddr>,
    kind: &'static str,
    id: String,
    before: Image,
    after: Image,
}

/// A state as JSON: none, or what came of serializing it.
type Image = Option<Result<Box<RawValue>, StoreError>>;

impl AuditEntry {
    /// An entry: `permit` says who and where, `what` is the verb, `kind` and `id` name the thing.
    pub fn new(
        permit: &Permit,
        from: Option<IpAddr>,
        what: &'static str,
        (kind, id): (&'static str, String),
    ) -> Self {
        let (actor, scope) = (permit.actor(), permit.scope());
        Self { actor, scope, what, from, kind, id, before: None, after: None }
    }

    /// How the thing was, without secrets. Of many things: a list.
    #[must_use]
    pub fn before(self, state: &(impl Serialize + ?Sized)) -> Self {
        Self { before: Some(image(state)), ..self }
    }

    /// How the thing is now, without secrets. Of many things: a list.
    #[must_use]
    pub fn after(self, state: &(impl Serialize + ?Sized)) -> Self {
        Self { after: Some(image(state)), ..self }
    }

    /// How the thing was, as JSON.
    pub(in crate::store) fn state_before(&self) -> Option<&str> {
        Some(self.before.as_ref()?.as_ref().ok()?.get())
    }

    /// Files the entry elsewhere than where the permit is from: what an operator does to an organization
    /// belongs into that organization's log.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The entry as JSON; `number` is its own in its organization's log.
    pub(super) fn to_json(
        &self,
        tables: &impl Tables,
        generation: Generation,
        number: Option<u64>,
        at: UnixMillis,
    ) -> Result<Vec<u8>, StoreError> {
        let (organization, project) = self.place();
        let organization = organization.map(|number| organization_id(tables, number)).transpose()?;
        let project = project.map(|number| project_id(tables, number)).transpose()?;
        let image = EntryImage {
            version: 1,
            generation: generation.0,
            at_ms: at.0,
            who: who(self.actor),
            what: self.what,
            from: self.from,
            organization,
            number,
            project,
            subject: Subject { kind: self.kind.into(), id: self.id.as_str().into() },
            before: state(&self.before)?,
            after: state(&self.after)?,
        };
        serde_json::to_vec(&image).map_err(|_| StoreError::Corrupt("audit"))
    }

    /// What the entry can be found by.
    pub(super) fn terms(&self, at: UnixMillis) -> Terms {
        let (organization, project) = self.place();
        let facts = EntryFacts {
            who: who(self.actor),
            what: self.what.into(),
            subject: Subject { kind: self.kind.into(), id: self.id.as_str().into() },
        };
        Terms::new(organization, project, at, &facts)
    }

    pub(super) const fn place(&self) -> (Option<OrganizationNumber>, Option<ProjectNumber>) {
        match self.scope {
            Scope::Installation => (None, None),
            Scope::Organization(organization) => (Some(organization), None),
            Scope::Project(organization, project) => (Some(organization), Some(project)),
        }
    }
}

/// What of an entry can be searched for, read back from its JSON.
#[derive(Debug, Deserialize)]
pub(super) struct EntryFacts<'a> {
    #[serde(borrow)]
    pub(super) who: Who<'a>,
    #[serde(borrow)]
    pub(super) what: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) subject: Subject<'a>,
}

/// Who did it: an account, a key or an operator by id, the installation or the reporter by their kind alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Who<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session: Option<Cow<'a, str>>,
}

impl Who<'_> {
    /// The word by which a search names them.
    pub(super) fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.kind)
    }
}

/// What it was done to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Subject<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

#[derive(Serialize)]
struct EntryImage<'a> {
    #[serde(rename = "v")]
    version: u8,
    generation: u64,
    at_ms: u64,
    who: Who<'a>,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    subject: Subject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
}

fn organization_id(tables: &impl Tables, number: OrganizationNumber) -> Result<String, StoreError> {
    let organization: Option<Organization> = row(tables.organizations().get(number.0)?)?;
    Ok(organization.ok_or(StoreError::Corrupt("organizations"))?.id.to_string())
}

fn project_id(tables: &impl Tables, number: ProjectNumber) -> Result<String, StoreError> {
    let project: Option<Project> = row(tables.projects().get(number.0)?)?;
    Ok(project.ok_or(StoreError::Corrupt("projects"))?.id.to_string())
}

fn who(actor: Actor) -> Who<'static> {
    let (kind, id, session) = match actor {
        Actor::Installation => ("installation", None, None),
        Actor::Operator(token) => ("operator", Some(format!("operator_{token}")), None),
        Actor::User(user, session) => ("user", Some(user.to_string()), Some(session.to_string())),
        Actor::Service(user, session) => ("service", Some(user.to_string()), Some(session.to_string())),
        Actor::Key(key) => ("key", Some(key.to_string()), None),
        Actor::Reporter => ("reporter", None, None),
    };
    Who { kind: kind.into(), id: id.map(Cow::Owned), session: session.map(Cow::Owned) }
}

fn image(state: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, StoreError> {
    to_raw_value(state).map_err(|_| StoreError::Corrupt("audit"))
}

fn state(image: &Image) -> Result<Option<&RawValue>, StoreError> {
    match image {
        None => Ok(None),
        Some(Ok(state)) => Ok(Some(state)),
        Some(Err(error)) => Err(error.clone()),
    }
}
