//! `/v1/projects/{project}/resources…` and `/v1/projects/{project}/clusters…`

use super::auth::By;
use super::body::Json;
use super::params::{Asked, At};
use super::reply::{Outcome, bytes, changed, created, shown};
use crate::app::{Ask, Control, clusters, resources};
use axum::extract::State;
use latchkey_api::{ChangeResource, KubeconfigQuery, RegisterResource, RegisterResources, ResourceQuery};
use latchkey_core::Dice;
use std::sync::Arc;

/// The media type of files for `kubectl`.
pub(super) const YAML: &str = "application/yaml";

type Controlled = State<Arc<Control>>;

pub(super) async fn register(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<RegisterResource>,
) -> Outcome {
    created(&control, control.write(&asker, move |ask, _| resources::register(ask, &project, &body)).await)
}

pub(super) async fn register_batch(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<RegisterResources>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| resources::register_batch(ask, &project, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Asked(query): Asked<ResourceQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| resources::list(ask, &project, &query)))
}

pub(super) async fn read(
    State(control): Controlled,
    By(asker): By,
    At((project, kind, id)): At<(String, String, String)>,
) -> Outcome {
    shown(control.read(&asker, |ask| resources::read(ask, &project, &kind, &id)))
}

pub(super) async fn change(
    State(control): Controlled,
    By(asker): By,
    At((project, kind, id)): At<(String, String, String)>,
    Json(body): Json<ChangeResource>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| resources::change(ask, &project, &kind, &id, &body);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn delete(
    State(control): Controlled,
    By(asker): By,
    At((project, kind, id)): At<(String, String, String)>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| resources::delete(ask, &project, &kind, &id)).await)
}

pub(super) async fn read_kubeconfig(
    State(control): Controlled,
    By(asker): By,
    At((project, id)): At<(String, String)>,
    Asked(query): Asked<KubeconfigQuery>,
) -> Outcome {
    bytes(YAML, control.read(&asker, |ask| clusters::read_kubeconfig(ask, &project, &id, &query)))
}

pub(super) async fn read_rolebinding(
    State(control): Controlled,
    By(asker): By,
    At((project, id)): At<(String, String)>,
) -> Outcome {
    bytes(YAML, control.read(&asker, |ask| clusters::read_rolebinding(ask, &project, &id)))
}
