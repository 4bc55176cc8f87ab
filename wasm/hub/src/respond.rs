//! The only place in this script that names status codes.

use crate::usage;
use latchkey_core::UnixMillis;
use latchkey_push::ledger::Fault;
use latchkey_push::peppers::Report;
use latchkey_push::relay::READERS;
use latchkey_push::standing;
use latchkey_push::{Ledger, Refusal};
use latchkey_snapshot::ObjectDigest;
use serde::Serialize;
use worker::{Headers, Response, ResponseBuilder, Result};

/// An error body, `application/problem+json`.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: u16,
    /// The stable word.
    pub(crate) code: &'static str,
    detail: Option<String>,
    missing: Vec<String>,
    /// Generation and `as_of` of what outranks what was pushed.
    held: Option<(u64, u64)>,
}

impl Problem {
    pub(crate) const NOT_CONFIGURED: Self = Self::new(503, "not_configured");
    pub(crate) const STORAGE: Self = Self::new(503, "storage_failed");
    pub(crate) const UNREACHABLE: Self = Self::new(503, "hub_unreachable");
    pub(crate) const TOKEN: Self = Self::new(401, "unauthenticated");
    pub(crate) const NOT_FOUND: Self = Self::new(404, "not_found");
    pub(crate) const METHOD: Self = Self::new(405, "method_not_allowed");
    pub(crate) const USAGE_OFF: Self = Self::new(503, "usage_not_configured");
    pub(crate) const USAGE_FULL: Self = Self::new(503, "usage_full");
    pub(crate) const TOO_LONG: Self = Self::new(413, "too_long");

    const fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, detail: None, missing: Vec::new(), held: None }
    }

    /// The head is genuine; these objects must come first.
    pub(crate) fn missing(missing: &[ObjectDigest]) -> Self {
        let missing = missing.iter().map(ToString::to_string).collect();
        Self { missing, ..Self::new(409, "objects_missing") }
    }

    /// The problem of a refusal; a pusher that is behind is told what is held.
    pub(crate) fn refused(refusal: &Refusal, ledger: Option<&Ledger>) -> Self {
        let newest = ledger.filter(|_| *refusal == Refusal::Older).and_then(Ledger::newest_head);
        Self { held: newest.map(|head| (head.statement.generation.0, head.as_of.0)), ..Self::from(refusal) }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.fault() {
            Fault::Bytes => 422,
            Fault::Held => 409,
            Fault::NotNamed => 404,
            Fault::TooLong => 413,
        };
        Self { detail: Some(refusal.to_string()), ..Self::new(status, refusal.code()) }
    }
}

impl From<worker::Error> for Problem {
    fn from(error: worker::Error) -> Self {
        Self { detail: Some(error.to_string()), ..Self::STORAGE }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    missing: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
}

/// The problem, as it is sent.
pub(crate) fn problem(problem: &Problem) -> Result<Response> {
    let body = Body {
        r#type: format!("urn:latchkey:problem:{}", problem.code),
        status: problem.status,
        code: problem.code,
        detail: problem.detail.as_deref(),
        missing: &problem.missing,
        generation: problem.held.map(|(generation, _)| generation),
        as_of: problem.held.map(|(_, as_of)| as_of),
    };
    json(problem.status, "application/problem+json", &body)
}

/// What becomes of a batch of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The control plane has it.
    Taken,
    /// It never will take these bytes.
    Refused(u16),
    /// Another time, perhaps.
    Later,
}

/// What the control plane's answer means for a batch. What is wrong with the credential or the way there is no fault of
/// the batch.
pub(crate) const fn fate(status: u16) -> Fate {
    match status {
        200..=299 => Fate::Taken,
        400 | 409 | 413 | 415 | 422 => Fate::Refused(status),
        _ => Fate::Later,
    }
}

/// 204: taken, now or before.
pub(crate) fn taken() -> Result<Response> {
    Ok(ResponseBuilder::new().with_status(204).with_headers(uncached()?).empty())
}

/// 204 to the hub that handed a head to a relay: with the peppers of the relay's readers, and where they stand.
pub(crate) fn fed(readers: &str, standing: Option<&str>) -> Result<Response> {
    let headers = uncached()?;
    headers.set(READERS, readers)?;
    if let Some(standing) = standing {
        headers.set(standing::READERS, standing)?;
    }
    Ok(ResponseBuilder::new().with_status(204).with_headers(headers).empty())
}

