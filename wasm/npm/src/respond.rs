//! The only place of the npm package that names status codes.

use crate::told::json;
use latchkey_gate::{Class, Refusal, Standing, Unavailable, bodies};
use latchkey_snapshot::Cors;
use serde::Serialize;

/// What is told where it cannot be told who calls.
pub(crate) const OUT_OF_REACH: Refusal = Refusal::Unavailable(Unavailable::OutOfReach);

/// An answer of the gate's own.
#[derive(Serialize)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// The gate's refusal.
pub(crate) fn refused(refusal: Refusal, stands: Option<Standing>) -> Answer {
    let status = match refusal.class() {
        Class::BadRequest => 400,
        Class::Unauthenticated => 401,
        Class::PaymentRequired => 402,
        Class::Forbidden => 403,
        Class::NotFound => 404,
        Class::TooMany => 429,
        Class::Unavailable => 503,
    };
    let permission = match refusal {
        Refusal::Forbidden(permission) => Some(permission.as_str()),
        _ => None,
    };
    let mut answer = problem(status, refusal.code(), refusal.to_string(), permission);
    let challenge = match refusal {
        Refusal::Unauthenticated(_) => Some("Bearer"),
        Refusal::OutOfForce(_) => Some("Bearer error=\"invalid_token\""),
        _ => None,
    };
    answer.headers.extend(challenge.map(|challenge| ("www-authenticate", challenge.to_owned())));
    answer.headers.extend(refusal.retry_after_secs().map(|secs| ("retry-after", secs.to_string())));
    answer.headers.extend(standing(stands));
    answer
}

/// How old the knowledge behind an answer is.
pub(crate) fn standing(standing: Option<Standing>) -> Vec<(&'static str, String)> {
    let Some(standing) = standing else { return Vec::new() };
    let mut told = vec![
        ("latchkey-generation", standing.generation.to_string()),
        ("latchkey-age", standing.age_ms.to_string()),
    ];
    told.extend(standing.stale.then(|| ("latchkey-stale", "1".to_owned())));
    told
}

/// 204: pages of this origin may call with this method, which a rule has.
pub(crate) fn preflight(origin: &str, method: &str, cors: &Cors) -> String {
    let mut headers = allow_origin(origin, cors);
    headers.push(("access-control-allow-methods", method.to_owned()));
    if !cors.headers.is_empty() {
        headers.push(("access-control-allow-headers", cors.headers.join(", ")));
    }
    headers.push(("access-control-max-age", cors.max_age_secs.to_string()));
    headers.push(("cache-control", "no-store".to_owned()));
    json(&Answer { status: 204, headers, body: None })
}

/// 403: they may not.
pub(crate) fn origin_not_allowed() -> String {
    let title = "pages of this origin may not call here".to_owned();
    json(&problem(403, "origin_not_allowed", title, None))
}

/// What lets pages of this origin read an answer.
pub(crate) fn share(origin: &str, cors: &Cors) -> Vec<(&'static str, String)> {
    let mut headers = allow_origin(origin, cors);
    if !cors.exposed.is_empty() {
        headers.push(("access-control-expose-headers", cors.exposed.join(", ")));
    }
    headers
}

fn allow_origin(origin: &str, cors: &Cors) -> Vec<(&'static str, String)> {
    if cors.allows_every_origin() {
        return vec![("access-control-allow-origin", "*".to_owned())];
    }
    vec![("access-control-allow-origin", origin.to_owned()), ("vary", "Origin".to_owned())]
}

fn problem(status: u16, code: &str, title: String, permission: Option<&str>) -> Answer {
    let body = bodies::problem(status, code, &title, permission);
    let headers = vec![
        ("cache-control", "no-store".to_owned()),
        ("content-type", "application/problem+json".to_owned()),
    ];
    Answer { status, headers, body: Some(body) }
}
