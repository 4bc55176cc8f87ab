//! The committed state as edges see it: nouns become records.
//!
//! [`Picture::load`] takes everything from a view; [`Picture::catch_up`] what the outbox says was touched. Both
//! come to the same content, so a restart publishes the same bytes.

use crate::iam::{self, Key, KeyProof, Organization, Project, Resource};
use crate::store::{ReadView, StoreError, Touched, View};
use latchkey_core::{
    Generation, OrganizationNumber, Pepper, PermissionSet, ProjectNumber, ResourceId, ResourceType, Slug,
};
use latchkey_snapshot::build::{Content, Record};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::names::NAME_LEN_MAX;
use latchkey_snapshot::page::{Binding, KeyState};
use latchkey_snapshot::{OrganizationNames, ProjectNames};
use std::collections::{BTreeMap, BTreeSet};

/// Content, and what the manifest says beside it.
pub(super) struct Picture {
    pub(super) content: Content,
    generation: Generation,
    /// The project's organization, and the slug it is known by.
    projects: BTreeMap<ProjectNumber, (OrganizationNumber, Slug)>,
    suspended: BTreeSet<OrganizationNumber>,
}

impl Picture {
    /// The whole state of a view.
    pub(super) fn load(pepper: Pepper, view: &ReadView) -> Result<Self, StoreError> {
        let mut picture = Self {
            content: Content::new(pepper),
            generation: view.generation()?,
            projects: BTreeMap::new(),
            suspended: BTreeSet::new(),
        };
        let organizations = view.all_organizations()?.collect::<Result<Vec<_>, _>>()?;
        let projects = view.all_projects()?.collect::<Result<Vec<_>, _>>()?;
        organizations.iter().for_each(|organization| picture.note_organization(organization));
        for project in &projects {
            picture.note_project(project);
        }
        let resources = view.all_resources()?.collect::<Result<Vec<_>, _>>()?;
        picture.load_records(view, &organizations, &projects, &resources)?;
        Ok(picture)
    }

    /// The generation that the picture shows.
    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes in what changed up to the view.
    pub(super) fn catch_up(&mut self, view: &ReadView) -> Result<(), StoreError> {
        let mut touched = BTreeSet::new();
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
        Exceptions::default().with_suspended(self.suspended.iter().copied())
    }

    fn load_records(
        &mut self,
        view: &ReadView,
        organizations: &[Organization],
        projects: &[Project],
        resources: &[Resource],
    ) -> Result<(), StoreError> {
        let owner = |project| self.projects.get(&project).map(|(organization, _)| *organization);
        let ids: Vec<String> = projects.iter().map(|project| project.id.to_string()).collect();
        let references = projects.iter().zip(&ids).flat_map(|(project, id)| references(project, id));
        let names = projects.iter().map(project_names).chain(organizations.iter().map(organization_names));
        let held = resources.iter().filter(|resource| resource.deleted_at.is_none());
        let held = held.filter_map(|resource| resource_record(resource, owner(resource.project)?));
        let mut failed = None;
        let keys = view.all_keys()?.map_while(|key| key.map_err(|error| failed = Some(error)).ok());
        let keys = keys.filter_map(|key| key_record(&key, owner(key.project)?));
        self.content.load(references.chain(names).chain(held).chain(keys));
        failed.map_or(Ok(()), Err)
    }

    fn retake(&mut self, noun: &Touched, view: &ReadView) -> Result<(), StoreError> {
        match noun {
            Touched::Organization(number) => {
                if let Some(organization) = view.organization(*number)? {
                    self.note_organization(&organization);
                    self.content.put(organization_names(&organization));
                }
            }
            Touched::Project(number) => {
                if let Some(project) = view.project(*number)? {
                    self.retake_project(&project);
                }
            }
            Touched::Key(id) => {
                if let Some(key) = view.key(*id)? {
                    let owner = self.owner(key.project)?;
                    if let Some(record) = key_record(&key, owner) {
                        self.content.put(record);
                    }
                }
            }
            Touched::Resource { kind, id } => self.retake_resource(*kind, id, view)?,
            Touched::Membership(..)
            | Touched::Collaboration(..)
            | Touched::Session(_)
            | Touched::Budget(_) => {}
        }
        Ok(())
    }

