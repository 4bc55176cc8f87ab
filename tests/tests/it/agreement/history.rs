//! Random histories, over the API alone: what people, operators and time do to two organizations.

use latchkey_core::Dice;
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The world as whoever drives it knows it: names and credentials, no rights.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) organizations: Vec<String>,
    /// Project id, slug as it was made, and the index of its organization.
    pub(super) projects: Vec<(String, usize)>,
    /// Everybody with an account, the owners first.
    pub(super) people: Vec<Person>,
    pub(super) keys: Vec<KnownKey>,
    pub(super) resources: Vec<(usize, String)>,
    usage_token: String,
    /// How often each deed was done, not merely tried.
    pub(super) done: BTreeMap<&'static str, usize>,
    made: usize,
    dice: Dice,
}

pub(super) struct Person {
    pub(super) email: String,
    pub(super) id: String,
    pub(super) session: Actor,
    /// Sessions that were ended, each with the edge token it had got before.
    pub(super) ended: Vec<(Actor, String)>,
}

pub(super) struct KnownKey {
    pub(super) id: String,
    pub(super) text: String,
}

const PEOPLE: usize = 5;

impl World {
    /// Two organizations with an owner and three projects each, and people who belong nowhere yet.
    pub(super) async fn new(seed: u8) -> Self {
        let stage = Stage::new().await;
        let mut world = Self {
            stage,
            organizations: Vec::new(),
            projects: Vec::new(),
            people: Vec::new(),
            keys: Vec::new(),
            resources: Vec::new(),
            usage_token: String::new(),
            done: BTreeMap::new(),
            made: 0,
            dice: Dice::from_seed(&[seed; 32]),
        };
        for index in 0..2 {
            let email = format!("owner{index}@one.test");
            let made = world.stage.organization(&format!("Organization {index}"), &email).await;
            world.person(&email).await;
            let id = made.organization.id;
            world.projects.push((made.default_project.id, index));
            for number in 0..2 {
                let body = json!({ "name": "Project", "slug": format!("project-{index}-{number}") });
                let owner = &world.people[index].session;
                let made = owner.post(&format!("/v1/organizations/{id}/projects"), body).await.expect(201);
                let project = made.json()["id"].as_str().unwrap().to_owned();
                world.projects.push((project, index));
            }
            let operator = world.stage.operator();
            operator.act(&format!("/v1/operator/organizations/{id}/import:open")).await.expect(200);
            world.organizations.push(id);
        }
        for number in 0..PEOPLE {
            world.person(&format!("person{number}@one.test")).await;
        }
        let token = json!({ "name": "edges" });
        let token = world.stage.operator().post("/v1/operator/usage-tokens", token).await.expect(201).json();
        world.usage_token = token["token"].as_str().unwrap().to_owned();
        world
    }

    async fn person(&mut self, email: &str) {
        let session = self.stage.sign_in(email).await;
        let me = session.get("/v1/me").await.expect(200).json();
        let id = me["id"].as_str().unwrap().to_owned();
        self.people.push(Person { email: email.to_owned(), id, session, ended: Vec::new() });
    }

    /// One more deed, drawn at random. Most succeed; those that do not change nothing.
    pub(super) async fn step(&mut self) {
        let secs = 1 + u64::from(self.below(20));
        self.stage.clock.advance_secs(secs);
        // A suspended organization lets nothing happen, so none stays that way for long.
        if self.below(4) == 0 {
            for organization in self.organizations.clone() {
                let path = format!("/v1/organizations/{organization}/resume");
                self.stage.operator().act(&path).await.expect(200);
            }
        }
        match self.below(42) {
            0..=3 => self.create_key().await,
            4 => self.import_key().await,
            5 => self.key_verb("revoke").await,
            6 | 7 => self.key_verb("disable").await,
            8 | 9 => self.key_verb("enable").await,
            10 => self.rotate().await,
            11 | 12 => self.change_key().await,
            13..=15 => self.invite().await,
            16 | 34 => self.remove_member().await,
            17 | 40 => self.change_member().await,
            18 | 19 | 35 => self.add_collaborator().await,
            20 => self.add_external().await,
            21 | 36..=38 => self.remove_collaborator().await,
            22 | 39 => self.join().await,
            23 | 24 => self.switch_externals().await,
            25 | 41 => self.archive().await,
            26 => self.suspend().await,
            27 | 28 => self.register().await,
            29 => self.delete_resource().await,
            30 => self.budget().await,
            31 => self.report().await,
            32 => self.end_session().await,
            _ => {
                let minutes = u64::from(1 + self.below(180));
                self.stage.clock.advance_secs(minutes * 60);
                self.sign_in_again().await;
            }
        }
    }

