//! Usage as it is asked for (B1), and one bill (O1).

use crate::usage_stage::{Scene, line};
use latchkey_core::Role;
use serde_json::{Value, json};

/// A key of another project and person beside the scene's own, each with its use.
struct Busy {
    scene: Scene,
    blue: String,
    colleague: String,
    blue_key: String,
}

impl Busy {
    async fn new() -> Self {
        let scene = Scene::new().await;
        let path = format!("/v1/organizations/{}/projects", scene.organization);
        let blue =
            scene.owner.post(&path, json!({ "name": "=Blue, Inc", "slug": "blue" })).await.expect(201).json();
        let blue = blue["id"].as_str().unwrap().to_owned();
        let roles = (Some((&*scene.organization, Role::Member)), Some((&*blue, Role::Admin)));
        let member = scene.stage.person("m@acme.test", roles.0, roles.1).await;
        let colleague = member.get("/v1/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
        let blue_key = scene.stage.key(&member, &blue, Role::Member).await.key.id;
        scene.set_prices(json!({ "inference.invoke": 10 })).await;
        let number = scene.number(&blue);
        let session = json!({ "identity": scene.identity_of(&colleague) });
        let lines = vec![
            scene.line(1),
            scene.line_on("2026-11-20", 2),
            scene.line_of("files.read", 4),
            line(json!({ "key": blue_key }), number, "inference.invoke", 8),
            line(session, number, "inference.invoke", 16),
        ];
        scene.report(1, lines).await;
        Self { scene, blue, colleague, blue_key }
    }

    /// The rows as (what was grouped by, requests).
    async fn rows(&self, query: &str, name: &str) -> Vec<(String, u64)> {
        let usage = self.scene.usage(query).await;
        let text = |row: &Value| row.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let rows = usage["rows"].as_array().unwrap().iter();
        rows.map(|row| (text(row), row["requests"].as_u64().unwrap())).collect()
    }
}

#[tokio::test]
async fn usage_is_told_by_day_project_key_person_and_permission_b1() {
    let busy = Busy::new().await;
    let sorted = |mut rows: Vec<(String, u64)>| {
        rows.sort_by_key(|(_, requests)| *requests);
        rows
    };
    let pairs = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(text, requests)| ((*text).to_owned(), *requests)).collect()
    };
    let scene = &busy.scene;
    assert_eq!(busy.rows("", "day").await, pairs(&[("", 31)]));
    let days = busy.rows("?group_by=day", "day").await;
    assert_eq!(days, pairs(&[("2026-11-20", 2), ("2026-11-23", 29)]));
    let projects = sorted(busy.rows("?group_by=project", "project_id").await);
    assert_eq!(projects, pairs(&[(&scene.project, 7), (&busy.blue, 24)]));
    let keys = sorted(busy.rows("?group_by=key", "key_id").await);
    assert_eq!(keys, pairs(&[(&scene.key.id, 7), (&busy.blue_key, 8), ("", 16)]));
    // A key's use is also that of whoever made it.
    let people = sorted(busy.rows("?group_by=person", "user_id").await);
    assert_eq!(people, pairs(&[(&scene.key.created_by, 7), (&busy.colleague, 24)]));
    let permissions = sorted(busy.rows("?group_by=permission", "permission").await);
    assert_eq!(permissions, pairs(&[("files.read", 4), ("inference.invoke", 27)]));
    assert_eq!(busy.rows("?group_by=day,permission,key,project,person", "day").await.len(), 5);
}

