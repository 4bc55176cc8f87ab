//! What a key is narrowed to (IAM K7).

use crate::resource::ResourceType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Patterns or networks that one list of a narrowing has at most.
pub const LIST_ITEMS_MAX: usize = 64;
/// Requests a minute that a narrowing grants at most.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 1_000_000;

/// What a key is narrowed to, out of what its role may do. What is absent is not narrowed; a list that is there has
/// 1 to 64 items, and whatever is not in it is refused. Shown sorted, every item once.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// These permissions alone. Each is one that a key of the role can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// These resources alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<ResourcePattern>>,
    /// These models alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<ModelPattern>>,
    /// From these client networks alone: `10.0.0.0/8`, `2001:db8::/32`, or one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// So many requests a minute and data centre, approximately: 1 to 1,000,000, shared with the keys that this one
    /// succeeds and that succeed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
}

/// Resources by the whole id, or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourcePattern {
    /// Their type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// How `id` is meant.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// The id, or its beginning.
    pub id: String,
}

/// Models by the whole name, or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelPattern {
    /// How `name` is meant.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// The name, or its beginning.
    pub name: String,
}

/// How a pattern is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The whole text.
    Exact,
    /// Every text that begins so.
    Prefix,
}

impl From<latchkey_core::Matching> for Matching {
    fn from(matching: latchkey_core::Matching) -> Self {
        match matching {
            latchkey_core::Matching::Exact => Self::Exact,
            latchkey_core::Matching::Prefix => Self::Prefix,
        }
    }
}

impl From<Matching> for latchkey_core::Matching {
    fn from(matching: Matching) -> Self {
        match matching {
            Matching::Exact => Self::Exact,
            Matching::Prefix => Self::Prefix,
        }
    }
}
