//! What a key is narrowed to (K7), and who may take that away again (K6a).

use crate::keys::Scene;
use latchkey_api::{CreatedKey, CreatedKeys, Key};
use latchkey_core::Role;
use serde_json::{Value, json};

fn narrowed(narrowing: Value) -> Value {
    json!({ "name": "k", "narrowing": narrowing })
}

#[tokio::test]
async fn narrowing_that_is_not_understood_is_named_by_its_path_k7() {
    let scene = Scene::new().await;
    let many = |item: Value| vec![item; 65];
    let exact = |id: &str| json!({ "type": "cluster", "match": "exact", "id": id });
    for (narrowing, field) in [
        (json!({ "permissions": ["files.fly"] }), "narrowing.permissions[0]"),
        (json!({ "permissions": ["files.view", "keys.create"] }), "narrowing.permissions"),
        (json!({ "permissions": ["org.settings.read"] }), "narrowing.permissions"),
        (json!({ "permissions": ["clusters.create"] }), "narrowing.permissions"),
        (json!({ "permissions": [] }), "narrowing.permissions"),
        (json!({ "permissions": many(json!("files.view")) }), "narrowing.permissions"),
        (json!({ "resources": [] }), "narrowing.resources"),
        (json!({ "resources": many(exact("c")) }), "narrowing.resources"),
        (json!({ "resources": [exact("c"), exact("c/d")] }), "narrowing.resources[1].id"),
        (json!({ "resources": [exact("")] }), "narrowing.resources[0].id"),
        (
            json!({ "resources": [{ "type": "cow", "match": "exact", "id": "c" }] }),
            "narrowing.resources[0].type",
        ),
        (
            json!({ "resources": [{ "type": "file", "match": "glob", "id": "c" }] }),
            "narrowing.resources[0].match",
        ),
        (json!({ "models": [] }), "narrowing.models"),
        (json!({ "models": many(json!({ "match": "exact", "name": "m" })) }), "narrowing.models"),
        (json!({ "models": [{ "match": "prefix", "name": "a b" }] }), "narrowing.models[0].name"),
        (json!({ "networks": [] }), "narrowing.networks"),
        (json!({ "networks": many(json!("10.0.0.0/8")) }), "narrowing.networks"),
        (json!({ "networks": ["10.0.0.0/8", "::/0", "10.0.0.1/8"] }), "narrowing.networks[2]"),
        (json!({ "networks": ["example.org"] }), "narrowing.networks[0]"),
        (json!({ "requests_per_minute": 0 }), "narrowing.requests_per_minute"),
        (json!({ "requests_per_minute": 1_000_001 }), "narrowing.requests_per_minute"),
        (json!({ "countries": ["ch"] }), "narrowing.countries"),
    ] {
        let problem = scene.owner.post(&scene.keys(), narrowed(narrowing.clone())).await;
        let problem = problem.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{narrowing}: {problem}");
    }
    assert_eq!(scene.owner.get(&scene.keys()).await.json()["items"], json!([]));
}

