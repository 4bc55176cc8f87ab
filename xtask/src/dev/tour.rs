//! The stack for a person: a first organization, project and key, a line to try, and then it stays up.

use super::client::{Api, text, until};
use super::stack::{Settings, Stack, write_private};
use crate::repo;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const OWNER: &str = "owner@acme.example";
const PROJECT: &str = "demo";
const KNOWN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs until interrupted. What it made is kept in `.dev` and used again the next time.
///
/// # Errors
/// Something does not start, or ends by itself.
pub(crate) fn stay(port: u16, control_port: u16) -> Result<()> {
    let dir = repo::root().join(".dev");
    let mut stack = Stack::start(&Settings {
        dir: dir.clone(),
        edge_port: port,
        control_port,
        network: None,
        edge: None,
    })?;
    let kept = dir.join("first.json");
    let mut first = match fs::read(&kept) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).context("`.dev/first.json` is not ours; remove `.dev`")?
        }
        Err(_) => keep(&kept, create_first(&stack)?)?,
    };
    if !is_in_force(&stack, &first)? {
        // Revoked while trying things out: the next one.
        first = keep(&kept, create_key(&stack)?)?;
        is_in_force(&stack, &first)?;
    }
    introduce(&stack, &first)?;
    let (interrupt, interrupted) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The receiver is gone only when we are stopping already.
        let _ = interrupt.send(());
    })?;
    while interrupted.recv_timeout(LOOK_EVERY).is_err() {
        stack.check_running()?;
    }
    println!("stopping ...");
    stack.stop()
}

fn keep(path: &Path, first: Value) -> Result<Value> {
    write_private(path, &first.to_string())?;
    Ok(first)
}

/// Waits until the edge knows the key, and says whether it is accepted.
fn is_in_force(stack: &Stack, first: &Value) -> Result<bool> {
    let edge = stack.edge().holding(&text(first, "/secret")?);
    until(KNOWN_MAX, || {
        let reply = edge.get("/v1/whoami")?;
        match (reply.status, reply.code().as_str()) {
            (200, _) => Ok(true),
            (401, "revoked" | "disabled" | "expired") => Ok(false),
            (status, code) => bail!("the edge answered {status} `{code}`"),
        }
    })
}

fn create_first(stack: &Stack) -> Result<Value> {
    let organization = json!({ "name": "Acme Research", "owner_email": OWNER });
    let organization = stack.operator()?.post("/v1/organizations", &organization)?.success()?.json();
    let path = format!("/v1/organizations/{}/projects", text(&organization, "/organization/id")?);
    owner(stack)?.post(&path, &json!({ "name": "Demo", "slug": PROJECT }))?.success()?;
    create_key(stack)
}

fn create_key(stack: &Stack) -> Result<Value> {
    let path = format!("/v1/projects/{PROJECT}/keys");
    let key = owner(stack)?.post(&path, &json!({ "name": "first" }))?.success()?.json();
    Ok(json!({ "key": text(&key, "/key/id")?, "secret": text(&key, "/secret")? }))
}

fn owner(stack: &Stack) -> Result<Api> {
    let session = json!({ "email": OWNER });
    let session = stack.operator()?.post("/v1/operator/sessions", &session)?.success()?.json();
    Ok(stack.control().holding(&text(&session, "/token")?))
}

fn introduce(stack: &Stack, first: &Value) -> Result<()> {
    let (edge, secret) = (stack.edge_url(), text(first, "/secret")?);
    println!("\n  edge            {edge}");
    println!("  control plane   {}", stack.control_url());
    println!("  operator token  in .dev/operator-token");
    println!("  key             {secret}\n");
    println!("Try it:\n  curl -i {edge}/v1/whoami -H 'Authorization: Bearer {secret}'");
    println!("  curl -i {edge}/v1/projects/demo/models -H 'Authorization: Bearer {secret}'\n");
    println!("Sign the owner in and revoke the key; within seconds the edge refuses it:");
    println!(
        "  TOKEN=$(curl -s {control}/v1/operator/sessions -H \"Authorization: Bearer $(cat .dev/operator-token)\" \\\n    \
         -H 'Content-Type: application/json' -d '{{\"email\":\"{OWNER}\"}}' | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n  \
         curl -X POST {control}/v1/keys/{id}/revoke -H \"Authorization: Bearer $TOKEN\"\n",
        control = stack.control_url(),
        id = text(first, "/key")?,
    );
    println!("Everything is kept in `.dev`; remove it to begin anew. Ctrl-C stops.");
    Ok(())
}
