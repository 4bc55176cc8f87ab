//! The binary as its users run it: a process, its files, and HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its case has failed")]

mod audit;
mod crash;
mod edge;
mod gates;
mod leaks;
mod native;
mod publish;
mod restore;
mod rules;
mod served;
mod signer;
mod snapshot;
mod trust;
