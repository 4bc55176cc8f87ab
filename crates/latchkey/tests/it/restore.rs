//! A backup and a restore by the binary, and what edges make of it: one that followed all the time, and a cold one.

use crate::served::{Client, Installation};
use latchkey_core::{MintSecret, Pepper, UnixMillis};
use latchkey_gate::{
    Attempt, Floor, Gate, GateConfig, Header, MEMORY_BYTES_DEFAULT, Outcome, Question, Request, Step,
};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

/// An edge on the directory that the server publishes to.
struct Edge {
    gate: Gate,
    published: PathBuf,
}

impl Edge {
    fn cold(installation: &Installation) -> Self {
        let secret = |name: &str| {
            let text = fs::read_to_string(installation.path("data").join(name)).unwrap();
            let byte = |at: usize| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap();
            std::array::from_fn::<u8, 32, _>(byte)
        };
        let config = GateConfig {
            root: fs::read(installation.path("data/roots/1")).unwrap(),
            peppers: vec![Pepper::new(secret("secrets/pepper"))],
            mint: MintSecret::new(secret("secrets/mint")),
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        Self { gate: Gate::new(config).unwrap(), published: installation.path("published") }
    }

    /// Takes in all that is published now.
    fn catch_up(&mut self) {
        let Ok(head) = fs::read(self.published.join("head")) else { return };
        // One that is no news, or older, changes nothing.
        let _ = self.gate.accept_head(&head, now());
        loop {
            let wanted = self.gate.wanted(64);
            if wanted.is_empty() {
                return;
            }
            for wanted in wanted {
                let name = wanted.reference().digest().to_string();
                match fs::read(self.published.join("objects").join(name)) {
                    Ok(bytes) => self.gate.accept_object(&wanted, &bytes, now()).unwrap(),
                    Err(_) => self.gate.object_failed(&wanted, now()),
                }
            }
        }
    }

    fn lets_in(&mut self, secret: &str) -> bool {
        self.catch_up();
        let authorization = format!("Bearer {secret}");
        let request = Request::new("GET", b"/whoami", Header::One(authorization.as_bytes()));
        match self.gate.decide(&request, Question::Whoami, now(), &mut Attempt::default()) {
            Step::Answer(verdict) => matches!(verdict.outcome, Outcome::Allow(_)),
            Step::Ask(_) => false,
        }
    }

    fn waits_until(&mut self, secret: &str, is_let_in: bool) {
        let start = Instant::now();
        while self.lets_in(secret) != is_let_in {
            assert!(start.elapsed() < Duration::from_secs(20), "the edge's answer stays {}", !is_let_in);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn generation(&self) -> u64 {
        self.gate.status(now()).generation.map_or(0, |generation| generation.0)
    }
}

fn now() -> UnixMillis {
    UnixMillis(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64)
}

pub(crate) fn latchkey(arguments: &[&str], token: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env("LATCHKEY_TOKEN", token).output().unwrap()
}

#[track_caller]
pub(crate) fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub(crate) fn refused(output: &Output, reason: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(reason), "`{reason}` is not in: {error}");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn key(owner: &Client, project: &str) -> (String, String) {
    let made = owner.post(&format!("/v1/projects/{project}/keys"), &json!({"name": "k"}));
    (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

#[test]
fn restored_key_that_was_revoked_since_is_refused_until_an_operator_confirms_it() {
    let mut installation = Installation::new();
    let (owner_token, project) = installation.populate();
    let owner = Client::new(&installation.url(), &owner_token);
    let ((revoked, revoked_secret), (_, kept_secret)) = (key(&owner, &project), key(&owner, &project));
    let organization = owner.get(&format!("/v1/projects/{project}")).1["organization_id"].clone();
    let invitations = format!("/v1/organizations/{}/invitations", organization.as_str().unwrap());
    owner.post(&invitations, &json!({"email": "n@else.example"}));
    let (data, copy) = (installation.path("data"), installation.path("copy"));
    refused(&latchkey(&["backup", "--dir", text(&data), "--out", text(&copy)], ""), "ask it, by `--url`");
    let url = installation.url();
    refused(&latchkey(&["backup", "--url", &url, "--out", text(&copy)], &owner_token), "403");
    assert!(!copy.exists());
    succeeded(&latchkey(&["backup", "--url", &url, "--out", text(&copy)], &installation.operator));

    let mut edge = Edge::cold(&installation);
    let (_, later_secret) = key(&owner, &project);
    edge.waits_until(&later_secret, true);
    assert!(edge.lets_in(&revoked_secret) && edge.lets_in(&kept_secret));
    owner.post(&format!("/v1/keys/{revoked}/revoke"), &json!({}));
    edge.waits_until(&revoked_secret, false);
    // The refusal rode inline. A grant waits for a statement, and once it is known none is signed that is not published.
    let (_, last_secret) = key(&owner, &project);
    edge.waits_until(&last_secret, true);
    installation.stop();
    edge.catch_up();
    let seen = edge.generation();

    let published = installation.path("published");
    let session_key = fs::read(data.join("keys/session")).unwrap();
    let restore = ["restore", "--dir", text(&data), "--backup", text(&copy)];
    refused(&latchkey(&restore, ""), "`--published` is needed");
    let nowhere = installation.path("nowhere");
    fs::create_dir(&nowhere).unwrap();
    refused(&latchkey(&[&restore[..], &["--published", text(&nowhere)]].concat(), ""), "no head");
    let mut broken = fs::read(&copy).unwrap();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    let spoiled = installation.path("spoiled");
    fs::write(&spoiled, broken).unwrap();
    let from_spoiled =
        ["restore", "--dir", text(&data), "--backup", text(&spoiled), "--published", text(&published)];
    assert!(!latchkey(&from_spoiled, "").status.success());
    let told = succeeded(&latchkey(&[&restore[..], &["--published", text(&published)]].concat(), ""));
    assert!(told.contains("1 things are held"), "{told}");
    let listed = succeeded(&latchkey(&["restore", "--dir", text(&data), "--report"], ""));
    assert!(listed.contains(&format!("key/{revoked} refused")), "{listed}");
    assert_ne!(fs::read(data.join("keys/session")).unwrap(), session_key);

    installation.start();
    // The owner's session ended with the restore.
    assert_eq!(Client::new(&installation.url(), &owner_token).get("/v1/me").0, 401);
    edge.waits_until(&later_secret, false);
    assert!(edge.generation() > seen);
    let mut cold = Edge::cold(&installation);
    for edge in [&mut edge, &mut cold] {
        edge.waits_until(&kept_secret, true);
        assert!(!edge.lets_in(&revoked_secret) && !edge.lets_in(&later_secret));
    }

    let operator = Client::new(&installation.url(), &installation.operator);
    let session = operator.post("/v1/operator/sessions", &json!({"email": "o@acme.example"}));
    let owner = Client::new(&installation.url(), session["token"].as_str().unwrap());
    assert_eq!(owner.get(&invitations).1["items"][0]["status"], "cancelled");
    for act in ["enable", "rotate"] {
        let (status, problem) = owner.try_post(&format!("/v1/keys/{revoked}/{act}"), &rotation(act)).unwrap();
        assert_eq!((status, problem["code"].as_str()), (409, Some("held_by_restore")), "{act}");
    }
    let (_, held) = operator.get("/v1/operator/restore");
    let organization = held["items"][0]["organization"].as_str().unwrap();
    operator.post("/v1/operator/restore/confirm", &json!({"organization": organization}));
    edge.waits_until(&revoked_secret, true);
    cold.waits_until(&revoked_secret, true);
    assert_eq!(operator.get("/v1/operator/restore").1["items"], json!([]));
}

/// A hub that answers so many questions after what it holds, and nothing else.
fn hub(questions: usize, generation: u64, as_of: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = json!({"generation": generation, "as_of": as_of, "root_version": 1}).to_string();
    std::thread::spawn(move || {
        for _ in 0..questions {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let asked = String::from_utf8(asked).unwrap();
            let is_known = asked.starts_with("GET /.latchkey/push/status ") && asked.contains("Bearer ");
            let status = if is_known { "200 OK" } else { "404 Not Found" };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

/// The database is lost, and the only place that can be read was down while the hub went on.
#[test]
fn place_that_lags_a_hub_is_refused_until_an_operator_says_that_it_was_considered() {
    let mut installation = Installation::new();
    let (owner_token, project) = installation.populate();
    let owner = Client::new(&installation.url(), &owner_token);
    let (data, copy) = (installation.path("data"), installation.path("copy"));
    let url = installation.url();
    succeeded(&latchkey(&["backup", "--url", &url, "--out", text(&copy)], &installation.operator));
    let mut edge = Edge::cold(&installation);
    let (_, secret) = key(&owner, &project);
    edge.waits_until(&secret, true);
    installation.stop();
    let published = installation.path("published");
    fs::rename(data.join("state.redb"), installation.path("lost")).unwrap();

    let looked =
        succeeded(&latchkey(&["snapshot", "inspect", "--json", "--dir", text(&data), text(&published)], ""));
    let head = serde_json::from_str::<Value>(&looked).unwrap()["head"].clone();
    let generation = head["statement"]["generation"].as_u64().unwrap();
    let as_of = head["as_of_ms"].as_u64().unwrap();
    let restore = ["restore", "--dir", text(&data), "--backup", text(&copy)];
    let by_place = |url: &str, more: &[&str]| {
        let place = ["--published", text(&published), "--edge", url];
        latchkey(&[&restore[..], &place, more].concat(), "")
    };
    for (held, seen) in [(generation + 1, as_of), (generation, as_of + 1)] {
        let url = hub(1, held, seen);
        let told = by_place(&url, &[]);
        refused(&told, "its hub holds a newer head");
        refused(&told, &format!("--considered {held},{seen}"));
    }
    let url = hub(1, generation + 5, as_of + 5);
    let floor = (generation + 4).to_string();
    refused(
        &latchkey(&[&restore[..], &["--offline-floor", &floor, "--edge", &url]].concat(), ""),
        "must not be below it",
    );
    let beyond = [&restore[..], &["--offline-floor", "4503599627370497"]].concat();
    refused(&latchkey(&beyond, ""), "4503599627370496");
    refused(&by_place("http://127.0.0.1:1", &[]), "cannot be asked");
    assert!(!data.join("state.redb").exists());

    let url = hub(1, generation + 5, as_of + 5);
    let considered = format!("{},{}", generation + 5, as_of + 5);
    succeeded(&by_place(&url, &["--considered", &considered]));
    let again = ["restore", "--dir", text(&data), "--considered"];
    refused(&latchkey(&[&again[..], &["1,99999999999999"]].concat(), ""), "nothing was signed yet");
    refused(&latchkey(&[&again[..], &["4503599627370496,1"]].concat(), ""), "restore the backup again");
    let noted = format!("{},{}", generation + 6, as_of + 6);
    assert!(succeeded(&latchkey(&[&again[..], &[&noted]].concat(), "")).contains("goes on above"));
    installation.start();
    edge.waits_until(&secret, false);
    assert!(edge.generation() > generation + 6);
}

fn rotation(act: &str) -> Value {
    if act == "rotate" { json!({"overlap_minutes": 0}) } else { json!({}) }
}
