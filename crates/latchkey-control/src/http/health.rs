//! Is it alive, and can it answer?

use super::reply::{Outcome, shown};
use crate::app::Control;
use axum::extract::State;
use std::sync::Arc;

/// `GET /healthz`
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the newest generation, which nobody can act on without its token.
pub(super) async fn ready(State(control): State<Arc<Control>>) -> Outcome {
    shown(control.check_ready().map(|generation| latchkey_api::Ready { generation: generation.0 }))
}
