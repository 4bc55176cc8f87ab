//! The world of the access table: organizations furnished with one thing of every noun, and everybody who may ask.
//!
//! Everything that belongs to the furnished organizations says `canary`, so that it is known wherever it turns up.

use latchkey_control::iam::person::PROVIDER_SERVICE;
use latchkey_control::iam::{
    BatchOutcome, Collaboration, Contact, Identity, KeyProof, Membership, Name, Notice, NoticeKind,
    PlainToken, Session, TokenKind, UsageBatch, User,
};
use latchkey_control::store::{Change, Ctx, View};
use latchkey_core::{
    ExpiryMinute, IdentityId, ImportedDigest, KeyId, OrganizationId, Permission, PermissionSet, ProjectId,
    Role, SessionId, UnixMillis, UserId,
};
use latchkey_testkit::{Actor, FrozenStage, GATE_TOKEN, Reply, Stage, StageConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What examples name: `project` stands for a project's id, and so on.
pub(crate) type Things = BTreeMap<&'static str, String>;

/// Things of the same form that do not exist.
pub(crate) fn missing(things: &Things) -> Things {
    let like = |text: &str, filler: &str| text.chars().map(|_| filler).collect::<String>();
    things
        .iter()
        .map(|(name, value)| {
            let text = match (*name, value.split_once('_'), value.split_once('@')) {
                ("key" | "own-key", ..) => like(value, "A"),
                ("slug" | "cluster", ..) => like(value, "q"),
                (_, _, Some(_)) => {
                    value.chars().map(|one| if one.is_ascii_alphanumeric() { 'q' } else { one }).collect()
                }
                (_, Some((prefix, body)), _) => format!("{prefix}_{}", like(body, "z")),
                _ => value.clone(),
            };
            (*name, text)
        })
        .collect()
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// One word, as the table calls them.
    pub(crate) name: &'static str,
    /// Who that is.
    pub(crate) is: &'static str,
    pub(crate) token: Option<String>,
    /// What they ask about: a furnished project with its organization, and what is their own.
    pub(crate) about: Things,
}

/// A world, put away, and who is in it.
pub(crate) struct World {
    pub(crate) frozen: FrozenStage,
    pub(crate) askers: Vec<Asker>,
    /// Who belongs to another organization alone, asking about what is theirs.
    pub(crate) strangers: Vec<Asker>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (frozen, (askers, strangers)) = FrozenStage::build(StageConfig::default(), build).await;
        Self { frozen, askers, strangers }
    }

    pub(crate) fn asker(&self, name: &str) -> &Asker {
        let found = self.askers.iter().find(|asker| asker.name == name);
        found.unwrap_or_else(|| panic!("nobody is called `{name}`"))
    }

    pub(crate) fn stage(&self) -> Stage {
        self.frozen.set(StageConfig::default())
    }
}

impl Asker {
    pub(crate) fn on(&self, stage: &Stage) -> Actor {
        self.token.as_ref().map_or_else(|| stage.anonymous(), |token| stage.holder(token))
    }
}

/// A key of another system, imported.
const IMPORTED: &str = "sk-of-another-system-0123456789abcdef";

