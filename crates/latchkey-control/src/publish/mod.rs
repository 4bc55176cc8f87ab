//! Publishing: from a committed change to what edges hold (DESIGN §3–§5).
//!
//! [`Publisher::start`] runs three kinds of tasks. The *press* ([`press`], [`edition`]) turns the committed state
//! ([`picture`]) into a base or a delta ([`chain`]) and a signed statement; a base must follow from what was published
//! before ([`succession`]). Each sink has two: one uploads editions, one pushes heads
//! ([`courier`]), so neither a slow upload nor another sink holds back a revocation. Every head is signed by
//! [`heads`], which looks at the committed state each time, adds the refusals that no statement has yet
//! ([`ledger`]), and never says to know more than it does ([`stamp`]). The keys may be replaced while it runs
//! ([`keyring`]).

mod backoff;
mod canaries;
mod chain;
mod contents;
mod courier;
mod edition;
mod heads;
pub mod keyring;
mod ledger;
mod lines;
mod picture;
mod press;
mod published;
mod publisher;
mod rebuild;
mod records;
mod rulebook;
mod setback;
pub mod sink;
pub mod source;
mod stamp;
mod status;
mod succession;

pub use canaries::CANARY_KEYS_MAX;
pub use chain::ChainLimits;
pub use contents::{Contents, PublishedRecord, RecordPlace};
pub use heads::{Bookmark, Gap};
pub use keyring::{EndingKey, Keyring, KeyringError, Keyrings, Keys};
pub use published::{PublishedError, PublishedState, Snapshot};
pub use publisher::{PublishError, Publisher, Schedule, Settings};
pub use rebuild::{Beside, Canaries, RebuildError, Rebuilt};
pub use rulebook::{Routing, Rulebook};
pub use setback::{Setback, SetbackError};
pub use sink::object_store::{ObjectStoreSink, ObjectStoreSource, S3Credentials, S3Error, S3Place};
pub use sink::{
    EdgeReport, Held, Named, Sink, SinkError, Told, directory::DirectorySink, edge::EdgeError,
    edge::EdgeSink, edge::PepperReport, edge::PepperReports, gates::GateToken, gates::Gates,
    gates::TooManyWaits,
};
pub use source::long_poll::{LongPollError, LongPollSource};
pub use source::{DirectorySource, Source, SourceError};
pub use status::{
    FRESHNESS_BOUND_MS, Mark, PublishStatus, Published, REPORT_AGE_MS, REPORT_DELAY_MS, SinkStatus,
};

#[cfg(test)]
mod tests;
