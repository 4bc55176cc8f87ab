//! The control plane in memory, and the people on it.

use crate::actor::Actor;
use crate::gates::gates;
use crate::outside::{ManualClock, SeededSeeds};
use crate::rules::{ChangingRules, ScriptedRules};
use axum::Router;
use latchkey_api::organization::CreatedOrganization;
use latchkey_api::{CreatedKey, CreatedSession};
use latchkey_control::app::rules::RulesFile;
use latchkey_control::app::{AppError, Control, ControlConfig, EdgeTokens, RulesDesk, operators};
use latchkey_control::http::{Bounds, Limits};
use latchkey_control::iam::person::PROVIDER_OPERATOR;
use latchkey_control::iam::{
    Caller, Collaboration, Contact, Demand, Email, Identity, Membership, OperatorAct, Standing, User,
    authorize,
};
use latchkey_control::outside::Clock;
use latchkey_control::publish::PublishStatus;
use latchkey_control::store::{AuditEntry, Change, Ctx, Store, View, Write};
use latchkey_control::tlog::CheckpointSigner;
use latchkey_core::{IdentityId, MintSecret, OrganizationId, Prefix, ProjectId, Role, UserId};
use latchkey_snapshot::Installation;
use latchkey_snapshot::build::Signer;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A control plane with one operator.
pub struct Stage {
    /// The control plane.
    pub control: Arc<Control>,
    /// Its clock.
    pub clock: ManualClock,
    router: Router,
    operator_token: String,
}

/// How a stage is set.
pub struct StageConfig {
    /// Whether operators may sign people in.
    pub operator_sign_in: bool,
    /// What the randomness begins with.
    pub seed: u64,
    /// What a client may take.
    pub bounds: Bounds,
    /// How far publishing has come, if somebody publishes.
    pub publishing: Option<watch::Receiver<PublishStatus>>,
    /// What stands for the server's file of route rules; without one, one that says something else at every reading.
    pub rules: Option<ScriptedRules>,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self { operator_sign_in: true, seed: 1, bounds: Bounds::default(), publishing: None, rules: None }
    }
}

impl Stage {
    /// A stage in memory.
    pub async fn new() -> Self {
        Self::set(StageConfig::default()).await
    }

    /// A stage in memory, set so.
    pub async fn set(config: StageConfig) -> Self {
        let clock = ManualClock::default();
        let seeds = Arc::new(SeededSeeds::new(config.seed));
        let store = Store::in_memory(Arc::new(clock.clone()), seeds).expect("memory does not fail");
        Self::on(store, clock, config).await
    }

    /// A stage on a store without operators.
    pub async fn on(store: Store, clock: ManualClock, config: StageConfig) -> Self {
        let control = Arc::new(control(store, &clock, &config));
        let first = operators::create_first(&control, "first").await.expect("the store is new");
        Self::around(control, clock, &config.bounds, first.reply.expose().to_owned())
    }

    /// A stage on a store whose operator holds this token.
    pub(crate) fn with_operator(
        store: Store,
        clock: ManualClock,
        config: StageConfig,
        operator_token: String,
    ) -> Self {
        let control = Arc::new(control(store, &clock, &config));
        Self::around(control, clock, &config.bounds, operator_token)
    }

    fn around(control: Arc<Control>, clock: ManualClock, bounds: &Bounds, operator_token: String) -> Self {
        let ticking = clock.clone();
        let ticks = Arc::new(move || Duration::from_millis(ticking.now().0));
        let limits = Limits::ticking(bounds, ticks);
        let router = latchkey_control::http::router(control.clone(), bounds, limits);
        Self { control, clock, router, operator_token }
    }

    /// The router, as it is served.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The operator.
    pub fn operator(&self) -> Actor {
        self.holder(&self.operator_token)
    }

    /// Nobody in particular.
    pub fn anonymous(&self) -> Actor {
        Actor::new(self.router.clone(), None)
    }

    /// Whoever holds this token.
    pub fn holder(&self, token: &str) -> Actor {
        Actor::new(self.router.clone(), Some(token.to_owned()))
    }

    /// A new organization.
    pub async fn organization(&self, name: &str, owner_email: &str) -> CreatedOrganization {
        let body = json!({ "name": name, "owner_email": owner_email });
        self.operator().post("/v1/organizations", body).await.expect(201).read()
    }

