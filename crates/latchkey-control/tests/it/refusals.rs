//! Every route, asked by those who may not (R1, R2): anonymous 401, stranger 404, too weak 403.

use latchkey_core::Role;
use latchkey_testkit::{Actor, Reply, Stage};
use serde_json::{Value, json};

/// A route, a body that would be good, and what a member too weak for it lacks; `None` where members may.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: Option<Value>,
    stranger: u16,
    lacking: Option<&'static str>,
}

fn route(
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    stranger: u16,
    lacking: Option<&'static str>,
) -> Route {
    Route { method, path, body, stranger, lacking }
}

/// Every route under `/v1`. `lacking` is asked of an organization member who is in no project but sees `{P}`.
pub(crate) fn routes() -> Vec<Route> {
    let key = json!({ "name": "k" });
    let batch = json!({ "keys": [{ "name": "k" }] });
    let import = json!({ "keys": [{ "name": "k", "sha256": "0".repeat(64) }] });
    let project = json!({ "name": "Red", "slug": "red-two" });
    let resource = json!({ "type": "cluster", "id": "c-1" });
    let email = json!({ "email": "owner@acme.test" });
    let invitation = json!({ "email": "new@acme.test", "role": "member" });
    let token = json!({ "token": format!("lki_{}", "0".repeat(43)) });
    let collaborator = json!({ "email": "owner@acme.test" });
    let organization = json!({ "name": "New", "owner_email": "a@b.test" });
    let resources = json!({ "resources": [resource.clone()] });
    let budget = json!({ "requests_max": 1, "period": "day" });
    let line = json!({
        "subject": { "key": "AAAAAAAAAAA" }, "project": 1, "permission": "inference.invoke",
        "day": "2026-11-24", "requests": 1, "last_at": "2026-11-24T00:00:00Z",
    });
    let report = json!({ "id": "0".repeat(32), "lines": [line] });
    vec![
        route("GET", "/v1/me", None, 200, None),
        route("POST", "/v1/me/token", None, 200, None),
        route("POST", "/v1/explain", Some(json!({ "permission": "keys.read", "project": "{P}" })), 404, None),
        route("GET", "/v1/me/sessions", None, 200, None),
        route("DELETE", "/v1/me/sessions/sess_aaaaaaaaaaaaaaaa", None, 404, None),
        route("POST", "/v1/operator/sessions", Some(email), 403, Some("operator.sign_in")),
        route("POST", "/v1/organizations", Some(organization), 403, Some("operator.organizations")),
        route("GET", "/v1/organizations", None, 200, None),
        route("GET", "/v1/organizations/{O}", None, 404, None),
        route("POST", "/v1/organizations/{O}/suspend", None, 404, Some("operator.suspension")),
        route("POST", "/v1/organizations/{O}/resume", None, 404, Some("operator.suspension")),
        route("POST", "/v1/operator/organizations/{O}/import:open", None, 404, Some("operator.import")),
        route("POST", "/v1/operator/organizations/{O}/import:close", None, 404, Some("operator.import")),
        route("POST", "/v1/me/sessions:revoke", Some(json!({})), 200, None),
        route(
            "PATCH",
            "/v1/organizations/{O}",
            Some(json!({ "name": "N" })),
            404,
            Some("org.settings.write"),
        ),
        route("GET", "/v1/organizations/{O}/settings", None, 404, None),
        route(
            "PATCH",
            "/v1/organizations/{O}/settings",
            Some(json!({ "session_minutes": 60 })),
            404,
            Some("org.settings.write"),
        ),
        route("GET", "/v1/organizations/{O}/ownership", None, 404, None),
        route(
            "POST",
            "/v1/organizations/{O}/ownership",
            Some(json!({ "user_id": "user_aaaaaaaaaaaaaaaa" })),
            404,
            Some("org.ownership"),
        ),
        route("DELETE", "/v1/organizations/{O}/ownership", None, 404, Some("org.ownership")),
        route("POST", "/v1/organizations/{O}/ownership/accept", None, 404, Some("org.ownership")),
        route(
            "POST",
            "/v1/organizations/{O}/service-accounts",
            Some(json!({ "name": "ci" })),
            404,
            Some("org.members.manage_roles"),
        ),
        route("GET", "/v1/organizations/{O}/service-accounts", None, 404, None),
        route(
            "POST",
            "/v1/organizations/{O}/service-accounts/user_aaaaaaaaaaaaaaaa/rotate",
            Some(json!({})),
            404,
            Some("org.members.manage_roles"),
        ),
        route(
            "DELETE",
            "/v1/organizations/{O}/service-accounts/user_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("org.members.manage_roles"),
        ),
        route("GET", "/v1/organizations/{O}/members", None, 404, None),
        route("GET", "/v1/organizations/{O}/members/user_aaaaaaaaaaaaaaaa", None, 404, None),
        route(
            "PATCH",
            "/v1/organizations/{O}/members/user_aaaaaaaaaaaaaaaa",
            Some(json!({ "role": "admin" })),
            404,
            Some("org.members.manage_roles"),
        ),
        route(
            "DELETE",
            "/v1/organizations/{O}/members/user_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("org.members.remove"),
        ),
        route("POST", "/v1/organizations/{O}/leave", None, 404, None),
        route("GET", "/v1/organizations/{O}/departures", None, 404, Some("org.members.invite")),
        route(
            "POST",
            "/v1/organizations/{O}/members/user_aaaaaaaaaaaaaaaa/readmit",
            None,
            404,
            Some("org.members.invite"),
        ),
        route("POST", "/v1/organizations/{O}/invitations", Some(invitation), 404, Some("org.members.invite")),
        route("GET", "/v1/organizations/{O}/invitations", None, 404, Some("org.members.invite")),
        route(
            "GET",
            "/v1/organizations/{O}/invitations/inv_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("org.members.invite"),
        ),
        route(
            "DELETE",
            "/v1/organizations/{O}/invitations/inv_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("org.members.invite"),
        ),
        route(
            "POST",
            "/v1/organizations/{O}/invitations/inv_aaaaaaaaaaaaaaaa/resend",
            None,
            404,
            Some("org.members.invite"),
        ),
        route("POST", "/v1/invitations:accept", Some(token), 404, None),
        route("GET", "/v1/me/invitations", None, 200, None),
        route("POST", "/v1/organizations/{O}/projects", Some(project), 404, Some("org.projects.create")),
        route("GET", "/v1/organizations/{O}/projects", None, 404, None),
        route("GET", "/v1/projects/{P}", None, 404, Some("project.settings.read")),
        route("GET", "/v1/projects/{P}/settings", None, 404, Some("project.settings.read")),
        route(
            "PATCH",
            "/v1/projects/{P}/settings",
            Some(json!({ "name": "B" })),
            404,
            Some("project.settings.write"),
        ),
        route("DELETE", "/v1/projects/{P}", Some(json!({ "slug": "b" })), 404, Some("org.projects.delete")),
        route("POST", "/v1/projects/{P}/archive", None, 404, Some("org.projects.archive")),
        route("POST", "/v1/projects/{P}/unarchive", None, 404, Some("org.projects.archive")),
        route(
            "PUT",
            "/v1/projects/{P}/external",
            Some(json!({ "allowed": true })),
            404,
            Some("project.external.write"),
        ),
        route("POST", "/v1/projects/{P}/join", None, 404, None),
        route("POST", "/v1/projects/{P}/leave", None, 404, Some("project.leave")),
        route("POST", "/v1/projects/{P}/collaborators", Some(collaborator), 404, Some("collaborators.add")),
        route("GET", "/v1/projects/{P}/collaborators", None, 404, Some("collaborators.read")),
        route(
            "GET",
            "/v1/projects/{P}/collaborators/user_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("collaborators.read"),
        ),
        route(
            "PATCH",
            "/v1/projects/{P}/collaborators/user_aaaaaaaaaaaaaaaa",
            Some(json!({ "role": "admin" })),
            404,
            Some("collaborators.manage_roles"),
        ),
        route(
            "DELETE",
            "/v1/projects/{P}/collaborators/user_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("collaborators.remove"),
        ),
        route("GET", "/v1/projects/{P}/invitations", None, 404, Some("collaborators.add")),
        route(
            "GET",
            "/v1/projects/{P}/invitations/inv_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("collaborators.add"),
        ),
        route(
            "DELETE",
            "/v1/projects/{P}/invitations/inv_aaaaaaaaaaaaaaaa",
            None,
            404,
            Some("collaborators.add"),
        ),
        route(
            "POST",
            "/v1/projects/{P}/invitations/inv_aaaaaaaaaaaaaaaa/resend",
            None,
            404,
            Some("collaborators.add"),
        ),
        route("GET", "/v1/projects/{P}/notices", None, 404, Some("collaborators.read")),
        route("GET", "/v1/organizations/{O}/notices", None, 404, Some("org.settings.write")),
        route("POST", "/v1/projects/{P}/keys", Some(key), 404, Some("keys.create")),
        route("GET", "/v1/projects/{P}/keys", None, 404, Some("keys.read")),
        route("POST", "/v1/projects/{P}/keys:import", Some(import), 404, Some("keys.create")),
        route("POST", "/v1/keys/{K}/rotate", Some(json!({ "overlap_minutes": 0 })), 404, Some("keys.create")),
        route("GET", "/v1/whoami", None, 403, None),
        route("POST", "/v1/projects/{P}/keys:batch", Some(batch), 404, Some("keys.create")),
        route("POST", "/v1/projects/{P}/resources", Some(resource), 404, Some("operator.resources")),
        route("GET", "/v1/projects/{P}/resources", None, 404, Some("clusters.view")),
        route("DELETE", "/v1/projects/{P}/resources/cluster/c-0", None, 404, Some("operator.resources")),
        route("POST", "/v1/projects/{P}/resources:batch", Some(resources), 404, Some("operator.resources")),
        route("GET", "/v1/projects/{P}/resources/cluster/c-0", None, 404, Some("clusters.view")),
        route(
            "PATCH",
            "/v1/projects/{P}/resources/cluster/c-0",
            Some(json!({ "name": "new" })),
            404,
            Some("operator.resources"),
        ),
        route("GET", "/v1/projects/{P}/clusters/c-0/kubeconfig", None, 404, Some("clusters.kubectl")),
        route("GET", "/v1/projects/{P}/clusters/c-0/rolebinding", None, 404, Some("clusters.view")),
        route("GET", "/v1/organizations/{O}/usage", None, 404, Some("org.usage.read")),
        route("GET", "/v1/projects/{P}/usage", None, 404, Some("project.usage.read")),
        route("POST", "/v1/usage/batches", Some(report), 403, Some("usage.report")),
        route("GET", "/v1/operator/usage/batches", None, 403, Some("operator.usage")),
        route("GET", "/v1/operator/usage/batches/00", None, 403, Some("operator.usage")),
        route("POST", "/v1/operator/usage/batches/00/accept", None, 403, Some("operator.usage")),
        route("POST", "/v1/operator/usage/batches/00/discard", None, 403, Some("operator.usage")),
        route(
            "POST",
            "/v1/operator/usage-tokens",
            Some(json!({ "name": "n" })),
            403,
            Some("operator.tokens"),
        ),
        route("GET", "/v1/operator/usage-tokens", None, 403, Some("operator.tokens")),
        route("DELETE", "/v1/operator/usage-tokens/1", None, 403, Some("operator.tokens")),
        route("GET", "/v1/operator/prices", None, 403, Some("operator.usage")),
        route("PUT", "/v1/operator/prices", Some(json!({ "prices": {} })), 403, Some("operator.usage")),
        route("GET", "/v1/organizations/{O}/budget", None, 404, None),
        route("PUT", "/v1/organizations/{O}/budget", Some(budget.clone()), 404, Some("org.billing.write")),
        route("DELETE", "/v1/organizations/{O}/budget", None, 404, Some("org.billing.write")),
        route("GET", "/v1/projects/{P}/budget", None, 404, Some("project.usage.read")),
        route("PUT", "/v1/projects/{P}/budget", Some(budget.clone()), 404, Some("project.settings.write")),
        route("DELETE", "/v1/projects/{P}/budget", None, 404, Some("project.settings.write")),
        route("GET", "/v1/keys/{K}/budget", None, 404, Some("keys.read")),
        route("PUT", "/v1/keys/{K}/budget", Some(budget), 404, Some("keys.create")),
        route("DELETE", "/v1/keys/{K}/budget", None, 404, Some("keys.create")),
        route("GET", "/v1/keys/{K}", None, 404, Some("keys.read")),
        route("PATCH", "/v1/keys/{K}", Some(json!({ "name": "new" })), 404, Some("keys.create")),
        route("POST", "/v1/keys/{K}/revoke", None, 404, Some("keys.revoke")),
        route("POST", "/v1/keys/{K}/disable", None, 404, Some("keys.revoke")),
        route("POST", "/v1/keys/{K}/enable", None, 404, Some("keys.create")),
        route("GET", "/v1/organizations/{O}/audit", None, 404, Some("org.audit.read")),
        route("GET", "/v1/organizations/{O}/audit/export", None, 404, Some("org.audit.read")),
        route("GET", "/v1/organizations/{O}/audit/checkpoint", None, 404, Some("org.audit.read")),
        route("GET", "/v1/organizations/{O}/audit/proof", None, 404, Some("org.audit.read")),
        route("GET", "/v1/operator/audit", None, 403, Some("operator.audit")),
        route("GET", "/v1/operator/audit/export", None, 403, Some("operator.audit")),
        route("GET", "/v1/operator/audit/checkpoint", None, 403, Some("operator.audit")),
        route("GET", "/v1/operator/audit/proof", None, 403, Some("operator.audit")),
        route("GET", "/v1/operator/audit/tile/0/000", None, 403, Some("operator.audit")),
        route("POST", "/v1/operator/audit/0/erase", None, 403, Some("operator.audit")),
    ]
}

