//! The committed state as edges see it: nouns become records, and numbers that are refused as a whole.
//!
//! [`Picture::load`] takes everything from a view; [`Picture::catch_up`] what the outbox says was touched. Both
//! come to the same content, so a restart publishes the same bytes.

mod withheld;

pub(super) use withheld::Withheld;

use super::records;
use crate::iam::{BudgetScope, Collaboration, KeyProof, Organization, Project, Resource};
use crate::store::{ReadView, StoreError, Touched, View};
use latchkey_core::{
    Generation, IdentityId, KeyId, OrganizationNumber, Pepper, ProjectNumber, ResourceId, ResourceType,
    SessionId, Slug,
};
use latchkey_snapshot::build::{Content, Record};
use latchkey_snapshot::manifest::Exceptions;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Content, and what the manifest says beside it.
pub(super) struct Picture {
    pub(super) content: Content,
    generation: Generation,
    projects: BTreeMap<ProjectNumber, Known>,
    suspended: BTreeSet<OrganizationNumber>,
    /// Archived, or deleted for good.
    archived: BTreeSet<ProjectNumber>,
    externals: BTreeMap<ProjectNumber, BTreeSet<IdentityId>>,
    exhausted: BTreeSet<BudgetScope>,
    /// Whether an operator holds grants back: then only what refuses is taken in.
    holds: bool,
    /// What was not taken in, or not wholly, since grants are held back.
    owed: BTreeSet<Touched>,
}

/// What is known of a project beside its records.
struct Known {
    organization: OrganizationNumber,
    /// By which it resolves now; a deleted one resolves no more.
    slug: Option<Slug>,
    allows_external: bool,
}

impl Picture {
    /// The whole state of a view.
    pub(super) fn load(pepper: Pepper, view: &ReadView) -> Result<Self, StoreError> {
        let mut picture = Self {
            content: Content::new(pepper),
            generation: view.generation()?,
            projects: BTreeMap::new(),
            suspended: BTreeSet::new(),
            archived: BTreeSet::new(),
            externals: BTreeMap::new(),
            exhausted: BTreeSet::new(),
            holds: false,
            owed: BTreeSet::new(),
        };
        let organizations = view.all_organizations()?.collect::<Result<Vec<_>, _>>()?;
        let projects = view.all_projects()?.collect::<Result<Vec<_>, _>>()?;
        organizations.iter().for_each(|organization| picture.note_organization(organization));
        for project in &projects {
            picture.note_project(project);
        }
        for budget in view.budgets()? {
            picture.note_budget(budget.scope, budget.is_exhausted());
        }
        picture.load_records(view, &organizations, &projects)?;
        Ok(picture)
    }

    /// The generation that the picture shows.
    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes in what changed up to the view.
    pub(super) fn catch_up(&mut self, view: &ReadView) -> Result<(), StoreError> {
        self.holds = view.publish_held_since()?.is_some();
        let mut touched = if self.holds { BTreeSet::new() } else { std::mem::take(&mut self.owed) };
        for outbound in view.outbox_after(self.generation)? {
            touched.extend(outbound?.touches.into_iter().map(|touch| touch.noun));
        }
        // In the order of `Touched`: organizations and projects before what belongs to them.
        for noun in &touched {
            self.retake(noun, view)?;
        }
        self.generation = view.generation()?;
        Ok(())
    }

    /// What is refused as a whole.
    pub(super) fn exceptions(&self) -> Exceptions {
        let is_closed =
            |number: &ProjectNumber| self.projects.get(number).is_some_and(|known| !known.allows_external);
        let closed = self.externals.keys().copied().filter(is_closed);
        let organizations = self.exhausted.iter().filter_map(|scope| match scope {
            BudgetScope::Organization(number) => Some(*number),
            _ => None,
        });
        let projects = self.exhausted.iter().filter_map(|scope| match scope {
            BudgetScope::Project(number) => Some(*number),
            _ => None,
        });
        Exceptions::default()
            .with_suspended(self.suspended.iter().copied())
            .with_archived(self.archived.iter().copied())
            .with_closed_to_externals(closed)
            .with_organizations_out_of_budget(organizations)
            .with_projects_out_of_budget(projects)
    }