#[tokio::test]
async fn narrowing_is_shown_in_its_one_form_k7() {
    let scene = Scene::new().await;
    let narrowing = json!({
        "permissions": ["files.view", "inference.invoke", "files.view"],
        "resources": [
            { "type": "file", "match": "exact", "id": "f-1" },
            { "type": "cluster", "match": "prefix", "id": "prod-" },
            { "type": "file", "match": "exact", "id": "f-1" },
        ],
        "models": [{ "match": "prefix", "name": "meta/" }, { "match": "exact", "name": "x" }],
        "networks": ["192.0.2.7", "10.0.0.0/8"],
        "requests_per_minute": 1_000_000,
    });
    let created = scene.member.post(&scene.keys(), narrowed(narrowing)).await.expect(201).json();
    let words: Vec<&str> = created["key"]["narrowing"]["permissions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(words.len(), 2);
    assert!(words.contains(&"files.view") && words.contains(&"inference.invoke"));
    let resources = json!([
        { "type": "cluster", "match": "prefix", "id": "prod-" },
        { "type": "file", "match": "exact", "id": "f-1" },
    ]);
    let shown = &created["key"]["narrowing"];
    assert_eq!(shown["resources"], resources);
    assert_eq!(shown["networks"], json!(["10.0.0.0/8", "192.0.2.7/32"]));
    assert_eq!(shown["models"][0], json!({ "match": "exact", "name": "x" }));
    let path = format!("/v1/keys/{}", created["key"]["id"].as_str().unwrap());
    assert_eq!(scene.member.get(&path).await.expect(200).json(), created["key"]);
    let listed = scene.member.get(&scene.keys()).await.expect(200).json();
    assert_eq!(listed["items"][0], created["key"]);
}

#[tokio::test]
async fn full_lists_are_taken_and_an_empty_narrowing_is_none_k7() {
    let scene = Scene::new().await;
    let networks: Vec<String> = (0..64).map(|n| format!("10.{n}.0.0/16")).collect();
    let body = narrowed(json!({ "networks": networks }));
    let created: CreatedKey = scene.owner.post(&scene.keys(), body).await.expect(201).read();
    assert_eq!(created.key.narrowing.unwrap().networks.unwrap().len(), 64);
    let created = scene.owner.post(&scene.keys(), narrowed(json!({}))).await.expect(201);
    assert_eq!(created.read::<CreatedKey>().key.narrowing, None);
}

#[tokio::test]
async fn admin_key_is_narrowed_to_what_only_admins_may_k7() {
    let scene = Scene::new().await;
    let body = json!({ "name": "k", "role": "admin", "narrowing": { "permissions": ["clusters.create"] } });
    scene.owner.post(&scene.keys(), body).await.expect(201);
}

#[tokio::test]
async fn bulk_takes_narrowing_and_names_the_path_k7() {
    let scene = Scene::new().await;
    let batch = format!("{}:batch", scene.keys());
    let good = narrowed(json!({ "networks": ["10.0.0.0/8"] }));
    let bad = narrowed(json!({ "models": [{ "match": "exact", "name": "a\"b" }] }));
    let problem = scene.owner.post(&batch, json!({ "keys": [good, bad] })).await;
    assert_eq!(problem.problem(422, "invalid_field")["field"], "keys[1].narrowing.models[0].name");
    let made: CreatedKeys =
        scene.owner.post(&batch, json!({ "keys": [good.clone()] })).await.expect(201).read();
    assert!(made.items[0].key.narrowing.is_some());
    let entry = scene.last_entry();
    assert_eq!(entry["after"][0]["id"], made.items[0].key.id);
    assert_eq!((&entry["after"][0]["name"], &entry["after"][0]["role"]), (&json!("k"), &json!("member")));
    assert_eq!(entry["after"][0]["narrowing"], good["narrowing"]);
}

#[tokio::test]
async fn member_tightens_an_admin_key_and_never_loosens_it_k6a() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Admin).await;
    let change = |narrowing: Value| json!({ "narrowing": narrowing });
    let wide = json!({ "networks": ["10.0.0.0/8"], "requests_per_minute": 60 });
    scene.member.patch(&key, change(wide.clone())).await.expect(200);
    let tight = json!({ "networks": ["10.1.0.0/16"], "requests_per_minute": 30 });
    scene.member.patch(&key, change(tight.clone())).await.expect(200);
    for looser in [
        wide.clone(),
        Value::Null,
        json!({}),
        json!({ "networks": ["10.1.0.0/16"], "requests_per_minute": 31 }),
        json!({ "networks": ["10.1.0.0/16"] }),
        json!({ "networks": ["10.1.0.0/16", "::/0"], "requests_per_minute": 30 }),
        json!({ "models": [{ "match": "exact", "name": "m" }], "requests_per_minute": 1 }),
    ] {
        let problem = scene.member.patch(&key, change(looser.clone())).await.problem(403, "forbidden");
        assert_eq!(problem["permission"], "keys.create", "{looser}");
    }
    let shown = scene.owner.get(&key).await.expect(200).json();
    assert_eq!(shown["narrowing"], tight);
    scene.owner.patch(&key, change(Value::Null)).await.expect(200);
    assert_eq!(scene.owner.get(&key).await.read::<Key>().narrowing, None);
    let entry = scene.last_entry();
    assert_eq!((&entry["before"]["narrowing"], entry["after"].get("narrowing")), (&tight, None));
}

#[tokio::test]
async fn member_loosens_a_member_key_k6a() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.member.patch(&key, json!({ "narrowing": { "networks": ["10.0.0.0/8"] } })).await.expect(200);
    scene.member.patch(&key, json!({ "narrowing": null })).await.expect(200);
}

#[tokio::test]
async fn role_is_raised_by_admins_alone_and_lowered_by_anyone_k6a() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    let (admin, member) = (json!({ "role": "admin" }), json!({ "role": "member" }));
    scene.member.patch(&key, admin.clone()).await.problem(403, "forbidden");
    scene.owner.patch(&key, admin.clone()).await.expect(200);
    let shown = scene.member.patch(&key, member).await.expect(200).json();
    assert_eq!(shown["role"], "member");
    scene.member.patch(&key, admin).await.problem(403, "forbidden");
    scene.owner.patch(&key, json!({ "role": "owner" })).await.problem(422, "invalid_field");
}

#[tokio::test]
async fn role_is_not_lowered_under_what_the_narrowing_names_k7() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Admin).await;
    let create = json!({ "narrowing": { "permissions": ["clusters.create", "clusters.view"] } });
    scene.owner.patch(&key, create).await.expect(200);
    let problem = scene.owner.patch(&key, json!({ "role": "member" })).await.problem(422, "invalid_field");
    assert_eq!(problem["field"], "role");
    let both = json!({ "role": "member", "narrowing": { "permissions": ["clusters.view"] } });
    scene.owner.patch(&key, both).await.expect(200);
}

#[tokio::test]
async fn revoked_key_keeps_its_role_and_narrowing_k5() {
    let scene = Scene::new().await;
    let key = scene.key(Role::Member).await;
    scene.owner.act(&format!("{key}/revoke")).await.expect(200);
    for change in [json!({ "role": "admin" }), json!({ "narrowing": { "requests_per_minute": 1 } })] {
        scene.owner.patch(&key, change).await.problem(409, "key_revoked");
    }
}
