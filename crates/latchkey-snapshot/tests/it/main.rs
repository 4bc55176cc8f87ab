//! The reader against what the writer writes, and against everything it would not have written.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its case has failed")]

mod access;
mod deltas;
mod fixture;
mod heads;
mod objects;
mod roots;
mod signatures;
mod sizes;
mod streams;
mod tokens;
