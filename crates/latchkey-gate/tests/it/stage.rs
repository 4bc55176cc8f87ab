//! An installation in memory and a shell around a gate: what the tests act with.

use latchkey_core::key::Prefix;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::{
    Content, DeltaContent, Edition, HeadContent, Narrowing, NarrowingContent, Record, RootContent, Signer,
    Standing, StatementContent, TokenContent, Touched,
};
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::root::{Installation, KeyRole, RootKey};
use latchkey_snapshot::{
    Binding, Canary, Cors, Credentials, Expected, Freshness, KeyState, ObjectDigest, ObjectRef,
    OrganizationNames, Previous, ProjectNames, Query, ResourceSource, Rule, Source,
};
use std::collections::BTreeMap;

pub(crate) const START: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const INSTALLATION: Installation = Installation([7; 16]);
pub(crate) const GRACE_SECS: u32 = 900;

/// A key of the installation and what is known of it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) id: KeyId,
    pub(crate) digest: KeyDigest,
    pub(crate) binding: Binding,
    pub(crate) expiry: Option<ExpiryMinute>,
    pub(crate) state: KeyState,
    pub(crate) out_of_budget: bool,
    pub(crate) narrowing: Option<Narrowing>,
    /// Of a key of another system.
    pub(crate) imported: Option<ImportedDigest>,
}

/// A person who is signed in.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) identity: IdentityId,
    pub(crate) session: SessionId,
}

/// The control plane's side: its state, its signing keys, and all objects it ever published.
pub(crate) struct Stage {
    pub(crate) now: UnixMillis,
    pub(crate) content: Content,
    pub(crate) pepper: Pepper,
    pub(crate) mint: MintSecret,
    pub(crate) prefix: Prefix,
    pub(crate) rules: Vec<Rule>,
    pub(crate) cors: Option<Cors>,
    pub(crate) exceptions: Exceptions,
    pub(crate) session_keys: Vec<TokenKey>,
    pub(crate) grace_secs: u32,
    pub(crate) use_by_secs: u64,
    pub(crate) generation: Generation,
    pub(crate) statement_generation: Generation,
    pub(crate) inline: Vec<Inline>,
    pub(crate) statement: Vec<u8>,
    pub(crate) objects: BTreeMap<ObjectDigest, Vec<u8>>,
    pub(crate) installation: Installation,
    pub(crate) root_version: u32,
    offline: Signer,
    pub(crate) release: Signer,
    pub(crate) head_signer: Signer,
    dice: Dice,
    pub(crate) base: Option<Base>,
    /// The base before, and until when it is carried on.
    pub(crate) before: Option<(Base, UnixSeconds)>,
    pub(crate) canaries: Vec<Canary>,
}

