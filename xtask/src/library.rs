//! The gate inside applications: each example of examples/ is started against a real control plane, lets a key in, tells that it was
//! used, and refuses it within the bound once it is revoked.

use crate::dev::client::{Api, text, until};
use crate::dev::process::Process;
use crate::dev::stack::{self, build_binary};
use crate::worker_tests::{self, Arguments};
use crate::wrangler::{self, Wrangler};
use crate::{npm, repo, setup, step, wasm};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Within which a change is known (docs/security.md).
const BOUND: Duration = Duration::from_secs(5);
/// Within which an application tells what was used: it gathers for 5 s.
const USED_MAX: Duration = Duration::from_secs(20);
/// How long anything may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// An example, and how it is started.
struct Example {
    name: &'static str,
    start: fn(&Plane, log: &Path) -> Result<Running>,
}

const EXAMPLES: &[Example] = &[
    Example { name: "axum", start: |plane, log| plane.program(axum()?, log) },
    Example {
        name: "hono on node",
        start: |plane, log| plane.program(script(setup::node(), &[], "hono"), log),
    },
    Example {
        name: "deno",
        start: |plane, log| plane.program(script(setup::npm_program("deno"), DENO, "fetch"), log),
    },
    Example {
        name: "bun",
        start: |plane, log| plane.program(script(setup::npm_program("bun"), &["run"], "fetch"), log),
    },
    Example { name: "worker", start: Plane::worker },
];

/// It reads what it is told, and listens and connects here.
const DENO: &[&str] = &["run", "--allow-net=127.0.0.1", "--allow-read", "--allow-env"];

/// A running example and where it answers.
struct Running {
    url: String,
    _process: Box<dyn std::any::Any>,
}

/// Builds what is needed, runs the tests of tests/library, and every example through its story.
///
/// # Errors
/// Something does not build or start, a test failed, or an example answers otherwise than it must.
pub(crate) fn run() -> Result<()> {
    run_some(&Arguments::default())?;
    build_binary()?;
    build_axum()?;
    let scratch = tempfile::tempdir()?;
    let plane = Plane::start(scratch.path())?;
    for example in EXAMPLES {
        let told = plane.try_out(example).with_context(|| format!("the example `{}`", example.name))?;
        println!("ok   {}: {told}", example.name);
    }
    Ok(())
}

/// Builds the npm package and runs some of its tests.
///
/// # Errors
/// It does not build, or a test failed.
pub(crate) fn run_some(arguments: &Arguments) -> Result<()> {
    npm::build()?;
    wasm::build()?;
    worker_tests::node_tests(&worker_tests::files("tests/library", arguments)?, &[])
}

fn build_axum() -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", "latchkey-tower", "--example", "axum"]);
    setup::own_environment(command.current_dir(repo::root()));
    step::run("building the example for axum", &mut command)
}

fn axum() -> Result<Command> {
    let target = stack::binary()?.parent().context("the binary lies in a directory")?.join("examples/axum");
    Ok(Command::new(target))
}

fn script(host: PathBuf, arguments: &[&str], name: &str) -> Command {
    let mut command = Command::new(host);
    command.args(arguments).arg(repo::root().join("examples").join(format!("{name}.mjs")));
    command
}

/// A control plane with an organization and a project.
struct Plane {
    dir: PathBuf,
    env: PathBuf,
    url: String,
    owner: Api,
    project: String,
    _process: Process,
}

impl Plane {
    fn start(dir: &Path) -> Result<Self> {
        stack::initialize(dir)?;
        let (ready, env) = (dir.join("control.ready"), dir.join("gate.env"));
        let mut gate_env = stack::latchkey("gate-env")?;
        gate_env.arg("--dir").arg(stack::data(dir)).arg("--out").arg(&env);
        ensure!(gate_env.status()?.success(), "`latchkey gate-env` failed");
        let mut serve = stack::latchkey("serve")?;
        serve.arg("--dir").arg(stack::data(dir)).args(["--listen", "127.0.0.1:0", "--operator-sign-in"]);
        serve.arg("--routes").arg(repo::root().join("examples/routes.toml"));
        serve.arg("--directory").arg(dir.join("published")).arg("--ready-file").arg(&ready);
        let mut process = Process::start("the control plane", &mut serve, &dir.join("control.log"))?;
        let url = until(START_MAX, || {
            process.check_running()?;
            let text = fs::read_to_string(&ready)?;
            Ok(text.strip_suffix('\n').context("not ready yet")?.to_owned())
        })?;
        let operator = fs::read_to_string(stack::operator_token(dir))?;
        let operator = Api::new(&url).holding(operator.trim());
        fill_in_usage_token(&operator, &env)?;
        let (owner, project) = populate(&operator, &Api::new(&url))?;
        Ok(Self { dir: dir.to_owned(), env, url, owner, project, _process: process })
    }

    /// Runs an example and tries it out; returns how long it took.
    fn try_out(&self, example: &Example) -> Result<String> {
        let log = self.dir.join(format!("{}.log", example.name));
        let running = (example.start)(self, &log)?;
        let told = self.story(&Api::new(&running.url));
        told.with_context(|| format!("its log ends with\n{}", step::last_lines(&log, 20)))
    }

