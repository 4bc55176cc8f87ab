//! How far publishing has come, and whether an operator holds grants back from edges.

use super::Control;
use super::ask::Ask;
use super::error::AppError;
use crate::iam::{Demand, OperatorAct};
use crate::publish::{EdgeReport, EndingKey, FRESHNESS_BOUND_MS, PublishStatus, SinkStatus};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::{Generation, UnixMillis};
use std::cmp::Reverse;
use std::time::Duration;

/// How long a wait lasts at most, in seconds. A whole request has a minute.
const TIMEOUT_SECS_MAX: u64 = 50;
const TIMEOUT_SECS_DEFAULT: u64 = 30;

/// A wait for a generation.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    generation: Generation,
    timeout: Duration,
}

/// What the caller wants to wait for, if anything.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn wait(ask: &Ask, control: &Control, query: &api::PublishQuery) -> Result<Option<Wait>, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Publishing))?;
    let timeout_secs = query.timeout_s.unwrap_or(TIMEOUT_SECS_DEFAULT);
    if !(1..=TIMEOUT_SECS_MAX).contains(&timeout_secs) {
        return Err(AppError::Query("`timeout_s` is 1 to 50"));
    }
    let Some(text) = &query.wait else { return Ok(None) };
    let generation = control.generation(text).or_else(|| text.parse().ok().map(Generation));
    let generation =
        generation.filter(|generation| ask.view.generation().is_ok_and(|newest| *generation <= newest));
    let generation = generation.ok_or(AppError::Query("`wait` names no generation that there is"))?;
    Ok(Some(Wait { generation, timeout: Duration::from_secs(timeout_secs) }))
}

/// Waits until every sink holds the generation and the freshness bound has passed since, or the time is up.
pub async fn waited(control: &Control, wait: Wait) -> api::PublishingWait {
    let mut publishing = control.publishing();
    let reach = async {
        let is_reached = |status: &PublishStatus| status.reached(wait.generation).is_some();
        let reached = publishing.wait_for(is_reached).await.ok()?.reached(wait.generation)?;
        let left_ms = FRESHNESS_BOUND_MS.saturating_sub(control.clock().now().since_ms(reached));
        tokio::time::sleep(Duration::from_millis(left_ms)).await;
        Some(())
    };
    let reached = tokio::time::timeout(wait.timeout, reach).await.is_ok_and(|reached| reached.is_some());
    api::PublishingWait { generation: wait.generation.0, reached, contradicted: None }
}

/// How far publishing has come.
///
/// # Errors
/// [`AppError`].
pub fn status(
    ask: &Ask,
    control: &Control,
    waited: Option<api::PublishingWait>,
) -> Result<api::Publishing, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Publishing))?;
    let status = control.publishing().borrow().clone();
    let held_since = ask.view.publish_held_since()?;
    let now = control.clock().now();
    let waited = waited.map(|waited| {
        let contradicted =
            status.contradiction(Generation(waited.generation), now).filter(|_| waited.reached);
        // A head covers what is held back, but does not say it.
        let reached = waited.reached && held_since.is_none() && contradicted.is_none();
        api::PublishingWait { reached, contradicted: contradicted.as_ref().map(report), ..waited }
    });
    Ok(api::Publishing {
        committed: ask.view.generation()?.0,
        stated: status.stated.0,
        base_bytes: status.published.base_bytes,
        deltas: status.published.deltas as u64,
        chain_bytes: status.published.chain_bytes as u64,
        root_version: status.root_version,
        held_since: held_since.map(Into::into),
        held_back: status.published.held_back,
        error: status.error,
        refused_keys: status.refused_keys,
        ending_keys: status.ending_keys.iter().map(ending_key).collect(),
        sinks: status.sinks.iter().map(|status| sink(status, now)).collect(),
        waited,
    })
}

/// Holds grants back from edges, from now on; what refuses goes out as ever. Once more changes nothing.
///
/// # Errors
/// [`AppError`].
pub fn hold(ask: &Ask) -> Result<Write<api::PublishHold>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Publishing))?;
    let before = shown(ask)?;
    let since = ask.view.publish_held_since()?.unwrap_or(ask.now);
    let now = api::PublishHold { held_since: Some(since.into()) };
    let entry = ask.entry(&permit, "publish.hold", subject()).before(&before).after(&now);
    Ok(Write::new(entry, now).put(Change::HoldPublishing(since)))
}

/// Lets everything out that was held back, by an operator or because a base did not follow from the one before it.
///
/// # Errors
/// [`AppError`].
pub fn release(ask: &Ask) -> Result<Write<api::PublishHold>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Publishing))?;
    let before = shown(ask)?;
    let now = api::PublishHold { held_since: None };
    let entry = ask.entry(&permit, "publish.release", subject()).before(&before).after(&now);
    Ok(Write::new(entry, now).put(Change::ReleasePublishing))
}

fn shown(ask: &Ask) -> Result<api::PublishHold, AppError> {
    Ok(api::PublishHold { held_since: ask.view.publish_held_since()?.map(Into::into) })
}

fn ending_key(key: &EndingKey) -> api::PublishingKey {
    api::PublishingKey {
        role: key.role.to_owned(),
        public_key: key.public.to_string(),
        not_after: api::Timestamp(key.not_after),
    }
}

fn report(report: &EdgeReport) -> api::PublishingReport {
    api::PublishingReport { generation: report.generation.0, reported_at_ms: report.at.0 }
}

/// The lowest of the last minute, and how many reads told something.
fn edges(sink: &SinkStatus, now: UnixMillis) -> Option<api::PublishingEdges> {
    let reports = sink.recent_reports(now).fold(0u64, |sum, report| sum.saturating_add(report.reports));
    let lowest = sink.recent_reports(now).min_by_key(|report| (report.generation, Reverse(report.at)))?;
    Some(api::PublishingEdges {
        oldest_generation: lowest.generation.0,
        reported_at_ms: lowest.at.0,
        reports,
    })
}

fn sink(sink: &SinkStatus, now: UnixMillis) -> api::PublishingSink {
    api::PublishingSink {
        name: sink.name.clone(),
        published: sink.published.0,
        statement: sink.statement.0,
        as_of_ms: sink.as_of.0,
        last_error: sink.last_error.clone(),
        clock_off_ms: sink.clock_off_ms,
        edges: edges(sink, now),
    }
}

const fn subject() -> (&'static str, String) {
    ("installation", String::new())
}
