//! The only place in this script that names status codes.

use crate::runtime::{self, Changes};
use crate::usage::Account;
use latchkey_gate::bodies::{self, Names, identity};
use latchkey_gate::json::Object;
use latchkey_gate::{Class, Grant, Health, Refusal, Standing, Status, Unavailable};
use latchkey_snapshot::Cors;
use worker::js_sys::{Date, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{Headers, ReadableStream, Response, ResponseInit};
use worker::{Error, Result};

/// What the hub answers for what it does not hold.
pub(crate) const NOT_FOUND: u16 = 404;

/// As the runtime takes it. An answer that cannot be made is a 500, and the log says why.
pub(crate) fn handed_over(response: Result<Response>) -> JsValue {
    let response = response.or_else(|error| {
        worker::console_error!("there is no answer: {error}");
        plain(500, "internal", "the edge could not make its answer")
    });
    response.map_or(JsValue::UNDEFINED, JsValue::from)
}

/// 503: the script's variables are not as they must be; its log says which.
pub(crate) fn not_configured() -> Result<Response> {
    plain(503, "not_configured", "the edge is not configured")
}

/// 400: the request says what no request can.
pub(crate) fn unreadable() -> Result<Response> {
    plain(400, "unreadable", "the request cannot be read")
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

/// 400: the proxy would let a header go on that an origin may take for one which must not.
pub(crate) fn header_spelling() -> Result<Response> {
    plain(400, "header_spelling", "a header could be taken for another")
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
pub(crate) fn keys(set: &str) -> Result<Response> {
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

/// The gate's refusal, for a proxy that may keep back its body: a header has it too.
pub(crate) fn refused_to_proxy(refusal: Refusal, standing: Option<Standing>) -> Result<Response> {
    let (status, permission) = class(refusal);
    let text = bodies::problem(status, refusal.code(), &refusal.to_string(), permission);
    let response = refused(refusal, standing)?;
    response.headers().set("latchkey-problem", &text)?;
    Ok(response)
}

/// A refusal's status, and the permission that it names.
fn class(refusal: Refusal) -> (u16, Option<&'static str>) {
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
    (status, permission)
}

/// The gate's refusal.
pub(crate) fn refused(refusal: Refusal, standing: Option<Standing>) -> Result<Response> {
    let (status, permission) = class(refusal);
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

/// 200: who a key is.
pub(crate) fn whoami(grant: &Grant, names: &Names, standing: Option<Standing>) -> Result<Response> {
    let expires_at = grant.expiry.map(|expiry| rfc3339(expiry.begins().0));
    let generation = standing.map(|standing| standing.generation);
    let body = bodies::whoami(grant, names, expires_at.as_deref(), generation);
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

/// The origin's own response with this body, if one is given, with the verdict's headers and without what it says in their place.
pub(crate) fn from_origin(
    response: &Response,
    body: Option<&ReadableStream>,
    changes: Changes,
    standing: Option<Standing>,
) -> Result<Response> {
    runtime::answer(response, body, &with_standing(changes, standing))
}

/// 101: the origin changed to a WebSocket, of which `socket` is the caller's end.
pub(crate) fn switched(
    response: &Response,
    socket: &JsValue,
    changes: Changes,
    standing: Option<Standing>,
) -> Result<Response> {
    runtime::switched(response, socket, &with_standing(changes, standing))
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

/// 200: the gate's account of itself. The counters are for whoever holds the push token.
pub(crate) fn status(status: &Status, usage: Option<Account>, trusted: bool) -> Result<Response> {
    let health = match status.health {
        Health::Fresh => "fresh",
        Health::Stale => "stale",
        Health::Refusing => "refusing",
        Health::Cold => "cold",
    };
    let mut body = Object::new();
    body.text("version", env!("CARGO_PKG_VERSION")).text("health", health);
    body.number_or_null("generation", status.generation.map(|generation| generation.0));
    body.number_or_null("age_ms", status.age_ms).flag("stale", status.health != Health::Fresh);
    if trusted {
        body.object("details", details(status));
        match usage {
            None => body.bare("usage", "null"),
            Some(usage) => {
                let mut counted = Object::new();
                counted.flag("pending", usage.pending).number("lost", usage.lost);
                body.object("usage", counted)
            }
        };
    }
    json_response(200, "application/json", &body.end())
}

fn details(status: &Status) -> Object {
    let mut details = Object::new();
    details.number("root_version", status.root_version.into());
    details.number_or_null("serving", status.generation.map(|generation| generation.0));
    details.number_or_null("pending", status.pending.map(|generation| generation.0));
    details.number_or_null("as_of", status.as_of.map(|as_of| as_of.0));
    for (name, error) in [("refused_manifest", status.refused_manifest), ("quarantined", status.quarantined)]
    {
        details.text_or_null(name, error.map(|error| error.to_string()).as_deref());
    }
    details.number("inline", status.inline as u64).number("removed_ahead", status.removed_ahead as u64);
    details.object("deltas", numbers(&[("held", status.deltas as u64), ("bytes", status.delta_bytes)]));
    let mut rules = numbers(&[("count", status.rules as u64)]);
    rules.text_or_null("version", status.routing.map(hex).as_deref());
    details.object("rules", rules);
    details.object("nodes", part(status.nodes_held, status.nodes_named));
    details.object("pages", part(status.pages_held, status.pages_named));
    details.number("bytes_held", status.bytes_held).number("memory_bytes", status.memory_bytes);
    details.number_or_null("linear_memory_bytes", linear_memory_bytes());
    details.number("evictions", status.evictions).flag("breaker_open", status.breaker_open);
    let heads = [
        ("accepted", status.heads_accepted),
        ("refused", status.heads_refused),
        ("forked", status.heads_forked),
    ];
    details.object("heads", numbers(&heads)).number("objects_refused", status.objects_refused);
    let mut answers = Object::new();
    for count in &status.counts {
        answers.number(&count.cause, count.times);
    }
    details.object("answers", answers);
    let rejudged = [("allowed", status.rejudged.allowed), ("refused", status.rejudged.refused)];
    details.object("rejudged", numbers(&rejudged));
    details
}

/// All the memory that this module has, which never becomes less; `None` where it is no module.
fn linear_memory_bytes() -> Option<u64> {
    #[cfg(target_arch = "wasm32")]
    let pages = Some(core::arch::wasm32::memory_size::<0>() as u64);
    #[cfg(not(target_arch = "wasm32"))]
    let pages: Option<u64> = None;
    pages.map(|pages| pages << 16)
}

fn part(held: usize, named: usize) -> Object {
    numbers(&[("held", held as u64), ("named", named as u64)])
}

fn numbers(all: &[(&str, u64)]) -> Object {
    let mut object = Object::new();
    for (name, value) in all {
        object.number(name, *value);
    }
    object
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

fn with_standing(mut changes: Changes, standing: Option<Standing>) -> Changes {
    if let Some(standing) = standing {
        changes.set_number("latchkey-generation", standing.generation.0);
        changes.set_number("latchkey-age", standing.age_ms);
        if standing.stale {
            changes.set_number("latchkey-stale", 1);
        }
    }
    changes
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
    json_response(status, "application/problem+json", &bodies::problem(status, code, title, permission))
}

fn json_response(status: u16, content_type: &str, body: &str) -> Result<Response> {
    new(status, Some(body.as_bytes()), content_type)
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
