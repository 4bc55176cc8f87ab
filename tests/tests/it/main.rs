//! One binary for every test that crosses crates.

mod floors;
mod vectors;
