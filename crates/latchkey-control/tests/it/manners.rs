//! How a change is asked for: `Idempotency-Key`, `If-Match`, `dry_run`; and `If-None-Match` (issue 3, part 8; K2).

use latchkey_control::store::{REPLAY_KEPT, Store};
use latchkey_testkit::{Actor, ForgetfulDisk, ManualClock, Reply, SeededSeeds, Stage, StageConfig};
use serde_json::{Value, json};
use std::sync::Arc;

struct Scene {
    stage: Stage,
    disk: ForgetfulDisk,
    owner: Actor,
    organization: String,
    keys: String,
}

impl Scene {
    async fn new() -> Self {
        let (disk, clock) = (ForgetfulDisk::default(), ManualClock::default());
        let seeds = Arc::new(SeededSeeds::new(1));
        let store = Store::open_on(disk.clone(), Arc::new(clock.clone()), seeds).unwrap();
        let stage = Stage::on(store, clock, StageConfig::default()).await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let keys = format!("/v1/projects/{}/keys", acme.default_project.id);
        Self { stage, disk, owner, organization: acme.organization.id, keys }
    }

    async fn once(&self, key: &str, path: &str, body: Value) -> Reply {
        self.owner.call_with(&[("idempotency-key", key)], "POST", path, Some(body)).await
    }

    async fn key(&self) -> String {
        let made = self.owner.post(&self.keys, json!({ "name": "k" })).await.expect(201).json();
        format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap())
    }

    async fn count(&self) -> usize {
        self.owner.get(&self.keys).await.expect(200).json()["items"].as_array().unwrap().len()
    }

    fn generation(&self) -> u64 {
        self.stage.control.check_ready().unwrap().0
    }
}

/// The reply without the fields in which a secret is shown.
fn veiled(reply: &Reply) -> Value {
    fn veil(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| name != "secret" && name != "token");
                fields.values_mut().for_each(veil);
            }
            Value::Array(items) => items.iter_mut().for_each(veil),
            _ => {}
        }
    }
    let mut value = reply.json();
    veil(&mut value);
    value
}

