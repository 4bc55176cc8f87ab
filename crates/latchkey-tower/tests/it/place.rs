//! What is published, in memory: one installation with two projects, signed anew whenever its head is read.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_control::publish::{Source as Place, SourceError};
use latchkey_core::*;
use latchkey_gate::{Floor, GateConfig, MEMORY_BYTES_DEFAULT};
use latchkey_snapshot::build::{
    Content, Edition, HeadContent, NarrowingContent, Record, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;
use latchkey_tower::{Guard, GuardSettings};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

const INSTALLATION: Installation = Installation([7; 16]);
const GENERATION: Generation = Generation(10);

/// The place, and the keys that it knows.
pub(crate) struct Published {
    objects: HashMap<ObjectDigest, Vec<u8>>,
    statement: Vec<u8>,
    revoked: Mutex<Option<[u8; 10]>>,
    pub(crate) is_down: AtomicBool,
    keys: HashMap<&'static str, (String, [u8; 10])>,
}

impl Place for Published {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn root(&self, _: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(SourceError("down".to_owned()));
        }
        let revoked = self.revoked.lock().unwrap().map(|tag| Inline {
            generation: Generation(GENERATION.0 + 1),
            subject: InlineSubject::Tag(tag),
            reason: Reason::Revoked,
        });
        let inline: Vec<Inline> = revoked.into_iter().collect();
        let as_of = SystemClock.now();
        let head = HeadContent { root_version: 1, as_of, statement: &self.statement, inline: &inline };
        Ok(Some(head.sign(&[&signer(3)]).unwrap()))
    }

    fn object(&self, digest: ObjectDigest, _: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.objects.get(&digest).cloned())
    }
}

