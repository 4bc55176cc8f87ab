//! The gate for JavaScript, without I/O: [`Core`] holds it, a [`Case`] is one request on its way to a verdict.
//!
//! The TypeScript beside it (`wasm/npm/ts`) reads and writes; nothing is decided there. Steps and verdicts cross as JSON,
//! in `told`; only `respond` names status codes.

mod case;
mod mind;
mod need;
mod respond;
mod told;
mod usage;

pub use case::Case;
pub use mind::Core;

use latchkey_snapshot::ObjectDigest;
use wasm_bindgen::prelude::wasm_bindgen;

/// The digest of some bytes, as the control plane's long poll takes it.
#[wasm_bindgen]
pub fn digest(bytes: &[u8]) -> String {
    ObjectDigest::of(bytes).to_string()
}
