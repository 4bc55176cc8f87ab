//! The only place in this script that names status codes.

use crate::hub::HubStatus;
use serde::Serialize;
use worker::{Response, Result};

#[derive(Serialize)]
struct Status {
    version: &'static str,
    hub: HubStatus,
}

/// 200: the script answers and reaches its hub.
pub(crate) fn status(hub: HubStatus) -> Result<Response> {
    uncached(Response::from_json(&Status { version: env!("CARGO_PKG_VERSION"), hub })?)
}

/// 404: no such path.
pub(crate) fn not_found() -> Result<Response> {
    uncached(Response::error("no such path", 404)?)
}

/// 503: the hub did not answer.
pub(crate) fn hub_unreachable() -> Result<Response> {
    uncached(Response::error("the hub did not answer", 503)?)
}

fn uncached(response: Response) -> Result<Response> {
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}
