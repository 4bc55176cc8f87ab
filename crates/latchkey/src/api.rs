//! The HTTP API of a running server, as commands ask it.

use anyhow::{Context, Result, anyhow, bail, ensure};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};
use std::io::Write;
use std::time::Duration;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// Names the variable that holds the token: an argument would show in the list of processes.
const TOKEN: &str = "LATCHKEY_TOKEN";
/// How long one answer may take; a request has a minute there.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may take that comes in a stream; it may stop for no longer than [`TIMEOUT`].
const STREAM_MAX: Duration = Duration::from_secs(6 * 3600);
/// Bytes of an answer: a part of an export, and its last entry.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A server, and the credential that is shown to it.
pub(crate) struct Api {
    client: Client,
    runtime: Runtime,
    base: Url,
    authorization: HeaderValue,
}

impl Api {
    /// The server at `url`, with the token in the environment.
    ///
    /// # Errors
    /// The URL would show the token, or there is none.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let base = Url::parse(url).context("`--url`")?;
        let is_here = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        ensure!(
            base.scheme() == "https" || base.scheme() == "http" && is_here,
            "`--url`: only `https`, or `http` on this machine, keeps the token secret"
        );
        let token = std::env::var(TOKEN).map(Zeroizing::new);
        let token = token.ok().with_context(|| format!("`{TOKEN}` is not set"))?;
        let mut authorization = HeaderValue::from_str(&Zeroizing::new(format!("Bearer {}", *token)))
            .map_err(|_| anyhow!("`{TOKEN}` is no token"))?;
        authorization.set_sensitive(true);
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, base, authorization })
    }

    /// The body that a path answers with.
    ///
    /// # Errors
    /// No answer, or one that is no success, with its own words.
    pub(crate) fn get(&self, path: &str, query: &str) -> Result<Vec<u8>> {
        self.call(Method::GET, path, query)
    }

    /// The body of the answer to an act that takes none.
    ///
    /// # Errors
    /// As of [`Api::get`].
    pub(crate) fn act(&self, path: &str) -> Result<Vec<u8>> {
        self.call(Method::POST, path, "")
    }

    /// Writes the body of the answer to an act that takes none as it comes, however long it is.
    ///
    /// # Errors
    /// As of [`Api::get`], and those of `out`.
    pub(crate) fn act_into(&self, path: &str, out: &mut dyn Write) -> Result<()> {
        let request = self.request(Method::POST, path, "").timeout(STREAM_MAX);
        self.runtime.block_on(async {
            let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
            let status = answer.status();
            if !status.is_success() {
                let told = answer.chunk().await.map_err(reqwest::Error::without_url)?.unwrap_or_default();
                let told = String::from_utf8_lossy(&told[..told.len().min(1000)]).into_owned();
                bail!("the API answered {status} to `{path}`: {told}");
            }
            while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
                out.write_all(&part).context("the answer cannot be written")?;
            }
            Ok(())
        })
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    fn call(&self, method: Method, path: &str, query: &str) -> Result<Vec<u8>> {
        let request = self.request(method, path, query);
        self.runtime.block_on(async {
            let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
            let mut bytes = Vec::new();
            while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
                ensure!(
                    bytes.len() + part.len() <= ANSWER_BYTES_MAX,
                    "the API's answer to `{path}` is too long"
                );
                bytes.extend_from_slice(&part);
            }
            let status = answer.status();
            ensure!(
                status.is_success(),
                "the API answered {status} to `{path}`: {}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(1000)])
            );
            Ok(bytes)
        })
    }
}
