//! From the API's 200 to the edge's refusal, with the whole product running and under traffic.

use super::Effort;
use super::row::Value;
use crate::dev::client::{Api, text, until};
use crate::dev::network::{Network, Weather};
use crate::dev::stack::{Settings, Stack};
use crate::repo;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
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

/// Milliseconds from one end to the other between control plane and hub: 20 to 120 there and back.
const ONE_WAY_MS: RangeInclusive<u64> = 10..=60;
/// Milliseconds that an edge's read of the hub takes, there and back.
const READ_MS: [u64; 2] = [20, 120];
/// How long nothing gets through, where that is the fault.
const DOWN: Duration = Duration::from_millis(2000);

/// What goes wrong while a key is revoked: between control plane and hub, or between hub and edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Half of all answers to the control plane.
    LostAnswers,
    /// Nothing of the control plane's gets through for [`DOWN`].
    Down,
    /// Everything of the control plane's takes ten times as long.
    Slow,
    /// Half of the edge's reads are cut off.
    CutReads,
    /// Half of the edge's reads are answered with 500.
    FailedReads,
    /// No read of the edge's is answered for [`DOWN`].
    SilentHub,
    /// The edge's reads take ten times as long.
    SlowReads,
}

const FAULTS: [Fault; 7] = [
    Fault::LostAnswers,
    Fault::Down,
    Fault::Slow,
    Fault::CutReads,
    Fault::FailedReads,
    Fault::SilentHub,
    Fault::SlowReads,
];

impl Fault {
    /// How it is between control plane and hub.
    fn weather(self) -> Weather {
        let fair = Weather { delay_ms: ONE_WAY_MS, lost_answers: 0, up: true };
        match self {
            Self::LostAnswers => Weather { lost_answers: 50, ..fair },
            Self::Down => Weather { up: false, ..fair },
            Self::Slow => Weather { delay_ms: 100..=600, ..fair },
            _ => fair,
        }
    }

    /// How it is between hub and edge, as wasm/bench/late.mjs reads it.
    fn reads(self) -> Json {
        let share = |fault| if self == fault { 50 } else { 0 };
        let times = if self == Self::SlowReads { 10 } else { 1 };
        json!({
            "delay_ms": READ_MS.map(|ms| ms * times),
            "errors": share(Self::FailedReads),
            "cuts": share(Self::CutReads),
            "silent": self == Self::SilentHub,
        })
    }

    fn ends_after_a_while(self) -> bool {
        matches!(self, Self::Down | Self::SilentHub)
    }
}

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    super::prepare_stack()?;
    let scratch = tempfile::Builder::new().prefix("latchkey-bench-").tempdir()?;
    let network = Network::listen()?;
    let dir = scratch.path().join("stack");
    let edge = Some(repo::root().join("wasm/bench/late.toml"));
    let settings = Settings { dir, edge_port: 0, control_port: 0, network: Some(network.clone()), edge };
    let stack = Stack::start(&settings)?;
    let owner = owner(&stack)?;
    let keys = make_keys(&owner, effort.revocations + effort.faults + 1)?;
    let (busy, revoked) = keys.split_first().context("no keys were made")?;
    wait_for(&stack.edge(), &keys)?;
    let bench = Bench { stack: &stack, owner: &owner, network: &network };
    let (plain, faulty) = revoked.split_at(effort.revocations);
    let ((waits, faulty_waits), requests) = under_traffic(&stack.edge().holding(&busy.secret), || {
        let plain = plain.iter().enumerate().map(|(at, key)| bench.revoke(key, at, Fault::None));
        let plain = plain.collect::<Result<Vec<_>>>()?;
        let faulty = faulty.iter().zip(FAULTS.iter().cycle()).enumerate();
        let faulty = faulty.map(|(at, (key, fault))| Ok((*fault, bench.revoke(key, at, *fault)?)));
        Ok((plain, faulty.collect::<Result<Vec<_>>>()?))
    })?;
    bench.set(Fault::None)?;
    stack.stop()?;
    Ok(report(waits, &faulty_waits, requests))
}

fn report(mut waits: Vec<f64>, faulty: &[(Fault, f64)], requests: u64) -> Vec<Value> {
    waits.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = (waits.len() as f64 * part).ceil() as usize;
        waits.get(index.saturating_sub(1)).copied().unwrap_or_default()
    };
    let of = |fault: Fault| faulty.iter().filter(move |(known, _)| *known == fault).map(|(_, wait)| *wait);
    let worst = |fault: Fault| of(fault).fold(0.0, f64::max);
    let p99 = format!(
        "{} revocations, median {:.0} ms, slowest {:.0}; control plane to hub, and edge to hub for every read, 20 to 120 ms \
         there and back each; {requests} other requests meanwhile",
        waits.len(),
        at(0.5),
        at(1.0)
    );
    let worst_of = |fault: Fault| format!("{:.0} ms", worst(fault));
    let max = format!(
        "the slowest of all, {} of them with a fault. Between control plane and hub: half of all answers lost, at most {}; \
         nothing gets through for {} ms, {}; 200 to 1,200 ms there and back, {}. Between hub and edge: half of all reads cut \
         off, {}; half answered with 500, {}; none answered for {} ms, {}; 200 to 1,200 ms there and back, {}",
        faulty.len(),
        worst_of(Fault::LostAnswers),
        DOWN.as_millis(),
        worst_of(Fault::Down),
        worst_of(Fault::Slow),
        worst_of(Fault::CutReads),
        worst_of(Fault::FailedReads),
        DOWN.as_millis(),
        worst_of(Fault::SilentHub),
        worst_of(Fault::SlowReads),
    );
    let slowest = faulty.iter().map(|(_, wait)| *wait).fold(at(1.0), f64::max);
    vec![Value::new("revoke_p99_ms", at(0.99), p99), Value::new("revoke_max_ms", slowest, max)]
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

/// What a revocation goes through.
struct Bench<'a> {
    stack: &'a Stack,
    owner: &'a Api,
    network: &'a Network,
}

impl Bench<'_> {
    /// Revokes a key; milliseconds from the API's 200 to the edge's first refusal.
    fn revoke(&self, key: &Key, at: usize, fault: Fault) -> Result<f64> {
        self.set(Fault::None)?;
        thread::sleep(Duration::from_millis(at as u64 * PAUSE_MS % 250));
        let edge = self.stack.edge().holding(&key.secret);
        self.set(fault)?;
        self.owner.post(&format!("/v1/keys/{}/revoke", key.id), &json!({}))?.success()?;
        let (start, mut is_over) = (Instant::now(), !fault.ends_after_a_while());
        until(LOST, || {
            if !is_over && start.elapsed() >= DOWN {
                self.set(Fault::None)?;
                is_over = true;
            }
            let status = edge.get("/v1/whoami")?.status;
            ensure!(status == 401, "the edge answered {status}");
            Ok(())
        })?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    fn set(&self, fault: Fault) -> Result<()> {
        self.network.set(fault.weather());
        let reads = serde_json::to_vec(&fault.reads())?;
        self.stack.edge().put_bytes("/.bench/weather", reads)?.success().map(drop)
    }
}
