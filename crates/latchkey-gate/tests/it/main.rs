//! The gate against an installation in memory: refusals first.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod freshness;
mod intake;
mod paths;
mod refusals;
mod routes;
mod simulation;
mod stage;
