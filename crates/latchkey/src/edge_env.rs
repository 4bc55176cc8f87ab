//! `latchkey edge-env` and `latchkey gate-env`: what the two Worker scripts, or a native gate, need to know, as an env
//! file.

use crate::installation::{Folder, GATE_TOKEN, Installation, Made, hex};
use crate::keys::edge_seed;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use latchkey_control::outside::{Clock, SystemClock};
use std::fs::File;
use std::io::{Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What `latchkey edge-env` and `latchkey gate-env` are asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory.
    #[arg(long)]
    dir: PathBuf,
    /// Writes a new file that only its owner can read, instead of printing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What `latchkey gate-env` is asked for besides.
#[derive(Args)]
pub(crate) struct GateArguments {
    #[command(flatten)]
    common: Arguments,
    /// With the key that assertions to origins are signed with: for a gateway. Whoever has it can speak for any caller to every origin
    /// that believes assertions, so no application gets it.
    #[arg(long)]
    assertion: bool,
}

/// Where usage goes, and where relays are, is the operator's to fill in (docs/operations.md); empty, there is none.
const TO_FILL_IN: &str = "LATCHKEY_CONTROL_URL=\nLATCHKEY_USAGE_TOKEN=\nLATCHKEY_RELAYS=\n";

/// The same for a native gate: who asks it, and whether it brings usage.
const TO_FILL_IN_FOR_GATE: &str = "LATCHKEY_USAGE_TOKEN=\nLATCHKEY_FORWARD_TOKEN=\n";

/// Prints or writes what the Workers need.
///
/// # Errors
/// The installation cannot be read, or the file not be written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = Folder::new(&arguments.dir);
    let installation = folder.load()?;
    let mut text = common(&installation)?;
    set(&mut text, "PUSH_TOKEN", &installation.push_token);
    set_edge_key(&mut text, &folder)?;
    text.push_str(TO_FILL_IN);
    write(arguments, &text)
}

/// Prints or writes what a native gate needs.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_for_gate(arguments: &GateArguments) -> Result<()> {
    let folder = Folder::new(&arguments.common.dir);
    let mut text = common(&folder.load()?)?;
    let (token, made) = folder.gate_token()?;
    if made == Made::Now {
        eprintln!(
            "`{GATE_TOKEN}` was missing and has been made: a server that runs knows it once it is started anew"
        );
    }
    set(&mut text, "GATE_TOKEN", &token);
    if arguments.assertion {
        set_edge_key(&mut text, &folder)?;
    }
    text.push_str(TO_FILL_IN_FOR_GATE);
    write(&arguments.common, &text)
}

/// What every edge needs.
fn common(installation: &Installation) -> Result<Zeroizing<String>> {
    // The newest root: an edge that is deployed now need not walk there.
    let keyring = &installation.keys.keyring;
    let root = keyring.roots().last().context("there is no root")?;
    let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
    set(&mut text, "ROOT", &STANDARD.encode(root));
    for (name, pepper) in ["PEPPER", "PEPPER_2"].into_iter().zip(keyring.peppers()) {
        set(&mut text, name, &Zeroizing::new(hex(pepper.expose())));
    }
    set(&mut text, "MINT", &Zeroizing::new(hex(installation.mint.expose())));
    Ok(text)
}

/// What assertions to origins are signed with.
fn set_edge_key(text: &mut String, folder: &Folder) -> Result<()> {
    let edge_key = edge_seed(folder, SystemClock.now().seconds())?;
    set(text, "EDGE_KEY", &Zeroizing::new(hex(&*edge_key)));
    Ok(())
}

fn set(text: &mut String, name: &str, value: &str) {
    text.extend(["LATCHKEY_", name, "=", value, "\n"]);
}

fn write(arguments: &Arguments, text: &str) -> Result<()> {
    match &arguments.out {
        None => Ok(stdout().write_all(text.as_bytes())?),
        Some(path) => {
            let open = File::options().write(true).create_new(true).mode(0o600).open(path);
            let mut file = open.with_context(|| format!("cannot create `{}`", path.display()))?;
            Ok(file.write_all(text.as_bytes())?)
        }
    }
}
