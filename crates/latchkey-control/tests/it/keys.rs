//! API keys (IAM §5).

use latchkey_api::{CreatedKey, CreatedKeys, Key, KeyStatus, Page};
use latchkey_control::outside::{NoSeed, Seeds};
use latchkey_control::store::{AuditView, Store};
use latchkey_core::{Generation, KeyText, MintSecret, Prefix, Role};
use latchkey_testkit::{Actor, ManualClock, SeededSeeds, Stage, StageConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An organization with an owner, who is its project's admin, and a member.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) organization: String,
    pub(crate) project: String,
    pub(crate) owner: Actor,
    pub(crate) member: Actor,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let (organization, project) = (acme.organization.id, acme.default_project.id);
        let owner = stage.sign_in("owner@acme.test").await;
        let roles = (Some((&*organization, Role::Member)), Some((&*project, Role::Member)));
        let member = stage.person("member@acme.test", roles.0, roles.1).await;
        Self { stage, organization, project, owner, member }
    }

    pub(crate) fn keys(&self) -> String {
        format!("/v1/projects/{}/keys", self.project)
    }

    /// The path of a new key of this role.
    pub(crate) async fn key(&self, role: Role) -> String {
        format!("/v1/keys/{}", self.stage.key(&self.owner, &self.project, role).await.key.id)
    }

    /// What the audit log says last.
    pub(crate) fn last_entry(&self) -> Value {
        let view = self.stage.control.store().read().unwrap();
        let last = view.audit_checkpoint().unwrap().size - 1;
        serde_json::from_str(&view.audit_leaf(last).unwrap().unwrap().content.unwrap().entry).unwrap()
    }
}

#[tokio::test]
async fn created_key_is_genuine_and_its_secret_is_shown_once_k2() {
    let scene = Scene::new().await;
    let reply = scene.owner.post(&scene.keys(), json!({ "name": "ci" })).await.expect(201);
    let created: CreatedKey = reply.read();
    let text =
        KeyText::parse(created.secret.expose().as_bytes(), &Prefix::parse("lk_test").unwrap()).unwrap();
    assert_eq!(text.id().to_string(), created.key.id);
    assert!(text.mint_check_matches(&MintSecret::new([7; 32])));
    assert_eq!(created.key.status, KeyStatus::Active);
    let again = scene.owner.get(&format!("/v1/keys/{}", created.key.id)).await.expect(200);
    assert_eq!(again.read::<Key>(), created.key);
    assert!(again.json().get("secret").is_none());
}

#[tokio::test]
async fn every_change_names_its_generation() {
    let scene = Scene::new().await;
    let secret = MintSecret::new([7; 32]).generation_secret();
    let key = scene.key(Role::Member).await;
    let mut last = Generation(0);
    for verb in ["disable", "enable", "revoke"] {
        let reply = scene.owner.act(&format!("{key}/{verb}")).await.expect(200);
        let token = reply.header("latchkey-generation").unwrap();
        let generation = Generation::from_token(token.as_bytes(), &secret).unwrap();
        assert!(last == Generation(0) || generation == last.next(), "{verb}");
        last = generation;
    }
    assert!(scene.owner.get(&key).await.header("latchkey-generation").is_none());
}

#[tokio::test]
async fn member_cannot_reach_an_admin_key_k6() {
    let scene = Scene::new().await;
    let body = json!({ "name": "k", "role": "admin" });
    let problem = scene.member.post(&scene.keys(), body.clone()).await.problem(403, "forbidden");
    assert_eq!(problem["permission"], "keys.create");
    let batch = json!({ "keys": [{ "name": "a" }, body] });
    scene.member.post(&format!("{}:batch", scene.keys()), batch).await.problem(403, "forbidden");
    let page: Page<Key> = scene.member.get(&scene.keys()).await.expect(200).read();
    assert_eq!(page.items, []);
}

#[tokio::test]
async fn member_neither_enables_nor_lengthens_an_admin_key_k6a() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Admin).await;
    let (soon, later) = ("2026-11-23T11:00:00Z", "2026-11-23T12:00:00Z");
    scene.member.patch(&key, json!({ "expires_at": soon })).await.expect(200);
    scene.member.patch(&key, json!({ "expires_at": later })).await.problem(403, "forbidden");
    scene.member.patch(&key, json!({ "expires_at": null })).await.problem(403, "forbidden");
    scene.member.act(&format!("{key}/disable")).await.expect(200);
    scene.member.act(&format!("{key}/enable")).await.problem(403, "forbidden");
    let shown: Value = scene.owner.get(&key).await.expect(200).json();
    assert_eq!((&shown["status"], &shown["expires_at"]), (&json!("disabled"), &json!(soon)));
    scene.owner.act(&format!("{key}/enable")).await.expect(200);
    scene.owner.patch(&key, json!({ "expires_at": null })).await.expect(200);
}

#[tokio::test]
async fn member_handles_member_keys_of_others_k1() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.member.act(&format!("{key}/disable")).await.expect(200);
    scene.member.act(&format!("{key}/enable")).await.expect(200);
    scene
        .member
        .patch(&key, json!({ "name": "new", "expires_at": "2026-11-24T10:00:00Z" }))
        .await
        .expect(200);
    scene.member.act(&format!("{key}/revoke")).await.expect(200);
}

#[tokio::test]
async fn revocation_is_final_k5() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    let first: Key = scene.owner.act(&format!("{key}/revoke")).await.expect(200).read();
    scene.stage.clock.advance_secs(60);
    for verb in ["enable", "disable"] {
        scene.owner.act(&format!("{key}/{verb}")).await.problem(409, "key_revoked");
    }
    for change in [json!({ "expires_at": null }), json!({ "name": "new" })] {
        scene.owner.patch(&key, change).await.problem(409, "key_revoked");
    }
    let again: Key = scene.owner.act(&format!("{key}/revoke")).await.expect(200).read();
    assert_eq!((again.revoked_at, again.status), (first.revoked_at, KeyStatus::Revoked));
}

