//! Around every route: it takes the body and the query that it takes and nothing else, and its caller's wishes are
//! read: `Idempotency-Key`, `If-Match`, `If-None-Match`, `dry_run`.
//!
//! [`mind`] is the layer; what the wishes come to is seen to in `app::manners`.

use super::body::unread;
use super::error::{NOT_MODIFIED, Refusal};
use crate::app::Asker;
use crate::app::manners::{EntityTag, IfMatch, Manners, Once};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// The header that makes two requests one.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Characters that such a key has at most.
pub(super) const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// The query parameter that lets nothing happen.
pub(super) const DRY_RUN: &str = "dry_run";

/// Bytes that a body has at most where there is nothing to say.
const NOTHING_BYTES_MAX: usize = 16;

/// What a route is, as far as manners go.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    pub(super) kind: Kind,
    pub(super) takes_query: bool,
    /// Bytes its body has at most; `None` if it takes no body.
    pub(super) body_bytes_max: Option<usize>,
    /// How long it may take to arrive.
    pub(super) body_read: Duration,
}

/// What a request to a route does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads, by `GET`.
    Read,
    /// Neither of the others: a long question, or something that anybody may do.
    Ask,
    /// It changes something, and its caller may have wishes.
    Change,
}

/// Lets a request through to its route if the route understands all of it.
pub(super) async fn mind(State(ways): State<Ways>, request: Request, next: Next) -> Response {
    let known = (ways.kind == Kind::Read).then(|| request.headers().clone());
    match prepare(ways, request).await {
        Ok(request) => unless_known(known, next.run(request).await),
        Err(refusal) => refusal.into_response(),
    }
}

async fn prepare(ways: Ways, request: Request) -> Result<Request, Refusal> {
    let (mut parts, body) = request.into_parts();
    let (query, is_dry_run) = match ways.kind {
        Kind::Change => without_dry_run(parts.uri.query())?,
        _ => (parts.uri.query().unwrap_or_default().to_owned(), false),
    };
    if !ways.takes_query && !query.is_empty() {
        return Err(Refusal::Query("this route takes no such parameter".to_owned()));
    }
    let bytes = read(ways, body).await?;
    if ways.kind == Kind::Change {
        let once = idempotency_key(&parts.headers)?.map(|key| Once {
            route: format!("{} {}", parts.method, parts.uri.path()),
            key,
            asked: digest(&query, &bytes),
        });
        let manners = Manners { once, if_match: if_match(&parts.headers)?, is_dry_run };
        if let Some(asker) = parts.extensions.remove::<Asker>() {
            parts.extensions.insert(asker.asking(manners));
        }
        parts.uri = with_query(&parts.uri, &query)?;
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// The whole body, before anything is decided.
async fn read(ways: Ways, body: Body) -> Result<Bytes, Refusal> {
    let mut request = Request::new(body);
    DefaultBodyLimit::max(ways.body_bytes_max.unwrap_or(NOTHING_BYTES_MAX)).apply(&mut request);
    let read = tokio::time::timeout(ways.body_read, Bytes::from_request(request, &())).await;
    let read = read.map_err(|_| Refusal::BodyTimeout)?.map_err(unread);
    match (ways.body_bytes_max, read) {
        (Some(_), read) => read,
        (None, Ok(bytes)) if is_nothing(&bytes) => Ok(Bytes::new()),
        (None, Ok(_) | Err(Refusal::BodyTooLarge)) => Err(Refusal::UnexpectedBody),
        (None, Err(refusal)) => Err(refusal),
    }
}

/// Whether a body says nothing at all: many clients send `{}` where they have nothing to say.
fn is_nothing(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || serde_json::from_slice::<serde_json::Map<_, _>>(bytes).is_ok_and(|fields| fields.is_empty())
}

/// The query without `dry_run=true`, and whether that was in it.
fn without_dry_run(query: Option<&str>) -> Result<(String, bool), Refusal> {
    let is_ours = |pair: &&str| pair.split('=').next() == Some(DRY_RUN);
    let pairs = || query.unwrap_or_default().split('&');
    let ours: Vec<&str> = pairs().filter(is_ours).collect();
    let rest: Vec<&str> = pairs().filter(|pair| !is_ours(pair)).collect();
    match ours[..] {
        [] => Ok((rest.join("&"), false)),
        [one] if one.strip_prefix(DRY_RUN) == Some("=true") => Ok((rest.join("&"), true)),
        _ => Err(Refusal::Query(format!("`{DRY_RUN}` is `true`, once, or absent"))),
    }
}

fn with_query(uri: &Uri, query: &str) -> Result<Uri, Refusal> {
    let text = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    // Parts of a URI make a URI again.
    text.parse().map_err(|_| Refusal::Query("the query is no query".to_owned()))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let is_key = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&value.len())
        && value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte))
        && all.next().is_none();
    let key = is_key.then(|| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let wrong = || {
        Refusal::Header(format!(
            "`Idempotency-Key` is 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters, once"
        ))
    };
    key.map(Some).ok_or_else(wrong)
}

fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Refusal> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let wrong = || Refusal::Header("`If-Match` is `*` or entity tags in double quotes".to_owned());
    tags(headers, header::IF_MATCH, Comparison::Strong).map(Some).ok_or_else(wrong)
}

/// Answers that what the caller knows is still so, instead of saying it again.
fn unless_known(request_headers: Option<HeaderMap>, response: Response) -> Response {
    let Some(headers) = request_headers else { return without_tag(response) };
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let Some(tag) = tag.map(|tag| EntityTag::named(tag.trim_matches('"'))) else { return response };
    // A list that is not understood names nothing that the caller knows.
    let is_known = match tags(&headers, header::IF_NONE_MATCH, Comparison::Weak) {
        Some(IfMatch::Any) => true,
        Some(IfMatch::Tags(tags)) => tags.contains(&tag),
        None => false,
    };
    if !is_known {
        return response;
    }
    let tag = response.headers().get(header::ETAG).cloned();
    let mut response = NOT_MODIFIED.into_response();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// Only what `GET` shows has a tag: one of an answer to a question would name no state of a thing.
fn without_tag(mut response: Response) -> Response {
    response.headers_mut().remove(header::ETAG);
    response
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag names no state exactly.
    Strong,
    /// A weak tag is as good.
    Weak,
}

/// The tags of a header (RFC 9110, 8.8.3): `*`, or a list of `"..."` and `W/"..."`. `None` if it is neither, or empty.
fn tags(headers: &HeaderMap, name: HeaderName, comparison: Comparison) -> Option<IfMatch> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    let text = lines?.join(",");
    if text.trim() == "*" {
        return Some(IfMatch::Any);
    }
    let mut tags = Vec::new();
    let mut rest = text.trim_matches([' ', ',']);
    while !rest.is_empty() {
        let (is_weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !is_weak || comparison == Comparison::Weak {
            tags.push(EntityTag::named(tag));
        }
        let next = after.trim_start_matches([' ', ',']);
        if !next.is_empty() && !after.trim_start().starts_with(',') {
            return None;
        }
        rest = next;
    }
    let is_empty = text.trim_matches([' ', ',']).is_empty();
    (!is_empty).then_some(IfMatch::Tags(tags))
}

fn digest(query: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("latchkey 2026-11 asked");
    hasher.update(&(query.len() as u64).to_le_bytes());
    hasher.update(query.as_bytes());
    hasher.update(body);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn list_of_tags_is_read_as_rfc_9110_says() {
        let read = |lines: &[&str], comparison| {
            tags(&headers(header::IF_MATCH, lines), header::IF_MATCH, comparison)
        };
        let of =
            |names: &[&str]| Some(IfMatch::Tags(names.iter().map(|name| EntityTag::named(name)).collect()));
        assert_eq!(read(&["*"], Comparison::Strong), Some(IfMatch::Any));
        assert_eq!(read(&[r#""a""#], Comparison::Strong), of(&["a"]));
        assert_eq!(read(&[r#""a", "b,c""#, r#" ,"d""#], Comparison::Strong), of(&["a", "b,c", "d"]));
        assert_eq!(read(&[r#"W/"a", "b""#], Comparison::Strong), of(&["b"]));
        assert_eq!(read(&[r#"W/"a", "b""#], Comparison::Weak), of(&["a", "b"]));
        for bad in ["", ",", "a", r#""a"#, r#""a" "b""#, r#"*, "a""#, r#"w/"a""#] {
            assert_eq!(read(&[bad], Comparison::Weak), None, "{bad}");
        }
    }

    #[test]
    fn dry_run_is_taken_out_of_the_query() {
        let read = |query| without_dry_run(Some(query)).ok();
        assert_eq!(read("dry_run=true"), Some((String::new(), true)));
        assert_eq!(read("a=b&dry_run=true&c=d"), Some(("a=b&c=d".to_owned(), true)));
        assert_eq!(read("a=b"), Some(("a=b".to_owned(), false)));
        for bad in [
            "dry_run",
            "dry_run=",
            "dry_run=false",
            "dry_run=True",
            "dry_run=true&dry_run=true",
            "dry_run=true%20",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