impl Published {
    /// Keys: `member` and `admin` of alpha, `beta` of beta, `model` and `network` of alpha, narrowed to these, `slow`
    /// with one request a minute.
    pub(crate) fn new() -> Arc<Self> {
        let pepper = Pepper::new([21; 32]);
        let mut content = Content::new(pepper);
        for (number, slug) in [(10, "alpha"), (20, "beta")] {
            put_project(&mut content, number, slug);
        }
        let models = [ModelPattern { matching: Matching::Exact, text: ModelName::parse("small").unwrap() }];
        let networks = [Network::parse("10.0.0.0/8").unwrap()];
        let narrowed: [(_, u32, _, Option<NarrowingContent<'_>>); 5] = [
            ("member", 10, Role::Member, None),
            ("admin", 10, Role::Admin, None),
            ("beta", 20, Role::Member, None),
            (
                "model",
                10,
                Role::Member,
                Some(NarrowingContent { models: &models, ..NarrowingContent::default() }),
            ),
            (
                "network",
                10,
                Role::Member,
                Some(NarrowingContent { networks: &networks, ..NarrowingContent::default() }),
            ),
        ];
        let mut keys = HashMap::new();
        for (seed, (name, project, role, narrowing)) in (1u8..).zip(narrowed) {
            let organization = OrganizationNumber(project);
            let mut dice = Dice::from_seed(&[seed; 32]);
            let plain = PlainKey::generate(&prefix(), organization.hint(), &mint(), &mut dice);
            let tag = content.key_tag(plain.id(), &plain.digest());
            content.put(Record::Key {
                id: plain.id(),
                digest: plain.digest(),
                binding: Binding {
                    project: ProjectNumber(project),
                    organization,
                    role: Some(role),
                    permissions: PermissionSet::of_key(role),
                },
                expiry: None,
                state: KeyState::Active,
                out_of_budget: false,
                narrowing: narrowing.and_then(|content| content.encode().unwrap()),
            });
            keys.insert(name, (plain.expose().to_owned(), tag));
        }
        let built = content
            .build(&Edition {
                installation: INSTALLATION,
                generation: GENERATION,
                pepper_id: content.pepper_id(),
                grace_secs: 900,
                prefix: prefix(),
                exceptions: &Exceptions::default(),
                session_keys: &[],
                edge_keys: &[],
                canaries: &[],
                cors: Some(&Cors {
                    origins: vec!["https://app.example".to_owned()],
                    headers: vec!["authorization".to_owned()],
                    exposed: vec!["latchkey-stale".to_owned()],
                    max_age_secs: 600,
                }),
                rules: &rules(),
            })
            .unwrap();
        let now = SystemClock.now().seconds();
        let statement = StatementContent {
            installation: INSTALLATION,
            generation: GENERATION,
            issued: now,
            use_by: now.plus_secs(3600),
            manifest: built.manifest.reference,
            tip: None,
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let all = std::iter::once(&built.manifest).chain(&built.objects);
        Arc::new(Self {
            objects: all.map(|one| (one.reference.digest(), one.bytes.to_vec())).collect(),
            statement: statement.sign(&[&signer(2)]).unwrap(),
            revoked: Mutex::new(None),
            is_down: AtomicBool::new(false),
            keys,
        })
    }

    pub(crate) fn key(&self, name: &str) -> &str {
        &self.keys[name].0
    }

    pub(crate) fn revoke(&self, name: &str) {
        *self.revoked.lock().unwrap() = Some(self.keys[name].1);
    }

    /// A guard that looks here every so often.
    pub(crate) async fn guard(self: &Arc<Self>, client: latchkey_tower::Client) -> Guard {
        Guard::start(GuardSettings { client, ..self.settings() }).await.unwrap()
    }

    /// What it is told.
    pub(crate) fn settings(self: &Arc<Self>) -> GuardSettings {
        let gate = GateConfig {
            root: root(),
            peppers: vec![Pepper::new([21; 32])],
            mint: mint(),
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let place = Arc::clone(self) as Arc<dyn Place + Send + Sync>;
        let source = latchkey_tower::Source::Polled { place, every: Duration::from_millis(10) };
        GuardSettings::new(gate, source)
    }
}

/// An application that answers every request with what its handlers see of it.
pub(crate) async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let headers: Vec<Value> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let caller = parts.extensions.get::<latchkey_tower::Caller>();
    let seen = json!({
        "path": parts.uri.path(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
        "project": caller.map(|caller| caller.project_slug.clone()),
        "model": caller.and_then(|caller| caller.model.clone()),
    });
    let mut response = Response::new(Body::from(seen.to_string()));
    response.headers_mut().insert("latchkey-role", "the handler's own".parse().unwrap());
    response
}

/// Status, headers and JSON of the answer.
pub(crate) async fn send(app: &Router, request: Request) -> (u16, axum::http::HeaderMap, Value) {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn put_project(content: &mut Content, number: u32, slug: &str) {
    let (project, organization) = (ProjectNumber(number), OrganizationNumber(number));
    let id = ProjectId::generate(&mut Dice::from_seed(&[number as u8; 32]));
    for text in [slug, id.to_string().as_str()] {
        content.put(Record::ProjectReference { text, project, organization });
    }
    content.put(Record::ProjectNames(ProjectNames {
        number: project,
        organization,
        id,
        slug: Slug::parse(slug).unwrap(),
        name: slug.to_uppercase().into(),
    }));
    content.put(Record::OrganizationNames(OrganizationNames {
        number: organization,
        id: OrganizationId::generate(&mut Dice::from_seed(&[number as u8 + 1; 32])),
        name: format!("organization of {slug}").into(),
    }));
}

fn rules() -> Vec<Rule> {
    let project = || Some(Source::Path("project".to_owned()));
    let mut rules = vec![
        Rule {
            project: project(),
            ..Rule::new("GET", "/v1/projects/{project}/files", Permission::FilesView)
        },
        Rule { forwarding: Forwarding::Kept, ..Rule::new("GET", "/v1/kept", Permission::FilesView) },
        Rule {
            model: Some(Source::Body("model".to_owned())),
            ..Rule::new("POST", "/v1/chat", Permission::InferenceInvoke)
        },
        Rule::new("DELETE", "/v1/clusters", Permission::ClustersDelete),
        Rule::new("GET", "/files", Access::Public),
        Rule {
            host: Some("admin.example".to_owned()),
            ..Rule::new("GET", "/v1/hosted", Permission::ClustersDelete)
        },
        Rule::new("GET", "/v1/hosted", Permission::FilesView),
    ];
    rules.sort_by(|a, b| a.key().cmp(&b.key()));
    rules
}

fn root() -> Vec<u8> {
    let key = |seed, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX / 2),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let issued = SystemClock.now().seconds();
    let root = RootContent { installation: INSTALLATION, version: 1, issued, thresholds: [1; 3], keys };
    root.sign(&[&signer(1)]).unwrap()
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn prefix() -> Prefix {
    Prefix::parse("lk").unwrap()
}

fn mint() -> MintSecret {
    MintSecret::new([22; 32])
}