    async fn create_key(&mut self) {
        let project = self.project();
        let narrowing = self.narrowing();
        let role = if self.below(3) == 0 { "admin" } else { "member" };
        let mut body = json!({ "name": "key", "role": role, "narrowing": narrowing });
        if self.below(3) == 0 {
            body["expires_at"] = json!(self.minutes_ahead(90));
        }
        let path = format!("/v1/projects/{project}/keys");
        if let Some(made) = self.try_by_owner(&project, "POST", &path, Some(body), "create key").await {
            self.learn(&made["key"]["id"], &made["secret"]);
        }
    }

    async fn import_key(&mut self) {
        self.made += 1;
        let text = format!("sk-other-system-{:06}", self.made);
        let digest: String = sha256(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        let project = self.project();
        let body =
            json!({ "keys": [{ "sha256": digest, "name": "imported", "narrowing": self.narrowing() }] });
        let path = format!("/v1/projects/{project}/keys:import");
        if let Some(made) = self.try_by_owner(&project, "POST", &path, Some(body), "import key").await {
            self.learn(&made["items"][0]["id"], &json!(text));
        }
    }

    async fn key_verb(&mut self, verb: &'static str) {
        let Some(id) = self.key() else { return };
        self.try_by_any_owner("POST", &format!("/v1/keys/{id}/{verb}"), None, verb).await;
    }

    async fn rotate(&mut self) {
        let Some(id) = self.key() else { return };
        let body = json!({ "overlap_minutes": self.below(3) * 20 });
        let path = format!("/v1/keys/{id}/rotate");
        if let Some(made) = self.try_by_any_owner("POST", &path, Some(body), "rotate").await {
            self.learn(&made["key"]["id"], &made["secret"]);
        }
    }

    async fn change_key(&mut self) {
        let Some(id) = self.key() else { return };
        let body = match self.below(3) {
            0 => json!({ "narrowing": self.narrowing() }),
            1 => json!({ "role": if self.below(2) == 0 { "admin" } else { "member" } }),
            _ => json!({ "expires_at": self.minutes_ahead(60) }),
        };
        self.try_by_any_owner("PATCH", &format!("/v1/keys/{id}"), Some(body), "change key").await;
    }

    async fn invite(&mut self) {
        let (organization, who) = (self.organization(), self.somebody());
        let role = if self.below(3) == 0 { "admin" } else { "member" };
        let body = json!({ "email": self.people[who].email, "role": role });
        let path = format!("/v1/organizations/{}/invitations", self.organizations[organization]);
        let owner = &self.people[organization].session;
        let made = owner.post(&path, body).await;
        if made.status == 201 {
            let token = json!({ "token": made.json()["token"] });
            let reply = self.people[who].session.post("/v1/invitations:accept", token).await;
            self.note(reply.status, "accept invitation");
        }
    }

    async fn remove_member(&mut self) {
        let (organization, who) = (self.organization(), self.somebody());
        let path =
            format!("/v1/organizations/{}/members/{}", self.organizations[organization], self.people[who].id);
        self.try_by(organization, "DELETE", &path, None, "remove member").await;
    }

    async fn change_member(&mut self) {
        let (organization, who) = (self.organization(), self.somebody());
        let path =
            format!("/v1/organizations/{}/members/{}", self.organizations[organization], self.people[who].id);
        let body = json!({ "role": if self.below(2) == 0 { "admin" } else { "member" } });
        self.try_by(organization, "PATCH", &path, Some(body), "change member").await;
    }

    async fn add_collaborator(&mut self) {
        let (project, who) = (self.project(), self.somebody());
        let role = if self.below(3) == 0 { "admin" } else { "member" };
        let body = json!({ "user_id": self.people[who].id, "role": role });
        let path = format!("/v1/projects/{project}/collaborators");
        self.try_by_owner(&project, "POST", &path, Some(body), "add collaborator").await;
    }

    async fn add_external(&mut self) {
        let (project, who) = (self.project(), self.somebody());
        self.try_by_owner(
            &project,
            "PUT",
            &format!("/v1/projects/{project}/external"),
            Some(json!({ "allowed": true })),
            "switch",
        )
        .await;
        let mut body = json!({ "email": self.people[who].email, "role": "member", "external": true });
        if self.below(2) == 0 {
            body["ends_at"] = json!(self.minutes_ahead(60));
        }
        let path = format!("/v1/projects/{project}/collaborators");
        if let Some(made) = self.try_by_owner(&project, "POST", &path, Some(body), "invite external").await {
            let token = json!({ "token": made["token"] });
            let reply = self.people[who].session.post("/v1/invitations:accept", token).await;
            self.note(reply.status, "accept as external");
        }
    }

    async fn remove_collaborator(&mut self) {
        let (project, who) = (self.project(), self.somebody());
        let path = format!("/v1/projects/{project}/collaborators/{}", self.people[who].id);
        self.try_by_owner(&project, "DELETE", &path, None, "remove collaborator").await;
    }

    async fn join(&mut self) {
        let (project, who) = (self.project(), self.somebody());
        let reply = self.people[who].session.act(&format!("/v1/projects/{project}/join")).await;
        self.note(reply.status, "join");
    }

    async fn switch_externals(&mut self) {
        let project = self.project();
        let body = json!({ "allowed": self.below(3) > 0 });
        let path = format!("/v1/projects/{project}/external");
        self.try_by_owner(&project, "PUT", &path, Some(body), "switch externals").await;
    }

    async fn archive(&mut self) {
        let project = self.project();
        let path = format!("/v1/projects/{project}");
        if self
            .try_by_owner(&project, "POST", &format!("{path}/unarchive"), None, "unarchive")
            .await
            .is_none()
        {
            self.try_by_owner(&project, "POST", &format!("{path}/archive"), None, "archive").await;
        }
    }

    async fn suspend(&mut self) {
        let index = self.organization();
        let verb = if self.below(2) == 0 { "suspend" } else { "resume" };
        let path = format!("/v1/organizations/{}/{verb}", self.organizations[index]);
        let reply = self.stage.operator().act(&path).await;
        self.note(reply.status, verb);
    }

    async fn register(&mut self) {
        self.made += 1;
        let (index, id) = (self.below(self.projects.len() as u32) as usize, format!("f{}", self.made));
        let path = format!("/v1/projects/{}/resources", self.projects[index].0);
        let reply = self.stage.operator().post(&path, json!({ "type": "file", "id": id })).await;
        self.note(reply.status, "register");
        if reply.status == 201 {
            self.resources.push((index, id));
        }
    }

    async fn delete_resource(&mut self) {
        if self.resources.is_empty() {
            return;
        }
        let at = self.below(self.resources.len() as u32) as usize;
        let (index, id) = self.resources[at].clone();
        let path = format!("/v1/projects/{}/resources/file/{id}", self.projects[index].0);
        let reply = self.stage.operator().delete(&path).await;
        self.note(reply.status, "delete resource");
    }

    async fn budget(&mut self) {
        let body = json!({ "requests_max": 1 + self.below(3), "period": "day" });
        let index = self.organization();
        match (self.below(4), self.key()) {
            (0, _) => {
                let path = format!("/v1/organizations/{}/budget", self.organizations[index]);
                self.try_by(index, "PUT", &path, Some(body), "set budget").await;
            }
            (1, Some(key)) => {
                let path = format!("/v1/keys/{key}/budget");
                self.try_by_any_owner("PUT", &path, Some(body), "set budget").await;
            }
            (2, _) => {
                let path = format!("/v1/organizations/{}/budget", self.organizations[index]);
                self.try_by(index, "DELETE", &path, None, "lift budget").await;
            }
            _ => {
                let project = self.project();
                let path = format!("/v1/projects/{project}/budget");
                self.try_by_owner(&project, "PUT", &path, Some(body), "set budget").await;
            }
        }
    }

    /// An edge reports two requests of some key.
    async fn report(&mut self) {
        let Some(key) = self.key() else { return };
        let Some(number) = self.project_number_of(&key) else { return };
        let now = self.now_text(0);
        let line = json!({
            "subject": { "key": key }, "project": number, "permission": "inference.invoke",
            "day": now[..10], "requests": 2, "last_at": now,
        });
        let id: String = self.dice.bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let edge = self.stage.holder(&self.usage_token);
        let reply = edge.post("/v1/usage/batches", json!({ "id": id, "lines": [line] })).await;
        self.note(reply.status, "report");
    }

    async fn end_session(&mut self) {
        let who = self.somebody();
        let ended = self.people[who].session.clone();
        let listed = ended.get("/v1/me/sessions").await;
        if listed.status == 200 {
            let token = ended.act("/v1/me/token").await.expect(200).json();
            let items = listed.json()["items"].as_array().unwrap().clone();
            let own = items.iter().find(|one| one["current"] == true).unwrap();
            let path = format!("/v1/me/sessions/{}", own["id"].as_str().unwrap());
            let reply = ended.delete(&path).await;
            self.note(reply.status, "end session");
            self.people[who].ended.push((ended, token["token"].as_str().unwrap().to_owned()));
        }
        self.people[who].session = self.stage.sign_in(&self.people[who].email).await;
    }

    async fn sign_in_again(&mut self) {
        for index in 0..self.people.len() {
            if self.people[index].session.get("/v1/me").await.status == 401 {
                let again = self.stage.sign_in(&self.people[index].email).await;
                self.people[index].session = again;
            }
        }
    }

    async fn try_by(
        &mut self,
        owner: usize,
        method: &str,
        path: &str,
        body: Option<Value>,
        deed: &'static str,
    ) -> Option<Value> {
        let reply = self.people[owner].session.call(method, path, body).await;
        self.note(reply.status, deed);
        (reply.status < 300).then(|| reply.json())
    }

    async fn try_by_owner(
        &mut self,
        project: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        deed: &'static str,
    ) -> Option<Value> {
        let owner = self.projects.iter().find(|(id, _)| id == project)?.1;
        self.try_by(owner, method, path, body, deed).await
    }

    async fn try_by_any_owner(
        &mut self,
        method: &str,
        path: &str,
        body: Option<Value>,
        deed: &'static str,
    ) -> Option<Value> {
        match self.try_by(0, method, path, body.clone(), deed).await {
            Some(reply) => Some(reply),
            None => self.try_by(1, method, path, body, deed).await,
        }
    }

    fn note(&mut self, status: u16, deed: &'static str) {
        assert!(status < 500, "{deed}: {status}");
        if status < 300 {
            *self.done.entry(deed).or_default() += 1;
        }
    }

    fn learn(&mut self, id: &Value, text: &Value) {
        let [id, text] = [id, text].map(|value| value.as_str().unwrap().to_owned());
        self.keys.push(KnownKey { id, text });
    }

    fn narrowing(&mut self) -> Value {
        match self.below(6) {
            0 => json!({ "permissions": ["files.read"] }),
            1 => json!({ "networks": ["192.0.2.0/24", "2001:db8::/32"] }),
            2 => json!({ "models": [{ "match": "prefix", "name": "small-" }] }),
            3 => json!({ "resources": [{ "type": "file", "match": "prefix", "id": "f1" }] }),
            _ => Value::Null,
        }
    }

    fn project_number_of(&self, key: &str) -> Option<u32> {
        use latchkey_control::store::View;
        let id = latchkey_core::KeyId::parse(key.as_bytes())?;
        let view = self.stage.control.store().read().ok()?;
        Some(view.key(id).ok()??.project.0)
    }

    fn minutes_ahead(&mut self, most: u32) -> String {
        let minutes = u64::from(1 + self.below(most));
        let text = self.now_text(minutes * 60);
        format!("{}:00Z", &text[..16])
    }

    fn now_text(&self, ahead_secs: u64) -> String {
        use latchkey_control::outside::Clock;
        let at = self.stage.clock.now().seconds().plus_secs(ahead_secs);
        serde_json::to_value(latchkey_api::Timestamp(at)).unwrap().as_str().unwrap().to_owned()
    }

    fn key(&mut self) -> Option<String> {
        let count = u32::try_from(self.keys.len()).unwrap();
        (count > 0).then(|| self.below(count) as usize).map(|index| self.keys[index].id.clone())
    }

    fn project(&mut self) -> String {
        let index = self.below(self.projects.len() as u32) as usize;
        self.projects[index].0.clone()
    }

    fn organization(&mut self) -> usize {
        self.below(2) as usize
    }

    /// Somebody who owns nothing.
    fn somebody(&mut self) -> usize {
        2 + self.below(PEOPLE as u32) as usize
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::from_le_bytes(self.dice.bytes()) % limit
    }
}

fn sha256(text: &str) -> [u8; 32] {
    latchkey_core::ImportedDigest::of(text.as_bytes()).0
}
