//! May they? [`authorize`] is the one place that says so, and the only one that makes a [`Permit`].
//!
//! The facts come as a [`Standing`]: what the caller is to the organization or project in question. Refusals
//! follow R2: who may not know that a thing exists is told it does not.

use super::caller::{Actor, Caller};
use super::organization::{Membership, Organization};
use super::project::{Collaboration, Project, Visibility};
use latchkey_core::{OrganizationNumber, Permission, PermissionSet, ProjectNumber, Role};

/// Whether the caller may do this, given what they are there.
///
/// # Errors
/// [`Denied`] with the reason the caller may hear.
pub fn authorize(caller: &Caller, demand: Demand, standing: &Standing) -> Result<Permit, Denied> {
    let role = match caller {
        Caller::Operator { .. } => operator_may(demand)?,
        Caller::Session { .. } => session_may(demand, standing)?,
        Caller::Key(_) | Caller::Reporter(_) => credential_may(demand, standing)?,
    };
    Ok(Permit { actor: caller.actor(), demand, scope: standing.scope(), role })
}

/// The permit for making the very first operator token, while there is none.
///
/// # Errors
/// [`Denied::Forbidden`] once an operator exists: later ones are made by an operator.
pub const fn authorize_first_operator(operators: usize) -> Result<Permit, Denied> {
    if operators > 0 {
        return Err(Denied::Forbidden(OperatorAct::Tokens.as_str()));
    }
    let demand = Demand::Operator(OperatorAct::Tokens);
    Ok(Permit { actor: Actor::Installation, demand, scope: Scope::Installation, role: None })
}

/// The permit of whoever holds the whole text of a credential: to have that very credential revoked (K12).
pub const fn authorize_leak_report(holder: Actor, scope: Scope) -> Permit {
    Permit { actor: holder, demand: Demand::LeakReport, scope, role: None }
}

/// The permit of the installation itself, for what it takes away or tells as time passes (K10). It has no role, so
/// it gives nobody anything.
pub const fn authorize_upkeep(scope: Scope) -> Permit {
    Permit { actor: Actor::Installation, demand: Demand::Upkeep, scope, role: None }
}

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Something of the tables P1 and P2.
    Permission(Permission),
    /// Something only an operator may.
    Operator(OperatorAct),
    /// Something about themselves, that every person may.
    Own,
    /// Something that only the owner of the organization may (O3).
    Ownership,
    /// Becoming its owner, which only an admin may to whom that is offered (O3).
    Succession,
    /// Joining a project (P4).
    Join,
    /// Accepting an invitation (M2, X5).
    Accept,
    /// Bringing usage, which its own credential alone may (B3).
    Report,
    /// Having a credential revoked by holding it (K12): see [`authorize_leak_report`].
    LeakReport,
    /// What the installation does as time passes (K10): see [`authorize_upkeep`].
    Upkeep,
}

/// What only operators may do. Told to others by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAct {
    /// Create organizations and list all of them.
    Organizations,
    /// Suspend and resume an organization (O6).
    Suspension,
    /// Register, list and delete resources (G1).
    Resources,
    /// Sign a person in.
    SignIn,
    /// Make operator tokens and usage tokens.
    Tokens,
    /// Read the whole audit log, its tree and checkpoints, and erase what is personal (A1).
    Audit,
    /// Set prices, and decide on usage that is held (B3).
    Usage,
    /// Open and close the import of keys for an organization (K9).
    Import,
    /// See how far publishing has come, and hold grants back from edges.
    Publishing,
    /// Take a copy of the whole state.
    Backup,
    /// See and confirm what a restore holds.
    Restore,
    /// Put the route rules of the server's file in force, and read those that were.
    Rules,
}

impl OperatorAct {
    /// The word in a refusal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organizations => "operator.organizations",
            Self::Suspension => "operator.suspension",
            Self::Resources => "operator.resources",
            Self::SignIn => "operator.sign_in",
            Self::Tokens => "operator.tokens",
            Self::Audit => "operator.audit",
            Self::Usage => "operator.usage",
            Self::Import => "operator.import",
            Self::Publishing => "operator.publishing",
            Self::Backup => "operator.backup",
            Self::Restore => "operator.restore",
            Self::Rules => "operator.rules",
        }
    }
}

