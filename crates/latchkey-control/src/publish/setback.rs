//! What a restored state would accept and the published one refuses (DESIGN §7): found by asking what is published,
//! record by record, what the restored state would publish.
//!
//! Only what was published is known of what came after the backup. So a person's invitations, offers of ownership
//! and interactive sessions, of which edges know nothing or only their ends, are not compared: they all end. A resource
//! that is gone there was deleted, which is for good (G1), so it is not held but deleted again; a budget that is used up
//! there is used up here. The texts by which projects are found are not compared: they let nobody in.

use super::published::{PublishedState, Snapshot};
use super::records;
use crate::iam::key::lasts_longer;
use crate::iam::narrowing::{ModelPattern, ResourcePattern};
use crate::iam::{
    BudgetScope, Collaboration, Held, HeldReason, HeldThing, Key, KeyProof, Membership, Narrowing, Resource,
    Session, TokenDigest,
};
use crate::store::{ReadView, StoreError, View};
use latchkey_core::{
    OrganizationNumber, Pepper, PermissionSet, ProjectNumber, ResourceId, ResourceType, UnixMillis,
};
use latchkey_snapshot::manifest::ExceptionClass;
use latchkey_snapshot::page::KeyState;
use latchkey_snapshot::{Entry, InlineSubject, Page, Query};
use std::collections::BTreeMap;
use std::fmt;

/// What must wait for an operator, and which sessions end.
#[derive(Debug, Clone, Default)]
pub struct Setback {
    /// What is held, organization by organization.
    pub held: Vec<Held>,
    /// Sessions that end.
    pub sessions: Vec<TokenDigest>,
    /// Resources that are deleted again, organization by organization.
    pub resources: Vec<(OrganizationNumber, ResourceType, String)>,
    /// Budgets that are used up, of projects and of keys by organization; some may not be there at all.
    pub budgets: Vec<(OrganizationNumber, BudgetScope)>,
    /// As of when they were; nothing, if nothing published could be reached.
    pub as_of: UnixMillis,
}

/// Why nothing can be compared.
#[derive(Debug)]
pub enum SetbackError {
    /// The state cannot be read.
    Store(StoreError),
    /// What is published is under a pepper that is not held here; with its id.
    Pepper([u8; 8]),
}

impl Setback {
    /// Compares a state with what is published; with nothing, if that could not be reached: then every key, every
    /// membership and every collaboration is held.
    ///
    /// # Errors
    /// [`SetbackError`].
    pub fn find(
        view: &ReadView,
        peppers: &[Pepper],
        published: Option<&Snapshot>,
        now: UnixMillis,
    ) -> Result<Self, SetbackError> {
        let known = match published {
            None => None,
            Some(published) => {
                let id = published.state.manifest.pepper_id;
                let pepper = peppers.iter().find(|pepper| pepper.id() == id);
                Some(Known { published, pepper: pepper.ok_or(SetbackError::Pepper(id))? })
            }
        };
        let mut found = Finding { view, known, now, owners: BTreeMap::new(), setback: Self::default() };
        found.organizations()?;
        found.projects()?;
        found.keys()?;
        found.people()?;
        found.sessions()?;
        found.resources()?;
        let mut setback = found.setback;
        setback.as_of = published.map_or(UnixMillis(0), |published| published.head.as_of);
        setback.held.sort_by_key(|held| (held.organization, held.place()));
        setback.resources.sort();
        setback.budgets.sort();
        setback.budgets.dedup();
        Ok(setback)
    }
}

/// What is published, and what its tags are under.
struct Known<'a> {
    published: &'a Snapshot,
    pepper: &'a Pepper,
}

struct Finding<'a> {
    view: &'a ReadView,
    known: Option<Known<'a>>,
    now: UnixMillis,
    owners: BTreeMap<ProjectNumber, OrganizationNumber>,
    setback: Setback,
}

