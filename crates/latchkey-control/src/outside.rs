//! The outside world as two traits: the clock and the random source. Only `main` and tests choose them.

use latchkey_core::UnixMillis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The moment now.
    fn now(&self) -> UnixMillis;
}

/// Draws the seeds from which ids and secrets are stretched.
pub trait Seeds: Send + Sync {
    /// 32 fresh random bytes.
    ///
    /// # Errors
    /// [`NoSeed`] when the source fails; nothing may be made then.
    fn seed(&self) -> Result<[u8; 32], NoSeed>;
}

/// The random source failed: the machine's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSeed;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 reads as 1970: every expiry then lies ahead, and the edge refuses such an `as_of`.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSeeds;

impl Seeds for SystemSeeds {
    fn seed(&self) -> Result<[u8; 32], NoSeed> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| NoSeed)?;
        Ok(seed)
    }
}

impl std::fmt::Display for NoSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the random source failed")
    }
}

impl std::error::Error for NoSeed {}