    /// Starts a program that is told the gate's file and the control plane's URL, and says its own in its first line.
    fn program(&self, mut command: Command, log: &Path) -> Result<Running> {
        command.arg(&self.env).arg(&self.url).env("PATH", setup::path_with_node()?).current_dir(repo::root());
        let mut process = Process::start("the example", &mut command, log)?;
        let url = until(START_MAX, || {
            process.check_running()?;
            let text = fs::read_to_string(log)?;
            let url = text.lines().find(|line| line.starts_with("http://"));
            Ok(url.context("not ready yet")?.to_owned())
        })?;
        Ok(Running { url, _process: Box::new(process) })
    }

    fn worker(&self, log: &Path) -> Result<Running> {
        let mut options = wrangler::Options::new(log.to_owned());
        options.configurations = vec![repo::root().join("examples/worker.toml")];
        let env = fs::read_to_string(&self.env)?;
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        options.secrets = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        options.secrets.push(("LATCHKEY_CONTROL_URL".to_owned(), self.url.clone()));
        let wrangler = Wrangler::start(&options)?;
        Ok(Running { url: wrangler.url().to_owned(), _process: Box::new(wrangler) })
    }

    fn story(&self, app: &Api) -> Result<String> {
        let (id, secret) = self.key()?;
        let held = app.holding(&secret);
        let files = "/v1/projects/alpha/files";
        let first = answered(|| held.get(files), 200, "")?;
        let told = held.get(files)?.json();
        ensure!(text(&told, "/project")? == self.project, "the handler was told of another project: {told}");
        ensure!(text(&told, "/for")? == format!("key {id}"), "the handler was told of another key: {told}");
        expect(|| app.get(files), 401, "unauthenticated")?;
        expect(|| held.get("/v1/projects/beta/files"), 404, "not_found")?;
        expect(|| held.get("/v1/whoami"), 200, "")?;
        expect(|| app.get("/healthz"), 200, "")?;
        let evaluate = || held.send("POST", "/internal/evaluate", &[], b"{}".to_vec());
        expect(evaluate, 200, "")?;
        expect(|| app.send("POST", "/internal/evaluate", &[], b"{}".to_vec()), 401, "unauthenticated")?;
        let key = || self.owner.get(&format!("/v1/keys/{id}"))?.success();
        let is_used = || text(&key()?.json(), "/last_used_at").context("nobody told that the key was used");
        until(USED_MAX, is_used)?;
        self.owner.send("POST", &format!("/v1/keys/{id}/revoke"), &[], Vec::new())?.success()?;
        let revoked = answered(|| held.get(files), 401, "revoked")?;
        ensure!(revoked <= BOUND, "the key was let in for {} ms", revoked.as_millis());
        expect(evaluate, 401, "revoked")?;
        Ok(format!(
            "let in {} ms after it was asked for, refused {} ms after it was revoked",
            first.as_millis(),
            revoked.as_millis()
        ))
    }

    /// The id and the text of a new key.
    fn key(&self) -> Result<(String, String)> {
        let path = format!("/v1/projects/{}/keys", self.project);
        let made = self.owner.post(&path, &json!({ "name": "tried" }))?.success()?.json();
        Ok((text(&made, "/key/id")?, text(&made, "/secret")?))
    }
}

/// Makes the token that brings usage, where the file of a gate leaves room for it.
fn fill_in_usage_token(operator: &Api, env: &Path) -> Result<()> {
    let made = operator.post("/v1/operator/usage-tokens", &json!({ "name": "examples" }))?.success()?.json();
    let filled = format!("LATCHKEY_USAGE_TOKEN={}\n", text(&made, "/token")?);
    fs::write(env, fs::read_to_string(env)?.replace("LATCHKEY_USAGE_TOKEN=\n", &filled))?;
    Ok(())
}

/// Makes an organization with two projects; the owner, and the first project's id.
fn populate(operator: &Api, anybody: &Api) -> Result<(Api, String)> {
    let email = "owner@acme.example";
    let body = json!({ "name": "Acme", "owner_email": email });
    let created = operator.post("/v1/organizations", &body)?.success()?.json();
    let session = operator.post("/v1/operator/sessions", &json!({ "email": email }))?.success()?.json();
    let owner = anybody.holding(&text(&session, "/token")?);
    let path = format!("/v1/organizations/{}/projects", text(&created, "/organization/id")?);
    let make = |name: &str, slug: &str| -> Result<String> {
        let made = owner.post(&path, &json!({ "name": name, "slug": slug }))?.success()?.json();
        text(&made, "/id")
    };
    let alpha = make("Alpha", "alpha")?;
    make("Beta", "beta")?;
    Ok((owner, alpha))
}

/// Waits until the answer is this, and returns how long that took.
fn answered(
    ask: impl Fn() -> Result<crate::dev::client::Reply>,
    status: u16,
    code: &str,
) -> Result<Duration> {
    let start = Instant::now();
    until(BOUND * 3, || expect(&ask, status, code).map(|()| start.elapsed()))
}

fn expect(ask: impl Fn() -> Result<crate::dev::client::Reply>, status: u16, code: &str) -> Result<()> {
    let reply = ask()?;
    if reply.status == status && (code.is_empty() || reply.code() == code) {
        return Ok(());
    }
    bail!("it answered {} `{}` where {status} `{code}` was expected", reply.status, reply.code())
}
