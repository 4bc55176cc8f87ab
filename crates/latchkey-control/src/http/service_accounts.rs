//! `/v1/organizations/{organization}/service-accounts…`

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, service_accounts};
use axum::extract::State;
use latchkey_api::{CreateServiceAccount, RotateServiceToken};
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<CreateServiceAccount>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| service_accounts::create(ask, dice, &organization, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| service_accounts::list(ask, &organization, &query)))
}

pub(super) async fn rotate(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
    Json(body): Json<RotateServiceToken>,
) -> Outcome {
    let decide =
        move |ask: &Ask, dice: &mut Dice| service_accounts::rotate(ask, dice, &organization, &user, &body);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn delete(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| service_accounts::delete(ask, &organization, &user);
    changed(&control, control.write(&asker, decide).await)
}