    fn load_records(
        &mut self,
        view: &ReadView,
        organizations: &[Organization],
        projects: &[Project],
    ) -> Result<(), StoreError> {
        let resources = view.all_resources()?.collect::<Result<Vec<Resource>, _>>()?;
        let collaborations = view.all_collaborations()?.collect::<Result<Vec<Collaboration>, _>>()?;
        for one in collaborations.iter().filter(|one| one.is_external) {
            self.externals.entry(one.project).or_default().insert(one.identity);
        }
        let owner = |project| self.projects.get(&project).map(|known| known.organization);
        let there = || projects.iter().filter(|project| project.deleted_at.is_none());
        let ids: Vec<String> = there().map(|project| project.id.to_string()).collect();
        let references = there().zip(&ids).flat_map(|(project, id)| records::references(project, id));
        let names = projects.iter().map(records::project_names);
        let names = names.chain(organizations.iter().map(records::organization_names));
        let held = resources.iter().filter(|resource| resource.deleted_at.is_none());
        let held = held.filter_map(|resource| records::resource(resource, owner(resource.project)?));
        let part = collaborations.iter();
        let part = part.filter_map(|one| Some(records::collaboration(one, owner(one.project)?)));
        let mut failed = [None, None, None];
        let [no_key, no_member, no_session] = &mut failed;
        let tombstones = view.tombstones_up_to()?;
        let keys = until_failure(view.all_keys()?, no_key);
        let keys = keys.filter(|key| !records::is_buried(key, tombstones)).filter_map(|key| {
            let is_out = self.exhausted.contains(&BudgetScope::of_key(&key));
            records::key(&key, owner(key.project)?, is_out)
        });
        let members = until_failure(view.all_memberships()?, no_member);
        let members = members.map(|one| records::membership(&one));
        let ended = until_failure(view.all_sessions()?, no_session);
        let ended = ended.filter_map(|one| records::ended_session(&one));
        let people = part.chain(members).chain(ended);
        self.content.load(references.chain(names).chain(held).chain(people).chain(keys));
        failed.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    fn retake(&mut self, noun: &Touched, view: &ReadView) -> Result<(), StoreError> {
        match noun {
            Touched::Organization(number) => {
                if let Some(organization) = view.organization(*number)? {
                    if self.holds && self.suspended.contains(number) && !organization.is_suspended() {
                        self.owed.insert(noun.clone());
                    } else {
                        self.note_organization(&organization);
                    }
                    self.content.put(records::organization_names(&organization));
                }
            }
            Touched::Project(number) => {
                if let Some(project) = view.project(*number)? {
                    self.retake_project(&project);
                }
            }
            Touched::Membership(organization, identity) => {
                self.retake_membership(*organization, identity, view)?;
            }
            Touched::Collaboration(project, identity) => {
                self.retake_collaboration(*project, identity, view)?;
            }
            Touched::Session(id) => self.retake_session(id, view)?,
            Touched::Key(id) => self.retake_key(*id, view)?,
            Touched::Resource { kind, id } => self.retake_resource(*kind, id, view)?,
            Touched::Budget(scope) => self.retake_budget(*scope, view)?,
        }
        Ok(())
    }

    /// Says it; or, while grants are held back, what refuses of it.
    fn say(&mut self, record: Record<'_>, noun: impl FnOnce() -> Touched) {
        if !self.holds {
            self.content.put(record);
        } else if !self.content.tighten(record) {
            self.owed.insert(noun());
        }
    }

    fn retake_project(&mut self, project: &Project) {
        let old = self.note_project(project).filter(|old| Some(*old) != resolving(project));
        if let Some(old) = old {
            // An old slug resolves to nothing (J3), unless another project has taken it since.
            if !self.projects.values().any(|known| known.slug == Some(old)) {
                self.content.remove_project_reference(old.as_str());
            }
        }
        let id = project.id.to_string();
        if project.deleted_at.is_some() {
            self.content.remove_project_reference(&id);
        } else {
            for record in records::references(project, &id) {
                self.say(record, || Touched::Project(project.number));
            }
        }
        self.content.put(records::project_names(project));
    }

    fn retake_membership(
        &mut self,
        organization: OrganizationNumber,
        identity: &IdentityId,
        view: &ReadView,
    ) -> Result<(), StoreError> {
        match view.membership_by(organization, identity)? {
            Some(membership) => {
                let noun = || Touched::Membership(organization, *identity);
                self.say(records::membership(&membership), noun);
            }
            None => self.content.remove_membership(identity, organization),
        }
        Ok(())
    }

    fn retake_collaboration(
        &mut self,
        project: ProjectNumber,
        identity: &IdentityId,
        view: &ReadView,
    ) -> Result<(), StoreError> {
        let held = view.collaboration_by(project, identity)?;
        if held.is_some_and(|one| one.is_external) {
            self.externals.entry(project).or_default().insert(*identity);
        } else if let Entry::Occupied(mut externals) = self.externals.entry(project) {
            externals.get_mut().remove(identity);
            if externals.get().is_empty() {
                externals.remove();
            }
        }
        match held {
            Some(collaboration) => {
                let owner = self.owner(project)?;
                let noun = || Touched::Collaboration(project, *identity);
                self.say(records::collaboration(&collaboration, owner), noun);
            }
            None => self.content.remove_collaboration(identity, project),
        }
        Ok(())
    }

    fn retake_session(&mut self, id: &SessionId, view: &ReadView) -> Result<(), StoreError> {
        let session = view.session_by_id(id)?;
        match session.as_ref().and_then(records::ended_session) {
            Some(record) => self.content.put(record),
            // An ended session is refused for as long as it is told of.
            None if self.holds => drop(self.owed.insert(Touched::Session(*id))),
            None => self.content.remove_ended_session(id),
        }
        Ok(())
    }

    fn retake_key(&mut self, id: KeyId, view: &ReadView) -> Result<(), StoreError> {
        let Some(key) = view.key(id)? else { return Ok(()) };
        if records::is_buried(&key, view.tombstones_up_to()?) {
            match &key.proof {
                KeyProof::Native(digest) => self.content.remove_key(id, digest),
                KeyProof::Imported(digest) => self.content.remove_imported_key(digest),
            }
            return Ok(());
        }
        let owner = self.owner(key.project)?;
        let is_out = self.exhausted.contains(&BudgetScope::of_key(&key));
        if let Some(record) = records::key(&key, owner, is_out) {
            self.say(record, || Touched::Key(id));
        }
        Ok(())
    }

    fn retake_resource(&mut self, kind: ResourceType, id: &str, view: &ReadView) -> Result<(), StoreError> {
        let Some(resource) = view.resource(kind, id)? else { return Ok(()) };
        let owner = self.owner(resource.project)?;
        let id = ResourceId::parse(id).map_err(|_| StoreError::Corrupt("resources"))?;
        if resource.deleted_at.is_some() {
            self.content.remove_resource(resource.project, kind, id);
        } else if let Some(record) = records::resource(&resource, owner) {
            self.say(record, || Touched::Resource { kind, id: id.as_str().to_owned() });
        }
        Ok(())
    }

    /// A key's budget is its whole line's: every rotation of it is told.
    fn retake_budget(&mut self, scope: BudgetScope, view: &ReadView) -> Result<(), StoreError> {
        let is_exhausted = view.budget(scope)?.is_some_and(|budget| budget.is_exhausted());
        if self.holds && !is_exhausted && self.exhausted.contains(&scope) {
            self.owed.insert(Touched::Budget(scope));
            return Ok(());
        }
        self.note_budget(scope, is_exhausted);
        let mut next = match scope {
            BudgetScope::Key(family) => Some(family),
            BudgetScope::Organization(_) | BudgetScope::Project(_) => None,
        };
        while let Some(id) = next {
            self.retake_key(id, view)?;
            next = view.key(id)?.and_then(|key| key.successor);
        }
        Ok(())
    }

    fn owner(&self, project: ProjectNumber) -> Result<OrganizationNumber, StoreError> {
        let known = self.projects.get(&project).ok_or(StoreError::Corrupt("projects"))?;
        Ok(known.organization)
    }

    fn note_organization(&mut self, organization: &Organization) {
        if organization.is_suspended() {
            self.suspended.insert(organization.number);
        } else {
            self.suspended.remove(&organization.number);
        }
    }

    /// The slug by which it resolved before.
    fn note_project(&mut self, project: &Project) -> Option<Slug> {
        let number = project.number;
        let lets_in_now = |known: &Known| project.allows_external && !known.allows_external;
        let is_opened = self.holds && self.projects.get(&number).is_some_and(lets_in_now);
        let is_revived = self.holds && project.is_in_force() && self.archived.contains(&number);
        if is_opened || is_revived {
            self.owed.insert(Touched::Project(number));
        }
        if !project.is_in_force() {
            self.archived.insert(number);
        } else if !is_revived {
            self.archived.remove(&number);
        }
        let known = Known {
            organization: project.organization,
            slug: resolving(project),
            allows_external: project.allows_external && !is_opened,
        };
        self.projects.insert(project.number, known).and_then(|known| known.slug)
    }

    fn note_budget(&mut self, scope: BudgetScope, is_exhausted: bool) {
        if is_exhausted {
            self.exhausted.insert(scope);
        } else {
            self.exhausted.remove(&scope);
        }
    }
}

/// The slug by which the project resolves.
fn resolving(project: &Project) -> Option<Slug> {
    project.deleted_at.is_none().then_some(project.slug)
}

/// The rows up to the first that fails, which is kept.
fn until_failure<T>(
    rows: impl Iterator<Item = Result<T, StoreError>>,
    failed: &mut Option<StoreError>,
) -> impl Iterator<Item = T> {
    rows.map_while(|row| row.map_err(|error| *failed = Some(error)).ok())
}
