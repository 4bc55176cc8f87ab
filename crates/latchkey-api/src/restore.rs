//! What a restore holds until an operator confirms it.

use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Things that one confirmation takes at most.
pub const CONFIRMED_MAX: usize = 1000;

/// The query of `GET /v1/operator/restore`.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldQuery {
    /// Only what concerns this organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// 1 to 200 items; 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Something that the restored state would accept and the published one refused: it is refused until an operator
/// confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldThing {
    /// What it is: `key/…`, `membership/…`, `collaboration/…/…`, `organization`, `project/…`, `externals/…`.
    pub id: String,
    /// The organization that it concerns.
    pub organization: String,
    /// What the published state said of it.
    pub why: HeldReason,
    /// When it was restored.
    pub held_at: Timestamp,
}

/// What the published state said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// It did not know it.
    Absent,
    /// It refused it.
    Refused,
    /// It let it do less, or end sooner.
    Less,
    /// It could not be reached.
    Unknown,
}

/// `POST /v1/operator/restore/confirm`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRestore {
    /// The organization.
    pub organization: String,
    /// What is confirmed, 1 to 1,000 ids as the list has them. Absent: the first 1,000 that are held there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<String>>,
}

/// What was confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmedRestore {
    /// As the list had it.
    pub confirmed: Vec<HeldThing>,
    /// Whether something is still held in the organization.
    pub is_more_held: bool,
}

/// A restore, as the log tells of it.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedRestore {
    /// The newest change in the backup.
    pub backup_generation: u64,
    /// When the backup was made.
    pub backup_made_at: Timestamp,
    /// What was published then; absent if it could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<LoggedPublished>,
    /// A newer state that an operator said was considered; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub considered: Option<LoggedConsidered>,
    /// The generation that everything from now on is above.
    pub above_generation: u64,
    /// Things that are held.
    pub held: usize,
    /// Sessions that ended.
    pub sessions: usize,
    /// Resources that were deleted again.
    pub resources: usize,
    /// Budgets that are used up.
    pub budgets: usize,
}

/// A state that a sink holds and a restored database lacks, and of which an operator said that it was considered.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LoggedConsidered {
    /// Its statement's generation.
    pub generation: u64,
    /// Its head's `as_of`, in milliseconds.
    pub as_of_ms: u64,
}

/// What was published when a restore looked.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedPublished {
    /// Under this root.
    pub root_version: u32,
    /// The newest change in it.
    pub generation: u64,
    /// Leaves that the audit log had: those behind the backup's are lost.
    pub audit_size: u64,
    /// That log's Merkle root, in hexadecimal.
    pub audit_root: String,
}
