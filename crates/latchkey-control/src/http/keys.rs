//! `/v1/projects/{project}/keys…`, `/v1/keys/{key}…`, and what a key itself may ask: `/v1/whoami`.

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, imports, keys, whoami};
use axum::extract::State;
use latchkey_api::{ChangeKey, CreateKey, CreateKeys, ImportKeys, RotateKey};
use latchkey_core::Dice;
use std::sync::Arc;

pub(super) async fn create(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<CreateKey>,
) -> Outcome {
    let minting = control.minting().clone();
    let decide = move |ask: &Ask, dice: &mut Dice| keys::create(ask, dice, &minting, &project, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn create_batch(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<CreateKeys>,
) -> Outcome {
    let minting = control.minting().clone();
    let decide = move |ask: &Ask, dice: &mut Dice| keys::create_batch(ask, dice, &minting, &project, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn import(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<ImportKeys>,
) -> Outcome {
    let minting = control.minting().clone();
    let decide = move |ask: &Ask, dice: &mut Dice| imports::import(ask, dice, &minting, &project, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| keys::list(ask, &project, &query)))
}

pub(super) async fn read(State(control): State<Arc<Control>>, By(asker): By, At(key): At<String>) -> Outcome {
    shown(control.read(&asker, |ask| keys::read(ask, &key)))
}

pub(super) async fn change(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(key): At<String>,
    Json(body): Json<ChangeKey>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| keys::change(ask, &key, &body)).await)
}

pub(super) async fn rotate(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(key): At<String>,
    Json(body): Json<RotateKey>,
) -> Outcome {
    let minting = control.minting().clone();
    let decide = move |ask: &Ask, dice: &mut Dice| keys::rotate(ask, dice, &minting, &key, body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn revoke(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(key): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| keys::revoke(ask, &key)).await)
}

pub(super) async fn disable(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(key): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| keys::disable(ask, &key)).await)
}

pub(super) async fn enable(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(key): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| keys::enable(ask, &key)).await)
}

pub(super) async fn whoami(State(control): State<Arc<Control>>, By(asker): By) -> Outcome {
    shown(control.read(&asker, |ask| whoami::read(ask, &control)))
}
