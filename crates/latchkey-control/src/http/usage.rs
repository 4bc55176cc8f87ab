//! `…/usage`, `/v1/usage/batches`, and what operators do about them.

use super::auth::By;
use super::body::Json;
use super::params::{Asked, At, Listing};
use super::reply::{Outcome, accepted, bytes, changed, created, shown, taken};
use crate::app::{AppError, Ask, Control, prices, reports, usage, usage_tokens};
use axum::extract::State;
use latchkey_api::{CreateUsageToken, Prices, ReportUsage, Usage, UsageFormat, UsageQuery};
use latchkey_core::Dice;
use std::sync::Arc;

/// The media type of usage as a table.
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

type Controlled = State<Arc<Control>>;

pub(super) async fn read_organization(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
    Asked(query): Asked<UsageQuery>,
) -> Outcome {
    formed(control.read(&asker, |ask| usage::of_organization(ask, &organization, &query)), &query)
}

pub(super) async fn read_project(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Asked(query): Asked<UsageQuery>,
) -> Outcome {
    formed(control.read(&asker, |ask| usage::of_project(ask, &project, &query)), &query)
}

fn formed(usage: Result<Usage, AppError>, query: &UsageQuery) -> Outcome {
    match query.format {
        UsageFormat::Json => shown(usage),
        UsageFormat::Csv => bytes(CSV, usage.map(|usage| usage::csv(&usage, query))),
    }
}

/// A batch that came before takes no turn of the writer's.
pub(super) async fn report(
    State(control): Controlled,
    By(asker): By,
    Json(body): Json<ReportUsage>,
) -> Outcome {
    if let Some(known) = control.read(&asker, |ask| reports::known(ask, &body))? {
        return taken(Ok(known));
    }
    let most = control.config().usage_line_requests_max;
    accepted(&control, control.write(&asker, move |ask, _| reports::report(ask, most, &body)).await)
}

pub(super) async fn list_batches(
    State(control): Controlled,
    By(asker): By,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| reports::list(ask, &query)))
}

pub(super) async fn read_batch(State(control): Controlled, By(asker): By, At(id): At<String>) -> Outcome {
    shown(control.read(&asker, |ask| reports::read(ask, &id)))
}

pub(super) async fn accept_batch(State(control): Controlled, By(asker): By, At(id): At<String>) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| reports::accept(ask, &id)).await)
}

pub(super) async fn discard_batch(State(control): Controlled, By(asker): By, At(id): At<String>) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| reports::discard(ask, &id)).await)
}

pub(super) async fn create_token(
    State(control): Controlled,
    By(asker): By,
    Json(body): Json<CreateUsageToken>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| usage_tokens::create(ask, dice, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn list_tokens(State(control): Controlled, By(asker): By) -> Outcome {
    shown(control.read(&asker, usage_tokens::list))
}

pub(super) async fn revoke_token(
    State(control): Controlled,
    By(asker): By,
    At(number): At<String>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| usage_tokens::revoke(ask, &number)).await)
}

pub(super) async fn read_prices(State(control): Controlled, By(asker): By) -> Outcome {
    shown(control.read(&asker, prices::read))
}

pub(super) async fn set_prices(
    State(control): Controlled,
    By(asker): By,
    Json(body): Json<Prices>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| prices::set(ask, &body)).await)
}
