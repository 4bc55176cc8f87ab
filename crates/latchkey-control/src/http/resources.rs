//! `/v1/projects/{project}/resources…`

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Control, resources};
use axum::extract::State;
use latchkey_api::RegisterResource;
use std::sync::Arc;

pub(super) async fn register(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<RegisterResource>,
) -> Outcome {
    created(&control, control.write(&asker, move |ask, _| resources::register(ask, &project, &body)).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| resources::list(ask, &project, &query)))
}

pub(super) async fn delete(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((project, kind, id)): At<(String, String, String)>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| resources::delete(ask, &project, &kind, &id)).await)
}