/// A published base and the deltas since.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) manifest: ObjectRef,
    /// Where the tip begins: the base itself, or the last delta that was sealed.
    pub(crate) from: Generation,
    pub(crate) parent: Option<ObjectRef>,
    pub(crate) exceptions: Exceptions,
    pub(crate) touched: Touched,
    pub(crate) tip: Option<ObjectRef>,
    /// How many deltas were sealed.
    pub(crate) sealed: usize,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let pepper = Pepper::new([21; 32]);
        let mut stage = Self {
            now: START,
            content: Content::new(pepper.clone()),
            pepper,
            mint: MintSecret::new([22; 32]),
            prefix: Prefix::parse("lk").unwrap(),
            rules: rules(),
            cors: None,
            exceptions: Exceptions::default(),
            session_keys: vec![session_key(&session_signer())],
            grace_secs: GRACE_SECS,
            use_by_secs: 3600,
            generation: Generation(10),
            statement_generation: Generation(0),
            inline: vec![],
            statement: vec![],
            objects: BTreeMap::new(),
            installation: INSTALLATION,
            root_version: 1,
            offline: Signer::from_seed(&[1; 32]),
            release: Signer::from_seed(&[2; 32]),
            head_signer: Signer::from_seed(&[3; 32]),
            dice: Dice::from_seed(&[4; 32]),
            base: None,
            before: None,
            canaries: vec![],
        };
        for (number, slug) in [(1, "alpha"), (2, "beta")] {
            stage.add_project(number, slug);
        }
        stage
    }

    pub(crate) fn add_project(&mut self, number: u32, slug: &str) {
        let (project, organization) = (ProjectNumber(number), OrganizationNumber(number * 10));
        let id = project_id(number);
        for text in [slug, id.to_string().as_str()] {
            self.content.put(Record::ProjectReference { text, project, organization });
        }
        self.content.put(Record::ProjectNames(ProjectNames {
            number: project,
            organization,
            id,
            slug: Slug::parse(slug).unwrap(),
            name: slug.to_uppercase().into(),
        }));
        self.content.put(Record::OrganizationNames(OrganizationNames {
            number: organization,
            id: OrganizationId::generate(&mut Dice::from_seed(&[(number as u8).wrapping_add(50); 32])),
            name: format!("organization of {slug}").into(),
        }));
    }

    pub(crate) fn add_resource(&mut self, project: u32, resource: ResourceType, id: &str) {
        self.content.put(Record::Resource {
            resource,
            id: ResourceId::parse(id).unwrap(),
            project: ProjectNumber(project),
            organization: OrganizationNumber(project * 10),
        });
    }

    /// A key in force, said in the next publication.
    pub(crate) fn add_key(&mut self, project: u32, role: Role) -> Key {
        self.add_key_with(project, role, |_| {})
    }

    pub(crate) fn add_key_with(&mut self, project: u32, role: Role, change: impl Fn(&mut Key)) -> Key {
        let organization = OrganizationNumber(project * 10);
        let plain = PlainKey::generate(&self.prefix, organization.hint(), &self.mint, &mut self.dice);
        let mut key = Key {
            text: plain.expose().to_owned(),
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
            narrowing: None,
            imported: None,
        };
        change(&mut key);
        self.put_key(&key);
        key
    }

    pub(crate) fn put_key(&mut self, key: &Key) {
        let Key { id, digest, binding, expiry, state, out_of_budget, .. } = *key;
        let narrowing = key.narrowing.clone();
        self.content.put(match key.imported {
            None => Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing },
            Some(digest) => {
                Record::ImportedKey { id, digest, binding, expiry, state, out_of_budget, narrowing }
            }
        });
    }

    /// A key of another system with this text.
    pub(crate) fn add_imported_key(&mut self, project: u32, role: Role, text: &str) -> Key {
        self.add_key_with(project, role, |key| {
            key.text = text.to_owned();
            key.imported = Some(ImportedDigest::of(text.as_bytes()));
        })
    }

    /// Somebody who is neither a member of anything nor a collaborator in anything.
    pub(crate) fn add_person(&mut self) -> Person {
        Person {
            identity: IdentityId::generate(&mut self.dice),
            session: SessionId::generate(&mut self.dice),
        }
    }

    /// A member of the organization and collaborator in the project.
    pub(crate) fn add_collaborator(&mut self, project: u32, organization_role: Role, role: Role) -> Person {
        let person = self.add_person();
        self.put_member(&person, project, organization_role);
        self.put_collaborator(&person, project, role, Standing::Member);
        person
    }

    /// A member of the organization that the project belongs to.
    pub(crate) fn put_member(&mut self, person: &Person, project: u32, role: Role) {
        let organization = OrganizationNumber(project * 10);
        self.content.put(Record::Membership { identity: person.identity, organization, role });
    }

    pub(crate) fn put_collaborator(&mut self, person: &Person, project: u32, role: Role, standing: Standing) {
        self.content.put(Record::Collaboration {
            identity: person.identity,
            project: ProjectNumber(project),
            organization: OrganizationNumber(project * 10),
            role,
            standing,
        });
    }

    pub(crate) fn token_of(&self, person: &Person) -> String {
        self.token_signed(person, &session_signer())
    }

    pub(crate) fn token_signed(&self, person: &Person, signer: &Signer) -> String {
        let issued = self.now.seconds();
        let content = TokenContent {
            installation: self.installation,
            session: person.session,
            identity: person.identity,
            issued,
            expires: issued.plus_secs(600),
        };
        content.sign(signer).unwrap().expose().to_owned()
    }

    pub(crate) fn set_state(&mut self, key: &Key, state: KeyState) {
        self.put_key(&Key { state, ..key.clone() });
    }

    /// A key that was minted here and never said.
    pub(crate) fn unsaid_key(&mut self) -> String {
        PlainKey::generate(&self.prefix, 77, &self.mint, &mut self.dice).expose().to_owned()
    }

    /// A key with a mint check of somebody else's.
    pub(crate) fn made_up_key(&mut self) -> String {
        PlainKey::generate(&self.prefix, 77, &MintSecret::new([99; 32]), &mut self.dice).expose().to_owned()
    }

    /// One more change, published as a new manifest and statement.
    pub(crate) fn publish(&mut self) {
        self.generation = self.generation.next();
        self.publish_same_generation();
    }

    /// One more change, published as a delta over the base: cumulative since the base or the last delta sealed.
    pub(crate) fn publish_delta(&mut self) {
        self.generation = self.generation.next();
        self.publish_delta_same_generation();
    }

    pub(crate) fn publish_delta_same_generation(&mut self) {
        let touched = self.content.take_touched();
        let mut base = self.base.take().unwrap();
        base.touched.extend(&touched);
        base.tip = Some(self.put_delta(&base));
        self.base = Some(base);
        if let Some((mut before, until)) = self.before.take() {
            before.touched.extend(&touched);
            before.tip = Some(self.put_delta(&before));
            self.before = Some((before, until));
        }
        self.inline.retain(|entry| entry.generation > self.generation);
        self.statement_generation = self.generation;
        self.sign_statement();
    }

    fn put_delta(&mut self, base: &Base) -> ObjectRef {
        let content = self.delta_content(base);
        let delta = self.content.delta(&content, &base.touched).unwrap();
        self.put_object(&delta.bytes)
    }

    pub(crate) fn delta_content<'a>(&'a self, base: &'a Base) -> DeltaContent<'a> {
        DeltaContent {
            installation: self.installation,
            base: base.manifest,
            from: base.from,
            generation: self.generation,
            parent: base.parent,
            before: &base.exceptions,
            now: &self.exceptions,
        }
    }

    pub(crate) fn put_object(&mut self, bytes: &[u8]) -> ObjectRef {
        let reference = ObjectRef::to(bytes);
        self.objects.insert(reference.digest(), bytes.to_vec());
        reference
    }

    /// The next delta continues the tip, in place of covering what it covers.
    pub(crate) fn seal(&mut self) {
        let (generation, exceptions) = (self.statement_generation, self.exceptions.clone());
        let base = self.base.as_mut().unwrap();
        (base.parent, base.from, base.touched) = (base.tip, generation, Touched::default());
        base.exceptions = exceptions;
        base.sealed += 1;
    }

    /// The same generation as a new base, while the one before is carried on until then.
    pub(crate) fn rebase(&mut self, until: UnixSeconds) {
        let before = self.base.take().unwrap();
        assert!(before.tip.is_some(), "a base before has deltas up to the same generation");
        self.publish_same_generation();
        self.before = Some((before, until));
        self.sign_statement();
    }

    /// The look-up of the key, and that it comes out as it must.
    pub(crate) fn canary(&self, key: &Key) -> Canary {
        let query = Query::native_key(&self.pepper, key.id, &key.digest);
        Canary { query, expected: Some(Expected { binding: key.binding, state: key.state }) }
    }

    pub(crate) fn publish_same_generation(&mut self) {
        let built = self.content.build(&Edition {
            installation: self.installation,
            generation: self.generation,
            pepper_id: self.content.pepper_id(),
            grace_secs: self.grace_secs,
            prefix: self.prefix,
            exceptions: &self.exceptions,
            session_keys: &self.session_keys,
            edge_keys: &[],
            canaries: &self.canaries,
            cors: self.cors.as_ref(),
            rules: &self.rules,
        });
        let built = built.unwrap();
        for object in built.objects.iter().chain([&built.manifest]) {
            self.objects.insert(object.reference.digest(), object.bytes.to_vec());
        }
        self.inline.retain(|entry| entry.generation > self.generation);
        self.content.take_touched();
        self.before = None;
        self.base = Some(Base {
            manifest: built.manifest.reference,
            from: self.generation,
            parent: None,
            exceptions: self.exceptions.clone(),
            touched: Touched::default(),
            tip: None,
            sealed: 0,
        });
        self.statement_generation = self.generation;
        self.sign_statement();
    }

    pub(crate) fn sign_statement(&mut self) {
        let base = self.base.as_ref().unwrap();
        self.statement = self.statement_over(base.manifest, base.tip, self.statement_generation);
    }

    pub(crate) fn statement_over(
        &self,
        manifest: ObjectRef,
        tip: Option<ObjectRef>,
        generation: Generation,
    ) -> Vec<u8> {
        let carried = self.before.as_ref().filter(|(_, until)| *until > self.now.seconds());
        let previous = carried.map(|(before, until)| Previous {
            manifest: before.manifest,
            tip: before.tip.unwrap(),
            until: *until,
        });
        let content = StatementContent {
            installation: self.installation,
            generation,
            issued: self.now.seconds(),
            use_by: self.now.seconds().plus_secs(self.use_by_secs),
            manifest,
            tip,
            previous,
            audit_size: 0,
            audit_root: [0; 32],
        };
        content.sign(&[&self.release]).unwrap()
    }

    /// A change that rides inline: nothing is published but the head.
    pub(crate) fn revoke_inline(&mut self, subject: InlineSubject, reason: Reason) {
        self.generation = self.generation.next();
        self.inline.push(Inline { generation: self.generation, subject, reason });
    }

    pub(crate) fn revoke_key_inline(&mut self, key: &Key) {
        let tag = match &key.imported {
            None => self.content.key_tag(key.id, &key.digest),
            Some(digest) => Query::imported_key(&self.pepper, digest).tag,
        };
        self.revoke_inline(InlineSubject::Tag(tag), Reason::Revoked);
        self.set_state(key, KeyState::Revoked);
    }

    /// The head as it is signed now.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.head_at(self.now)
    }

    pub(crate) fn head_at(&self, as_of: UnixMillis) -> Vec<u8> {
        self.head_signed(as_of, &self.head_signer)
    }

    pub(crate) fn head_signed(&self, as_of: UnixMillis, signer: &Signer) -> Vec<u8> {
        let content = HeadContent {
            root_version: self.root_version,
            as_of,
            statement: &self.statement,
            inline: &self.inline,
        };
        content.sign(&[signer]).unwrap()
    }

    /// The head as it is signed now, by several keys at once.
    pub(crate) fn head_signed_by(&self, signers: &[&Signer]) -> Vec<u8> {
        let content = HeadContent {
            root_version: self.root_version,
            as_of: self.now,
            statement: &self.statement,
            inline: &self.inline,
        };
        content.sign(signers).unwrap()
    }

    pub(crate) fn root(&self, version: u32, head_signer: &Signer) -> Vec<u8> {
        self.root_naming(version, &[&self.release], &[head_signer])
    }

    pub(crate) fn root_naming(&self, version: u32, releases: &[&Signer], heads: &[&Signer]) -> Vec<u8> {
        let key = |signer: &Signer, role| RootKey {
            public: signer.public(),
            role,
            not_before: UnixSeconds(0),
            not_after: UnixSeconds(u64::MAX),
        };
        let content = RootContent {
            installation: self.installation,
            version,
            issued: UnixSeconds(1000),
            thresholds: [1, 1, 1],
            keys: [key(&self.offline, KeyRole::Offline)]
                .into_iter()
                .chain(releases.iter().map(|signer| key(signer, KeyRole::Release)))
                .chain(heads.iter().map(|signer| key(signer, KeyRole::Head)))
                .collect(),
        };
        content.sign(&[&self.offline]).unwrap()
    }

    pub(crate) fn config(&self) -> GateConfig {
        GateConfig {
            root: self.root(1, &Signer::from_seed(&[3; 32])),
            peppers: vec![self.pepper.clone()],
            mint: self.mint.clone(),
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 5,
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        Gate::new(self.config()).unwrap()
    }

    /// A shell whose gate holds all that was published.
    pub(crate) fn warm_shell(&self) -> Shell {
        let mut shell = Shell::new(self.gate());
        shell.refresh(self);
        shell.load(self);
        shell
    }

    pub(crate) fn token(&self, generation: Generation) -> String {
        generation.token(&self.mint.generation_secret()).as_str().to_owned()
    }
}

