//! Files for `kubectl`, YAML. Every text that is not ours is a JSON string, which YAML reads as the same text.

use crate::iam::resource::KubeconfigKind;
use crate::iam::{Cluster, ClusterLogin, ClusterOidc};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_core::{ProjectId, Role};
use serde_json::{Value, json};

/// The kubeconfig of a kind, if the cluster has that way in (P3).
pub(super) fn kubeconfig(id: &str, cluster: &Cluster, kind: KubeconfigKind) -> Option<String> {
    let (word, command, arguments) = match (kind, &cluster.oidc) {
        (KubeconfigKind::Oidc, Some(oidc)) => oidc_login(oidc),
        (KubeconfigKind::Admin, Some(_)) => own_login(id, "admin", cluster.login.as_ref()?),
        (KubeconfigKind::Shared, None) => own_login(id, "shared", cluster.login.as_ref()?),
        _ => return None,
    };
    let user = format!("{id}-{word}");
    let authority = STANDARD.encode(&cluster.certificate_authority);
    Some(format!(
        "\
apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: {command}
      args: {arguments}
      interactiveMode: IfAvailable
contexts:
- name: {user}
  context:
    cluster: {cluster}
    user: {user}
current-context: {user}
",
        cluster = text(id),
        server = text(&cluster.server),
        authority = text(&authority),
        user = text(&user),
        command = text(&command),
        arguments = Value::from(arguments),
    ))
}

/// As oneself, by the issuer: the plug-in `oidc-login` of `kubectl`.
fn oidc_login(oidc: &ClusterOidc) -> (&'static str, String, Vec<String>) {
    let arguments = vec![
        "oidc-login".to_owned(),
        "get-token".to_owned(),
        format!("--oidc-issuer-url={}", oidc.issuer),
        format!("--oidc-client-id={}", oidc.client_id),
    ];
    ("oidc", "kubectl".to_owned(), arguments)
}

/// By the cluster's own credential, which the platform's program fetches.
fn own_login(id: &str, access: &'static str, login: &ClusterLogin) -> (&'static str, String, Vec<String>) {
    let told = ["--cluster", id, "--access", access].map(str::to_owned);
    (access, login.command.clone(), login.arguments.iter().cloned().chain(told).collect())
}

/// The manifest that maps project admins to `cluster-admin`, and members to `edit` in the namespace `default`: bound
/// in the whole cluster, `edit` would reach the secrets of `kube-system` and so all there is.
pub(super) fn rolebinding(project: &ProjectId) -> String {
    let name = |role: Role| text(&format!("latchkey-project-{}", role.as_str()));
    format!(
        "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {admin_name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cluster-admin
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: {admins}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {member_name}
  namespace: default
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: edit
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: {members}
",
        admin_name = name(Role::Admin),
        admins = text(&group(project, Role::Admin)),
        member_name = name(Role::Member),
        members = text(&group(project, Role::Member)),
    )
}

/// The group that the platform's issuer puts into the tokens of whoever has this role in the project.
fn group(project: &ProjectId, role: Role) -> String {
    format!("latchkey:{project}:{}", role.as_str())
}

fn text(text: &str) -> Value {
    json!(text)
}
