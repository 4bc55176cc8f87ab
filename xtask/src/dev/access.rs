//! Steps of the story that the access model adds: a person at the edge, a narrowed key, an imported one, a budget.

use super::client::{Api, Reply, text, until};
use super::story::{BOUND, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Instant;

const NOTHING: &[(&str, &str)] = &[("content-type", "application/json")];

/// A person joins the organization and a project, acts at the edge through a session, and is removed.
pub(super) fn person(world: &mut World) -> Result<String> {
    let (operator, owner) = (world.stack.operator()?, world.owner()?);
    let email = json!({ "email": "grace@acme.example" });
    let session = operator.post("/v1/operator/sessions", &email)?.success()?.json();
    let grace = world.stack.control().holding(&text(&session, "/token")?);
    let invitations = format!("/v1/organizations/{}/invitations", world.organization);
    let invitation = owner.post(&invitations, &email)?.success()?.json();
    let token = json!({ "token": text(&invitation, "/token")? });
    grace.post("/v1/invitations:accept", &token)?.success()?;
    let collaborators = format!("/v1/projects/{}/collaborators", world.project(0)?.id);
    let user = text(&session, "/user_id")?;
    owner.post(&collaborators, &json!({ "user_id": user }))?.success()?;
    let token = grace.send("POST", "/v1/me/token", &[], Vec::new())?.success()?.json();
    let at_edge = world.stack.edge().holding(&text(&token, "/token")?);
    let files = format!("/v1/projects/{}/files", world.project(0)?.slug);
    let joined = answered(&at_edge, &files, 200, "")?;
    let elsewhere = at_edge.get(&format!("/v1/projects/{}/files", world.project(1)?.slug))?;
    ensure!(elsewhere.status == 404, "another project answered {}", elsewhere.status);
    owner.send("DELETE", &format!("{collaborators}/{user}"), &[], Vec::new())?.success()?;
    let removed = answered(&at_edge, &files, 404, "not_found")?;
    Ok(format!(
        "let in {joined} ms after being added; {removed} ms after the removal there is nothing for them"
    ))
}

/// A narrowed key does what is left to it and nothing else.
pub(super) fn narrowed(world: &mut World) -> Result<String> {
    let project = world.project(0)?;
    let body = json!({ "name": "narrow", "narrowing": { "permissions": ["files.view"] } });
    let made = world.owner()?.post(&format!("/v1/projects/{}/keys", project.id), &body)?.success()?.json();
    let key = world.stack.edge().holding(&text(&made, "/secret")?);
    answered(&key, &format!("/v1/projects/{}/files", project.slug), 200, "")?;
    let refused = key.get(&format!("/v1/projects/{}/models", project.slug))?;
    ensure!(refused.status == 403, "models answered {}", refused.status);
    Ok(format!("files answer 200, models 403 `{}`", refused.code()))
}

/// A key of another system goes on working, by its digest alone.
pub(super) fn imported(world: &mut World) -> Result<String> {
    let (operator, owner) = (world.stack.operator()?, world.owner()?);
    let open = format!("/v1/operator/organizations/{}/import:open", world.organization);
    operator.send("POST", &open, &[], Vec::new())?.success()?;
    let text = "sk-legacy-0123456789abcdef0123456789abcdef";
    let digest: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({ "keys": [{ "sha256": digest, "name": "legacy" }] });
    let project = world.project(0)?;
    owner.post(&format!("/v1/projects/{}/keys:import", project.id), &body)?.success()?;
    let key = world.stack.edge().holding(text);
    let known = answered(&key, "/v1/whoami", 200, "")?;
    Ok(format!("known at the edge after {known} ms by its SHA-256"))
}

/// A budget that is used up refuses what costs money and nothing else, and raising it resumes.
pub(super) fn budget(world: &mut World) -> Result<String> {
    let (operator, owner) = (world.stack.operator()?, world.owner()?);
    let project = world.project(0)?.id.clone();
    let (key, _) = world.create_key(&project, "metered")?;
    let edge = world.stack.edge().holding(&key.secret);
    let chat = |status: u16, code: &str| {
        let start = Instant::now();
        until(BOUND, || {
            let reply = edge.send("POST", "/v1/embeddings", NOTHING, b"{}".to_vec())?;
            expect(&reply, status, code).map(|()| start.elapsed().as_millis())
        })
    };
    chat(200, "")?;
    let budget = format!("/v1/keys/{}/budget", key.id);
    let limit = |most: u64| serde_json::to_vec(&json!({ "requests_max": most, "period": "month" }));
    owner.send("PUT", &budget, NOTHING, limit(2)?)?.success()?;
    let reporter = operator.post("/v1/operator/usage-tokens", &json!({ "name": "story" }))?.success()?.json();
    let reporter = world.stack.control().holding(&text(&reporter, "/token")?);
    // The one project of the installation with this number is the first that was made after the Default Project.
    let now = latchkey_api::Timestamp(latchkey_core::UnixSeconds(
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_secs(),
    ));
    let now = serde_json::to_value(now)?;
    let day = now.as_str().and_then(|text| text.get(..10)).context("no day")?;
    let line = json!({
        "subject": { "key": key.id }, "project": 2, "permission": "inference.invoke",
        "day": day, "requests": 2, "last_at": now,
    });
    let batch = json!({ "id": "0123456789abcdef0123456789abcdef", "lines": [line] });
    let counted = reporter.post("/v1/usage/batches", &batch)?.success()?.json();
    ensure!(counted["status"] == "counted", "the batch is {}", counted["status"]);
    let refused = chat(402, "budget_exhausted")?;
    let files = edge.get(&format!("/v1/projects/{project}/files"))?;
    ensure!(files.status == 200, "what costs nothing answered {}", files.status);
    owner.send("PUT", &budget, NOTHING, limit(100)?)?.success()?;
    let resumed = chat(200, "")?;
    Ok(format!("402 after {refused} ms, reading goes on, let in again {resumed} ms after it was raised"))
}

/// Waits until the edge answers so, and returns how many milliseconds that took.
fn answered(edge: &Api, path: &str, status: u16, code: &str) -> Result<u128> {
    let start = Instant::now();
    until(BOUND, || expect(&edge.get(path)?, status, code).map(|()| start.elapsed().as_millis()))
}

fn expect(reply: &Reply, status: u16, code: &str) -> Result<()> {
    let same = reply.status == status && (code.is_empty() || reply.code() == code);
    ensure!(same, "the edge answered {} `{}`", reply.status, reply.code());
    Ok(())
}
