//! How far publishing has come.

use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/operator/publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Publishing {
    /// The newest committed generation.
    pub committed: u64,
    /// The generation of the newest statement.
    pub stated: u64,
    /// Bytes of all pages of the base that it names.
    pub base_bytes: u64,
    /// How many deltas there are since.
    pub deltas: u64,
    /// Bytes of those deltas.
    pub chain_bytes: u64,
    /// The root in force.
    pub root_version: u32,
    /// Since when an operator holds grants back; `null` if nobody does.
    pub held_since: Option<Timestamp>,
    /// Why no new base is signed, until an operator releases it.
    pub held_back: Option<String>,
    /// Why there is no newer statement, if building one failed.
    pub error: Option<String>,
    /// Why keys that should have replaced those in force were refused.
    pub refused_keys: Option<String>,
    /// Keys that are used and soon will not be believed any more.
    pub ending_keys: Vec<PublishingKey>,
    /// Each sink, in the order of the configuration.
    pub sinks: Vec<PublishingSink>,
    /// What became of the wait, if `wait` was asked for.
    pub waited: Option<PublishingWait>,
}

/// A key that ends soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingKey {
    /// `offline`, `release`, `head`, `session` or `edge`.
    pub role: String,
    /// The public key, 64 hexadecimal characters.
    pub public_key: String,
    /// Until when what it signs is believed.
    pub not_after: Timestamp,
}

/// How far one sink has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingSink {
    /// What it is called.
    pub name: String,
    /// Every change up to this generation is in the head that it last took.
    pub published: u64,
    /// The generation of the statement in that head.
    pub statement: u64,
    /// That head's `as_of`, in Unix milliseconds.
    pub as_of_ms: u64,
    /// Why the last attempt failed, until one succeeds.
    pub last_error: Option<String>,
    /// How far its clock is off ours, in milliseconds, as far as the exchange's delay does not explain it.
    pub clock_off_ms: u64,
    /// Where edges behind it stood within the last minute, if any told: a sample, and no proof.
    pub edges: Option<PublishingEdges>,
}

/// Where edges stood within the last minute whose answers were not marked as stale, as they told their hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingEdges {
    /// The lowest generation that one of them answered from.
    pub oldest_generation: u64,
    /// When that was told last, in Unix milliseconds.
    pub reported_at_ms: u64,
    /// How many reads of the head told something.
    pub reports: u64,
}

/// What an edge told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingReport {
    /// The generation that it answered from.
    pub generation: u64,
    /// When, in Unix milliseconds.
    pub reported_at_ms: u64,
}

/// What became of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingWait {
    /// The generation that was waited for.
    pub generation: u64,
    /// Whether every sink holds it and the freshness bound has passed since: no edge answers without it any more,
    /// unless it marks the answer as stale. `false` when an edge contradicts it.
    pub reached: bool,
    /// What an edge told within the last minute, after the bound had passed, that contradicts it: it answered without the
    /// change, and did not mark the answers as stale.
    pub contradicted: Option<PublishingReport>,
}

/// The query of `GET /v1/operator/publish`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishQuery {
    /// A generation, as `Latchkey-Generation` names it or as a number, to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// How long to wait at most, in seconds: 1 to 50; 30 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// The query of `GET /v1/gate/head`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateHeadQuery {
    /// The head that the gate has: the BLAKE3 digest of its bytes, 64 lower-case hexadecimal characters. The answer waits
    /// for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long to wait at most, in seconds: 1 to 50; 20 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// Whether grants are held back from edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishHold {
    /// Since when; `null` if they are not.
    pub held_since: Option<Timestamp>,
}
