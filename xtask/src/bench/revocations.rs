//! From the API's 200 to the edge's refusal, with the whole product running and under traffic.

use super::Effort;
use super::row::Value;
use crate::dev::client::{Api, text, until};
use crate::dev::stack::{Settings, Stack};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than this, a revocation counts as lost.
const LOST: Duration = Duration::from_secs(30);
/// Requests that keep the edge busy begin this far apart.
const TRAFFIC_EVERY: Duration = Duration::from_millis(10);
/// Revocations do not fall into step with the edge's refreshes.
const PAUSE_MS: u64 = 97;

/// A key as the API showed it.
struct Key {
    id: String,
    secret: String,
}

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    super::prepare_stack()?;
    let scratch = tempfile::Builder::new().prefix("latchkey-bench-").tempdir()?;
    let settings = Settings { dir: scratch.path().join("stack"), edge_port: 0, control_port: 0 };
    let stack = Stack::start(&settings)?;
    let owner = owner(&stack)?;
    let keys = make_keys(&owner, effort.revocations + 1)?;
    let (busy, revoked) = keys.split_first().context("no keys were made")?;
    wait_for(&stack.edge(), &keys)?;
    let (waits, requests) = under_traffic(&stack.edge().holding(&busy.secret), || {
        revoked.iter().enumerate().map(|(at, key)| revoke(&stack, &owner, key, at)).collect()
    })?;
    stack.stop()?;
    Ok(report(waits, requests))
}

fn report(mut waits: Vec<f64>, requests: u64) -> Vec<Value> {
    waits.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = (waits.len() as f64 * part).ceil() as usize;
        waits.get(index.saturating_sub(1)).copied().unwrap_or_default()
    };
    let count = waits.len();
    let p99 = format!(
        "{count} revocations, median {:.0} ms; {requests} other requests meanwhile; NO network delays injected",
        at(0.5)
    );
    let max = format!("the slowest of the same {count}; NO faults injected");
    vec![Value::new("revoke_p99_ms", at(0.99), p99), Value::new("revoke_max_ms", at(1.0), max)]
}

/// A new organization's owner.
fn owner(stack: &Stack) -> Result<Api> {
    let operator = stack.operator()?;
    let body = json!({ "name": "Bench", "owner_email": "owner@bench.example" });
    operator.post("/v1/organizations", &body)?.success()?;
    let session = json!({ "email": "owner@bench.example" });
    let session = operator.post("/v1/operator/sessions", &session)?.success()?.json();
    Ok(stack.control().holding(&text(&session, "/token")?))
}

fn make_keys(owner: &Api, count: usize) -> Result<Vec<Key>> {
    let organizations = owner.get("/v1/organizations")?.success()?.json();
    let organization = text(&organizations, "/items/0/id")?;
    let path = format!("/v1/organizations/{organization}/projects");
    let project = owner.post(&path, &json!({ "name": "Bench", "slug": "bench" }))?.success()?.json();
    let project = text(&project, "/project/id").or_else(|_| text(&project, "/id"))?;
    let names: Vec<_> = (0..count).map(|number| json!({ "name": format!("key {number}") })).collect();
    let path = format!("/v1/projects/{project}/keys:batch");
    let made = owner.post(&path, &json!({ "keys": names }))?.success()?.json();
    let items = made["items"].as_array().context("no keys in the answer")?;
    items.iter().map(|item| Ok(Key { id: text(item, "/key/id")?, secret: text(item, "/secret")? })).collect()
}

/// Waits until the edge lets every key in.
fn wait_for(edge: &Api, keys: &[Key]) -> Result<()> {
    keys.iter()
        .try_for_each(|key| until(LOST, || edge.holding(&key.secret).get("/v1/whoami")?.success().map(drop)))
}

/// Runs `work` while another key asks the edge all the time; also returns how often it did.
fn under_traffic<T>(edge: &Api, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let (over, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let traffic = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                let status = edge.get("/v1/whoami")?.status;
                ensure!(status == 200, "the edge answered {status} to a good key");
                requests.fetch_add(1, Ordering::Relaxed);
                thread::sleep(TRAFFIC_EVERY);
            }
            Ok(())
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        match traffic.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("the traffic panicked"),
        }
        Ok((done?, requests.load(Ordering::Relaxed)))
    })
}

/// Revokes a key; milliseconds from the API's 200 to the edge's first refusal.
fn revoke(stack: &Stack, owner: &Api, key: &Key, at: usize) -> Result<f64> {
    thread::sleep(Duration::from_millis(at as u64 * PAUSE_MS % 250));
    let edge = stack.edge().holding(&key.secret);
    owner.post(&format!("/v1/keys/{}/revoke", key.id), &json!({}))?.success()?;
    let start = Instant::now();
    until(LOST, || {
        let status = edge.get("/v1/whoami")?.status;
        ensure!(status == 401, "the edge answered {status}");
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
