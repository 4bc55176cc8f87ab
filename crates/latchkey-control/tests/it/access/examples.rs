//! For every route a well-formed request on things that exist. A route without an example fails the table.

use super::cast::Things;
use latchkey_control::http::Route;
use latchkey_snapshot::ObjectDigest;
use latchkey_testkit::GATE_OBJECT;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A request that a route would grant to somebody. `<thing>` in it stands for one of the [`Things`].
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) route: &'static str,
    /// The thing that a parameter of the path stands for, where it is not the one of the same name.
    pub(crate) at: Vec<(&'static str, &'static str)>,
    pub(crate) query: &'static str,
    pub(crate) body: Option<Value>,
    /// What somebody does just before: who, method, path, body.
    pub(crate) before: Vec<(&'static str, &'static str, &'static str, Option<Value>)>,
}

fn on(route: &'static str) -> Example {
    Example { route, at: Vec::new(), query: "", body: None, before: Vec::new() }
}

impl Example {
    fn at(mut self, parameter: &'static str, thing: &'static str) -> Self {
        self.at.push((parameter, thing));
        self
    }

    fn query(mut self, query: &'static str) -> Self {
        self.query = query;
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    fn after(
        mut self,
        who: &'static str,
        method: &'static str,
        path: &'static str,
        body: Option<Value>,
    ) -> Self {
        self.before.push((who, method, path, body));
        self
    }

    /// The path and the body, about these things.
    pub(crate) fn about(&self, route: &Route, things: &Things) -> (String, Option<Value>) {
        let mut path = route.path.replace("{*", "{");
        while let Some((start, end)) = path.find('{').zip(path.find('}')) {
            let parameter = &path[start + 1..end];
            let thing =
                self.at.iter().find(|(one, _)| *one == parameter).map_or(parameter, |(_, thing)| thing);
            let value = match thing.strip_prefix('=') {
                Some(literal) => literal.to_owned(),
                None => things.get(thing).unwrap_or_else(|| panic!("{}: no `{thing}`", route.name)).clone(),
            };
            path.replace_range(start..=end, &value);
        }
        let query = filled(self.query, things);
        let query = if query.is_empty() { query } else { format!("?{query}") };
        (format!("{path}{query}"), self.body.as_ref().map(|body| filled_in(body, things)))
    }
}

pub(crate) fn filled(template: &str, things: &Things) -> String {
    let mut text = template.to_owned();
    for (name, value) in things {
        text = text.replace(&format!("<{name}>"), value);
    }
    assert!(!text.contains('<'), "`{text}` names an unknown thing");
    text
}

fn filled_in(body: &Value, things: &Things) -> Value {
    match body {
        Value::String(text) => Value::String(filled(text, things)),
        Value::Array(items) => items.iter().map(|item| filled_in(item, things)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), filled_in(value, things))).collect()
        }
        other => other.clone(),
    }
}

/// The example of a route.
pub(crate) fn example(name: &str) -> Option<Example> {
    examples().into_iter().find(|example| example.route == name)
}

/// Every example, noun by noun.
pub(crate) fn examples() -> Vec<Example> {
    [installation(), gates(), organizations(), members(), projects(), keys(), resources(), usage(), audit()]
        .concat()
}

fn gates() -> Vec<Example> {
    static OBJECT: LazyLock<String> = LazyLock::new(|| format!("={}", ObjectDigest::of(GATE_OBJECT)));
    vec![
        on("gates.head"),
        on("gates.root").at("version", "=1"),
        on("gates.object").at("digest", OBJECT.as_str()),
    ]
}

fn installation() -> Vec<Example> {
    let sign_in = json!({ "email": "new@example.test" });
    vec![
        on("installation.alive"),
        on("installation.ready"),
        on("installation.openapi"),
        on("me.read"),
        on("explain").body(json!({ "permission": "inference.invoke", "project": "<project>" })),
        on("sessions.list"),
        on("me.edge_token"),
        on("sessions.revoke"),
        on("sessions.revoke_all").body(json!({ "all": false })),
        on("sessions.create").body(sign_in),
        on("publish.read").query("wait=1&timeout_s=1"),
        on("publish.hold"),
        on("publish.release"),
        on("routes.list"),
        on("routes.read").at("number", "=1"),
        on("routes.apply"),
        on("backups.create"),
        on("restore.list"),
        on("restore.confirm").body(json!({ "organization": "<organization>" })),
    ]
}

fn organizations() -> Vec<Example> {
    let path = "/v1/organizations/<organization>/ownership";
    let offer = json!({ "user_id": "<admin>" });
    let own_offer = json!({ "user_id": "<self>" });
    vec![
        on("organizations.create").body(json!({ "name": "New", "owner_email": "new@example.test" })),
        on("organizations.list"),
        on("organizations.read"),
        on("organizations.change").body(json!({ "name": "Renamed" })),
        on("organizations.suspend"),
        on("organizations.resume"),
        on("organizations.open_import"),
        on("organizations.close_import"),
        on("settings.read"),
        on("settings.change").body(json!({ "session_minutes": 60 })),
        on("ownership.read"),
        on("ownership.offer").body(offer.clone()),
        on("ownership.cancel").after("owner", "POST", path, Some(offer)),
        on("ownership.accept").after("owner", "POST", path, Some(own_offer)),
        on("service_accounts.create").body(json!({ "name": "ci", "role": "member" })),
        on("service_accounts.list"),
        on("service_accounts.rotate").at("user", "service").body(json!({})),
        on("service_accounts.delete").at("user", "service"),
    ]
}

