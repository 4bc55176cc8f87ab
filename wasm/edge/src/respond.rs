//! The only place in this script that names status codes.

use crate::gateway;
use crate::names::Names;
use crate::usage::Account;
use latchkey_core::Role;
use latchkey_gate::{Class, Grant, Health, Refusal, Standing, Status, Subject, Unavailable};
use latchkey_snapshot::Cors;
use serde::Serialize;
use std::collections::BTreeMap;
use worker::js_sys::{Date, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{Headers, ReadableStream, Response, ResponseInit};
use worker::{Error, Result};

/// What the hub answers for what it does not hold.
pub(crate) const NOT_FOUND: u16 = 404;

/// An error body, `application/problem+json` (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: String,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'a str>,
}

/// 503: the script's variables are not as they must be; its log says which.
pub(crate) fn not_configured() -> Result<Response> {
    plain(503, "not_configured", "the edge is not configured")
}

/// 404: no such path among the script's own.
pub(crate) fn not_found() -> Result<Response> {
    plain(NOT_FOUND, "not_found", "there is nothing here")
}

/// 405.
pub(crate) fn method_not_allowed() -> Result<Response> {
    plain(405, "method_not_allowed", "the method is not allowed here")
}

/// 503: there is no push token, so nothing can be pushed.
pub(crate) fn push_not_configured() -> Result<Response> {
    plain(503, "not_configured", "the edge has no push token")
}

/// 401: not the push token.
pub(crate) fn push_token() -> Result<Response> {
    let response = plain(401, "unauthenticated", "the push token is needed")?;
    response.headers().set("www-authenticate", "Bearer")?;
    Ok(response)
}

/// 413.
pub(crate) fn too_long(len_max: usize) -> Result<Response> {
    plain(413, "too_long", &format!("the body has more than {len_max} bytes"))
}

/// 503: the hub did not answer.
pub(crate) fn hub_unreachable() -> Result<Response> {
    unavailable("hub_unreachable", "the hub did not answer", None)
}

/// 403: the caller of forward-auth is not the proxy.
pub(crate) fn forward_token() -> Result<Response> {
    plain(403, "forward_token", "the forward-auth token is needed")
}

/// 400: the proxy did not name the original request.
pub(crate) fn forward_headers() -> Result<Response> {
    plain(400, "forward_headers", "the headers do not name one original method and target")
}

/// 503: allowed, and there is nowhere to go.
pub(crate) fn no_origin(standing: Option<Standing>) -> Result<Response> {
    unavailable("no_origin", "no origin is configured", standing)
}

/// 503: allowed, and the origin cannot be told who calls so that it could check it.
pub(crate) fn assertion_unavailable(standing: Option<Standing>) -> Result<Response> {
    unavailable("assertion_unavailable", "who calls cannot be asserted to the origin", standing)
}

/// 503: no manifest is known yet, and so no key.
pub(crate) fn keys_unavailable() -> Result<Response> {
    unavailable("keys_unavailable", "the edge does not know its keys yet", None)
}

/// 200: the keys by which assertions are checked.
pub(crate) fn keys(set: &impl Serialize) -> Result<Response> {
    json_response(200, "application/jwk-set+json", set)
}

/// 502: allowed, and the origin did not answer.
pub(crate) fn origin_unreachable(standing: Option<Standing>) -> Result<Response> {
    let response = plain(502, "origin_unreachable", "the origin did not answer")?;
    tell_standing(&response.headers(), standing)?;
    Ok(response)
}

/// 503: allowed, and who calls cannot be told.
pub(crate) fn out_of_reach(standing: Option<Standing>) -> Result<Response> {
    refused(Refusal::Unavailable(Unavailable::OutOfReach), standing)
}

/// The gate's refusal.
pub(crate) fn refused(refusal: Refusal, standing: Option<Standing>) -> Result<Response> {
    let status = match refusal.class() {
        Class::BadRequest => 400,
        Class::Unauthenticated => 401,
        Class::PaymentRequired => 402,
        Class::Forbidden => 403,
        Class::NotFound => NOT_FOUND,
        Class::TooMany => 429,
        Class::Unavailable => 503,
    };
    let permission = match refusal {
        Refusal::Forbidden(permission) => Some(permission.as_str()),
        _ => None,
    };
    let response = problem(status, refusal.code(), &refusal.to_string(), permission)?;
    let headers = response.headers();
    match refusal {
        Refusal::Unauthenticated(_) => headers.set("www-authenticate", "Bearer")?,
        Refusal::OutOfForce(_) => headers.set("www-authenticate", "Bearer error=\"invalid_token\"")?,
        _ => {}
    }
    if let Some(secs) = refusal.retry_after_secs() {
        headers.set("retry-after", &secs.to_string())?;
    }
    tell_standing(&headers, standing)?;
    Ok(response)
}

// Bodies are structs and not `serde_json::Value`, which brings tables for numbers with decimals, of which there are none.

#[derive(Serialize)]
struct Whoami<'a> {
    key: Named<'a>,
    project: Named<'a>,
    organization: Named<'a>,
    role: Option<&'a str>,
    permissions: Vec<&'a str>,
    expires_at: Option<String>,
    generation: Option<u64>,
}

