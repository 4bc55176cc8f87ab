//! `/v1/organizations…`

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, organizations};
use axum::extract::State;
use latchkey_api::{ChangeOrganization, CreateOrganization};
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Json(body): Json<CreateOrganization>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| organizations::create(ask, dice, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| organizations::list(ask, &query)))
}

pub(super) async fn read(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    shown(control.read(&asker, |ask| organizations::read(ask, &organization)))
}

pub(super) async fn change(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<ChangeOrganization>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| organizations::change(ask, &organization, &body);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn suspend(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| organizations::suspend(ask, &organization)).await)
}

pub(super) async fn resume(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| organizations::resume(ask, &organization)).await)
}
