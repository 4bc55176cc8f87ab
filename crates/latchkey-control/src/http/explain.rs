//! `/v1/explain`

use super::auth::By;
use super::body::Json;
use super::reply::{Outcome, shown};
use crate::app::{Control, explain};
use axum::extract::State;
use latchkey_api::Explain;
use std::sync::Arc;

pub(super) async fn explain(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Json(body): Json<Explain>,
) -> Outcome {
    shown(control.read(&asker, |ask| explain::explain(ask, &body)))
}
