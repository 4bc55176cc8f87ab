//! Refusals as responses: the only place of the control plane that knows a status code (invariant 5).
//!
//! What the client reads and what the log says are two things: the cause of a failure of ours is logged here and
//! never sent.

use crate::app::{AppError, Conflict, Ended};
use crate::iam::Denied;
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_api::{Code, Problem};

/// The status of a reply that made something.
pub(super) const CREATED: StatusCode = StatusCode::CREATED;
/// The status of a reply that took something in.
pub(super) const TAKEN: StatusCode = StatusCode::ACCEPTED;

/// The status of an answer that the caller has already.
pub(super) const NOT_MODIFIED: StatusCode = StatusCode::NOT_MODIFIED;

/// Marks the refusal of whoever proved nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unproven;

/// What a handler answers instead of a reply.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The use case's.
    App(AppError),
    /// The body is not declared as JSON.
    MediaType,
    /// The body is longer than the route takes.
    BodyTooLarge,
    /// The body is no JSON, or broke off; with where.
    NotJson(String),
    /// The query is not one that the route takes; with why.
    Query(String),
    /// The route takes no body.
    UnexpectedBody,
    /// A header that is read here is wrong; with why.
    Header(String),
    /// The body did not arrive in time.
    BodyTimeout,
    /// The whole request took too long.
    TimedOut,
    /// Too many requests; with the seconds after which the next is taken.
    RateLimited(u64),
    /// The path exists with other methods.
    Method,
}

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// The fallback for paths that do not exist.
pub(super) async fn no_such_path() -> Refusal {
    AppError::NOT_FOUND.into()
}

/// The fallback for methods that a path does not have; the router adds `Allow`.
pub(super) async fn no_such_method() -> Refusal {
    Refusal::Method
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_secs = match self {
            Self::RateLimited(secs) => Some(secs),
            _ => None,
        };
        let problem = match self {
            Self::App(error) => of_app(error),
            Self::MediaType => bare(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::UnsupportedMediaType),
            Self::BodyTooLarge => bare(StatusCode::PAYLOAD_TOO_LARGE, Code::BodyTooLarge),
            Self::NotJson(detail) => detailed(StatusCode::BAD_REQUEST, Code::InvalidJson, detail),
            Self::Query(detail) => detailed(StatusCode::BAD_REQUEST, Code::InvalidQuery, detail),
            Self::Method => bare(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed),
            Self::UnexpectedBody => bare(StatusCode::BAD_REQUEST, Code::UnexpectedBody),
            Self::Header(detail) => detailed(StatusCode::BAD_REQUEST, Code::InvalidHeader, detail),
            Self::BodyTimeout => bare(StatusCode::REQUEST_TIMEOUT, Code::BodyTimeout),
            Self::TimedOut => bare(StatusCode::SERVICE_UNAVAILABLE, Code::TimedOut),
            Self::RateLimited(_) => bare(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited),
        };
        let mut response = respond(&problem);
        response.headers_mut().extend(retry_secs.map(|secs| (header::RETRY_AFTER, HeaderValue::from(secs))));
        response
    }
}

