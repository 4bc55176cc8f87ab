//! `/v1/operator/…`

use super::auth::By;
use super::body::Json;
use super::params::At;
use super::reply::{Outcome, changed, created};
use crate::app::{Ask, Control, imports, sessions};
use axum::extract::State;
use latchkey_api::CreateSession;
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create_session(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Json(body): Json<CreateSession>,
) -> Outcome {
    let config = control.config().clone();
    let decide = move |ask: &Ask, dice: &mut Dice| sessions::create(ask, dice, &config, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn open_import(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| imports::open(ask, &organization)).await)
}

pub(super) async fn close_import(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| imports::close(ask, &organization)).await)
}
