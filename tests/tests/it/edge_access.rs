//! The permission table at the edge: whoever has a permission by tests/golden/permissions.txt is let through by a
//! gate, and nobody else.

#[expect(dead_code, reason = "the control plane's own tests use the rest")]
#[path = "../../../crates/latchkey-control/tests/it/access/cast.rs"]
mod cast;

use crate::agreement::edge::Publication;
use cast::{Asker, World};
use latchkey_control::outside::Clock;
use latchkey_core::Permission;
use latchkey_core::permission::Holder;
use latchkey_gate::{Header, Outcome, Request};
use latchkey_snapshot::{Credentials, Rule, Source};
use latchkey_testkit::Stage;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_lets_through_who_has_the_permission_p2_p3() {
    let world = World::new().await;
    let stage = world.stage();
    let permissions: Vec<_> = Permission::ALL.iter().copied().filter(|one| is_of_projects(*one)).collect();
    let publication = Publication::enforce(&stage, rules(&permissions)).await;
    let mut shell = publication.gate(&stage.clock);
    let mut cases = Vec::new();
    for asker in &world.askers {
        if let Some(bearer) = bearer(&stage, asker).await {
            for permission in &permissions {
                cases.push((asker, bearer.clone(), *permission, may(&stage, asker, *permission).await));
            }
        }
    }
    stage.clock.advance_secs(1);
    let generation = *stage.control.store().newest().borrow();
    let heads = publication.hub.heads(0, generation, stage.clock.now()).await;
    shell.take(heads.last().unwrap(), true);
    let mut let_through = 0;
    for (asker, bearer, permission, expected) in &cases {
        let path = format!("/p/{}/{}", asker.about["project"], word(*permission));
        let bearer = format!("Bearer {bearer}");
        let request = Request::new("POST", path.as_bytes(), Header::One(bearer.as_bytes()));
        let verdict = shell.ask(&request);
        let allowed = matches!(verdict.outcome, Outcome::Allow(_));
        // J10: to find an archived project the control plane shows it; an edge lets nobody into it.
        let is_found_only =
            asker.name.starts_with("archived-") && *permission == Permission::ProjectSettingsRead;
        let expected = *expected && !is_found_only;
        assert_eq!(allowed, expected, "{permission} by {}: {verdict:?}", asker.name);
        let_through += usize::from(allowed);
    }
    assert!(cases.len() > 1000 && let_through > 300, "{let_through} of {}", cases.len());
}

/// What a rule can need; an organization's permissions are the control plane's alone.
fn is_of_projects(permission: Permission) -> bool {
    !matches!(permission.holder(), Holder::OrganizationMember | Holder::OrganizationAdmin)
}

/// What they show to an edge: a key itself, or a session's token for edges.
async fn bearer(stage: &Stage, asker: &Asker) -> Option<String> {
    let token = asker.token.as_ref()?;
    if asker.name.starts_with("key-") {
        return Some(token.clone());
    }
    let reply = asker.on(stage).act("/v1/me/token").await;
    (reply.status == 200).then(|| reply.json()["token"].as_str().unwrap().to_owned())
}

/// The control plane's own answer, as the golden table has it.
async fn may(stage: &Stage, asker: &Asker, permission: Permission) -> bool {
    let body = json!({ "permission": permission.as_str(), "project": asker.about["project"] });
    let reply = asker.on(stage).post("/v1/explain", body).await;
    match reply.status {
        200 => reply.json()["allowed"] == true,
        401 | 404 => false,
        status => panic!("{status}: {}", reply.text()),
    }
}

fn word(permission: Permission) -> String {
    permission.as_str().replace(['.', '_'], "-")
}

fn rules(permissions: &[Permission]) -> Vec<Rule> {
    let rule = |permission: &Permission| Rule {
        credentials: Credentials::Any,
        project: Some(Source::Path("project".into())),
        ..Rule::new("POST", format!("/p/{{project}}/{}", word(*permission)), *permission)
    };
    let mut rules: Vec<_> = permissions.iter().map(rule).collect();
    rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
    rules
}
