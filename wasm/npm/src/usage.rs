//! What was let in and went on (IAM B1, B3): counted here, and drawn up in batches as the control plane takes them.

use crate::told::{json, rfc3339};
use core::fmt::Write;
use latchkey_core::{IdentityId, KeyId, Permission, ProjectNumber, UnixMillis};
use latchkey_gate::usage::Line;
use latchkey_gate::{Grant, Subject, Usage};
use serde::Serialize;

/// What is kept of a grant until its request has gone on, as a text: JavaScript has it meanwhile and reads nothing in it.
/// `None`: it is nobody's use.
pub(crate) fn kept(grant: &Grant) -> Option<String> {
    let permission = grant.permission?.as_str();
    let number = grant.binding.project.0;
    let mut text = String::new();
    match grant.subject {
        Subject::Key(id) => write!(text, "key {id}"),
        Subject::Session(id) => write!(text, "identity {id}"),
    }
    .and_then(|()| write!(text, " {number} {permission}"))
    .ok()?;
    Some(text)
}

/// Counts what was kept. A text that is none counts for nobody.
pub(crate) fn count(usage: &mut Usage, kept: &str, now: UnixMillis) {
    if let Some((subject, project, permission)) = read(kept) {
        usage.count(subject, project, permission, now);
    }
}

fn read(kept: &str) -> Option<(Subject, ProjectNumber, Permission)> {
    let mut words = kept.split(' ');
    let (kind, id) = (words.next()?, words.next()?);
    let subject = match kind {
        "key" => Subject::Key(KeyId::parse(id.as_bytes())?),
        "identity" => Subject::Session(IdentityId::parse(id)?),
        _ => return None,
    };
    Some((subject, ProjectNumber(words.next()?.parse().ok()?), Permission::from_word(words.next()?)?))
}

/// `latchkey_api::usage::ReportUsage`, written without that crate.
#[derive(Serialize)]
struct Batch<'a> {
    id: &'a str,
    lines: Vec<LineTold>,
}

#[derive(Serialize)]
struct LineTold {
    subject: SubjectTold,
    project: u32,
    permission: &'static str,
    day: String,
    requests: u64,
    last_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SubjectTold {
    Key(String),
    Identity(String),
}

/// Everything that was counted, as the body of a batch with this id; `None` if that is nothing.
pub(crate) fn batch(usage: &mut Usage, id: &str) -> Option<String> {
    if usage.is_empty() {
        return None;
    }
    let lines = usage.drain().iter().map(LineTold::of).collect();
    Some(json(&Batch { id, lines }))
}

impl LineTold {
    fn of(line: &Line) -> Self {
        let last_at = rfc3339(line.last_at.seconds());
        Self {
            subject: match line.subject {
                Subject::Key(id) => SubjectTold::Key(id.to_string()),
                Subject::Session(id) => SubjectTold::Identity(id.to_string()),
            },
            project: line.project.0,
            permission: line.permission.as_str(),
            // `last_at` is on the line's day.
            day: last_at.get(..10).unwrap_or_default().to_owned(),
            requests: line.requests,
            last_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_grant_is_read_again_and_anything_else_is_nobodys() {
        let mut usage = Usage::default();
        for text in
            ["", "key", "key x 1 files.view", "key DaBE7iNshHh -1 files.view", "key DaBE7iNshHh 1 files.veiw"]
        {
            count(&mut usage, text, UnixMillis(1));
        }
        assert!(usage.is_empty() && batch(&mut usage, "a").is_none());
        count(&mut usage, "key DaBE7iNshHh 7 files.view", UnixMillis(1_795_428_000_000));
        count(&mut usage, "key DaBE7iNshHh 7 files.view", UnixMillis(1_795_428_001_999));
        assert_eq!(
            batch(&mut usage, "a").unwrap(),
            r#"{"id":"a","lines":[{"subject":{"key":"DaBE7iNshHh"},"project":7,"permission":"files.view","day":"2026-11-23","requests":2,"last_at":"2026-11-23T10:00:01Z"}]}"#
        );
        assert!(usage.is_empty());
    }
}
