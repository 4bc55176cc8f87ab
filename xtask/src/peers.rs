//! `cargo xtask peers`: real proxies that ask a gate, in front of an origin: nginx, Envoy, Caddy and Traefik, each with the
//! configuration that examples/ has for it. The tests are in tests/peers.

use crate::dev::stack;
use crate::worker_tests::{self, Arguments};
use crate::{repo, setup, wasm};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Installs the proxies, builds both gates, and runs every test.
///
/// # Errors
/// Something could not be installed or does not build, or a test failed.
pub(crate) fn run() -> Result<()> {
    run_some(&Arguments::default())
}

/// The same with some of the files.
///
/// # Errors
/// See [`run`].
pub(crate) fn run_some(arguments: &Arguments) -> Result<()> {
    setup::npm()?;
    let nginx = setup::debian_program("nginx")?;
    let proxies = python_packages()?;
    wasm::build()?;
    stack::build_binary()?;
    let files = worker_tests::files("tests/peers", arguments)?;
    let binary = stack::binary()?;
    let variables: [(&str, &Path); 3] =
        [("LATCHKEY_BINARY", &binary), ("LATCHKEY_NGINX", &nginx), ("LATCHKEY_PROXIES", &proxies)];
    worker_tests::node_tests(&files, &variables)
}

/// Where the proxies are that come in Python's packages.
fn python_packages() -> Result<PathBuf> {
    let mut command = Command::new("bash");
    command.args(["tests/python-packages", "peers", "tests/peers/requirements.txt"]);
    let output = command.current_dir(repo::root()).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the proxies of tests/peers/requirements.txt could not be installed");
    }
    let said = String::from_utf8(output.stdout).context("a path is no text")?;
    Ok(PathBuf::from(said.trim_end()))
}
