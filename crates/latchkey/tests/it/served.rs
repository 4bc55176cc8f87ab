//! An installation in a directory of its own, served by a real process on a port of its own.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);

/// A process of the installation's beside its server.
pub(crate) struct Process {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Process {
    /// The address that it announced in this place.
    pub(crate) fn address(&self, at: usize) -> SocketAddr {
        self.addresses[at]
    }
}

impl Process {
    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An installation on disk, served or not.
pub(crate) struct Installation {
    scratch: tempfile::TempDir,
    pub(crate) operator: String,
    server: Option<Server>,
    last_url: String,
    starts: usize,
}

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let output =
            latchkey().arg("init").arg("--dir").arg(&data).args(["--prefix", "lk_test"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let operator = printed.split_whitespace().find(|word| word.starts_with("lko_")).unwrap().to_owned();
        let mut installation = Self { scratch, operator, server: None, last_url: String::new(), starts: 0 };
        installation.start();
        installation
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs `latchkey signer` with this line, in which `DIR` is the installation.
    pub(crate) fn signer(&self, line: &str) {
        let data = self.path("data");
        let line = line.replace("DIR", data.to_str().unwrap());
        let output = latchkey().arg("signer").args(line.split(' ')).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// 32 secret bytes of the installation.
    pub(crate) fn secret(&self, name: &str) -> [u8; 32] {
        let text = fs::read_to_string(self.path("data").join(name)).unwrap();
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    /// Waits until the log of the running server says this.
    pub(crate) fn log_says(&self, words: &str) {
        let (start, log) = (Instant::now(), self.path(&format!("log-{}", self.starts)));
        while !String::from_utf8_lossy(&fs::read(&log).unwrap()).contains(words) {
            assert!(start.elapsed() < START_MAX, "the log never said `{words}`");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command of the binary to its good end.
    pub(crate) fn run(&self, arguments: &[&str]) {
        let output = latchkey().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a command of the binary that serves; its log is `NAME.log`.
    pub(crate) fn spawn(&self, arguments: &[&str], name: &str) -> Process {
        let (ready, log) = (self.path(&format!("{name}.ready")), self.path(&format!("{name}.log")));
        let log = File::create(log).unwrap();
        let mut command = latchkey();
        command
            .args(arguments)
            .arg("--ready-file")
            .arg(&ready)
            .env("RUST_LOG", "latchkey=debug,latchkey_native=debug");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let lines = wait_for(&ready, &mut child);
        let address = |line: &str| line.strip_prefix("http://").unwrap().parse().unwrap();
        Process { child, addresses: lines.lines().map(address).collect() }
    }

    /// Where the server is, or was.
    pub(crate) fn last_url(&self) -> String {
        self.last_url.clone()
    }

    /// Whether a server on this installation starts at all.
    pub(crate) fn serves(&self) -> bool {
        let mut command = latchkey();
        command.arg("serve").arg("--dir").arg(self.path("data")).args(["--listen", "127.0.0.1:0"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        // The first line on standard output, or its end.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        line.starts_with("listening")
    }

    /// Starts the server (again); each start has its own log.
    pub(crate) fn start(&mut self) {
        self.starts += 1;
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let log = File::create(self.path(&format!("log-{}", self.starts))).unwrap();
        let routes = self.path("routes.toml");
        let routes = routes.exists().then(|| [Path::new("--routes").to_owned(), routes]);
        let child = latchkey()
            .arg("serve")
            .args(routes.into_iter().flatten())
            .arg("--dir")
            .arg(self.path("data"))
            .args(["--listen", "127.0.0.1:0", "--operator-sign-in"])
            .arg("--directory")
            .arg(self.path("published"))
            .arg("--ready-file")
            .arg(&ready)
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server { child, url: String::new() };
        let address = wait_for(&ready, &mut server.child);
        server.url = if address.starts_with("http") { address } else { format!("http://{address}") };
        self.last_url.clone_from(&server.url);
        self.server = Some(server);
    }

    /// Ends the server as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.server.as_ref().unwrap().child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Asks the server to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        let asked = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert!(server.child.wait().unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        self.server.as_ref().unwrap().url.clone()
    }

    /// Makes an organization, signs its owner in, and makes a project: the owner's token and the project's id.
    pub(crate) fn populate(&self) -> (String, String) {
        let operator = Client::new(&self.url(), &self.operator);
        let organization =
            operator.post("/v1/organizations", &json!({"name": "Acme", "owner_email": "o@acme.example"}));
        let session = operator.post("/v1/operator/sessions", &json!({"email": "o@acme.example"}));
        let token = session["token"].as_str().unwrap().to_owned();
        let organization = organization["organization"]["id"].as_str().unwrap();
        let owner = Client::new(&self.url(), &token);
        let path = format!("/v1/organizations/{organization}/projects");
        let project = owner.post(&path, &json!({"name": "Alpha", "slug": "alpha"}));
        (token, project["id"].as_str().unwrap().to_owned())
    }
}

fn latchkey() -> Command {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
}

fn wait_for(ready: &Path, child: &mut Child) -> String {
    let start = Instant::now();
    while start.elapsed() < START_MAX {
        if let Some(line) =
            fs::read_to_string(ready).ok().and_then(|text| text.strip_suffix('\n').map(str::to_owned))
        {
            return line;
        }
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the server was not ready in time");
}

/// The API, to the holder of a token.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Client {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .proxy(None)
            .build();
        Self { agent: config.into(), url: url.to_owned(), token: token.to_owned() }
    }

    /// The answer's status and body, or `None` when the server went away.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .content_type("application/json");
        let mut response = request.send(body.to_string()).ok()?;
        let text = response.body_mut().read_to_string().ok()?;
        Some((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, body).unwrap();
        assert!((200..300).contains(&status), "{path} answered {status}: {answer}");
        answer
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut response = request.header("authorization", format!("Bearer {}", self.token)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