#[tokio::test]
async fn usage_is_filtered_b1() {
    let busy = Busy::new().await;
    let sum =
        async |query: String| busy.rows(&query, "").await.iter().map(|(_, requests)| requests).sum::<u64>();
    assert_eq!(sum("?from=2026-11-21".to_owned()).await, 29);
    assert_eq!(sum("?from=2026-11-01&to=2026-11-20".to_owned()).await, 2);
    assert_eq!(sum("?project=blue".to_owned()).await, 24);
    assert_eq!(sum(format!("?project={}", busy.blue)).await, 24);
    assert_eq!(sum(format!("?key={}", busy.blue_key)).await, 8);
    assert_eq!(sum(format!("?person={}", busy.colleague)).await, 24);
    assert_eq!(sum("?permission=files.read".to_owned()).await, 4);
    assert_eq!(sum(format!("?person={}&permission=files.read", busy.colleague)).await, 0);
    assert_eq!(sum("?key=AAAAAAAAAAA".to_owned()).await, 0);
    assert_eq!(sum("?person=user_aaaaaaaaaaaaaaaa".to_owned()).await, 0);
}

#[tokio::test]
async fn query_that_is_not_understood_is_refused_r4() {
    let scene = Scene::new().await;
    scene.stage.organization("Other", "o@other.test").await;
    for query in [
        "from=2026-11-24&to=2026-11-23",
        "from=2025-01-01&to=2026-11-23",
        "from=yesterday",
        "group_by=",
        "group_by=day,day",
        "group_by=colour",
        "group_by=day,",
        "project=other-default",
        "project=nothing",
        "key=short",
        "person=m",
        "permission=inference.steal",
        "format=xml",
        "colour=red",
    ] {
        let path = format!("/v1/organizations/{}/usage?{query}", scene.organization);
        scene.owner.get(&path).await.problem(400, "invalid_query");
    }
    let path = format!("/v1/organizations/{}/usage?from=2025-11-23", scene.organization);
    scene.owner.get(&path).await.expect(200);
    scene.owner.get(&path.replace("23", "22")).await.problem(400, "invalid_query");
}

#[tokio::test]
async fn projects_usage_is_its_collaborators_and_the_whole_the_admins_b1() {
    let busy = Busy::new().await;
    let scene = &busy.scene;
    let roles = (Some((&*scene.organization, Role::Member)), Some((&*busy.blue, Role::Member)));
    let member = scene.stage.person("n@acme.test", roles.0, roles.1).await;
    let own = member.get(&format!("/v1/projects/{}/usage", busy.blue)).await.expect(200).json();
    assert_eq!(own["total"]["requests"], 24);
    let foreign = format!("/v1/projects/{}/usage?project={}", busy.blue, scene.project);
    member.get(&foreign).await.problem(400, "invalid_query");
    let key = format!("/v1/projects/{}/usage?key={}", busy.blue, scene.key.id);
    assert_eq!(member.get(&key).await.expect(200).json()["total"]["requests"], 0);
    let whole = format!("/v1/organizations/{}/usage", scene.organization);
    assert_eq!(member.get(&whole).await.problem(403, "forbidden")["permission"], "org.usage.read");
    let admin = scene.stage.person("a@acme.test", Some((&scene.organization, Role::Admin)), None).await;
    assert_eq!(admin.get(&whole).await.expect(200).json()["total"]["requests"], 31);
    admin.get(&format!("/v1/projects/{}/usage", busy.blue)).await.problem(403, "forbidden");
}

