//! Where a copy of the log comes from: the live API, or the database of a server that is stopped.

use crate::api::Api;
use crate::installation::Folder;
use anyhow::{Context, Result, anyhow, bail, ensure};
use latchkey_control::app::audit::export_lines;
use latchkey_control::store::{AuditView, ReadView, Store};
use latchkey_control::tlog::{CheckpointKey, CheckpointSigner, Tile};
use std::path::Path;

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
    api: Api,
    /// The path of the log that the token may read.
    log: String,
    is_whole: bool,
    key: CheckpointKey,
}

impl Live {
    pub(super) fn new(url: &str, organization: Option<&str>, key: CheckpointKey) -> Result<Self> {
        let api = Api::new(url)?;
        let log = match organization {
            Some(id) => {
                let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                ensure!(is_plain && !id.is_empty(), "`--organization` is an id like `org_…`");
                format!("/v1/organizations/{id}/audit")
            }
            None => "/v1/operator/audit".to_owned(),
        };
        Ok(Self { api, log, is_whole: organization.is_none(), key })
    }

    fn get(&self, path: &str, query: &str) -> Result<Vec<u8>> {
        self.api.get(&format!("{}{path}", self.log), query)
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
