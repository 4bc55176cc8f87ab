//! Resources, which the platform's own services register (IAM §9).

use super::permit::Permit;
use super::text::Name;
use latchkey_core::{Permission, ProjectNumber, ResourceType, UnixMillis};

/// A resource. Its type and id are unique in the installation and stay taken once it is deleted (G1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub kind: ResourceType,
    /// The platform's own name of it, parsed by `latchkey_core::ResourceId`.
    pub id: String,
    /// What people call it; its id unless told.
    pub name: Name,
    /// What its type adds.
    pub detail: ResourceDetail,
    /// The project it belongs to, for ever.
    pub project: ProjectNumber,
    /// When it was registered.
    pub created_at: UnixMillis,
    /// When it was deleted.
    pub deleted_at: Option<UnixMillis>,
}

/// What a type of resource adds to what all have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceDetail {
    /// Nothing.
    None,
    /// A GPU cluster's way in.
    Cluster(Cluster),
}

/// How one gets into a cluster (P3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The Kubernetes API server's URL.
    pub server: String,
    /// Its certificate authority, PEM.
    pub certificate_authority: String,
    /// The OIDC issuer and client id that its API server trusts. Without them one shared kubeconfig serves all.
    pub oidc: Option<ClusterOidc>,
    /// The program by which a user's machine fetches the cluster's own credential: there is none in a kubeconfig.
    pub login: Option<ClusterLogin>,
}

/// A program of the platform's that a user has on their machine (a Kubernetes client's `exec` plugin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLogin {
    /// Its name or path.
    pub command: String,
    /// Its first arguments.
    pub arguments: Vec<String>,
}

/// A way into a cluster (P3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeconfigKind {
    /// The cluster's administrator, where its API server trusts an OIDC issuer.
    Admin,
    /// As oneself, by that issuer.
    Oidc,
    /// The one that serves all, where there is no issuer.
    Shared,
}

impl KubeconfigKind {
    /// What it takes (P3).
    pub const fn permission(self) -> Permission {
        match self {
            Self::Admin => Permission::ClustersAdminKubeconfig,
            Self::Oidc | Self::Shared => Permission::ClustersKubectl,
        }
    }
}

impl Cluster {
    /// The kubeconfig that both roles get (P3).
    pub const fn usual_kind(&self) -> KubeconfigKind {
        match self.oidc {
            Some(_) => KubeconfigKind::Oidc,
            None => KubeconfigKind::Shared,
        }
    }
}

/// What a cluster's API server trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOidc {
    /// The issuer's URL.
    pub issuer: String,
    /// The client id.
    pub client_id: String,
}

impl Resource {
    /// The resource with another name.
    #[must_use]
    pub fn renamed(self, _permit: &Permit, name: Name) -> Self {
        Self { name, ..self }
    }

    /// The cluster with another way in.
    #[must_use]
    pub fn reached_by(self, _permit: &Permit, cluster: Cluster) -> Self {
        Self { detail: ResourceDetail::Cluster(cluster), ..self }
    }

    /// The resource deleted; its type and id stay taken (G1).
    #[must_use]
    pub fn deleted(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { deleted_at: self.deleted_at.or(Some(now)), ..self }
    }

    /// Whether something that `before` allowed is refused now.
    pub const fn refuses_more_than(&self, before: &Self) -> bool {
        self.deleted_at.is_some() && before.deleted_at.is_none()
    }
}

/// What it takes to see resources of a type (P3).
pub const fn view_permission(kind: ResourceType) -> Permission {
    match kind {
        ResourceType::Cluster => Permission::ClustersView,
        ResourceType::Volume => Permission::VolumesView,
        ResourceType::Model => Permission::ModelsView,
        ResourceType::Endpoint => Permission::EndpointsView,
        ResourceType::Evaluation => Permission::EvaluationsView,
        ResourceType::File => Permission::FilesView,
    }
}
