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

/// The status of an answer that has nothing new to say.
pub(super) const NOTHING_NEW: StatusCode = StatusCode::NO_CONTENT;

/// The status of whatever went well otherwise.
pub(super) const SHOWN: StatusCode = StatusCode::OK;
/// The status of the refusal of whoever proved nothing.
pub(super) const UNPROVEN: StatusCode = StatusCode::UNAUTHORIZED;

/// Seconds after which somebody may ask again who could not wait since too many did.
const WAITS_RETRY_SECS: u64 = 5;

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
    /// Too many wait already.
    TooManyWaits,
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
            Self::TooManyWaits => Some(WAITS_RETRY_SECS),
            _ => None,
        };
        let problem = match self {
            Self::App(error) => of_app(error),
            Self::MediaType => bare(Code::UnsupportedMediaType),
            Self::BodyTooLarge => bare(Code::BodyTooLarge),
            Self::NotJson(detail) => detailed(Code::InvalidJson, detail),
            Self::Query(detail) => detailed(Code::InvalidQuery, detail),
            Self::Method => bare(Code::MethodNotAllowed),
            Self::UnexpectedBody => bare(Code::UnexpectedBody),
            Self::Header(detail) => detailed(Code::InvalidHeader, detail),
            Self::BodyTimeout => bare(Code::BodyTimeout),
            Self::TimedOut => bare(Code::TimedOut),
            Self::RateLimited(_) => bare(Code::RateLimited),
            Self::TooManyWaits => bare(Code::TooManyWaits),
        };
        let mut response = respond(&problem);
        response.headers_mut().extend(retry_secs.map(|secs| (header::RETRY_AFTER, HeaderValue::from(secs))));
        response
    }
}

/// The status that goes with a code. A credential that has [ended](Ended) is refused with [`UNPROVEN`] whatever the
/// reason.
pub(super) const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidJson | Code::InvalidQuery | Code::UnexpectedBody | Code::InvalidHeader => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated | Code::Expired | Code::Revoked | Code::Disabled => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::Suspended
        | Code::Archived
        | Code::KeyNeeded
        | Code::NetworkNotAllowed
        | Code::OperatorSignInOff
        | Code::EdgeTokensOff => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::Owner
        | Code::LastAdmin
        | Code::AlreadyMember
        | Code::AlreadyCollaborator
        | Code::Removed
        | Code::SsoOrganization
        | Code::InvitationClosed
        | Code::AlreadyInvited
        | Code::OfferOpen
        | Code::DefaultProject
        | Code::ExternalsOff
        | Code::OrganizationAdmin
        | Code::NotArchived
        | Code::ImportClosed
        | Code::HeldByRestore
        | Code::DigestTaken
        | Code::KeyRotated
        | Code::ClusterAccess
        | Code::UsageUncountable
        | Code::UsageSettled
        | Code::KeyExpired
        | Code::NothingToDo
        | Code::NoRulesFile
        | Code::RulesRefused
        | Code::SlugTaken
        | Code::ResourceTaken
        | Code::KeyRevoked => StatusCode::CONFLICT,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidField | Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::TimedOut | Code::StorageFailed | Code::PublishingFailed | Code::TooManyWaits => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

const fn of_ended(ended: Ended) -> Code {
    match ended {
        Ended::Expired => Code::Expired,
        Ended::Revoked => Code::Revoked,
        Ended::Disabled => Code::Disabled,
        Ended::Suspended => Code::Suspended,
    }
}

fn of_app(error: AppError) -> Problem {
    match error {
        AppError::Unauthenticated => bare(Code::Unauthenticated),
        AppError::Ended(ended) => Problem::new(of_ended(ended), UNPROVEN.as_u16()),
        AppError::Conflict(conflict) => bare(of_conflict(conflict)),
        AppError::Denied(denied) => of_denied(denied),
        AppError::Field { path, message } => {
            let problem = detailed(Code::InvalidField, message);
            Problem { field: Some(path), ..problem }
        }
        AppError::Query(message) => detailed(Code::InvalidQuery, message.to_owned()),
        AppError::IdempotencyMismatch => bare(Code::IdempotencyMismatch),
        AppError::PreconditionFailed => bare(Code::PreconditionFailed),
        AppError::SlugTaken => bare(Code::SlugTaken),
        AppError::ResourceTaken { path } => Problem { field: Some(path), ..bare(Code::ResourceTaken) },
        AppError::KeyRevoked => bare(Code::KeyRevoked),
        AppError::EdgeTokensOff => bare(Code::EdgeTokensOff),
        AppError::OperatorSignInOff => bare(Code::OperatorSignInOff),
        AppError::KeyNeeded => bare(Code::KeyNeeded),
        AppError::NetworkNotAllowed => bare(Code::NetworkNotAllowed),
        AppError::RulesRefused(what) => detailed(Code::RulesRefused, what),
        AppError::PublishingFailed => bare(Code::PublishingFailed),
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
        Conflict::HeldByRestore => Code::HeldByRestore,
        Conflict::DigestTaken => Code::DigestTaken,
        Conflict::KeyRotated => Code::KeyRotated,
        Conflict::ClusterAccess => Code::ClusterAccess,
        Conflict::UsageUncountable => Code::UsageUncountable,
        Conflict::UsageSettled => Code::UsageSettled,
        Conflict::KeyExpired => Code::KeyExpired,
        Conflict::NothingToDo => Code::NothingToDo,
        Conflict::NoRulesFile => Code::NoRulesFile,
    }
}

fn of_denied(denied: Denied) -> Problem {
    match denied {
        Denied::NotFound => bare(Code::NotFound),
        Denied::Suspended => bare(Code::Suspended),
        Denied::Archived => bare(Code::Archived),
        Denied::Forbidden(permission) => forbidden(permission, format!("`{permission}` is needed")),
        Denied::RoleTooLow { permission, needs } => {
            forbidden(permission, format!("a key of the role `{0}` takes the role `{0}`", needs.as_str()))
        }
    }
}

fn forbidden(permission: &str, detail: String) -> Problem {
    let problem = detailed(Code::Forbidden, detail);
    Problem { permission: Some(permission.to_owned()), ..problem }
}

fn of_store(error: &StoreError) -> Problem {
    tracing::error!(%error, "a request failed in the store");
    match error {
        StoreError::Engine(_) | StoreError::Closed => bare(Code::StorageFailed),
        _ => bare(Code::Internal),
    }
}

fn bare(code: Code) -> Problem {
    Problem::new(code, status(code).as_u16())
}

fn detailed(code: Code, detail: String) -> Problem {
    Problem { detail: Some(detail), ..bare(code) }
}

fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, serde_json::to_vec(problem).unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == UNPROVEN {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response.extensions_mut().insert(Unproven);
    }
    response
}
