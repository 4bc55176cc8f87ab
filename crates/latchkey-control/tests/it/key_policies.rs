//! What an organization demands of its keys (K10), and the caretaker who keeps it as time passes.

use crate::keys::Scene;
use latchkey_api::{Key, KeyStatus};
use latchkey_control::app::AppError;
use latchkey_control::app::caretaker::Caretaker;
use latchkey_control::iam::{KeyPolicy, Notice, NoticeKind, Scope, authorize_upkeep};
use latchkey_control::store::{AuditEntry, Change, Ctx, View, Write};
use latchkey_core::{Generation, KeyId, OrganizationId, ProjectId, Role};
use serde_json::{Value, json};

const DAY_SECS: u64 = 24 * 60 * 60;

impl Scene {
    async fn demand(&self, policy: KeyPolicy) {
        let id = OrganizationId::parse(&self.organization).unwrap();
        self.write(move |view, _| {
            let mut organization = view.organization_by_id(&id).unwrap().unwrap();
            organization.settings.keys = policy;
            organization.into()
        })
        .await;
    }

    /// Edges report that a key was used just now.
    async fn use_key(&self, path: &str) {
        let id = KeyId::parse(path.rsplit('/').next().unwrap().as_bytes()).unwrap();
        self.write(move |_, ctx| Change::KeyUse(id, ctx.now)).await;
    }

    async fn write(&self, change: impl Fn(&dyn View, &Ctx) -> Change + Send + 'static) {
        let permit = authorize_upkeep(Scope::Installation);
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let entry = AuditEntry::new(&permit, None, "scene", ("test", String::new()));
            Ok::<_, AppError>(Write::new(entry, ()).put(change(view, ctx)))
        };
        self.stage.control.store().write(decide).await.unwrap();
    }

    async fn pass(&self) -> Generation {
        Caretaker::new(self.stage.control.clone()).pass().await.unwrap();
        self.stage.control.check_ready().unwrap()
    }

    fn notices(&self) -> Vec<Notice> {
        let view = self.stage.control.store().read().unwrap();
        let project = view.project_by_id(&ProjectId::parse(&self.project).unwrap()).unwrap().unwrap();
        view.notices_of(project.organization, Some(project.number), None, 100).unwrap()
    }

    async fn status(&self, key: &str) -> KeyStatus {
        // Sessions do not last as long as these stories.
        let member = self.stage.sign_in("member@acme.test").await;
        member.get(key).await.expect(200).read::<Key>().status
    }

    async fn expiring(&self, expires_at: &str) -> String {
        let body = json!({ "name": "k", "expires_at": expires_at });
        let made = self.owner.post(&self.keys(), body).await.expect(201).json();
        format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap())
    }
}

#[tokio::test]
async fn key_without_expiry_is_refused_where_one_is_demanded_k10() {
    let scene = Scene::new().await;
    let old = scene.key(Role::Member).await;
    scene.demand(KeyPolicy { expiry_required: true, ..KeyPolicy::default() }).await;
    let dated = scene.expiring("2026-12-01T00:00:00Z").await;
    let (keys, batch) = (scene.keys(), format!("{}:batch", scene.keys()));
    let rotate = json!({ "overlap_minutes": 0 });
    for (path, body, field) in [
        (keys, json!({ "name": "k" }), "expires_at"),
        (batch, json!({ "keys": [{ "name": "k" }] }), "keys[0].expires_at"),
        (format!("{old}/rotate"), rotate.clone(), "expires_at"),
    ] {
        let problem = scene.owner.post(&path, body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{path}");
    }
    let cancel = json!({ "expires_at": null });
    let problem = scene.owner.patch(&dated, cancel).await.problem(422, "invalid_field");
    assert_eq!(problem["field"], "expires_at");
    // What was made before stays as it is, and once it has an expiry it is rotated like any other.
    scene.owner.patch(&old, json!({ "name": "new" })).await.expect(200);
    scene.owner.patch(&old, json!({ "expires_at": "2026-12-01T00:00:00Z" })).await.expect(200);
    scene.owner.post(&format!("{old}/rotate"), rotate).await.expect(201);
}

#[tokio::test]
async fn key_that_would_live_too_long_is_refused_k10() {
    let scene = Scene::new().await;
    let long = scene.expiring("2027-11-23T10:00:00Z").await;
    scene.demand(KeyPolicy { lifetime_minutes_max: Some(60), ..KeyPolicy::default() }).await;
    let key = |expires_at: Value| json!({ "name": "k", "expires_at": expires_at });
    for too_long in [json!("2026-11-23T11:01:00Z"), Value::Null] {
        let problem = scene.owner.post(&scene.keys(), key(too_long)).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "expires_at");
    }
    let short = scene.expiring("2026-11-23T11:00:00Z").await;
    let patch = |expires_at: &str| json!({ "expires_at": expires_at });
    scene.owner.patch(&short, patch("2026-11-23T11:01:00Z")).await.problem(422, "invalid_field");
    // Ending one sooner is never refused, even if it still lasts longer than new ones may.
    scene.owner.patch(&long, patch("2026-12-23T10:00:00Z")).await.expect(200);
    let rotate = json!({ "overlap_minutes": 0 });
    scene.owner.post(&format!("{long}/rotate"), rotate).await.problem(422, "invalid_field");
    assert_eq!(scene.status(&long).await, KeyStatus::Active);
}

