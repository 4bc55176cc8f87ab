//! The layer around an axum application, fed by a place in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod decisions;
mod layer;
mod long;
mod place;
