//! The test vectors of docs/spec: every object in forms that a reader accepts, and in every form it refuses.
//!
//! [`files`] makes them from fixed inputs; `cargo xtask vectors` writes them to tests/vectors and `--check`
//! compares. What is refused, and why, is stated here by hand; what an accepted object says is told by
//! [`describe`], and a reader in another language (tests/stranger) must say the same.

#![expect(
    clippy::unwrap_used,
    reason = "the inputs are constants: a vector that cannot be made is a bug here"
)]

mod case;
mod chain;
mod delta;
pub mod describe;
mod head;
mod intake;
mod key;
mod lookup;
mod manifest;
mod names;
mod node;
mod order;
mod page;
mod place;
mod root;
mod routes;
mod sign;
mod token;

use serde_json::Value;

/// A file of vectors.
pub struct File {
    /// Where it lies, below tests/vectors.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
}

/// Every file of vectors.
pub fn files() -> Vec<File> {
    let all: [(&'static str, Value); 16] = [
        ("key-format.json", key::vectors()),
        ("routes.json", routes::vectors()),
        ("session-token.json", token::vectors()),
        ("snapshot/root.json", root::vectors()),
        ("snapshot/head.json", head::vectors()),
        ("snapshot/order.json", order::vectors()),
        ("snapshot/intake.json", intake::vectors()),
        ("snapshot/manifest.json", manifest::vectors()),
        ("snapshot/node.json", node::vectors()),
        ("snapshot/place.json", place::vectors()),
        ("snapshot/page.json", page::vectors()),
        ("snapshot/names.json", names::vectors()),
        ("snapshot/delta.json", delta::vectors()),
        ("snapshot/chain.json", chain::vectors()),
        ("snapshot/held.json", chain::held::vectors()),
        ("snapshot/lookup.json", lookup::vectors()),
    ];
    all.into_iter().map(|(path, value)| File { path, text: case::render(&value) }).collect()
}
