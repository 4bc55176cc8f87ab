//! The native gate as its users run it: a process between clients and an origin, fed by a control plane that may die.

mod assertion;
mod decisions;
mod long;
mod rules;

use crate::served::{Client, Installation, Process};
use latchkey_api::Timestamp;
use latchkey_core::UnixSeconds;
use latchkey_snapshot::{Root, UnverifiedHead};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

const ARRIVE_MAX: Duration = Duration::from_secs(30);
const RULES: &str = r#"
[cors]
origins = ["https://app.example"]

[[route]]
methods = ["GET", "POST"]
path = "/v1/projects/{project}/models/{*rest}"
permission = "models.view"
project = { path = "project" }

[[route]]
method = "POST"
path = "/v1/chat"
permission = "inference.invoke"
model = { body = "model" }

[[route]]
method = "GET"
path = "/v1/public"
public = true

[[route]]
method = "GET"
path = "/v1/shadow"
permission = "models.view"
shadow_until = UNTIL
"#;

/// Where a gate reads what is published.
#[derive(Clone, Copy)]
enum From {
    ControlPlane,
    Directory,
}

/// An origin that answers with the request's head as it came, and remembers it.
struct Echo {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let memory = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let memory = Arc::clone(&memory);
                std::thread::spawn(move || answer(stream, &memory));
            }
        });
        Self { address, seen }
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>) {
    let head = head(&mut stream);
    if head.is_empty() {
        return;
    }
    seen.lock().unwrap().push(head.clone());
    if head.contains("/models/stream") {
        return echo(&mut stream, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    }
    if head.to_lowercase().contains("upgrade: websocket") {
        let switching =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nlatchkey-key: x\r\n\r\n";
        return echo(&mut stream, switching);
    }
    if head.contains("/models/hints") {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nLatchkey-Role: evil\r\n\r\n";
        let _ = stream.write_all([hints, hints, "HTTP/1.1 102 Processing\r\n\r\n"].concat().as_bytes());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let head = format!("{head}{}", String::from_utf8_lossy(&body));
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nLatchkey-Role: origin's own\r\nx-kept: yes\r\nconnection: close\r\n\r\n{head}",
        head.len()
    );
    // Whoever has gone away needs no answer.
    let _ = stream.write_all(reply.as_bytes());
}

/// Says this, and from then on whatever it hears, as soon as it hears it.
fn echo(stream: &mut TcpStream, head: &[u8]) {
    let mut bytes = [0; 1024];
    let _ = stream.write_all(head);
    while let Ok(read) = stream.read(&mut bytes)
        && read > 0
    {
        let _ = stream.write_all(&bytes[..read]);
        if bytes[..read].ends_with(b"0\r\n\r\n") {
            return;
        }
    }
}

/// Everything up to the empty line.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An installation with a project, an origin, and a gate in front of it.
struct Scene {
    installation: Installation,
    owner: Client,
    project: String,
    echo: Echo,
    gate: Option<Process>,
    starts: usize,
    /// What the gate is told besides.
    extra: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let mut installation = Installation::new();
        installation.stop();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let until = Timestamp(UnixSeconds(since.as_secs() + 10 * 86_400));
        let until = serde_json::to_string(&until).unwrap();
        fs::write(installation.path("routes.toml"), RULES.replace("UNTIL", until.trim_matches('"'))).unwrap();
        installation.start();
        let (owner, project) = installation.populate();
        let owner = Client::new(&installation.url(), &owner);
        let data = installation.path("data").to_str().unwrap().to_owned();
        let env = installation.path("gate.env").to_str().unwrap().to_owned();
        installation.run(&["gate-env", "--dir", &data, "--out", &env, "--assertion"]);
        let mut text = fs::read_to_string(&env).unwrap();
        text = text.replace("LATCHKEY_FORWARD_TOKEN=\n", "LATCHKEY_FORWARD_TOKEN=the-proxys-own-token\n");
        fs::write(&env, text).unwrap();
        let mut scene = Self {
            installation,
            owner,
            project,
            echo: Echo::start(),
            gate: None,
            starts: 0,
            extra: Vec::new(),
        };
        scene.start_gate();
        scene
    }

    fn start_gate(&mut self) {
        self.start_gate_from(From::ControlPlane);
    }

    fn start_gate_from(&mut self, from: From) {
        self.gate = None;
        self.starts += 1;
        let path = |name: &str| self.installation.path(name).to_str().unwrap().to_owned();
        let (control, origin) = (self.installation.last_url(), format!("http://{}", self.echo.address));
        let (place, at) = match from {
            From::ControlPlane => ("--control", control),
            From::Directory => ("--published", path("published")),
        };
        let (env, state) = (path("gate.env"), path("state"));
        let mut arguments = [
            ["gate", "--env", &env, place, &at],
            ["--origin", &origin, "--state", &state, "--log=text"],
            ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--client=peer"],
        ]
        .concat();
        arguments.extend(self.extra.iter().map(String::as_str));
        self.gate = Some(self.installation.spawn(&arguments, &format!("gate-{}", self.starts)));
    }

    fn key(&self) -> (String, String) {
        self.key_of(&json!({ "name": "a" }))
    }

    fn key_of(&self, body: &Value) -> (String, String) {
        let made = self.owner.post(&format!("/v1/projects/{}/keys", self.project), body);
        let text = |pointer| made.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        (text("/key/id"), text("/secret"))
    }

    /// Status, head and body of the answer to a request as it is.
    fn raw(&self, request: &[u8]) -> (u16, String) {
        exchange(self.gate.as_ref().unwrap().address(0), request)
    }

    fn get(&self, target: &str, headers: &str) -> (u16, String) {
        self.raw(format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n").as_bytes())
    }

    fn with_key(&self, target: &str, key: &str) -> (u16, String) {
        self.get(target, &format!("authorization: Bearer {key}\r\n"))
    }

    /// Asks until the answer is this.
    fn until(&self, target: &str, key: &str, is_it: impl Fn(u16, &str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let (status, text) = self.with_key(target, key);
            if is_it(status, &text) {
                return text;
            }
            assert!(began.elapsed() < ARRIVE_MAX, "it never came: {status} {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the copy on disk knows what this answer knew.
    fn until_kept(&self, answer: &str) {
        let (_, rest) = answer.split_once("latchkey-generation: ").unwrap();
        let generation: u64 = rest.split('\r').next().unwrap().parse().unwrap();
        let root = Root::pinned(&fs::read(self.installation.path("data/roots/1")).unwrap()).unwrap();
        let began = Instant::now();
        loop {
            let bytes = fs::read(self.installation.path("state/head")).unwrap_or_default();
            let head = UnverifiedHead::parse(&bytes).ok().map(|head| head.verify(&root).unwrap());
            if head.is_some_and(|head| head.statement.generation.0 >= generation) {
                return;
            }
            assert!(began.elapsed() < ARRIVE_MAX, "it was never kept: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        let path: PathBuf = self.installation.path(&format!("gate-{}.log", self.starts));
        fs::read_to_string(path).unwrap_or_default()
    }
}

fn exchange(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ARRIVE_MAX)).unwrap();
    // A gate that refuses early may have closed already.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

const MODELS: &str = "/v1/projects/alpha/models/a";

#[test]
fn gateway_lets_in_by_the_rules_and_tells_the_origin_who_calls() {
    let scene = Scene::new();
    let (id, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let spoofed = format!(
        "authorization: Bearer {key}\r\nLatchkey-Role: admin\r\nlatchkey_key: x\r\nX-HTTP-Method-Override: DELETE\r\n\
         X-Original-URL: /other\r\nconnection: close, X-Hop\r\nx-hop: 1\r\nX-Kept: 1\r\n"
    );
    let (status, text) = scene.get(&format!("{MODELS}?q=%2e%2e/a&b"), &spoofed);
    let (told, seen) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(seen.starts_with("GET /v1/projects/alpha/models/a?q=%2e%2e/a&b HTTP/1.1\r\n"), "{seen}");
    let seen = seen.to_lowercase();
    assert!(seen.contains(&format!("latchkey-key: {}\r\n", id.to_lowercase())), "{seen}");
    assert!(seen.contains("latchkey-role: member\r\n") && seen.contains("x-kept: 1\r\n"), "{seen}");
    for gone in
        ["authorization", "latchkey_key", "override", "x-original-url", "x-hop", "latchkey-role: admin"]
    {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    let told = told.to_lowercase();
    assert!(
        told.contains("x-kept: yes") && !told.contains("latchkey-role") && told.contains("latchkey-age"),
        "{told}"
    );

    let (status, text) = scene.with_key("/v1/whoami", &key);
    assert!(status == 200 && text.contains(&id) && text.contains("\"slug\":\"alpha\""), "{text}");
    let (status, text) = scene.get("/.latchkey/status", "");
    assert!(status == 200 && text.contains("\"health\":\"fresh\""), "{text}");
    scene.owner.post(&format!("/v1/keys/{id}/revoke"), &json!({}));
    scene.until(MODELS, &key, |status, text| status == 401 && text.contains("\"revoked\""));

    let (status, text) = exchange(
        scene.gate.as_ref().unwrap().address(1),
        b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(status, 200);
    assert!(text.contains("latchkey_gate_health{health=\"fresh\"} 1"), "{text}");
    assert!(text.contains("latchkey_gate_answers_total{cause=\"revoked\"}") && !text.contains(&id), "{text}");
    assert_eq!(scene.get("/metrics", "").0, 401, "it is not on the gate's own address");
}

#[test]
fn proxy_that_shows_its_token_is_told_whether_to_pass_a_request_on() {
    let scene = Scene::new();
    let (id, key) = scene.key();
    scene.until("/v1/whoami", &key, |status, _| status == 200);
    let original = format!("x-original-method: GET\r\nx-original-uri: {MODELS}\r\n");
    let token = "latchkey-forward-token: the-proxys-own-token\r\n";
    let bearer = format!("authorization: Bearer {key}\r\n");
    let ask = |headers: &[&str]| scene.get("/.latchkey/verify", &headers.concat());
    let (status, text) = ask(&[token, &original, &bearer]);
    assert!(status == 200 && text.contains(&format!("latchkey-key: {id}")), "{text}");
    for (headers, expected) in [
        (&[original.as_str(), &bearer][..], 403),
        (&[token, token, &original, &bearer], 403),
        (&["latchkey-forward-token: the-proxys-own-tokem\r\n", &original, &bearer], 403),
        (&[token, &bearer], 400),
        (&[token, &original, &original, &bearer], 400),
        (&[token, "x-original-method: get\r\nx-original-uri: /a\r\n", &bearer], 400),
        (&[token, "x-forwarded-method: GET\r\nx-forwarded-uri: /a\r\n", &bearer], 400),
        (&[token, &original, &bearer, "latchkey_role: admin\r\n"], 400),
        (&[token, &original, &bearer, "x.original!url: /a\r\n"], 400),
        (&[token, &original], 401),
        (&[token, &original, &bearer, &bearer], 401),
        (&[token, "x-original-method: GET\r\nx-original-uri: /v1/projects/alpha/../beta\r\n", &bearer], 400),
        (&[token, "x-original-method: GET\r\nx-original-uri: /v1/projects/other/models/a\r\n", &bearer], 404),
    ] {
        let (status, text) = ask(headers);
        assert_eq!(status, expected, "{headers:?}: {text}");
    }
    assert_eq!(scene.echo.count(), 0);
}

#[test]
fn what_could_be_read_in_two_ways_reaches_no_origin() {
    let scene = Scene::new();
    let (_, key) = scene.key();
    scene.until("/v1/whoami", &key, |status, _| status == 200);
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let request = |line: &str, headers: &str| {
        format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
    };
    let good = format!("GET {MODELS}");
    let huge = format!("x-huge: {}\r\n{bearer}", "x".repeat(80_000));
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>() + &bearer;
    let table = [
        (request(&good, ""), &[401][..]),
        (request(&good, &format!("{bearer}{bearer}")), &[401]),
        (request(&good, &format!("{bearer}aUTHORIZATION: Bearer x\r\n")), &[401]),
        (request(&good, &format!("Authorization: Bearer x, Bearer {key}\r\n")), &[401]),
        (request(&good, &format!("Authorization: Bearer x\r\n Bearer {key}\r\n")), &[400, 401]),
        (request(&good, &format!("Authorization : Bearer {key}\r\n")), &[400]),
        (request(&good, &format!("Authorization: Bearer  {key}\r\n")), &[401]),
        (request(&good, &format!("Authorization: Basic {key}\r\n")), &[401]),
        (request("GET /v1/projects/alpha/models/../models/a", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/./a", &bearer), &[400]),
        (request("GET /v1/projects/alpha//models/a", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/%2e%2e/a", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/a%2Fb", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/%61", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/a\\b", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/%00", &bearer), &[400]),
        (request("GET /v1/projects/alpha/models/%ff", &bearer), &[400]),
        (request("GET http://other/v1/projects/other/models/a", &bearer), &[404]),
        (request("GET /v1/projects/other/models/a", &bearer), &[404]),
        (request("GET /nothing", &bearer), &[404]),
        (request("GET /.latchkey/else", &bearer), &[404]),
        (request("OPTIONS *", &bearer), &[400, 404]),
        (request("CONNECT alpha:80", &bearer), &[400, 404]),
        (request(&good, &huge), &[400, 431]),
        (request(&good, &many), &[400, 431]),
        (request(&good, &format!("{bearer}content-length: 3\r\ncontent-length: 4\r\n")), &[400]),
        (request(&good, &format!("{bearer}transfer-encoding: chunked, identity\r\n")), &[400]),
        (format!("GET {MODELS}\r\n{bearer}\r\n"), &[400, 0]),
    ];
    for (request, expected) in table {
        let (status, text) = scene.raw(request.as_bytes());
        assert!(expected.contains(&status), "{request:.200}: {text}");
    }
    assert_eq!(scene.echo.count(), 0, "{:?}", scene.echo.seen.lock().unwrap());
    // With both lengths, the origin gets one request.
    let both = format!("{bearer}content-length: 90\r\ntransfer-encoding: chunked\r\n\r\n0\r\n");
    let (status, _) = scene.raw(request(&format!("POST {MODELS}"), &both).as_bytes());
    assert!(matches!(status, 200 | 400), "{status}");
    let seen = scene.echo.seen.lock().unwrap().join("").to_lowercase();
    assert!(!(seen.contains("content-length") && seen.contains("transfer-encoding")), "{seen}");
}

#[test]
fn early_hints_of_an_origin_are_no_answer_and_say_nothing_in_our_name() {
    let scene = Scene::new();
    let (_, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let (status, text) = scene.with_key("/v1/projects/alpha/models/hints", &key);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("x-kept: yes") && text.contains("GET /v1/projects/alpha/models/hints"), "{text}");
    assert!(!text.contains("evil") && !text.contains("HTTP/1.1 10"), "{text}");
}

#[test]
fn gate_that_starts_without_its_control_plane_answers_from_the_last_good_copy() {
    let mut scene = Scene::new();
    let (_, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let (gone, revoked) = scene.key();
    scene.until(MODELS, &revoked, |status, _| status == 200);
    scene.owner.post(&format!("/v1/keys/{gone}/revoke"), &json!({}));
    scene.until(MODELS, &revoked, |status, _| status == 401);
    scene.until_kept(&scene.until("/v1/whoami", &key, |status, _| status == 200));
    scene.installation.kill();
    // It goes on, and says so once what it knows is old.
    scene.until(MODELS, &key, |status, text| {
        status == 200 && text.to_lowercase().contains("latchkey-stale: 1")
    });
    scene.start_gate();
    let text = scene.until(MODELS, &key, |status, _| status == 200);
    assert!(text.to_lowercase().contains("latchkey-stale: 1"), "{text}");
    scene.until(MODELS, &revoked, |status, _| status == 401);
    // What nothing names is swept, unless it is young; what is named stays.
    let objects = scene.installation.path("state/objects");
    let (old, young) = (objects.join("0".repeat(64)), objects.join("1".repeat(64)));
    for path in [&old, &young] {
        fs::write(path, b"nothing").unwrap();
    }
    let two_hours_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    for entry in fs::read_dir(&objects).unwrap().map(Result::unwrap).filter(|entry| entry.path() != young) {
        File::options().append(true).open(entry.path()).unwrap().set_modified(two_hours_ago).unwrap();
    }
    scene.start_gate();
    let began = Instant::now();
    while old.exists() {
        assert!(began.elapsed() < ARRIVE_MAX, "{}", scene.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(young.exists());
    scene.start_gate();
    scene.until(MODELS, &key, |status, _| status == 200);
    // With an altered copy there is nothing to answer from.
    let head = scene.installation.path("state/head");
    let mut bytes = fs::read(&head).unwrap();
    bytes[40] ^= 1;
    fs::write(&head, bytes).unwrap();
    scene.start_gate();
    scene.until(MODELS, &key, |status, text| status == 503 && text.contains("no_snapshot"));
}

#[test]
fn signal_to_read_settings_again_ends_no_gate() {
    let scene = Scene::new();
    let (_, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    scene.gate.as_ref().unwrap().signal("HUP");
    let began = Instant::now();
    while !scene.log().contains("SIGHUP changes nothing") {
        assert!(began.elapsed() < ARRIVE_MAX, "{}", scene.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(scene.with_key(MODELS, &key).0, 200);
}

/// What there is to read until the text is seen.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut seen, mut bytes) = (String::new(), [0; 1024]);
    while !seen.contains(text) {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "`{text}` never came: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    seen
}

#[test]
fn bodies_stream_both_ways_and_a_websocket_goes_through() {
    let scene = Scene::new();
    let (_, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let connect = |head: String| {
        let mut stream = TcpStream::connect(scene.gate.as_ref().unwrap().address(0)).unwrap();
        stream.set_read_timeout(Some(ARRIVE_MAX)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let bearer = format!("host: a\r\nauthorization: Bearer {key}\r\n");
    let mut stream = connect(format!(
        "POST /v1/projects/alpha/models/stream HTTP/1.1\r\n{bearer}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    ));
    // The answer comes while the request is still on its way.
    let head = read_until(&mut stream, "first");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    stream.write_all(b"6\r\nsecond\r\n").unwrap();
    read_until(&mut stream, "second");
    stream.write_all(b"0\r\n\r\n").unwrap();

    let wish = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n";
    let mut socket = connect(format!("GET {MODELS} HTTP/1.1\r\n{bearer}{wish}\r\n"));
    let head = read_until(&mut socket, "\r\n\r\n").to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(!head.contains("latchkey-key"), "{head}");
    socket.write_all(b"ping").unwrap();
    assert!(read_until(&mut socket, "ping").ends_with("ping"));
    // No other protocol goes on: its requests would not be judged. Nor do trailers, which some read as headers.
    let bearer = format!("authorization: Bearer {key}\r\n");
    let seen = scene.echo.count();
    for wish in [
        "upgrade: h2c\r\nhttp2-settings: x\r\n",
        "upgrade: h2c\r\nupgrade: websocket\r\n",
        "upgrade: websocket, h2c\r\n",
    ] {
        let head =
            format!("GET {MODELS} HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings, close\r\n");
        let (status, text) = scene.raw(format!("{head}{bearer}{wish}\r\n").as_bytes());
        assert!(status == 200 && !text.to_lowercase().contains("upgrade"), "{text}");
    }
    assert_eq!(scene.echo.count(), seen + 3);
    let trailing = "transfer-encoding: chunked\r\ntrailer: latchkey-role\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\nlatchkey-role: admin\r\n\r\n";
    let head = "POST /v1/projects/alpha/models/stream HTTP/1.1\r\nhost: a\r\n";
    let (status, text) = scene.raw(format!("{head}{bearer}{trailing}").as_bytes());
    assert!(status == 200 && text.contains("abc") && !text.contains("admin"), "{text}");
    // Whoever may not go on to it is refused.
    let (status, _) = scene.get(MODELS, wish);
    assert_eq!(status, 401);
}

#[test]
fn rate_is_kept_and_what_was_used_is_told_once() {
    let mut scene = Scene::new();
    let operator = Client::new(&scene.installation.url(), &scene.installation.operator);
    let made = operator.post("/v1/operator/usage-tokens", &json!({ "name": "gate" }));
    let env = scene.installation.path("gate.env");
    let set = format!("LATCHKEY_USAGE_TOKEN={}\n", made["token"].as_str().unwrap());
    fs::write(&env, fs::read_to_string(&env).unwrap().replace("LATCHKEY_USAGE_TOKEN=\n", &set)).unwrap();
    scene.start_gate();
    let (_, key) = scene.key_of(&json!({ "name": "a", "narrowing": { "requests_per_minute": 3 } }));
    scene.until("/v1/whoami", &key, |status, _| matches!(status, 200 | 429));
    // Nine in a row lie in two minutes at most; `whoami` counts for the rate and is nobody's use.
    let statuses: Vec<u16> = (0..9).map(|_| scene.with_key(MODELS, &key).0).collect();
    let let_in = statuses.iter().filter(|status| **status == 200).count();
    assert!((1..=6).contains(&let_in) && statuses.contains(&429), "{statuses:?}");
    scene.gate.as_mut().unwrap().stop();
    let usage = scene.owner.get(&format!("/v1/projects/{}/usage", scene.project)).1;
    assert_eq!(usage["total"]["requests"], let_in, "{usage}");
}

#[test]
fn rules_reach_into_bodies_and_let_pass_what_is_public_or_in_shadow() {
    let mut scene = Scene::new();
    scene.start_gate_from(From::Directory);
    let narrowing = json!({ "models": [{ "match": "exact", "name": "a/b" }] });
    let (_, key) = scene.key_of(&json!({ "name": "a", "narrowing": narrowing }));
    scene.until("/v1/whoami", &key, |status, _| status == 200);
    let chat = |body: &str| {
        let head = "POST /v1/chat HTTP/1.1\r\nhost: a\r\nconnection: close\r\nlatchkey-model: c\r\n";
        let rest = format!("authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        scene.raw(format!("{head}{rest}").as_bytes())
    };
    let body = r#"{"model":"a/b","stream":false}"#;
    let (status, text) = chat(body);
    assert!(status == 200 && text.ends_with(body), "{text}");
    assert!(text.contains("latchkey-model: a/b\r\n") && !text.contains("latchkey-model: c"), "{text}");
    // What lies beyond the part that is looked at goes on, too.
    let long = format!(r#"{{"model":"a/b","prompt":"{}"}}"#, "x".repeat(300_000));
    let (status, text) = chat(&long);
    assert!(status == 200 && text.ends_with(&long), "{} bytes: {text:.300}", text.len());
    let seen = scene.echo.count();
    for body in [
        r#"{"model":"c"}"#,
        r#"{"model":"a/b","model":"c"}"#,
        r#"{"MODEL":"c","model":"a/b"}"#,
        r#"{"prompt":"x"}"#,
        "",
    ] {
        let (status, text) = chat(body);
        assert!(matches!(status, 400 | 403), "{body}: {text}");
    }
    assert_eq!(scene.echo.count(), seen);

    let page = "origin: https://app.example\r\n";
    for path in ["/v1/public", "/v1/shadow"] {
        let (status, text) = scene.get(path, &format!("{page}latchkey-role: admin\r\n"));
        let (told, seen) = text.split_once("\r\n\r\n").unwrap();
        assert!(status == 200 && told.contains("access-control-allow-origin: https://app.example"), "{text}");
        assert!(!seen.contains("latchkey-"), "{path}: nobody is named: {seen}");
    }
    let preflight = |page: &str| {
        let head = "OPTIONS /v1/chat HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
        scene.raw(format!("{head}{page}access-control-request-method: POST\r\n\r\n").as_bytes())
    };
    let (status, text) = preflight(page);
    assert!(status == 204 && text.contains("access-control-allow-methods: POST"), "{text}");
    assert_eq!(preflight("origin: https://other.example\r\n").0, 403);
}