#[derive(Serialize)]
struct Named<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// 200: who a key is.
pub(crate) fn whoami(grant: &Grant, names: &Names, standing: Option<Standing>) -> Result<Response> {
    let permissions: Vec<&str> =
        grant.binding.permissions.iter().map(|permission| permission.as_str()).collect();
    let body = Whoami {
        key: Named { id: subject(grant).1, slug: None, name: None },
        project: Named {
            id: names.project.to_string(),
            slug: Some(&names.project_slug),
            name: Some(&names.project_name),
        },
        organization: Named {
            id: names.organization.to_string(),
            slug: None,
            name: Some(&names.organization_name),
        },
        role: grant.binding.role.map(Role::as_str),
        permissions,
        expires_at: grant.expiry.map(|expiry| rfc3339(expiry.begins().0)),
        generation: standing.map(|standing| standing.generation.0),
    };
    let response = json_response(200, "application/json", &body)?;
    tell_standing(&response.headers(), standing)?;
    Ok(response)
}

/// 200: the proxy may pass the request on, with these headers.
pub(crate) fn verified(grant: &Grant, names: &Names, standing: Option<Standing>) -> Result<Response> {
    let response = new(200, None, "text/plain")?;
    let headers = response.headers();
    for (name, value) in identity(grant, names) {
        headers.set(name, &value)?;
    }
    tell_standing(&headers, standing)?;
    Ok(response)
}

/// The origin's own response and its body, with the verdict's headers and without what it says in their place.
pub(crate) fn from_origin(
    response: &Response,
    body: Option<&ReadableStream>,
    standing: Option<Standing>,
) -> Result<Response> {
    // The runtime takes status and headers over without touching them.
    let response = Response::new_with_opt_readable_stream_and_init(body, response.unchecked_ref())?;
    gateway::strip(&response.headers())?;
    tell_standing(&response.headers(), standing)?;
    Ok(response)
}

/// 101: the origin changed to a WebSocket, of which `socket` is the caller's end.
pub(crate) fn switched(
    response: &Response,
    socket: &JsValue,
    standing: Option<Standing>,
) -> Result<Response> {
    let headers = Headers::new_with_headers(&response.headers())?;
    gateway::strip(&headers)?;
    tell_standing(&headers, standing)?;
    let init = ResponseInit::new();
    init.set_status(101);
    init.set_headers(&headers);
    Reflect::set(&init, &JsValue::from_str("webSocket"), socket)?;
    Response::new_with_opt_readable_stream_and_init(None, &init).map_err(Error::from)
}

/// 200: the proxy may pass the request on; nobody is named.
pub(crate) fn passed(standing: Option<Standing>) -> Result<Response> {
    let response = new(200, None, "text/plain")?;
    tell_standing(&response.headers(), standing)?;
    Ok(response)
}

/// 204: pages of this origin may call with this method, which a rule has.
pub(crate) fn preflight(origin: &str, method: &str, cors: &Cors) -> Result<Response> {
    let response = new(204, None, "text/plain")?;
    let headers = response.headers();
    allow_origin(&headers, origin, cors)?;
    headers.set("access-control-allow-methods", method)?;
    if !cors.headers.is_empty() {
        headers.set("access-control-allow-headers", &cors.headers.join(", "))?;
    }
    headers.set("access-control-max-age", &cors.max_age_secs.to_string())?;
    Ok(response)
}

/// 403: they may not.
pub(crate) fn origin_not_allowed() -> Result<Response> {
    plain(403, "origin_not_allowed", "pages of this origin may not call here")
}

/// Lets pages of this origin read an answer.
pub(crate) fn share(headers: &Headers, origin: &str, cors: &Cors) -> Result<()> {
    allow_origin(headers, origin, cors)?;
    if !cors.exposed.is_empty() {
        headers.set("access-control-expose-headers", &cors.exposed.join(", "))?;
    }
    Ok(())
}

fn allow_origin(headers: &Headers, origin: &str, cors: &Cors) -> Result<()> {
    if cors.allows_every_origin() {
        headers.set("access-control-allow-origin", "*")?;
    } else {
        headers.set("access-control-allow-origin", origin)?;
        headers.append("vary", "Origin")?;
    }
    Ok(())
}

