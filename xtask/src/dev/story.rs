//! The story of `cargo xtask dev --once`: a key from its creation to its refusal, with every mishap on the way.

use super::access;
use super::client::{Api, Reply, text, until};
use super::stack::{Settings, Stack};
use anyhow::{Context, Result, bail, ensure};
use latchkey_api::Timestamp;
use latchkey_core::UnixSeconds;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The product's own bound from a change to its effect at the edge.
pub(super) const BOUND: Duration = Duration::from_secs(5);
/// Keys made in bulk, and how many of them are tried.
const BULK_KEYS: usize = 10_000;
const BULK_TRIED: usize = 200;

type Act = fn(&mut World) -> Result<String>;

/// The steps in their order; each stands on what the ones before it left.
const STORY: &[(&str, Act)] = &[
    ("organization", organization),
    ("whoami", whoami),
    ("wrong_project", wrong_project),
    ("expired", expired),
    ("junk", junk),
    ("disable_enable", disable_enable),
    ("revoke", revoke),
    ("person", access::person),
    ("narrowed", access::narrowed),
    ("imported", access::imported),
    ("budget", access::budget),
    ("kill", kill),
    ("restart", restart),
    ("tamper", tamper),
    ("replay", replay),
    ("stale", stale),
    ("bulk", bulk),
];

/// Tells the story and writes its steps to `json`.
///
/// # Errors
/// The stack does not start, or a step failed.
pub(crate) fn tell(json: Option<&Path>) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("latchkey-dev-").tempdir()?;
    let settings = Settings {
        dir: scratch.path().join("stack"),
        edge_port: 0,
        control_port: 0,
        network: None,
        edge: None,
    };
    let mut world = World::new(Stack::start(&settings)?);
    let mut steps = Vec::new();
    for (name, act) in STORY {
        let start = Instant::now();
        let outcome = act(&mut world);
        let ms = start.elapsed().as_millis() as u64;
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|error| format!("{error:#}"));
        println!("{} {name} ({ms} ms): {detail}", if ok { "ok  " } else { "FAIL" });
        steps.push(json!({ "name": name, "ok": ok, "ms": ms, "detail": detail }));
    }
    if let Some(path) = json {
        fs::write(path, serde_json::to_string_pretty(&steps)? + "\n")
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let failed = steps.iter().filter(|step| step["ok"] == Value::Bool(false)).count();
    println!("{} passed, {failed} failed", steps.len() - failed);
    if failed > 0 {
        let kept = scratch.keep();
        bail!("{failed} steps failed; logs are in `{}`", kept.display());
    }
    world.stack.stop()
}

/// What the steps leave to one another.
pub(super) struct World {
    pub(super) stack: Stack,
    owner: Option<String>,
    pub(super) organization: String,
    projects: Vec<Project>,
    /// A head as it was early in the story.
    old_head: Vec<u8>,
    keys_before_kill: usize,
}

pub(super) struct Project {
    pub(super) id: String,
    pub(super) slug: String,
    key: Key,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
}

impl World {
    fn new(stack: Stack) -> Self {
        Self {
            stack,
            owner: None,
            organization: String::new(),
            projects: Vec::new(),
            old_head: Vec::new(),
            keys_before_kill: 0,
        }
    }

    /// The control plane, to the organization's owner.
    pub(super) fn owner(&self) -> Result<Api> {
        let token = self.owner.as_deref().context("there is no owner: the step `organization` failed")?;
        Ok(self.stack.control().holding(token))
    }

    pub(super) fn project(&self, index: usize) -> Result<&Project> {
        self.projects.get(index).context("there is no project: the step `organization` failed")
    }

    pub(super) fn create_key(&self, project: &str, name: &str) -> Result<(Key, Reply)> {
        let reply = self
            .owner()?
            .post(&format!("/v1/projects/{project}/keys"), &json!({ "name": name }))?
            .success()?;
        let body = reply.json();
        Ok((Key { id: text(&body, "/key/id")?, secret: text(&body, "/secret")? }, reply))
    }

    /// What the edge says to a key on a path.
    fn ask(&self, key: &Key, path: &str) -> Result<Reply> {
        self.stack.edge().holding(&key.secret).get(path)
    }

