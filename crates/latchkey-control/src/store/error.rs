//! What can go wrong below the use cases.

use crate::outside::NoSeed;
use std::fmt;
use std::sync::Arc;

/// The storage failed, refused, or was found in a state it cannot be in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the file open: the operator's to end.
    Locked,
    /// The file is no Latchkey database: the operator's mistake.
    NotOurs,
    /// The file was written by another version of Latchkey.
    FormatVersion {
        /// What the file says.
        found: u32,
        /// What this program reads.
        supported: u32,
    },
    /// The disk or the database engine failed; nothing more is written until the file is opened again.
    Engine(Arc<redb::Error>),
    /// A row of this table cannot be read: the file was altered, or we have a bug.
    Corrupt(&'static str),
    /// A change would have broken what is unique for ever in this table: our bug, and nothing was written.
    Clash(&'static str),
    /// A use case panicked: our bug, and nothing was written.
    Panicked,
    /// The random source failed, and nothing was written.
    NoSeed,
    /// The store is shutting down.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another process has the database open"),
            Self::NotOurs => f.write_str("the file is no Latchkey database"),
            Self::FormatVersion { found, supported } => {
                write!(f, "the database has format {found}, and this program reads format {supported}")
            }
            Self::Engine(error) => write!(f, "the database engine failed: {error}"),
            Self::Corrupt(table) => write!(f, "a row of `{table}` cannot be read"),
            Self::Clash(table) => write!(f, "a change would break what is unique in `{table}`"),
            Self::Panicked => f.write_str("a use case panicked"),
            Self::NoSeed => NoSeed.fmt(f),
            Self::Closed => f.write_str("the store is shutting down"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<NoSeed> for StoreError {
    fn from(_: NoSeed) -> Self {
        Self::NoSeed
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                Self::NotOurs
            }
            other => Self::Engine(Arc::new(other.into())),
        }
    }
}

macro_rules! engine_errors {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Engine(Arc::new(error.into()))
            }
        })*
    };
}

engine_errors!(StorageError TableError TransactionError CommitError SetDurabilityError);
