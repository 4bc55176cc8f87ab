//! `/v1/operator/routes`

use super::auth::By;
use super::params::{At, Listing};
use super::reply::{Outcome, changed, shown};
use crate::app::{Control, rules};
use axum::extract::State;
use std::sync::Arc;

type Controlled = State<Arc<Control>>;

pub(super) async fn list(State(control): Controlled, By(asker): By, Listing(query): Listing) -> Outcome {
    shown(control.read(&asker, |ask| rules::list(ask, &query)))
}

pub(super) async fn read(State(control): Controlled, By(asker): By, At(number): At<String>) -> Outcome {
    shown(control.read(&asker, |ask| rules::read(ask, &number)))
}

pub(super) async fn apply(State(control): Controlled, By(asker): By) -> Outcome {
    changed(&control, rules::apply(&control, &asker).await)
}
