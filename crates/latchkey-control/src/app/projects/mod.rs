//! Projects: create, list, read; changing, ending and taking part are beside this file.

mod change;
mod end;
mod part;

pub use change::{change_settings, settings, switch_external};
pub use end::{archive, delete, unarchive};
pub use part::{join, leave};

use super::ask::{Ask, InProject};
use super::error::AppError;
use super::organizations::default_project_name;
use super::{fields, pages, render};
use crate::iam::{Collaboration, Name, Organization, Project, SlugHolder, Visibility};
use crate::store::{Change, StoreError, Write};
use latchkey_api as api;
use latchkey_core::{Dice, IdentityId, Permission, ProjectId, ProjectNumber, Role, Slug, UserId};

/// Creates a project; its creator becomes its admin (J3).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    organization: &str,
    body: &api::CreateProject,
) -> Result<Write<api::Project>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, Permission::OrgProjectsCreate)?;
    let creator = *ask.person()?;
    let name = fields::name("name", &body.name)?;
    let slug = fields::slug("slug", &body.slug)?;
    if !is_free(ask, &slug, &place.organization)? {
        return Err(AppError::SlugTaken);
    }
    let identity = *ask.identity()?;
    let made = make(ask, dice, &place.organization, name, slug, (creator, identity))?;
    let shown = render::project(&made.project, &place.organization, Some(Role::Admin));
    let entry = ask.entry(&permit, "projects.create", ("project", shown.id.clone())).after(&shown);
    Ok(Write::new(entry, shown).put_all(made.changes()))
}

/// The projects of an organization that the caller may know of (P4).
///
/// # Errors
/// [`AppError`].
pub fn list(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Project>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgProjectsList)?;
    let limit = pages::limit(query)?;
    let mut after = match pages::after(query, ProjectId::parse)? {
        Some(id) => Some(number_of(ask, &id, &place.organization)?),
        None => None,
    };
    let mut seen = Vec::new();
    while seen.len() <= limit {
        let batch = ask.view.projects_of(place.organization.number, after, limit + 1)?;
        let Some(last) = batch.last() else { break };
        after = Some(last.number);
        for project in batch {
            let is_there = project.deleted_at.is_none();
            let inside = ask.project_numbered(project.number)?;
            if is_there && inside.is_known_to(&ask.caller) {
                seen.push(inside);
            }
        }
    }
    let show = |one: super::ask::InProject| render::project(&one.project, &one.organization, one.role());
    Ok(pages::page(seen, limit, |one| one.project.id.to_string(), show))
}

/// The number of the project that a cursor of this organization's list names.
fn number_of(ask: &Ask, id: &ProjectId, organization: &Organization) -> Result<ProjectNumber, AppError> {
    let project = ask.view.project_by_id(id)?;
    let project = project.filter(|project| project.organization == organization.number);
    project.map(|project| project.number).ok_or(pages::NO_CURSOR)
}

/// One project, by id or slug.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, project: &str) -> Result<api::Project, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::ProjectSettingsRead)?;
    Ok(render::project(&place.project, &place.organization, place.role()))
}

/// The project as the caller sees it.
fn shown(place: &InProject, project: &Project) -> api::Project {
    render::project(project, &place.organization, place.role())
}

/// A new project, its slug, and its first collaborator.
pub(super) struct Made {
    pub(super) project: Project,
    creator: (UserId, IdentityId),
}

impl Made {
    pub(super) fn changes(self) -> [Change; 3] {
        let (user, identity) = self.creator;
        let (number, organization) = (self.project.number, self.project.organization);
        let admin = Collaboration {
            project: number,
            user,
            role: Role::Admin,
            is_external: false,
            identity,
            added_at: self.project.created_at,
            ends_at: None,
        };
        let holder = SlugHolder { organization, project: Some(number) };
        [Change::Slug(self.project.slug, holder), self.project.into(), admin.into()]
    }
}

/// The Default Project of a new organization, whose owner is its admin (O2, M4).
pub(super) fn make_default(
    ask: &Ask,
    dice: &mut Dice,
    organization: &Organization,
    owner: IdentityId,
) -> Result<Made, AppError> {
    let slug = default_slug(ask, dice, organization)?;
    let made = make(ask, dice, organization, default_project_name()?, slug, (organization.owner, owner))?;
    Ok(Made { project: Project { is_default: true, ..made.project }, ..made })
}

fn make(
    ask: &Ask,
    dice: &mut Dice,
    organization: &Organization,
    name: Name,
    slug: Slug,
    creator: (UserId, IdentityId),
) -> Result<Made, AppError> {
    let project = Project {
        number: ask.view.next_project()?,
        id: ProjectId::generate(dice),
        organization: organization.number,
        name,
        slug,
        visibility: Visibility::Open,
        allows_external: false,
        is_default: false,
        created_at: ask.now,
        archived_at: None,
        deleted_at: None,
    };
    Ok(Made { project, creator })
}

/// A slug is free if nobody used it, or this organization did and let it go (J3).
fn is_free(ask: &Ask, slug: &Slug, organization: &Organization) -> Result<bool, AppError> {
    let holder = ask.view.slug(slug)?;
    Ok(holder.is_none_or(|holder| holder.organization == organization.number && holder.project.is_none()))
}

/// `acme-default`, or with a random end if that is taken.
fn default_slug(ask: &Ask, dice: &mut Dice, organization: &Organization) -> Result<Slug, AppError> {
    let stem = stem(organization.name.as_str());
    let mut end = "default".to_owned();
    for _ in 0..SLUG_TRIES_MAX {
        let slug = fields::slug("name", &format!("{stem}-{end}"))?;
        if is_free(ask, &slug, organization)? {
            return Ok(slug);
        }
        end = format!("default-{:08x}", u32::from_le_bytes(dice.bytes()));
    }
    Err(StoreError::Clash("slugs").into())
}

/// What of a name can stand in a slug.
fn stem(name: &str) -> String {
    let lower = name.chars().take(STEM_CHARS_MAX).map(|one| one.to_ascii_lowercase());
    let plain: String = lower.map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "organization".to_owned() } else { words.join("-") }
}

const STEM_CHARS_MAX: usize = 40;
const SLUG_TRIES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_gives_the_stem_of_a_slug() {
        for (name, expected) in [
            ("Acme, Inc.", "acme-inc"),
            ("Ünïcode", "n-code"),
            ("日本", "organization"),
            ("--", "organization"),
        ] {
            assert_eq!(stem(name), expected);
            assert!(Slug::parse(&format!("{}-default-00000000", stem(name))).is_ok());
        }
        assert!(Slug::parse(&format!("{}-default-00000000", stem(&"a".repeat(100)))).is_ok());
    }
}
