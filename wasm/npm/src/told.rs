//! What JavaScript is told, as JSON. Every value says by a field of its own which it is.

use crate::case::Case;
use crate::respond::{self, Answer};
use latchkey_core::{ProjectId, Role, UnixSeconds};
use latchkey_gate::{Grant, Health, NamesOf, Outcome, Pass, Status, Subject, Verdict};
use latchkey_snapshot::{Forwarding, ObjectRef};
use serde::Serialize;
use std::collections::BTreeMap;

/// One step of a request.
#[derive(Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum StepTold {
    /// Look at the head, or wait for whoever does.
    Head { start: bool },
    /// Fetch these, or wait for whoever does.
    Objects { objects: Vec<WantedTold> },
    /// Look into the body for this field.
    Body { field: String },
    /// Count a request of these keys.
    #[serde(rename_all = "camelCase")]
    Rate { family: String, per_minute: u32 },
    /// Whether a request that was let in still would be; if not, its line of the decision log, if it was drawn.
    Again { allowed: bool, decision: Option<String> },
}

/// What became of a head.
#[derive(Serialize)]
#[serde(tag = "head", rename_all = "snake_case")]
pub(crate) enum HeadTold {
    /// `confirmed`: all that it names is here.
    Taken {
        confirmed: bool,
        generation: Option<u64>,
    },
    Older,
    /// This root must come first.
    Root {
        version: u32,
    },
    Refused {
        why: String,
    },
}

/// An object by its digest and length.
#[derive(Serialize)]
pub(crate) struct WantedTold {
    digest: String,
    len: u32,
}

impl WantedTold {
    pub(crate) fn of(reference: &ObjectRef) -> Self {
        Self { digest: reference.digest().to_string(), len: reference.len_bytes() }
    }
}

