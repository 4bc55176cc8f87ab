//! What an edge is deployed with.

use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Generation, MintSecret, Pepper};
use latchkey_snapshot::RootError;

/// Peppers an edge may hold: the one in use, and the next or the last.
pub const PEPPERS_MAX: usize = 2;

/// Bytes that a gate holds unless it is told otherwise: a Worker's isolate has 128 MiB for everything.
pub const MEMORY_BYTES_DEFAULT: usize = 48 << 20;
/// The least that it can be told: a few pages and deltas of any size.
pub const MEMORY_BYTES_MIN: usize = 1 << 20;

/// What an edge is deployed with.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The bytes of the pinned root.
    pub root: Vec<u8>,
    /// One pepper, or two while it is rotated.
    pub peppers: Vec<Pepper>,
    /// Tells keys of this installation from made-up ones, and keys the generation tokens.
    pub mint: MintSecret,
    /// Nothing older is believed.
    pub floor: Floor,
    /// Bytes that pages, their index and deltas may take, about: beyond it, pages in which nothing was looked up for
    /// longest are let go and fetched again when they are needed. [`MEMORY_BYTES_DEFAULT`] unless there is a reason.
    pub memory_bytes_max: usize,
    /// Any number that differs between gates: it spreads their retries.
    pub seed: u64,
}

/// The oldest publication that is believed, pinned at deploy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floor {
    /// The root's version; a newer root outranks any generation.
    pub root_version: u32,
    /// The statement's generation under that root.
    pub generation: Generation,
}

/// Why a gate cannot start; the operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The pinned root is none.
    Root(RootError),
    /// No pepper, or more than two.
    Peppers(usize),
    /// The same pepper twice.
    PepperTwice,
    /// Less memory than a gate can work with.
    Memory(usize),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(error) => write!(f, "the pinned root is refused: {error}"),
            Self::Peppers(count) => write!(f, "an edge holds 1 to {PEPPERS_MAX} peppers, not {count}"),
            Self::Memory(bytes) => {
                write!(f, "a gate needs at least {MEMORY_BYTES_MIN} bytes of memory, not {bytes}")
            }
            Self::PepperTwice => f.write_str("the two peppers are the same"),
        }
    }
}

impl core::error::Error for ConfigError {}
