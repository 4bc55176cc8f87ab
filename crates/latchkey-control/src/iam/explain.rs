//! Why may they, or why not: the rules that [`authorize`] and the edge go by, one step after the other.
//!
//! A step that does not hold refuses, and the first such one is the reason. [`authorize`] and the gate decide; a
//! property test holds these steps to what they say.
//!
//! [`authorize`]: super::authorize

use super::key::{Key, KeyState};
use super::organization::Organization;
use super::permit::Standing;
use super::project::Project;
use latchkey_core::{Permission, PermissionSet, ResourceType, Role, UnixMillis};
use std::net::IpAddr;

/// One rule, whether it lets pass, and what it looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The rule's number in the access model, like `K7`.
    pub rule: &'static str,
    /// What the rule asks, in its positive form.
    pub asks: &'static str,
    /// Whether that is so.
    pub holds: bool,
}

/// What is known of the request that a key would make.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it needs.
    pub permission: Permission,
    /// On what, and whether the project has that.
    pub resource: Option<(ResourceType, &'a str, bool)>,
    /// With which model.
    pub model: Option<&'a str>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// Which of the budgets over something are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// The organization's.
    pub organization: bool,
    /// The project's.
    pub project: bool,
    /// The key's.
    pub key: bool,
}

/// The steps for a key on something of its own project, in the order in which an edge takes them (R1, R2, R5).
pub fn of_key(
    key: &Key,
    (organization, project): (&Organization, &Project),
    request: &Request,
    exhausted: Exhausted,
    now: UnixMillis,
) -> Vec<Step> {
    let state = key.state(now);
    let held = PermissionSet::of_key(key.role);
    let narrowing = &key.narrowing;
    let mut steps = vec![
        step("K5", "the key is not revoked", state != KeyState::Revoked),
        step("K3", "the key has not expired", state != KeyState::Expired),
        step("K5", "the key is not disabled", state != KeyState::Disabled),
        step("O6", "the organization is not suspended", !organization.is_suspended()),
        step("J10", "the project is neither archived nor deleted", project.is_in_force()),
    ];
    if let Some((_, _, exists)) = request.resource {
        steps.push(step("K4", "the project has the resource", exists));
    }
    steps.push(step("K6", "the key's role holds the permission", held.contains(request.permission)));
    let narrowed = narrowing.permissions.is_none_or(|set| set.contains(request.permission));
    steps.push(step("K7", "the key is not narrowed to other permissions", narrowed));
    if !narrowing.resources.is_empty() {
        // What is about resources of some type and names none could be about any: refused.
        let fits = match request.resource {
            None => request.permission.resource_type().is_none(),
            Some((kind, id, _)) => {
                let mut patterns = narrowing.resources.iter().filter(|one| one.kind == kind);
                patterns.any(|one| one.matching.matches(&one.text, id))
            }
        };
        steps.push(step("K7", "the key is not narrowed to other resources", fits));
    }
    if !narrowing.models.is_empty() && (request.permission.bears_model() || request.model.is_some()) {
        let fits = request
            .model
            .is_some_and(|name| narrowing.models.iter().any(|one| one.matching.matches(&one.text, name)));
        steps.push(step("K7", "the key is not narrowed to other models", fits));
    }
    if !narrowing.networks.is_empty() {
        let inside = |address| narrowing.networks.iter().any(|network| network.contains(address));
        let fits = request.address.is_some_and(inside);
        steps.push(step("K7", "the key is not narrowed to other client networks", fits));
    }
    steps.extend(of_budgets(request.permission, exhausted));
    steps
}

