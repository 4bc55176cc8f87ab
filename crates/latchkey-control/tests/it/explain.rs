//! `POST /v1/explain`: who may ask what, and whether the answer is the deciding rule.

use latchkey_core::Role;
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};

struct Scene {
    stage: Stage,
    project: String,
    organization: String,
    admin: Actor,
}

async fn scene() -> Scene {
    let stage = Stage::new().await;
    let made = stage.organization("Acme", "owner@acme.test").await;
    let (organization, project) = (made.organization.id, made.default_project.id);
    let admin = stage.sign_in("owner@acme.test").await;
    Scene { stage, project, organization, admin }
}

async fn explained(actor: &Actor, body: Value) -> Value {
    actor.post("/v1/explain", body).await.expect(200).json()
}

#[tokio::test]
async fn what_may_be_asked_follows_what_the_asker_may_read() {
    let Scene { stage, project, organization, admin } = scene().await;
    let own = json!({ "permission": "keys.create", "project": project });
    stage.anonymous().post("/v1/explain", own.clone()).await.problem(401, "unauthenticated");
    let stranger = stage.person("eve@evil.test", None, None).await;
    stranger.post("/v1/explain", own.clone()).await.problem(404, "not_found");
    stage.operator().post("/v1/explain", own.clone()).await.problem(403, "forbidden");

    let id = admin.get("/v1/me").await.expect(200).json()["id"].clone();
    let about =
        |place: Value| json!({ "caller": { "user": id }, "permission": "keys.create", "project": place });
    stranger.post("/v1/explain", about(json!(project))).await.problem(404, "not_found");
    let member = stage.person("bob@acme.test", Some((&organization, Role::Member)), None).await;
    let denied = member.post("/v1/explain", about(json!(project))).await.problem(403, "forbidden");
    assert_eq!(denied["permission"], "collaborators.read");

    let key = json!({ "name": "ci" });
    let key = admin.post(&format!("/v1/projects/{project}/keys"), key).await.expect(201).json();
    let body = json!({ "caller": { "key": key["key"]["id"] }, "permission": "files.read" });
    stranger.post("/v1/explain", body.clone()).await.problem(404, "not_found");
    member.post("/v1/explain", body.clone()).await.problem(403, "forbidden");
    assert_eq!(explained(&admin, body).await["allowed"], true);
}

#[tokio::test]
async fn the_rule_that_refuses_is_named() {
    let Scene { stage, project, organization, admin } = scene().await;
    let member = (organization.as_str(), Role::Member);
    let member = stage.person("bob@acme.test", Some(member), Some((&project, Role::Member))).await;
    let mine = |permission: &str| json!({ "permission": permission, "project": project });
    assert_eq!(explained(&member, mine("keys.create")).await["allowed"], true);
    assert_eq!(explained(&member, mine("collaborators.add")).await["rule"], "P2");
    let body = json!({ "permission": "org.members.invite", "organization": organization });
    assert_eq!(explained(&member, body).await["rule"], "P1");

    let path = format!("/v1/projects/{project}/keys");
    let created = admin.post(&path, json!({ "name": "ci" })).await.expect(201).json();
    let key = stage.holder(created["secret"].as_str().unwrap());
    let ask = |permission: &str| json!({ "permission": permission });
    assert_eq!(explained(&key, ask("files.read")).await["allowed"], true);
    assert_eq!(explained(&key, ask("clusters.create")).await["rule"], "K6");
    let elsewhere = json!({ "permission": "files.read", "project": "proj_aaaaaaaaaaaaaaaa" });
    assert_eq!(explained(&key, elsewhere).await["rule"], "K4");
    let thing = json!({ "permission": "files.read", "resource": { "type": "file", "id": "f1" } });
    assert_eq!(explained(&key, thing).await["rule"], "K4");
}

#[tokio::test]
async fn bad_question_is_refused_with_its_field() {
    let Scene { project, admin, .. } = scene().await;
    for (body, field) in [
        (json!({ "permission": "fly", "project": project }), "permission"),
        (json!({ "permission": "keys.read" }), "project"),
        (json!({ "permission": "keys.read", "project": project, "organization": "org_x" }), "organization"),
        (json!({ "permission": "keys.read", "project": project, "why": 1 }), "why"),
    ] {
        let problem = admin.post("/v1/explain", body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field);
    }
}
