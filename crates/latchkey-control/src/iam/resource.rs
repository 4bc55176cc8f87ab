//! Resources, which the platform's own services register (IAM §9).

use super::permit::Permit;
use latchkey_core::{ProjectNumber, ResourceType, UnixMillis};

/// A resource. Its type and id are unique in the installation and stay taken once it is deleted (G1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub kind: ResourceType,
    /// The platform's own name of it, parsed by `latchkey_core::ResourceId`.
    pub id: String,
    /// The project it belongs to, for ever.
    pub project: ProjectNumber,
    /// When it was registered.
    pub created_at: UnixMillis,
    /// When it was deleted.
    pub deleted_at: Option<UnixMillis>,
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