/// A verdict.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerdictTold<'a> {
    step: &'static str,
    allowed: bool,
    /// `granted`, `public` or `shadow`; or `refused`.
    how: &'static str,
    /// The refusal's code for clients; of a shadow, the one that it would have.
    code: Option<&'static str>,
    /// The refusal's code for logs.
    cause: Option<&'static str>,
    caller: Option<CallerTold<'a>>,
    generation: Option<u64>,
    age_ms: Option<u64>,
    stale: bool,
    /// What a refused client gets.
    answer: Option<Answer>,
    /// Headers that the request may not keep, and those that it gets.
    remove: Vec<&'a str>,
    set: Vec<(&'static str, String)>,
    host: Option<&'a str>,
    /// Headers of the response.
    tell: Vec<(&'static str, String)>,
    #[serde(flatten)]
    beside: Beside,
}

/// What the client has no part in.
#[derive(Serialize)]
pub(crate) struct Beside {
    /// The line of the decision log, if it was drawn.
    pub(crate) decision: Option<String>,
    /// What to keep until the request has gone on, if it is to be counted then.
    pub(crate) used: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallerTold<'a> {
    key: Option<String>,
    identity: Option<String>,
    project: &'a Named,
    organization: &'a Named,
    role: Option<&'static str>,
    permissions: Vec<&'static str>,
    permission: Option<&'static str>,
    expires_at: Option<String>,
    model: Option<&'a str>,
}

/// The names of a grant.
pub(crate) struct NamesTold {
    pub(crate) project_id: ProjectId,
    pub(crate) project: Named,
    pub(crate) organization: Named,
}

/// Something with an id.
#[derive(Serialize)]
pub(crate) struct Named {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slug: Option<String>,
    pub(crate) name: String,
}

impl NamesTold {
    pub(crate) fn of(names: &NamesOf<'_>) -> Self {
        let NamesOf { project, organization } = names;
        Self {
            project_id: project.id,
            project: Named {
                id: project.id.to_string(),
                slug: Some(project.slug.as_str().to_owned()),
                name: project.name.to_string(),
            },
            organization: Named {
                id: organization.id.to_string(),
                slug: None,
                name: organization.name.to_string(),
            },
        }
    }
}

/// The answer to a request, whoever was let in with its names.
pub(crate) fn answered(
    case: &Case,
    verdict: &Verdict,
    caller: Option<(&Grant, &NamesTold)>,
    beside: Beside,
) -> String {
    let standing = verdict.standing;
    let (how, refusal) = match (&verdict.outcome, caller) {
        (Outcome::Allow(_), Some(_)) => ("granted", None),
        (Outcome::Pass(Pass::Public), _) => ("public", None),
        (Outcome::Pass(Pass::Shadow(refusal)), _) => ("shadow", Some(*refusal)),
        (Outcome::Refuse(refusal), _) => ("refused", Some(*refusal)),
        // Who is let in is named, or goes nowhere.
        (Outcome::Allow(_), None) => ("refused", Some(respond::OUT_OF_REACH)),
    };
    let allowed = how != "refused";
    let mut remove = case.reserved();
    let forwarding = verdict.matched.map_or(Forwarding::Removed, |matched| matched.forwarding);
    if forwarding == Forwarding::Removed {
        remove.push("authorization");
    }
    json(&VerdictTold {
        step: "verdict",
        allowed,
        how,
        code: refusal.map(|refusal| refusal.code()),
        cause: refusal.map(|refusal| refusal.cause()),
        caller: caller.map(|(grant, names)| CallerTold::of(case, grant, names)),
        generation: standing.map(|standing| standing.generation.0),
        age_ms: standing.map(|standing| standing.age_ms),
        stale: standing.is_some_and(|standing| standing.stale),
        answer: refusal.filter(|_| !allowed).map(|refusal| respond::refused(refusal, standing)),
        remove,
        set: caller.map_or_else(Vec::new, |(grant, names)| identity(case, grant, names)),
        host: case.host(),
        tell: respond::standing(standing),
        beside,
    })
}

impl<'a> CallerTold<'a> {
    fn of(case: &'a Case, grant: &Grant, names: &'a NamesTold) -> Self {
        let (key, identity) = match grant.subject {
            Subject::Key(id) => (Some(id.to_string()), None),
            Subject::Session(identity) => (None, Some(identity.to_string())),
        };
        Self {
            key,
            identity,
            project: &names.project,
            organization: &names.organization,
            role: grant.binding.role.map(Role::as_str),
            permissions: grant.binding.permissions.iter().map(|one| one.as_str()).collect(),
            permission: grant.permission.map(|permission| permission.as_str()),
            expires_at: grant.expiry.map(|expiry| rfc3339(expiry.begins())),
            model: case.model(),
        }
    }
}

/// Who calls, as an origin behind the gateway is told.
fn identity(case: &Case, grant: &Grant, names: &NamesTold) -> Vec<(&'static str, String)> {
    let mut told = vec![
        match grant.subject {
            Subject::Key(id) => ("latchkey-key", id.to_string()),
            Subject::Session(identity) => ("latchkey-identity", identity.to_string()),
        },
        ("latchkey-project", names.project.id.clone()),
        ("latchkey-organization", names.organization.id.clone()),
        ("latchkey-role", grant.binding.role.map_or("", Role::as_str).to_owned()),
    ];
    told.extend(case.model().map(|model| ("latchkey-model", model.to_owned())));
    told
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusTold {
    health: &'static str,
    generation: Option<u64>,
    age_ms: Option<u64>,
    stale: bool,
    root_version: u32,
    rules: usize,
    pages_held: usize,
    pages_named: usize,
    memory_bytes: u64,
    heads_accepted: u64,
    heads_refused: u64,
    objects_refused: u64,
    breaker_open: bool,
    answers: BTreeMap<String, u64>,
    rejudged: RejudgedTold,
}

#[derive(Serialize)]
struct RejudgedTold {
    allowed: u64,
    refused: u64,
}

/// The gate's account of itself.
pub(crate) fn status(status: &Status) -> String {
    json(&StatusTold {
        health: match status.health {
            Health::Fresh => "fresh",
            Health::Stale => "stale",
            Health::Refusing => "refusing",
            Health::Cold => "cold",
        },
        generation: status.generation.map(|generation| generation.0),
        age_ms: status.age_ms,
        stale: status.health != Health::Fresh,
        root_version: status.root_version,
        rules: status.rules,
        pages_held: status.pages_held,
        pages_named: status.pages_named,
        memory_bytes: status.memory_bytes,
        heads_accepted: status.heads_accepted,
        heads_refused: status.heads_refused,
        objects_refused: status.objects_refused,
        breaker_open: status.breaker_open,
        answers: status.counts.iter().map(|count| (count.cause.to_string(), count.times)).collect(),
        rejudged: RejudgedTold { allowed: status.rejudged.allowed, refused: status.rejudged.refused },
    })
}

/// What is told is text and numbers, and cannot fail to be JSON; an empty text is no step, so nothing is let in by it.
pub(crate) fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).unwrap_or_default()
}

/// `2026-11-23T10:00:00Z`.
pub(crate) fn rfc3339(at: UnixSeconds) -> String {
    let (days, secs) = (at.0 / 86_400, at.0 % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

/// The date of a day since 1970-01-01, in the Gregorian calendar (Hinnant, `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_428_000, "2026-11-23T10:00:00Z"),
            (2_040_000_000, "2034-08-24T02:40:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UnixSeconds(secs)), text);
        }
    }
}
