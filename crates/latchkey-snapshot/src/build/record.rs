//! What a snapshot can say, in the words of whoever says it.

use super::narrowing::Narrowing;
use crate::names::{OrganizationNames, ProjectNames};
use crate::page::{Binding, KeyState};
use latchkey_core::{
    ExpiryMinute, IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationNumber, ProjectNumber,
    ResourceId, ResourceType, Role, SessionId,
};

/// One thing that a snapshot says.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// A native key.
    Key {
        /// Its public id.
        id: KeyId,
        /// The digest of its text.
        digest: KeyDigest,
        /// Whose it is and what it may do; it has a role.
        binding: Binding,
        /// From when on it is refused.
        expiry: Option<ExpiryMinute>,
        /// Whether it is in force.
        state: KeyState,
        /// Whether it is refused where it costs money.
        out_of_budget: bool,
        /// What it is narrowed to besides its permissions.
        narrowing: Option<Narrowing>,
    },
    /// A key of another system.
    ImportedKey {
        /// Its public id, which its text does not hold.
        id: KeyId,
        /// The digest of its text.
        digest: ImportedDigest,
        /// Whose it is and what it may do; it has a role.
        binding: Binding,
        /// From when on it is refused.
        expiry: Option<ExpiryMinute>,
        /// Whether it is in force.
        state: KeyState,
        /// Whether it is refused where it costs money.
        out_of_budget: bool,
        /// What it is narrowed to besides its permissions.
        narrowing: Option<Narrowing>,
    },
    /// A resource of a project.
    Resource {
        /// Its type.
        resource: ResourceType,
        /// Its id.
        id: ResourceId<'a>,
        /// The project.
        project: ProjectNumber,
        /// The project's organization.
        organization: OrganizationNumber,
    },
    /// A text by which a path names a project: its permanent id, or its slug.
    ProjectReference {
        /// The text.
        text: &'a str,
        /// The project.
        project: ProjectNumber,
        /// The project's organization.
        organization: OrganizationNumber,
    },
    /// What a project is called.
    ProjectNames(ProjectNames),
    /// What an organization is called.
    OrganizationNames(OrganizationNames),
    /// An identity's membership in an organization.
    Membership {
        /// Who.
        identity: IdentityId,
        /// The organization.
        organization: OrganizationNumber,
        /// The role there.
        role: Role,
    },
    /// An identity's collaboration in a project.
    Collaboration {
        /// Who.
        identity: IdentityId,
        /// The project.
        project: ProjectNumber,
        /// The project's organization.
        organization: OrganizationNumber,
        /// The role in the project.
        role: Role,
        /// On what it rests.
        standing: Standing,
    },
    /// A session that was ended before its time.
    EndedSession {
        /// Which.
        session: SessionId,
        /// From when on no token of it can be valid, so that the record can go.
        forget: ExpiryMinute,
    },
}

/// On what a collaboration rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On a membership in the organization: without that it counts for nothing.
    Member,
    /// On itself, as long as the project lets externals in (IAM X3).
    External {
        /// From when on it is over (IAM X4).
        ends: Option<ExpiryMinute>,
    },
}
