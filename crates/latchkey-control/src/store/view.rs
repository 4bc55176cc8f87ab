//! Typed reads, noun by noun: all that a use case sees of the store.
//!
//! The same reads work on the committed state and, inside the writer, on the state as earlier changes of the
//! same batch left it. A list takes the last item the caller has (`after`) and how many more are wanted.

use super::error::StoreError;
use super::rows::{Row, decode};
use super::tables::{Tables, counter};
use crate::iam::{
    Collaboration, Email, Key, Membership, OperatorToken, Organization, Project, Resource, Session,
    SlugHolder, TokenDigest, User,
};
use latchkey_core::{
    Generation, KeyId, OrganizationId, OrganizationNumber, ProjectId, ProjectNumber, ResourceType, SessionId,
    Slug, UnixMillis, UserId,
};
use redb::{AccessGuard, ReadableTable};
use std::ops::Bound;

/// What a read may answer.
pub type Answer<T> = Result<T, StoreError>;

/// Where a key stands in the list of its project.
pub type KeyPlace = (UnixMillis, KeyId);

/// The reads that use cases are made of.
#[expect(missing_docs, reason = "each name and type says it all; what is not obvious is documented")]
pub trait View {
    /// The generation that this view stands at.
    fn generation(&self) -> Answer<Generation>;

    fn organization(&self, number: OrganizationNumber) -> Answer<Option<Organization>>;
    fn organization_by_id(&self, id: &OrganizationId) -> Answer<Option<Organization>>;
    /// The organizations, in the order of their creation.
    fn organizations(&self, after: Option<OrganizationNumber>, limit: usize) -> Answer<Vec<Organization>>;
    /// The number that the next organization gets.
    fn next_organization(&self) -> Answer<OrganizationNumber>;

    fn project(&self, number: ProjectNumber) -> Answer<Option<Project>>;
    fn project_by_id(&self, id: &ProjectId) -> Answer<Option<Project>>;
    fn slug(&self, slug: &Slug) -> Answer<Option<SlugHolder>>;
    /// The projects of an organization, in the order of their creation.
    fn projects_of(
        &self,
        organization: OrganizationNumber,
        after: Option<ProjectNumber>,
        limit: usize,
    ) -> Answer<Vec<Project>>;
    /// The number that the next project gets.
    fn next_project(&self) -> Answer<ProjectNumber>;

    fn user(&self, id: &UserId) -> Answer<Option<User>>;
    fn user_by_email(&self, email: &Email) -> Answer<Option<User>>;
    fn membership(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Membership>>;
    fn memberships_of(&self, user: &UserId) -> Answer<Vec<Membership>>;
    fn collaboration(&self, project: ProjectNumber, user: &UserId) -> Answer<Option<Collaboration>>;
    fn collaborations_of(&self, user: &UserId) -> Answer<Vec<Collaboration>>;

    fn session(&self, digest: &TokenDigest) -> Answer<Option<Session>>;
    fn session_of(&self, user: &UserId, id: &SessionId) -> Answer<Option<Session>>;
    fn sessions_of(&self, user: &UserId) -> Answer<Vec<Session>>;
    fn operator_token(&self, digest: &TokenDigest) -> Answer<Option<OperatorToken>>;
    /// How many operator tokens were ever made.
    fn operators(&self) -> Answer<u32>;

    fn key(&self, id: KeyId) -> Answer<Option<Key>>;
    /// The keys of a project, the newest first.
    fn keys_of(&self, project: ProjectNumber, after: Option<KeyPlace>, limit: usize) -> Answer<Vec<Key>>;

    /// The resource, deleted or not.
    fn resource(&self, kind: ResourceType, id: &str) -> Answer<Option<Resource>>;
    /// The resources of a project that are not deleted, by type and id.
    fn resources_of(
        &self,
        project: ProjectNumber,
        after: Option<(ResourceType, String)>,
        limit: usize,
    ) -> Answer<Vec<Resource>>;
}

impl<T: Tables> View for T {
    fn generation(&self) -> Answer<Generation> {
        count(self, counter::GENERATION).map(Generation)
    }

    fn organization(&self, number: OrganizationNumber) -> Answer<Option<Organization>> {
        row(self.organizations().get(number.0)?)
    }

    fn organization_by_id(&self, id: &OrganizationId) -> Answer<Option<Organization>> {
        match self.organization_ids().get(id.body())? {
            Some(number) => self.organization(OrganizationNumber(number.value())),
            None => Ok(None),
        }
    }

    fn organizations(&self, after: Option<OrganizationNumber>, limit: usize) -> Answer<Vec<Organization>> {
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let rows = Tables::organizations(self).range(first..)?.take(limit);
        rows.map(|entry| decode(entry?.1.value())).collect()
    }

    fn next_organization(&self) -> Answer<OrganizationNumber> {
        next_number(self, counter::ORGANIZATIONS).map(OrganizationNumber)
    }

    fn project(&self, number: ProjectNumber) -> Answer<Option<Project>> {
        row(self.projects().get(number.0)?)
    }

    fn project_by_id(&self, id: &ProjectId) -> Answer<Option<Project>> {
        match self.project_ids().get(id.body())? {
            Some(number) => self.project(ProjectNumber(number.value())),
            None => Ok(None),
        }
    }

    fn slug(&self, slug: &Slug) -> Answer<Option<SlugHolder>> {
        row(self.slugs().get(slug.as_str())?)
    }

