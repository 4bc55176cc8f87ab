//! Keys of another system, imported by their digests (K9).

use crate::keys::Scene;
use latchkey_api::{ImportedKeys, KeyStatus, RotatedKey};
use serde_json::{Value, json};

/// Digests that other programs made, and the texts of the keys.
fn foreign() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("../fixtures/imported-keys.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

fn digest(index: usize) -> &'static str {
    foreign()[index].0
}

impl Scene {
    fn import(&self) -> String {
        format!("{}:import", self.keys())
    }

    async fn set_import(&self, organization: &str, verb: &str) {
        let path = format!("/v1/operator/organizations/{organization}/import:{verb}");
        self.stage.operator().act(&path).await.expect(200);
    }

    async fn open() -> Self {
        let scene = Self::new().await;
        scene.set_import(&scene.organization, "open").await;
        scene
    }

    async fn nothing_was_imported(&self) {
        assert_eq!(self.owner.get(&self.keys()).await.expect(200).json()["items"], json!([]));
    }
}

fn one(sha256: &str) -> Value {
    json!({ "keys": [{ "name": "old", "sha256": sha256 }] })
}

#[tokio::test]
async fn import_is_closed_until_the_operator_opens_it_k9() {
    let scene = Scene::new().await;
    scene.owner.post(&scene.import(), one(digest(0))).await.problem(409, "import_closed");
    scene.set_import(&scene.organization, "open").await;
    let shown = scene.owner.get(&format!("/v1/organizations/{}", scene.organization)).await.json();
    assert_eq!(shown["imports_keys"], true);
    scene.owner.post(&scene.import(), one(digest(0))).await.expect(201);
    scene.set_import(&scene.organization, "close").await;
    scene.owner.post(&scene.import(), one(digest(1))).await.problem(409, "import_closed");
    let entry = scene.last_entry();
    assert_eq!(entry["what"], "organizations.close_import");
    assert_eq!(
        (&entry["before"]["imports_keys"], &entry["after"]["imports_keys"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn foreign_keys_keep_working_unchanged_k9() {
    let scene = Scene::open().await;
    let key = |(digest, _): &(&str, &str)| json!({ "name": "old", "sha256": digest });
    let body = json!({ "keys": foreign().iter().map(key).collect::<Vec<_>>() });
    let imported: ImportedKeys = scene.member.post(&scene.import(), body).await.expect(201).read();
    for ((_, text), key) in foreign().iter().zip(&imported.items) {
        assert!(key.imported && key.status == KeyStatus::Active);
        let told = scene.stage.holder(text).get("/v1/whoami").await.expect(200).json();
        assert_eq!(told["key"]["id"], key.id);
        // Nearly the key is no key.
        scene.stage.holder(&text[1..]).get("/v1/whoami").await.problem(401, "unauthenticated");
    }
    let entry = scene.last_entry();
    assert_eq!(entry["after"].as_array().unwrap().len(), foreign().len());
    assert!(!entry.to_string().contains(digest(0)));
}

#[tokio::test]
async fn taken_digest_fails_the_whole_batch_and_tells_nothing_more_k9() {
    let scene = Scene::open().await;
    let other = scene.stage.organization("Other", "owner@other.test").await;
    scene.set_import(&other.organization.id, "open").await;
    let theirs = scene.stage.sign_in("owner@other.test").await;
    let import = format!("/v1/projects/{}/keys:import", other.default_project.id);
    let imported: ImportedKeys = theirs.post(&import, one(digest(0))).await.expect(201).read();
    theirs.act(&format!("/v1/keys/{}/revoke", imported.items[0].id)).await.expect(200);
    let body =
        json!({ "keys": [{ "name": "a", "sha256": digest(1) }, { "name": "b", "sha256": digest(0) }] });
    let problem = scene.owner.post(&scene.import(), body).await.problem(409, "digest_taken");
    let mut told: Vec<&String> = problem.as_object().unwrap().keys().collect();
    told.sort_unstable();
    assert_eq!(told, ["code", "status", "title", "type"]);
    scene.nothing_was_imported().await;
    // One's own revoked key is no different, and neither is the case of the digits.
    let reply = theirs.post(&import, one(&digest(0).to_uppercase())).await;
    reply.problem(409, "digest_taken");
    scene.owner.post(&scene.import(), one(digest(1))).await.expect(201);
}

#[tokio::test]
async fn import_that_is_not_understood_is_refused_whole_k9() {
    let scene = Scene::open().await;
    let key = |sha256: &str| json!({ "name": "old", "sha256": sha256 });
    let (good, short) = (key(digest(0)), key(&digest(1)[1..]));
    let foreign_digit = key(&digest(1).replace(|digit: char| digit.is_ascii_digit(), "g"));
    let multibyte = key(&format!("{}é", &digest(1)[2..]));
    for (bad, field) in [
        (good.clone(), "keys[1].sha256"),
        (key(&digest(0).to_uppercase()), "keys[1].sha256"),
        (short, "keys[1].sha256"),
        (foreign_digit, "keys[1].sha256"),
        (multibyte, "keys[1].sha256"),
        (json!({ "name": "", "sha256": digest(1) }), "keys[1].name"),
        (json!({ "name": "k", "sha256": digest(1), "id_hint": 7 }), "keys[1].id_hint"),
        (
            json!({ "name": "k", "sha256": digest(1), "narrowing": { "networks": ["x"] } }),
            "keys[1].narrowing.networks[0]",
        ),
        (
            json!({ "name": "k", "sha256": digest(1), "expires_at": "2020-01-01T00:00:00Z" }),
            "keys[1].expires_at",
        ),
    ] {
        let reply = scene.owner.post(&scene.import(), json!({ "keys": [good, bad] })).await;
        assert_eq!(reply.problem(422, "invalid_field")["field"], field, "{bad}");
    }
    scene.owner.post(&scene.import(), json!({ "keys": [] })).await.problem(422, "invalid_field");
    scene.nothing_was_imported().await;
}

#[tokio::test]
async fn member_imports_no_admin_key_k6() {
    let scene = Scene::open().await;
    let body = json!({ "keys": [{ "name": "k", "role": "admin", "sha256": digest(0) }] });
    scene.member.post(&scene.import(), body.clone()).await.problem(403, "forbidden");
    scene.owner.post(&scene.import(), body).await.expect(201);
}

#[tokio::test]
async fn of_two_imports_of_one_digest_one_wins_k9() {
    let scene = Scene::open().await;
    let path = scene.import();
    let import = || scene.owner.post(&path, one(digest(0)));
    let (first, second) = tokio::join!(import(), import());
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn imported_key_is_rotated_into_a_native_one_k8() {
    let scene = Scene::open().await;
    let imported: ImportedKeys = scene.owner.post(&scene.import(), one(digest(0))).await.expect(201).read();
    let path = format!("/v1/keys/{}/rotate", imported.items[0].id);
    let rotated: RotatedKey =
        scene.owner.post(&path, json!({ "overlap_minutes": 60 })).await.expect(201).read();
    assert!(rotated.predecessor.imported && !rotated.key.imported);
    for secret in [rotated.secret.expose(), foreign()[0].1] {
        scene.stage.holder(secret).get("/v1/whoami").await.expect(200);
    }
}

#[tokio::test]
async fn ten_thousand_keys_are_imported_at_once_k9() {
    let scene = Scene::open().await;
    let key = |n: usize| json!({ "name": "k".repeat(100), "sha256": format!("{n:064x}") });
    let body = json!({ "keys": (0..10_000).map(key).collect::<Vec<_>>() });
    let imported: ImportedKeys = scene.owner.post(&scene.import(), body).await.expect(201).read();
    assert_eq!(imported.items.len(), 10_000);
}