    /// The person with this address, signed in.
    pub async fn sign_in(&self, email: &str) -> Actor {
        let created =
            self.operator().post("/v1/operator/sessions", json!({ "email": email })).await.expect(201);
        self.holder(created.read::<CreatedSession>().token.expose())
    }

    /// A key of this role in a project, made by somebody.
    pub async fn key(&self, by: &Actor, project: &str, role: Role) -> CreatedKey {
        let body = json!({ "name": "a key", "role": role.as_str() });
        by.post(&format!("/v1/projects/{project}/keys"), body).await.expect(201).read()
    }

    /// A person with these roles, signed in. Written straight into the store until invitations exist.
    pub async fn person(
        &self,
        email: &str,
        organization: Option<(&str, Role)>,
        project: Option<(&str, Role)>,
    ) -> Actor {
        let email_parsed = Email::parse(email).expect("the test's address is one");
        let organization = organization.map(|(id, role)| (OrganizationId::parse(id).expect("an id"), role));
        let project = project.map(|(id, role)| (ProjectId::parse(id).expect("an id"), role));
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let user = match view.user_by_email(&email_parsed)? {
                Some(user) => user,
                None => User {
                    id: UserId::generate(&mut ctx.dice),
                    contact: Contact::Person(email_parsed.clone()),
                    created_at: ctx.now,
                },
            };
            let subject = email_parsed.as_str();
            let identity = view.identity_of(PROVIDER_OPERATOR, subject)?.unwrap_or_else(|| Identity {
                id: IdentityId::generate(&mut ctx.dice),
                user: user.id,
                provider: PROVIDER_OPERATOR.to_owned(),
                subject: subject.to_owned(),
                created_at: ctx.now,
            });
            let mut write =
                Write::new(casting_entry(&user.id.to_string()), ()).put(user.clone()).put(identity.clone());
            let identity = identity.id;
            if let Some((id, role)) = organization {
                let organization = view.organization_by_id(&id)?.expect("it exists").number;
                let joined_at = ctx.now;
                write = write.put(Membership { organization, user: user.id, role, identity, joined_at });
            }
            if let Some((id, role)) = project {
                let project = view.project_by_id(&id)?.expect("it exists").number;
                let is_external = organization.is_none();
                write = write.put(Collaboration {
                    project,
                    user: user.id,
                    role,
                    is_external,
                    identity,
                    added_at: ctx.now,
                    ends_at: None,
                });
            }
            Ok::<_, AppError>(write)
        };
        self.control.store().write(decide).await.expect("the write is sound");
        self.sign_in(email).await
    }

    /// Puts rows into the store with nobody's permission, for states that take long to come about.
    pub async fn put<R: Send + 'static>(
        &self,
        decide: impl Fn(&dyn View, &mut Ctx) -> (Vec<Change>, R) + Send + 'static,
    ) -> R {
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let (changes, reply) = decide(view, ctx);
            Ok::<_, AppError>(Write::new(casting_entry("stage"), reply).put_all(changes))
        };
        self.control.store().write(decide).await.expect("the rows are sound").reply
    }
}

fn control(store: Store, clock: &ManualClock, config: &StageConfig) -> Control {
    let prefix = Prefix::parse("lk_test").expect("a prefix");
    let audit = CheckpointSigner::new("stage.test/audit", &[8; 32]).expect("a log's name");
    let chosen = ControlConfig { operator_sign_in: config.operator_sign_in, ..ControlConfig::new(prefix) };
    let rules: Arc<dyn RulesFile> = match &config.rules {
        Some(scripted) => Arc::new(scripted.clone()),
        None => Arc::new(ChangingRules),
    };
    let edge_tokens = EdgeTokens::fixed(Installation([7; 16]), Signer::from_seed(&[9; 32]));
    let control = Control::new(store, Arc::new(clock.clone()), MintSecret::new([7; 32]), audit, chosen)
        .with_edge_tokens(edge_tokens)
        .with_gates(gates())
        .with_rules(RulesDesk::new(rules));
    match &config.publishing {
        Some(publishing) => control.with_publishing(publishing.clone()),
        None => control,
    }
}

fn casting_entry(user: &str) -> AuditEntry {
    let caller = Caller::Operator { token: 0, name: "stage".to_owned() };
    let demand = Demand::Operator(OperatorAct::SignIn);
    let permit = authorize(&caller, demand, &Standing::Installation).expect("operators may");
    AuditEntry::new(&permit, None, "stage.person", ("user", user.to_owned()))
}
