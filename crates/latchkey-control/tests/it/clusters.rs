//! The ways into a cluster (P3). No file of these holds a secret.

use latchkey_core::Role;
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

/// Bytes that begin like a certificate, as PEM.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";

struct Scene {
    stage: Stage,
    project: String,
    admin: Actor,
    member: Actor,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let acme = stage.organization("Acme", "owner@acme.test").await;
        let (organization, project) = (acme.organization.id, acme.default_project.id);
        let admin = stage.sign_in("owner@acme.test").await;
        let roles = (Some((&*organization, Role::Member)), Some((&*project, Role::Member)));
        let member = stage.person("m@acme.test", roles.0, roles.1).await;
        Self { stage, project, admin, member }
    }

    async fn register(&self, id: &str, cluster: Value) -> latchkey_testkit::Reply {
        let body = json!({ "type": "cluster", "id": id, "cluster": cluster });
        self.stage.operator().post(&format!("/v1/projects/{}/resources", self.project), body).await
    }

    fn kubeconfig(&self, id: &str, kind: &str) -> String {
        format!("/v1/projects/{}/clusters/{id}/kubeconfig{kind}", self.project)
    }
}

fn way_in() -> Value {
    json!({
        "server": "https://k.test:6443",
        "certificate_authority": AUTHORITY,
        "login": { "command": "acme", "arguments": ["cluster-login"] },
    })
}

fn with_oidc() -> Value {
    let mut cluster = way_in();
    cluster["oidc"] = json!({ "issuer": "https://id.test/", "client_id": "k8s" });
    cluster
}

