//! A gate with one organization, one project, its resources, a key and a session, all made up.

use super::{Caller, TrialArguments, later};
use crate::routes::Routing;
use anyhow::{Context, Result, anyhow, bail};
use latchkey_core::{
    Dice, Generation, IdentityId, Matching, MintSecret, ModelName, Network, OrganizationNumber, Pepper,
    Permission, PermissionSet, PlainKey, Prefix, ProjectNumber, ResourceId, ResourceType, Role, SessionId,
    Slug, UnixMillis, UnixSeconds,
};
use latchkey_gate::{
    Attempt, Floor, Gate, GateConfig, Header, MEMORY_BYTES_DEFAULT, Question, Request, Step,
};
use latchkey_snapshot::build::{
    Built, Content, Edition, HeadContent, NarrowingContent, Record, RootContent, Signer, Standing,
    StatementContent, TokenContent,
};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Binding, Installation, KeyState, ModelPattern, ObjectRef, ResourcePattern};

const ORGANIZATION: OrganizationNumber = OrganizationNumber(1);
const PROJECT: ProjectNumber = ProjectNumber(1);
const INSTALLATION: Installation = Installation([0; 16]);

/// The gate, and what the caller shows it.
pub(super) struct Stand {
    pub(super) gate: Gate,
    authorization: Option<String>,
}

/// A header that stands once, if it stands.
pub(super) fn header(value: Option<&str>) -> Header<'_> {
    value.map_or(Header::None, |value| Header::One(value.as_bytes()))
}

impl Stand {
    /// A gate that serves these rules to this caller.
    ///
    /// # Errors
    /// An argument means nothing.
    pub(super) fn new(routing: &Routing, arguments: &TrialArguments, now: UnixMillis) -> Result<Self> {
        let mut dice = Dice::from_seed(&[1; 32]);
        let mint = MintSecret::new(dice.bytes());
        let prefix = Prefix::parse("lk").map_err(|_| anyhow!("the trial's prefix"))?;
        let key = PlainKey::generate(&prefix, ORGANIZATION.hint(), &mint, &mut dice);
        let identity = IdentityId::generate(&mut dice);
        let content = content(arguments, &key, identity)?;
        let signers = Signers::new();
        let gate = signers.gate(content, routing, mint, prefix, now)?;
        let authorization = match arguments.caller {
            Caller::Nobody => None,
            Caller::MemberKey | Caller::AdminKey => Some(format!("Bearer {}", key.expose())),
            Caller::Member | Caller::Admin => {
                let token = TokenContent {
                    installation: INSTALLATION,
                    session: SessionId::generate(&mut dice),
                    identity,
                    issued: now.seconds(),
                    expires: now.seconds().plus_secs(600),
                };
                Some(format!("Bearer {}", token.sign(&signers.session)?.expose()))
            }
        };
        Ok(Self { gate, authorization })
    }

    pub(super) fn authorization(&self) -> Option<String> {
        self.authorization.clone()
    }

    /// The gate's answer from what it has: whatever else it asks for is not to be had.
    pub(super) fn answer(&self, request: &Request<'_>, now: UnixMillis, attempt: &mut Attempt) -> Step {
        let mut step = self.gate.decide(request, Question::Route, now, attempt);
        while let Step::Ask(latchkey_gate::Ask::Head(_)) = step {
            self.gate.ask_ended(latchkey_gate::RefreshEnd::Answered, now);
            step = self.gate.decide(request, Question::Route, now, attempt);
        }
        step
    }
}

fn content(arguments: &TrialArguments, key: &PlainKey, identity: IdentityId) -> Result<Content> {
    let slug = Slug::parse(&arguments.project).map_err(|_| anyhow!("`{}` is no slug", arguments.project))?;
    let role = match arguments.caller {
        Caller::AdminKey | Caller::Admin => Role::Admin,
        Caller::MemberKey | Caller::Member | Caller::Nobody => Role::Member,
    };
    let mut content = Content::new(Pepper::new([2; 32]));
    let (models, only) = (models(&arguments.models)?, only_resources(&arguments.only_resources)?);
    let networks = networks(&arguments.networks)?;
    let narrowing = NarrowingContent { rate: None, networks: &networks, resources: &only, models: &models };
    content.load([
        Record::Key {
            id: key.id(),
            digest: key.digest(),
            binding: Binding {
                project: PROJECT,
                organization: ORGANIZATION,
                role: Some(role),
                permissions: permissions(&arguments.permissions, role)?,
            },
            expiry: None,
            state: KeyState::Active,
            out_of_budget: false,
            narrowing: narrowing.encode()?,
        },
        Record::ProjectReference { text: slug.as_str(), project: PROJECT, organization: ORGANIZATION },
        Record::Membership { identity, organization: ORGANIZATION, role: Role::Member },
        Record::Collaboration {
            identity,
            project: PROJECT,
            organization: ORGANIZATION,
            role,
            standing: Standing::Member,
        },
    ]);
    for text in &arguments.resources {
        let (resource, id) = resource(text)?;
        let id = ResourceId::parse(id).map_err(|_| anyhow!("`{id}` is no id of a resource"))?;
        content.put(Record::Resource { resource, id, project: PROJECT, organization: ORGANIZATION });
    }
    Ok(content)
}

