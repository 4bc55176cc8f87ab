//! `latchkey signer key`: makes a key, shows its public half.

use super::Role;
use crate::init::{seed, validity};
use crate::installation::{create_new, hex, read_seed};
use anyhow::Result;
use clap::Subcommand;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_core::UnixSeconds;
use latchkey_snapshot::build::Signer;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What to do with a key.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes a key in a new file that only its owner can read, and prints its public half.
    New {
        /// What it will sign.
        #[arg(long)]
        role: Role,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Prints the public half of the key in a file.
    Public {
        /// The file.
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Result<()> {
    match command {
        Command::New { role, out } => {
            let new = NewKey::make(*role, SystemClock.now().seconds())?;
            create_new(out, new.text.as_bytes())?;
            println!("{}", public(&new.signer));
        }
        Command::Public { file } => println!("{}", public(&Signer::from_seed(&*read_seed(file)?))),
    }
    Ok(())
}

/// The public half, as people pass it on.
pub(super) fn public(signer: &Signer) -> String {
    hex(signer.public().as_bytes())
}

/// A key that is in no file yet.
pub(super) struct NewKey {
    pub(super) role: Role,
    pub(super) signer: Signer,
    /// What its file says.
    pub(super) text: Zeroizing<String>,
}

impl NewKey {
    /// A key of tokens says itself from when to when it is believed; for the others the root says it.
    pub(super) fn make(role: Role, now: UnixSeconds) -> Result<Self> {
        let seed = seed()?;
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(&Zeroizing::new(hex(&*seed)));
        text.push('\n');
        if role.in_root().is_none() {
            let (_, not_after) = validity(now);
            text.push_str(&format!("valid {} {}\n", now.0, not_after.0));
        }
        Ok(Self { role, signer: Signer::from_seed(&seed), text })
    }
}
