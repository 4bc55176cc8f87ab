//! No secret outlives the reply that shows it: not in the database's bytes, not in the audit log, not in `Debug`.

use latchkey_api::{CreatedKeys, CreatedUsageToken, RotatedKey};
use latchkey_control::store::{AuditView, Store};
use latchkey_core::Role;
use latchkey_testkit::{ForgetfulDisk, ManualClock, SeededSeeds, Stage, StageConfig};
use serde_json::json;
use std::sync::Arc;

/// What somebody reports as leaked though it was never made here.
const NEVER_A_KEY: &str = "another-systems-key-that-nobody-ever-imported";

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn database_holds_no_secret_k2() {
    let (disk, clock) = (ForgetfulDisk::default(), ManualClock::default());
    let store = Store::open_on(disk.clone(), Arc::new(clock.clone()), Arc::new(SeededSeeds::new(1))).unwrap();
    let stage = Stage::on(store, clock, StageConfig::default()).await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let created = stage.key(&owner, &acme.default_project.id, Role::Admin).await;
    let path = format!("/v1/projects/{}/keys:batch", acme.default_project.id);
    let batch: CreatedKeys = owner.post(&path, json!({ "keys": [{ "name": "b" }] })).await.expect(201).read();
    let rotate = format!("/v1/keys/{}/rotate", batch.items[0].key.id);
    let rotated: RotatedKey = owner.post(&rotate, json!({ "overlap_minutes": 60 })).await.expect(201).read();
    owner.act(&format!("/v1/keys/{}/revoke", created.key.id)).await.expect(200);
    let reported = stage.key(&owner, &acme.default_project.id, Role::Member).await;
    for secret in [reported.secret.expose(), NEVER_A_KEY] {
        stage.anonymous().post("/v1/leaks", json!({ "secret": secret })).await.expect(202);
    }

    let usage = stage.operator().post("/v1/operator/usage-tokens", json!({ "name": "edges" })).await;
    let usage: CreatedUsageToken = usage.expect(201).read();

    let view = stage.control.store().read().unwrap();
    let size = view.audit_checkpoint().unwrap().size;
    let log: Vec<u8> = (0..size)
        .flat_map(|at| view.audit_leaf(at).unwrap().unwrap().content.unwrap().entry.into_bytes())
        .collect();
    drop(view);
    let raw = disk.bytes();
    assert!(
        contains(&raw, &created.key.name) && contains(&log, &created.key.id),
        "it looks in the wrong place"
    );
    let operator = stage.operator();
    for text in [
        created.secret.expose(),
        batch.items[0].secret.expose(),
        rotated.secret.expose(),
        reported.secret.expose(),
        NEVER_A_KEY,
        owner.token(),
        operator.token(),
        usage.token.expose(),
    ] {
        // The secret part: the last 30 characters of any of them.
        let secret = &text[text.len() - 30..];
        assert!(!contains(&raw, secret) && !contains(&log, secret));
    }
    let debug = format!("{created:?} {batch:?} {:?}", stage.control);
    assert!(!debug.contains(&created.secret.expose()[30..]), "{debug}");
}
