//! What the store holds of an installation, as its rows, and how they are written.

use anyhow::{Result, anyhow};
use latchkey_control::iam::{
    Key, KeyProof, Name, Narrowing, Organization, Project, Resource, ResourceDetail, Settings, Visibility,
    authorize_first_operator,
};
use latchkey_control::store::{AuditEntry, Change, Store, StoreError, Write};
use latchkey_core::{
    Dice, ExpiryMinute, Generation, KeyDigest, KeyId, OrganizationId, OrganizationNumber, ProjectId,
    ProjectNumber, ResourceType, Role, Slug, UnixMillis, UserId,
};
use latchkey_snapshot::{Binding, KeyState};
use std::sync::{Mutex, PoisonError};

/// When everything was made, as the store says.
const MADE_AT: UnixMillis = UnixMillis(1_790_000_000_000);

/// Makes rows.
pub(crate) struct Stock {
    owner: UserId,
    name: Name,
}

impl Stock {
    pub(crate) fn new() -> Result<Self> {
        let name = Name::parse("bench").map_err(|error| anyhow!("{error}"))?;
        Ok(Self { owner: UserId::generate(&mut dice(0x60, 0)), name })
    }

    pub(crate) fn organization(&self, number: OrganizationNumber) -> Change {
        Change::Organization(Organization {
            number,
            id: OrganizationId::generate(&mut dice(0x61, number.0)),
            name: self.name.clone(),
            owner: self.owner,
            created_at: MADE_AT,
            suspended_at: None,
            settings: Settings::default(),
            imports_keys: false,
        })
    }

    pub(crate) fn project(
        &self,
        number: ProjectNumber,
        id: ProjectId,
        slug: &str,
        organization: OrganizationNumber,
    ) -> Result<Change> {
        Ok(Change::Project(Project {
            number,
            id,
            organization,
            name: self.name.clone(),
            slug: Slug::parse(slug).map_err(|error| anyhow!("{error}"))?,
            visibility: Visibility::Open,
            allows_external: false,
            is_default: true,
            created_at: MADE_AT,
            archived_at: None,
            deleted_at: None,
        }))
    }

    pub(crate) fn file(&self, project: ProjectNumber, id: &str) -> Change {
        Change::Resource(Resource {
            kind: ResourceType::File,
            id: id.to_owned(),
            name: self.name.clone(),
            detail: ResourceDetail::None,
            project,
            created_at: MADE_AT,
            deleted_at: None,
        })
    }

    pub(crate) fn key(
        &self,
        id: KeyId,
        digest: KeyDigest,
        binding: &Binding,
        expiry: Option<ExpiryMinute>,
        state: KeyState,
    ) -> Key {
        Key {
            id,
            proof: KeyProof::Native(digest),
            project: binding.project,
            name: self.name.clone(),
            role: binding.role.unwrap_or(Role::Member),
            narrowing: Narrowing { permissions: Some(binding.permissions), ..Narrowing::default() },
            family: id,
            predecessor: None,
            successor: None,
            created_by: self.owner,
            created_at: MADE_AT,
            expires: expiry,
            disabled_at: None,
            enabled_at: None,
            warned_of: None,
            revoked_at: (state == KeyState::Revoked).then_some(MADE_AT),
        }
    }
}

/// The key once it is revoked.
pub(crate) fn revoked(key: Key) -> Change {
    Change::Key(Key { revoked_at: Some(MADE_AT), ..key })
}

/// A key that was not there, beside one that was. `number` tells it from others beside the same.
pub(crate) fn beside(key: Key, number: u32) -> Change {
    let id = KeyId::from_number(key.id.number() ^ 0x5555_5555 ^ u64::from(number));
    let digest = KeyDigest(dice(0x63, number).bytes());
    Change::Key(Key { id, family: id, proof: KeyProof::Native(digest), revoked_at: None, ..key })
}

/// Commits these rows in one write; the generation they became.
pub(crate) async fn write(store: &Store, changes: Vec<Change>) -> Result<Generation> {
    // Handed out once: nothing else writes, so no write is run again.
    let changes = Mutex::new(Some(changes));
    let permit = authorize_first_operator(0).map_err(|_| anyhow!("no permit"))?;
    let committed = store.write(move |_, _| {
        let changes = changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let entry = AuditEntry::new(&permit, None, "bench.write", ("installation", String::new()));
        changes.map(|changes| Write::new(entry, ()).put_all(changes)).ok_or(StoreError::Closed)
    });
    Ok(committed.await.map_err(|error| anyhow!("{error}"))?.generation)
}

/// Dice of their own for each thing of a kind.
pub(crate) fn dice(what: u8, number: u32) -> Dice {
    let mut seed = [what; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    Dice::from_seed(&seed)
}
