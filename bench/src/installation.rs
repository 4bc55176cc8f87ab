//! Who signs, and what is published besides the records: rules, exceptions, heads.

use crate::world::{self, NOW};
use anyhow::{Result, anyhow};
use latchkey_control::publish::{Keyring, Keys, Routing, Rulebook, Schedule, Settings};
use latchkey_core::{Generation, OrganizationNumber, Permission, ResourceType, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{
    Built, Content, Edition, HeadContent, Object, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Inline, Installation, ResourceSource, Rule, Source};
use std::sync::Arc;
use tokio::sync::watch;

const INSTALLATION: Installation = Installation([7; 16]);
const GRACE_SECS: u32 = 900;
const RELEASE: [u8; 32] = [2; 32];
const HEAD: [u8; 32] = [3; 32];

/// The rules, one a line: method, pattern, permission, and the type of the resource that the last parameter is.
const RULES: &str = "
POST /v1/chat/completions inference.invoke
POST /v1/completions inference.invoke
POST /v1/embeddings inference.invoke
POST /v1/images/generations inference.invoke
GET /v1/models models.view
GET /v1/projects/{project}/models models.view
POST /v1/projects/{project}/models models.create
GET /v1/projects/{project}/models/{model} models.view model
DELETE /v1/projects/{project}/models/{model} models.delete model
GET /v1/projects/{project}/files files.view
POST /v1/projects/{project}/files files.create
GET /v1/projects/{project}/files/{file} files.read file
DELETE /v1/projects/{project}/files/{file} files.delete file
GET /v1/projects/{project}/endpoints endpoints.view
POST /v1/projects/{project}/endpoints endpoints.create
GET /v1/projects/{project}/endpoints/{endpoint} endpoints.view endpoint
POST /v1/projects/{project}/endpoints/{endpoint}/invoke endpoints.invoke endpoint
DELETE /v1/projects/{project}/endpoints/{endpoint} endpoints.delete endpoint
GET /v1/projects/{project}/clusters clusters.view
GET /v1/projects/{project}/clusters/{cluster} clusters.view cluster
GET /v1/projects/{project}/clusters/{cluster}/admin_kubeconfig clusters.admin_kubeconfig cluster
POST /v1/projects/{project}/clusters/{cluster}/ssh clusters.ssh cluster
GET /v1/projects/{project}/volumes volumes.view
GET /v1/projects/{project}/volumes/{volume} volumes.view volume
GET /v1/projects/{project}/evaluations evaluations.view
POST /v1/projects/{project}/evaluations evaluations.create
POST /v1/projects/{project}/fine_tuning/jobs fine_tuning.create
GET /v1/projects/{project}/fine_tuning/jobs fine_tuning.view
POST /v1/projects/{project}/batches batch.create
GET /v1/projects/{project}/batches batch.view
";

/// The online and offline signers.
pub(crate) struct Signers {
    offline: Signer,
    release: Signer,
    head: Signer,
    session: Signer,
}

impl Signers {
    pub(crate) fn new() -> Self {
        let [offline, release, head, session] =
            [[1; 32], RELEASE, HEAD, [4; 32]].map(|seed| Signer::from_seed(&seed));
        Self { offline, release, head, session }
    }

    /// The root that edges are pinned to.
    pub(crate) fn root(&self) -> Result<Vec<u8>> {
        let (not_before, not_after) = (UnixSeconds(0), UnixSeconds(4_000_000_000));
        let key = |signer: &Signer, role| RootKey { public: signer.public(), role, not_before, not_after };
        let keys = vec![
            key(&self.offline, KeyRole::Offline),
            key(&self.release, KeyRole::Release),
            key(&self.head, KeyRole::Head),
        ];
        let content = RootContent {
            installation: INSTALLATION,
            version: 1,
            issued: NOW.seconds(),
            thresholds: [1, 1, 1],
            keys,
        };
        content.sign(&[&self.offline]).map_err(|error| anyhow!("{error}"))
    }

    /// Settings of a publisher that has these keys, and what holds its keyring.
    pub(crate) fn settings(&self, schedule: Schedule) -> Result<(watch::Sender<Arc<Keyring>>, Settings)> {
        let keys = Keys {
            roots: vec![self.root()?],
            release: vec![Signer::from_seed(&RELEASE)],
            head: vec![Signer::from_seed(&HEAD)],
            session_keys: Vec::new(),
            edge_keys: Vec::new(),
            pepper: world::pepper(),
        };
        let keyring = Keyring::new(keys).map_err(|error| anyhow!("{error}"))?;
        let keyring = watch::Sender::new(Arc::new(keyring));
        let settings = Settings {
            installation: INSTALLATION,
            prefix: world::prefix()?,
            keyring: keyring.subscribe(),
            rules: Rulebook::of(Routing { rules: rules(), cors: None }),
            canaries: Vec::new(),
            grace_secs: GRACE_SECS,
            schedule,
        };
        Ok((keyring, settings))
    }

    /// The content's edition of this generation.
    pub(crate) fn build(&self, content: &mut Content, generation: u64) -> Result<Built> {
        self.with_edition(generation, |edition| content.build(edition).map_err(|error| anyhow!("{error}")))
    }

    /// Makes something of the edition of this generation.
    pub(crate) fn with_edition<T>(
        &self,
        generation: u64,
        make: impl FnOnce(&Edition<'_>) -> Result<T>,
    ) -> Result<T> {
        let exceptions =
            Exceptions::default().with_suspended((0..20).map(|number| OrganizationNumber(1 << 20 | number)));
        let session = TokenKey {
            public: self.session.public(),
            not_before: UnixSeconds(0),
            not_after: UnixSeconds(4_000_000_000),
        };
        let edition = Edition {
            installation: INSTALLATION,
            generation: Generation(generation),
            pepper_id: world::pepper().id(),
            grace_secs: GRACE_SECS,
            prefix: world::prefix()?,
            exceptions: &exceptions,
            session_keys: &[session],
            edge_keys: &[],
            canaries: &[],
            cors: None,
            rules: &rules(),
        };
        make(&edition)
    }

    /// The signed statement about an edition.
    pub(crate) fn statement(&self, manifest: &Object, generation: u64) -> Result<Vec<u8>> {
        self.statement_over(manifest, None, generation)
    }

    /// The signed statement about a base and the delta over it.
    pub(crate) fn statement_over(
        &self,
        manifest: &Object,
        tip: Option<&Object>,
        generation: u64,
    ) -> Result<Vec<u8>> {
        let content = StatementContent {
            installation: INSTALLATION,
            generation: Generation(generation),
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(3600),
            manifest: manifest.reference,
            tip: tip.map(|tip| tip.reference),
            previous: None,
            audit_size: 1_000_000,
            audit_root: [8; 32],
        };
        content.sign(&[&self.release]).map_err(|error| anyhow!("{error}"))
    }

    /// A signed head over a statement.
    pub(crate) fn head(&self, statement: &[u8], as_of: UnixMillis, inline: &[Inline]) -> Result<Vec<u8>> {
        let content = HeadContent { root_version: 1, as_of, statement, inline };
        content.sign(&[&self.head]).map_err(|error| anyhow!("{error}"))
    }
}

fn rules() -> Vec<Rule> {
    RULES.lines().filter_map(rule).collect()
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let (method, pattern, permission) = (words.next()?, words.next()?, words.next()?);
    let resource = words.next().and_then(ResourceType::from_word);
    let in_path = pattern.contains("{project}");
    Some(Rule {
        project: in_path.then(|| Source::Path("project".into())),
        resource: resource
            .map(|resource| ResourceSource { resource, source: Source::Path(resource.as_str().into()) }),
        ..Rule::new(method, pattern, Permission::from_word(permission)?)
    })
}
