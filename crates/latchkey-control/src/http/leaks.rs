//! `/v1/leaks`, for anybody.

use super::auth::From;
use super::body::Json;
use super::reply::{Outcome, taken};
use crate::app::{Control, leaks};
use axum::extract::State;
use latchkey_api::ReportLeak;
use std::sync::Arc;

pub(super) async fn report(
    State(control): State<Arc<Control>>,
    From(from): From,
    Json(body): Json<ReportLeak>,
) -> Outcome {
    taken(leaks::report(&control, from, &body).await)
}
