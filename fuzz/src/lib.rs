//! What the fuzz targets share: a small installation whose gate serves, and helpers for their inputs.
//!
//! A target states what must hold for any bytes; that nothing panics is only the first of it. Start with
//! `cargo xtask fuzz <target>`; `--smoke` runs each target for a moment, as CI does.

pub mod hub;
pub mod script;

use latchkey_core::key::Prefix;
use latchkey_core::{
    Generation, IdentityId, KeyId, Matching, MintSecret, ModelName, Network, OrganizationNumber, Pepper,
    Permission, PermissionSet, PlainKey, ProjectNumber, ResourceId, ResourceType, Role, SessionId,
    UnixMillis, UnixSeconds,
};
use latchkey_gate::{Attempt, Floor, Gate, GateConfig, Header, Outcome, Question, Request, Step};
use latchkey_snapshot::build::{
    Content, Edition, HeadContent, NarrowingContent, Record, RootContent, Signer, Standing, StatementContent,
    TokenContent,
};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;

/// When everything here is issued, and what time it is: as in tests/vectors.
pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// The installation of tests/vectors.
pub const INSTALLATION: Installation = Installation([7; 16]);
/// How keys begin.
pub const PREFIX: &str = "lk_live";
/// The resource that project 10 has.
pub const FILE: &str = "file-1";

/// The signing key whose 32 secret bytes are all `seed`.
pub fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

/// The mint secret of tests/vectors.
pub fn mint() -> MintSecret {
    MintSecret::new([0x4d; 32])
}

fn pepper() -> Pepper {
    Pepper::new([0x55; 32])
}

/// The first key of tests/vectors/key-format.json, the one that the gate knows.
pub fn key() -> PlainKey {
    let prefix = Prefix::parse(PREFIX).unwrap();
    PlainKey::assemble(
        &prefix,
        KeyId::from_number(0x9e37_0123_4567_89ab),
        b"3xJ9mQ0vLr7TzKc5WbN2yHd8GfA",
        &mint(),
    )
}

/// The second key that the gate knows: narrowed to the network 10.0.0.0/8 and to models that begin with `llama-3`.
pub fn narrowed_key() -> PlainKey {
    let prefix = Prefix::parse(PREFIX).unwrap();
    let id = KeyId::from_number(0x9e37_0123_4567_89ac);
    PlainKey::assemble(&prefix, id, b"3xJ9mQ0vLr7TzKc5WbN2yHd8GfB", &mint())
}

/// The header that names the model.
pub const MODEL_HEADER: &str = "x-model";

/// The identity that is a collaborator in project 10.
pub fn identity() -> IdentityId {
    IdentityId::from_body(*b"0YQm9pZtK3vXcB7d").unwrap()
}

/// A token of that identity's session, good at [`NOW`].
pub fn token() -> String {
    let content = TokenContent {
        installation: INSTALLATION,
        session: SessionId::from_body(*b"5rzhnWRaaVsRgx1k").unwrap(),
        identity: identity(),
        issued: NOW.seconds(),
        expires: NOW.seconds().plus_secs(600),
    };
    content.sign(&signer(4)).unwrap().expose().to_owned()
}

/// The first root of tests/vectors: the keys 1 offline, 2 release, 3 head.
pub fn root_bytes() -> Vec<u8> {
    let key = |seed: u8, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(1_000_000_000),
        not_after: UnixSeconds(3_000_000_000),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let content = RootContent {
        installation: INSTALLATION,
        version: 1,
        issued: NOW.seconds(),
        thresholds: [1; 3],
        keys,
    };
    content.sign(&[&signer(1)]).unwrap()
}

/// The rules that the gate serves.
pub fn rules() -> Vec<Rule> {
    let rule = |method: &str,
                pattern: &str,
                permission: Permission,
                project: Option<&str>,
                file: Option<&str>| Rule {
        credentials: Credentials::Any,
        project: project.map(|name| Source::Path(name.into())),
        resource: file
            .map(|name| ResourceSource { resource: ResourceType::File, source: Source::Path(name.into()) }),
        ..Rule::new(method, pattern, permission)
    };
    vec![
        rule("GET", "/v1/files", Permission::FilesView, None, None),
        rule("GET", "/v1/files/{file}", Permission::FilesRead, None, Some("file")),
        rule(
            "GET",
            "/v1/projects/{project}/files/{file}",
            Permission::FilesRead,
            Some("project"),
            Some("file"),
        ),
        rule("DELETE", "/v1/clusters/{cluster}", Permission::ClustersDelete, None, None),
        rule("GET", "/v1/any/{*rest}", Permission::InferenceInvoke, None, None),
        Rule {
            model: Some(Source::Header(MODEL_HEADER.into())),
            ..rule("POST", "/v1/inference", Permission::InferenceInvoke, None, None)
        },
    ]
}

