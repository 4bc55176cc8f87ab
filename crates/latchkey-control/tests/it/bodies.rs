//! Bodies, headers and queries that are not understood (R4), and that nothing changes because of them.

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use latchkey_api::PageQuery;
use latchkey_control::http::{BODY_BYTES_MAX, openapi};
use latchkey_core::Role;
use latchkey_testkit::{Reply, Stage};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

struct Scene {
    stage: Stage,
    token: String,
    keys: String,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let token = stage.sign_in("owner@acme.test").await.token().to_owned();
        Self { stage, token, keys: format!("/v1/projects/{}/keys", acme.default_project.id) }
    }

    fn request(&self) -> Builder {
        let bearer = format!("Bearer {}", self.token);
        Request::builder().method("POST").uri(&self.keys).header("authorization", bearer)
    }

    async fn send(&self, request: Builder, body: impl Into<Body>) -> Reply {
        self.stage.anonymous().send(request.body(body.into()).unwrap()).await
    }

    async fn post(&self, body: impl Into<Body>) -> Reply {
        self.send(self.request().header("content-type", "application/json"), body).await
    }

    async fn assert_nothing_was_made(&self) {
        let page = self.stage.holder(&self.token).get(&self.keys).await.expect(200).json();
        assert_eq!(page["items"], json!([]));
    }
}

