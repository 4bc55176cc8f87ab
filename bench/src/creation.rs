//! Key creation over HTTP on a real disk: one by one, each durable before its answer, and in bulk; in one
//! organization and in a thousand.
//!
//! Server and clients share the machine's cores and this process, so the figures are those of the whole exchange.
//! The clients are as cheap as can be: sockets that are kept, requests made beforehand, replies read by their
//! length.

use crate::row::Row;
use anyhow::{Context, Result, anyhow, bail};
use latchkey_control::app::{AppError, Control, ControlConfig, operators};
use latchkey_control::http::{self, Bounds, Limits};
use latchkey_control::outside::{SystemClock, SystemSeeds};
use latchkey_control::store::Store;
use latchkey_control::tlog::CheckpointSigner;
use latchkey_core::{MintSecret, Prefix};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
const ORGANIZATIONS: usize = 1000;
const BATCH_KEYS: usize = 10_000;

/// The rows, each over about `time`.
pub(crate) fn rows(time: Duration) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for (organizations, suffix) in [(1, ""), (ORGANIZATIONS, "_1000")] {
        let directory = scratch()?;
        let syncs = syncs_per_s(directory.path())?;
        let measured = runtime.block_on(measure(directory.path(), organizations, time))?;
        let among = if organizations == 1 { "one organization" } else { "1,000 organizations in turn" };
        let floor = format!("the same disk syncs a 4 KB append {syncs:.0} times a second");
        rows.push(Row::new(
            match suffix {
                "" => "create_durable_per_s",
                _ => "create_durable_1000_per_s",
            },
            measured.single,
            format!("{CLIENTS} clients, {among}; {floor}"),
        ));
        rows.push(Row::new(
            match suffix {
                "" => "create_bulk_per_s",
                _ => "create_bulk_1000_per_s",
            },
            measured.bulk,
            format!("calls of {BATCH_KEYS} keys, two at a time, {among}"),
        ));
    }
    Ok(rows)
}

struct Measured {
    single: f64,
    bulk: f64,
}

/// A project and a session that may make keys in it.
#[derive(Clone)]
struct Place {
    project: String,
    token: String,
}

async fn measure(directory: &Path, organizations: usize, time: Duration) -> Result<Measured> {
    let (address, operator) = serve(&directory.join("state.redb")).await?;
    let places = Arc::new(cast(address, &operator, organizations).await?);
    let single = single(address, &places, time).await?;
    let bulk = bulk(address, &places, time).await?;
    Ok(Measured { single, bulk })
}

/// The control plane, with sign-in by the operator on. It lives as long as the runtime.
async fn serve(path: &Path) -> Result<(SocketAddr, String)> {
    let clock = Arc::new(SystemClock);
    let store = Store::open(path, clock.clone(), Arc::new(SystemSeeds))?;
    let prefix = Prefix::parse("lk_bench").map_err(|error| anyhow!("{error}"))?;
    let config = ControlConfig { operator_sign_in: true, ..ControlConfig::new(prefix) };
    let audit = CheckpointSigner::new("bench.test/audit", &[8; 32]).context("no name of a log")?;
    let control = Arc::new(Control::new(store, clock, MintSecret::new([7; 32]), audit, config));
    let first = operators::create_first(&control, "bench").await;
    let first = first.map_err(|error: AppError| anyhow!("no operator: {error:?}"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let bounds = Bounds::default();
    let router = http::router(control, &bounds, Limits::new(&bounds));
    tokio::spawn(async move { http::serve(listener, router, &bounds, std::future::pending()).await });
    Ok((address, first.reply.expose().to_owned()))
}

/// Organizations with an owner each who is signed in.
async fn cast(address: SocketAddr, operator: &str, count: usize) -> Result<Vec<Place>> {
    let mut client = Client::connect(address).await?;
    let mut places = Vec::with_capacity(count);
    for number in 0..count {
        let email = format!("owner{number}@bench.test");
        let body = json!({ "name": format!("Organization {number}"), "owner_email": email });
        let made = client.post("/v1/organizations", operator, &body).await?;
        let session = client.post("/v1/operator/sessions", operator, &json!({ "email": email })).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("not a text");
        places
            .push(Place { project: text(&made["default_project"]["id"])?, token: text(&session["token"])? });
    }
    Ok(places)
}

async fn single(address: SocketAddr, places: &Arc<Vec<Place>>, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let places = Arc::clone(places);
        clients.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut made = 0usize;
            let body = json!({ "name": "a key" });
            while start.elapsed() < time {
                let place = &places[(index + made * CLIENTS) % places.len()];
                let request = request(&format!("/v1/projects/{}/keys", place.project), &place.token, &body)?;
                client.exchange(&request).await?;
                made += 1;
            }
            anyhow::Ok(made)
        });
    }
    Ok(sum(clients).await? as f64 / start.elapsed().as_secs_f64())
}

async fn bulk(address: SocketAddr, places: &Arc<Vec<Place>>, time: Duration) -> Result<f64> {
    let body = Arc::new(json!({ "keys": vec![json!({ "name": "a key" }); BATCH_KEYS] }));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for index in 0..2 {
        let (places, body) = (Arc::clone(places), Arc::clone(&body));
        clients.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut calls = 0usize;
            while start.elapsed() < time {
                let place = &places[(index + calls * 2) % places.len()];
                let path = format!("/v1/projects/{}/keys:batch", place.project);
                client.exchange(&request(&path, &place.token, &body)?).await?;
                calls += 1;
            }
            anyhow::Ok(calls * BATCH_KEYS)
        });
    }
    Ok(sum(clients).await? as f64 / start.elapsed().as_secs_f64())
}

async fn sum(mut clients: JoinSet<Result<usize>>) -> Result<usize> {
    let mut all = 0;
    while let Some(made) = clients.join_next().await {
        all += made??;
    }
    Ok(all)
}

fn request(path: &str, token: &str, body: &Value) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(body)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), &body].concat())
}

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    async fn post(&mut self, path: &str, token: &str, body: &Value) -> Result<Value> {
        let request = request(path, token, body)?;
        Ok(serde_json::from_slice(self.exchange(&request).await?)?)
    }

    /// Sends a request and returns the body of its reply, which must be a 201.
    async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body_at = loop {
            self.fill().await?;
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..body_at])?;
        if !head.starts_with("HTTP/1.1 201") {
            bail!("refused: {}", String::from_utf8_lossy(&self.buffer));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("a reply without a length")?.parse()?;
        while self.buffer.len() < body_at + length {
            self.fill().await?;
        }
        Ok(&self.buffer[body_at..])
    }

    async fn fill(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 { bail!("the connection broke off") } else { Ok(()) }
    }
}

/// How often the disk makes a small append durable: the floor of what one commit costs.
fn syncs_per_s(directory: &Path) -> Result<f64> {
    let mut file = File::create(directory.join("floor"))?;
    let start = Instant::now();
    let mut syncs = 0;
    while start.elapsed() < Duration::from_millis(500) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / start.elapsed().as_secs_f64())
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("latchkey-bench-").tempdir().context("no place for the database")
}