async fn build(stage: &Stage) -> (Vec<Asker>, Vec<Asker>) {
    let mut cast = Cast { stage, askers: Vec::new(), places: BTreeMap::new() };
    let acme = cast.organization("Canary Acme", "owner@canary.test").await;
    let lake = cast.organization("Canary Lake", "owner@canary-lake.test").await;
    let other = cast.organization("Other", "stranger@other.test").await;
    let owner = stage.sign_in("owner@canary.test").await;
    let lake_owner = stage.sign_in("owner@canary-lake.test").await;
    let stranger = stage.sign_in("stranger@other.test").await;
    for (name, visibility, external) in [
        ("red", "open", true),
        ("amber", "open", false),
        ("blue", "closed", true),
        ("dark", "private", true),
        ("attic", "open", true),
    ] {
        cast.project(&acme, &owner, name, visibility, external).await;
    }
    cast.project(&lake, &lake_owner, "lake", "open", true).await;
    cast.project(&other, &stranger, "elsewhere", "open", true).await;

    cast.person(&owner, "owner", "red", "the organization's owner, who made the project").await;
    cast.hire("admin", "red", Some(Role::Admin), None, "an organization admin outside the project").await;
    let joined = "an organization admin who joined the project, where `member` is stored";
    cast.hire("admin-joined", "red", Some(Role::Admin), Some(Role::Member), joined).await;
    let is = "a member of the organization, admin of the project";
    cast.hire("project-admin", "red", Some(Role::Member), Some(Role::Admin), is).await;
    let is = "a member of the organization and of the project";
    cast.hire("project-member", "red", Some(Role::Member), Some(Role::Member), is).await;
    let is = "a member of the organization outside the project, which is open";
    cast.hire("member-open", "red", Some(Role::Member), None, is).await;
    let is = "a member of the organization outside the project, which is closed";
    cast.hire("member-closed", "blue", Some(Role::Member), None, is).await;
    let is = "a member of the organization outside the project, which is private";
    cast.hire("member-private", "dark", Some(Role::Member), None, is).await;
    cast.hire("external-admin", "red", None, Some(Role::Admin), "an external admin of the project").await;
    cast.hire("external-member", "red", None, Some(Role::Member), "an external member of the project").await;
    let is = "an external admin of the project, whose switch for externals is off";
    cast.hire("external-admin-off", "amber", None, Some(Role::Admin), is).await;
    let is = "an external member of the project, whose switch for externals is off";
    cast.hire("external-member-off", "amber", None, Some(Role::Member), is).await;
    let is = "an external admin of the project whose end date has passed";
    cast.hire("external-ended", "red", None, Some(Role::Admin), is).await;
    cast.end_access("external-ended", "red").await;
    let is = "somebody who was an admin of organization and project, and was removed";
    cast.hire("removed", "red", Some(Role::Admin), Some(Role::Admin), is).await;
    cast.remove(&owner, "removed").await;
    cast.person(&stranger, "stranger", "red", "the owner of another organization").await;
    let is = "the owner's account, signed in through another identity";
    let twin = cast.sign_in_as("owner@canary.test", "elsewhere", "owner").await;
    cast.person(&twin, "other-identity", "red", is).await;
    let is = "whom the examples' invitations are addressed to";
    let invited = stage.sign_in("invited@elsewhere.test").await;
    cast.person(&invited, "invited", "red", is).await;
    let is = "a service account, admin of the organization, in the project";
    cast.service("service-admin", Role::Admin, is).await;
    let is = "a service account, member of the organization and of the project";
    cast.service("service-member", Role::Member, is).await;
    cast.person(&stage.operator(), "operator", "red", "an operator of the installation").await;
    cast.usage_credential().await;
    let is = "what native gates read with";
    cast.add("gate-credential", "red", is, Some(GATE_TOKEN.to_owned()), Things::new());
    cast.keys(&owner).await;
    let is = "an admin of the project, which is archived";
    cast.hire("archived-admin", "attic", Some(Role::Admin), Some(Role::Admin), is).await;
    let is = "a member of the project, which is archived";
    cast.hire("archived-member", "attic", Some(Role::Member), Some(Role::Member), is).await;
    owner.act("/v1/projects/canary-attic/archive").await.expect(200);
    cast.person(&lake_owner, "suspended-owner", "lake", "the owner of an organization that is suspended")
        .await;
    let path = format!("/v1/organizations/{}/suspend", lake["organization"]);
    stage.operator().act(&path).await.expect(200);
    let is = "the owner, through a session that was revoked";
    let ended = stage.sign_in("owner@canary.test").await;
    cast.person(&ended, "revoked-session", "red", is).await;
    let session = cast.askers.last().unwrap().about["session"].clone();
    ended.delete(&format!("/v1/me/sessions/{session}")).await.expect(200);
    cast.add("anonymous", "red", "nobody: no credential at all", None, Things::new());
    let askers = std::mem::take(&mut cast.askers);
    cast.strangers(&stranger).await;
    (askers, cast.askers)
}

