//! Usage as edges report it, and as it is asked for (IAM §7).

use crate::day::Day;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
