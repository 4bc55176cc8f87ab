//! Sets of route rules that were put in force.

use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of route rules. The one with the highest number is in force; another was until the next one's `applied_at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSet {
    /// Counts them, from 1.
    pub number: u64,
    /// The digest that edges tell as `rules.version`, 64 hexadecimal characters.
    pub version: String,
    /// How many rules it has.
    pub rules: u32,
    /// BLAKE3 of the text, 64 hexadecimal characters.
    pub text_digest: String,
    /// When it was put in force.
    pub applied_at: Timestamp,
    /// The generation that it became: edges have it once they are there.
    pub generation: u64,
}

/// `GET /v1/operator/routes/{number}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSetText {
    /// The set.
    pub rule_set: RuleSet,
    /// The file as the operator wrote it.
    pub text: String,
}