#[tokio::test]
async fn archived_project_and_externals_stay_on_the_bill_o1() {
    let busy = Busy::new().await;
    let scene = &busy.scene;
    let external = scene.stage.person("x@else.test", None, Some((&*busy.blue, Role::Member))).await;
    let user = external.get("/v1/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
    let subject = json!({ "identity": scene.identity_of(&user) });
    scene.report(2, vec![line(subject, scene.number(&busy.blue), "inference.invoke", 100)]).await;
    let view = scene.stage.control.store().read().unwrap();
    let number = latchkey_core::ProjectNumber(scene.number(&busy.blue));
    let mut gone = latchkey_control::store::View::project(&view, number).unwrap().unwrap();
    (gone.archived_at, gone.deleted_at) = (Some(gone.created_at), Some(gone.created_at));
    drop(view);
    scene.apply(vec![gone.into()]).await;
    let usage = scene.usage("?group_by=project").await;
    assert_eq!(usage["total"]["requests"], 131);
    assert_eq!(busy.rows(&format!("?person={user}"), "").await, [(String::new(), 100)]);
    assert_eq!(busy.rows(&format!("?project={}", busy.blue), "").await, [(String::new(), 124)]);
}

#[tokio::test]
async fn price_is_that_of_the_time_of_counting() {
    let scene = Scene::new().await;
    let cost = async || scene.usage("").await["total"]["cost_micros"].as_u64().unwrap();
    scene.report(1, vec![scene.line(5)]).await;
    assert_eq!(cost().await, 0);
    scene.set_prices(json!({ "inference.invoke": 250 })).await;
    scene.report(2, vec![scene.line(2), scene.line_of("files.read", 7)]).await;
    assert_eq!(cost().await, 500);
    scene.set_prices(json!({ "inference.invoke": 0, "files.read": 1 })).await;
    let prices = scene.stage.operator().get("/v1/operator/prices").await.expect(200).json();
    assert_eq!(prices, json!({ "prices": { "files.read": 1 } }));
    scene.report(3, vec![scene.line(2), scene.line_of("files.read", 7)]).await;
    assert_eq!(cost().await, 507);
}

#[tokio::test]
async fn price_that_is_none_is_refused_with_its_field() {
    let scene = Scene::new().await;
    scene.set_prices(json!({ "files.read": 1 })).await;
    for (prices, field) in [
        (json!({ "files.read": 2, "files.steal": 1 }), "prices.files.steal"),
        (json!({ "org.billing.write": 1 }), "prices.org.billing.write"),
        (json!({ "files.read": 1_000_000_000_001_u64 }), "prices.files.read"),
        (json!({ "files.read": -1 }), "prices.files.read"),
    ] {
        let body = json!({ "prices": prices });
        let reply = scene.stage.operator().call("PUT", "/v1/operator/prices", Some(body)).await;
        assert_eq!(reply.problem(422, "invalid_field")["field"], field);
    }
    let prices = scene.stage.operator().get("/v1/operator/prices").await.expect(200).json();
    assert_eq!(prices, json!({ "prices": { "files.read": 1 } }));
}

#[tokio::test]
async fn usage_comes_as_csv_without_formulas() {
    let busy = Busy::new().await;
    let scene = &busy.scene;
    let path = format!("/v1/organizations/{}/usage?group_by=project,day&format=csv", scene.organization);
    let reply = scene.owner.get(&path).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let text = reply.text();
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.pop(), Some(""));
    assert_eq!(lines[0], "day,project_id,project_name,requests,cost_micros");
    let blue = format!("2026-11-23,{},\"'=Blue, Inc\",24,240", busy.blue);
    assert!(lines.contains(&&*blue), "{text}");
    assert_eq!(lines.len(), 4);
    scene.stage.anonymous().get(&path).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn answer_has_ten_thousand_groups_at_most() {
    let scene = Scene::new().await;
    let keys = json!({ "keys": (0..10_000).map(|_| json!({ "name": "k" })).collect::<Vec<_>>() });
    let made =
        scene.owner.post(&format!("/v1/projects/{}/keys:batch", scene.project), keys).await.expect(201);
    let made = made.json();
    let number = scene.number(&scene.project);
    let used = |key: &Value| line(json!({ "key": key["key"]["id"] }), number, "inference.invoke", 1);
    let lines: Vec<Value> = made["items"].as_array().unwrap().iter().map(used).collect();
    scene.report(1, lines).await;
    assert_eq!(scene.usage("?group_by=key").await["rows"].as_array().unwrap().len(), 10_000);
    scene.report(2, vec![scene.line(1)]).await;
    let path = format!("/v1/organizations/{}/usage?group_by=key", scene.organization);
    scene.owner.get(&path).await.problem(400, "invalid_query");
    assert_eq!(scene.usage("?group_by=day").await["total"]["requests"], 10_001);
}