#[tokio::test]
async fn import_keeps_to_the_policy_k10() {
    let scene = Scene::new().await;
    let open = format!("/v1/operator/organizations/{}/import:open", scene.organization);
    scene.stage.operator().act(&open).await.expect(200);
    scene.demand(KeyPolicy { expiry_required: true, ..KeyPolicy::default() }).await;
    let body = json!({ "keys": [{ "name": "k", "sha256": "1".repeat(64) }] });
    let problem = scene.owner.post(&format!("{}:import", scene.keys()), body).await;
    assert_eq!(problem.problem(422, "invalid_field")["field"], "keys[0].expires_at");
}

#[tokio::test]
async fn idle_key_is_disabled_and_its_project_hears_of_it_k10() {
    let scene = Scene::new().await;
    let (idle, busy) = (scene.key(Role::Member).await, scene.key(Role::Admin).await);
    scene.demand(KeyPolicy { idle_days_max: Some(30), ..KeyPolicy::default() }).await;
    scene.stage.clock.advance_secs(30 * DAY_SECS - 1);
    scene.use_key(&busy).await;
    scene.pass().await;
    assert_eq!(scene.status(&idle).await, KeyStatus::Active);
    scene.stage.clock.advance_secs(1);
    scene.use_key(&busy).await;
    let generation = scene.pass().await;
    let notices = scene.notices();
    assert_eq!((notices.len(), notices[0].what), (1, NoticeKind::KeyIdle));
    assert!(idle.ends_with(&notices[0].subject));
    let entry = scene.last_entry();
    assert_eq!(
        (&entry["who"]["kind"], &entry["what"]),
        (&json!("installation"), &json!("keys.disable_idle"))
    );
    assert_eq!(entry["after"][0]["id"], notices[0].subject);
    assert_eq!(entry["project"], scene.project);
    // A pass that finds nothing writes nothing.
    assert_eq!(scene.pass().await, generation);
    assert_eq!(scene.status(&idle).await, KeyStatus::Disabled);
    assert_eq!(scene.status(&busy).await, KeyStatus::Active);
}

#[tokio::test]
async fn enabled_key_is_idle_anew_k10() {
    let scene = Scene::new().await;
    let (idle, busy) = (scene.key(Role::Member).await, scene.key(Role::Member).await);
    scene.demand(KeyPolicy { idle_days_max: Some(30), ..KeyPolicy::default() }).await;
    scene.stage.clock.advance_secs(30 * DAY_SECS);
    scene.use_key(&busy).await;
    scene.pass().await;
    let owner = scene.stage.sign_in("owner@acme.test").await;
    owner.act(&format!("{idle}/enable")).await.expect(200);
    scene.pass().await;
    assert_eq!(scene.status(&idle).await, KeyStatus::Active);
    scene.stage.clock.advance_secs(30 * DAY_SECS);
    scene.use_key(&busy).await;
    scene.pass().await;
    assert_eq!(scene.status(&idle).await, KeyStatus::Disabled);
}

#[tokio::test]
async fn nobody_is_idle_while_no_usage_is_reported_k10() {
    let scene = Scene::new().await;
    let (key, busy) = (scene.key(Role::Member).await, scene.key(Role::Member).await);
    scene.demand(KeyPolicy { idle_days_max: Some(1), ..KeyPolicy::default() }).await;
    let before = scene.stage.control.check_ready().unwrap();
    scene.stage.clock.advance_secs(9 * DAY_SECS);
    assert_eq!(scene.pass().await, before);
    // Reports that came once and then no more are no proof either.
    scene.stage.clock.advance_secs(DAY_SECS);
    scene.use_key(&key).await;
    scene.use_key(&busy).await;
    let before = scene.stage.control.check_ready().unwrap();
    scene.stage.clock.advance_secs(9 * DAY_SECS);
    assert_eq!(scene.pass().await, before);
}