pub(crate) fn session_signer() -> Signer {
    Signer::from_seed(&[6; 32])
}

pub(crate) fn session_key(signer: &Signer) -> TokenKey {
    TokenKey { public: signer.public(), not_before: UnixSeconds(0), not_after: UnixSeconds(u64::MAX) }
}

pub(crate) fn narrowing(content: NarrowingContent<'_>) -> Option<Narrowing> {
    content.encode().unwrap()
}

pub(crate) fn project_id(number: u32) -> ProjectId {
    ProjectId::generate(&mut Dice::from_seed(&[number as u8; 32]))
}

pub(crate) fn rule(method: &str, pattern: &str, permission: Permission) -> Rule {
    Rule::new(method, pattern, permission)
}

pub(crate) fn rules() -> Vec<Rule> {
    let project = || Some(Source::Path("project".into()));
    let file = || Some(ResourceSource { resource: ResourceType::File, source: Source::Path("file".into()) });
    let mut rules = vec![
        rule("POST", "/v1/inference", Permission::InferenceInvoke),
        Rule { project: project(), ..rule("GET", "/v1/projects/{project}/files", Permission::FilesView) },
        Rule {
            project: project(),
            resource: file(),
            ..rule("GET", "/v1/projects/{project}/files/{file}", Permission::FilesRead)
        },
        Rule {
            project: project(),
            freshness: Freshness::FreshOnly,
            ..rule("DELETE", "/v1/projects/{project}/clusters", Permission::ClustersDelete)
        },
        Rule { resource: file(), ..rule("GET", "/v1/files/{file}", Permission::FilesRead) },
        rule("POST", "/v1/clusters", Permission::ClustersCreate),
        rule("GET", "/v1/assets/{*rest}", Permission::FilesView),
        Rule { freshness: Freshness::FreshOnly, ..rule("POST", "/v1/batches", Permission::BatchCreate) },
        both(rule("POST", "/v1/evaluations", Permission::EvaluationsCreate)),
        both(Rule { resource: file(), ..rule("GET", "/v1/both/files/{file}", Permission::FilesRead) }),
        both(Rule {
            project: project(),
            ..rule("GET", "/v1/both/projects/{project}/files", Permission::FilesView)
        }),
        both(Rule {
            project: project(),
            resource: file(),
            ..rule("GET", "/v1/both/projects/{project}/files/{file}", Permission::FilesRead)
        }),
        both(rule("DELETE", "/v1/both/clusters", Permission::ClustersDelete)),
        both(Rule {
            freshness: Freshness::FreshOnly,
            ..rule("POST", "/v1/both/clusters", Permission::ClustersCreate)
        }),
        sessions(rule("GET", "/v1/keys", Permission::KeysRead)),
        sessions(rule("PUT", "/v1/external", Permission::ProjectExternalWrite)),
        sessions(rule("GET", "/v1/sessions/files", Permission::FilesView)),
        Rule {
            model: Some(Source::Header("x-model".into())),
            ..rule("POST", "/v1/chat", Permission::InferenceInvoke)
        },
        Rule {
            model: Some(Source::Path("model".into())),
            ..rule("POST", "/v1/models/{*model}", Permission::InferenceInvoke)
        },
    ];
    rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
    rules
}

