//! Who asks, before anything else: under `/v1` nobody learns of paths, methods or bodies without a credential.

use super::error::Refusal;
use super::route::{Needs, Route};
use crate::app::{AppError, Asker, Control};
use crate::iam::Denied;
use crate::publish::Gates;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What it takes to know who asks, and where nobody needs to say so.
#[derive(Clone)]
pub(super) struct Front {
    control: Arc<Control>,
    /// Methods and paths that are open to anybody; none of them has a parameter.
    open: Arc<[(Method, &'static str)]>,
}

impl Front {
    pub(super) fn new(control: Arc<Control>, routes: &[Route]) -> Self {
        let open = routes.iter().filter(|route| route.needs == Needs::Nothing);
        Self { control, open: open.map(|route| (route.method.clone(), route.path)).collect() }
    }

    /// What native gates read, if the request is for it and shows the credential for it. That counts nowhere else, and
    /// whoever shows another one here is identified like everywhere.
    fn gates_for(&self, request: &Request) -> Option<Arc<Gates>> {
        let gates = self.control.gates().filter(|_| request.uri().path().starts_with(GATE_PATHS))?;
        bearer(request.headers()).filter(|token| gates.admits(token)).map(|_| Arc::clone(gates))
    }

    fn is_open(&self, request: &Request) -> bool {
        self.open.iter().any(|(method, path)| method == request.method() && *path == request.uri().path())
    }
}

/// Refuses whoever is not identified (R1). The use case identifies them again in the view that decides.
pub(super) async fn identify_first(State(front): State<Front>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if let Some(gates) = front.gates_for(&request) {
        request.extensions_mut().insert(AtGates(gates));
    } else if (path == "/v1" || path.starts_with("/v1/")) && !front.is_open(&request) {
        match identified(&front.control, &request) {
            Ok(asker) => request.extensions_mut().insert(asker),
            Err(error) => return Refusal::from(error).into_response(),
        };
    }
    next.run(request).await
}

/// The asker that the middleware found.
pub(super) struct By(pub(super) Asker);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // Without the middleware in front there is no asker, and so no answer.
        parts.extensions.get().cloned().map(Self).ok_or(AppError::Unauthenticated.into())
    }
}

/// What native gates read, for whoever showed the credential for it.
#[derive(Debug, Clone)]
pub(super) struct AtGates(pub(super) Arc<Gates>);

impl<S: Sync> FromRequestParts<S> for AtGates {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or(AppError::Denied(Denied::Forbidden(GATE_READ)).into())
    }
}

/// Where the request came from.
pub(super) struct From(pub(super) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for From {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Ok(Self(address(&parts.extensions)))
    }
}

fn identified(control: &Control, request: &Request) -> Result<Asker, AppError> {
    let token = bearer(request.headers()).ok_or(AppError::Unauthenticated)?;
    let asker = Asker::new(token, &control.minting().prefix, address(request.extensions()));
    let asker = asker.ok_or(AppError::Unauthenticated)?;
    control.read(&asker, |_| Ok(()))?;
    Ok(asker)
}

/// The token of the one `Authorization` header; two of them are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// What native gates read is under here.
const GATE_PATHS: &str = "/v1/gate/";
/// What only their credential may do.
const GATE_READ: &str = "gate.read";
