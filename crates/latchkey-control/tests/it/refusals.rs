//! Refusals beside those that `access` tries on every route: paths that do not exist, and whom they are told to.

use latchkey_core::Role;
use latchkey_testkit::Stage;
use serde_json::json;

struct Scene {
    stage: Stage,
    organization: String,
    project: String,
    key: String,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        stage.organization("Other", "stranger@other.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let path = format!("/v1/organizations/{}/projects", acme.organization.id);
        let project = owner.post(&path, json!({ "name": "Red", "slug": "red" })).await.expect(201).json();
        let project = project["id"].as_str().unwrap().to_owned();
        let key = stage.key(&owner, &project, Role::Member).await.key.id;
        Self { stage, organization: acme.organization.id, project, key }
    }
}

#[tokio::test]
async fn organization_admin_gets_nothing_inside_before_joining_j4() {
    let scene = Scene::new().await;
    let admin = scene.stage.person("a@acme.test", Some((&scene.organization, Role::Admin)), None).await;
    for path in ["/v1/projects/{P}", "/v1/projects/{P}/keys", "/v1/keys/{K}", "/v1/projects/{P}/resources"] {
        let path = path.replace("{P}", &scene.project).replace("{K}", &scene.key);
        admin.get(&path).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn operator_makes_no_keys_in_anybodys_project() {
    let scene = Scene::new().await;
    let path = format!("/v1/projects/{}/keys", scene.project);
    scene.stage.operator().post(&path, json!({ "name": "k" })).await.problem(403, "forbidden");
    scene.stage.operator().get(&path).await.problem(403, "forbidden");
}

#[tokio::test]
async fn unknown_path_and_method_are_told_only_to_the_known() {
    let scene = Scene::new().await;
    scene.stage.anonymous().get("/v1/nothing").await.problem(401, "unauthenticated");
    scene.stage.anonymous().delete("/v1/me").await.problem(401, "unauthenticated");
    scene.stage.operator().get("/v1/nothing").await.problem(404, "not_found");
    scene.stage.operator().get("/v1").await.problem(404, "not_found");
    scene.stage.anonymous().get("/elsewhere").await.problem(404, "not_found");
    let reply = scene.stage.operator().delete("/v1/organizations").await;
    reply.problem(405, "method_not_allowed");
    let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn path_that_is_no_text_names_nothing() {
    let scene = Scene::new().await;
    for path in ["/v1/projects/%ff", "/v1/keys/%00", "/v1/organizations/..%2f", "/v1/projects/proj_"] {
        scene.stage.operator().get(path).await.problem(404, "not_found");
    }
}
