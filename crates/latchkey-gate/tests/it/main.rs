//! The gate against an installation in memory: refusals first.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod canaries;
mod deltas;
mod exhaustive;
mod freshness;
mod imported;
mod intake;
mod lost;
mod memory;
mod named;
mod narrowing;
mod need;
mod order;
mod paths;
mod place;
mod refusals;
mod resolve;
mod rotation;
mod routes;
mod routing;
mod sessions;
mod simulation;
mod smuggling;
mod stage;
mod storm;
mod usage;