    fn projects_of(
        &self,
        organization: OrganizationNumber,
        after: Option<ProjectNumber>,
        limit: usize,
    ) -> Answer<Vec<Project>> {
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let entries =
            self.organization_projects().range((organization.0, first)..=(organization.0, u32::MAX))?;
        let project = |number| self.project(ProjectNumber(number))?.ok_or(StoreError::Corrupt("projects"));
        entries.take(limit).map(|entry| project(entry?.0.value().1)).collect()
    }

    fn next_project(&self) -> Answer<ProjectNumber> {
        next_number(self, counter::PROJECTS).map(ProjectNumber)
    }

    fn user(&self, id: &UserId) -> Answer<Option<User>> {
        row(self.users().get(id.body())?)
    }

    fn user_by_email(&self, email: &Email) -> Answer<Option<User>> {
        match self.user_emails().get(email.as_str())? {
            Some(id) => row(self.users().get(id.value())?),
            None => Ok(None),
        }
    }

    fn membership(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Membership>> {
        row(self.memberships().get((organization.0, user.body()))?)
    }

    fn memberships_of(&self, user: &UserId) -> Answer<Vec<Membership>> {
        let entries = self.user_memberships().range((user.body(), 0)..=(user.body(), u32::MAX))?;
        let membership = |number| {
            self.membership(OrganizationNumber(number), user)?.ok_or(StoreError::Corrupt("memberships"))
        };
        entries.map(|entry| membership(entry?.0.value().1)).collect()
    }

    fn collaboration(&self, project: ProjectNumber, user: &UserId) -> Answer<Option<Collaboration>> {
        row(self.collaborations().get((project.0, user.body()))?)
    }

    fn collaborations_of(&self, user: &UserId) -> Answer<Vec<Collaboration>> {
        let entries = self.user_collaborations().range((user.body(), 0)..=(user.body(), u32::MAX))?;
        let collaboration = |number| {
            self.collaboration(ProjectNumber(number), user)?.ok_or(StoreError::Corrupt("collaborations"))
        };
        entries.map(|entry| collaboration(entry?.0.value().1)).collect()
    }

    fn session(&self, digest: &TokenDigest) -> Answer<Option<Session>> {
        row(self.sessions().get(&digest.0)?)
    }

    fn session_of(&self, user: &UserId, id: &SessionId) -> Answer<Option<Session>> {
        match self.user_sessions().get((user.body(), id.body()))? {
            Some(digest) => row(self.sessions().get(digest.value())?),
            None => Ok(None),
        }
    }

    fn sessions_of(&self, user: &UserId) -> Answer<Vec<Session>> {
        let entries = self.user_sessions().range((user.body(), &[0; 16])..=(user.body(), &[0xff; 16]))?;
        let session =
            |digest: &[u8; 32]| row(self.sessions().get(digest)?)?.ok_or(StoreError::Corrupt("sessions"));
        entries.map(|entry| session(entry?.1.value())).collect()
    }

    fn operator_token(&self, digest: &TokenDigest) -> Answer<Option<OperatorToken>> {
        row(self.operator_tokens().get(&digest.0)?)
    }

    fn operators(&self) -> Answer<u32> {
        let operators = count(self, counter::OPERATORS)?;
        u32::try_from(operators).map_err(|_| StoreError::Corrupt("counters"))
    }

    fn key(&self, id: KeyId) -> Answer<Option<Key>> {
        row(self.keys().get(id.number())?)
    }

    fn keys_of(&self, project: ProjectNumber, after: Option<KeyPlace>, limit: usize) -> Answer<Vec<Key>> {
        let first = Bound::Included((project.0, 0, 0));
        let last = match after {
            Some((created, id)) => Bound::Excluded((project.0, created.0, id.number())),
            None => Bound::Included((project.0, u64::MAX, u64::MAX)),
        };
        let entries = self.project_keys().range((first, last))?.rev();
        let key = |number| self.key(KeyId::from_number(number))?.ok_or(StoreError::Corrupt("keys"));
        entries.take(limit).map(|entry| key(entry?.0.value().2)).collect()
    }

    fn resource(&self, kind: ResourceType, id: &str) -> Answer<Option<Resource>> {
        row(self.resources().get((kind as u8, id))?)
    }

    fn resources_of(
        &self,
        project: ProjectNumber,
        after: Option<(ResourceType, String)>,
        limit: usize,
    ) -> Answer<Vec<Resource>> {
        let first = match &after {
            Some((kind, id)) => Bound::Excluded((project.0, *kind as u8, id.as_str())),
            None => Bound::Included((project.0, 0, "")),
        };
        let entries = self.project_resources().range((first, Bound::Included((project.0, u8::MAX, ""))))?;
        let resource = |(_, kind, id): (u32, u8, &str)| {
            row(self.resources().get((kind, id))?)?.ok_or(StoreError::Corrupt("resources"))
        };
        entries.take(limit).map(|entry| resource(entry?.0.value())).collect()
    }
}

pub(super) fn row<R: Row>(guard: Option<AccessGuard<&'static [u8]>>) -> Answer<Option<R>> {
    guard.map(|guard| decode(guard.value())).transpose()
}

pub(super) fn count(tables: &impl Tables, name: &str) -> Answer<u64> {
    Ok(tables.counters().get(name)?.map_or(0, |count| count.value()))
}

fn next_number(tables: &impl Tables, name: &str) -> Answer<u32> {
    u32::try_from(count(tables, name)? + 1).map_err(|_| StoreError::Corrupt("counters"))
}