fn members() -> Vec<Example> {
    vec![
        on("members.list"),
        on("members.read").at("user", "member"),
        on("members.change").at("user", "member").body(json!({ "role": "admin" })),
        on("members.remove").at("user", "member"),
        on("members.leave"),
        on("members.list_departures"),
        on("members.readmit").at("user", "departed"),
        on("invitations.create").body(json!({ "email": "new@example.test" })),
        on("invitations.list"),
        on("invitations.read"),
        on("invitations.cancel"),
        on("invitations.resend"),
        on("invitations.accept").body(json!({ "token": "<invitation-token>" })),
        on("invitations.list_own"),
    ]
}

fn projects() -> Vec<Example> {
    let archive = "/v1/projects/<project>/archive";
    vec![
        on("projects.create").body(json!({ "name": "New", "slug": "new-project" })),
        on("projects.list"),
        on("projects.read"),
        on("projects.settings"),
        on("projects.change_settings").body(json!({ "name": "Renamed" })),
        on("projects.archive"),
        on("projects.unarchive").after("owner", "POST", archive, None),
        on("projects.delete").after("owner", "POST", archive, None).body(json!({ "slug": "<slug>" })),
        on("projects.switch_external").body(json!({ "allowed": false })),
        on("projects.join"),
        on("projects.leave"),
        on("collaborators.add").body(json!({ "email": "<member-email>" })),
        on("collaborators.list"),
        on("collaborators.read").at("user", "collaborator"),
        on("collaborators.change").at("user", "collaborator").body(json!({ "role": "admin" })),
        on("collaborators.remove").at("user", "collaborator").query("revoke_keys=true"),
        on("project_invitations.list"),
        on("project_invitations.read").at("invitation", "project-invitation"),
        on("project_invitations.cancel").at("invitation", "project-invitation"),
        on("project_invitations.resend").at("invitation", "project-invitation"),
        on("notices.list_project"),
        on("notices.list_organization"),
    ]
}

fn keys() -> Vec<Example> {
    let key = json!({ "name": "new" });
    vec![
        on("keys.create").body(key.clone()),
        on("keys.create_batch").body(json!({ "keys": [key] })),
        on("keys.import")
            .after("operator", "POST", "/v1/operator/organizations/<organization>/import:open", None)
            .body(json!({ "keys": [{ "name": "new", "sha256": "5e".repeat(32) }] })),
        on("keys.list"),
        on("keys.read"),
        on("keys.change").body(json!({ "name": "renamed" })),
        on("keys.rotate").body(json!({ "overlap_minutes": 5 })),
        on("keys.revoke"),
        on("keys.disable"),
        on("keys.enable"),
        on("keys.whoami"),
        on("leaks.report").body(json!({ "secret": "nothing that was ever a secret" })),
    ]
}

fn resources() -> Vec<Example> {
    let resource = json!({ "type": "cluster", "id": "new-cluster" });
    vec![
        on("resources.register").body(resource.clone()),
        on("resources.register_batch").body(json!({ "resources": [resource] })),
        on("resources.list"),
        on("resources.read").at("type", "=cluster").at("id", "cluster"),
        on("resources.change").at("type", "=cluster").at("id", "cluster").body(json!({ "name": "Renamed" })),
        on("resources.delete").at("type", "=cluster").at("id", "cluster"),
        on("clusters.kubeconfig").at("id", "cluster"),
        on("clusters.rolebinding").at("id", "cluster"),
    ]
}

fn usage() -> Vec<Example> {
    let budget = json!({ "requests_max": 1000, "period": "day" });
    let line = json!({
        "subject": { "key": "<key>" }, "project": 2, "permission": "inference.invoke",
        "day": "2026-11-23", "requests": 1, "last_at": "2026-11-23T09:00:00Z",
    });
    vec![
        on("usage.read_organization"),
        on("usage.read_project"),
        on("usage.report").body(json!({ "id": "cd".repeat(16), "lines": [line] })),
        on("usage.list_batches"),
        on("usage.read_batch"),
        on("usage.accept"),
        on("usage.discard"),
        on("usage_tokens.create").body(json!({ "name": "more-edges" })),
        on("usage_tokens.list"),
        on("usage_tokens.revoke").at("token", "usage-token"),
        on("prices.read"),
        on("prices.set").body(json!({ "prices": { "inference.invoke": 5 } })),
        on("budgets.read_organization"),
        on("budgets.set_organization").body(budget.clone()),
        on("budgets.remove_organization"),
        on("budgets.read_project"),
        on("budgets.set_project").body(budget.clone()),
        on("budgets.remove_project"),
        on("budgets.read_key"),
        on("budgets.set_key").body(budget),
        on("budgets.remove_key"),
    ]
}

fn audit() -> Vec<Example> {
    vec![
        on("audit.list"),
        on("audit.export"),
        on("audit.read_checkpoint"),
        on("audit.prove").query("position=<audit-position>&size=<audit-size>"),
        on("audit.list_all"),
        on("audit.export_all"),
        on("audit.read_checkpoint_all"),
        on("audit.prove_all").query("position=0&size=1"),
        on("audit.read_tile").at("level", "=0").at("index", "=000.p/1"),
        on("audit.erase").at("position", "=0"),
    ]
}
