//! The Worker's push route over HTTP. The protocol is described in docs/operations.md, "Publishing".

use super::{Answer, EdgeReport, Held, Named, Sink, SinkError, Told};
use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::build::Object;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// A Worker's push route.
pub struct EdgeSink {
    base: Url,
    name: String,
    client: Client,
    authorization: HeaderValue,
}

/// Why an edge cannot be a sink; the operator's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeError {
    /// The text is no URL.
    Url,
    /// Plain HTTP beyond this machine: the push token would travel in the clear.
    Plain,
    /// A user, a query or a fragment in the URL, or no host.
    Parts,
    /// The push token has characters that no header takes.
    Token,
    /// The HTTP client could not be made.
    Client,
}

/// Which peppers edges hold, as their reads of the hub tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PepperReports {
    /// The hub's clock.
    pub now: UnixMillis,
    /// Every pepper that any edge named.
    pub peppers: Vec<PepperReport>,
}

/// What is known of one pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PepperReport {
    /// Its id.
    pub id: [u8; 8],
    /// The last read of an edge that holds it.
    pub with_at: UnixMillis,
    /// The last read of an edge that does not, if there was one.
    pub without_at: Option<UnixMillis>,
}

impl EdgeSink {
    /// The edge at `url`, with the push token that it knows. `https`, or `http` on this machine.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub fn new(url: &str, token: &str) -> Result<Self, EdgeError> {
        let base = parse_base(url)?;
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut authorization = HeaderValue::from_str(&text).map_err(|_| EdgeError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| EdgeError::Client)?;
        let name = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, name, client, authorization })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{PUSH_PATH}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    async fn put(&self, path: &str, body: Vec<u8>, timeout: Duration) -> Result<Response, SinkError> {
        let request = self.client.put(self.url(path)).header(CONTENT_TYPE, OCTETS).body(body);
        let response = self.send(request, timeout).await?;
        match response.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(response),
            _ => Err(refusal(response).await),
        }
    }

    /// Pushes a head. The answer may tell the hub's clock, and where edges stand; a refusal as older is completed from its
    /// status.
    async fn push_head(&self, head: &[u8]) -> Result<Told, SinkError> {
        match self.put("head", head.to_vec(), HEAD_TIMEOUT).await {
            Ok(response) => {
                let bytes = body(response).await?;
                Ok(serde_json::from_slice(&bytes).map(TakenBody::told).unwrap_or_default())
            }
            Err(SinkError::Older { held: None }) => {
                Err(SinkError::Older { held: self.status().await.ok().and_then(|status| status.head) })
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, request: RequestBuilder, timeout: Duration) -> Result<Response, SinkError> {
        let request = request.header(AUTHORIZATION, self.authorization.clone()).timeout(timeout);
        request.send().await.map_err(|error| unavailable(&error))
    }

    /// Which peppers the edges behind it hold, as their reads tell.
    ///
    /// # Errors
    /// [`SinkError`]. An edge too old to say it names no pepper.
    pub async fn peppers(&self) -> Result<PepperReports, SinkError> {
        let status = self.status_body().await?;
        let peppers = status.peppers.unwrap_or_default();
        let report = |body: PepperBody| {
            let id = u64::from_str_radix(&body.id, 16).ok()?.to_be_bytes();
            let (with_at, without_at) = (UnixMillis(body.with_at), body.without_at.map(UnixMillis));
            Some(PepperReport { id, with_at, without_at })
        };
        let now = UnixMillis(status.now.unwrap_or_default());
        Ok(PepperReports { now, peppers: peppers.into_iter().filter_map(report).collect() })
    }

    async fn status_body(&self) -> Result<StatusBody, SinkError> {
        let response = self.send(self.client.get(self.url("status")), HEAD_TIMEOUT).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        parse(&body(response).await?)
    }

    async fn status(&self) -> Result<Held, SinkError> {
        let status = self.status_body().await?;
        let is_outranked =
            status.head_root_version.is_some_and(|version| Some(version) < status.root_version);
        let head = status.generation.zip(status.as_of).filter(|_| !is_outranked);
        let head = head.map(|(generation, as_of)| (Generation(generation), UnixMillis(as_of)));
        Ok(Held { root_version: status.root_version.unwrap_or(0), head })
    }
}

impl Sink for EdgeSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> Answer<'_, Held> {
        Box::pin(self.status())
    }

    fn put_root<'a>(&'a self, version: u32, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(
            async move { self.put(&format!("root/{version}"), bytes.to_vec(), HEAD_TIMEOUT).await.map(drop) },
        )
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        let path = format!("objects/{}", object.reference.digest());
        Box::pin(async move { self.put(&path, object.bytes.to_vec(), OBJECT_TIMEOUT).await.map(drop) })
    }

    fn put_head<'a>(&'a self, head: &'a [u8], _named: &'a Named) -> Answer<'a, Told> {
        Box::pin(self.push_head(head))
    }

    fn takes_only_named(&self) -> bool {
        true
    }
}

