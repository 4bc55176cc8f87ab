//! Receipts, as an operator asks for them: of a server that pushes to a hub which the test plays.

use crate::served::{Client, Installation};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long anything may take to show.
const SHOWN_MAX: Duration = Duration::from_secs(40);
const REQUEST_LEN_MAX: u64 = 8 << 20;

/// A hub that takes everything, and whose readers all stand at generation 0 once they are said to lag.
struct Hub {
    address: SocketAddr,
    lags: Arc<AtomicBool>,
}

impl Hub {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, lags) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&lags);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                thread::spawn(move || answer(stream, told.load(Ordering::SeqCst)));
            }
        });
        Self { address, lags }
    }
}

/// Reads one request and answers it. A client that goes away gets none.
fn answer(mut stream: TcpStream, lags: bool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?.take(REQUEST_LEN_MAX));
    let mut len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        len = line.strip_prefix("content-length:").map_or(len, |text| text.trim().parse().unwrap());
    }
    reader.read_exact(&mut vec![0; len]).ok()?;
    let now = now_ms();
    let report = json!({ "oldest_generation": 0, "reported_at": now, "reports": 1 });
    let edges: Vec<&Value> = lags.then_some(&report).into_iter().collect();
    let body = json!({ "root_version": 1, "generation": null, "as_of": null, "now": now, "edges": edges });
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// An operator with the command at hand.
struct Operator {
    url: String,
    token: String,
}

impl Operator {
    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.arg("publish").args(line.split(' ')).args(["--url", &self.url]);
        command.env("LATCHKEY_TOKEN", &self.token).output().unwrap()
    }

    fn status(&self) -> Value {
        let output = self.run("status --json");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a change: its generation.
    fn change(&self) -> u64 {
        let client = Client::new(&self.url, &self.token);
        client.post("/v1/organizations", &json!({ "name": "Acme", "owner_email": "o@acme.example" }));
        self.status()["committed"].as_u64().unwrap()
    }

    #[track_caller]
    fn refused(&self, line: &str, words: &str) {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{line}: {said}");
    }
}

#[test]
fn receipt_is_given_in_time_or_refused_with_the_reason() {
    let mut installation = Installation::new();
    installation.stop();
    let hub = Hub::open();
    let data = installation.path("data");
    let serve = ["serve", "--dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--edge"];
    let edge = format!("http://{}", hub.address);
    let server = installation.spawn(&[&serve[..], &[edge.as_str()]].concat(), "hubbed");
    let url = format!("http://{}", server.address(0));
    let operator = Operator { url, token: installation.operator.clone() };

    // The freshness bound alone is longer.
    let generation = operator.change();
    let wait = format!("status --wait {generation}");
    operator.refused(&format!("{wait} --timeout-secs 1"), "the time is up");
    operator.refused("status --wait soon!", "`--wait` is a");
    operator.refused(&format!("status --wait {}", generation + 1), "400");
    let reached = operator.run(&wait);
    assert!(reached.status.success(), "{}", String::from_utf8_lossy(&reached.stderr));
    assert!(String::from_utf8_lossy(&reached.stdout).contains("everywhere"));
    assert_eq!(operator.status()["sinks"][0]["edges"], Value::Null);

    assert!(operator.run("hold").status.success());
    operator.refused(&wait, "an operator holds grants back");
    assert!(operator.run("release").status.success());

    hub.lags.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let contradicted = loop {
        let output = operator.run(&wait);
        if !output.status.success() {
            break String::from_utf8_lossy(&output.stderr).into_owned();
        }
        assert!(start.elapsed() < SHOWN_MAX, "nothing contradicts it");
    };
    assert!(contradicted.contains("contradicted: an edge told at"), "{contradicted}");
    assert!(contradicted.contains("from generation 0"), "{contradicted}");
    let edges = &operator.status()["sinks"][0]["edges"];
    assert_eq!((&edges["oldest_generation"], &edges["reports"]), (&json!(0), &json!(1)));
}
