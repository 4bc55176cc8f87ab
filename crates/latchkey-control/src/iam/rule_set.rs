//! A set of route rules that was put in force: which, when, and as which change.

use latchkey_core::{Generation, UnixMillis};

/// What is kept of a set of route rules, beside its text. None is ever changed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    /// Counts the sets that were put in force, from 1.
    pub number: u64,
    /// The digest by which edges tell which rules they have: two files that say the same have the same.
    pub version: [u8; 32],
    /// How many rules it has.
    pub rules: u32,
    /// BLAKE3 of the text that it was read from; the audit entry has it too, so the log proves the text.
    pub text_digest: [u8; 32],
    /// When it was put in force.
    pub applied_at: UnixMillis,
    /// The generation that this became. Whatever is published of it or of a later one says these rules.
    pub generation: Generation,
}
