//! One binary for every test that crosses crates.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set up its case has failed"
)]

mod agreement;
mod claims;
mod edge_access;
mod floors;
mod intake_vectors;
mod route_vectors;
mod vectors;