    /// Waits until the edge answers a key so, and returns how long that took.
    fn wait_for(&self, key: &Key, status: u16, code: &str) -> Result<Duration> {
        let start = Instant::now();
        until(BOUND, || {
            let reply = self.ask(key, "/v1/whoami")?;
            let same = reply.status == status && (code.is_empty() || reply.code() == code);
            ensure!(same, "the edge answered {} `{}`", reply.status, reply.code());
            Ok(start.elapsed())
        })
    }

    /// How many keys the first project has.
    fn count_keys(&self) -> Result<usize> {
        let path = format!("/v1/projects/{}/keys?limit=200", self.project(0)?.id);
        let listed = self.owner()?.get(&path)?.success()?.json();
        Ok(listed["items"].as_array().map_or(0, Vec::len))
    }

    fn generation_at_edge(&self) -> Result<u64> {
        let reply = self.ask(&self.project(0)?.key, "/v1/whoami")?.success()?;
        Ok(reply.header("latchkey-generation").context("no `Latchkey-Generation`")?.parse()?)
    }
}

fn models(project: &str) -> String {
    format!("/v1/projects/{project}/models")
}

fn organization(world: &mut World) -> Result<String> {
    let operator = world.stack.operator()?;
    let body = json!({ "name": "Acme Research", "owner_email": "owner@acme.example" });
    let created = operator.post("/v1/organizations", &body)?.success()?.json();
    world.organization = text(&created, "/organization/id")?;
    let session = json!({ "email": "owner@acme.example" });
    let session = operator.post("/v1/operator/sessions", &session)?.success()?.json();
    world.owner = Some(text(&session, "/token")?);
    for (name, slug) in [("Alpha", "alpha"), ("Beta", "beta")] {
        let path = format!("/v1/organizations/{}/projects", world.organization);
        let project = world.owner()?.post(&path, &json!({ "name": name, "slug": slug }))?.success()?.json();
        let id = text(&project, "/id")?;
        let (key, _) = world.create_key(&id, "first")?;
        world.projects.push(Project { id, slug: slug.to_owned(), key });
    }
    Ok(format!("{} with projects alpha and beta, a key in each", world.organization))
}

fn whoami(world: &mut World) -> Result<String> {
    let mut waited = Vec::new();
    for project in &world.projects {
        waited.push(world.wait_for(&project.key, 200, "")?.as_millis());
        let told = world.ask(&project.key, "/v1/whoami")?.success()?.json();
        let same = |pointer: &str, expected: &str| -> Result<()> {
            let found = text(&told, pointer)?;
            ensure!(found == expected, "`{pointer}` is `{found}` where `{expected}` was expected");
            Ok(())
        };
        same("/key/id", &project.key.id)?;
        same("/project/id", &project.id)?;
        same("/project/slug", &project.slug)?;
        same("/organization/id", &world.organization)?;
        same("/organization/name", "Acme Research")?;
        same("/role", "member")?;
        let reply = world.ask(&project.key, &models(&project.slug))?.success()?;
        ensure!(reply.json()["path"] == models(&project.slug), "the origin got another path");
    }
    ensure!(waited.len() == 2, "there are no two projects");
    world.old_head = fs::read(world.stack.published().join("head"))?;
    Ok(format!("both keys accepted; first answers {waited:?} ms after asking"))
}

fn wrong_project(world: &mut World) -> Result<String> {
    let (alpha, beta) = (world.project(0)?, world.project(1)?);
    for path in [models(&beta.slug), models(&beta.id), models("no-such-project")] {
        let reply = world.ask(&alpha.key, &path)?;
        ensure!(reply.status == 404, "`{path}` answered {}", reply.status);
    }
    ensure!(world.ask(&alpha.key, &models(&alpha.id))?.status == 200, "its own project is refused");
    Ok("key of alpha on beta: 404, the same as on a project that is not there".to_owned())
}

fn expired(world: &mut World) -> Result<String> {
    let (key, _) = world.create_key(&world.project(0)?.id, "short-lived")?;
    world.wait_for(&key, 200, "")?;
    let minute = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 60 * 60;
    let change = json!({ "expires_at": Timestamp(UnixSeconds(minute)) });
    world.owner()?.patch(&format!("/v1/keys/{}", key.id), &change)?.success()?;
    let waited = world.wait_for(&key, 401, "expired")?;
    Ok(format!("refused as expired {} ms after its expiry was set", waited.as_millis()))
}

