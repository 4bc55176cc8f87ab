//! The native gate under load, beside nginx: forward-auth with a key that is let in against a static 204, and the gateway
//! against `proxy_pass` to the same origin. `wrk` asks both in turn, on the same machine, in the same run.

use super::Effort;
use super::row::Value;
use crate::dev::client::{Api, text, until};
use crate::dev::process::Process;
use crate::{dev, repo, setup, step};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START_MAX: Duration = Duration::from_secs(30);
/// Connections that `wrk` keeps busy, from one thread.
const CONNECTIONS: usize = 32;
const PATH: &str = "/v1/files";
const TOKEN: &str = "a forward token for the bench only";
const RULES: &str = "[[route]]\nmethod = \"GET\"\npath = \"/v1/files\"\npermission = \"files.view\"\n";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    let programs = Programs::find()?;
    let scene = Scene::start(&programs)?;
    let forward = format!(
        "request = function() return wrk.format('GET', '/.latchkey/verify', {{ ['Authorization'] = 'Bearer {}', \
         ['Latchkey-Forward-Token'] = '{TOKEN}', ['X-Original-Method'] = 'GET', ['X-Original-URI'] = '{PATH}' }}) end\n",
        scene.key
    );
    let through = format!(
        "request = function() return wrk.format('GET', '{PATH}', {{ ['Authorization'] = 'Bearer {}' }}) end\n",
        scene.key
    );
    let plain = format!("request = function() return wrk.format('GET', '{PATH}') end\n");
    let load = |name: &str, url: &str, script: &str| {
        let path = scene.dir.path().join(format!("{name}.lua"));
        fs::write(&path, format!("{script}{DONE}"))?;
        Ok::<_, anyhow::Error>(Load { wrk: programs.wrk.clone(), url: url.to_owned(), script: path })
    };
    let nothing = load("static", &format!("{}/static", scene.nginx_url), "")?;
    let verify = load("verify", &scene.gate_url, &forward)?;
    let proxied = load("proxied", &scene.nginx_url, &plain)?;
    let gateway = load("gateway", &scene.gate_url, &through)?;
    let ask = compare(effort, &verify, &nothing)?;
    let pass = compare(effort, &gateway, &proxied)?;
    Ok([
        ask.values("native_gate_forward", "forward-auth, a key that is let in", "nginx's static 204"),
        pass.values("native_gate_gateway", "gateway to an origin of nginx's", "nginx's `proxy_pass` to it"),
    ]
    .concat())
}

/// Prints requests a second, the 99th percentile in µs, and how many answers were none or no success.
const DONE: &str = r#"
done = function(summary, latency)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  print(string.format("MEASURED %f %f %d", summary.requests / summary.duration * 1e6, latency:percentile(99), wrong))
end
"#;

struct Load {
    wrk: PathBuf,
    url: String,
    script: PathBuf,
}

/// Requests a second, and the 99th percentile in ms.
#[derive(Clone, Copy)]
struct Speed {
    per_s: f64,
    p99_ms: f64,
}

impl Load {
    fn run(&self, secs: u64) -> Result<Speed> {
        let mut wrk = Command::new(&self.wrk);
        wrk.args([
            "--threads",
            "1",
            "--connections",
            &CONNECTIONS.to_string(),
            "--duration",
            &format!("{secs}s"),
        ]);
        let output =
            wrk.arg("--script").arg(&self.script).arg(&self.url).output().context("cannot start `wrk`")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers = said.lines().find_map(|line| line.strip_prefix("MEASURED "));
        let numbers: Vec<f64> =
            numbers.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [per_s, p99_us, 0.0] => Ok(Speed { per_s, p99_ms: p99_us / 1000.0 }),
            [_, _, wrong] => bail!("{wrong} answers at `{}` were no success", self.url),
            _ => bail!("`wrk` failed at `{}`: {said}", self.url),
        }
    }
}

/// Ours and theirs, the median round of each.
struct Compared {
    ours: Speed,
    theirs: Speed,
    rounds: usize,
}

fn compare(effort: Effort, ours: &Load, theirs: &Load) -> Result<Compared> {
    for load in [ours, theirs] {
        load.run(1)?;
    }
    let (mut our, mut their) = (Vec::new(), Vec::new());
    for _ in 0..effort.load_rounds {
        our.push(ours.run(effort.load_secs)?);
        their.push(theirs.run(effort.load_secs)?);
    }
    Ok(Compared { ours: median(&mut our)?, theirs: median(&mut their)?, rounds: effort.load_rounds })
}

fn median(speeds: &mut [Speed]) -> Result<Speed> {
    speeds.sort_by(|one, other| one.per_s.total_cmp(&other.per_s));
    speeds.get(speeds.len() / 2).copied().context("there were no rounds")
}

impl Compared {
    fn values(&self, id: &str, what: &str, than: &str) -> Vec<Value> {
        let Self { ours, theirs, rounds } = self;
        let way = format!(
            "`wrk` with {CONNECTIONS} connections from one thread, servers of one thread each; median of {rounds} rounds in turn"
        );
        let detail = format!("{what}; {than}: {:.0}/s. {way}", theirs.per_s);
        let slowest = format!("{what}; {than}: {:.2} ms", theirs.p99_ms);
        vec![
            Value::new(&format!("{id}_per_s"), ours.per_s, detail),
            Value::new(&format!("{id}_ratio"), ours.per_s / theirs.per_s, format!("{what}, over {than}")),
            Value::new(&format!("{id}_p99_ms"), ours.p99_ms, slowest),
        ]
    }
}

struct Programs {
    nginx: PathBuf,
    wrk: PathBuf,
    latchkey: PathBuf,
}

