//! A rough figure, on demand: `cargo test --release -p latchkey-control --test it speed -- --ignored --nocapture`.

use latchkey_control::store::Store;
use latchkey_testkit::{ManualClock, SeededSeeds, Stage, StageConfig};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn durable_creations_a_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = ManualClock::default();
    let seeds = Arc::new(SeededSeeds::new(1));
    let store = Store::open(&folder.path().join("s"), Arc::new(clock.clone()), seeds).unwrap();
    let stage = Stage::on(store, clock, StageConfig::default()).await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let path = format!("/v1/projects/{}/keys", acme.default_project.id);

    let start = Instant::now();
    let client = |_| {
        let (owner, path) = (owner.clone(), path.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                owner.post(&path, json!({ "name": "k" })).await.expect(201);
            }
        })
    };
    for task in (0..64).map(client).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    println!("one by one, 64 clients: {:.0}/s", 64.0 * 200.0 / start.elapsed().as_secs_f64());

    let body = json!({ "keys": vec![json!({ "name": "k" }); 10_000] });
    let start = Instant::now();
    for _ in 0..5 {
        owner.post(&format!("{path}:batch"), body.clone()).await.expect(201);
    }
    println!("bulk: {:.0}/s", 50_000.0 / start.elapsed().as_secs_f64());
}
