//! A control plane for tests: [`Stage`] holds it in memory behind its real router, with a [`ManualClock`], seeded
//! randomness, [`Actor`]s who call it, and a [`ForgetfulDisk`] that loses what was not synced. A [`FrozenStage`] is set
//! up again and again.
//!
//! Nothing here is for production; a mistake of the test's author panics.
#![expect(clippy::expect_used, clippy::panic, reason = "a test kit fails by panicking")]

mod actor;
mod disk;
mod frozen;
mod gates;
mod golden;
mod outside;
mod rules;
mod stage;

pub use actor::{Actor, Reply};
pub use disk::ForgetfulDisk;
pub use frozen::FrozenStage;
pub use gates::{GATE_OBJECT, GATE_TOKEN, gate_head};
pub use golden::check_golden;
pub use outside::{ManualClock, SeededSeeds};
pub use rules::ScriptedRules;
pub use stage::{Stage, StageConfig};