struct Scene {
    stage: Stage,
    organization: String,
    project: String,
    key: String,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        stage.organization("Other", "stranger@other.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        let path = format!("/v1/organizations/{}/projects", acme.organization.id);
        let project = owner.post(&path, json!({ "name": "Red", "slug": "red" })).await.expect(201).json();
        let project = project["id"].as_str().unwrap().to_owned();
        let key = stage.key(&owner, &project, Role::Member).await.key.id;
        Self { stage, organization: acme.organization.id, project, key }
    }

    async fn ask(&self, actor: &Actor, route: &Route) -> Reply {
        let path = route.path.replace("{O}", &self.organization);
        let path = path.replace("{P}", &self.project).replace("{K}", &self.key);
        actor.call(route.method, &path, route.body.clone()).await
    }
}

#[tokio::test]
async fn anonymous_is_refused_everywhere_with_one_body_r1() {
    let scene = Scene::new().await;
    let unknown = "lks_0000000000000000000000000000000000000000000";
    let actors = [scene.stage.anonymous(), scene.stage.holder(unknown), scene.stage.holder("junk")];
    let model = scene.stage.anonymous().get("/v1/me").await;
    for route in routes() {
        for actor in &actors {
            let reply = scene.ask(actor, &route).await;
            reply.problem(401, "unauthenticated");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{}", route.path);
            assert_eq!(reply.body, model.body, "{}", route.path);
        }
    }
}

