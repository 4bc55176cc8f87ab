//! Where snapshots go: what any sink can do, and how it refuses. The kinds are [`edge`], [`gates`], [`directory`] and
//! [`object_store`].

pub mod directory;
pub mod edge;
pub mod gates;
pub mod object_store;

use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::build::Object;
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A sink's answer, once it is there.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

/// A place that holds the published objects. Everything it is asked is idempotent and may be asked again.
pub trait Sink: Send + Sync + 'static {
    /// What logs and statuses call it; no secret.
    fn name(&self) -> &str;

    /// What it holds.
    fn held(&self) -> Answer<'_, Held>;

    /// Takes a root.
    fn put_root<'a>(&'a self, version: u32, bytes: &'a [u8]) -> Answer<'a, ()>;

    /// Takes an immutable object.
    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()>;

    /// Takes a head, if it holds all the `named` objects. Answers what it tells besides.
    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, Told>;

    /// Whether it takes an object only once a head was offered to it that names the object.
    fn takes_only_named(&self) -> bool {
        false
    }

    /// Deletes what nothing has named for long, if that is the publisher's to do. `named` is what must stay.
    fn sweep<'a>(&'a self, named: &'a HashSet<ObjectDigest>, now: UnixMillis) -> Answer<'a, usize> {
        let _ = (named, now);
        Box::pin(async { Ok(0) })
    }
}

/// Every object that a head leads to, in bundles that stay as they are from one edition to the next: a base with all
/// its nodes and pages is one, each delta is one. So whoever has seen that a bundle is there need not look again.
#[derive(Debug, Clone, Default)]
pub struct Named(Vec<Bundle>);

/// Objects of which the first leads to all others; never empty.
pub type Bundle = Arc<[Object]>;

impl Named {
    /// These bundles.
    pub const fn of(bundles: Vec<Bundle>) -> Self {
        Self(bundles)
    }

    /// The bundles.
    pub fn bundles(&self) -> &[Bundle] {
        &self.0
    }

    /// Every object; one that stands in two bundles comes twice.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().flat_map(|bundle| bundle.iter())
    }
}

/// What a sink says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// The newest root it has; 0 for none.
    pub root_version: u32,
    /// Its head's generation and `as_of`, if it holds one that was signed under its newest root. Any other is outranked by
    /// the next one.
    pub head: Option<(Generation, UnixMillis)>,
}

/// What a sink that took a head tells besides. None of it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Its own clock, if it has one.
    pub now: Option<UnixMillis>,
    /// Where edges that read from it stood within the last minute, by that clock, if they tell.
    pub edges: Vec<EdgeReport>,
}

/// Where edges stood whose answers were not marked as stale: the lowest generation of some of their reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeReport {
    /// The lowest generation that one of them answered from.
    pub generation: Generation,
    /// The last of the reads that told it.
    pub at: UnixMillis,
    /// How many reads there were.
    pub reports: u64,
}

/// Why a sink did not take something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkError {
    /// The head names objects that it does not hold: these, and perhaps more. Push them and ask again.
    Missing(Vec<ObjectDigest>),
    /// It holds something newer: another control plane is, or was, at work.
    Older {
        /// The generation and the `as_of` of the head it holds, if it said so.
        held: Option<(Generation, UnixMillis)>,
    },
    /// It does not know our push token: the operator's to mend.
    Unauthorized,
    /// It refused the bytes, and would refuse them again: a wrong root, wrong keys, or our bug.
    Refused(String),
    /// It cannot be reached, or failed. Trying again may help.
    Unavailable(String),
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(list) => write!(f, "{} or more objects are missing", list.len()),
            Self::Older { held: Some((generation, as_of)) } => {
                write!(f, "a newer head is held: generation {generation}, as of {}", as_of.0)
            }
            Self::Older { held: None } => f.write_str("something newer is held"),
            Self::Unauthorized => f.write_str("the push token is not known there"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

impl std::error::Error for SinkError {}
