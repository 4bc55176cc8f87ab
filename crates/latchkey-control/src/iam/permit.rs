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

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Something of the tables P1 and P2.
    Permission(Permission),
    /// Something only an operator may.
    Operator(OperatorAct),
    /// Something about themselves, that every person may.
    Own,
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
    /// Make operator tokens.
    Tokens,
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
}

impl Standing<'_> {
    /// The role that counts there: in a project, the collaborator's (J5), never a mere organization admin's (J4).
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Installation => None,
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
            Self::Installation => true,
            Self::Organization(_, membership) => membership.is_some(),
            Self::Project { project, membership, .. } => {
                let seen = |member: &&Membership| {
                    member.role == Role::Admin || project.visibility != Visibility::Private
                };
                self.role().is_some() || membership.as_ref().is_some_and(seen)
            }
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Installation => Scope::Installation,
            Self::Organization(organization, _) => Scope::Organization(organization.number),
            Self::Project { organization, project, .. } => {
                Scope::Project(organization.number, project.number)
            }
        }
    }

    fn organization(&self) -> Option<&Organization> {
        match self {
            Self::Installation => None,
            Self::Organization(organization, _) | Self::Project { organization, .. } => Some(organization),
        }
    }

    fn permissions(&self) -> PermissionSet {
        let Some(role) = self.role() else { return PermissionSet::EMPTY };
        match self {
            Self::Installation => PermissionSet::EMPTY,
            Self::Organization(..) => PermissionSet::of_organization(role),
            Self::Project { .. } => PermissionSet::of_project(role),
        }
    }
}

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
        Demand::Permission(_) | Demand::Own => Err(Denied::Forbidden(demand.as_str())),
    }
}

fn session_may(demand: Demand, standing: &Standing) -> Result<Option<Role>, Denied> {
    if !standing.is_known() {
        return Err(Denied::NotFound);
    }
    if standing.organization().is_some_and(Organization::is_suspended) {
        return Err(Denied::Suspended);
    }
    let allowed = match demand {
        Demand::Own => true,
        Demand::Operator(_) => false,
        Demand::Permission(permission) => standing.permissions().contains(permission),
    };
    if allowed { Ok(standing.role()) } else { Err(Denied::Forbidden(demand.as_str())) }
}

#[cfg(test)]
mod tests;
