//! `latchkey backup`: a copy of the whole state, from a server that runs or, with the server stopped, from the database.

use crate::api::Api;
use crate::installation::Folder;
use anyhow::{Context, Result, bail};
use clap::Args;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_control::store::backup::{self, Backup, BackupFacts, BackupSeal};
use latchkey_control::store::{Store, StoreError};
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What `latchkey backup` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory: reads its database, which no server may have open.
    #[arg(long, required_unless_present = "url", conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// The API's URL of a server that runs. The operator's token is taken from LATCHKEY_TOKEN.
    #[arg(long)]
    url: Option<String>,
    /// The file to make; only its owner can read it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes the copy, and reads it once more.
///
/// # Errors
/// What could not be read or written. The file is there only if all went well.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.out.exists() {
        bail!("`{}` is there already; nothing was changed", arguments.out.display());
    }
    let part = part_of(&arguments.out);
    let made = make(arguments, &part).and_then(|seal| check(&part, seal.as_ref()));
    let facts = made.inspect_err(|_| drop(fs::remove_file(&part)))?;
    fs::rename(&part, &arguments.out)
        .with_context(|| format!("cannot write `{}`", arguments.out.display()))?;
    println!("copied generation {} to `{}`", facts.generation, arguments.out.display());
    println!("it holds no secret: keep `secrets` and `keys` of the installation apart from it");
    Ok(())
}

/// Writes the copy. Of an installation at hand, also what it was sealed with.
fn make(arguments: &Arguments, part: &Path) -> Result<Option<BackupSeal>> {
    let cannot = || format!("cannot write `{}`", part.display());
    let open = File::options().write(true).create(true).truncate(true).mode(0o600).open(part);
    let mut out = BufWriter::new(open.with_context(cannot)?);
    let seal = match (&arguments.dir, &arguments.url) {
        (Some(dir), _) => {
            let folder = Folder::new(dir);
            let seal = BackupSeal::of(&folder.load()?.audit);
            let path = folder.database();
            let view = Store::open_read_only(&path).map_err(|error| match error {
                StoreError::Locked => anyhow::anyhow!("a server has the database open: ask it, by `--url`"),
                error => anyhow::Error::new(error).context(format!("`{}`", path.display())),
            })?;
            backup::write(&view, SystemClock.now(), &seal, &mut out)?;
            Some(seal)
        }
        (None, Some(url)) => {
            Api::new(url)?.act_into("/v1/operator/backup", &mut out)?;
            None
        }
        (None, None) => bail!("`--dir` or `--url` is needed"),
    };
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    Ok(seal)
}

fn check(part: &Path, seal: Option<&BackupSeal>) -> Result<BackupFacts> {
    Ok(*Backup::open(part, seal).context("the copy that was written")?.facts())
}

fn part_of(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    out.with_file_name(name)
}
