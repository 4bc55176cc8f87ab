//! `/v1/organizations/{organization}/projects` and `/v1/projects/{project}`.

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, created, shown};
use crate::app::{Ask, Control, projects};
use axum::extract::State;
use latchkey_api::CreateProject;
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<CreateProject>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| projects::create(ask, dice, &organization, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| projects::list(ask, &organization, &query)))
}

pub(super) async fn read(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    shown(control.read(&asker, |ask| projects::read(ask, &project)))
}