/// The steps for whoever stands so to an organization or a project and asks for a permission there.
pub fn of_standing(standing: &Standing, permission: Permission, exhausted: Exhausted) -> Vec<Step> {
    let word = "the role holds the permission";
    match standing {
        Standing::Installation | Standing::Reporter | Standing::Invited(..) => Vec::new(),
        Standing::Organization(organization, membership) => {
            let holds =
                membership.is_some_and(|one| PermissionSet::of_organization(one.role).contains(permission));
            vec![
                step("X2", "they are a member of the organization", membership.is_some()),
                step("O6", "the organization is not suspended", !organization.is_suspended()),
                step("P1", word, holds),
            ]
        }
        Standing::Project { organization, project, membership, collaboration } => {
            let is_admin = membership.is_some_and(|one| one.role == Role::Admin);
            let is_seen = standing.is_known();
            let mut steps = vec![step("P4", "they may know of the project", is_seen)];
            steps.push(step("O6", "the organization is not suspended", !organization.is_suspended()));
            let archiving = [
                Permission::OrgProjectsArchive,
                Permission::OrgProjectsDelete,
                Permission::ProjectSettingsRead,
            ];
            let open = !project.is_archived() || archiving.contains(&permission);
            steps.push(step("J10", "the project is not archived", open));
            let by_organization = [
                Permission::OrgProjectsSetVisibility,
                Permission::OrgProjectsArchive,
                Permission::OrgProjectsDelete,
            ];
            if by_organization.contains(&permission) {
                steps.push(step("J4", "they are an admin of the organization", is_admin));
                return steps;
            }
            steps.push(step("J4", "they take part in the project", collaboration.is_some()));
            if membership.is_none() && collaboration.is_some_and(|one| one.is_external) {
                steps.push(step("X3", "the project lets external collaborators in", project.allows_external));
                let switch = permission != Permission::ProjectExternalWrite;
                steps.push(step("X6", "it is not the switch for externals", switch));
            }
            let role = standing.role();
            let holds = role.is_some_and(|role| PermissionSet::of_project(role).contains(permission));
            let rule = if is_admin { "J5" } else { "P2" };
            steps.push(step(rule, word, holds));
            steps.extend(of_budgets(permission, exhausted));
            steps
        }
    }
}

fn of_budgets(permission: Permission, exhausted: Exhausted) -> Vec<Step> {
    if !permission.is_metered() {
        return Vec::new();
    }
    vec![
        step("B2", "the organization is within its budget", !exhausted.organization),
        step("B2", "the project is within its budget", !exhausted.project),
        step("B2", "the key is within its budget", !exhausted.key),
    ]
}

const fn step(rule: &'static str, asks: &'static str, holds: bool) -> Step {
    Step { rule, asks, holds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::permit::tests::scene;
    use crate::iam::{Demand, Visibility, authorize};

    /// Every person there can be, before every project there can be, asking for everything.
    #[test]
    fn steps_come_to_what_authorize_says() {
        let roles = [None, Some(Role::Member), Some(Role::Admin)];
        let mut cases = 0;
        for (organization_role, project_role) in
            roles.into_iter().flat_map(|one| roles.map(|other| (one, other)))
        {
            for switches in 0..32u8 {
                let on = |bit: u8| switches >> bit & 1 == 1;
                let mut scene = scene(organization_role, project_role);
                scene.project.allows_external = on(0);
                scene.project.archived_at = on(1).then_some(UnixMillis(1));
                scene.organization.suspended_at = on(2).then_some(UnixMillis(1));
                scene.project.deleted_at = on(3).then_some(UnixMillis(1));
                scene.project.visibility = if on(4) { Visibility::Private } else { Visibility::Closed };
                let standing = Standing::Project {
                    organization: &scene.organization,
                    project: &scene.project,
                    membership: scene.membership.as_ref(),
                    collaboration: scene.collaboration.as_ref(),
                };
                let within = Standing::Organization(&scene.organization, scene.membership.as_ref());
                for permission in Permission::ALL.iter().copied() {
                    for standing in [&standing, &within] {
                        let allowed =
                            authorize(&scene.caller, Demand::Permission(permission), standing).is_ok();
                        let steps = of_standing(standing, permission, Exhausted::default());
                        assert!(!steps.is_empty());
                        let passed = steps.iter().all(|step| step.holds);
                        assert_eq!(
                            passed, allowed,
                            "{permission} {organization_role:?} {project_role:?} {steps:?}"
                        );
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 9 * 32 * Permission::ALL.len() * 2);
    }
}
