//! `/v1/organizations/{organization}/members…`, `/leave` and `/departures`.

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, shown};
use crate::app::{Ask, Control, members};
use axum::extract::State;
use latchkey_api::ChangeMember;
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| members::list(ask, &organization, &query)))
}

pub(super) async fn read(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
) -> Outcome {
    shown(control.read(&asker, |ask| members::read(ask, &organization, &user)))
}

pub(super) async fn change(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
    Json(body): Json<ChangeMember>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| members::change(ask, &organization, &user, &body);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn remove(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| members::remove(ask, &organization, &user)).await)
}

pub(super) async fn leave(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| members::leave(ask, &organization)).await)
}

pub(super) async fn list_departures(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| members::list_departures(ask, &organization, &query)))
}

pub(super) async fn readmit(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At((organization, user)): At<(String, String)>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| members::readmit(ask, &organization, &user)).await)
}
