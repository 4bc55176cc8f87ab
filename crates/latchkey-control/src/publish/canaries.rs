//! Canaries: look-ups whose answer is read from the store, past the picture that the snapshot is built from.

use crate::iam::{Key, KeyProof};
use crate::store::{ReadView, StoreError, View};
use latchkey_core::{KeyDigest, KeyId, Pepper, PermissionSet};
use latchkey_snapshot::{Binding, Canary, Expected, KeyState, Query};
use std::collections::BTreeMap;

/// Keys that an operator may choose: the last place is taken by the key that never was.
pub const CANARY_KEYS_MAX: usize = latchkey_snapshot::canary::CANARIES_MAX - 1;

/// What must come out for the operator's keys, and for one key that never was.
pub(super) fn expected(view: &ReadView, pepper: &Pepper, keys: &[KeyId]) -> Result<Vec<Canary>, StoreError> {
    let mut canaries = BTreeMap::new();
    let mut add = |canary: Canary| canaries.insert((canary.query.kind, canary.query.tag), canary);
    add(Canary { query: absent(pepper), expected: None });
    for id in keys.iter().take(CANARY_KEYS_MAX) {
        match view.key(*id)? {
            Some(key) => drop(add(of_key(view, pepper, &key)?)),
            None => tracing::warn!(key = %id, "no canary: there is no such key"),
        }
    }
    Ok(canaries.into_values().collect())
}

fn of_key(view: &ReadView, pepper: &Pepper, key: &Key) -> Result<Canary, StoreError> {
    let query = match &key.proof {
        KeyProof::Native(digest) => Query::native_key(pepper, key.id, digest),
        KeyProof::Imported(digest) => Query::imported_key(pepper, digest),
    };
    let buried_up_to = view.tombstones_up_to()?;
    if key.revoked_at.is_some_and(|at| at <= buried_up_to) {
        return Ok(Canary { query, expected: None });
    }
    let project = view.project(key.project)?.ok_or(StoreError::Corrupt("projects"))?;
    let held = PermissionSet::of_key(key.role);
    let permissions = key.narrowing.permissions.map_or(held, |narrowed| narrowed.intersection(held));
    let binding = Binding {
        project: project.number,
        organization: project.organization,
        role: Some(key.role),
        permissions,
    };
    let state = if key.revoked_at.is_some() {
        KeyState::Revoked
    } else if key.disabled_at.is_some() {
        KeyState::Disabled
    } else {
        KeyState::Active
    };
    Ok(Canary { query, expected: Some(Expected { binding, state }) })
}

/// A key whose digest nobody has a text for.
fn absent(pepper: &Pepper) -> Query {
    let digest = blake3::derive_key("latchkey 2026-11 absent canary", &[]);
    Query::native_key(pepper, KeyId::from_number(0), &KeyDigest(digest))
}
