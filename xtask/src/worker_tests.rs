//! `cargo xtask worker-tests`: the tests of the Worker scripts. What needs no Worker runs on the host; everything
//! else is in tests/worker, run by Node's own test runner against the real workerd.

mod access;
mod fixture;

use crate::{repo, setup, step, wasm};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The crates of wasm/ that have tests of their own.
const HOST_TESTED: &[&str] = &["latchkey-push", "latchkey-edge", "latchkey-library"];

/// Which of them to run.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Only the files whose names contain this word.
    file: Option<String>,
}

/// Builds the scripts and runs every test of theirs.
///
/// # Errors
/// Something does not build, or a test failed.
pub(crate) fn run() -> Result<()> {
    run_some(&Arguments::default())
}

/// Builds the scripts and runs some of their tests.
///
/// # Errors
/// Something does not build, or a test failed.
pub(crate) fn run_some(arguments: &Arguments) -> Result<()> {
    setup::npm()?;
    wasm::build()?;
    let files = files("tests/worker", arguments)?;
    if arguments.file.is_none() {
        on_the_host()?;
    }
    node_tests(&files, &[])
}

/// Runs files of tests with the fixture; the scripts must be built.
///
/// # Errors
/// A test failed.
pub(crate) fn node_tests(files: &[PathBuf], variables: &[(&str, &Path)]) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let fixture = scratch.path().join("fixture.json");
    fs::write(&fixture, serde_json::to_vec(&fixture::installation()?)?)?;
    let mut node = Command::new(setup::node());
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(files);
    node.env("LATCHKEY_FIXTURE", fixture).env("LATCHKEY_XTASK", env::current_exe()?);
    node.env(wasm::PREBUILT, "1").env_remove("NODE_OPTIONS").envs(variables.iter().copied());
    let status = node.current_dir(repo::root()).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { bail!("one of these tests failed") }
}

/// What the crates of wasm/ test about themselves, which needs no Worker.
fn on_the_host() -> Result<()> {
    let mut cargo = Command::new("cargo");
    setup::own_environment(&mut cargo).args(["test", "--quiet", "--manifest-path", "wasm/Cargo.toml"]);
    cargo.args(HOST_TESTED.iter().flat_map(|package| ["--package", package])).current_dir(repo::root());
    step::run("testing the crates of wasm/ on the host", &mut cargo)
}

/// The files of a directory that are asked for.
///
/// # Errors
/// There is none.
pub(crate) fn files(directory: &str, arguments: &Arguments) -> Result<Vec<PathBuf>> {
    let directory = repo::root().join(directory);
    let wanted = arguments.file.as_deref().unwrap_or_default();
    let entries = fs::read_dir(&directory).with_context(|| format!("no `{}`", directory.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".test.mjs") && name.contains(wanted)
    });
    files.sort();
    if files.is_empty() {
        bail!("no file of `{}` has that in its name", directory.display());
    }
    Ok(files)
}
