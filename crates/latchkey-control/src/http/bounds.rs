//! How long and how often: the bounds around every connection and every caller.

use std::time::Duration;

/// What a client may take of the process.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How long a request's head may take to arrive, and how long a connection may lie idle.
    pub head_read: Duration,
    /// How long a request's body may take to arrive.
    pub body_read: Duration,
    /// How long a request may take, all in all.
    pub request: Duration,
    /// How long a client may take nothing of an answer before its connection is cut.
    pub answer_write: Duration,
    /// Connections at a time. More have to wait.
    pub connections_max: usize,
    /// How often one credential may ask; `None`: as often as it likes.
    pub per_credential: Option<Rate>,
    /// How often one address may ask without a valid credential.
    pub per_address: Option<Rate>,
}

/// So many in a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second, over time.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// The rate of so many a second; none for 0. At once it lets through what else two seconds do.
    pub const fn per_second(per_second: u32) -> Option<Self> {
        match per_second {
            0 => None,
            _ => Some(Self { per_second, burst: per_second.saturating_mul(2) }),
        }
    }
}

impl Default for Bounds {
    /// Times for people far away, and no limit on how often: whoever serves strangers sets one.
    fn default() -> Self {
        Self {
            head_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            request: Duration::from_secs(60),
            answer_write: Duration::from_secs(30),
            connections_max: 4096,
            per_credential: None,
            per_address: None,
        }
    }
}
