//! The only place of the native gate that names status codes.

use crate::headers;
use crate::watch::Watched;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderName,
    HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Response, StatusCode};
use latchkey_api::Timestamp;
use latchkey_gate::bodies::{self, Names};
use latchkey_gate::{Class, Grant, Health, Refusal, Standing, Status, Unavailable};
use latchkey_snapshot::Cors;
use serde_json::{Value, json};

/// A body: one of ours, or one that streams through.
pub(crate) type Body = BoxBody<Bytes, hyper::Error>;
/// An answer.
pub type Reply = Response<Body>;

/// The status by which an origin goes on to another protocol.
pub(crate) const SWITCHING: StatusCode = StatusCode::SWITCHING_PROTOCOLS;

/// 503: the application asks about another path than its handler was given.
pub(crate) fn rewritten() -> Reply {
    let title = "the path was rewritten after the request was accepted";
    plain(StatusCode::SERVICE_UNAVAILABLE, "not_configured", title)
}

/// 404: no such path among the gate's own.
pub(crate) fn not_found() -> Reply {
    plain(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
}

/// 405.
pub(crate) fn method_not_allowed() -> Reply {
    plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the method is not allowed here")
}

/// 431.
pub(crate) fn head_too_long() -> Reply {
    let title = "the request's head is too long";
    plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_long", title)
}

/// 403: the caller of forward-auth is not the proxy.
pub(crate) fn forward_token() -> Reply {
    plain(StatusCode::FORBIDDEN, "forward_token", "the forward-auth token is needed")
}

/// 400: the proxy did not name the original request.
pub(crate) fn forward_headers() -> Reply {
    let title = "the headers do not name one original method and target";
    plain(StatusCode::BAD_REQUEST, "forward_headers", title)
}

/// 400: the proxy would let a header go on that an origin may take for one which must not.
pub(crate) fn header_spelling() -> Reply {
    let title = "a header could be taken for another";
    plain(StatusCode::BAD_REQUEST, "header_spelling", title)
}

/// 503: allowed, and there is nowhere to go.
pub(crate) fn no_origin(standing: Option<Standing>) -> Reply {
    told(retried(plain(StatusCode::SERVICE_UNAVAILABLE, "no_origin", "no origin is configured")), standing)
}

/// 503: allowed, and the origin cannot be told who calls so that it could check it.
pub(crate) fn assertion_unavailable(standing: Option<Standing>) -> Reply {
    let title = "who calls cannot be asserted to the origin";
    told(retried(plain(StatusCode::SERVICE_UNAVAILABLE, "assertion_unavailable", title)), standing)
}

/// 503: no manifest is known yet, and so no key.
pub(crate) fn keys_unavailable() -> Reply {
    let title = "the gate does not know its keys yet";
    retried(plain(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", title))
}

/// 200: the keys by which assertions are checked.
pub(crate) fn keys(set: String) -> Reply {
    json_reply(StatusCode::OK, "application/jwk-set+json", set)
}

fn retried(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// 502: allowed, and the origin did not answer.
pub(crate) fn origin_unreachable(standing: Option<Standing>) -> Reply {
    told(plain(StatusCode::BAD_GATEWAY, "origin_unreachable", "the origin did not answer"), standing)
}

/// 503: allowed, and who calls cannot be told.
pub(crate) fn out_of_reach(standing: Option<Standing>) -> Reply {
    refused(OUT_OF_REACH, standing)
}

/// The gate's refusal, for a proxy that may keep back its body: a header has it too.
pub(crate) fn refused_to_proxy(refusal: Refusal, standing: Option<Standing>) -> Reply {
    let (status, permission) = class(refusal);
    let text = problem_text(status, refusal.code(), &refusal.to_string(), permission);
    let mut reply = refused(refusal, standing);
    // JSON of ASCII words is a header's value.
    reply.headers_mut().extend(HeaderValue::try_from(text).ok().map(|text| (PROBLEM, text)));
    reply
}

/// The gate's refusal.
pub(crate) fn refused(refusal: Refusal, standing: Option<Standing>) -> Reply {
    let (status, permission) = class(refusal);
    let mut reply = problem(status, refusal.code(), &refusal.to_string(), permission);
    let headers = reply.headers_mut();
    let challenge = match refusal {
        Refusal::Unauthenticated(_) => Some("Bearer"),
        Refusal::OutOfForce(_) => Some("Bearer error=\"invalid_token\""),
        _ => None,
    };
    headers.extend(challenge.map(|challenge| (WWW_AUTHENTICATE, HeaderValue::from_static(challenge))));
    headers.extend(refusal.retry_after_secs().map(|secs| (RETRY_AFTER, HeaderValue::from(secs))));
    told(reply, standing)
}

/// A refusal's status, and the permission that it names.
fn class(refusal: Refusal) -> (StatusCode, Option<&'static str>) {
    let status = match refusal.class() {
        Class::BadRequest => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let permission = match refusal {
        Refusal::Forbidden(permission) => Some(permission.as_str()),
        _ => None,
    };
    (status, permission)
}

/// 200: who a key is.
pub(crate) fn whoami(grant: &Grant, names: &Names, standing: Option<Standing>) -> Reply {
    // A moment of RFC 3339 is a text in JSON.
    let expires_at = grant.expiry.map(|expiry| serde_json::to_value(Timestamp(expiry.begins())).ok());
    let expires_at = expires_at.flatten();
    let generation = standing.map(|standing| standing.generation);
    let body = bodies::whoami(grant, names, expires_at.as_ref().and_then(Value::as_str), generation);
    told(json_reply(StatusCode::OK, "application/json", body), standing)
}

/// 200: the proxy may pass the request on, with these headers.
pub(crate) fn verified(grant: &Grant, names: &Names, standing: Option<Standing>) -> Reply {
    let mut reply = new(StatusCode::OK, "text/plain", Bytes::new());
    reply.headers_mut().extend(identity(grant, names));
    told(reply, standing)
}

/// The origin's own response, with the verdict's headers and without what it says in their place.
pub(crate) fn from_origin(response: Response<Watched<Incoming>>, standing: Option<Standing>) -> Reply {
    returned(response.map(BodyExt::boxed), standing)
}

/// Whoever's response, with the verdict's headers and without what it says in their place.
pub(crate) fn returned<B>(mut response: Response<B>, standing: Option<Standing>) -> Response<B> {
    headers::strip(response.headers_mut());
    told(response, standing)
}

/// 200: the proxy may pass the request on; nobody is named.
pub(crate) fn passed(standing: Option<Standing>) -> Reply {
    told(new(StatusCode::OK, "text/plain", Bytes::new()), standing)
}

/// Tells Envoy which headers of the original request do not go on.
pub(crate) fn without(mut reply: Reply, names: &str) -> Reply {
    set(reply.headers_mut(), HeaderName::from_static("x-envoy-auth-headers-to-remove"), names);
    reply
}

/// 204: pages of this origin may call with this method, which a rule has.
pub(crate) fn preflight(origin: &str, method: &str, cors: &Cors) -> Reply {
    let mut reply = new(StatusCode::NO_CONTENT, "text/plain", Bytes::new());
    let headers = reply.headers_mut();
    allow_origin(headers, origin, cors);
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, method);
    if !cors.headers.is_empty() {
        set(headers, ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers.join(", "));
    }
    set(headers, ACCESS_CONTROL_MAX_AGE, &cors.max_age_secs.to_string());
    reply
}

/// 403: they may not.
pub(crate) fn origin_not_allowed() -> Reply {
    plain(StatusCode::FORBIDDEN, "origin_not_allowed", "pages of this origin may not call here")
}

/// Lets pages of this origin read an answer.
pub(crate) fn share(headers: &mut HeaderMap, origin: &str, cors: &Cors) {
    allow_origin(headers, origin, cors);
    if !cors.exposed.is_empty() {
        set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.exposed.join(", "));
    }
}

fn allow_origin(headers: &mut HeaderMap, origin: &str, cors: &Cors) {
    if cors.allows_every_origin() {
        set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Sets a header whose value came in one, or stands in the rules; what is none is left out, and the page is refused.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

/// The model that the body was seen to name, as the origin is told.
pub(crate) fn model(model: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_static("latchkey-model"), HeaderValue::from_str(model).ok()?))
}

/// The host that was judged, as the origin is told.
pub(crate) fn host(host: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_static("x-forwarded-host"), HeaderValue::from_str(host).ok()?))
}

/// Who calls, as the origin is told.
pub(crate) fn identity(grant: &Grant, names: &Names) -> HeaderMap {
    // Ids and roles are words of ASCII.
    bodies::identity(grant, names)
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect()
}

/// 200: the gate's account of itself, as far as strangers may know; the rest is with the metrics.
pub(crate) fn status(status: &Status) -> Reply {
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "health": health(status.health),
        "generation": status.generation.map(|generation| generation.0),
        "age_ms": status.age_ms,
        "stale": status.health != Health::Fresh,
    });
    json_reply(StatusCode::OK, "application/json", body.to_string())
}

