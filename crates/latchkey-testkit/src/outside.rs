//! A clock that stands still and dice that fall the same way each time.

use latchkey_control::outside::{Clock, NoSeed, Seeds};
use latchkey_core::UnixMillis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that moves only when told; clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl Default for ManualClock {
    /// 2026-11-23T10:00:00Z.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_428_000_000)))
    }
}

impl ManualClock {
    /// A clock that stands at this moment.
    pub fn at(now: UnixMillis) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Moves on.
    pub fn advance_secs(&self, secs: u64) {
        self.0.fetch_add(secs * 1000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Seeds counted up from a number.
#[derive(Debug)]
pub struct SeededSeeds(AtomicU64);

impl SeededSeeds {
    /// Seeds from `first` on.
    pub const fn new(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }
}

impl Seeds for SeededSeeds {
    fn seed(&self) -> Result<[u8; 32], NoSeed> {
        let mut seed = [0x5e; 32];
        seed[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        Ok(seed)
    }
}
