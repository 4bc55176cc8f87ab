//! `/v1/projects/{project}/notices` and `/v1/organizations/{organization}/notices`.

use super::auth::By;
use super::params::{At, Listing};
use super::reply::{Outcome, shown};
use crate::app::{Control, notices};
use axum::extract::State;
use std::sync::Arc;

pub(super) async fn of_project(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(project): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| notices::of_project(ask, &project, &query)))
}

pub(super) async fn of_organization(
    State(control): State<Arc<Control>>,
    By(asker): By,
    At(organization): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| notices::of_organization(ask, &organization, &query)))
}