fn of_app(error: AppError) -> Problem {
    match error {
        AppError::Unauthenticated => bare(StatusCode::UNAUTHORIZED, Code::Unauthenticated),
        AppError::Ended(Ended::Expired) => bare(StatusCode::UNAUTHORIZED, Code::Expired),
        AppError::Ended(Ended::Revoked) => bare(StatusCode::UNAUTHORIZED, Code::Revoked),
        AppError::Ended(Ended::Disabled) => bare(StatusCode::UNAUTHORIZED, Code::Disabled),
        AppError::Ended(Ended::Suspended) => bare(StatusCode::UNAUTHORIZED, Code::Suspended),
        AppError::Conflict(conflict) => bare(StatusCode::CONFLICT, of_conflict(conflict)),
        AppError::Denied(denied) => of_denied(denied),
        AppError::Field { path, message } => {
            let problem = detailed(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidField, message);
            Problem { field: Some(path), ..problem }
        }
        AppError::Query(message) => detailed(StatusCode::BAD_REQUEST, Code::InvalidQuery, message.to_owned()),
        AppError::IdempotencyMismatch => bare(StatusCode::UNPROCESSABLE_ENTITY, Code::IdempotencyMismatch),
        AppError::PreconditionFailed => bare(StatusCode::PRECONDITION_FAILED, Code::PreconditionFailed),
        AppError::SlugTaken => bare(StatusCode::CONFLICT, Code::SlugTaken),
        AppError::ResourceTaken { path } => {
            Problem { field: Some(path), ..bare(StatusCode::CONFLICT, Code::ResourceTaken) }
        }
        AppError::KeyRevoked => bare(StatusCode::CONFLICT, Code::KeyRevoked),
        AppError::EdgeTokensOff => bare(StatusCode::FORBIDDEN, Code::EdgeTokensOff),
        AppError::OperatorSignInOff => bare(StatusCode::FORBIDDEN, Code::OperatorSignInOff),
        AppError::KeyNeeded => bare(StatusCode::FORBIDDEN, Code::KeyNeeded),
        AppError::NetworkNotAllowed => bare(StatusCode::FORBIDDEN, Code::NetworkNotAllowed),
        AppError::Store(error) => of_store(&error),
    }
}

const fn of_conflict(conflict: Conflict) -> Code {
    match conflict {
        Conflict::Owner => Code::Owner,
        Conflict::LastAdmin => Code::LastAdmin,
        Conflict::AlreadyMember => Code::AlreadyMember,
        Conflict::AlreadyCollaborator => Code::AlreadyCollaborator,
        Conflict::Removed => Code::Removed,
        Conflict::SsoOrganization => Code::SsoOrganization,
        Conflict::InvitationClosed => Code::InvitationClosed,
        Conflict::AlreadyInvited => Code::AlreadyInvited,
        Conflict::OfferOpen => Code::OfferOpen,
        Conflict::DefaultProject => Code::DefaultProject,
        Conflict::ExternalsOff => Code::ExternalsOff,
        Conflict::OrganizationAdmin => Code::OrganizationAdmin,
        Conflict::NotArchived => Code::NotArchived,
        Conflict::ImportClosed => Code::ImportClosed,
        Conflict::DigestTaken => Code::DigestTaken,
        Conflict::KeyRotated => Code::KeyRotated,
        Conflict::ClusterAccess => Code::ClusterAccess,
        Conflict::UsageUncountable => Code::UsageUncountable,
        Conflict::UsageSettled => Code::UsageSettled,
        Conflict::KeyExpired => Code::KeyExpired,
        Conflict::NothingToDo => Code::NothingToDo,
    }
}

fn of_denied(denied: Denied) -> Problem {
    match denied {
        Denied::NotFound => bare(StatusCode::NOT_FOUND, Code::NotFound),
        Denied::Suspended => bare(StatusCode::FORBIDDEN, Code::Suspended),
        Denied::Archived => bare(StatusCode::FORBIDDEN, Code::Archived),
        Denied::Forbidden(permission) => forbidden(permission, format!("`{permission}` is needed")),
        Denied::RoleTooLow { permission, needs } => {
            forbidden(permission, format!("a key of the role `{0}` takes the role `{0}`", needs.as_str()))
        }
    }
}

fn forbidden(permission: &str, detail: String) -> Problem {
    let problem = detailed(StatusCode::FORBIDDEN, Code::Forbidden, detail);
    Problem { permission: Some(permission.to_owned()), ..problem }
}

fn of_store(error: &StoreError) -> Problem {
    tracing::error!(%error, "a request failed in the store");
    match error {
        StoreError::Engine(_) | StoreError::Closed => {
            bare(StatusCode::SERVICE_UNAVAILABLE, Code::StorageFailed)
        }
        _ => bare(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

fn bare(status: StatusCode, code: Code) -> Problem {
    Problem::new(code, status.as_u16())
}

fn detailed(status: StatusCode, code: Code, detail: String) -> Problem {
    Problem { detail: Some(detail), ..bare(status, code) }
}

fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, serde_json::to_vec(problem).unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response.extensions_mut().insert(Unproven);
    }
    response
}
