//! A transparency log's mathematics and texts, with no I/O: what the store keeps, the API shows and
//! `latchkey audit verify` checks. The bytes are those of docs/spec/audit-log.md.
//!
//! [`tree`] hashes (RFC 6962), [`proof`] makes and checks proofs (RFC 9162), [`tile`] names tiles (C2SP
//! tlog-tiles), [`note`] signs and opens checkpoints (C2SP signed-note, tlog-checkpoint).

pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;

pub use note::{CheckpointKey, CheckpointSigner, NoteError};
pub use proof::{Nodes, ProofError};
pub use tile::Tile;
pub use tree::{Checkpoint, Frontier, Hash, leaf_hash};

#[cfg(test)]
mod tests;
