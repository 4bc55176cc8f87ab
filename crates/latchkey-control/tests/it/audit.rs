//! The audit log (A1).

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use latchkey_control::store::AuditView;
use latchkey_core::Role;
use latchkey_testkit::Stage;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;

fn entries(stage: &Stage) -> Vec<Value> {
    let view = stage.control.store().read().unwrap();
    let size = view.audit_checkpoint().unwrap().size;
    let entry = |at| serde_json::from_str(&view.audit_leaf(at).unwrap().unwrap().content.unwrap().entry).unwrap();
    (0..size).map(entry).collect()
}

#[tokio::test]
async fn every_generation_has_its_entry_a1() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let key = stage.key(&owner, &acme.default_project.id, Role::Member).await.key.id;
    owner.act(&format!("/v1/keys/{key}/disable")).await.expect(200);
    owner.get("/v1/me").await.expect(200);
    owner.act("/v1/keys/AAAAAAAAAAA/disable").await.expect(404);
    let entries = entries(&stage);
    let generations: Vec<u64> = entries.iter().map(|entry| entry["generation"].as_u64().unwrap()).collect();
    assert_eq!(generations, (1..=stage.control.check_ready().unwrap().0).collect::<Vec<_>>());
    let last = entries.last().unwrap();
    assert_eq!((&last["what"], &last["subject"]["id"]), (&"keys.disable".into(), &Value::from(key)));
    assert_eq!(last["who"]["kind"], "user");
    assert_eq!((&last["before"]["status"], &last["after"]["status"]), (&"active".into(), &"disabled".into()));
    let salts: BTreeSet<_> = (0..entries.len() as u64)
        .map(|at| stage.control.store().read().unwrap().audit_leaf(at).unwrap().unwrap().content.unwrap().salt)
        .collect();
    assert_eq!(salts.len(), entries.len());
}

#[tokio::test]
async fn checkpoint_moves_with_every_change_and_only_then() {
    let stage = Stage::new().await;
    let checkpoint = || stage.control.store().read().unwrap().audit_checkpoint().unwrap();
    let before = checkpoint();
    stage.organization("Acme", "owner@acme.test").await;
    let after = checkpoint();
    assert_eq!(after.size, before.size + 1);
    assert_ne!(after.root, before.root);
    stage.anonymous().get("/v1/me").await.expect(401);
    assert_eq!(checkpoint(), after);
}

#[tokio::test]
async fn entry_says_from_where_a1() {
    let stage = Stage::new().await;
    let address: SocketAddr = "192.0.2.7:4242".parse().unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/v1/organizations")
        .header("authorization", format!("Bearer {}", stage.operator().token()))
        .header("content-type", "application/json")
        .extension(ConnectInfo(address))
        .body(Body::from(r#"{"name":"Acme","owner_email":"owner@acme.test"}"#))
        .unwrap();
    stage.anonymous().send(request).await.expect(201);
    assert_eq!(entries(&stage).last().unwrap()["from"], "192.0.2.7");
}