    fn retake_project(&mut self, project: &Project) {
        if let Some(old) = self.note_project(project).filter(|old| *old != project.slug) {
            // An old slug resolves to nothing (J3), unless another project has taken it since.
            if !self.projects.values().any(|(_, slug)| *slug == old) {
                self.content.remove_project_reference(old.as_str());
            }
        }
        for record in references(project, &project.id.to_string()) {
            self.content.put(record);
        }
        self.content.put(project_names(project));
    }

    fn retake_resource(&mut self, kind: ResourceType, id: &str, view: &ReadView) -> Result<(), StoreError> {
        let Some(resource) = view.resource(kind, id)? else { return Ok(()) };
        let owner = self.owner(resource.project)?;
        let id = ResourceId::parse(id).map_err(|_| StoreError::Corrupt("resources"))?;
        if resource.deleted_at.is_some() {
            self.content.remove_resource(resource.project, kind, id);
        } else if let Some(record) = resource_record(&resource, owner) {
            self.content.put(record);
        }
        Ok(())
    }

    fn owner(&self, project: ProjectNumber) -> Result<OrganizationNumber, StoreError> {
        self.projects
            .get(&project)
            .map(|(organization, _)| *organization)
            .ok_or(StoreError::Corrupt("projects"))
    }

    fn note_organization(&mut self, organization: &Organization) {
        if organization.is_suspended() {
            self.suspended.insert(organization.number);
        } else {
            self.suspended.remove(&organization.number);
        }
    }

    /// The slug it was known by before.
    fn note_project(&mut self, project: &Project) -> Option<Slug> {
        let entry = (project.organization, project.slug);
        self.projects.insert(project.number, entry).map(|(_, slug)| slug)
    }
}

/// The key as edges know it. Expiry is theirs to judge, so a key's state here does not depend on the moment.
fn key_record<'a>(key: &Key, organization: OrganizationNumber) -> Option<Record<'a>> {
    let KeyProof::Native(digest) = key.proof else { return None };
    let state = match (key.revoked_at, key.disabled_at) {
        (Some(_), _) => KeyState::Revoked,
        (None, Some(_)) => KeyState::Disabled,
        (None, None) => KeyState::Active,
    };
    let binding = Binding {
        project: key.project,
        organization,
        role: Some(key.role),
        permissions: PermissionSet::of_key(key.role),
    };
    let (expiry, id) = (key.expires, key.id);
    Some(Record::Key { id, digest, binding, expiry, state, out_of_budget: false, narrowing: None })
}

fn resource_record(resource: &iam::Resource, organization: OrganizationNumber) -> Option<Record<'_>> {
    let id = ResourceId::parse(&resource.id).ok()?;
    Some(Record::Resource { resource: resource.kind, id, project: resource.project, organization })
}

/// The texts by which a path may name the project.
fn references<'a>(project: &'a Project, id: &'a str) -> [Record<'a>; 2] {
    let (number, organization) = (project.number, project.organization);
    let reference = |text| Record::ProjectReference { text, project: number, organization };
    [reference(id), reference(project.slug.as_str())]
}

fn project_names<'a>(project: &Project) -> Record<'a> {
    Record::ProjectNames(ProjectNames {
        number: project.number,
        organization: project.organization,
        id: project.id,
        slug: project.slug,
        name: bounded(project.name.as_str()),
    })
}

fn organization_names<'a>(organization: &Organization) -> Record<'a> {
    Record::OrganizationNames(OrganizationNames {
        number: organization.number,
        id: organization.id,
        name: bounded(organization.name.as_str()),
    })
}

/// The name, cut at a character to what a page of names takes: 100 characters may be more bytes than that.
fn bounded(name: &str) -> Box<str> {
    let mut end = name.len().min(NAME_LEN_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}
