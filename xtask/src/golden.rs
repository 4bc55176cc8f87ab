//! `cargo xtask golden`: writes tests/golden from what the code does. The tests compare; a person reviews the change.

use crate::repo;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Runs the tests whose names begin with `golden` so that they write instead of comparing.
///
/// # Errors
/// The tests do not compile, or one fails beside writing.
pub(crate) fn run() -> Result<()> {
    for package in ["latchkey-control", "latchkey-gate"] {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--quiet", "--package", package, "--test", "it", "golden"]);
        command.env("LATCHKEY_GOLDEN", "write").current_dir(repo::root());
        let status = command.status().context("cannot start cargo")?;
        if !status.success() {
            bail!("the golden files were not all written");
        }
    }
    println!("tests/golden is written: review it with `git diff tests/golden`");
    Ok(())
}
