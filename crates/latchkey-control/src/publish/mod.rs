//! Publishing: from a committed change to what edges hold (DESIGN §3–§5).
//!
//! [`Publisher::start`] runs three kinds of tasks. The *builder* ([`edition`], [`picture`]) turns the committed
//! state into objects and a signed statement. Each sink has two: one uploads editions, one pushes heads
//! ([`courier`]), so neither a slow upload nor another sink holds back a revocation. Every head is signed by
//! [`heads`], which looks at the committed state each time, adds the refusals that no statement has yet
//! ([`ledger`]), and never says to know more than it does ([`stamp`]). The keys may be replaced while it runs
//! ([`keyring`]).

mod backoff;
mod courier;
mod edition;
mod heads;
pub mod keyring;
mod ledger;
mod picture;
mod publisher;
mod records;
pub mod sink;
mod stamp;
mod status;

pub use keyring::{EndingKey, Keyring, KeyringError, Keyrings, Keys};
pub use publisher::{PublishError, Publisher, Schedule, Settings};
pub use sink::{Held, Named, Sink, SinkError, directory::DirectorySink, edge::EdgeError, edge::EdgeSink};
pub use status::{PublishStatus, SinkStatus};

#[cfg(test)]
mod tests;