pub(crate) fn both(rule: Rule) -> Rule {
    Rule { credentials: Credentials::Any, ..rule }
}

fn sessions(rule: Rule) -> Rule {
    Rule { credentials: Credentials::Sessions, ..rule }
}

/// What a shell could not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Up,
    HeadDown,
    ObjectsDown,
}

/// The loop of a Worker around a gate, with a network that can be down and a count of all it asked for.
pub(crate) struct Shell {
    pub(crate) gate: Gate,
    pub(crate) network: Line,
    pub(crate) heads: usize,
    pub(crate) joins: usize,
    pub(crate) objects: usize,
    /// How often a body was looked at, and what stands in it.
    pub(crate) bodies: usize,
    pub(crate) body: Vec<u8>,
    /// How long a look at the head takes.
    pub(crate) head_ms: u64,
    /// Why something that was published was not adopted.
    pub(crate) not_adopted: Vec<AdoptError>,
    /// What cannot be had, however often it is asked for, and how often it was.
    pub(crate) lost: BTreeMap<ObjectDigest, usize>,
}

/// Objects that a Worker fetches at the same time, and behind one answer at most.
const OBJECTS_AT_ONCE: usize = 4;
const OBJECTS_BEHIND_MAX: usize = 32;

impl Shell {
    pub(crate) fn new(gate: Gate) -> Self {
        Self {
            gate,
            network: Line::Up,
            heads: 0,
            joins: 0,
            objects: 0,
            bodies: 0,
            body: vec![],
            head_ms: 0,
            not_adopted: vec![],
            lost: BTreeMap::new(),
        }
    }

