//! What stands in the URL: a path's segments and a query.

use super::error::Refusal;
use crate::app::AppError;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use latchkey_api::PageQuery;
use serde::de::DeserializeOwned;

/// The path's segments. Those that are no text name nothing that exists.
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(AppError::NOT_FOUND.into()),
        }
    }
}

/// The query of a list.
pub(super) struct Listing(pub(super) PageQuery);

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Asked::from_request_parts(parts, state).await.map(|Asked(query)| Self(query))
    }
}

/// Any other query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Refusal::Query(rejection.body_text())),
        }
    }
}