#[track_caller]
fn assert_replayed(first: &Reply, again: &Reply) {
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{}", again.text());
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!((again.status, again.json()), (first.status, veiled(first)));
    assert_ne!(again.json(), first.json(), "there is no secret in it to begin with");
    assert_eq!(again.header("latchkey-generation"), first.header("latchkey-generation"));
    assert_eq!(again.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn replay_is_the_same_reply_without_its_secret_k2() {
    let scene = Scene::new().await;
    let first = scene.once("a", &scene.keys, json!({ "name": "k" })).await.expect(201);
    scene.key().await;
    let generation = scene.generation();
    assert_replayed(&first, &scene.once("a", &scene.keys, json!({ "name": "k" })).await);
    assert_eq!((scene.count().await, scene.generation()), (2, generation));

    let batch = format!("{}:batch", scene.keys);
    let body = json!({ "keys": [{ "name": "a" }, { "name": "b" }] });
    let first = scene.once("a", &batch, body.clone()).await.expect(201);
    assert_replayed(&first, &scene.once("a", &batch, body).await);
    assert_eq!(scene.count().await, 4);

    let session = json!({ "email": "new@acme.test" });
    let operator = scene.stage.operator();
    let ask = || {
        operator.call_with(
            &[("idempotency-key", "a")],
            "POST",
            "/v1/operator/sessions",
            Some(session.clone()),
        )
    };
    assert_replayed(&ask().await.expect(201), &ask().await);
}

#[tokio::test]
async fn no_secret_is_kept_for_a_replay_k2() {
    let scene = Scene::new().await;
    let one = scene.once("a", &scene.keys, json!({ "name": "k" })).await.expect(201).json();
    let batch = format!("{}:batch", scene.keys);
    let many = scene.once("b", &batch, json!({ "keys": [{ "name": "b" }] })).await.expect(201).json();
    let raw = scene.disk.bytes();
    let holds = |text: &str| raw.windows(text.len()).any(|window| window == text.as_bytes());
    // What is kept is the reply's JSON, so a secret in it would be plain to see.
    assert!(holds(&format!("{{\"key\":{{\"created_at\":\"{}", one["key"]["created_at"].as_str().unwrap())));
    for secret in [&one["secret"], &many["items"][0]["secret"]] {
        let secret = secret.as_str().unwrap();
        assert!(!holds(&secret[secret.len() - 30..]));
    }
    assert!(!holds("\"secret\"") && !holds("veiled"));
}

#[tokio::test]
async fn replay_is_bound_to_caller_route_and_body_k2() {
    let scene = Scene::new().await;
    scene.once("a", &scene.keys, json!({ "name": "k" })).await.expect(201);
    for body in [json!({ "name": "l" }), json!({ "name": "k", "role": "member" })] {
        scene.once("a", &scene.keys, body).await.problem(422, "idempotency_mismatch");
    }
    assert_eq!(scene.count().await, 1);
    let other = scene.stage.sign_in("owner@acme.test").await;
    let again =
        other.call_with(&[("idempotency-key", "a")], "POST", &scene.keys, Some(json!({ "name": "k" })));
    assert_eq!(again.await.expect(201).header("idempotency-replayed"), Some("true"), "the same person");

    let organization = format!("/v1/organizations/{}/projects", scene.organization);
    scene.once("a", &organization, json!({ "name": "Red", "slug": "red" })).await.expect(201);
    let project = scene.owner.get("/v1/projects/red").await.expect(200).json()["id"].clone();
    let elsewhere = format!("/v1/projects/{}/keys", project.as_str().unwrap());
    let there = scene.once("a", &elsewhere, json!({ "name": "k" })).await.expect(201);
    assert_eq!(there.header("idempotency-replayed"), None, "another route");

    let session = json!({ "email": "owner@acme.test", "identity": { "provider": "idp", "subject": "1" } });
    let made = scene.stage.operator().post("/v1/operator/sessions", session).await.expect(201).json();
    let stranger = scene.stage.holder(made["token"].as_str().unwrap());
    let theirs =
        stranger.call_with(&[("idempotency-key", "a")], "POST", &scene.keys, Some(json!({ "name": "k" })));
    theirs.await.problem(404, "not_found");
}

#[tokio::test]
async fn refused_request_is_not_kept() {
    let scene = Scene::new().await;
    let projects = format!("/v1/organizations/{}/projects", scene.organization);
    scene.owner.post(&projects, json!({ "name": "Red", "slug": "red" })).await.expect(201);
    scene.once("a", &projects, json!({ "name": "Red", "slug": "red" })).await.problem(409, "slug_taken");
    scene.once("a", &projects, json!({ "name": "", "slug": "x" })).await.problem(422, "invalid_field");
    let made = scene.once("a", &projects, json!({ "name": "Blue", "slug": "blue" })).await.expect(201);
    assert_eq!(made.header("idempotency-replayed"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_duplicates_are_done_once() {
    let scene = Scene::new().await;
    let ask = || scene.once("a", &scene.keys, json!({ "name": "k" }));
    let replies: [Reply; 4] = tokio::join!(ask(), ask(), ask(), ask()).into();
    let (replayed, done): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.header("idempotency-replayed").is_some());
    assert_eq!((done.len(), replayed.len(), scene.count().await), (1, 3, 1));
    for reply in replayed {
        assert_replayed(done[0], reply);
    }
}

#[tokio::test]
async fn reply_is_kept_for_a_day_and_then_dropped() {
    let scene = Scene::new().await;
    let operator = scene.stage.operator();
    let body = json!({ "name": "Kept for a day", "owner_email": "o@kept.test" });
    let ask =
        || operator.call_with(&[("idempotency-key", "a")], "POST", "/v1/organizations", Some(body.clone()));
    let first = ask().await.expect(201);
    scene.stage.clock.advance_secs(REPLAY_KEPT.as_secs());
    let again = ask().await.expect(201);
    assert_eq!(again.json(), first.json());
    scene.stage.clock.advance_secs(1);
    let anew = ask().await.expect(201);
    assert_eq!(anew.header("idempotency-replayed"), None);
    assert_ne!(anew.json(), first.json());
    assert_eq!(ask().await.json(), anew.json(), "the new one is kept in its turn");

    let kept = || scene.stage.control.store().read().unwrap().replays_kept().unwrap();
    assert_eq!(kept(), 1);
    scene.stage.clock.advance_secs(REPLAY_KEPT.as_secs() + 1);
    operator.post("/v1/organizations", json!({ "name": "B", "owner_email": "b@b.test" })).await.expect(201);
    assert_eq!(kept(), 0);
}

#[tokio::test]
async fn key_that_is_no_idempotency_key_is_refused() {
    let scene = Scene::new().await;
    for bad in ["", "ä", "a\tb", &"a".repeat(256)] {
        let problem = scene.once(bad, &scene.keys, json!({ "name": "k" })).await;
        problem.problem(400, "invalid_header");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let reply = scene.owner.call_with(&twice, "POST", &scene.keys, Some(json!({ "name": "k" }))).await;
    reply.problem(400, "invalid_header");
    assert_eq!(scene.count().await, 0);
    scene.once(&"~".repeat(255), &scene.keys, json!({ "name": "k" })).await.expect(201);
}

#[tokio::test]
async fn what_is_known_already_is_not_sent_again() {
    let scene = Scene::new().await;
    let key = scene.key().await;
    let shown = scene.owner.get(&key).await.expect(200);
    let tag = shown.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
    assert_eq!(scene.owner.get(&key).await.header("etag"), Some(tag));
    let weak = format!("W/{tag}");
    let list = format!("\"x\", {tag}");
    for known in [tag, &weak, &list, "*"] {
        let reply = scene.owner.call_with(&[("if-none-match", known)], "GET", &key, None).await.expect(304);
        assert_eq!((reply.header("etag"), &reply.body[..]), (Some(tag), &b""[..]));
    }
    for other in ["\"x\"", "x", ""] {
        scene.owner.call_with(&[("if-none-match", other)], "GET", &key, None).await.expect(200);
    }
    scene.owner.act(&format!("{key}/disable")).await.expect(200);
    scene.owner.call_with(&[("if-none-match", tag)], "GET", &key, None).await.expect(200);
    let anonymous = scene.stage.anonymous();
    anonymous.call_with(&[("if-none-match", "*")], "GET", &key, None).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn change_is_made_only_to_what_its_caller_saw() {
    let scene = Scene::new().await;
    let key = scene.key().await;
    let seen = scene.owner.get(&key).await.header("etag").unwrap().to_owned();
    let rename = |name: &str, tag: &str| {
        let (owner, key, body) = (scene.owner.clone(), key.clone(), json!({ "name": name }));
        let tag = tag.to_owned();
        async move { owner.call_with(&[("if-match", &tag)], "PATCH", &key, Some(body)).await }
    };
    rename("one", &seen).await.expect(200);
    let weak = format!("W/{seen}");
    for stale in [&seen, &weak, "\"x\""] {
        rename("two", stale).await.problem(412, "precondition_failed");
    }
    for bad in ["x", "", "\"x"] {
        rename("two", bad).await.problem(400, "invalid_header");
    }
    let now = scene.owner.get(&key).await.expect(200);
    assert_eq!(now.json()["name"], "one");
    rename("three", &format!("\"x\", {}", now.header("etag").unwrap())).await.expect(200);
    rename("four", "*").await.expect(200);

    let made = [("if-match", "*")];
    let reply = scene.owner.call_with(&made, "POST", &scene.keys, Some(json!({ "name": "k" }))).await;
    reply.problem(412, "precondition_failed");
    assert_eq!(scene.count().await, 1);
    let stranger = scene.stage.sign_in("s@other.test").await;
    stranger
        .call_with(&[("if-match", &seen)], "PATCH", &key, Some(json!({})))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn tag_of_every_noun_is_that_of_its_state_before() {
    let scene = Scene::new().await;
    let operator = scene.stage.operator();
    let organization = format!("/v1/organizations/{}", scene.organization);
    let tag = operator.get(&organization).await.expect(200).header("etag").unwrap().to_owned();
    let suspend = format!("{organization}/suspend");
    operator
        .call_with(&[("if-match", "\"x\"")], "POST", &suspend, None)
        .await
        .problem(412, "precondition_failed");
    operator.call_with(&[("if-match", &tag)], "POST", &suspend, None).await.expect(200);
}

#[tokio::test]
async fn dry_run_tells_and_does_nothing() {
    let scene = Scene::new().await;
    let generation = scene.generation();
    let dry = format!("{}?dry_run=true", scene.keys);
    let reply = scene.owner.post(&dry, json!({ "name": "k" })).await.expect(201);
    assert_eq!(reply.header("latchkey-dry-run"), Some("true"));
    assert_eq!(reply.header("latchkey-generation"), None);
    let told = reply.json();
    assert_eq!((&told["key"]["name"], &told["key"]["status"]), (&json!("k"), &json!("active")));
    assert!(told.get("secret").is_none(), "{told}");
    assert_eq!((scene.count().await, scene.generation()), (0, generation));

    let projects = format!("/v1/organizations/{}/projects", scene.organization);
    let body = json!({ "name": "Red", "slug": "red" });
    scene.owner.post(&format!("{projects}?dry_run=true"), body.clone()).await.expect(201);
    assert_eq!(scene.owner.post(&projects, body.clone()).await.expect(201).header("latchkey-dry-run"), None);
    let again = scene.owner.post(&format!("{projects}?dry_run=true"), body).await;
    again.problem(409, "slug_taken");
}

#[tokio::test]
async fn dry_run_is_refused_like_the_change_itself() {
    let scene = Scene::new().await;
    let dry = format!("{}?dry_run=true", scene.keys);
    let stranger = scene.stage.sign_in("s@other.test").await;
    stranger.post(&dry, json!({ "name": "k" })).await.problem(404, "not_found");
    scene.stage.operator().post(&dry, json!({ "name": "k" })).await.problem(403, "forbidden");
    scene.stage.anonymous().post(&dry, json!({ "name": "k" })).await.problem(401, "unauthenticated");
    scene.owner.post(&dry, json!({ "name": "" })).await.problem(422, "invalid_field");
    for bad in ["dry_run=false", "dry_run", "dry_run=1", "dry_run=true&dry_run=true", "dryrun=true", "x=y"] {
        let reply = scene.owner.post(&format!("{}?{bad}", scene.keys), json!({ "name": "k" })).await;
        reply.problem(400, "invalid_query");
    }
    assert_eq!(scene.count().await, 0);
}

#[tokio::test]
async fn dry_run_looks_at_what_was_done_and_keeps_nothing() {
    let scene = Scene::new().await;
    let dry = format!("{}?dry_run=true", scene.keys);
    let rehearsed = scene.once("a", &dry, json!({ "name": "k" })).await.expect(201);
    assert_eq!(rehearsed.header("idempotency-replayed"), None);
    let first = scene.once("a", &scene.keys, json!({ "name": "k" })).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_replayed(&first, &scene.once("a", &dry, json!({ "name": "k" })).await);
    scene.once("a", &dry, json!({ "name": "l" })).await.problem(422, "idempotency_mismatch");

    let key = format!("/v1/keys/{}", first.json()["key"]["id"].as_str().unwrap());
    let path = format!("{key}?dry_run=true");
    let body = || Some(json!({ "name": "new" }));
    scene
        .owner
        .call_with(&[("if-match", "\"x\"")], "PATCH", &path, body())
        .await
        .problem(412, "precondition_failed");
    assert_eq!(
        scene.owner.call_with(&[("if-match", "*")], "PATCH", &path, body()).await.json()["name"],
        "new"
    );
    assert_eq!(scene.owner.get(&key).await.json()["name"], "k");
}

#[tokio::test]
async fn query_and_body_that_a_route_does_not_take_are_refused_r4() {
    let scene = Scene::new().await;
    let key = scene.key().await;
    for path in [&format!("{key}?x=y"), &format!("{key}?dry_run=true"), "/v1/me?limit=1", "/readyz?x"] {
        scene.owner.get(path).await.problem(400, "invalid_query");
    }
    let revoke = format!("{key}/revoke");
    for body in [json!({ "at": "once" }), json!([]), json!(null)] {
        scene.owner.post(&revoke, body.clone()).await.problem(400, "unexpected_body");
        scene.owner.call("GET", &key, Some(body)).await.problem(400, "unexpected_body");
    }
    assert_eq!(scene.owner.get(&key).await.json()["status"], "active");
    scene.owner.post(&revoke, json!({})).await.expect(200);
    scene.owner.act(&revoke).await.expect(200);
}