#[tokio::test]
async fn stranger_is_told_there_is_nothing_r2() {
    let scene = Scene::new().await;
    let stranger = scene.stage.sign_in("stranger@other.test").await;
    for route in routes() {
        let reply = scene.ask(&stranger, &route).await;
        assert_eq!(reply.status, route.stranger, "{} {}: {}", route.method, route.path, reply.text());
    }
}

#[tokio::test]
async fn stranger_cannot_tell_existing_from_missing_r2() {
    let scene = Scene::new().await;
    let stranger = scene.stage.sign_in("stranger@other.test").await;
    let missing = Scene {
        organization: "org_aaaaaaaaaaaaaaaa".to_owned(),
        project: "proj_aaaaaaaaaaaaaaaa".to_owned(),
        key: "AAAAAAAAAAA".to_owned(),
        stage: scene.stage,
    };
    for route in routes().iter().filter(|route| route.stranger == 404) {
        let nothing = missing.ask(&stranger, route).await;
        let path = route.path.replace("{O}", &scene.organization);
        let path = path.replace("{P}", &scene.project).replace("{K}", &scene.key);
        let something = stranger.call(route.method, &path, route.body.clone()).await;
        assert_eq!((something.status, something.text()), (nothing.status, nothing.text()), "{path}");
        assert_eq!(something.headers, nothing.headers, "{path}");
    }
}