/// Who calls, as the origin is told.
pub(crate) fn identity(grant: &Grant, names: &Names) -> [(&'static str, String); 4] {
    [
        subject(grant),
        ("latchkey-project", names.project.to_string()),
        ("latchkey-organization", names.organization.to_string()),
        ("latchkey-role", grant.binding.role.map_or("", Role::as_str).to_owned()),
    ]
}

/// Who, and the header that says so: a key's id or a session's identity, never both.
fn subject(grant: &Grant) -> (&'static str, String) {
    match grant.subject {
        Subject::Key(id) => ("latchkey-key", id.to_string()),
        Subject::Session(identity) => ("latchkey-identity", identity.to_string()),
    }
}

#[derive(Serialize)]
struct Told {
    version: &'static str,
    health: &'static str,
    generation: Option<u64>,
    age_ms: Option<u64>,
    stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Counted>>,
}

#[derive(Serialize)]
struct Details {
    root_version: u32,
    serving: Option<u64>,
    pending: Option<u64>,
    as_of: Option<u64>,
    refused_manifest: Option<String>,
    quarantined: Option<String>,
    inline: usize,
    removed_ahead: usize,
    deltas: Deltas,
    rules: Rules,
    nodes: Part,
    pages: Part,
    bytes_held: u64,
    memory_bytes: u64,
    evictions: u64,
    breaker_open: bool,
    heads: Heads,
    objects_refused: u64,
    answers: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Deltas {
    held: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct Rules {
    count: usize,
    version: Option<String>,
}

#[derive(Serialize)]
struct Part {
    held: usize,
    named: usize,
}

#[derive(Serialize)]
struct Heads {
    accepted: u64,
    refused: u64,
    forked: u64,
}

#[derive(Serialize)]
struct Counted {
    pending: bool,
    lost: u64,
}

/// 200: the gate's account of itself. The counters are for whoever holds the push token.
pub(crate) fn status(status: &Status, usage: Option<Account>, trusted: bool) -> Result<Response> {
    let health = match status.health {
        Health::Fresh => "fresh",
        Health::Stale => "stale",
        Health::Refusing => "refusing",
        Health::Cold => "cold",
    };
    let body = Told {
        version: env!("CARGO_PKG_VERSION"),
        health,
        generation: status.generation.map(|generation| generation.0),
        age_ms: status.age_ms,
        stale: status.health != Health::Fresh,
        details: trusted.then(|| details(status)),
        usage: trusted.then(|| usage.map(|usage| Counted { pending: usage.pending, lost: usage.lost })),
    };
    json_response(200, "application/json", &body)
}

fn details(status: &Status) -> Details {
    Details {
        root_version: status.root_version,
        serving: status.generation.map(|generation| generation.0),
        pending: status.pending.map(|generation| generation.0),
        as_of: status.as_of.map(|as_of| as_of.0),
        refused_manifest: status.refused_manifest.map(|error| error.to_string()),
        quarantined: status.quarantined.map(|error| error.to_string()),
        inline: status.inline,
        removed_ahead: status.removed_ahead,
        deltas: Deltas { held: status.deltas, bytes: status.delta_bytes },
        rules: Rules { count: status.rules, version: status.routing.map(hex) },
        nodes: Part { held: status.nodes_held, named: status.nodes_named },
        pages: Part { held: status.pages_held, named: status.pages_named },
        bytes_held: status.bytes_held,
        memory_bytes: status.memory_bytes,
        evictions: status.evictions,
        breaker_open: status.breaker_open,
        heads: Heads {
            accepted: status.heads_accepted,
            refused: status.heads_refused,
            forked: status.heads_forked,
        },
        objects_refused: status.objects_refused,
        answers: status.counts.iter().map(|count| (count.cause.to_string(), count.times)).collect(),
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How old the knowledge behind an answer is.
fn tell_standing(headers: &Headers, standing: Option<Standing>) -> Result<()> {
    let Some(standing) = standing else { return Ok(()) };
    headers.set("latchkey-generation", &standing.generation.to_string())?;
    headers.set("latchkey-age", &standing.age_ms.to_string())?;
    if standing.stale {
        headers.set("latchkey-stale", "1")?;
    }
    Ok(())
}

fn unavailable(code: &str, title: &str, standing: Option<Standing>) -> Result<Response> {
    let response = plain(503, code, title)?;
    let headers = response.headers();
    headers.set("retry-after", "1")?;
    tell_standing(&headers, standing)?;
    Ok(response)
}

fn plain(status: u16, code: &str, title: &str) -> Result<Response> {
    problem(status, code, title, None)
}

fn problem(status: u16, code: &str, title: &str, permission: Option<&str>) -> Result<Response> {
    let kind = format!("urn:latchkey:problem:{code}");
    let body = Problem { r#type: kind, title: title.to_owned(), status, code, permission };
    json_response(status, "application/problem+json", &body)
}

fn json_response(status: u16, content_type: &str, body: &impl Serialize) -> Result<Response> {
    new(status, Some(&serde_json::to_vec(body)?), content_type)
}

fn new(status: u16, body: Option<&[u8]>, content_type: &str) -> Result<Response> {
    let headers = Headers::new()?;
    headers.set("cache-control", "no-store")?;
    headers.set("content-type", content_type)?;
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers);
    let body = body.map(|body| Uint8Array::from(body).unchecked_into());
    Response::new_with_opt_buffer_source_and_init(body.as_ref(), &init).map_err(Error::from)
}

/// `2026-11-23T10:00:00Z`; what is told is in the range of dates.
pub(crate) fn rfc3339(secs: u64) -> String {
    let date = Date::new(&JsValue::from_f64(secs as f64 * 1000.0));
    String::from(date.to_iso_string()).replace(".000Z", "Z")
}
