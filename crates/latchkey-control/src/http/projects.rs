//! `/v1/organizations/{organization}/projects` and `/v1/projects/{project}`.

use super::auth::By;
use super::body::Json;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, projects};
use axum::extract::State;
use latchkey_api::{ChangeProjectSettings, CreateProject, DeleteProject, SwitchExternal};
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

pub(super) async fn settings(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    shown(control.read(&asker, |ask| projects::settings(ask, &project)))
}

pub(super) async fn change_settings(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<ChangeProjectSettings>,
) -> Outcome {
    changed(
        &control,
        control.write(&asker, move |ask, _| projects::change_settings(ask, &project, &body)).await,
    )
}

pub(super) async fn switch_external(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<SwitchExternal>,
) -> Outcome {
    changed(
        &control,
        control.write(&asker, move |ask, _| projects::switch_external(ask, &project, &body)).await,
    )
}

pub(super) async fn delete(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<DeleteProject>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| projects::delete(ask, &project, &body)).await)
}

pub(super) async fn archive(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| projects::archive(ask, &project)).await)
}

pub(super) async fn unarchive(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| projects::unarchive(ask, &project)).await)
}

pub(super) async fn join(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| projects::join(ask, &project)).await)
}

pub(super) async fn leave(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| projects::leave(ask, &project)).await)
}
