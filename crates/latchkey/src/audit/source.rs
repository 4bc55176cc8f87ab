//! Where a copy of the log comes from: the live API, or the database of a server that is stopped.

use crate::installation::Folder;
use anyhow::{Context, Result, anyhow, bail, ensure};
use latchkey_control::app::audit::export_lines;
use latchkey_control::store::{AuditView, ReadView, Store};
use latchkey_control::tlog::{CheckpointKey, CheckpointSigner, Tile};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// Names the variable that holds the token: an argument would show in the list of processes.
const TOKEN: &str = "LATCHKEY_TOKEN";
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer: a part of an export, and its last entry.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A log to copy.
pub(super) trait Source {
    /// The key that its checkpoints are verified with.
    fn key(&self) -> CheckpointKey;
    /// The checkpoint as it is now.
    fn checkpoint(&mut self) -> Result<String>;
    /// Some entries from a position on and below `size`, as lines; none if there are no more.
    fn entries(&mut self, from: u64, size: u64) -> Result<String>;
    /// The bytes of a tile.
    fn tile(&mut self, tile: &Tile) -> Result<Vec<u8>>;
    /// The proof that one tree is the beginning of another, as JSON.
    fn consistency(&mut self, earlier: u64, later: u64) -> Result<String>;
}

/// The database of a server that is stopped.
pub(super) struct Stopped {
    view: ReadView,
    signer: CheckpointSigner,
}

impl Stopped {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let folder = Folder::new(dir);
        let signer = folder.load()?.audit;
        let path = folder.database();
        let view = Store::open_read_only(&path).with_context(|| format!("`{}`", path.display()))?;
        Ok(Self { view, signer })
    }
}

impl Source for Stopped {
    fn key(&self) -> CheckpointKey {
        self.signer.key()
    }

    fn checkpoint(&mut self) -> Result<String> {
        Ok(self.signer.sign(&self.view.audit_checkpoint()?))
    }

    fn entries(&mut self, from: u64, size: u64) -> Result<String> {
        let part = export_lines(&self.view, None, from, size, false);
        part.map_err(|error| anyhow!("the database cannot be read: {error:?}"))
    }

    fn tile(&mut self, tile: &Tile) -> Result<Vec<u8>> {
        let hashes = self.view.audit_tile(tile)?.with_context(|| format!("the log has no `{tile}`"))?;
        Ok(hashes.as_flattened().to_vec())
    }

    fn consistency(&mut self, _earlier: u64, _later: u64) -> Result<String> {
        bail!("a copy of the whole log needs no proofs")
    }
}

/// The API of a server that runs.
pub(super) struct Live {
    client: Client,
    runtime: Runtime,
    base: Url,
    /// The path of the log that the token may read.
    log: String,
    is_whole: bool,
    authorization: HeaderValue,
    key: CheckpointKey,
}

impl Live {
    pub(super) fn new(url: &str, organization: Option<&str>, key: CheckpointKey) -> Result<Self> {
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
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let log = match organization {
            Some(id) => {
                let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                ensure!(is_plain && !id.is_empty(), "`--organization` is an id like `org_…`");
                format!("/v1/organizations/{id}/audit")
            }
            None => "/v1/operator/audit".to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, base, log, is_whole: organization.is_none(), authorization, key })
    }

    fn get(&self, path: &str, query: &str) -> Result<Vec<u8>> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}{path}", self.base.path().trim_end_matches('/'), self.log));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let request = self.client.get(url).header(AUTHORIZATION, self.authorization.clone());
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
                "the API answered {status} to `{}{path}`: {}",
                self.log,
                String::from_utf8_lossy(&bytes[..bytes.len().min(1000)])
            );
            Ok(bytes)
        })
    }

    fn text(&self, path: &str, query: &str) -> Result<String> {
        String::from_utf8(self.get(path, query)?).context("the API's answer is no text")
    }
}

impl Source for Live {
    fn key(&self) -> CheckpointKey {
        self.key.clone()
    }

    fn checkpoint(&mut self) -> Result<String> {
        self.text("/checkpoint", "")
    }

    fn entries(&mut self, from: u64, size: u64) -> Result<String> {
        self.text("/export", &format!("from={from}&size={size}&proofs={}", !self.is_whole))
    }

    fn tile(&mut self, tile: &Tile) -> Result<Vec<u8>> {
        self.get(&format!("/{tile}"), "")
    }

    fn consistency(&mut self, earlier: u64, later: u64) -> Result<String> {
        self.text("/proof", &format!("from={earlier}&to={later}"))
    }
}
