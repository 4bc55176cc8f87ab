//! A small HTTP client: one base address, one credential, JSON in and out, every status an answer.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::{Duration, Instant};
use ureq::http::Request;

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A server and who one is to it.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    credential: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Api {
    pub(crate) fn new(base: &str) -> Self {
        Self::within(base, CALL_MAX)
    }

    /// A server whose calls may take so long each.
    pub(crate) fn within(base: &str, call_max: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(call_max))
            .max_redirects(0)
            .proxy(None)
            .build();
        Self { agent: config.into(), base: base.to_owned(), credential: None }
    }

    /// The same server, as the holder of this credential.
    pub(crate) fn holding(&self, credential: &str) -> Self {
        Self { credential: Some(credential.to_owned()), ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], Vec::new())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send("POST", path, &[("content-type", "application/json")], serde_json::to_vec(body)?)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send("PATCH", path, &[("content-type", "application/json")], serde_json::to_vec(body)?)
    }

    pub(crate) fn put_bytes(&self, path: &str, body: Vec<u8>) -> Result<Reply> {
        self.send("PUT", path, &[("content-type", "application/octet-stream")], body)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        // The message names neither headers nor body: both may hold a secret.
        let what = || format!("{method} {path}");
        let response = if body.is_empty() && method == "GET" {
            self.agent.run(request.body(())?)
        } else {
            self.agent.run(request.body(body)?)
        };
        let mut response = response.with_context(what)?;
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().with_context(what)?;
        Ok(Reply { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; `null` where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The `code` of a problem, or an empty word.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The body, if the status is a success.
    ///
    /// # Errors
    /// The status is none; the message has the problem, which holds no secret.
    pub(crate) fn success(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        bail!("answered {}: {}", self.status, String::from_utf8_lossy(&self.body).trim())
    }
}

/// A text in a JSON value that must be there.
pub(crate) fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no text at `{pointer}` in the answer"))?.to_owned())
}

/// Asks again and again until `ask` has an answer, at most for `limit`.
///
/// # Errors
/// It never had one; the message ends with the last reason.
pub(crate) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if start.elapsed() > limit => {
                return Err(error.context(format!("not within {} ms", limit.as_millis())));
            }
            Err(_) => std::thread::sleep(POLL_EVERY),
        }
    }
}
