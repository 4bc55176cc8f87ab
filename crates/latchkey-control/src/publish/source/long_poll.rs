//! The control plane itself, read by a native gate over HTTP: `/v1/gate/…`, which `publish::sink::gates` answers.
//!
//! Nothing is believed here but a length and, of objects, a digest: roots and heads are the gate's to verify. Whatever is
//! too long is not read to its end, and nothing is waited for longer than it may take.

use super::SourceError;
use crate::publish::sink::edge::{EdgeError, parse_base};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::head::HEAD_LEN_MAX;
use latchkey_snapshot::root::ROOT_LEN_MAX;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// A control plane to read from.
pub struct LongPollSource {
    base: Url,
    name: String,
    client: Client,
    authorization: HeaderValue,
    answer_within: Duration,
}

/// Why a control plane cannot be read from; the operator's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongPollError {
    /// The text is no URL.
    Url,
    /// Plain HTTP beyond this machine: the token, and all that it reads, would travel in the clear.
    Plain,
    /// A user, a query or a fragment in the URL, or no host.
    Parts,
    /// The token has characters that no header takes.
    Token,
    /// The HTTP client could not be made.
    Client,
}

impl LongPollSource {
    /// The control plane at `url`, with the token of `secrets/gate-token`. `https`, or `http` on this machine.
    ///
    /// # Errors
    /// [`LongPollError`].
    pub fn new(url: &str, token: &str) -> Result<Self, LongPollError> {
        let base = parse_base(url)?;
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut authorization = HeaderValue::from_str(&text).map_err(|_| LongPollError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| LongPollError::Client)?;
        let name = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, name, client, authorization, answer_within: ANSWER_WITHIN })
    }

    /// The same, where an answer may take so long, beyond what it is asked to wait.
    #[must_use]
    pub fn answering_within(self, answer_within: Duration) -> Self {
        Self { answer_within, ..self }
    }

    /// What messages call it; no secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The newest head, once there is one that is not called `after`: the digest of the bytes of one that is held. `None`
    /// if there was none for so many seconds; the control plane takes 1 to 50.
    ///
    /// # Errors
    /// [`SourceError`], as for all methods here.
    pub async fn head(
        &self,
        after: Option<ObjectDigest>,
        wait_secs: u64,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let query = format!("timeout_s={wait_secs}{after}");
        let patience = Duration::from_secs(wait_secs).saturating_add(self.answer_within);
        self.get("head", Some(&query), patience, HEAD_LEN_MAX).await
    }

    /// The root of a version.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        self.get(&format!("roots/{version}"), None, self.answer_within, ROOT_LEN_MAX).await
    }

    /// The object with this digest, if it has no more than so many bytes.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn object(&self, digest: ObjectDigest, len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let bytes = self.get(&format!("objects/{digest}"), None, self.answer_within, len_max).await?;
        match bytes {
            Some(bytes) if ObjectDigest::of(&bytes) != digest => Err(self.failed("it sent another object")),
            bytes => Ok(bytes),
        }
    }

    async fn get(
        &self,
        path: &str,
        query: Option<&str>,
        patience: Duration,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{GATE_PATH}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        let request = self.client.get(url).header(AUTHORIZATION, self.authorization.clone());
        let response = request.timeout(patience).send().await.map_err(|error| self.broken(&error))?;
        match response.status() {
            StatusCode::OK => self.body(response, len_max).await.map(Some),
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED => Err(self.failed("the gate token is not known there")),
            status => Err(self.failed(&format!("it answered {}", status.as_u16()))),
        }
    }

    /// The body, if it is no longer than so.
    async fn body(&self, mut response: Response, len_max: usize) -> Result<Vec<u8>, SourceError> {
        let too_long = || self.failed("its answer is too long");
        if response.content_length().is_some_and(|len| len > len_max as u64) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if bytes.len() + chunk.len() > len_max {
                return Err(too_long());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn failed(&self, what: &str) -> SourceError {
        SourceError(format!("`{}`: {what}", self.name))
    }

    /// The error without its URL, which is the place's name already.
    fn broken(&self, error: &reqwest::Error) -> SourceError {
        self.failed(if error.is_timeout() {
            "it did not answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the exchange broke off"
        })
    }
}

impl fmt::Debug for LongPollSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongPollSource({})", self.name)
    }
}

impl From<EdgeError> for LongPollError {
    fn from(error: EdgeError) -> Self {
        match error {
            EdgeError::Url => Self::Url,
            EdgeError::Plain => Self::Plain,
            EdgeError::Parts => Self::Parts,
            EdgeError::Token => Self::Token,
            EdgeError::Client => Self::Client,
        }
    }
}

impl fmt::Display for LongPollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "a control plane is named by an `https` URL",
            Self::Plain => "plain `http` would show the gate token: only this machine may be named so",
            Self::Parts => "a control plane's URL has a host, and neither user, query nor fragment",
            Self::Token => "the gate token has characters that no header takes",
            Self::Client => "the HTTP client could not be made",
        })
    }
}

impl std::error::Error for LongPollError {}

const GATE_PATH: &str = "/v1/gate/";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take that nothing is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