#[tokio::test]
async fn field_that_is_wrong_is_named_r4() {
    let scene = Scene::new().await;
    for (body, field, words) in [
        (r#"{"name":"k","admin":true}"#, "admin", "unknown field `admin`"),
        (r#"{}"#, "", "missing field `name`"),
        (r#"{"name":"k","role":"owner"}"#, "role", "`owner`"),
        (r#"{"name":"k","role":null}"#, "role", ""),
        (r#"{"name":7}"#, "name", "a string"),
        (r#"{"name":"k","name":"l"}"#, "", "duplicate field `name`"),
        (r#"{"name":""}"#, "name", "1 to 100"),
        (r#"{"name":"a\nb"}"#, "name", "one line"),
        (r#"{"name":"k","expires_at":"soon"}"#, "expires_at", "2026-11-23T10:00:00Z"),
        (r#"{"name":"k","expires_at":"2026-11-23T10:00:30Z"}"#, "expires_at", "whole minute"),
        (r#"{"name":"k","expires_at":"2026-11-23T10:00:00Z"}"#, "expires_at", "passed"),
        (r#"{"name":"k","expires_at":"2036-11-25T10:00:00Z"}"#, "expires_at", "ten years"),
        (r#"[]"#, "", ""),
    ] {
        let problem = scene.post(body).await.problem(422, "invalid_field");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{body}: {detail}");
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    scene.assert_nothing_was_made().await;
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let scene = Scene::new().await;
    for body in [
        "",
        "{",
        "name",
        r#"{"name":"k"} x"#,
        r#"{"name":"k",}"#,
        "{\"name\":\"\u{1}\"}",
        r#"{"name":"\ud800"}"#,
    ] {
        scene.post(body).await.problem(400, "invalid_json");
    }
    let problem = scene.post(&b"{\"name\":\"\xff\"}"[..]).await.problem(400, "invalid_json");
    assert_eq!(problem["detail"], "the body is not UTF-8 from byte 9 on");
    scene.post("[".repeat(50_000)).await.problem(422, "invalid_field");
    scene.assert_nothing_was_made().await;
}

#[tokio::test]
async fn body_is_taken_up_to_its_limit_and_no_further() {
    let scene = Scene::new().await;
    let padded = |len: usize| r#"{"name":"k"}"#.to_owned() + &" ".repeat(len - 12);
    scene.post(padded(BODY_BYTES_MAX + 1)).await.problem(413, "body_too_large");
    scene.assert_nothing_was_made().await;
    scene.post(padded(BODY_BYTES_MAX)).await.expect(201);
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let scene = Scene::new().await;
    let body = r#"{"name":"k"}"#;
    scene.send(scene.request(), body).await.problem(415, "unsupported_media_type");
    for other in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", ""] {
        let request = scene.request().header("content-type", other);
        scene.send(request, body).await.problem(415, "unsupported_media_type");
    }
    let twice =
        scene.request().header("content-type", "application/json").header("content-type", "text/plain");
    scene.send(twice, body).await.problem(415, "unsupported_media_type");
    scene.assert_nothing_was_made().await;
    let spelled = scene.request().header("content-type", "Application/JSON; charset=utf-8");
    scene.send(spelled, body).await.expect(201);
}

#[tokio::test]
async fn second_authorization_header_is_refused_r1() {
    let scene = Scene::new().await;
    let bearer = format!("Bearer {}", scene.token);
    let twice = scene.request().header("content-type", "application/json").header("authorization", &bearer);
    scene.send(twice, r#"{"name":"k"}"#).await.problem(401, "unauthenticated");
    for bad in [
        scene.token.clone(),
        format!("Basic {}", scene.token),
        format!("{bearer} "),
        format!("Bearer  {}", scene.token),
    ] {
        let request = Request::builder().uri("/v1/me").header("authorization", bad);
        scene.send(request, "").await.problem(401, "unauthenticated");
    }
    scene.assert_nothing_was_made().await;
}

#[tokio::test]
async fn query_that_is_not_understood_is_refused() {
    let scene = Scene::new().await;
    let owner = scene.stage.holder(&scene.token);
    for query in
        ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "cursor=x", "colour=red", "cursor=%ff"]
    {
        owner.get(&format!("{}?{query}", scene.keys)).await.problem(400, "invalid_query");
    }
    owner.get(&format!("{}?limit=200", scene.keys)).await.expect(200);
    assert!(PageQuery::default().limit.is_none());
}

/// The path of every list, with these in the places of its path.
fn lists(organization: &str, project: &str) -> Vec<String> {
    let document = openapi::document();
    let takes_cursor = |operation: &Value| {
        let parameters = operation["get"]["parameters"].as_array().into_iter().flatten();
        parameters.into_iter().any(|parameter| parameter["name"] == "cursor")
    };
    let paths = document["paths"].as_object().unwrap().iter();
    let paths = paths.filter(|(_, operation)| takes_cursor(operation)).map(|(path, _)| path);
    paths.map(|path| path.replace("{organization}", organization).replace("{project}", project)).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn any_text_as_a_cursor_is_one_of_that_list_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stage, owner, ids, lists) = runtime.block_on(async {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let (organization, project) = (acme.organization.id, acme.default_project.id);
        let key = stage.key(&owner, &project, Role::Member).await.key.id;
        let lists = lists(&organization, &project);
        (stage, owner, [organization, project, key, acme.organization.owner_id], lists)
    });
    assert!(lists.len() > 15, "{lists:?}");
    let part = prop_oneof![
        2 => prop::sample::select(ids.to_vec()),
        2 => prop::sample::select(vec!["key", "project", "file", "membership", "org_", "user_", ""]).prop_map(str::to_owned),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => "[ -~]{0,12}|\\PC{0,4}",
    ];
    let text = (prop::collection::vec(part, 0..5), prop::sample::select(vec!["", "/", ".", "+", "-", ","]));
    let text = text.prop_map(|(parts, between)| parts.join(between));
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&text, |text| {
        for path in &lists {
            let actor = if path.starts_with("/v1/operator/") { stage.operator() } else { owner.clone() };
            let reply = runtime.block_on(actor.get(&format!("{path}?cursor={}", escaped(&text))));
            match reply.status {
                200 => prop_assert!(reply.json()["items"].is_array()),
                _ => prop_assert_eq!(&reply.problem(400, "invalid_query")["code"], "invalid_query"),
            }
        }
        Ok(())
    });
    checked.unwrap();
}