/// Why not. The HTTP layer turns `NotFound` into 404 and the others into 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The caller may not know that it exists (R2).
    NotFound,
    /// The caller may know, and lacks this permission.
    Forbidden(&'static str),
    /// The caller has the permission, but not for a key of this role (K6, K6a).
    RoleTooLow {
        /// The permission that was used.
        permission: &'static str,
        /// The role that the result has.
        needs: Role,
    },
    /// The organization is suspended (O6).
    Suspended,
    /// The project is archived (J10).
    Archived,
}

/// Where something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole installation.
    Installation,
    /// One organization.
    Organization(OrganizationNumber),
    /// One project of an organization.
    Project(OrganizationNumber, ProjectNumber),
}

/// What the caller is to the thing in question: facts, read from one view of the store.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// Nothing in particular is in question.
    Installation,
    /// The caller is a credential that brings usage.
    Reporter,
    /// An organization, and the caller's membership in it.
    Organization(&'a Organization, Option<&'a Membership>),
    /// A project, the caller's membership in its organization, and their collaboration in it.
    Project {
        /// The organization it belongs to.
        organization: &'a Organization,
        /// The project.
        project: &'a Project,
        /// The caller's membership in the organization.
        membership: Option<&'a Membership>,
        /// The caller's collaboration in the project.
        collaboration: Option<&'a Collaboration>,
    },
    /// The caller holds the link of an invitation to their own address: to an organization, or to a project of it.
    Invited(&'a Organization, Option<&'a Project>),
}

impl Standing<'_> {
    /// The role that counts there: in a project, the collaborator's (J5), never a mere organization admin's (J4).
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Installation | Self::Reporter | Self::Invited(..) => None,
            Self::Organization(_, membership) => membership.map(|membership| membership.role),
            Self::Project { project, membership, collaboration, .. } => match (collaboration, membership) {
                (Some(_), Some(membership)) if membership.role == Role::Admin => Some(Role::Admin),
                (Some(collaboration), Some(_)) => Some(collaboration.role),
                (Some(collaboration), None) => {
                    (collaboration.is_external && project.allows_external).then_some(collaboration.role)
                }
                (None, _) => None,
            },
        }
    }

    /// Whether the caller may know that it exists (P4, R2).
    pub fn is_known(&self) -> bool {
        match self {
            Self::Installation | Self::Reporter => true,
            Self::Organization(_, membership) => membership.is_some(),
            Self::Invited(_, project) => project.is_none_or(|project| project.deleted_at.is_none()),
            Self::Project { project, .. } if project.deleted_at.is_some() => false,
            Self::Project { project, membership, .. } => {
                let seen = |member: &&Membership| {
                    member.role == Role::Admin || project.visibility != Visibility::Private
                };
                self.role().is_some() || membership.as_ref().is_some_and(seen)
            }
        }
    }

    /// Whether somebody who is this there holds the permission now: what an invitation lives by (M2, X5).
    pub fn holds(&self, permission: Permission) -> bool {
        let is_suspended = self.organization().is_some_and(Organization::is_suspended);
        self.is_known() && !is_suspended && self.permissions().contains(permission)
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Installation | Self::Reporter => Scope::Installation,
            Self::Organization(organization, _) | Self::Invited(organization, None) => {
                Scope::Organization(organization.number)
            }
            Self::Project { organization, project, .. } | Self::Invited(organization, Some(project)) => {
                Scope::Project(organization.number, project.number)
            }
        }
    }

    fn organization(&self) -> Option<&Organization> {
        match self {
            Self::Installation | Self::Reporter => None,
            Self::Organization(organization, _)
            | Self::Project { organization, .. }
            | Self::Invited(organization, _) => Some(organization),
        }
    }

    fn permissions(&self) -> PermissionSet {
        let held = |role: Option<Role>, of: fn(Role) -> PermissionSet| role.map_or(PermissionSet::EMPTY, of);
        match self {
            Self::Installation | Self::Reporter | Self::Invited(..) => PermissionSet::EMPTY,
            Self::Organization(..) => held(self.role(), PermissionSet::of_organization),
            Self::Project { membership, .. } => {
                let mut set = held(self.role(), PermissionSet::of_project);
                // X3: an external project admin has all of P2 but the switch.
                if membership.is_none() {
                    set = set.without(Permission::ProjectExternalWrite);
                }
                // J4: of a project that they did not join, organization admins have these three and no more.
                if membership.is_some_and(|membership| membership.role == Role::Admin) {
                    set = UNJOINED.iter().fold(set, |set, permission| set.with(*permission));
                }
                set
            }
        }
    }

    const fn project(&self) -> Option<&Project> {
        match self {
            Self::Project { project, .. } => Some(project),
            Self::Invited(_, project) => *project,
            Self::Installation | Self::Reporter | Self::Organization(..) => None,
        }
    }

    fn is_owner(&self) -> bool {
        match self {
            Self::Organization(organization, Some(membership)) => organization.owner == membership.user,
            _ => false,
        }
    }

    const fn is_organization_admin(&self) -> bool {
        matches!(self, Self::Organization(_, Some(Membership { role: Role::Admin, .. })))
    }

    /// P4: organization admins may join any project, members an open one; nobody joins twice.
    fn may_join(&self) -> bool {
        match self {
            Self::Project { project, membership: Some(membership), collaboration: None, .. } => {
                membership.role == Role::Admin || project.visibility == Visibility::Open
            }
            _ => false,
        }
    }
}