#[tokio::test]
async fn coming_expiry_is_told_once_k10() {
    let scene = Scene::new().await;
    let key = scene.expiring("2026-12-10T10:00:00Z").await;
    scene.demand(KeyPolicy { warning_days: Some(7), ..KeyPolicy::default() }).await;
    scene.stage.clock.advance_secs(10 * DAY_SECS - 1);
    scene.pass().await;
    assert_eq!(scene.notices(), []);
    scene.stage.clock.advance_secs(1);
    let generation = scene.pass().await;
    let notices = scene.notices();
    assert_eq!((notices.len(), notices[0].what), (1, NoticeKind::KeyExpires));
    assert!(key.ends_with(&notices[0].subject));
    assert_eq!(scene.pass().await, generation);
    // Another expiry is news again.
    let owner = scene.stage.sign_in("owner@acme.test").await;
    owner.patch(&key, json!({ "expires_at": "2026-12-11T10:00:00Z" })).await.expect(200);
    scene.stage.clock.advance_secs(DAY_SECS);
    scene.pass().await;
    assert_eq!(scene.notices().len(), 2);
}

#[tokio::test]
async fn end_of_a_rotated_key_is_no_news_k10() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.owner.post(&format!("{key}/rotate"), json!({ "overlap_minutes": 60 })).await.expect(201);
    scene.demand(KeyPolicy { warning_days: Some(7), ..KeyPolicy::default() }).await;
    scene.pass().await;
    assert_eq!(scene.notices(), []);
}

#[tokio::test]
async fn many_keys_are_tended_in_small_writes_k10() {
    let scene = Scene::new().await;
    let keys = vec![json!({ "name": "k", "expires_at": "2026-11-24T10:00:00Z" }); 450];
    scene.owner.post(&format!("{}:batch", scene.keys()), json!({ "keys": keys })).await.expect(201);
    scene.demand(KeyPolicy { warning_days: Some(7), ..KeyPolicy::default() }).await;
    let before = scene.stage.control.check_ready().unwrap();
    assert_eq!(scene.pass().await, Generation(before.0 + 3));
    let view = scene.stage.control.store().read().unwrap();
    assert_eq!(view.next_notice().unwrap(), 451);
}

#[tokio::test]
async fn pass_goes_on_where_the_one_before_stopped() {
    let scene = Scene::new().await;
    let path = format!("{}:batch", scene.keys());
    let key = json!({ "name": "k", "expires_at": "2026-11-24T10:00:00Z" });
    for count in [9_999, 2] {
        scene.owner.post(&path, json!({ "keys": vec![key.clone(); count] })).await.expect(201);
    }
    scene.demand(KeyPolicy { warning_days: Some(7), ..KeyPolicy::default() }).await;
    let mut caretaker = Caretaker::new(scene.stage.control.clone());
    let told = || scene.stage.control.store().read().unwrap().next_notice().unwrap() - 1;
    caretaker.pass().await.unwrap();
    assert_eq!(told(), 10_000);
    caretaker.pass().await.unwrap();
    assert_eq!(told(), 10_001);
    let before = scene.stage.control.check_ready().unwrap();
    caretaker.pass().await.unwrap();
    assert_eq!(scene.stage.control.check_ready().unwrap(), before);
}

#[tokio::test]
async fn ended_session_is_forgotten_after_thirty_days() {
    let scene = Scene::new().await;
    let token = scene.member.token().to_owned();
    scene.stage.clock.advance_secs(12 * 60 * 60 + 30 * DAY_SECS - 1);
    scene.stage.holder(&token).get("/v1/me").await.problem(401, "expired");
    scene.pass().await;
    scene.stage.holder(&token).get("/v1/me").await.problem(401, "expired");
    let fresh = scene.stage.sign_in("member@acme.test").await;
    scene.stage.clock.advance_secs(1);
    scene.pass().await;
    assert_eq!(scene.last_entry()["what"], "sessions.forget");
    scene.stage.holder(&token).get("/v1/me").await.problem(401, "unauthenticated");
    fresh.get("/v1/me").await.expect(200);
    assert_eq!(fresh.get("/v1/me/sessions").await.json()["items"].as_array().unwrap().len(), 1);
}