pub(crate) const fn health(health: Health) -> &'static str {
    match health {
        Health::Fresh => "fresh",
        Health::Stale => "stale",
        Health::Refusing => "refusing",
        Health::Cold => "cold",
    }
}

/// 200: text for Prometheus.
pub(crate) fn metrics(text: String) -> Reply {
    new(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
}

/// How old the knowledge behind an answer is.
fn told<B>(mut reply: Response<B>, standing: Option<Standing>) -> Response<B> {
    let Some(standing) = standing else { return reply };
    let headers = reply.headers_mut();
    headers.insert("latchkey-generation", HeaderValue::from(standing.generation.0));
    headers.insert("latchkey-age", HeaderValue::from(standing.age_ms));
    if standing.stale {
        headers.insert("latchkey-stale", HeaderValue::from_static("1"));
    }
    reply
}

fn plain(status: StatusCode, code: &str, title: &str) -> Reply {
    problem(status, code, title, None)
}

/// An error body, `application/problem+json` (RFC 9457).
fn problem(status: StatusCode, code: &str, title: &str, permission: Option<&str>) -> Reply {
    let text = problem_text(status, code, title, permission);
    json_reply(status, "application/problem+json", text)
}

fn problem_text(status: StatusCode, code: &str, title: &str, permission: Option<&str>) -> String {
    bodies::problem(status.as_u16(), code, title, permission)
}

fn json_reply(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    new(status, content_type, body.into())
}

fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Allowed, and who calls cannot be told.
pub(crate) const OUT_OF_REACH: Refusal = Refusal::Unavailable(Unavailable::OutOfReach);
/// Where a proxy finds a refusal's body.
const PROBLEM: HeaderName = HeaderName::from_static("latchkey-problem");
