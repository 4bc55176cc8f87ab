//! `latchkey audit export`: a copy of the log, from the API or, with the server stopped, from the database.

use super::copy::Copy;
use super::source::{Live, Source, Stopped};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use latchkey_control::tlog::{CheckpointKey, Tile};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `latchkey audit export` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory: reads its database, which no server may have open.
    #[arg(long, conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// The API's URL. The token is taken from LATCHKEY_TOKEN: an operator's, or an organization admin's.
    #[arg(long, requires = "key")]
    url: Option<String>,
    /// Only this organization's entries, each with its proof; by the API only.
    #[arg(long, value_name = "ID", requires = "url")]
    organization: Option<String>,
    /// The log's public key, as `latchkey audit key` prints it; by the API only.
    #[arg(long, requires = "url")]
    key: Option<String>,
    /// A checkpoint that was kept: its proof is copied too. May be given several times.
    #[arg(long, value_name = "FILE", requires = "organization")]
    earlier: Vec<PathBuf>,
    /// The directory to make.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Exports.
///
/// # Errors
/// What could not be read or written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut source = source(arguments)?;
    let note = source.checkpoint()?;
    let key = source.key();
    let tree = key.open(&note).context("the checkpoint")?;
    let copy = Copy::new(&arguments.out);
    fs::create_dir(&arguments.out).with_context(|| format!("cannot make `{}`", arguments.out.display()))?;
    let count = write_entries(&mut *source, &copy, tree.size)?;
    if arguments.organization.is_none() {
        for tile in Tile::of_size(tree.size) {
            write(&copy.tile(&tile), &source.tile(&tile)?)?;
        }
    }
    write_proofs(&mut *source, &copy, &key, tree.size, &arguments.earlier)?;
    // Last, so that a copy without one is seen to be half made.
    write(&copy.checkpoint(), note.as_bytes())?;
    println!("copied {count} of {} entries to `{}`", tree.size, arguments.out.display());
    Ok(())
}

fn source(arguments: &Arguments) -> Result<Box<dyn Source>> {
    match (&arguments.dir, &arguments.url, &arguments.key) {
        (Some(dir), None, _) => Ok(Box::new(Stopped::open(dir)?)),
        (None, Some(url), Some(key)) => {
            let key = CheckpointKey::parse(key).context("`--key`")?;
            Ok(Box::new(Live::new(url, arguments.organization.as_deref(), key)?))
        }
        _ => bail!("one of `--dir` and `--url` says where the log is"),
    }
}

fn write_entries(source: &mut dyn Source, copy: &Copy, size: u64) -> Result<u64> {
    let path = copy.entries();
    let cannot = || format!("cannot write `{}`", path.display());
    let mut file = File::create_new(&path).with_context(cannot)?;
    let (mut from, mut count) = (0, 0);
    loop {
        let part = source.entries(from, size)?;
        let Some(last) = part.lines().last() else { break };
        ensure!(part.ends_with('\n'), "the source's lines break off");
        file.write_all(part.as_bytes()).with_context(cannot)?;
        (from, count) = (behind(last, from, size)?, count + part.lines().count() as u64);
    }
    file.sync_all().with_context(cannot)?;
    Ok(count)
}

#[derive(serde::Deserialize)]
struct Place {
    position: u64,
}

/// Where the export goes on behind this line; each part brings it nearer to its end.
fn behind(line: &str, from: u64, size: u64) -> Result<u64> {
    let Place { position } = serde_json::from_str(line).context("a line of the source is no entry")?;
    ensure!(position >= from, "the source goes backwards");
    ensure!(position < size, "the source has an entry {position} beyond the checkpoint's {size}");
    Ok(position + 1)
}

fn write_proofs(
    source: &mut dyn Source,
    copy: &Copy,
    key: &CheckpointKey,
    size: u64,
    earlier: &[PathBuf],
) -> Result<()> {
    for path in earlier {
        let before = super::copy::open(key, path)?.size;
        let target = copy.consistency(before);
        if before > 0 && before < size && !target.exists() {
            write(&target, source.consistency(before, size)?.as_bytes())?;
        }
    }
    Ok(())
}

/// Writes a new file and the folders above it.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let mut file = File::create_new(path).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.sync_all().with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_a_source_says_an_export_goes_on_or_stops(
            from in 0u64..20, size in any::<u64>(),
            position in prop_oneof![0u64..20, any::<u64>(), Just(u64::MAX)],
        ) {
            match behind(&format!("{{\"position\":{position}}}"), from, size) {
                Ok(next) => prop_assert!(next > from && next <= size && next - 1 == position),
                Err(_) => prop_assert!(position < from || position >= size),
            }
        }

        #[test]
        fn any_text_is_a_line_or_refused(text in "\\PC{0,40}|[{}\":a-z0-9,-]{0,40}") {
            let _ = behind(&text, 0, 10);
        }
    }
}
