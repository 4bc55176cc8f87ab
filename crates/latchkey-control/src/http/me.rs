//! `/v1/me` and `/v1/me/sessions`.

use super::auth::By;
use super::body::Json;
use super::params::At;
use super::reply::{Outcome, changed, shown};
use crate::app::{Control, me, sessions};
use axum::extract::State;
use latchkey_api::RevokeSessions;
use std::sync::Arc;

pub(super) async fn read(State(control): State<Arc<Control>>, By(asker): By) -> Outcome {
    shown(control.read(&asker, me::read))
}

pub(super) async fn edge_token(State(control): State<Arc<Control>>, By(asker): By) -> Outcome {
    shown(control.read(&asker, |ask| me::edge_token(ask, control.edge_tokens())))
}

pub(super) async fn sessions(State(control): State<Arc<Control>>, By(asker): By) -> Outcome {
    shown(control.read(&asker, sessions::list))
}

pub(super) async fn revoke_sessions(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Json(body): Json<RevokeSessions>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| sessions::revoke_all(ask, &body)).await)
}

pub(super) async fn revoke_session(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(session): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| sessions::revoke(ask, &session)).await)
}
