//! Which line each sink stands on: it is carried on until the sink holds the base of a later one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the sinks stand, and how many lines there were.
#[derive(Debug, Clone, Default)]
pub(super) struct Stands(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lines: AtomicU64,
    by_sink: Mutex<BTreeMap<usize, u64>>,
}

impl Stands {
    /// A number that no line of this run had.
    pub(super) fn next(&self) -> u64 {
        self.0.lines.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that the sink with this index took a head on this line.
    pub(super) fn note(&self, sink: usize, line: u64) {
        self.0.by_sink.lock().unwrap_or_else(PoisonError::into_inner).insert(sink, line);
    }

    /// Whether any sink stands on this line.
    pub(super) fn any_on(&self, line: u64) -> bool {
        self.0.by_sink.lock().unwrap_or_else(PoisonError::into_inner).values().any(|held| *held == line)
    }
}
