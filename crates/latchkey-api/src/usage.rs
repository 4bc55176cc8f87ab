//! Usage as edges report it, and as it is asked for (IAM §7).

use crate::day::Day;
use crate::revealed::Revealed;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines that one batch has at most.
pub const BATCH_LINES_MAX: usize = 10_000;

/// `POST /v1/usage/batches`: what was allowed since the batch before. Counted once, however often it comes; the
/// answer to a batch that came before is that of the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportUsage {
    /// 128 random bits as 32 lower-case hexadecimal characters, drawn once and kept for every attempt.
    pub id: String,
    /// 1 to 10,000 lines.
    pub lines: Vec<UsageLine>,
}

/// What one subject did in one project on one UTC day with one permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageLine {
    /// Whose use.
    pub subject: UsageSubject,
    /// The project's number, as snapshots name it.
    pub project: u32,
    /// The permission's word, like `inference.invoke`.
    pub permission: String,
    /// The UTC day on which it was.
    pub day: Day,
    /// Requests that were allowed, 1 or more. Refused ones never count.
    pub requests: u64,
    /// When the last of them was, in whole seconds; on that day.
    pub last_at: Timestamp,
}

/// Whose use it was: `{"key": "…"}` or `{"identity": "idn_…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageSubject {
    /// A key's, by its public id of 11 characters.
    Key(String),
    /// A person's or service account's, through a session: `idn_…`.
    Identity(String),
}

/// The answer to a batch: it arrived, and need not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedUsage {
    /// The batch's id.
    pub id: String,
    /// What became of it.
    pub status: UsageBatchStatus,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageBatchStatus {
    /// It counts.
    Counted,
    /// It is not believed, until an operator decides.
    Held,
    /// An operator threw it away.
    Discarded,
}

/// A batch as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageBatch {
    /// Its id.
    pub id: String,
    /// The name of the usage credential that brought it.
    pub reporter: String,
    /// When it came.
    pub received_at: Timestamp,
    /// What became of it.
    pub status: UsageBatchStatus,
    /// Why it is held, beginning with the line: `lines[3]: no such project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many lines it has that are not counted or thrown away.
    pub lines_held: usize,
}

/// A held batch with all its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageBatchDetail {
    /// The batch.
    pub batch: UsageBatch,
    /// Its lines, as they were reported.
    pub lines: Vec<UsageLine>,
}

/// `POST /v1/operator/usage-tokens`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUsageToken {
    /// What to call it, 1 to 100 characters: it stands at the batches it brings.
    pub name: String,
}

/// A credential that brings usage and can do nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageToken {
    /// Its number.
    pub id: u32,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// The reply that shows a usage credential, the only time it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedUsageToken {
    /// The credential.
    pub usage_token: UsageToken,
    /// Its text, `lku_…`, for `Authorization: Bearer`.
    #[serde(serialize_with = "Revealed::show_once")]
    pub token: Revealed,
}

/// `GET /v1/operator/usage-tokens`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageTokenList {
    /// All of them, by number.
    pub items: Vec<UsageToken>,
}

/// The prices of this installation: of one allowed request, in millionths of its currency unit, by the
/// permission's word. What is absent costs nothing. A request is priced when it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// By word, like `{"inference.invoke": 250}`; each at most 10^12.
    pub prices: BTreeMap<String, u64>,
}

/// The query of `GET …/usage`. All days are UTC.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// The first day; that of the current month unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Day>,
    /// The last day, at most 366 days later; today unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Day>,
    /// `day`, `project`, `key`, `person`, `permission`, or several of them with commas; one sum unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Only this project's, by id or slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only this key's, with the keys that it succeeds and that succeed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only this person's, `user_…`: through their sessions, and by the keys that they made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only what this permission allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// `json`, or `csv` for RFC 4180.
    #[serde(default)]
    pub format: UsageFormat,
}

/// In what form usage is answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageFormat {
    /// `application/json`.
    #[default]
    Json,
    /// `text/csv`.
    Csv,
}

/// `GET …/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// A row for each group, at most 10,000.
    pub rows: Vec<UsageRow>,
    /// All of them together.
    pub total: UsageAmount,
}

/// One group. It names what was grouped by.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRow {
    /// The UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// `proj_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The project's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
    /// The key's public id; absent for use through sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// `user_…`: who signed in, or who made the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The permission's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// How much.
    #[serde(flatten)]
    pub amount: UsageAmount,
}

/// How much was used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageAmount {
    /// Requests that were allowed.
    pub requests: u64,
    /// What they cost when they were counted, in millionths of the installation's currency unit.
    pub cost_micros: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_of_an_edge_is_read() {
        let text = r#"{"id":"00112233445566778899aabbccddeeff","lines":[
            {"subject":{"key":"AAAAAAAAAAA"},"project":7,"permission":"inference.invoke",
             "day":"2026-11-24","requests":3,"last_at":"2026-11-24T10:00:00Z"},
            {"subject":{"identity":"idn_aaaaaaaaaaaaaaaa"},"project":7,"permission":"files.read",
             "day":"2026-11-24","requests":1,"last_at":"2026-11-24T10:00:00Z"}]}"#;
        let batch: ReportUsage = serde_json::from_str(text).unwrap();
        assert_eq!(batch.lines[0].subject, UsageSubject::Key("AAAAAAAAAAA".to_owned()));
        assert_eq!(batch.lines[1].day.to_string(), "2026-11-24");
        let again: ReportUsage = serde_json::from_str(&serde_json::to_string(&batch).unwrap()).unwrap();
        assert_eq!(again, batch);
    }

    #[test]
    fn subject_that_is_both_or_another_is_refused_r4() {
        for text in [r#"{"key":"a","identity":"b"}"#, r#"{"person":"a"}"#, "{}", r#""key""#] {
            assert!(serde_json::from_str::<UsageSubject>(text).is_err(), "{text}");
        }
    }
}
