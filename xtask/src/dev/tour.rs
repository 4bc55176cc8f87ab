//! The stack for a person: a first organization, project and key, a line to try, and then it stays up.

use super::client::{Api, text, until};
use super::stack::{Settings, Stack, write_private};
use crate::repo;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

const OWNER: &str = "owner@acme.example";
const KNOWN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs until interrupted. What it made is kept in `.dev` and used again the next time.
///
/// # Errors
/// Something does not start, or ends by itself.
pub(crate) fn stay(port: u16, control_port: u16) -> Result<()> {
    let dir = repo::root().join(".dev");
    let mut stack = Stack::start(&Settings { dir: dir.clone(), edge_port: port, control_port })?;
    let kept = dir.join("first.json");
    let first = match fs::read(&kept) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).context("`.dev/first.json` is not ours; remove `.dev`")?
        }
        Err(_) => {
            let first = create_first(&stack.operator()?, &stack.control())?;
            write_private(&kept, &first.to_string())?;
            first
        }
    };
    let secret = text(&first, "/secret")?;
    until(KNOWN_MAX, || stack.edge().holding(&secret).get("/v1/whoami")?.success())?;
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

fn create_first(operator: &Api, control: &Api) -> Result<Value> {
    let organization = json!({ "name": "Acme Research", "owner_email": OWNER });
    let organization = operator.post("/v1/organizations", &organization)?.success()?.json();
    let session = operator.post("/v1/operator/sessions", &json!({ "email": OWNER }))?.success()?.json();
    let owner = control.holding(&text(&session, "/token")?);
    let path = format!("/v1/organizations/{}/projects", text(&organization, "/organization/id")?);
    let project = owner.post(&path, &json!({ "name": "Demo", "slug": "demo" }))?.success()?.json();
    let path = format!("/v1/projects/{}/keys", text(&project, "/id")?);
    let key = owner.post(&path, &json!({ "name": "first" }))?.success()?.json();
    Ok(json!({ "key": text(&key, "/key/id")?, "secret": text(&key, "/secret")?, "project": "demo" }))
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
