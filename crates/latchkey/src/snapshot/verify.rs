//! `latchkey snapshot verify`: every object from the pinned root down, canonical and in its place; or a single one.

use super::Pinned;
use anyhow::{Context, Result, bail};
use clap::Args;
use latchkey_control::publish::{PublishedState, Snapshot};
use latchkey_snapshot::{ObjectDigest, ObjectRef};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What `latchkey snapshot verify` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where it is published: a directory.
    place: String,
    #[command(flatten)]
    pinned: Pinned,
    /// Verifies that this file is an object which the published head leads to.
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
}

/// Verifies, and tells what was.
///
/// # Errors
/// The first thing that is missing or wrong, and where.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let published = arguments.pinned.read(&arguments.place)?;
    let mut named = BTreeMap::new();
    name_all(&published, &mut named);
    let Some(path) = &arguments.object else {
        let generation = published.head.newest_generation();
        println!("verified: generation {generation}, {} objects, every one whole and canonical", named.len());
        return Ok(());
    };
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    match named.get(&ObjectDigest::of(&bytes)) {
        // It was read, and found canonical, under this very digest.
        Some(what) => println!("verified: `{}` is {what}", path.display()),
        None => bail!("`{}` is no object that the published head leads to", path.display()),
    }
    Ok(())
}

fn name_all(published: &Snapshot, named: &mut BTreeMap<ObjectDigest, String>) {
    let statement = &published.head.statement;
    name_state(&published.state, (&statement.manifest, statement.tip.as_ref()), "", named);
    if let (Some(state), Some(previous)) = (&published.previous, &statement.previous) {
        name_state(state, (&previous.manifest, Some(&previous.tip)), "the previous ", named);
    }
}

fn name_state(
    state: &PublishedState,
    (base, tip): (&ObjectRef, Option<&ObjectRef>),
    whose: &str,
    named: &mut BTreeMap<ObjectDigest, String>,
) {
    let mut name = |object: &ObjectRef, what: String| {
        named.entry(object.digest()).or_insert(what);
    };
    name(base, format!("{whose}manifest"));
    let parents = state.chain.iter().map(|delta| delta.removals.parent.as_ref());
    for (index, delta) in [tip].into_iter().chain(parents).flatten().enumerate() {
        name(delta, format!("{whose}delta {index} of the chain"));
    }
    for section in &state.manifest.sections {
        let kind = section.kind;
        for (at, node) in section.nodes.iter().enumerate() {
            name(&node.object, format!("{whose}node {at} of {kind:?}"));
        }
        for node in state.nodes.get(&kind).into_iter().flatten() {
            for page in node.pages() {
                let place = page.first_place;
                name(&page.object, format!("{whose}page of {kind:?} from place {place:016x} on"));
            }
        }
    }
}
