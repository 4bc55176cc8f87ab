//! Rotation: a successor, and an overlap (K8).

use crate::keys::Scene;
use latchkey_api::{Key, KeyStatus, RotatedKey};
use latchkey_core::Role;
use serde_json::{Value, json};

const OVERLAP: &str = "overlap_minutes";

impl Scene {
    async fn rotated(&self, key: &str, overlap_minutes: u32) -> RotatedKey {
        let body = json!({ OVERLAP: overlap_minutes });
        self.owner.post(&format!("{key}/rotate"), body).await.expect(201).read()
    }

    async fn made(&self, body: Value) -> String {
        let made = self.owner.post(&self.keys(), body).await.expect(201).json();
        format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap())
    }
}

#[tokio::test]
async fn successor_inherits_everything_but_the_secret_k8() {
    let scene = Scene::new().await;
    let body = json!({
        "name": "ci", "role": "admin", "expires_at": "2027-01-01T00:00:00Z",
        "narrowing": { "permissions": ["files.view"], "requests_per_minute": 7 },
    });
    let old = scene.made(body).await;
    let before: Key = scene.owner.get(&old).await.read();
    let rotated = scene.rotated(&old, 60).await;
    let (new, was) = (&rotated.key, &rotated.predecessor);
    assert_ne!(new.id, before.id);
    assert_eq!((&new.name, new.role, new.expires_at), (&before.name, before.role, before.expires_at));
    assert_eq!((&new.narrowing, new.status), (&before.narrowing, KeyStatus::Active));
    assert_eq!((new.predecessor_id.as_ref(), was.successor_id.as_ref()), (Some(&was.id), Some(&new.id)));
    assert_eq!(serde_json::to_value(was.expires_at).unwrap(), "2026-11-23T11:00:00Z");
    let holder = scene.stage.holder(rotated.secret.expose());
    assert_eq!(holder.get("/v1/whoami").await.expect(200).json()["key"]["id"], new.id);
    assert_eq!(&scene.owner.get(&old).await.read::<Key>(), was);
    let entry = scene.last_entry();
    assert_eq!((&entry["what"], &entry["after"]["successor_id"]), (&json!("keys.rotate"), &json!(new.id)));
    let view = scene.stage.control.store().read().unwrap();
    let key = |id: &str| {
        use latchkey_control::store::View;
        view.key(latchkey_core::KeyId::parse(id.as_bytes()).unwrap()).unwrap().unwrap()
    };
    assert_eq!(key(&new.id).family, key(&was.id).id);
}

#[tokio::test]
async fn old_key_works_during_the_overlap_and_not_after_k8() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let holder = scene.stage.holder(made.secret.expose());
    scene.stage.clock.advance_secs(30);
    scene.rotated(&format!("/v1/keys/{}", made.key.id), 1).await;
    // The end is rounded up to a whole minute: an overlap is never shorter than chosen.
    scene.stage.clock.advance_secs(89);
    holder.get("/v1/whoami").await.expect(200);
    scene.stage.clock.advance_secs(1);
    holder.get("/v1/whoami").await.problem(401, "expired");
}

#[tokio::test]
async fn no_overlap_revokes_at_once_k8() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let rotated = scene.rotated(&format!("/v1/keys/{}", made.key.id), 0).await;
    assert_eq!(rotated.predecessor.status, KeyStatus::Revoked);
    scene.stage.holder(made.secret.expose()).get("/v1/whoami").await.problem(401, "revoked");
}

#[tokio::test]
async fn overlap_never_passes_the_keys_own_expiry_k8() {
    let scene = Scene::new().await;
    let old = scene.made(json!({ "name": "k", "expires_at": "2026-11-23T10:30:00Z" })).await;
    let rotated = scene.rotated(&old, 43_200).await;
    assert_eq!(serde_json::to_value(rotated.predecessor.expires_at).unwrap(), "2026-11-23T10:30:00Z");
    assert_eq!(rotated.key.expires_at, rotated.predecessor.expires_at);
}

#[tokio::test]
async fn rotating_needs_the_role_of_the_key_k6a() {
    let scene = Scene::new().await;
    let admin = format!("{}/rotate", scene.key(Role::Admin).await);
    let problem = scene.member.post(&admin, json!({ OVERLAP: 0 })).await.problem(403, "forbidden");
    assert_eq!(problem["permission"], "keys.create");
    let member = format!("{}/rotate", scene.key(Role::Member).await);
    let rotated: RotatedKey = scene.member.post(&member, json!({ OVERLAP: 0 })).await.expect(201).read();
    // Who rotates sees the secret, so it is theirs when a project asks who made its keys (X7).
    assert_ne!(rotated.key.created_by, rotated.predecessor.created_by);
}

#[tokio::test]
async fn key_that_is_over_is_not_rotated_k8() {
    let scene = Scene::new().await;
    let revoked = scene.key(Role::Member).await;
    scene.owner.act(&format!("{revoked}/revoke")).await.expect(200);
    let rotated = scene.key(Role::Member).await;
    scene.rotated(&rotated, 5).await;
    let expired = scene.made(json!({ "name": "k", "expires_at": "2026-11-23T10:01:00Z" })).await;
    scene.stage.clock.advance_secs(60);
    for (key, code) in [(revoked, "key_revoked"), (rotated, "key_rotated"), (expired, "key_expired")] {
        let before = scene.owner.get(&scene.keys()).await.json();
        let reply = scene.owner.post(&format!("{key}/rotate"), json!({ OVERLAP: 1 })).await;
        reply.problem(409, code);
        assert_eq!(scene.owner.get(&scene.keys()).await.json(), before);
    }
}

#[tokio::test]
async fn rotated_key_only_ends_sooner_k8() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.rotated(&key, 60).await;
    for later in [json!("2026-11-23T11:01:00Z"), Value::Null] {
        scene.owner.patch(&key, json!({ "expires_at": later })).await.problem(409, "key_rotated");
    }
    scene.owner.patch(&key, json!({ "expires_at": "2026-11-23T10:59:00Z" })).await.expect(200);
}

#[tokio::test]
async fn successor_of_a_disabled_key_is_disabled_k8() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.owner.act(&format!("{key}/disable")).await.expect(200);
    assert_eq!(scene.rotated(&key, 60).await.key.status, KeyStatus::Disabled);
}

#[tokio::test]
async fn overlap_has_its_bounds_k8() {
    let scene = Scene::new().await;
    let key = format!("{}/rotate", scene.key(Role::Member).await);
    for bad in [json!(43_201), json!(-1), json!(1.5), json!("60"), json!(null)] {
        let problem = scene.owner.post(&key, json!({ OVERLAP: bad })).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], OVERLAP);
    }
    scene.owner.post(&key, json!({})).await.problem(422, "invalid_field");
    scene.owner.post(&key, json!({ OVERLAP: 1, "role": "admin" })).await.problem(422, "invalid_field");
    scene.owner.post(&key, json!({ OVERLAP: 43_200 })).await.expect(201);
}

#[tokio::test]
async fn of_two_rotations_at_once_one_wins_k8() {
    let scene = Scene::new().await;
    let path = format!("{}/rotate", scene.key(Role::Member).await);
    let rotate = || scene.owner.post(&path, json!({ OVERLAP: 60 }));
    let (one, other) = tokio::join!(rotate(), rotate());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let page = scene.owner.get(&scene.keys()).await.expect(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}
