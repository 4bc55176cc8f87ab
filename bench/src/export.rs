//! The data set as files, for an edge in workerd.
//!
//! | file | content |
//! |---|---|
//! | `edge` | pepper 32, mint secret 32, the moment as milliseconds 8, the root |
//! | `heads` | each: length 4, head; the first one, then those that refresh it |
//! | `objects` | each: digest 32, length 4, object |
//! | `keys` | a line each: key, and a path of a file in its project |

use crate::edge::Depot;
use crate::installation::Signers;
use crate::snapshots::revoked;
use crate::world::{self, NOW, World};
use anyhow::{Context, Result};
use latchkey_core::Dice;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Keys that are written down.
const KEYS: usize = 100_000;
/// Every so many heads bring a new edition with one change.
const HEADS_PER_EDITION: u32 = 20;
const HEAD_EVERY_MS: u64 = 250;

/// Writes all files.
pub(crate) fn write(world: &World, directory: &Path, refreshes: u32) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    let signers = Signers::new();
    let (pepper, mint, root) = (world::pepper(), world::mint(), signers.root()?);
    let edge = [pepper.expose().as_slice(), mint.expose(), &NOW.0.to_le_bytes(), &root];
    fs::write(directory.join("edge"), edge.concat())?;
    let (heads, objects) = publish(world, &signers, refreshes)?;
    fs::write(directory.join("heads"), heads)?;
    fs::write(directory.join("objects"), objects)?;
    fs::write(directory.join("keys"), keys(world)?)?;
    Ok(())
}

fn publish(world: &World, signers: &Signers, refreshes: u32) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut heads, mut objects, mut depot) = (Vec::new(), Vec::new(), Depot::default());
    let mut content = world.content();
    let mut statement = Vec::new();
    // From the end, so that they are not among the keys that are asked for first.
    let mut changes = world.keys.iter().rev().step_by(997);
    for number in 0..=refreshes {
        if number % HEADS_PER_EDITION == 0 {
            let generation = 1 + u64::from(number / HEADS_PER_EDITION);
            if number > 0
                && let Some(key) = changes.next()
            {
                content.put(revoked(key));
            }
            let built = signers.build(&mut content, generation)?;
            for object in depot.add(&built) {
                objects.extend(object.reference.digest().0);
                frame(&mut objects, &object.bytes)?;
            }
            statement = signers.statement(&built.manifest, generation)?;
        }
        let as_of = NOW.plus_ms(HEAD_EVERY_MS * u64::from(number));
        frame(&mut heads, &signers.head(&statement, as_of, &[])?)?;
    }
    Ok((heads, objects))
}

fn frame(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.extend(u32::try_from(bytes.len())?.to_le_bytes());
    out.extend(bytes);
    Ok(())
}

fn keys(world: &World) -> Result<String> {
    let (mut dice, mut lines) = (Dice::from_seed(&[0x33; 32]), String::new());
    for (number, key) in (0u32..).zip(world.draw(&mut dice).take(KEYS)) {
        let project = world.project_of(key).context("a key without a project")?;
        let text = str::from_utf8(&key.text)?;
        writeln!(lines, "{text} {}", project.file_path(number))?;
    }
    Ok(lines)
}