/// What organization admins may do to a project without joining it (J4).
const UNJOINED: [Permission; 3] =
    [Permission::OrgProjectsSetVisibility, Permission::OrgProjectsArchive, Permission::OrgProjectsDelete];

/// The proof that [`authorize`] said yes: to whom, to what, and where. Made nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    actor: Actor,
    demand: Demand,
    scope: Scope,
    role: Option<Role>,
}

impl Permit {
    /// Who may.
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// Where.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether the result may have this role: one's own at most (K6, K6a).
    ///
    /// # Errors
    /// [`Denied::RoleTooLow`] names the role it takes.
    pub fn admits(&self, role: Role) -> Result<(), Denied> {
        if self.role.is_some_and(|own| own >= role) {
            return Ok(());
        }
        Err(Denied::RoleTooLow { permission: self.demand.as_str(), needs: role })
    }
}

impl Demand {
    /// The word in a refusal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permission(permission) => permission.as_str(),
            Self::Operator(act) => act.as_str(),
            Self::Own => "me",
            Self::Ownership | Self::Succession => "org.ownership",
            Self::Join => "project.join",
            Self::Accept => "invitations.accept",
            Self::Report => "usage.report",
            Self::LeakReport => "leaks.report",
            Self::Upkeep => "installation.upkeep",
        }
    }
}

/// Operators run the installation; they read what they must to do so, and hold no role in anybody's project.
fn operator_may(demand: Demand) -> Result<Option<Role>, Denied> {
    match demand {
        Demand::Operator(_)
        | Demand::Permission(
            Permission::OrgSettingsRead | Permission::OrgProjectsList | Permission::ProjectSettingsRead,
        ) => Ok(None),
        Demand::Permission(_)
        | Demand::Own
        | Demand::Ownership
        | Demand::Succession
        | Demand::Join
        | Demand::Accept
        | Demand::Report
        | Demand::LeakReport
        | Demand::Upkeep => Err(Denied::Forbidden(demand.as_str())),
    }
}

fn session_may(demand: Demand, standing: &Standing) -> Result<Option<Role>, Denied> {
    if !standing.is_known() {
        return Err(Denied::NotFound);
    }
    if standing.organization().is_some_and(Organization::is_suspended) {
        return Err(Denied::Suspended);
    }
    if standing.project().is_some_and(Project::is_archived) && !outlives_archiving(demand) {
        return Err(Denied::Archived);
    }
    let allowed = match demand {
        Demand::Own => true,
        Demand::Operator(_) | Demand::Report | Demand::LeakReport | Demand::Upkeep => false,
        Demand::Ownership => standing.is_owner(),
        Demand::Succession => standing.is_organization_admin(),
        Demand::Join => standing.may_join(),
        Demand::Accept => matches!(standing, Standing::Invited(..)),
        Demand::Permission(permission) => standing.permissions().contains(permission),
    };
    if allowed { Ok(standing.role()) } else { Err(Denied::Forbidden(demand.as_str())) }
}

/// What organization admins may do to a project that is archived, and what lets them find it (J10).
const fn outlives_archiving(demand: Demand) -> bool {
    matches!(
        demand,
        Demand::Permission(
            Permission::OrgProjectsArchive | Permission::OrgProjectsDelete | Permission::ProjectSettingsRead
        )
    )
}

/// A key manages nothing (K6b), and neither does what brings usage: of its own project a key may know.
fn credential_may(demand: Demand, standing: &Standing) -> Result<Option<Role>, Denied> {
    match (demand, standing) {
        (Demand::Report, Standing::Reporter) => Ok(None),
        (_, Standing::Installation | Standing::Reporter) => Err(Denied::Forbidden(demand.as_str())),
        _ => Err(Denied::NotFound),
    }
}

#[cfg(test)]
pub(super) mod tests;
