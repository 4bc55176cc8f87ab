//! Every table, once: from this list come the tables of a read, those of a write, and what both have in common.

use super::error::StoreError;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

/// An index entry has nothing to say beyond its key.
type Nothing = ();
/// An encoded row: a version byte, then postcard (see `rows`).
type Row = &'static [u8];
/// The 16 characters of a public id behind its prefix.
type PublicId = &'static [u8; 16];
/// A digest of 32 bytes.
type Digest = &'static [u8; 32];

macro_rules! tables {
    ($($field:ident: $key:ty => $value:ty;)*) => {
        /// A consistent view of the committed state. It stays as it is while others write.
        pub struct ReadView {
            $(pub(super) $field: ReadOnlyTable<$key, $value>,)*
        }

        /// The tables inside the writer's transaction, all open.
        pub(super) struct WriteTables<'t> {
            $(pub(super) $field: Table<'t, $key, $value>,)*
        }

        /// What a read and a write have in common: every table can be read.
        #[expect(dead_code, reason = "a table or two is read only outside of writes")]
        pub(super) trait Tables {
            $(fn $field(&self) -> &impl ReadableTable<$key, $value>;)*
        }

        impl ReadView {
            pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, StoreError> {
                Ok(Self {
                    $($field: transaction.open_table(
                        TableDefinition::<$key, $value>::new(stringify!($field)))?,)*
                })
            }
        }

        impl<'t> WriteTables<'t> {
            /// Opens every table, and makes those that are not there.
            pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
                Ok(Self {
                    $($field: transaction.open_table(
                        TableDefinition::<$key, $value>::new(stringify!($field)))?,)*
                })
            }
        }

        impl ReadView {
            /// Shows every row of every table as bytes, in the order of this list.
            pub(super) fn show_rows(&self, show: &mut ShowRow<'_>) -> Result<(), StoreError> {
                $(show_rows(stringify!($field), &self.$field, show)?;)*
                Ok(())
            }
        }

        impl WriteTables<'_> {
            /// Puts a row that a read showed. Says whether there is such a table. The bytes must be ones that
            /// [`ReadView::show_rows`] gave out: the engine panics at others.
            pub(super) fn put_row(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<bool, StoreError> {
                match table {
                    $(stringify!($field) => put_row(&mut self.$field, key, value)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        impl Tables for ReadView {
            $(fn $field(&self) -> &impl ReadableTable<$key, $value> { &self.$field })*
        }

        impl Tables for WriteTables<'_> {
            $(fn $field(&self) -> &impl ReadableTable<$key, $value> { &self.$field })*
        }
    };
}

/// Takes a table's name, a key and a value.
pub(super) type ShowRow<'a> = dyn FnMut(&str, &[u8], &[u8]) -> Result<(), StoreError> + 'a;

fn show_rows<K: redb::Key + 'static, V: redb::Value + 'static>(
    name: &str,
    table: &ReadOnlyTable<K, V>,
    show: &mut ShowRow<'_>,
) -> Result<(), StoreError> {
    for entry in table.iter()? {
        let (key, value) = entry?;
        show(name, K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref())?;
    }
    Ok(())
}

fn put_row<K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &mut Table<'_, K, V>,
    key: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    table.insert(K::from_bytes(key), V::from_bytes(value))?;
    Ok(())
}

tables! {
    // The format's version, the audit log's frontier.
    meta: &'static str => Row;
    // The last generation, organization number, project number and operator number that were given out, the newest
    // moment at which any key was used, and what `publish` is told: see `View`.
    counters: &'static str => u64;

    organizations: u32 => Row;
    organization_ids: PublicId => u32;
    projects: u32 => Row;
    project_ids: PublicId => u32;
    // (organization, project)
    organization_projects: (u32, u32) => Nothing;
    slugs: &'static str => Row;

    users: PublicId => Row;
    user_emails: &'static str => PublicId;
    identities: PublicId => Row;
    // (provider, subject) -> identity
    identity_subjects: (&'static str, &'static str) => PublicId;
    // (user, identity)
    user_identities: (PublicId, PublicId) => Nothing;
    // (organization, user), and the other way round
    memberships: (u32, PublicId) => Row;
    user_memberships: (PublicId, u32) => Nothing;
    // (organization, user)
    departures: (u32, PublicId) => Row;
    ownership_offers: u32 => Row;
    // (project, user), and the other way round
    collaborations: (u32, PublicId) => Row;
    user_collaborations: (PublicId, u32) => Nothing;

    invitations: PublicId => Row;
    invitation_tokens: Digest => PublicId;
    // (organization, project or 0, invitation)
    invitation_places: (u32, u32, PublicId) => Nothing;
    // (address, invitation)
    invitation_emails: (&'static str, PublicId) => Nothing;

    sessions: Digest => Row;
    // (user, session) -> token digest
    user_sessions: (PublicId, PublicId) => Digest;
    session_ids: PublicId => Digest;
    operator_tokens: Digest => Row;
    usage_tokens: Digest => Row;

    keys: u64 => Row;
    // (project, created, key): a project's keys in the order in which they were made
    project_keys: (u32, u64, u64) => Nothing;
    // SHA-256 of a foreign key's text -> key, for ever (K9)
    imported_keys: Digest => u64;
    // Key -> the last moment at which it was used, as far as reported
    key_uses: u64 => u64;

    // (type, id)
    resources: (u8, &'static str) => Row;
    // (project, type, id); deleted ones are not in it
    project_resources: (u32, u8, &'static str) => Nothing;

    // (organization, kind, key, person or project): what a restore holds until an operator confirms it
    held: (u32, &'static [u8]) => Row;

    // (organization, project or 0, number)
    notices: (u32, u32, u64) => Row;

    // (project, day, subject, permission) -> (requests, cost)
    usage: (u32, u32, &'static [u8; 17], u8) => (u64, u64);
    usage_batches: PublicId => Row;
    held_usage_batches: PublicId => Nothing;
    // (when it was counted, batch): those whose id can be forgotten come first
    counted_usage_batches: (u64, PublicId) => Nothing;
    // (kind of scope, number, day) -> (requests, cost): what a budget there has to count
    usage_sums: (u8, u64, u32) => (u64, u64);
    // (kind of scope, number)
    budgets: (u8, u64) => Row;
    // Permission -> price of a request, in millionths of the currency unit
    prices: u8 => u64;

    // Number -> a set of route rules that was put in force, and the text that it was read from
    rule_sets: u64 => Row;
    rule_texts: u64 => &'static str;

    // Digest of caller, route and idempotency key -> the reply, for a day (see `replays`).
    replays: Digest => Row;
    // (kept at, digest)
    replay_times: (u64, Digest) => Nothing;

    // Position -> leaf hash, terms, salt, entry (see `audit`).
    audit: u64 => Row;
    // (level, index) -> hashes of a tile (see `audit::tiles`)
    audit_tiles: (u8, u64) => Row;
    // Position / 256 -> terms of 256 entries; (organization, position / 256) -> a bit for each that is its own
    audit_blocks: u64 => Row;
    audit_organizations: (u32, u64) => Digest;
    // Organization -> entries in its log
    audit_counts: u32 => u64;
    // Generation -> what it touched.
    outbox: u64 => Row;
    // The publisher's own bookmarks, opaque here.
    publish_state: &'static str => Row;
}

/// Keys of `counters`.
pub(super) mod counter {
    pub(in crate::store) const GENERATION: &str = "generation";
    pub(in crate::store) const ORGANIZATIONS: &str = "organizations";
    pub(in crate::store) const PROJECTS: &str = "projects";
    pub(in crate::store) const OPERATORS: &str = "operators";
    pub(in crate::store) const NOTICES: &str = "notices";
    pub(in crate::store) const NEWEST_USE: &str = "newest_use";
    pub(in crate::store) const PUBLISH_HELD_SINCE: &str = "publish_held_since";
    pub(in crate::store) const PUBLISH_RELEASES: &str = "publish_releases";
    pub(in crate::store) const TOMBSTONES_UP_TO: &str = "tombstones_up_to";
}

/// Keys of `meta`.
pub(super) mod meta {
    pub(in crate::store) const FORMAT: &str = "format";
    pub(in crate::store) const AUDIT: &str = "audit";
}
