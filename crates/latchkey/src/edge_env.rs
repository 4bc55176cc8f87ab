//! `latchkey edge-env`: what the two Worker scripts need to know, as an env file for wrangler.

use crate::installation::{Folder, hex};
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use std::fs::File;
use std::io::{Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What `latchkey edge-env` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory.
    #[arg(long)]
    dir: PathBuf,
    /// Writes a new file that only its owner can read, instead of printing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Where usage goes, and where relays are, is the operator's to fill in (docs/operations.md); empty, there is none.
const TO_FILL_IN: &str = "LATCHKEY_CONTROL_URL=\nLATCHKEY_USAGE_TOKEN=\nLATCHKEY_RELAYS=\n";

/// Prints or writes it.
///
/// # Errors
/// The installation cannot be read, or the file not be written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let installation = Folder::new(&arguments.dir).load()?;
    // The newest root: an edge that is deployed now need not walk there.
    let keyring = &installation.keys.keyring;
    let root = keyring.roots().last().context("there is no root")?;
    let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
    let mut set =
        |name: &str, value: &str| ["LATCHKEY_", name, "=", value, "\n"].map(|part| text.push_str(part));
    set("ROOT", &STANDARD.encode(root));
    for (name, pepper) in ["PEPPER", "PEPPER_2"].into_iter().zip(keyring.peppers()) {
        set(name, &Zeroizing::new(hex(pepper.expose())));
    }
    set("MINT", &Zeroizing::new(hex(installation.mint.expose())));
    set("PUSH_TOKEN", &installation.push_token);
    text.push_str(TO_FILL_IN);
    match &arguments.out {
        None => Ok(stdout().write_all(text.as_bytes())?),
        Some(path) => {
            let open = File::options().write(true).create_new(true).mode(0o600).open(path);
            let mut file = open.with_context(|| format!("cannot create `{}`", path.display()))?;
            Ok(file.write_all(text.as_bytes())?)
        }
    }
}
