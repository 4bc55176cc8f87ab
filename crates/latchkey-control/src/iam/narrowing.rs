//! What a key is narrowed to (K7). Narrowing only ever takes away: what it names beyond the role counts for nothing.

use latchkey_core::{Matching, Network, PermissionSet, ResourceType};

/// What a key is narrowed to. The default narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// These permissions alone, of those that its role has.
    pub permissions: Option<PermissionSet>,
    /// These resources alone; empty: any.
    pub resources: Vec<ResourcePattern>,
    /// These models alone; empty: any.
    pub models: Vec<ModelPattern>,
    /// From these client networks alone; empty: from anywhere.
    pub networks: Vec<Network>,
    /// Requests a minute and data centre, approximately; shared with its predecessors and successors (K8).
    pub rate_per_minute: Option<u32>,
}

/// Resources by the whole id or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourcePattern {
    /// Their type.
    pub kind: ResourceType,
    /// How the text is meant.
    pub matching: Matching,
    /// The id, or its beginning; characters of an id.
    pub text: String,
}

/// Models by the whole name or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelPattern {
    /// How the text is meant.
    pub matching: Matching,
    /// The name, or its beginning; characters of a model's name.
    pub text: String,
}