impl fmt::Debug for EdgeSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdgeSink({})", self.name)
    }
}

/// What the status route answers. A hub without a head leaves everything out, or says `null`.
#[derive(Deserialize)]
struct StatusBody {
    generation: Option<u64>,
    as_of: Option<u64>,
    root_version: Option<u32>,
    head_root_version: Option<u32>,
    now: Option<u64>,
    peppers: Option<Vec<PepperBody>>,
}

#[derive(Deserialize)]
struct PepperBody {
    id: String,
    with_at: u64,
    without_at: Option<u64>,
}

/// What the hub answers to a head, if it answers more than that it took it.
#[derive(Deserialize)]
struct TakenBody {
    now: Option<u64>,
    /// Read on its own: nonsense in it costs no more than the reports.
    #[serde(default)]
    edges: serde_json::Value,
}

#[derive(Deserialize)]
struct ReportBody {
    oldest_generation: u64,
    reported_at: u64,
    reports: u64,
}

impl TakenBody {
    fn told(self) -> Told {
        let edges: Vec<ReportBody> = serde_json::from_value(self.edges).unwrap_or_default();
        let is_bounded = edges.len() <= REPORTS_MAX;
        let report = |body: ReportBody| EdgeReport {
            generation: Generation(body.oldest_generation),
            at: UnixMillis(body.reported_at),
            reports: body.reports,
        };
        let edges = edges.into_iter().filter(|_| is_bounded).map(report).collect();
        Told { now: self.now.map(UnixMillis), edges }
    }
}

/// What a 409 or 422 says. Fields that we do not know are the future's.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RefusalBody {
    code: String,
    detail: Option<String>,
    missing: Vec<String>,
    generation: Option<u64>,
    as_of: Option<u64>,
}

async fn refusal(response: Response) -> SinkError {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        return SinkError::Unauthorized;
    }
    let body: RefusalBody =
        body(response).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    match status {
        StatusCode::CONFLICT => conflict(body),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            SinkError::Unavailable(format!("it answered {}", status.as_u16()))
        }
        _ => SinkError::Refused(described(status, &body)),
    }
}

fn conflict(body: RefusalBody) -> SinkError {
    let missing: Option<Vec<ObjectDigest>> =
        body.missing.iter().map(|hex| ObjectDigest::parse_hex(hex)).collect();
    match (body.code.as_str(), missing) {
        ("objects_missing", Some(missing)) if !missing.is_empty() => SinkError::Missing(missing),
        ("older", _) => {
            let held = body.generation.zip(body.as_of);
            SinkError::Older {
                held: held.map(|(generation, as_of)| (Generation(generation), UnixMillis(as_of))),
            }
        }
        _ => SinkError::Refused(described(StatusCode::CONFLICT, &body)),
    }
}

/// What goes to the log: the status, and the edge's own words cut to a line.
fn described(status: StatusCode, body: &RefusalBody) -> String {
    let words = [body.code.as_str(), body.detail.as_deref().unwrap_or_default()].join(" ");
    let clean: String = words.trim().chars().filter(|char| !char.is_control()).take(200).collect();
    format!("it answered {} {clean}", status.as_u16()).trim_end().to_owned()
}

/// The body, if it is no longer than an answer has a reason to be.
async fn body(mut response: Response) -> Result<Vec<u8>, SinkError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_LEN_MAX {
            return Err(SinkError::Unavailable("its answer is too long".to_owned()));
        }
    }
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SinkError> {
    serde_json::from_slice(bytes)
        .map_err(|_| SinkError::Unavailable("its answer is no status of an edge".to_owned()))
}

/// The error without its URL, which is already the sink's name, and with its innermost cause.
fn unavailable(error: &reqwest::Error) -> SinkError {
    let what = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the exchange broke off"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let told = if cause.is::<reqwest::Error>() { String::new() } else { format!(" ({cause})") };
    SinkError::Unavailable(format!("{what}{told}"))
}

pub(in crate::publish) fn parse_base(text: &str) -> Result<Url, EdgeError> {
    let url = Url::parse(text).map_err(|_| EdgeError::Url)?;
    let host = url.host_str().ok_or(EdgeError::Parts)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match url.scheme() {
        _ if !bare => Err(EdgeError::Parts),
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        "http" => Err(EdgeError::Plain),
        _ => Err(EdgeError::Url),
    }
}

impl fmt::Display for EdgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "an edge is named by an `https` URL",
            Self::Plain => "plain `http` would show the push token: only this machine may be named so",
            Self::Parts => "an edge's URL has a host, and neither user, query nor fragment",
            Self::Token => "the push token has characters that no header takes",
            Self::Client => "the HTTP client could not be made",
        })
    }
}

impl std::error::Error for EdgeError {}

const PUSH_PATH: &str = "/.latchkey/push/";
const OCTETS: &str = "application/octet-stream";
/// A minute in steps of 5 s, and what is between.
const REPORTS_MAX: usize = 16;
const ANSWER_LEN_MAX: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A head that takes longer is signed anew: an old one confirms nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const OBJECT_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
