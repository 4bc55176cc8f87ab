//! What a use case hands to the writer: a [`Write`], which cannot be made without its audit entry (invariant 3).

use super::audit::AuditEntry;
use super::error::StoreError;
use super::outbox::{Effect, Touch, Touched};
use super::rows::{Row, decode, encode};
use super::tables::{WriteTables, counter};
use crate::iam::{
    Collaboration, Key, Membership, OperatorToken, Organization, Project, Resource, Session, SlugHolder, User,
};
use latchkey_core::{Generation, Slug};
use redb::{AccessGuard, ReadableTable};

/// A decided change: its audit entry, the rows it puts, and the reply once they are durable.
#[derive(Debug)]
#[must_use = "nothing is written unless the store is handed this"]
pub struct Write<R> {
    pub(super) entry: AuditEntry,
    pub(super) changes: Vec<Change>,
    pub(super) reply: R,
}

impl<R> Write<R> {
    /// A write with its entry in the audit log.
    pub const fn new(entry: AuditEntry, reply: R) -> Self {
        Self { entry, changes: Vec::new(), reply }
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

/// A row to put: a new one, or the new state of an old one.
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

changes!(Organization Project User Membership Collaboration Session OperatorToken Key Resource);

impl Change {
    /// Puts the row and its index entries, and says what that touches at the edge.
    ///
    /// # Errors
    /// [`StoreError::Clash`] if it would take what belongs to another row for ever.
    pub(super) fn apply(&self, tables: &mut WriteTables) -> Result<Option<Touch>, StoreError> {
        match self {
            Self::Organization(organization) => put_organization(tables, organization).map(Some),
            Self::Project(project) => put_project(tables, project).map(Some),
            Self::Slug(slug, holder) => put_slug(tables, slug, holder).map(|()| None),
            Self::User(user) => put_user(tables, user).map(|()| None),
            Self::Membership(membership) => put_membership(tables, membership).map(Some),
            Self::Collaboration(collaboration) => put_collaboration(tables, collaboration).map(Some),
            Self::Session(session) => put_session(tables, session).map(|()| None),
            Self::OperatorToken(token) => put_operator_token(tables, token).map(|()| None),
            Self::Key(key) => put_key(tables, key).map(Some),
            Self::Resource(resource) => put_resource(tables, resource).map(Some),
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
    let refuses = before.is_some_and(|before| before.allows_external && !now.allows_external);
    Ok(touch(Touched::Project(now.number), refuses))
}

fn put_slug(tables: &mut WriteTables, slug: &Slug, now: &SlugHolder) -> Result<(), StoreError> {
    let before: Option<SlugHolder> = replaced(tables.slugs.insert(slug.as_str(), encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.organization == now.organization), "slugs")
}

fn put_user(tables: &mut WriteTables, now: &User) -> Result<(), StoreError> {
    let before: Option<User> = replaced(tables.users.insert(now.id.body(), encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.email == now.email), "users")?;
    let holder = tables.user_emails.insert(now.email.as_str(), now.id.body())?.map(|id| *id.value());
    same(holder.is_none_or(|holder| holder == *now.id.body()), "user_emails")
}

fn put_membership(tables: &mut WriteTables, now: &Membership) -> Result<Touch, StoreError> {
    let place = (now.organization.0, now.user.body());
    let before: Option<Membership> = replaced(tables.memberships.insert(place, encode(now)?.as_slice())?)?;
    tables.user_memberships.insert((now.user.body(), now.organization.0), ())?;
    let refuses = before.is_some_and(|before| before.role > now.role);
    Ok(touch(Touched::Organization(now.organization), refuses))
}

fn put_collaboration(tables: &mut WriteTables, now: &Collaboration) -> Result<Touch, StoreError> {
    let place = (now.project.0, now.user.body());
    let before: Option<Collaboration> =
        replaced(tables.collaborations.insert(place, encode(now)?.as_slice())?)?;
    tables.user_collaborations.insert((now.user.body(), now.project.0), ())?;
    let refuses = before.is_some_and(|before| before.role > now.role);
    Ok(touch(Touched::Project(now.project), refuses))
}

fn put_session(tables: &mut WriteTables, now: &Session) -> Result<(), StoreError> {
    let before: Option<Session> = replaced(tables.sessions.insert(&now.digest.0, encode(now)?.as_slice())?)?;
    same(before.is_none_or(|before| before.id == now.id && before.user == now.user), "sessions")?;
    let place = (now.user.body(), now.id.body());
    let digest = tables.user_sessions.insert(place, &now.digest.0)?.map(|digest| *digest.value());
    same(digest.is_none_or(|digest| digest == now.digest.0), "user_sessions")
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
            let is_same = before.digest == now.digest
                && before.project == now.project
                && before.created_at == now.created_at
                && (before.revoked_at.is_none() || before.revoked_at == now.revoked_at);
            same(is_same, "keys")?;
            now.refuses_more_than(before)
        }
        None => {
            tables.project_keys.insert((now.project.0, now.created_at.0, now.id.number()), ())?;
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
