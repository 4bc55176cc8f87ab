//! Leaked credentials, reported by anybody (K12).

use crate::keys::Scene;
use axum::body::Body;
use axum::http::Request;
use latchkey_api::{Key, KeyStatus};
use latchkey_control::iam::NoticeKind;
use latchkey_control::store::View;
use latchkey_core::{ProjectId, Role};
use latchkey_testkit::Reply;
use serde_json::json;

impl Scene {
    async fn report(&self, secret: &str) -> Reply {
        self.stage.anonymous().post("/v1/leaks", json!({ "secret": secret })).await
    }
}

#[tokio::test]
async fn reported_key_is_revoked_at_once_and_its_project_hears_of_it_k12() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Admin).await;
    scene.report(made.secret.expose()).await.expect(202);
    scene.stage.holder(made.secret.expose()).get("/v1/whoami").await.problem(401, "revoked");
    let key: Key = scene.owner.get(&format!("/v1/keys/{}", made.key.id)).await.read();
    assert_eq!(key.status, KeyStatus::Revoked);
    let entry = scene.last_entry();
    assert_eq!(entry["who"], json!({ "kind": "key", "id": made.key.id }));
    assert_eq!((&entry["what"], &entry["subject"]["id"]), (&json!("keys.report_leak"), &json!(made.key.id)));
    assert_eq!(entry["after"]["status"], "revoked");
    let view = scene.stage.control.store().read().unwrap();
    let project = view.project_by_id(&ProjectId::parse(&scene.project).unwrap()).unwrap().unwrap();
    let notices = view.notices_of(project.organization, Some(project.number), None, 9).unwrap();
    assert_eq!((notices.len(), notices[0].what), (1, NoticeKind::KeyLeaked));
    assert_eq!(notices[0].subject, made.key.id);
}

#[tokio::test]
async fn answer_is_the_same_whatever_was_reported_k12() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let secret = made.secret.expose().to_owned();
    let session = scene.member.token().to_owned();
    let model = scene.report("nothing of the kind").await.expect(202);
    let flipped = secret.replace(&made.key.id, "AAAAAAAAAAA");
    let long = "x".repeat(900);
    for text in [&*secret, &*secret, &*session, "", "lk_test_", "lks_short", "é", &*flipped, &*long] {
        let reply = scene.report(text).await.expect(202);
        assert_eq!(reply.body, model.body, "{text}");
        assert_eq!(reply.headers, model.headers, "{text}");
    }
}

#[tokio::test]
async fn report_that_hits_nothing_changes_nothing_k12() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let secret = made.secret.expose();
    let before = scene.stage.control.check_ready().unwrap();
    let mut other_secret = secret.to_owned();
    let at = secret.find(&made.key.id).unwrap() + made.key.id.len() + 2;
    let flip = if &secret[at..=at] == "a" { "b" } else { "a" };
    other_secret.replace_range(at..=at, flip);
    let operator = scene.stage.operator();
    let texts =
        [&made.key.id, &secret[..secret.len() - 1], &other_secret, operator.token(), &format!(" {secret}")];
    for text in texts {
        scene.report(text).await.expect(202);
    }
    assert_eq!(scene.stage.control.check_ready().unwrap(), before);
    scene.stage.holder(secret).get("/v1/whoami").await.expect(200);
    // Reporting one twice tells its people once.
    scene.report(secret).await.expect(202);
    let before = scene.stage.control.check_ready().unwrap();
    scene.report(secret).await.expect(202);
    assert_eq!(scene.stage.control.check_ready().unwrap(), before);
}

#[tokio::test]
async fn key_out_of_force_is_revoked_too_k12() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let path = format!("/v1/keys/{}", made.key.id);
    scene.owner.act(&format!("{path}/disable")).await.expect(200);
    scene.report(made.secret.expose()).await.expect(202);
    assert_eq!(scene.owner.get(&path).await.read::<Key>().status, KeyStatus::Revoked);
}

#[tokio::test]
async fn reported_imported_key_is_revoked_k12() {
    let scene = Scene::new().await;
    let open = format!("/v1/operator/organizations/{}/import:open", scene.organization);
    scene.stage.operator().act(&open).await.expect(200);
    let (digest, text) =
        include_str!("../fixtures/imported-keys.txt").lines().nth(2).unwrap().split_once(' ').unwrap();
    let body = json!({ "keys": [{ "name": "old", "sha256": digest }] });
    scene.owner.post(&format!("{}:import", scene.keys()), body).await.expect(201);
    scene.report(text).await.expect(202);
    scene.stage.holder(text).get("/v1/whoami").await.problem(401, "revoked");
}

#[tokio::test]
async fn reported_session_is_revoked_k12() {
    let scene = Scene::new().await;
    scene.report(scene.member.token()).await.expect(202);
    scene.member.get("/v1/me").await.problem(401, "revoked");
    let entry = scene.last_entry();
    assert_eq!((&entry["what"], &entry["who"]["kind"]), (&json!("sessions.report_leak"), &json!("user")));
    scene.owner.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn of_two_reports_at_once_both_are_told_the_same_k12() {
    let scene = Scene::new().await;
    let made = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let before = scene.stage.control.check_ready().unwrap();
    let secret = made.secret.expose();
    let (one, other) = tokio::join!(scene.report(secret), scene.report(secret));
    assert_eq!((one.status, other.status, one.body == other.body), (202, 202, true));
    assert_eq!(scene.stage.control.check_ready().unwrap(), before.next());
}

#[tokio::test]
async fn report_that_is_not_understood_is_refused_r4() {
    let scene = Scene::new().await;
    let anonymous = scene.stage.anonymous();
    anonymous.post("/v1/leaks", json!({})).await.problem(422, "invalid_field");
    anonymous.post("/v1/leaks", json!({ "secret": 7 })).await.problem(422, "invalid_field");
    anonymous.post("/v1/leaks", json!({ "secret": "x", "url": "y" })).await.problem(422, "invalid_field");
    anonymous.post("/v1/leaks", json!({ "secret": "x".repeat(1024) })).await.problem(413, "body_too_large");
    let plain = Request::builder().method("POST").uri("/v1/leaks").body(Body::from("secret")).unwrap();
    anonymous.send(plain).await.problem(415, "unsupported_media_type");
    // Nothing but reporting is open there.
    anonymous.get("/v1/leaks").await.problem(401, "unauthenticated");
    anonymous.act("/v1/leaks/").await.problem(401, "unauthenticated");
}
