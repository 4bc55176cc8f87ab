//! What a committed change touched, for whoever publishes it.

use super::error::StoreError;
use super::rows::{decode, encode};
use crate::iam::BudgetScope;
use latchkey_core::{
    Generation, IdentityId, KeyId, OrganizationNumber, ProjectNumber, ResourceType, SessionId,
};

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

impl Touch {
    /// These, as the outbox keeps them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], if they cannot be written.
    pub fn list_to_bytes(list: &Vec<Self>) -> Result<Vec<u8>, StoreError> {
        encode(list)
    }

    /// Those that the bytes hold.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn list_from_bytes(bytes: &[u8]) -> Result<Vec<Self>, StoreError> {
        decode(bytes)
    }
}

/// A noun that edges may hold a copy of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    /// An organization itself.
    Organization(OrganizationNumber),
    /// A project itself.
    Project(ProjectNumber),
    /// An identity's membership.
    Membership(OrganizationNumber, IdentityId),
    /// An identity's collaboration.
    Collaboration(ProjectNumber, IdentityId),
    /// A session.
    Session(SessionId),
    /// An API key.
    Key(KeyId),
    /// A resource.
    Resource {
        /// Its type.
        kind: ResourceType,
        /// Its id.
        id: String,
    },
    /// Whether what a budget covers is out of it.
    Budget(BudgetScope),
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It takes nothing away.
    Grants,
    /// Something that was allowed is refused from now on: it rides inline in the next head.
    Refuses,
}
