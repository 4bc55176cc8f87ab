//! `/v1/organizations/{organization}/invitations…`, `/v1/invitations:accept` and `/v1/me/invitations`.

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, acceptance, invitations};
use axum::extract::State;
use latchkey_api::{AcceptInvitation, CreateInvitation};
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<CreateInvitation>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| invitations::create(ask, dice, &organization, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| invitations::list(ask, &organization, &query)))
}

pub(super) async fn read(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, invitation)): At<(String, String)>,
) -> Outcome {
    shown(control.read(&asker, |ask| invitations::read(ask, &organization, &invitation)))
}

pub(super) async fn resend(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, invitation)): At<(String, String)>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| invitations::resend(ask, dice, &organization, &invitation);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn cancel(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, invitation)): At<(String, String)>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| invitations::cancel(ask, &organization, &invitation);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn accept(
    State(control): State<Arc<Control>>,
    By(asker): By,
    Json(body): Json<AcceptInvitation>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| acceptance::accept(ask, &body)).await)
}

pub(super) async fn list_own(State(control): State<Arc<Control>>, By(asker): By) -> Outcome {
    shown(control.read(&asker, acceptance::list_own))
}