fn content() -> Content {
    let (project, organization) = (ProjectNumber(10), OrganizationNumber(1));
    let key = key();
    let binding = Binding {
        project,
        organization,
        role: Some(Role::Member),
        permissions: PermissionSet::of_key(Role::Member),
    };
    let narrowed = narrowed_key();
    let networks = [Network::parse("10.0.0.0/8").unwrap()];
    let models = [ModelPattern { matching: Matching::Prefix, text: ModelName::parse("llama-3").unwrap() }];
    let mut content = Content::new(pepper());
    content.load([
        Record::Key {
            id: key.id(),
            digest: key.digest(),
            binding,
            expiry: None,
            state: KeyState::Active,
            out_of_budget: false,
            narrowing: None,
        },
        Record::Key {
            id: narrowed.id(),
            digest: narrowed.digest(),
            binding,
            expiry: None,
            state: KeyState::Active,
            out_of_budget: false,
            narrowing: NarrowingContent {
                networks: &networks,
                models: &models,
                ..NarrowingContent::default()
            }
            .encode()
            .unwrap(),
        },
        Record::Resource {
            resource: ResourceType::File,
            id: ResourceId::parse(FILE).unwrap(),
            project,
            organization,
        },
        Record::Membership { identity: identity(), organization, role: Role::Member },
        Record::Collaboration {
            identity: identity(),
            project,
            organization,
            role: Role::Member,
            standing: Standing::Member,
        },
        Record::ProjectReference { text: "alpha", project, organization },
        Record::ProjectReference { text: "beta", project: ProjectNumber(11), organization },
    ]);
    content
}

/// A gate that has everything: one key, one file, two projects.
pub fn gate() -> Gate {
    let mut content = content();
    let built = content
        .build(&Edition {
            installation: INSTALLATION,
            generation: Generation(5),
            pepper_id: content.pepper_id(),
            grace_secs: 900,
            prefix: Prefix::parse(PREFIX).unwrap(),
            exceptions: &Exceptions::default(),
            session_keys: &[TokenKey {
                public: signer(4).public(),
                not_before: UnixSeconds(1_000_000_000),
                not_after: UnixSeconds(3_000_000_000),
            }],
            edge_keys: &[],
            canaries: &[],
            cors: None,
            rules: &rules(),
        })
        .unwrap();
    let mut gate = Gate::new(GateConfig {
        root: root_bytes(),
        peppers: vec![pepper()],
        mint: mint(),
        floor: Floor::default(),
        memory_bytes_max: latchkey_gate::MEMORY_BYTES_DEFAULT,
        seed: 1,
    })
    .unwrap();
    gate.accept_head(&head(built.manifest.reference), NOW).unwrap();
    loop {
        let wanted = gate.wanted(usize::MAX);
        let Some(first) = wanted.first() else {
            assert_lets_its_key_in(&gate);
            return gate;
        };
        let object = built
            .objects
            .iter()
            .chain([&built.manifest])
            .find(|object| object.reference == *first.reference());
        gate.accept_object(first, &object.unwrap().bytes, NOW).unwrap();
    }
}

/// Else the fuzzer would only ever see refusals.
fn assert_lets_its_key_in(gate: &Gate) {
    let (key, session) = (key(), format!("Bearer {}", token()));
    let key = format!("Bearer {}", key.expose());
    let cases = [
        (&key, Header::None, "/v1/files"),
        (&key, Header::None, "/v1/projects/alpha/files/file-1"),
        (&session, Header::One(b"alpha".as_slice()), "/v1/files"),
        (&session, Header::None, "/v1/projects/alpha/files/file-1"),
    ];
    for (authorization, project, path) in cases {
        let request = Request {
            project,
            ..Request::new("GET", path.as_bytes(), Header::One(authorization.as_bytes()))
        };
        let step = gate.decide(&request, Question::Route, NOW, &mut Attempt::default());
        let allowed = matches!(&step, Step::Answer(verdict) if matches!(verdict.outcome, Outcome::Allow(_)));
        assert!(allowed, "{path}: {step:?}");
    }
}

fn head(manifest: ObjectRef) -> Vec<u8> {
    let statement = StatementContent {
        installation: INSTALLATION,
        generation: Generation(5),
        issued: NOW.seconds(),
        use_by: NOW.seconds().plus_secs(3600),
        manifest,
        tip: None,
        previous: None,
        audit_size: 0,
        audit_root: [0; 32],
    };
    let statement = statement.sign(&[&signer(2)]).unwrap();
    HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] }
        .sign(&[&signer(3)])
        .unwrap()
}

/// The kind that an object's fifth byte names, if any.
pub fn kind_of(bytes: &[u8]) -> Option<Kind> {
    bytes.get(4).copied().and_then(Kind::from_byte)
}