impl Finding<'_> {
    fn organizations(&mut self) -> Result<(), StoreError> {
        for organization in self.view.all_organizations()? {
            let organization = organization?;
            let number = organization.number;
            let refuses = |known: &Known<'_>| {
                known.state().exceptions.suspends(number)
                    || known.published.revokes_inline(InlineSubject::Organization(number))
            };
            if !organization.is_suspended() && self.known.as_ref().is_some_and(refuses) {
                self.hold(number, HeldThing::Organization, HeldReason::Refused);
            }
            self.budget(number, BudgetScope::Organization(number))?;
        }
        Ok(())
    }

    fn projects(&mut self) -> Result<(), StoreError> {
        for project in self.view.all_projects()? {
            let project = project?;
            let (organization, number) = (project.organization, project.number);
            self.owners.insert(number, organization);
            self.budget(organization, BudgetScope::Project(number))?;
            let Some(known) = &self.known else { continue };
            let archives = known.state().exceptions.archives(number)
                || known.published.revokes_inline(InlineSubject::Project(number));
            let closes = known.state().exceptions.closes_to_externals(number);
            if !project.is_archived() && project.deleted_at.is_none() && archives {
                self.hold(organization, HeldThing::Project(number), HeldReason::Refused);
            }
            if project.allows_external && closes {
                self.hold(organization, HeldThing::Externals(number), HeldReason::Refused);
            }
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), StoreError> {
        for key in self.view.all_keys()? {
            let key = key?;
            if key.revoked_at.is_some() {
                continue;
            }
            let organization = self.owner(key.project)?;
            let why = match &self.known {
                None => Some(HeldReason::Unknown),
                Some(known) => known.key(&key, organization),
            };
            if self.known.as_ref().is_some_and(|known| known.has_spent_its_own(&key)) {
                self.note_spent(organization, BudgetScope::of_key(&key))?;
            }
            if let Some(why) = why {
                self.hold(organization, HeldThing::Key(key.id, key.disabled_at), why);
            }
        }
        Ok(())
    }

    fn people(&mut self) -> Result<(), StoreError> {
        for membership in self.view.all_memberships()? {
            let membership = membership?;
            let why = match &self.known {
                None => Some(HeldReason::Unknown),
                Some(known) => known.membership(&membership),
            };
            if let Some(why) = why {
                self.hold(membership.organization, HeldThing::Membership(membership), why);
            }
        }
        for collaboration in self.view.all_collaborations()? {
            let collaboration = collaboration?;
            let organization = self.owner(collaboration.project)?;
            let why = match &self.known {
                None => Some(HeldReason::Unknown),
                Some(known) => known.collaboration(&collaboration, organization),
            };
            if let Some(why) = why {
                self.hold(organization, HeldThing::Collaboration(collaboration), why);
            }
        }
        Ok(())
    }

    /// People sign in again. A service account keeps its token unless it was ended, or nobody knows.
    fn sessions(&mut self) -> Result<(), StoreError> {
        for session in self.view.all_sessions()? {
            let session = session?;
            let ends = |known: &Known<'_>| known.has_ended(&session);
            if session.revoked_at.is_none() && (!session.is_service || self.known.as_ref().is_none_or(ends)) {
                self.setback.sessions.push(session.digest);
            }
        }
        Ok(())
    }

    /// Every key is held if nothing is known, so nobody gets at a resource then.
    fn resources(&mut self) -> Result<(), StoreError> {
        let Some(known) = &self.known else { return Ok(()) };
        for resource in self.view.all_resources()? {
            let resource = resource?;
            let organization = self.owner(resource.project)?;
            if resource.deleted_at.is_none() && known.lacks(&resource) {
                self.setback.resources.push((organization, resource.kind, resource.id));
            }
        }
        Ok(())
    }

    fn budget(&mut self, organization: OrganizationNumber, scope: BudgetScope) -> Result<(), StoreError> {
        if self.known.as_ref().is_some_and(|known| known.has_spent(scope)) {
            self.note_spent(organization, scope)?;
        }
        Ok(())
    }

    fn note_spent(&mut self, organization: OrganizationNumber, scope: BudgetScope) -> Result<(), StoreError> {
        if !self.view.budget(scope)?.is_some_and(|budget| budget.is_exhausted()) {
            self.setback.budgets.push((organization, scope));
        }
        Ok(())
    }

    fn hold(&mut self, organization: OrganizationNumber, what: HeldThing, why: HeldReason) {
        self.setback.held.push(Held { organization, what, why, at: self.now });
    }

    fn owner(&self, project: ProjectNumber) -> Result<OrganizationNumber, StoreError> {
        self.owners.get(&project).copied().ok_or(StoreError::Corrupt("projects"))
    }
}