/// The one document that the text is.
#[track_caller]
fn yaml(text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

/// The program that the kubeconfig's one user runs, with its arguments.
fn program(config: &Yaml) -> Vec<String> {
    let exec = &config["users"][0]["user"]["exec"];
    let arguments = exec["args"].as_vec().unwrap().iter();
    std::iter::once(&exec["command"]).chain(arguments).map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn oidc_cluster_gives_both_roles_theirs_and_admins_the_admin_kubeconfig_p3() {
    let scene = Scene::new().await;
    scene.register("c-1", with_oidc()).await.expect(201);
    let problem = scene.member.get(&scene.kubeconfig("c-1", "?kind=admin")).await.problem(403, "forbidden");
    assert_eq!(problem["permission"], "clusters.admin_kubeconfig");
    for by in [&scene.member, &scene.admin] {
        by.get(&scene.kubeconfig("c-1", "?kind=shared")).await.problem(409, "cluster_access");
        let reply = by.get(&scene.kubeconfig("c-1", "")).await.expect(200);
        assert_eq!(reply.header("content-type"), Some("application/yaml"));
        assert_eq!(reply.body, by.get(&scene.kubeconfig("c-1", "?kind=oidc")).await.expect(200).body);
        let config = yaml(&reply.text());
        let expected = ["kubectl", "oidc-login", "get-token", "--oidc-issuer-url=https://id.test/"];
        assert_eq!(program(&config)[..4], expected);
        assert_eq!(program(&config)[4..], ["--oidc-client-id=k8s"]);
    }
    let reply = scene.admin.get(&scene.kubeconfig("c-1", "?kind=admin")).await.expect(200);
    let config = yaml(&reply.text());
    assert_eq!(program(&config), ["acme", "cluster-login", "--cluster", "c-1", "--access", "admin"]);
    assert_eq!(config["kind"].as_str(), Some("Config"));
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(cluster["server"].as_str(), Some("https://k.test:6443"));
    let context = &config["contexts"][0];
    assert_eq!(config["current-context"], context["name"]);
    assert_eq!(context["context"]["user"], config["users"][0]["name"]);
    assert_eq!(context["context"]["cluster"], config["clusters"][0]["name"]);
}

#[tokio::test]
async fn cluster_without_oidc_gives_both_roles_the_shared_one_p3() {
    let scene = Scene::new().await;
    scene.register("c-1", way_in()).await.expect(201);
    for by in [&scene.member, &scene.admin] {
        by.get(&scene.kubeconfig("c-1", "?kind=oidc")).await.problem(409, "cluster_access");
        let config = yaml(&by.get(&scene.kubeconfig("c-1", "")).await.expect(200).text());
        assert_eq!(program(&config)[4..], ["--access", "shared"]);
    }
    scene.member.get(&scene.kubeconfig("c-1", "?kind=admin")).await.problem(403, "forbidden");
    scene.admin.get(&scene.kubeconfig("c-1", "?kind=admin")).await.problem(409, "cluster_access");
    let rolebinding = scene.kubeconfig("c-1", "").replace("kubeconfig", "rolebinding");
    scene.admin.get(&rolebinding).await.problem(409, "cluster_access");
}

#[tokio::test]
async fn way_in_that_was_never_told_is_none() {
    let scene = Scene::new().await;
    let body = json!({ "type": "cluster", "id": "bare" });
    let path = format!("/v1/projects/{}/resources", scene.project);
    scene.stage.operator().post(&path, body).await.expect(201);
    scene.admin.get(&scene.kubeconfig("bare", "")).await.problem(409, "cluster_access");
    scene.admin.get(&scene.kubeconfig("none", "")).await.problem(404, "not_found");
    let told = json!({ "cluster": with_oidc() });
    let one = format!("{path}/cluster/bare");
    assert_eq!(scene.stage.operator().patch(&one, told).await.expect(200).json()["cluster"], with_oidc());
    scene.admin.get(&scene.kubeconfig("bare", "")).await.expect(200);
    let mut mute = with_oidc();
    mute.as_object_mut().unwrap().remove("login");
    scene.stage.operator().patch(&one, json!({ "cluster": mute })).await.expect(200);
    scene.admin.get(&scene.kubeconfig("bare", "?kind=admin")).await.problem(409, "cluster_access");
    scene.admin.get(&scene.kubeconfig("bare", "?kind=oidc")).await.expect(200);
    scene.stage.operator().delete(&one).await.expect(200);
    scene.admin.get(&scene.kubeconfig("bare", "")).await.problem(404, "not_found");
}

#[tokio::test]
async fn cluster_of_another_project_is_not_there_j1() {
    let scene = Scene::new().await;
    scene.register("c-1", with_oidc()).await.expect(201);
    let other = scene.stage.organization("Other", "o@other.test").await;
    let stranger = scene.stage.sign_in("o@other.test").await;
    stranger.get(&scene.kubeconfig("c-1", "")).await.problem(404, "not_found");
    let path = format!("/v1/projects/{}/clusters/c-1/kubeconfig", other.default_project.id);
    stranger.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn rolebinding_maps_roles_by_the_projects_groups_p3() {
    let scene = Scene::new().await;
    scene.register("c-1", with_oidc()).await.expect(201);
    let rolebinding = scene.kubeconfig("c-1", "").replace("kubeconfig", "rolebinding");
    let text = scene.member.get(&rolebinding).await.expect(200).text();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    let told: Vec<[&str; 4]> = documents
        .iter()
        .map(|one| {
            let subject = &one["subjects"][0];
            [&one["kind"], &one["roleRef"]["name"], &subject["kind"], &subject["name"]]
                .map(|word| word.as_str().unwrap())
        })
        .collect();
    let (admins, members) =
        (format!("latchkey:{}:admin", scene.project), format!("latchkey:{}:member", scene.project));
    assert_eq!(
        told,
        [
            ["ClusterRoleBinding", "cluster-admin", "Group", &admins],
            // In one namespace: in the whole cluster, `edit` would reach every secret.
            ["RoleBinding", "edit", "Group", &members],
        ]
    );
    assert_eq!(documents[1]["metadata"]["namespace"].as_str(), Some("default"));
}

#[tokio::test]
async fn way_in_that_is_none_is_refused_with_its_field() {
    let scene = Scene::new().await;
    let key = "-----BEGIN PRIVATE KEY-----\nMAMCAQU=\n-----END PRIVATE KEY-----\n";
    let cases: [(&str, Value, &str); 18] = [
        ("server", json!("http://k.test"), "cluster.server"),
        ("server", json!("https://user@k.test"), "cluster.server"),
        ("server", json!("https://k.test/?a"), "cluster.server"),
        ("server", json!("https://k.test/#a"), "cluster.server"),
        ("server", json!("https://k.test/\"\nuser: x"), "cluster.server"),
        ("server", json!("https://"), "cluster.server"),
        ("certificate_authority", json!(""), "cluster.certificate_authority"),
        ("certificate_authority", json!("MAMCAQU="), "cluster.certificate_authority"),
        ("certificate_authority", json!(key), "cluster.certificate_authority"),
        ("certificate_authority", json!(format!("{AUTHORITY}{key}")), "cluster.certificate_authority"),
        ("certificate_authority", json!(AUTHORITY.repeat(11)), "cluster.certificate_authority"),
        ("certificate_authority", json!(AUTHORITY.replace("MAM", "MAQ")), "cluster.certificate_authority"),
        ("oidc", json!({ "issuer": "http://id.test", "client_id": "k" }), "cluster.oidc.issuer"),
        ("oidc", json!({ "issuer": "https://id.test", "client_id": "a b" }), "cluster.oidc.client_id"),
        ("oidc", json!({ "issuer": "https://id.test" }), "cluster.oidc"),
        ("login", json!({ "command": "" }), "cluster.login.command"),
        ("login", json!({ "command": "a", "arguments": ["b", "c\nd"] }), "cluster.login.arguments[1]"),
        ("password", json!("x"), "cluster.password"),
    ];
    for (name, value, field) in cases {
        let mut cluster = with_oidc();
        cluster[name] = value;
        let problem = scene.register("c-1", cluster).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
    }
    let path = format!("/v1/projects/{}/resources", scene.project);
    let body = json!({ "type": "volume", "id": "v", "cluster": way_in() });
    assert_eq!(
        scene.stage.operator().post(&path, body).await.problem(422, "invalid_field")["field"],
        "cluster"
    );
    let page = scene.admin.get(&path).await.expect(200).json();
    assert_eq!(page["items"], json!([]));
}

#[tokio::test]
async fn what_stands_beside_a_certificate_is_left_out() {
    let scene = Scene::new().await;
    let mut cluster = way_in();
    cluster["certificate_authority"] = json!(format!("a note\n{AUTHORITY}\nanother: note\n{AUTHORITY}"));
    let made = scene.register("c-1", cluster).await.expect(201).json();
    assert_eq!(made["cluster"]["certificate_authority"], format!("{AUTHORITY}{AUTHORITY}"));
}
