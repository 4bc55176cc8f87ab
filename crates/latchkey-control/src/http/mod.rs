//! The HTTP API: the router on one page, and around every route what holds for all of them.
//!
//! [`router`] is the start. `auth` identifies the caller before anything else is looked at, `body` reads JSON,
//! `reply` writes it, `error` alone knows status codes (invariant 5); the other files are the routes' handlers.

mod auth;
mod body;
mod error;
mod health;
mod keys;
mod me;
mod operator;
mod organizations;
mod params;
mod projects;
mod reply;
mod resources;

use crate::app::Control;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use std::sync::Arc;

/// Bytes a body has at most.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes the body of a batch has at most: 10,000 keys with a long name each.
pub const BATCH_BODY_BYTES_MAX: usize = 4 << 20;

/// Every path of the control plane. Served with `into_make_service_with_connect_info::<SocketAddr>()`, the
/// audit log names the client's address.
pub fn router(control: Arc<Control>) -> Router {
    let batch = post(keys::create_batch).layer(DefaultBodyLimit::max(BATCH_BODY_BYTES_MAX));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/me", get(me::read))
        .route("/v1/me/sessions", get(me::sessions))
        .route("/v1/me/sessions/{session}", delete(me::revoke_session))
        .route("/v1/operator/sessions", post(operator::create_session))
        .route("/v1/organizations", post(organizations::create).get(organizations::list))
        .route("/v1/organizations/{organization}", get(organizations::read))
        .route("/v1/organizations/{organization}/suspend", post(organizations::suspend))
        .route("/v1/organizations/{organization}/resume", post(organizations::resume))
        .route("/v1/organizations/{organization}/projects", post(projects::create).get(projects::list))
        .route("/v1/projects/{project}", get(projects::read))
        .route("/v1/projects/{project}/keys", post(keys::create).get(keys::list))
        .route("/v1/projects/{project}/keys:batch", batch)
        .route("/v1/projects/{project}/resources", post(resources::register).get(resources::list))
        .route("/v1/projects/{project}/resources/{type}/{id}", delete(resources::delete))
        .route("/v1/keys/{key}", get(keys::read).patch(keys::change))
        .route("/v1/keys/{key}/revoke", post(keys::revoke))
        .route("/v1/keys/{key}/disable", post(keys::disable))
        .route("/v1/keys/{key}/enable", post(keys::enable))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(control.clone(), auth::identify_first))
        .layer(from_fn(reply::seal))
        .with_state(control)
}