fn permissions(words: &[String], role: Role) -> Result<PermissionSet> {
    let all = PermissionSet::of_key(role);
    if words.is_empty() {
        return Ok(all);
    }
    let mut set = PermissionSet::EMPTY;
    for word in words {
        set = set
            .with(Permission::from_word(word).with_context(|| format!("there is no permission `{word}`"))?);
    }
    Ok(set.intersection(all))
}

fn models(texts: &[String]) -> Result<Vec<ModelPattern<'_>>> {
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        let (matching, name) = matching(text);
        let name = ModelName::parse(name).map_err(|_| anyhow!("`{text}` names no model"))?;
        patterns.push(ModelPattern { matching, text: name });
    }
    Ok(patterns)
}

fn only_resources(texts: &[String]) -> Result<Vec<ResourcePattern<'_>>> {
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        let (resource, id) = resource(text)?;
        let (matching, id) = matching(id);
        let id = ResourceId::parse(id).map_err(|_| anyhow!("`{text}` names no resource"))?;
        patterns.push(ResourcePattern { resource, matching, text: id });
    }
    Ok(patterns)
}

/// A `*` at the end means all that begin so.
fn matching(text: &str) -> (Matching, &str) {
    text.strip_suffix('*').map_or((Matching::Exact, text), |beginning| (Matching::Prefix, beginning))
}

fn resource(text: &str) -> Result<(ResourceType, &str)> {
    let (word, id) = text.split_once(':').with_context(|| format!("`{text}` is no `TYPE:ID`"))?;
    let kind =
        ResourceType::from_word(word).with_context(|| format!("there is no resource type `{word}`"))?;
    Ok((kind, id))
}

fn networks(texts: &[String]) -> Result<Vec<Network>> {
    let network = |text: &String| Network::parse(text).map_err(|_| anyhow!("`{text}` is no network"));
    texts.iter().map(network).collect()
}

/// The keys that a made-up installation signs with; they sign nothing that anybody else believes.
struct Signers {
    offline: Signer,
    release: Signer,
    head: Signer,
    session: Signer,
}

impl Signers {
    fn new() -> Self {
        let [offline, release, head, session] = [3, 4, 5, 6].map(|seed| Signer::from_seed(&[seed; 32]));
        Self { offline, release, head, session }
    }

    fn gate(
        &self,
        mut content: Content,
        routing: &Routing,
        mint: MintSecret,
        prefix: Prefix,
        now: UnixMillis,
    ) -> Result<Gate> {
        let session_key =
            TokenKey { public: self.session.public(), not_before: UnixSeconds(0), not_after: later(now) };
        let built = content.build(&Edition {
            installation: INSTALLATION,
            generation: Generation(1),
            pepper_id: content.pepper_id(),
            grace_secs: 0,
            prefix,
            exceptions: &Exceptions::default(),
            session_keys: &[session_key],
            edge_keys: &[],
            canaries: &[],
            cors: routing.cors.as_ref(),
            rules: &routing.rules,
        })?;
        let config = GateConfig {
            root: self.root(now)?,
            peppers: vec![Pepper::new([2; 32])],
            mint,
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let mut gate = Gate::new(config).map_err(|error| anyhow!("the trial's gate: {error}"))?;
        let head = self.head(built.manifest.reference, now)?;
        gate.accept_head(&head, now).map_err(|error| anyhow!("the trial's head: {error:?}"))?;
        fill(&mut gate, &built, now)?;
        Ok(gate)
    }

    fn root(&self, now: UnixMillis) -> Result<Vec<u8>> {
        let key = |signer: &Signer, role| RootKey {
            public: signer.public(),
            role,
            not_before: UnixSeconds(0),
            not_after: later(now),
        };
        let keys = vec![
            key(&self.offline, KeyRole::Offline),
            key(&self.release, KeyRole::Release),
            key(&self.head, KeyRole::Head),
        ];
        let content = RootContent {
            installation: INSTALLATION,
            version: 1,
            issued: now.seconds(),
            thresholds: [1; 3],
            keys,
        };
        Ok(content.sign(&[&self.offline])?)
    }

    fn head(&self, manifest: ObjectRef, now: UnixMillis) -> Result<Vec<u8>> {
        let statement = StatementContent {
            installation: INSTALLATION,
            generation: Generation(1),
            issued: now.seconds(),
            use_by: later(now),
            manifest,
            tip: None,
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&self.release])?;
        let head = HeadContent { root_version: 1, as_of: now, statement: &statement, inline: &[] };
        Ok(head.sign(&[&self.head])?)
    }
}

fn fill(gate: &mut Gate, built: &Built, now: UnixMillis) -> Result<()> {
    while let Some(wanted) = gate.wanted(1).first().copied() {
        let named = |object: &&latchkey_snapshot::build::Object| object.reference == *wanted.reference();
        let object = built.objects.iter().chain([&built.manifest]).find(named);
        let object = object.context("the trial's snapshot lacks an object")?;
        if let Err(refusal) = gate.accept_object(&wanted, &object.bytes, now) {
            bail!("the gate refuses the trial's snapshot: {refusal:?}");
        }
    }
    Ok(())
}