/// Whether a relay took what it was handed.
pub(crate) fn is_taken(response: &Response) -> bool {
    response.status_code() == 204
}

/// The bytes that the hub answers a relay; `None`: it has no such thing.
pub(crate) async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, Problem> {
    match response.status_code() {
        200 => Ok(Some(response.bytes().await?)),
        404 => Ok(None),
        _ => Err(Problem::UNREACHABLE),
    }
}

/// 200 with an object's bytes.
pub(crate) fn bytes(bytes: Vec<u8>) -> Result<Response, Problem> {
    let headers = uncached()?;
    headers.set("content-type", "application/octet-stream")?;
    // An edge reads no body whose length it is not told.
    headers.set("content-length", &bytes.len().to_string())?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(bytes))
}

#[derive(Serialize)]
struct Taken {
    generation: Option<u64>,
    as_of: Option<u64>,
    now: u64,
    edges: Vec<Standing>,
}

#[derive(Serialize)]
struct Standing {
    oldest_generation: u64,
    reported_at: u64,
    reports: u64,
}

/// 200: the head is held; `now` lets the pusher compare clocks, `edges` tells where its readers stood.
pub(crate) fn head(
    ledger: &Ledger,
    edges: &[standing::Report],
    now: UnixMillis,
) -> Result<Response, Problem> {
    Ok(json(200, "application/json", &held(ledger, edges, now))?)
}

fn held(ledger: &Ledger, edges: &[standing::Report], now: UnixMillis) -> Taken {
    let head = ledger.head();
    Taken {
        generation: head.map(|head| head.statement.generation.0),
        as_of: head.map(|head| head.as_of.0),
        now: now.0,
        edges: edges
            .iter()
            .map(|report| Standing {
                oldest_generation: report.generation.0,
                reported_at: report.at.0,
                reports: report.reads,
            })
            .collect(),
    }
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    installation: String,
    root_version: u32,
    head_root_version: Option<u32>,
    #[serde(flatten)]
    held: Taken,
    use_by: Option<u64>,
    inline: usize,
    pending: Option<Pending>,
    objects: usize,
    conflicts: u64,
    usage: Usage,
    peppers: Vec<PepperReport>,
}

#[derive(Serialize)]
struct PepperReport {
    id: String,
    with_at: u64,
    without_at: Option<u64>,
}

#[derive(Serialize)]
struct Usage {
    waiting: u64,
    set_aside: u64,
}

impl PepperReport {
    fn of(report: &Report) -> Self {
        Self {
            id: format!("{:016x}", u64::from_be_bytes(report.id)),
            with_at: report.with_at.0,
            without_at: report.without_at.map(|moment| moment.0),
        }
    }
}

#[derive(Serialize)]
struct Pending {
    generation: u64,
    missing: usize,
}

/// 200: what is held.
pub(crate) fn status(
    ledger: &Ledger,
    conflicts: u64,
    usage: usage::Account,
    peppers: &[Report],
    edges: &[standing::Report],
    now: UnixMillis,
) -> Result<Response, Problem> {
    let head = ledger.head();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        installation: ledger.installation().0.iter().map(|byte| format!("{byte:02x}")).collect(),
        root_version: ledger.root_version(),
        head_root_version: head.map(|head| head.root_version),
        held: held(ledger, edges, now),
        use_by: head.map(|head| head.statement.use_by.0),
        inline: head.map_or(0, |head| head.inline.len()),
        pending: ledger.awaited().map(|(generation, missing)| Pending { generation: generation.0, missing }),
        objects: ledger.objects_count(),
        conflicts,
        usage: Usage { waiting: usage.waiting, set_aside: usage.set_aside },
        peppers: peppers.iter().map(PepperReport::of).collect(),
    };
    Ok(json(200, "application/json", &status)?)
}

fn json(status: u16, content_type: &str, body: &impl Serialize) -> Result<Response> {
    let headers = uncached()?;
    headers.set("content-type", content_type)?;
    let body = serde_json::to_vec(body)?;
    Ok(ResponseBuilder::new().with_status(status).with_headers(headers).fixed(body))
}

fn uncached() -> Result<Headers> {
    let headers = Headers::new();
    headers.set("cache-control", "no-store")?;
    Ok(headers)
}
