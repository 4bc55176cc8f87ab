//! `/v1/operator/…`

use super::auth::By;
use super::body::Json;
use super::reply::{Outcome, created};
use crate::app::{Ask, Control, sessions};
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
