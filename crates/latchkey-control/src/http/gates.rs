//! `/v1/gate/…`: what native gates read. Bytes as they were published; the gate believes none of them unverified.

use super::auth::AtGates;
use super::error::Refusal;
use super::params::{Asked, At};
use super::reply::{Outcome, bytes, nothing_new, unchanging};
use crate::app::AppError;
use axum::body::Bytes;
use latchkey_api::GateHeadQuery;
use latchkey_snapshot::ObjectDigest;
use std::time::Duration;

/// The media type of everything here.
pub(super) const OCTETS: &str = "application/octet-stream";
/// How long a head is waited for at most, in seconds. A whole request has a minute.
const TIMEOUT_SECS_MAX: u64 = 50;
const TIMEOUT_SECS_DEFAULT: u64 = 20;

pub(super) async fn head(AtGates(gates): AtGates, Asked(query): Asked<GateHeadQuery>) -> Outcome {
    let after = query.after.as_deref().map(|after| {
        ObjectDigest::parse_hex(after)
            .ok_or(AppError::Query("`after` is 64 lower-case hexadecimal characters"))
    });
    let after = after.transpose()?;
    let timeout_secs = query.timeout_s.unwrap_or(TIMEOUT_SECS_DEFAULT);
    if !(1..=TIMEOUT_SECS_MAX).contains(&timeout_secs) {
        return Err(AppError::Query("`timeout_s` is 1 to 50").into());
    }
    match gates.head(after, Duration::from_secs(timeout_secs)).await {
        Ok(Some(head)) => bytes(OCTETS, Ok(Bytes::from_owner(head))),
        Ok(None) => Ok(nothing_new()),
        Err(_) => Err(Refusal::TooManyWaits),
    }
}

pub(super) async fn root(AtGates(gates): AtGates, At(version): At<String>) -> Outcome {
    // One name a root: what a cache keeps for ever has no second address.
    let version = version.parse().ok().filter(|number: &u32| number.to_string() == version);
    let root = version.and_then(|version| gates.root(version)).ok_or(AppError::NOT_FOUND)?;
    Ok(unchanging(OCTETS, root))
}

pub(super) async fn object(AtGates(gates): AtGates, At(digest): At<String>) -> Outcome {
    let object = ObjectDigest::parse_hex(&digest).and_then(|digest| gates.object(digest));
    Ok(unchanging(OCTETS, Bytes::from_owner(object.ok_or(AppError::NOT_FOUND)?)))
}
