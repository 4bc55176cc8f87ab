//! Resources, which the platform's own services register (IAM §9).

use super::permit::Permit;
use super::text::Name;
use latchkey_core::{ProjectNumber, ResourceType, UnixMillis};

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
