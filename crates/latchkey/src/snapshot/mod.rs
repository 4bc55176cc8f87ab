//! `latchkey snapshot`: looks into what is published, verified from a pinned root down to every page, and never at a
//! secret. `published` reads it; each command is a module.

mod diff;
mod inspect;
mod rebuild;
mod verify;

use crate::installation::Folder;
use crate::published;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use latchkey_control::publish::Snapshot;
use std::fs;
use std::path::PathBuf;

/// What `latchkey snapshot` can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Tells what is published: head, statement, manifest, deltas, index, pages.
    Inspect(inspect::Arguments),
    /// Verifies every object of what is published, or a single one.
    Verify(verify::Arguments),
    /// Tells what differs between two published states.
    Diff(diff::Arguments),
    /// Makes the snapshot again from database and pepper, and compares it with what is published.
    Rebuild(rebuild::Arguments),
}

/// What is believed before anything is read.
#[derive(Args)]
pub(crate) struct Pinned {
    /// The pinned root: a file of `roots`.
    #[arg(long, value_name = "FILE", required_unless_present = "dir", conflicts_with = "dir")]
    root: Option<PathBuf>,
    /// The installation's directory: its roots are believed.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Pinned {
    /// The roots that are believed, the oldest first.
    fn roots(&self) -> Result<Vec<Vec<u8>>> {
        match (&self.root, &self.dir) {
            (Some(path), _) => {
                let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
                Ok(vec![bytes])
            }
            (None, Some(dir)) => Folder::new(dir).roots(),
            (None, None) => anyhow::bail!("`--root` or `--dir` is needed"),
        }
    }

    /// What is published at a place.
    fn read(&self, place: &str) -> Result<Snapshot> {
        let source = published::source(place)?;
        let published = Snapshot::read(&self.roots()?, &*source);
        published.with_context(|| format!("`{}` is not to be believed", source.name()))
    }
}

/// Does it.
///
/// # Errors
/// What could not be read, or what is wrong and where.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Rebuild(arguments) => rebuild::run(arguments),
    }
}
