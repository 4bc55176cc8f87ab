//! Resources (IAM P3, G1).

use crate::timestamp::Timestamp;
use latchkey_core as core_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of resource that can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the word of IAM.md, table P3")]
pub enum ResourceType {
    Cluster,
    Volume,
    Model,
    Endpoint,
    Evaluation,
    File,
}

/// `POST /v1/projects/{project}/resources`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterResource {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The platform's own name of it, unique with its type in the installation for ever.
    pub id: String,
    /// What people call it, 1 to 100 characters; its id unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How one gets into it, for a cluster alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// How one gets into a GPU cluster. No secret: what proves somebody to it is fetched on their own machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The Kubernetes API server, `https`, without query or fragment.
    pub server: String,
    /// Its certificate authority: 1 to 10 certificates, PEM.
    pub certificate_authority: String,
    /// The OIDC issuer that the API server trusts; without it one shared kubeconfig serves both roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<ClusterOidc>,
    /// The program that fetches the cluster's own credential; without it only the OIDC kubeconfig can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<ClusterLogin>,
}

/// What a cluster's API server trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterOidc {
    /// The issuer, `https`, exactly as its tokens name it.
    pub issuer: String,
    /// The client id, 1 to 200 printable characters.
    pub client_id: String,
}

/// A program of the platform's on a user's machine, run by `kubectl` with `--cluster <id> --access admin|shared` behind these
/// arguments. It prints an `ExecCredential`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterLogin {
    /// Its name or path, 1 to 200 printable characters.
    pub command: String,
    /// Its first arguments, at most 16.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// Resources that one call of `POST /v1/projects/{project}/resources:batch` registers at most.
pub const BATCH_RESOURCES_MAX: usize = 10_000;

/// `POST /v1/projects/{project}/resources:batch`: all of them, or none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterResources {
    /// 1 to 10,000 resources.
    pub resources: Vec<RegisterResource>,
}

/// The reply to a batch: in the order of the request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredResources {
    /// The resources.
    pub items: Vec<Resource>,
}

/// `PATCH /v1/projects/{project}/resources/{type}/{id}`: what is absent stays as it is. It never moves.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeResource {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another way into a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// The query of `GET /v1/projects/{project}/resources`.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceQuery {
    /// Only of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceType>,
    /// 1 to 200 items; 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The query of `GET /v1/projects/{project}/clusters/{id}/kubeconfig`.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubeconfigQuery {
    /// Which; the one that both roles get, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KubeconfigKind>,
}

/// A way into a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KubeconfigKind {
    /// The cluster's administrator: project admins, where there is an issuer.
    Admin,
    /// As oneself: both roles, where there is an issuer.
    Oidc,
    /// One for all: both roles, where there is none.
    Shared,
}

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The platform's own name of it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `proj_…`
    pub project_id: String,
    /// How one gets into it, for a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// When it was registered.
    pub created_at: Timestamp,
}

macro_rules! same_words {
    ($($variant:ident)*) => {
        impl From<core_words::ResourceType> for ResourceType {
            fn from(kind: core_words::ResourceType) -> Self {
                match kind { $(core_words::ResourceType::$variant => Self::$variant,)* }
            }
        }
        impl From<ResourceType> for core_words::ResourceType {
            fn from(kind: ResourceType) -> Self {
                match kind { $(ResourceType::$variant => Self::$variant,)* }
            }
        }
    };
}

same_words!(Cluster Volume Model Endpoint Evaluation File);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_core() {
        for kind in core_words::ResourceType::ALL {
            let word = serde_json::to_value(ResourceType::from(kind)).unwrap();
            assert_eq!(word, kind.as_str());
        }
    }
}