#[tokio::test]
async fn who_may_know_but_not_do_is_told_the_permission_r2() {
    let scene = Scene::new().await;
    let member = scene.stage.person("m@acme.test", Some((&scene.organization, Role::Member)), None).await;
    for route in routes() {
        let Some(lacking) = route.lacking else { continue };
        let problem = scene.ask(&member, &route).await.problem(403, "forbidden");
        assert_eq!(problem["permission"], lacking, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn organization_admin_gets_nothing_inside_before_joining_j4() {
    let scene = Scene::new().await;
    let admin = scene.stage.person("a@acme.test", Some((&scene.organization, Role::Admin)), None).await;
    for path in ["/v1/projects/{P}", "/v1/projects/{P}/keys", "/v1/keys/{K}", "/v1/projects/{P}/resources"] {
        let path = path.replace("{P}", &scene.project).replace("{K}", &scene.key);
        admin.get(&path).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn operator_makes_no_keys_in_anybodys_project() {
    let scene = Scene::new().await;
    let path = format!("/v1/projects/{}/keys", scene.project);
    scene.stage.operator().post(&path, json!({ "name": "k" })).await.problem(403, "forbidden");
    scene.stage.operator().get(&path).await.problem(403, "forbidden");
}

#[tokio::test]
async fn key_manages_nothing_whatever_its_role_k6b() {
    let scene = Scene::new().await;
    let owner = scene.stage.sign_in("owner@acme.test").await;
    for role in Role::ALL {
        let made = scene.stage.key(&owner, &scene.project, role).await;
        let key = scene.stage.holder(made.secret.expose());
        // Who it is and what it may, it is told.
        let answered = ["/v1/whoami", "/v1/explain"];
        for route in routes().iter().filter(|route| !answered.contains(&route.path)) {
            let reply = scene.ask(&key, route).await;
            let code = reply.json()["code"].as_str().unwrap().to_owned();
            let is_refused = [(403, "forbidden"), (404, "not_found")].contains(&(reply.status, &code));
            assert!(is_refused, "{} {}: {}", route.method, route.path, reply.text());
        }
    }
}

#[tokio::test]
async fn unknown_path_and_method_are_told_only_to_the_known() {
    let scene = Scene::new().await;
    scene.stage.anonymous().get("/v1/nothing").await.problem(401, "unauthenticated");
    scene.stage.anonymous().delete("/v1/me").await.problem(401, "unauthenticated");
    scene.stage.operator().get("/v1/nothing").await.problem(404, "not_found");
    scene.stage.operator().get("/v1").await.problem(404, "not_found");
    scene.stage.anonymous().get("/elsewhere").await.problem(404, "not_found");
    let reply = scene.stage.operator().delete("/v1/organizations").await;
    reply.problem(405, "method_not_allowed");
    let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn path_that_is_no_text_names_nothing() {
    let scene = Scene::new().await;
    for path in ["/v1/projects/%ff", "/v1/keys/%00", "/v1/organizations/..%2f", "/v1/projects/proj_"] {
        scene.stage.operator().get(path).await.problem(404, "not_found");
    }
}