struct Cast<'a> {
    stage: &'a Stage,
    askers: Vec<Asker>,
    places: BTreeMap<&'static str, Things>,
}

impl Cast<'_> {
    /// An organization with a member, one who left, a service account, an invitation and a held batch of usage.
    async fn organization(&mut self, name: &str, owner: &'static str) -> Things {
        let made = self.stage.organization(name, owner).await;
        let (id, domain) = (made.organization.id, owner.split_once('@').unwrap().1);
        let by = self.stage.sign_in(owner).await;
        let mut things = Things::from([
            ("organization", id.clone()),
            ("default-project", made.default_project.id),
            ("owner", made.organization.owner_id),
            ("owner-email", owner.to_owned()),
        ]);
        for (thing, role) in [("member", Role::Member), ("admin", Role::Admin), ("departed", Role::Member)] {
            let email = format!("{thing}-example@{domain}");
            let person = self.stage.person(&email, Some((&id, role)), None).await;
            things.insert(thing, text(&person.get("/v1/me").await, "/id"));
            if thing == "member" {
                things.insert("member-email", email);
            }
        }
        by.delete(&format!("/v1/organizations/{id}/members/{}", things["departed"])).await.expect(200);
        let body = json!({ "email": "invited@elsewhere.test" });
        let invited = by.post(&format!("/v1/organizations/{id}/invitations"), body).await.expect(201);
        things.insert("invitation", text(&invited, "/invitation/id"));
        things.insert("invitation-token", text(&invited, "/token"));
        let (service, _) = self.service_rows(&id, &format!("service of {name}"), Role::Member, None).await;
        things.insert("service", service);
        let budget = json!({ "requests_max": 1_000_000, "period": "day" });
        by.call("PUT", &format!("/v1/organizations/{id}/budget"), Some(budget)).await.expect(200);
        let entries = by.get(&format!("/v1/organizations/{id}/audit?limit=1")).await.expect(200).json();
        let position = entries.pointer("/items/0/position").and_then(Value::as_u64).unwrap();
        things.insert("audit-position", position.to_string());
        things.insert("audit-size", (position + 1).to_string());
        things
    }

    /// A project with a collaborator, a key, a cluster.
    async fn project(
        &mut self,
        organization: &Things,
        by: &Actor,
        name: &'static str,
        visibility: &str,
        external: bool,
    ) {
        let slug = if name == "elsewhere" { name.to_owned() } else { format!("canary-{name}") };
        let path = format!("/v1/organizations/{}/projects", organization["organization"]);
        let body = json!({ "name": format!("Project {slug}"), "slug": slug });
        let id = text(&by.post(&path, body).await.expect(201), "/id");
        let path = format!("/v1/projects/{id}");
        by.patch(&format!("{path}/settings"), json!({ "visibility": visibility })).await.expect(200);
        let mut things = organization.clone();
        by.put(&format!("{path}/external"), json!({ "allowed": true })).await.expect(200);
        let guest = json!({ "email": format!("guest-{name}@elsewhere.test"), "external": true });
        let invited = by.post(&format!("{path}/collaborators"), guest).await.expect(201);
        things.insert("project-invitation", text(&invited, "/invitation/id"));
        by.put(&format!("{path}/external"), json!({ "allowed": external })).await.expect(200);
        self.notice(&id).await;
        things.insert("project", id.clone());
        things.insert("slug", slug.clone());
        let key = self.stage.key(by, &id, Role::Member).await.key.id;
        for path in [format!("{path}/budget"), format!("/v1/keys/{key}/budget")] {
            let budget = json!({ "requests_max": 1_000_000, "period": "day" });
            by.call("PUT", &path, Some(budget)).await.expect(200);
        }
        things.insert("key", key);
        let cluster = json!({
            "type": "cluster", "id": format!("cluster-{slug}"),
            "cluster": {
                "server": format!("https://{slug}.test"),
                "certificate_authority": CERTIFICATE,
                "oidc": { "issuer": "https://issuer.test", "client_id": slug },
            },
        });
        let made = self.stage.operator().post(&format!("{path}/resources"), cluster).await.expect(201);
        things.insert("cluster", text(&made, "/id"));
        let email = format!("collaborator-{name}@{}", organization["owner-email"].split_once('@').unwrap().1);
        let member = Some((organization["organization"].as_str(), Role::Member));
        let person = self.stage.person(&email, member, Some((&id, Role::Member))).await;
        things.insert("collaborator", text(&person.get("/v1/me").await, "/id"));
        self.places.insert(name, things);
    }

    /// Something that the project's people should hear of, and something for the organization's admins.
    async fn notice(&self, project: &str) {
        let project = ProjectId::parse(project).unwrap();
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let project = view.project_by_id(&project).unwrap().unwrap();
            let number = view.next_notice().unwrap();
            let notice = |number, of| Notice {
                number,
                organization: project.organization,
                project: of,
                what: NoticeKind::BudgetExhausted,
                subject: project.slug.as_str().to_owned(),
                at: ctx.now,
            };
            let rows = [notice(number, Some(project.number)), notice(number + 1, None)];
            (rows.map(Change::from).to_vec(), ())
        };
        self.stage.put(decide).await;
    }

    /// The people, the service account and the key of the organization that nobody else is in.
    async fn strangers(&mut self, owner: &Actor) {
        self.person(owner, "owner", "elsewhere", "the owner").await;
        let elsewhere = self.places["elsewhere"].clone();
        let part = Some((elsewhere["project"].as_str(), Role::Admin));
        let visitor = self.stage.person("visitor@other.test", None, part).await;
        self.person(&visitor, "visitor", "elsewhere", "an external collaborator").await;
        let loner = self.stage.person("loner@other.test", None, None).await;
        self.person(&loner, "loner", "elsewhere", "somebody with an account").await;
        let (_, token) = self.service_rows(&elsewhere["organization"], "robot", Role::Admin, part).await;
        let robot = self.stage.holder(&token);
        self.person(&robot, "robot", "elsewhere", "a service account").await;
        let key = self.stage.key(owner, &elsewhere["project"], Role::Admin).await;
        let (own, token) = (key.key.id, key.secret.expose().to_owned());
        self.add("key", "elsewhere", "a key", Some(token), Things::from([("own-key", own)]));
    }

    /// Somebody with these roles, who asks about this project.
    async fn hire(
        &mut self,
        name: &'static str,
        place: &'static str,
        organization: Option<Role>,
        project: Option<Role>,
        is: &'static str,
    ) {
        let things = &self.places[place];
        let member = organization.map(|role| (things["organization"].as_str(), role));
        let part = project.map(|role| (things["project"].as_str(), role));
        let person = self.stage.person(&format!("{name}@canary.test"), member, part).await;
        self.person(&person, name, place, is).await;
    }

    async fn person(&mut self, actor: &Actor, name: &'static str, place: &'static str, is: &'static str) {
        let me = actor.get("/v1/me").await.expect(200);
        let sessions = actor.get("/v1/me/sessions").await;
        let mut own = Things::new();
        if let Some(id) = me.json()["id"].as_str() {
            own.insert("self", id.to_owned());
        }
        if sessions.status == 200 {
            let items = sessions.json();
            let current = items["items"].as_array().unwrap().iter().find(|one| one["current"] == true);
            own.insert("session", current.unwrap()["id"].as_str().unwrap().to_owned());
        }
        self.add(name, place, is, Some(actor.token().to_owned()), own);
    }

    fn add(
        &mut self,
        name: &'static str,
        place: &'static str,
        is: &'static str,
        token: Option<String>,
        own: Things,
    ) {
        let mut about = self.places[place].clone();
        // Whoever has no session of their own asks about somebody's.
        about.insert("self", about["member"].clone());
        about.insert("session", "sess_aaaaaaaaaaaaaaaa".to_owned());
        about.extend(own);
        self.askers.push(Asker { name, is, token, about });
    }

    async fn sign_in_as(&self, email: &str, provider: &str, subject: &str) -> Actor {
        let body = json!({ "email": email, "identity": { "provider": provider, "subject": subject } });
        let made = self.stage.operator().post("/v1/operator/sessions", body).await.expect(201);
        self.stage.holder(&text(&made, "/token"))
    }

    /// X4: their access ended the minute before.
    async fn end_access(&self, name: &str, place: &str) {
        let user = UserId::parse(&self.found(name).about["self"]).unwrap();
        let project = ProjectId::parse(&self.places[place]["project"]).unwrap();
        let decide = move |view: &dyn latchkey_control::store::View,
                           ctx: &mut latchkey_control::store::Ctx| {
            let project = view.project_by_id(&project).unwrap().unwrap().number;
            let part = view.collaboration(project, &user).unwrap().unwrap();
            let ends_at = ExpiryMinute::floor(UnixMillis(ctx.now.0 - 60_000).seconds());
            (vec![Change::from(Collaboration { ends_at, ..part })], ())
        };
        self.stage.put(decide).await;
    }

    async fn remove(&self, by: &Actor, name: &str) {
        let asker = self.found(name);
        let path =
            format!("/v1/organizations/{}/members/{}", asker.about["organization"], asker.about["self"]);
        by.delete(&path).await.expect(200);
    }

    fn found(&self, name: &str) -> &Asker {
        self.askers.iter().find(|asker| asker.name == name).unwrap()
    }

    async fn service(&mut self, name: &'static str, role: Role, is: &'static str) {
        let red = &self.places["red"];
        let place = Some((red["project"].as_str(), role));
        let (_, token) = self.service_rows(&red["organization"], name, role, place).await;
        let actor = self.stage.holder(&token);
        self.person(&actor, name, "red", is).await;
    }

    /// A service account (S3): its user id and its token.
    async fn service_rows(
        &self,
        organization: &str,
        name: &str,
        role: Role,
        project: Option<(&str, Role)>,
    ) -> (String, String) {
        let organization = OrganizationId::parse(organization).unwrap();
        let project = project.map(|(id, role)| (ProjectId::parse(id).unwrap(), role));
        let name = Name::parse(name).unwrap();
        let decide = move |view: &dyn latchkey_control::store::View,
                           ctx: &mut latchkey_control::store::Ctx| {
            let (user, identity) = (UserId::generate(&mut ctx.dice), IdentityId::generate(&mut ctx.dice));
            let token = PlainToken::generate(TokenKind::Service, &mut ctx.dice);
            let organization = view.organization_by_id(&organization).unwrap().unwrap().number;
            let created_at = ctx.now;
            let mut rows = vec![
                Change::from(User { id: user, contact: Contact::Service(name.clone()), created_at }),
                Change::from(Identity {
                    id: identity,
                    user,
                    provider: PROVIDER_SERVICE.to_owned(),
                    subject: user.to_string(),
                    created_at,
                }),
                Change::from(Membership { organization, user, role, identity, joined_at: created_at }),
                Change::from(Session {
                    id: SessionId::generate(&mut ctx.dice),
                    digest: token.digest(),
                    user,
                    identity,
                    is_service: true,
                    created_at,
                    expires_at: ctx.now.plus_ms(1 << 36),
                    revoked_at: None,
                }),
            ];
            if let Some((id, role)) = &project {
                let project = view.project_by_id(id).unwrap().unwrap().number;
                rows.push(Change::from(Collaboration {
                    project,
                    user,
                    role: *role,
                    is_external: false,
                    identity,
                    added_at: created_at,
                    ends_at: None,
                }));
            }
            (rows, (user.to_string(), token.expose().to_owned()))
        };
        self.stage.put(decide).await
    }

    /// A credential that brings usage, and a batch that is held.
    async fn usage_credential(&mut self) {
        let body = json!({ "name": "edges" });
        let made = self.stage.operator().post("/v1/operator/usage-tokens", body).await.expect(201);
        let mut own = Things::new();
        self.stage.operator().act("/v1/operator/routes/apply").await.expect(200);
        own.insert("usage-token", made.json().pointer("/usage_token/id").unwrap().to_string());
        self.add("usage-credential", "red", "what brings usage", Some(text(&made, "/token")), own.clone());
        let hold = |_: &dyn View, ctx: &mut Ctx| {
            let batch = UsageBatch {
                id: [0xab; 16],
                reporter: "edges".to_owned(),
                received_at: ctx.now,
                outcome: BatchOutcome::Held("canary".to_owned()),
                lines: Vec::new(),
            };
            (vec![Change::from(batch)], ())
        };
        self.stage.put(hold).await;
        own.insert("batch", "ab".repeat(16));
        for things in self.places.values_mut().chain(self.askers.iter_mut().map(|asker| &mut asker.about)) {
            things.extend(own.clone());
        }
    }

    async fn keys(&mut self, owner: &Actor) {
        let key = async |place: &str, role| self.stage.key(owner, &self.places[place]["project"], role).await;
        let mut made = Vec::new();
        for (name, place, role, is) in [
            ("key-admin", "red", Role::Admin, "a key of the project with the role `admin`"),
            ("key-member", "red", Role::Member, "a key of the project with the role `member`"),
            ("key-narrowed", "red", Role::Member, "such a key, narrowed to `inference.invoke`"),
            ("key-imported", "red", Role::Member, "such a key, imported from another system"),
            ("key-elsewhere", "blue", Role::Admin, "a key of another project of the organization"),
            ("key-revoked", "red", Role::Member, "a key of the project that was revoked"),
            ("key-archived", "attic", Role::Admin, "a key of a project that is archived"),
        ] {
            made.push((name, is, key(place, role).await));
        }
        let id = |name: &str| {
            let found = made.iter().find(|(one, ..)| *one == name).unwrap();
            KeyId::parse(found.2.key.id.as_bytes()).unwrap()
        };
        let (narrowed, model) = (id("key-narrowed"), id("key-imported"));
        let decide = move |view: &dyn latchkey_control::store::View,
                           ctx: &mut latchkey_control::store::Ctx| {
            let mut key = view.key(narrowed).unwrap().unwrap();
            key.narrowing.permissions = Some(PermissionSet::EMPTY.with(Permission::InferenceInvoke));
            let mut imported = view.key(model).unwrap().unwrap();
            imported.id = KeyId::generate(model.hint(), &mut ctx.dice);
            imported.family = imported.id;
            imported.proof = KeyProof::Imported(ImportedDigest::of_presented(IMPORTED.as_bytes()).unwrap());
            (vec![Change::from(key), Change::from(imported.clone())], imported.id.to_string())
        };
        let imported = self.stage.put(decide).await;
        owner.act(&format!("/v1/keys/{}/revoke", id("key-revoked"))).await.expect(200);
        for (name, is, key) in made {
            let place = if name == "key-archived" { "attic" } else { "red" };
            let (own, token) = match name {
                "key-imported" => (imported.clone(), IMPORTED.to_owned()),
                _ => (key.key.id, key.secret.expose().to_owned()),
            };
            self.add(name, place, is, Some(token), Things::from([("own-key", own)]));
        }
    }
}

#[track_caller]
fn text(reply: &Reply, pointer: &str) -> String {
    let body: Value = reply.json();
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {body}")).to_owned()
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";
