//! The control plane is killed while keys are being made: every key that was acknowledged is there afterwards.

use crate::served::{Client, Installation};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 6;
const WRITERS: usize = 4;
const ROUND_MAX: Duration = Duration::from_secs(20);

#[test]
fn every_acknowledged_key_survives_a_kill_at_any_point() {
    let mut installation = Installation::new();
    let (token, project) = installation.populate();
    let path = format!("/v1/projects/{project}/keys");
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    for round in 0..ROUNDS {
        // The point in the stream of commits at which it is killed: another one each round.
        let kill_after = 3 + round * 17;
        let client = Client::new(&installation.url(), &token);
        let count = AtomicUsize::new(0);
        let made = thread::scope(|scope| {
            let writers: Vec<_> =
                (0..WRITERS).map(|_| scope.spawn(|| make_keys(&client, &path, &count))).collect();
            let start = Instant::now();
            while count.load(Relaxed) < kill_after && start.elapsed() < ROUND_MAX {
                thread::yield_now();
            }
            installation.kill();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(made.len() >= kill_after, "only {} keys were made in time", made.len());
        acknowledged.extend(made);
        installation.start();
        let client = Client::new(&installation.url(), &token);
        for id in &acknowledged {
            let (status, key) = client.get(&format!("/v1/keys/{id}"));
            assert_eq!(status, 200, "key {id} of round {round} is lost: {key}");
        }
        let listed = list(&client, &path);
        assert!(acknowledged.is_subset(&listed), "a key is there and not listed");
    }
}

/// Makes keys until the server goes away; returns the ids of those it acknowledged.
fn make_keys(client: &Client, path: &str, count: &AtomicUsize) -> Vec<String> {
    let mut made = Vec::new();
    while let Some((status, key)) = client.try_post(path, &json!({"name": "k"})) {
        assert_eq!(status / 100, 2, "{key}");
        made.push(key["key"]["id"].as_str().unwrap().to_owned());
        count.fetch_add(1, Relaxed);
    }
    made
}

fn list(client: &Client, path: &str) -> BTreeSet<String> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let (status, page) = client.get(&format!("{path}?limit=200{cursor}"));
        assert_eq!(status, 200, "{page}");
        ids.extend(
            page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}
