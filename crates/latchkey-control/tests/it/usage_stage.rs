//! A project with a key, and the edges' credential that brings usage of it.

use latchkey_api::{CreatedUsageToken, Key, Usage};
use latchkey_control::app::AppError;
use latchkey_control::iam::{Caller, Demand, OperatorAct, Standing, authorize};
use latchkey_control::store::{AuditEntry, Change, Ctx, View, Write};
use latchkey_core::{ProjectId, Role, UserId};
use latchkey_testkit::{Actor, Reply, Stage};
use serde_json::{Value, json};

pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) organization: String,
    pub(crate) project: String,
    pub(crate) owner: Actor,
    pub(crate) reporter: Actor,
    pub(crate) key: Key,
    pub(crate) secret: String,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let created = stage.key(&owner, &acme.default_project.id, Role::Member).await;
        let token = stage.operator().post("/v1/operator/usage-tokens", json!({ "name": "edges" })).await;
        let token: CreatedUsageToken = token.expect(201).read();
        assert!(token.token.expose().starts_with("lku_"));
        Self {
            reporter: stage.holder(token.token.expose()),
            organization: acme.organization.id,
            project: acme.default_project.id,
            owner,
            secret: created.secret.expose().to_owned(),
            key: created.key,
            stage,
        }
    }

    /// A line of the key's, of today.
    pub(crate) fn line(&self, requests: u64) -> Value {
        self.line_of("inference.invoke", requests)
    }

    pub(crate) fn line_of(&self, permission: &str, requests: u64) -> Value {
        line(json!({ "key": self.key.id }), self.number(&self.project), permission, requests)
    }

    /// The same line, on another day.
    pub(crate) fn line_on(&self, day: &str, requests: u64) -> Value {
        let mut line = self.line(requests);
        (line["day"], line["last_at"]) = (json!(day), json!(format!("{day}T00:00:00Z")));
        line
    }

    pub(crate) fn number(&self, project: &str) -> u32 {
        let view = self.stage.control.store().read().unwrap();
        view.project_by_id(&ProjectId::parse(project).unwrap()).unwrap().unwrap().number.0
    }

    pub(crate) fn identity_of(&self, user: &str) -> String {
        let view = self.stage.control.store().read().unwrap();
        view.identities_of(&UserId::parse(user).unwrap()).unwrap()[0].id.to_string()
    }

    pub(crate) async fn report_raw(&self, id: usize, lines: Vec<Value>) -> Reply {
        self.reporter.post("/v1/usage/batches", json!({ "id": batch_id(id), "lines": lines })).await
    }

    pub(crate) async fn report(&self, id: usize, lines: Vec<Value>) {
        let reply = self.report_raw(id, lines).await.expect(202);
        assert_eq!(reply.json()["status"], "counted", "{}", reply.text());
    }

    /// The owner, signed in anew: a session does not last for a day.
    pub(crate) async fn owner_again(&self) -> Actor {
        self.stage.sign_in("owner@acme.test").await
    }

    /// The organization's usage, as its owner asks for it.
    pub(crate) async fn usage(&self, query: &str) -> Value {
        let path = format!("/v1/organizations/{}/usage{query}", self.organization);
        self.owner_again().await.get(&path).await.expect(200).json()
    }

    /// All requests of the last year.
    pub(crate) async fn requests(&self) -> u64 {
        let path = format!("/v1/organizations/{}/usage?from=2026-01-01", self.organization);
        self.owner_again().await.get(&path).await.expect(200).read::<Usage>().total.requests
    }

    pub(crate) async fn set_prices(&self, prices: Value) {
        let body = json!({ "prices": prices });
        self.stage.operator().call("PUT", "/v1/operator/prices", Some(body)).await.expect(200);
    }

    /// Writes what only time brings about.
    pub(crate) async fn apply(&self, changes: Vec<Change>) {
        let decide = move |_: &dyn View, _: &mut Ctx| {
            let caller = Caller::Operator { token: 0, name: "stage".to_owned() };
            let demand = Demand::Operator(OperatorAct::Usage);
            let permit = authorize(&caller, demand, &Standing::Installation).unwrap();
            let entry = AuditEntry::new(&permit, None, "stage.apply", ("installation", String::new()));
            Ok::<_, AppError>(Write::new(entry, ()).put_all(changes.clone()))
        };
        self.stage.control.store().write(decide).await.unwrap();
    }
}

pub(crate) fn line(subject: Value, project: u32, permission: &str, requests: u64) -> Value {
    json!({
        "subject": subject, "project": project, "permission": permission,
        "day": "2026-11-23", "requests": requests, "last_at": "2026-11-23T09:59:00Z",
    })
}

pub(crate) fn batch_id(number: usize) -> String {
    format!("{number:032x}")
}
