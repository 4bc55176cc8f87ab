//! `/v1/operator/publish`

use super::auth::By;
use super::params::Asked;
use super::reply::{Outcome, changed, shown};
use crate::app::{Control, publishing};
use axum::extract::State;
use latchkey_api::PublishQuery;
use std::sync::Arc;

type Controlled = State<Arc<Control>>;

pub(super) async fn read(
    State(control): Controlled,
    By(asker): By,
    Asked(query): Asked<PublishQuery>,
) -> Outcome {
    let waited = match control.read(&asker, |ask| publishing::wait(ask, &control, &query))? {
        Some(wait) => Some(publishing::waited(&control, wait).await),
        None => None,
    };
    shown(control.read(&asker, |ask| publishing::status(ask, &control, waited)))
}

pub(super) async fn hold(State(control): Controlled, By(asker): By) -> Outcome {
    changed(&control, control.write(&asker, |ask, _| publishing::hold(ask)).await)
}

pub(super) async fn release(State(control): Controlled, By(asker): By) -> Outcome {
    changed(&control, control.write(&asker, |ask, _| publishing::release(ask)).await)
}
