//! `/v1/organizations/{organization}/settings` and `/ownership…`.

use super::auth::By;
use super::body::Json;
use super::params::At;
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Control, ownership, settings};
use axum::extract::State;
use latchkey_api::{ChangeOrganizationSettings, OfferOwnership};
use std::sync::Arc;

pub(super) async fn read(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    shown(control.read(&asker, |ask| settings::read(ask, &organization)))
}

pub(super) async fn change(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<ChangeOrganizationSettings>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| settings::change(ask, &organization, &body)).await)
}

pub(super) async fn read_ownership(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    shown(control.read(&asker, |ask| ownership::read(ask, &organization)))
}

pub(super) async fn offer_ownership(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<OfferOwnership>,
) -> Outcome {
    created(&control, control.write(&asker, move |ask, _| ownership::offer(ask, &organization, &body)).await)
}

pub(super) async fn cancel_offer(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| ownership::cancel(ask, &organization)).await)
}

pub(super) async fn accept_ownership(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| ownership::accept(ask, &organization)).await)
}