#[tokio::test]
async fn key_expires_at_its_minute_and_an_expiry_can_be_cancelled_k3() {
    let scene = Scene::new().await;
    let body = json!({ "name": "k", "expires_at": "2026-11-23T10:01:00Z" });
    let created: CreatedKey = scene.owner.post(&scene.keys(), body).await.expect(201).read();
    let key = format!("/v1/keys/{}", created.key.id);
    scene.stage.clock.advance_secs(59);
    assert_eq!(scene.owner.get(&key).await.read::<Key>().status, KeyStatus::Active);
    scene.stage.clock.advance_secs(1);
    assert_eq!(scene.owner.get(&key).await.read::<Key>().status, KeyStatus::Expired);
    let revived = scene.owner.patch(&key, json!({ "expires_at": null })).await.expect(200);
    assert_eq!(revived.read::<Key>().status, KeyStatus::Active);
    let ended = scene.owner.patch(&key, json!({ "expires_at": "2026-11-23T10:00:00Z" })).await.expect(200);
    assert_eq!(ended.read::<Key>().status, KeyStatus::Expired);
    scene.owner.patch(&key, json!({})).await.problem(422, "invalid_field");
}

#[tokio::test]
async fn key_of_another_project_is_not_there_j1() {
    let scene = Scene::new().await;
    let path = format!("/v1/organizations/{}/projects", scene.organization);
    let blue = scene.owner.post(&path, json!({ "name": "Blue", "slug": "blue" })).await.expect(201).json();
    scene.stage.key(&scene.owner, blue["id"].as_str().unwrap(), Role::Member).await;
    let page: Page<Key> = scene.owner.get(&scene.keys()).await.expect(200).read();
    assert_eq!(page.items, []);
    assert_eq!(
        scene.owner.get("/v1/projects/blue/keys").await.expect(200).read::<Page<Key>>().items.len(),
        1
    );
}

#[tokio::test]
async fn bulk_makes_all_or_none() {
    let scene = Scene::new().await;
    let batch = format!("{}:batch", scene.keys());
    let mut keys = vec![json!({ "name": "k" }); 300];
    keys[299] = json!({ "name": "k", "expires_at": "2020-01-01T00:00:00Z" });
    let problem = scene.owner.post(&batch, json!({ "keys": keys })).await.problem(422, "invalid_field");
    assert_eq!(problem["field"], "keys[299].expires_at");
    let unknown = json!({ "keys": [{ "name": "k" }, { "name": "k", "x": 1 }] });
    let problem = scene.owner.post(&batch, unknown).await.problem(422, "invalid_field");
    assert!(problem["field"].as_str().unwrap().starts_with("keys[1]"), "{problem}");
    assert_eq!(scene.owner.get(&scene.keys()).await.read::<Page<Key>>().items, []);
    for count in [0, 10_001] {
        let keys = vec![json!({ "name": "k" }); count];
        scene.owner.post(&batch, json!({ "keys": keys })).await.problem(422, "invalid_field");
    }
}

#[tokio::test]
async fn bulk_of_ten_thousand_is_one_generation_and_lists_to_its_end() {
    let scene = Scene::new().await;
    let before = scene.stage.control.check_ready().unwrap();
    let body = json!({ "keys": vec![json!({ "name": "k".repeat(100) }); 10_000] });
    let made: CreatedKeys =
        scene.owner.post(&format!("{}:batch", scene.keys()), body).await.expect(201).read();
    assert_eq!(scene.stage.control.check_ready().unwrap(), before.next());
    let made: BTreeSet<String> = made.items.into_iter().map(|one| one.key.id).collect();
    assert_eq!(made.len(), 10_000);
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Key> =
            scene.owner.get(&format!("{}?limit=200{cursor}", scene.keys())).await.expect(200).read();
        assert!(page.items.iter().all(|key| seen.insert(key.id.clone())), "a key came twice");
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn list_is_newest_first() {
    let scene = Scene::new().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, scene.stage.key(&scene.owner, &scene.project, Role::Member).await.key.id);
        scene.stage.clock.advance_secs(1);
    }
    let page: Page<Key> = scene.owner.get(&format!("{}?limit=3", scene.keys())).await.read();
    assert_eq!(page.items.into_iter().map(|key| key.id).collect::<Vec<_>>(), made);
    assert_eq!(page.next, None);
}

/// Seeds that repeat themselves from a moment on.
struct StuckSeeds(SeededSeeds, Arc<AtomicBool>);

impl Seeds for StuckSeeds {
    fn seed(&self) -> Result<[u8; 32], NoSeed> {
        if self.1.load(Ordering::SeqCst) { Ok([9; 32]) } else { self.0.seed() }
    }
}

#[tokio::test]
async fn id_that_is_taken_is_drawn_again() {
    let (clock, stuck) = (ManualClock::default(), Arc::new(AtomicBool::new(false)));
    let seeds = StuckSeeds(SeededSeeds::new(1), stuck.clone());
    let store = Store::in_memory(Arc::new(clock.clone()), Arc::new(seeds)).unwrap();
    let stage = Stage::on(store, clock, StageConfig::default()).await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    stuck.store(true, Ordering::SeqCst);
    let mut ids = BTreeSet::new();
    for _ in 0..4 {
        ids.insert(stage.key(&owner, &acme.default_project.id, Role::Member).await.key.id);
    }
    assert_eq!(ids.len(), 4);
}
