//! What was let in, on its way to the control plane (IAM B1, B3): counted in memory, handed over in batches.
//!
//! A batch has an id of its own, which it keeps through every attempt, so it counts once. A process that is killed takes
//! its last unreported seconds with it.

use latchkey_api::usage::UsageSubject;
use latchkey_api::{Day, ReportUsage, Timestamp, UsageLine};
use latchkey_control::outside::Seeds;
use latchkey_core::UnixMillis;
use latchkey_gate::usage::Line;
use latchkey_gate::{Grant, Subject, Usage};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use zeroize::Zeroizing;

/// Who is told what was used.
pub struct Reporter {
    url: Url,
    client: Client,
    authorization: HeaderValue,
    seeds: Arc<dyn Seeds>,
}

/// Nobody can be told so; the operator's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReporterError {
    /// The control plane is named by `https`, or by `http` on this machine.
    Url,
    /// The token has characters that no header takes.
    Token,
    /// The HTTP client could not be made.
    Client,
}

impl Reporter {
    /// The control plane at `url`, with a usage token.
    ///
    /// # Errors
    /// [`ReporterError`].
    pub fn new(url: &str, token: &str, seeds: Arc<dyn Seeds>) -> Result<Self, ReporterError> {
        let mut url = Url::parse(url).map_err(|_| ReporterError::Url)?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !(url.scheme() == "https" || (url.scheme() == "http" && is_here)) || url.query().is_some() {
            return Err(ReporterError::Url);
        }
        url.set_path(&format!("{}/v1/usage/batches", url.path().trim_end_matches('/')));
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut authorization = HeaderValue::from_str(&text).map_err(|_| ReporterError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let client = client.timeout(ANSWER_WITHIN).build().map_err(|_| ReporterError::Client)?;
        Ok(Self { url, client, authorization, seeds })
    }

    async fn send(&self, body: &[u8]) -> Sent {
        let request = self.client.post(self.url.clone()).header(AUTHORIZATION, self.authorization.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        match request.send().await.map(|response| response.status().as_u16()) {
            Ok(200..300) => Sent::Taken,
            Ok(status @ (400 | 409 | 413 | 415 | 422)) => Sent::Refused(status),
            Ok(status) => Sent::Delayed(format!("it answered {status}")),
            Err(_) => Sent::Delayed("it did not answer".to_owned()),
        }
    }

    fn batch_id(&self) -> Option<String> {
        let seed = self.seeds.seed().ok()?;
        Some(seed[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

enum Sent {
    Taken,
    /// It never will be.
    Refused(u16),
    Delayed(String),
}

/// What is counted, and who is told.
pub(crate) struct Report {
    usage: Mutex<Usage>,
    reporter: Option<Reporter>,
}

impl Report {
    pub(crate) fn to(reporter: Option<Reporter>) -> Arc<Self> {
        Arc::new(Self { usage: Mutex::default(), reporter })
    }

    /// Counts a request that was let in and has gone on.
    pub(crate) fn record(&self, grant: &Grant, now: UnixMillis) {
        if self.reporter.is_some() {
            self.usage.lock().unwrap_or_else(PoisonError::into_inner).record(grant, now);
        }
    }

    /// Requests that found no room to be counted in.
    pub(crate) fn lost(&self) -> u64 {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).lost()
    }

    /// Hands over what was counted, every few seconds. Ends when `stop` does, after one more try.
    pub(crate) async fn hand_over(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let Some(reporter) = &self.reporter else { return stop.await };
        let mut stop = std::pin::pin!(stop);
        let (mut pending, mut pause) = (None, GATHER);
        loop {
            let is_over = tokio::select! {
                () = &mut stop => true,
                () = sleep(pause) => false,
            };
            if pending.is_none() {
                pending = self.draw_up(reporter);
            }
            pause = match &pending {
                None => GATHER,
                Some(batch) => match reporter.send(batch).await {
                    Sent::Taken => {
                        pending = None;
                        GATHER
                    }
                    Sent::Refused(status) => {
                        tracing::error!(status, "a batch of usage is refused for good and dropped");
                        pending = None;
                        GATHER
                    }
                    Sent::Delayed(why) => {
                        tracing::warn!(%why, "a batch of usage waits");
                        (pause * 2).min(PAUSE_MAX)
                    }
                },
            };
            if is_over {
                return;
            }
        }
    }

    fn draw_up(&self, reporter: &Reporter) -> Option<Vec<u8>> {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if usage.is_empty() {
            return None;
        }
        let id = reporter.batch_id()?;
        let lines = usage.drain().iter().map(line).collect();
        serde_json::to_vec(&ReportUsage { id, lines }).ok()
    }
}

fn line(line: &Line) -> UsageLine {
    UsageLine {
        subject: match line.subject {
            Subject::Key(id) => UsageSubject::Key(id.to_string()),
            Subject::Session(identity) => UsageSubject::Identity(identity.to_string()),
        },
        project: line.project.0,
        permission: line.permission.as_str().to_owned(),
        day: Day(u32::try_from(line.day).unwrap_or(u32::MAX).min(Day::LAST.0)),
        requests: line.requests,
        last_at: Timestamp::from(line.last_at),
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter(..)")
    }
}

impl fmt::Display for ReporterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "usage goes to an `https` URL, or to `http` on this machine",
            Self::Token => "the usage token has characters that no header takes",
            Self::Client => "the HTTP client could not be made",
        })
    }
}

impl std::error::Error for ReporterError {}

/// How long counts are gathered before they are sent.
const GATHER: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