    /// One whole request, `stage.now` moving as the network takes time.
    pub(crate) fn ask(&mut self, stage: &mut Stage, request: &Request<'_>, question: Question) -> Verdict {
        let mut attempt = Attempt::default();
        let mut said: Option<Option<String>> = None;
        for _ in 0..40 {
            let body =
                said.as_ref().map_or(Body::Unread, |said| said.as_deref().map_or(Body::Silent, Body::Says));
            let request = Request { body, ..*request };
            match self.gate.decide(&request, question, stage.now, &mut attempt) {
                Step::Answer(verdict) => return verdict,
                Step::Ask(Ask::Body(field)) => {
                    self.bodies += 1;
                    said = Some(find_text(&self.body, Extent::Whole, &field).ok());
                }
                Step::Ask(Ask::Head(HeadAsk::Join)) => {
                    self.joins += 1;
                    stage.now = stage.now.plus_ms(HEAD_BUDGET_MS);
                }
                Step::Ask(Ask::Head(HeadAsk::Start)) => {
                    self.heads += 1;
                    stage.now = stage.now.plus_ms(self.head_ms);
                    let end = self.look(stage);
                    self.gate.ask_ended(end, stage.now);
                }
                Step::Ask(Ask::Objects(list)) => list.iter().for_each(|wanted| self.fetch(stage, wanted)),
            }
        }
        panic!("the loop does not end");
    }

