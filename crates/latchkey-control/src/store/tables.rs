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

        impl Tables for ReadView {
            $(fn $field(&self) -> &impl ReadableTable<$key, $value> { &self.$field })*
        }

        impl Tables for WriteTables<'_> {
            $(fn $field(&self) -> &impl ReadableTable<$key, $value> { &self.$field })*
        }
    };
}

tables! {
    // The format's version, the audit log's frontier.
    meta: &'static str => Row;
    // The last generation, organization number, project number and operator number that were given out.
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
    // (organization, user), and the other way round
    memberships: (u32, PublicId) => Row;
    user_memberships: (PublicId, u32) => Nothing;
    // (project, user), and the other way round
    collaborations: (u32, PublicId) => Row;
    user_collaborations: (PublicId, u32) => Nothing;

    sessions: Digest => Row;
    // (user, session) -> token digest
    user_sessions: (PublicId, PublicId) => Digest;
    operator_tokens: Digest => Row;

    keys: u64 => Row;
    // (project, created, key): a project's keys in the order in which they were made
    project_keys: (u32, u64, u64) => Nothing;

    // (type, id)
    resources: (u8, &'static str) => Row;
    // (project, type, id); deleted ones are not in it
    project_resources: (u32, u8, &'static str) => Nothing;

    // Position -> leaf hash, salt, entry (see `audit`).
    audit: u64 => Row;
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
}

/// Keys of `meta`.
pub(super) mod meta {
    pub(in crate::store) const FORMAT: &str = "format";
    pub(in crate::store) const AUDIT: &str = "audit";
}
