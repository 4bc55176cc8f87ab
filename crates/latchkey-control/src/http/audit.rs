//! `/v1/organizations/{organization}/audit…` and `/v1/operator/audit…`

use super::auth::By;
use super::params::{Asked, At};
use super::reply::{Outcome, bytes, changed, shown};
use crate::app::Control;
use crate::app::audit::{self, Log};
use axum::extract::State;
use latchkey_api::{AuditExportQuery, AuditProofQuery, AuditQuery};
use std::sync::Arc;

/// The media type of an export.
pub(super) const LINES: &str = "application/jsonl";
/// The media type of a checkpoint.
pub(super) const NOTE: &str = "text/plain; charset=utf-8";
/// The media type of a tile.
pub(super) const TILE: &str = "application/octet-stream";

type Controlled = State<Arc<Control>>;

pub(super) async fn list(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
    Asked(query): Asked<AuditQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| audit::list(ask, &Log::Organization(organization), &query)))
}

pub(super) async fn list_all(
    State(control): Controlled,
    By(asker): By,
    Asked(query): Asked<AuditQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| audit::list(ask, &Log::Whole, &query)))
}

pub(super) async fn export(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
    Asked(query): Asked<AuditExportQuery>,
) -> Outcome {
    bytes(LINES, control.read(&asker, |ask| audit::export(ask, &Log::Organization(organization), &query)))
}

pub(super) async fn export_all(
    State(control): Controlled,
    By(asker): By,
    Asked(query): Asked<AuditExportQuery>,
) -> Outcome {
    bytes(LINES, control.read(&asker, |ask| audit::export(ask, &Log::Whole, &query)))
}

pub(super) async fn read_checkpoint(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
) -> Outcome {
    let log = Log::Organization(organization);
    bytes(NOTE, control.read(&asker, |ask| audit::checkpoint(ask, &log, control.audit())))
}

pub(super) async fn read_checkpoint_all(State(control): Controlled, By(asker): By) -> Outcome {
    bytes(NOTE, control.read(&asker, |ask| audit::checkpoint(ask, &Log::Whole, control.audit())))
}

pub(super) async fn prove(
    State(control): Controlled,
    By(asker): By,
    At(organization): At<String>,
    Asked(query): Asked<AuditProofQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| audit::proof(ask, &Log::Organization(organization), &query)))
}

pub(super) async fn prove_all(
    State(control): Controlled,
    By(asker): By,
    Asked(query): Asked<AuditProofQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| audit::proof(ask, &Log::Whole, &query)))
}

pub(super) async fn read_tile(
    State(control): Controlled,
    By(asker): By,
    At((level, rest)): At<(String, String)>,
) -> Outcome {
    bytes(TILE, control.read(&asker, |ask| audit::tile(ask, &level, &rest)))
}

pub(super) async fn erase(State(control): Controlled, By(asker): By, At(position): At<String>) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| audit::erase(ask, &position)).await)
}