fn junk(world: &mut World) -> Result<String> {
    let good = world.project(0)?.key.secret.clone();
    let flipped = {
        let mut text = good.clone().into_bytes();
        let last = text.len() - 1;
        text[last] = if text[last] == b'0' { b'1' } else { b'0' };
        String::from_utf8(text)?
    };
    let edge = world.stack.edge();
    let mut bodies = Vec::new();
    let junk = [String::new(), "junk".to_owned(), "x".repeat(600), good.replace("lk_dev", "lk_def"), flipped];
    for text in &junk {
        let reply = edge.holding(text).get("/v1/whoami")?;
        ensure!(reply.status == 401, "junk answered {}", reply.status);
        ensure!(
            reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
            "no challenge"
        );
        bodies.push(reply.body);
    }
    bodies.push(edge.get("/v1/whoami")?.body);
    bodies.dedup();
    ensure!(bodies.len() == 1, "the answers tell one kind of junk from another");
    Ok(format!("{} kinds of junk, one 401", junk.len() + 1))
}

fn disable_enable(world: &mut World) -> Result<String> {
    let key = world.project(0)?.key.clone();
    let owner = world.owner()?;
    owner.post(&format!("/v1/keys/{}/disable", key.id), &json!({}))?.success()?;
    let off = world.wait_for(&key, 401, "disabled")?;
    owner.post(&format!("/v1/keys/{}/enable", key.id), &json!({}))?.success()?;
    let on = world.wait_for(&key, 200, "")?;
    Ok(format!("disabled after {} ms, enabled after {} ms", off.as_millis(), on.as_millis()))
}

fn revoke(world: &mut World) -> Result<String> {
    let (key, _) = world.create_key(&world.project(0)?.id, "to be revoked")?;
    world.wait_for(&key, 200, "")?;
    world.owner()?.post(&format!("/v1/keys/{}/revoke", key.id), &json!({}))?.success()?;
    let waited = world.wait_for(&key, 401, "revoked")?;
    let again = world.owner()?.post(&format!("/v1/keys/{}/enable", key.id), &json!({}))?;
    ensure!(again.status == 409, "enabling a revoked key answered {}", again.status);
    Ok(format!("refused {} ms after the 200; the bound is {} ms", waited.as_millis(), BOUND.as_millis()))
}

fn kill(world: &mut World) -> Result<String> {
    world.keys_before_kill = world.count_keys()?;
    ensure!(world.keys_before_kill > 0, "there are no keys to lose");
    world.stack.kill_control()?;
    for project in &world.projects {
        let reply = world.ask(&project.key, "/v1/whoami")?;
        ensure!(reply.status == 200, "the edge answered {} without its control plane", reply.status);
    }
    Ok("control plane killed with SIGKILL; the edge still answers".to_owned())
}

fn restart(world: &mut World) -> Result<String> {
    let before = world.generation_at_edge()?;
    world.stack.start_control()?;
    let (kept, made) = (world.count_keys()?, world.keys_before_kill);
    ensure!(kept == made, "{kept} of {made} keys are left");
    let (key, _) = world.create_key(&world.project(0)?.id, "after the restart")?;
    let waited = world.wait_for(&key, 200, "")?;
    let after = world.generation_at_edge()?;
    ensure!(after > before, "the generation went from {before} to {after}");
    Ok(format!(
        "all keys there; generation {before} → {after}; a new key accepted after {} ms",
        waited.as_millis()
    ))
}

fn tamper(world: &mut World) -> Result<String> {
    let generation = world.generation_at_edge()?;
    let head = fs::read(world.stack.published().join("head"))?;
    let mut refused = 0;
    for byte in [4, 8, 40, 90, head.len() - 1] {
        let mut tampered = head.clone();
        tampered[byte] ^= 1;
        let reply = world.stack.push().put_bytes("/.latchkey/push/head", tampered)?;
        ensure!(
            matches!(reply.status, 409 | 422),
            "a head with byte {byte} changed answered {}",
            reply.status
        );
        refused += 1;
    }
    let stranger = world.stack.edge().holding("not-the-token").put_bytes("/.latchkey/push/head", head)?;
    ensure!(stranger.status == 401, "a wrong push token answered {}", stranger.status);
    ensure!(world.generation_at_edge()? >= generation, "the edge fell back");
    Ok(format!("{refused} tampered heads and a wrong token refused; still serving generation {generation}"))
}

