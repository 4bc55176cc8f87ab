//! Resources (IAM §9): registered by the platform alone, listed by permission, never moved, never used again.

use latchkey_api::{Page, Resource, ResourceType};
use latchkey_core::Role;
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};

struct Scene {
    stage: Stage,
    resources: String,
    organization: String,
    owner: Actor,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let resources = format!("/v1/projects/{}/resources", acme.default_project.id);
        Self { stage, resources, organization: acme.organization.id, owner }
    }

    async fn register(&self, kind: &str, id: &str) -> Resource {
        let body = json!({ "type": kind, "id": id });
        self.stage.operator().post(&self.resources, body).await.expect(201).read()
    }

    async fn list(&self, by: &Actor, query: &str) -> Vec<String> {
        let page: Page<Resource> = by.get(&format!("{}{query}", self.resources)).await.expect(200).read();
        page.items.iter().map(|one| format!("{}/{}", word(one.kind), one.id)).collect()
    }
}

fn word(kind: ResourceType) -> &'static str {
    latchkey_core::ResourceType::from(kind).as_str()
}

#[tokio::test]
async fn only_the_platform_registers_changes_and_deletes_g1() {
    let scene = Scene::new().await;
    scene.register("file", "f-1").await;
    let one = format!("{}/file/f-1", scene.resources);
    let body = json!({ "type": "file", "id": "f-2" });
    scene.owner.post(&scene.resources, body.clone()).await.problem(403, "forbidden");
    let batch = json!({ "resources": [body] });
    scene.owner.post(&format!("{}:batch", scene.resources), batch).await.problem(403, "forbidden");
    scene.owner.patch(&one, json!({ "name": "mine" })).await.problem(403, "forbidden");
    scene.owner.delete(&one).await.problem(403, "forbidden");
    assert_eq!(scene.list(&scene.owner, "").await, ["file/f-1"]);
    assert_eq!(scene.list(&scene.stage.operator(), "").await, ["file/f-1"]);
}

#[tokio::test]
async fn name_is_told_or_the_id_and_changes_alone() {
    let scene = Scene::new().await;
    assert_eq!(scene.register("model", "m-1").await.name, "m-1");
    let body = json!({ "type": "model", "id": "m-2", "name": "Second" });
    scene.stage.operator().post(&scene.resources, body).await.expect(201);
    let one = format!("{}/model/m-2", scene.resources);
    let renamed = scene.stage.operator().patch(&one, json!({ "name": "2nd" })).await.expect(200).json();
    assert_eq!(renamed["name"], "2nd");
    assert_eq!(scene.owner.get(&one).await.expect(200).json(), renamed);
    for (body, field) in [
        (json!({}), ""),
        (json!({ "name": " x" }), "name"),
        (json!({ "project_id": "proj_aaaaaaaaaaaaaaaa" }), "project_id"),
        (json!({ "cluster": { "server": "https://a.test", "certificate_authority": "" } }), "cluster"),
    ] {
        let problem = scene.stage.operator().patch(&one, body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field);
    }
    assert_eq!(scene.owner.get(&one).await.expect(200).json(), renamed);
}

#[tokio::test]
async fn both_roles_list_every_type_and_may_ask_for_one_p3() {
    let scene = Scene::new().await;
    let project = scene.resources.split('/').nth(3).unwrap().to_owned();
    let roles = (Some((&*scene.organization, Role::Member)), Some((&*project, Role::Member)));
    let member = scene.stage.person("m@acme.test", roles.0, roles.1).await;
    for (kind, id) in [("file", "b"), ("cluster", "c"), ("volume", "v"), ("file", "a"), ("model", "m")] {
        scene.register(kind, id).await;
    }
    for by in [&scene.owner, &member, &scene.stage.operator()] {
        let all = ["cluster/c", "volume/v", "model/m", "file/a", "file/b"];
        assert_eq!(scene.list(by, "").await, all);
        assert_eq!(scene.list(by, "?type=file").await, ["file/a", "file/b"]);
        assert!(scene.list(by, "?type=endpoint").await.is_empty());
    }
    let mut query = "?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page: Page<Resource> =
            member.get(&format!("{}{query}", scene.resources)).await.expect(200).read();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|one| one.id));
        let Some(next) = page.next else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["c", "v", "m", "a", "b"]);
    for query in ["?type=thing", "?type=", "?kind=file", "?cursor=file", "?cursor=thing.a"] {
        member.get(&format!("{}{query}", scene.resources)).await.problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn who_is_not_in_the_project_reads_no_resource_j4() {
    let scene = Scene::new().await;
    scene.register("file", "f-1").await;
    let admin = scene.stage.person("a@acme.test", Some((&scene.organization, Role::Admin)), None).await;
    let (one, none) = (format!("{}/file/f-1", scene.resources), format!("{}/file/f-2", scene.resources));
    for path in [&one, &none, &scene.resources, &format!("{}/thing/x", scene.resources)] {
        let reply = admin.get(path).await;
        let lacking = if path.contains("/file/") { "files.view" } else { "clusters.view" };
        assert_eq!(reply.problem(403, "forbidden")["permission"], lacking, "{path}");
    }
    scene.owner.get(&none).await.problem(404, "not_found");
    scene.owner.get(&format!("{}/thing/x", scene.resources)).await.problem(404, "not_found");
}

#[tokio::test]
async fn batch_registers_all_or_none() {
    let scene = Scene::new().await;
    scene.register("file", "taken").await;
    let path = format!("{}:batch", scene.resources);
    let file = |id: &str| json!({ "type": "file", "id": id });
    let (operator, long) = (scene.stage.operator(), vec![file("a"); 10_001]);
    for (resources, status, code, field) in [
        (vec![file("a"), file("taken")], 409, "resource_taken", "resources[1].id"),
        (vec![file("a"), file("b"), file("a")], 422, "invalid_field", "resources[2].id"),
        (vec![file("a"), file("b/c")], 422, "invalid_field", "resources[1].id"),
        (vec![], 422, "invalid_field", "resources"),
        (long, 422, "invalid_field", "resources"),
    ] {
        let problem = operator.post(&path, json!({ "resources": resources })).await.problem(status, code);
        assert_eq!(problem["field"], field);
    }
    assert_eq!(scene.list(&scene.owner, "").await, ["file/taken"]);
    let many: Vec<Value> = (0..10_000).map(|number| file(&format!("n-{number}"))).collect();
    let made = operator.post(&path, json!({ "resources": many })).await.expect(201).json();
    assert_eq!(made["items"].as_array().unwrap().len(), 10_000);
}
