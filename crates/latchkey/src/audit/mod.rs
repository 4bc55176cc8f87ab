//! `latchkey audit`: the log's public key, a copy of the log, and the proof that a copy is whole.
//!
//! `export` asks a [`source`] and writes a directory, `verify` reads one and asks nobody. The files are those of
//! docs/spec/audit-log.md.

mod copy;
mod export;
mod source;
mod verify;

use crate::installation::Folder;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

/// What `latchkey audit` can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Prints the public key that checkpoints are verified with. Give it to whoever keeps checkpoints.
    Key {
        /// The installation's directory.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Copies the log into a directory: checkpoint, tiles and entries.
    Export(export::Arguments),
    /// Proves offline that a copy is what the checkpoint says, and that earlier checkpoints are its beginning.
    Verify(verify::Arguments),
}

/// Does it.
///
/// # Errors
/// What could not be done, or what in a copy is wrong and where.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Key { dir } => {
            println!("{}", Folder::new(dir).load()?.audit.key());
            Ok(())
        }
        Command::Export(arguments) => export::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}