impl Known<'_> {
    const fn state(&self) -> &PublishedState {
        &self.published.state
    }

    /// What is published of something, unless it is refused as it is.
    fn entry(&self, query: &Query) -> Result<(&Page, Entry), HeldReason> {
        if self.published.revokes_inline(InlineSubject::Tag(query.tag)) {
            return Err(HeldReason::Refused);
        }
        self.state().find(query).ok_or(HeldReason::Absent)
    }

    fn query(&self, key: &Key) -> Query {
        match &key.proof {
            KeyProof::Native(digest) => Query::native_key(self.pepper, key.id, digest),
            KeyProof::Imported(digest) => Query::imported_key(self.pepper, digest),
        }
    }

    /// Whether the key's own line is out of its budget.
    fn has_spent_its_own(&self, key: &Key) -> bool {
        self.state().find(&self.query(key)).is_some_and(|(_, entry)| entry.is_out_of_budget)
    }

    /// Whether the organization or the project is out of its budget.
    fn has_spent(&self, scope: BudgetScope) -> bool {
        let (class, number) = match scope {
            BudgetScope::Organization(number) => (ExceptionClass::OrganizationOutOfBudget, number.0),
            BudgetScope::Project(number) => (ExceptionClass::ProjectOutOfBudget, number.0),
            BudgetScope::Key(_) => return false,
        };
        self.state().exceptions.numbers(class).contains(&number)
    }

    /// Whether the resource is gone there. One that no snapshot can say was never there.
    fn lacks(&self, resource: &Resource) -> bool {
        let Ok(id) = ResourceId::parse(&resource.id) else { return false };
        self.state().find(&Query::resource(self.pepper, resource.project, resource.kind, id)).is_none()
    }

    fn key(&self, key: &Key, organization: OrganizationNumber) -> Option<HeldReason> {
        let query = self.query(key);
        // What no snapshot can say is accepted nowhere.
        records::key(key, organization, false)?;
        let (page, entry) = match self.entry(&query) {
            Ok(found) => found,
            Err(why) => return Some(why),
        };
        match entry.state {
            KeyState::Revoked => return Some(HeldReason::Refused),
            KeyState::Disabled if key.disabled_at.is_none() => return Some(HeldReason::Refused),
            KeyState::Disabled | KeyState::Active => {}
        }
        let held = PermissionSet::of_key(key.role);
        let permissions = key.narrowing.permissions.map_or(held, |narrowed| narrowed.intersection(held));
        let narrowing = page.narrowing(&entry).map(|narrowing| read_back(&narrowing)).unwrap_or_default();
        let is_less = lasts_longer(key.expires, entry.expiry)
            || Some(key.role) > entry.binding.role
            || !permissions.is_subset_of(entry.binding.permissions)
            || (key.project, organization) != (entry.binding.project, entry.binding.organization)
            || Narrowing { permissions: None, ..key.narrowing.clone() }.allows_more_than(&narrowing);
        is_less.then_some(HeldReason::Less)
    }

    fn membership(&self, membership: &Membership) -> Option<HeldReason> {
        let Membership { identity, organization, role, .. } = membership;
        match self.entry(&Query::membership(self.pepper, identity, *organization)) {
            Ok((_, entry)) => (Some(*role) > entry.binding.role).then_some(HeldReason::Less),
            Err(why) => Some(why),
        }
    }

    fn collaboration(&self, one: &Collaboration, organization: OrganizationNumber) -> Option<HeldReason> {
        let (_, entry) = match self.entry(&Query::collaboration(self.pepper, &one.identity, one.project)) {
            Ok(found) => found,
            Err(why) => return Some(why),
        };
        // What a collaboration of another kind is worth hangs on the membership and on the project's switch, then and now.
        let is_less = Some(one.role) > entry.binding.role
            || one.is_external != entry.is_external
            || lasts_longer(one.ends_at.filter(|_| one.is_external), entry.expiry)
            || organization != entry.binding.organization;
        is_less.then_some(HeldReason::Less)
    }

    fn has_ended(&self, session: &Session) -> bool {
        let query = Query::ended_session(self.pepper, &session.id);
        !matches!(self.entry(&query), Err(HeldReason::Absent))
    }
}

/// What a snapshot narrows a key to, in our own words; permissions apart.
fn read_back(narrowing: &latchkey_snapshot::Narrowing<'_>) -> Narrowing {
    let resource = |one: latchkey_snapshot::ResourcePattern<'_>| ResourcePattern {
        kind: one.resource,
        matching: one.matching,
        text: one.text.as_str().to_owned(),
    };
    let model = |one: latchkey_snapshot::ModelPattern<'_>| ModelPattern {
        matching: one.matching,
        text: one.text.as_str().to_owned(),
    };
    Narrowing {
        permissions: None,
        resources: narrowing.resources().map(resource).collect(),
        models: narrowing.models().map(model).collect(),
        networks: narrowing.networks().collect(),
        rate_per_minute: narrowing.rate().map(|rate| rate.per_minute.get()),
    }
}

impl From<StoreError> for SetbackError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for SetbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Pepper(_) => f.write_str("what is published is under a pepper that is not held here"),
        }
    }
}

impl std::error::Error for SetbackError {}
