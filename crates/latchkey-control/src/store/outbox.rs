//! What a committed change touched, for whoever publishes it.

use latchkey_core::{Generation, KeyId, OrganizationNumber, ProjectNumber, ResourceType};

/// One generation and what it touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The generation.
    pub generation: Generation,
    /// What it touched; empty if nothing that edges know of.
    pub touches: Vec<Touch>,
}

/// A noun that changed, and which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The noun.
    pub noun: Touched,
    /// Which way it changed.
    pub effect: Effect,
}

/// A noun that edges may hold a copy of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    /// An organization, or somebody's membership in it.
    Organization(OrganizationNumber),
    /// A project, or somebody's collaboration in it.
    Project(ProjectNumber),
    /// An API key.
    Key(KeyId),
    /// A resource.
    Resource {
        /// Its type.
        kind: ResourceType,
        /// Its id.
        id: String,
    },
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It takes nothing away.
    Grants,
    /// Something that was allowed is refused from now on: it rides inline in the next head.
    Refuses,
}