impl Programs {
    fn find() -> Result<Self> {
        let (nginx, wrk) = (setup::debian_program("nginx")?, setup::debian_program("wrk")?);
        let own = std::env::current_exe()?;
        let target =
            own.parent().and_then(Path::parent).context("xtask does not run from a target directory")?;
        let mut command = Command::new(env!("CARGO"));
        setup::own_environment(&mut command)
            .args(["build", "--quiet", "--release", "--package", "latchkey", "--target-dir"])
            .arg(target)
            .current_dir(repo::root());
        step::run("building latchkey for release", &mut command)?;
        Ok(Self { nginx, wrk, latchkey: target.join("release/latchkey") })
    }
}

/// A control plane with one key, a gate that reads from it, and nginx.
struct Scene {
    gate_url: String,
    nginx_url: String,
    key: String,
    // In the order in which they end.
    _processes: [Process; 4],
    dir: TempDir,
}

impl Scene {
    fn start(programs: &Programs) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("latchkey-bench-").tempdir()?;
        let home = dir.path();
        let (origin, origin_url) = start_nginx(&programs.nginx, "origin", home, ORIGIN)?;
        let (nginx, nginx_url) = start_nginx(&programs.nginx, "nginx", home, &front(&origin_url))?;
        let mut init = Command::new(&programs.latchkey);
        dev::stack::initialize_by(init.arg("init"), home)?;
        fs::write(home.join("routes.toml"), RULES)?;
        let mut serve = Command::new(&programs.latchkey);
        serve.arg("serve").arg("--dir").arg(dev::stack::data(home)).args(["--listen", "127.0.0.1:0"]);
        serve.arg("--routes").arg(home.join("routes.toml")).arg("--operator-sign-in");
        let (control, control_url) = started("the control plane", &mut serve, home)?;
        let key = make_key(&control_url, home)?;
        let mut env = Command::new(&programs.latchkey);
        env.arg("gate-env").arg("--dir").arg(dev::stack::data(home)).arg("--out").arg(home.join("gate.env"));
        if !env.output()?.status.success() {
            bail!("`latchkey gate-env` failed");
        }
        let secrets = fs::read_to_string(home.join("gate.env"))?;
        let secrets =
            secrets.replace("LATCHKEY_FORWARD_TOKEN=\n", &format!("LATCHKEY_FORWARD_TOKEN={TOKEN}\n"));
        dev::stack::write_private(&home.join("gate.env"), &secrets)?;
        let mut gate = Command::new(&programs.latchkey);
        gate.arg("gate").arg("--env").arg(home.join("gate.env")).args(["--control", &control_url]);
        gate.args(["--listen", "127.0.0.1:0", "--origin", &origin_url]);
        // As nginx has it.
        gate.env("TOKIO_WORKER_THREADS", "1");
        let (gate, gate_url) = started("the gate", &mut gate, home)?;
        let caller = Api::new(&gate_url).holding(&key);
        until(START_MAX, || caller.get(PATH)?.success())?;
        Ok(Self { gate_url, nginx_url, key, _processes: [gate, control, nginx, origin], dir })
    }
}

/// Starts a server of ours, and tells its address.
fn started(name: &'static str, command: &mut Command, home: &Path) -> Result<(Process, String)> {
    let ready = home.join(format!("{name}.ready"));
    command.arg("--ready-file").arg(&ready).env("RUST_LOG", "warn");
    let mut process = Process::start(name, command, &home.join(format!("{name}.log")))?;
    let url = until(START_MAX, || {
        process.check_running()?;
        let text = fs::read_to_string(&ready)?;
        Ok(text.strip_suffix('\n').context("not ready yet")?.to_owned())
    })?;
    Ok((process, url))
}

fn make_key(control: &str, home: &Path) -> Result<String> {
    let token = fs::read_to_string(dev::stack::operator_token(home))?;
    let operator = Api::new(control).holding(token.trim());
    let body = json!({ "name": "Bench", "owner_email": "bench@example.test" });
    let organization = operator.post("/v1/organizations", &body)?.success()?.json();
    let organization = text(&organization, "/organization/id")?;
    let body = json!({ "email": "bench@example.test" });
    let session = operator.post("/v1/operator/sessions", &body)?.success()?.json();
    let owner = operator.holding(&text(&session, "/token")?);
    let project = owner.post(
        &format!("/v1/organizations/{organization}/projects"),
        &json!({ "name": "Bench", "slug": "bench" }),
    )?;
    let project = text(&project.success()?.json(), "/id")?;
    let made = owner.post(&format!("/v1/projects/{project}/keys"), &json!({ "name": "bench" }))?;
    text(&made.success()?.json(), "/secret")
}

/// Starts nginx with one worker and these locations; it is `name` in messages.
fn start_nginx(nginx: &Path, name: &'static str, home: &Path, locations: &str) -> Result<(Process, String)> {
    let home = home.join(name);
    fs::create_dir(&home)?;
    // It cannot be asked for the port that it took.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let place = home.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {place}/{name}; "))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {temporary}\n{locations}\n}}\n"
    );
    fs::write(home.join("nginx.conf"), text.replace("ADDRESS", &address.to_string()))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf"));
    let mut process = Process::start(name, &mut command, &home.join("log"))?;
    let url = format!("http://{address}");
    let api = Api::new(&url);
    until(START_MAX, || {
        process.check_running()?;
        api.get("/static")?.success()
    })?;
    Ok((process, url))
}

const ORIGIN: &str = "server { listen ADDRESS; location / { return 200 ok; } }";

/// A static 204, and a proxy.
fn front(origin: &str) -> String {
    let host = origin.trim_start_matches("http://");
    format!(
        "upstream origin {{ server {host}; keepalive 64; keepalive_requests 1000000000; }}\n\
         server {{ listen ADDRESS; location = /static {{ return 204; }}\n\
         location = {PATH} {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
    )
}