fn replay(world: &mut World) -> Result<String> {
    let generation = world.generation_at_edge()?;
    let reply = world.stack.push().put_bytes("/.latchkey/push/head", world.old_head.clone())?;
    ensure!(reply.status == 409, "an old head answered {}", reply.status);
    ensure!(world.generation_at_edge()? >= generation, "the edge fell back");
    ensure!(world.ask(&world.project(0)?.key, "/v1/whoami")?.status == 200, "the last good head is gone");
    Ok(format!("an old head is refused as `{}`", reply.code()))
}

fn stale(world: &mut World) -> Result<String> {
    world.stack.kill_control()?;
    let key = world.project(0)?.key.clone();
    let fresh_only = format!("/v1/projects/{}/batches", world.project(0)?.id);
    let start = Instant::now();
    until(BOUND * 2, || {
        let reply = world.ask(&key, "/v1/whoami")?.success()?;
        ensure!(reply.header("latchkey-stale").is_some(), "no `Latchkey-Stale` yet");
        Ok(())
    })?;
    let silent = start.elapsed();
    let refused = world.stack.edge().holding(&key.secret).post(&fresh_only, &json!({}))?;
    ensure!(refused.status == 503, "a fresh-only route answered {}", refused.status);
    ensure!(refused.header("retry-after").is_some(), "no `Retry-After`");
    world.stack.start_control()?;
    let back = Instant::now();
    until(BOUND * 3, || {
        let reply = world.ask(&key, "/v1/whoami")?.success()?;
        ensure!(reply.header("latchkey-stale").is_none(), "still stale");
        Ok(())
    })?;
    let (silent, back) = (silent.as_millis(), back.elapsed().as_millis());
    Ok(format!("marked stale after {silent} ms of silence, fresh-only refused, fresh again after {back} ms"))
}

fn bulk(world: &mut World) -> Result<String> {
    let project = world.project(1)?.id.clone();
    let names: Vec<Value> =
        (0..BULK_KEYS).map(|number| json!({ "name": format!("bulk {number}") })).collect();
    let start = Instant::now();
    let path = format!("/v1/projects/{project}/keys:batch");
    let reply = world.owner()?.post(&path, &json!({ "keys": names }))?.success()?;
    let made = start.elapsed().as_millis();
    let token = reply.header("latchkey-generation").context("no `Latchkey-Generation`")?.to_owned();
    let body = reply.json();
    let items = body["items"].as_array().context("no keys in the answer")?;
    ensure!(items.len() == BULK_KEYS, "{} keys came", items.len());
    let tried = pick(items.len())?;
    let first = tried.first().copied().unwrap_or_default();
    let secret = |index: usize| text(&items[index], "/secret");
    let edge = world.stack.edge().holding(&secret(first)?);
    until(BOUND, || {
        let headers = [("latchkey-min-generation", token.as_str())];
        edge.send("GET", "/v1/whoami", &headers, Vec::new())?.success()
    })?;
    let known = start.elapsed().as_millis();
    for index in &tried {
        let reply = world.stack.edge().holding(&secret(*index)?).get("/v1/whoami")?;
        ensure!(reply.status == 200, "key {index} answered {}", reply.status);
        ensure!(reply.json()["project"]["id"] == *project, "key {index} is in another project");
    }
    Ok(format!(
        "{BULK_KEYS} keys made in {made} ms, known at the edge after {known} ms, {} tried",
        tried.len()
    ))
}

/// A random choice without repetition.
fn pick(among: usize) -> Result<Vec<usize>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let mut output = blake3::Hasher::new_keyed(&seed).finalize_xof();
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < BULK_TRIED.min(among) {
        let mut bytes = [0; 8];
        output.fill(&mut bytes);
        chosen.insert((u64::from_le_bytes(bytes) % among as u64) as usize);
    }
    Ok(chosen.into_iter().collect())
}
