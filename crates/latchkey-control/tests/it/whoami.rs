//! Who a key is, told to the key alone (K11).

use crate::keys::Scene;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use latchkey_core::{PermissionSet, Role};
use latchkey_testkit::Reply;
use serde_json::{Value, json};
use std::net::SocketAddr;

impl Scene {
    async fn holding(&self, body: Value) -> (String, String) {
        let made = self.owner.post(&self.keys(), body).await.expect(201).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["key"]["id"]), text(&made["secret"]))
    }

    async fn ask_from(&self, secret: &str, from: Option<&str>) -> Reply {
        let mut request =
            Request::builder().uri("/v1/whoami").header("authorization", format!("Bearer {secret}"));
        if let Some(from) = from {
            let address = SocketAddr::new(from.parse().unwrap(), 4242);
            request = request.extension(ConnectInfo(address));
        }
        self.stage.anonymous().send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn anybody_but_a_key_is_refused_k11() {
    let scene = Scene::new().await;
    for actor in [&scene.owner, &scene.member, &scene.stage.operator()] {
        actor.get("/v1/whoami").await.problem(403, "key_needed");
    }
    scene.stage.anonymous().get("/v1/whoami").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn key_is_told_what_the_edge_tells_k11() {
    let scene = Scene::new().await;
    let (id, secret) = scene.holding(json!({ "name": "k", "expires_at": "2027-01-01T00:00:00Z" })).await;
    let told = scene.stage.holder(&secret).get("/v1/whoami").await.expect(200).json();
    let project = scene.owner.get(&format!("/v1/projects/{}", scene.project)).await.json();
    let held: Vec<&str> = PermissionSet::of_key(Role::Member).iter().map(|one| one.as_str()).collect();
    let generation = scene.stage.control.generation_token(scene.stage.control.check_ready().unwrap());
    let expected = json!({
        "key": { "id": id },
        "project": { "id": scene.project, "slug": project["slug"], "name": project["name"] },
        "organization": { "id": scene.organization, "name": "Acme" },
        "role": "member",
        "permissions": held,
        "expires_at": "2027-01-01T00:00:00Z",
        "generation": generation.as_str(),
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn key_is_told_what_it_is_narrowed_to_k7() {
    let scene = Scene::new().await;
    let narrowing = json!({ "permissions": ["inference.invoke"] });
    let (_, secret) = scene.holding(json!({ "name": "k", "narrowing": narrowing })).await;
    let told = scene.stage.holder(&secret).get("/v1/whoami").await.expect(200).json();
    assert_eq!((&told["permissions"], &told["expires_at"]), (&json!(["inference.invoke"]), &Value::Null));
}

#[tokio::test]
async fn key_outside_its_networks_is_refused_k7() {
    let scene = Scene::new().await;
    let narrowing = json!({ "networks": ["192.0.2.0/24", "2001:db8::/32"] });
    let (_, secret) = scene.holding(json!({ "name": "k", "narrowing": narrowing })).await;
    for from in [None, Some("192.0.3.1"), Some("::1"), Some("::ffff:192.0.3.1")] {
        scene.ask_from(&secret, from).await.problem(403, "network_not_allowed");
    }
    for from in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::7"] {
        scene.ask_from(&secret, Some(from)).await.expect(200);
    }
}

#[tokio::test]
async fn key_out_of_force_is_told_why_r1() {
    let scene = Scene::new().await;
    let (id, secret) = scene.holding(json!({ "name": "k", "expires_at": "2026-11-23T10:01:00Z" })).await;
    let (key, holder) = (format!("/v1/keys/{id}"), scene.stage.holder(&secret));
    scene.owner.act(&format!("{key}/disable")).await.expect(200);
    holder.get("/v1/whoami").await.problem(401, "disabled");
    scene.owner.act(&format!("{key}/enable")).await.expect(200);
    let organization = format!("/v1/organizations/{}", scene.organization);
    scene.stage.operator().act(&format!("{organization}/suspend")).await.expect(200);
    holder.get("/v1/whoami").await.problem(401, "suspended");
    scene.stage.operator().act(&format!("{organization}/resume")).await.expect(200);
    holder.get("/v1/whoami").await.expect(200);
    scene.stage.clock.advance_secs(60);
    holder.get("/v1/whoami").await.problem(401, "expired");
    scene.owner.act(&format!("{key}/revoke")).await.expect(200);
    holder.get("/v1/whoami").await.problem(401, "revoked");
}
