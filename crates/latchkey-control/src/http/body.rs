//! JSON bodies: declared as such, within the route's limit, UTF-8, and nothing in them that is not understood.

use super::error::Refusal;
use crate::app::AppError;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The body of a request.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::MediaType);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return false };
    let essence = only.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Why a body could not be read.
pub(super) fn unread(rejection: BytesRejection) -> Refusal {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Refusal::BodyTooLarge,
        _ => Refusal::NotJson("the body broke off".to_owned()),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refusal::NotJson(format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let mut source = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        // `.` is how that library writes the body itself.
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let error = error.into_inner();
        // `null` where a word is wanted is told as bad syntax, and yet the body is JSON.
        if error.is_syntax() && serde_json::from_str::<serde_json::Value>(text).is_ok() {
            return AppError::Field { path, message: error.to_string() }.into();
        }
        refusal(path, &error)
    })?;
    source.end().map_err(|error| refusal(String::new(), &error))?;
    Ok(value)
}

fn refusal(path: String, error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => AppError::Field { path, message: error.to_string() }.into(),
        Category::Io | Category::Syntax | Category::Eof => Refusal::NotJson(error.to_string()),
    }
}
