//! `…/budget` of organizations, projects and keys.

use super::auth::By;
use super::body::Json;
use super::params::At;
use super::reply::{Outcome, changed, shown};
use crate::app::Control;
use crate::app::budgets::{self, Covering};
use axum::extract::State;
use latchkey_api::SetBudget;
use std::sync::Arc;

type Controlled = State<Arc<Control>>;

pub(super) async fn read_organization(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    let covering = Covering::Organization(organization);
    shown(control.read(&asker, |ask| budgets::read(ask, &covering)))
}

pub(super) async fn set_organization(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
    Json(body): Json<SetBudget>,
) -> Outcome {
    let covering = Covering::Organization(organization);
    changed(&control, control.write(&asker, move |ask, _| budgets::set(ask, &covering, &body)).await)
}

pub(super) async fn remove_organization(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    let covering = Covering::Organization(organization);
    changed(&control, control.write(&asker, move |ask, _| budgets::remove(ask, &covering)).await)
}

pub(super) async fn read_project(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    let covering = Covering::Project(project);
    shown(control.read(&asker, |ask| budgets::read(ask, &covering)))
}

pub(super) async fn set_project(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<SetBudget>,
) -> Outcome {
    let covering = Covering::Project(project);
    changed(&control, control.write(&asker, move |ask, _| budgets::set(ask, &covering, &body)).await)
}

pub(super) async fn remove_project(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
) -> Outcome {
    let covering = Covering::Project(project);
    changed(&control, control.write(&asker, move |ask, _| budgets::remove(ask, &covering)).await)
}

pub(super) async fn read_key(State(control): Controlled, By(asker): By, At(key): At<String>) -> Outcome {
    let covering = Covering::Key(key);
    shown(control.read(&asker, |ask| budgets::read(ask, &covering)))
}

pub(super) async fn set_key(
    State(control): Controlled,
    By(asker): By,
    At(key): At<String>,
    Json(body): Json<SetBudget>,
) -> Outcome {
    let covering = Covering::Key(key);
    changed(&control, control.write(&asker, move |ask, _| budgets::set(ask, &covering, &body)).await)
}

pub(super) async fn remove_key(State(control): Controlled, By(asker): By, At(key): At<String>) -> Outcome {
    let covering = Covering::Key(key);
    changed(&control, control.write(&asker, move |ask, _| budgets::remove(ask, &covering)).await)
}