    pub(crate) fn route(&mut self, stage: &mut Stage, key: &str, method: &str, path: &str) -> Verdict {
        let bearer = format!("Bearer {key}");
        let request = Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes()));
        self.ask(stage, &request, Question::Route)
    }

    /// The simplest route that any key may use.
    pub(crate) fn invoke(&mut self, stage: &mut Stage, key: &str) -> Verdict {
        self.route(stage, key, "POST", "/v1/inference")
    }

    pub(crate) fn invoke_at_least(&mut self, stage: &mut Stage, key: &str, token: &str) -> Verdict {
        let bearer = format!("Bearer {key}");
        let request = Request {
            min_generation: Some(token.as_bytes()),
            ..Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()))
        };
        self.ask(stage, &request, Question::Route)
    }

    fn look(&mut self, stage: &Stage) -> RefreshEnd {
        if self.network == Line::HeadDown || stage.statement.is_empty() {
            return RefreshEnd::Failed;
        }
        match self.gate.accept_head(&stage.head(), stage.now) {
            Ok(_) => RefreshEnd::Answered,
            Err(_) => RefreshEnd::Failed,
        }
    }

    /// The background refresh, whether it is due or not.
    pub(crate) fn refresh(&mut self, stage: &Stage) {
        self.look(stage);
        self.gate.refresh_ended(stage.now);
        while self.gate.status(stage.now).pending.is_some()
            && let Some(wanted) = self.gate.wanted(1).pop()
        {
            self.fetch(stage, &wanted);
        }
    }

    /// Everything that is missing, as far as it can be had.
    pub(crate) fn load(&mut self, stage: &Stage) {
        loop {
            let wanted = self.gate.wanted(usize::MAX);
            if wanted.is_empty() {
                return;
            }
            wanted.iter().for_each(|wanted| self.fetch(stage, wanted));
        }
    }

    /// What a Worker fetches behind one answer.
    pub(crate) fn fetch_behind(&mut self, stage: &Stage) {
        let mut fetched = 0;
        while fetched < OBJECTS_BEHIND_MAX {
            let wanted = self.gate.wanted(OBJECTS_AT_ONCE);
            if wanted.is_empty() {
                return;
            }
            fetched += wanted.len();
            wanted.iter().for_each(|wanted| self.fetch(stage, wanted));
        }
    }

    /// What the project of a grant is called.
    pub(crate) fn project_name(&mut self, stage: &Stage, binding: &Binding) -> Option<String> {
        let mut attempt = Attempt::default();
        for _ in 0..40 {
            let wanted = match self.gate.names(binding, stage.now, &mut attempt) {
                NamesStep::Names(names) => return Some(names.project.name.to_string()),
                NamesStep::Ask(Ask::Objects(list)) => list,
                NamesStep::Ask(Ask::Head(_) | Ask::Body(_)) | NamesStep::Unavailable => return None,
            };
            wanted.iter().for_each(|wanted| self.fetch(stage, wanted));
        }
        panic!("the loop does not end");
    }

    pub(crate) fn fetch(&mut self, stage: &Stage, wanted: &Wanted) {
        self.objects += 1;
        let lost = self.lost.get_mut(&wanted.reference().digest());
        let is_lost = lost.map(|times| *times += 1).is_some();
        match stage.objects.get(&wanted.reference().digest()) {
            Some(bytes) if self.network != Line::ObjectsDown && !is_lost => {
                match self.gate.accept_object(wanted, bytes, stage.now) {
                    Ok(()) => {}
                    Err(ObjectRefusal::NotAdopted(error)) => self.not_adopted.push(error),
                    Err(refusal) => panic!("{refusal:?}"),
                }
            }
            _ => self.gate.object_failed(wanted, stage.now),
        }
    }
}

#[track_caller]
pub(crate) fn assert_allowed(verdict: &Verdict) -> Grant {
    match verdict.outcome {
        Outcome::Allow(grant) => grant,
        Outcome::Pass(pass) => panic!("passed: {pass:?}"),
        Outcome::Refuse(refusal) => panic!("refused: {refusal:?} {:?}", verdict.standing),
    }
}

#[track_caller]
pub(crate) fn assert_fresh(verdict: &Verdict) {
    assert_allowed(verdict);
    assert!(!verdict.standing.unwrap().stale, "{verdict:?}");
}

#[track_caller]
pub(crate) fn assert_stale(verdict: &Verdict) {
    assert_allowed(verdict);
    assert!(verdict.standing.unwrap().stale, "{verdict:?}");
}

#[track_caller]
pub(crate) fn assert_refused(verdict: &Verdict, refusal: Refusal) {
    assert_eq!(verdict.outcome, Outcome::Refuse(refusal));
}

pub(crate) const UNKNOWN: Refusal = Refusal::Unauthenticated(Unproven::Unknown);
pub(crate) const MADE_UP: Refusal = Refusal::Unauthenticated(Unproven::MadeUp);
