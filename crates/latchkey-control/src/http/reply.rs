//! Replies: JSON, and for a change the token of the generation it became.

use super::error::{CREATED, NOTHING_NEW, Refusal, TAKEN};
use crate::app::manners::EntityTag;
use crate::app::{Answered, AppError, Control};
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Names the generation of a change, for whoever wants to read it back at an edge.
pub(super) const GENERATION: HeaderName = HeaderName::from_static("latchkey-generation");

/// Says that the change was made by an earlier request with the same idempotency key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Says that nothing was changed.
pub(super) const REHEARSED: HeaderName = HeaderName::from_static("latchkey-dry-run");

/// What a handler answers.
pub(super) type Outcome = Result<Response, Refusal>;

/// What was asked for, with its entity tag.
pub(super) fn shown<T: Serialize>(body: Result<T, AppError>) -> Outcome {
    let bytes = encoded(&body?)?;
    let tag = value(&format!("\"{}\"", EntityTag::of(&bytes).as_str()))?;
    let mut response = json(bytes);
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// What was asked for, in another media type than JSON.
pub(super) fn bytes(media_type: &'static str, body: Result<impl Into<Body>, AppError>) -> Outcome {
    Ok(([(header::CONTENT_TYPE, media_type)], body?.into()).into_response())
}

/// Bytes that will always be the answer to this request.
pub(super) fn unchanging(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], body.into()).into_response();
    response.extensions_mut().insert(Unchanging);
    response
}

/// Nothing that the caller does not have.
pub(super) fn nothing_new() -> Response {
    NOTHING_NEW.into_response()
}

/// Something that was changed.
pub(super) fn changed<T: Serialize>(control: &Control, change: Result<Answered<T>, AppError>) -> Outcome {
    let (mut response, generation) = match change? {
        Answered::Done(reply, generation) => (json(encoded(&reply)?), Some(generation)),
        Answered::Replayed(bytes, generation) => (marked(json(bytes), REPLAYED), Some(generation)),
        Answered::Rehearsed(reply) => (marked(json(encoded(&reply)?), REHEARSED), None),
    };
    if let Some(generation) = generation {
        let token = value(control.generation_token(generation).as_str())?;
        response.headers_mut().insert(GENERATION, token);
    }
    Ok(response)
}

/// Something that was made.
pub(super) fn created<T: Serialize>(control: &Control, change: Result<Answered<T>, AppError>) -> Outcome {
    let mut response = changed(control, change)?;
    *response.status_mut() = CREATED;
    Ok(response)
}

/// Something that was taken in, and changed something.
pub(super) fn accepted<T: Serialize>(control: &Control, change: Result<Answered<T>, AppError>) -> Outcome {
    let mut response = changed(control, change)?;
    *response.status_mut() = TAKEN;
    Ok(response)
}

/// Something that was taken in.
pub(super) fn taken<T: Serialize>(body: Result<T, AppError>) -> Outcome {
    let mut response = shown(body)?;
    *response.status_mut() = TAKEN;
    Ok(response)
}

/// Marks an answer that whoever asked for it may keep.
#[derive(Debug, Clone, Copy)]
struct Unchanging;

/// Around every request: nobody caches an answer but one that never changes, and the log says which route answered how, and no more. Paths
/// and headers as they came may hold what does not belong into a log.
pub(super) async fn seal(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let keep = match response.extensions().get::<Unchanging>() {
        Some(Unchanging) => "private, max-age=31536000, immutable",
        None => "no-store",
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    let status = response.status().as_u16();
    tracing::info!(%method, route = route.as_deref().unwrap_or("none"), status, "request");
    response
}

fn encoded(body: &impl Serialize) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec(body).map_err(|_| AppError::Store(StoreError::Panicked))
}

fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

fn marked(mut response: Response, mark: HeaderName) -> Response {
    response.headers_mut().insert(mark, HeaderValue::from_static("true"));
    response
}

fn value(text: &str) -> Result<HeaderValue, AppError> {
    HeaderValue::from_str(text).map_err(|_| AppError::Store(StoreError::Panicked))
}
