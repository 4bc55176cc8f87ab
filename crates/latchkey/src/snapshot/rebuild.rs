//! `latchkey snapshot rebuild`: the same database and pepper give the same snapshot, so whoever has both can tell
//! whether what is published is what it should be.

use super::diff::Difference;
use crate::installation::Folder;
use crate::published;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use latchkey_control::publish::{Rebuilt, Snapshot};
use latchkey_control::store::Store;
use std::path::PathBuf;

/// What `latchkey snapshot rebuild` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory: its database, which no server may have open, and its pepper.
    #[arg(long)]
    dir: PathBuf,
    /// Where it is published: a directory.
    #[arg(long, value_name = "PLACE")]
    published: String,
}

/// Rebuilds and compares.
///
/// # Errors
/// What differs, or cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = Folder::new(&arguments.dir);
    let installation = folder.load()?;
    let keyring = &installation.keys.keyring;
    let source = published::source(&arguments.published)?;
    let published = Snapshot::read(keyring.roots(), &*source);
    let published = published.with_context(|| format!("`{}` is not to be believed", source.name()))?;
    let path = folder.database();
    let view = Store::open_read_only(&path).with_context(|| format!("`{}`", path.display()))?;
    let manifest = &published.state.manifest;
    let pepper = keyring.peppers().into_iter().find(|pepper| pepper.id() == manifest.pepper_id);
    let pepper = pepper.context("what is published is under a pepper that is not held here")?;
    let rebuilt = Rebuilt::of(&view, pepper.clone(), manifest)?;
    let statement = &published.head.statement;
    ensure!(
        rebuilt.generation == statement.generation,
        "the database is at generation {}, and what is published at {}: start and stop the server first",
        rebuilt.generation,
        statement.generation
    );
    let difference = Difference::between(&rebuilt.state, &published.state);
    if !difference.is_none() {
        bail!(
            "what is published is not what the database says (+ only published, - only rebuilt):\n{}",
            difference.told()
        );
    }
    let digest = rebuilt.manifest.digest();
    match statement.tip {
        None => {
            let is_same = rebuilt.manifest == statement.manifest;
            ensure!(
                is_same,
                "the rebuilt manifest is {digest}, the published one {}",
                statement.manifest.digest()
            );
            println!("rebuilt: the same bytes, manifest {digest}");
        }
        Some(_) => {
            let deltas = published.state.chain.len();
            println!("rebuilt: base and {deltas} deltas say the same; a new base would be manifest {digest}");
        }
    }
    Ok(())
}
