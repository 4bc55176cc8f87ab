//! What a snapshot weighs and how long it takes to make.

use crate::installation::Signers;
use crate::row::Row;
use crate::timing::median;
use crate::world::{Key, NOW, World};
use anyhow::{Context, Result};
use latchkey_core::Generation;
use latchkey_snapshot::build::{Built, Content, Record};
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::{KeyState, Kind, Manifest, Node, ObjectDigest};
use std::collections::HashMap;
use std::time::Instant;

/// What a key cannot do without: 77 bits of tag and 48 of binding, expiry and flags.
const BITS_PER_KEY: f64 = 125.0;
const BUILDS: usize = 3;

/// Builds, weighs, and publishes single changes.
pub(crate) fn rows(world: &World) -> Result<Vec<Row>> {
    let signers = Signers::new();
    let mut seconds = Vec::new();
    let mut last = None;
    for _ in 0..BUILDS {
        drop(last.take());
        let start = Instant::now();
        let mut content = world.content();
        let built = signers.build(&mut content, 1)?;
        seconds.push(start.elapsed().as_secs_f64());
        last = Some((content, built));
    }
    let (content, built) = last.context("nothing was built")?;
    let pages = built.objects.len();
    let mut rows = vec![Row::new(
        "build_1m_content_s",
        median(&seconds),
        format!(
            "{} keys from records in memory, one thread, everything held: load, encode, digest; {pages} objects",
            world.keys.len()
        ),
    )];
    rows.extend(weigh(world, &built)?);
    rows.push(wire(world, &signers, &content, &built)?);
    Ok(rows)
}

/// The bytes of a section's pages and nodes.
#[derive(Clone, Copy, Default)]
struct Weight {
    pages: u64,
    nodes: u64,
}

impl Weight {
    fn total(self) -> u64 {
        self.pages + self.nodes
    }
}

fn weigh(world: &World, built: &Built) -> Result<Vec<Row>> {
    let manifest = Manifest::parse(&built.manifest.reference, &built.manifest.bytes)?;
    let bytes: HashMap<ObjectDigest, &[u8]> =
        built.objects.iter().map(|object| (object.reference.digest(), &*object.bytes)).collect();
    let keys = section(&manifest, Kind::NativeKey, &bytes)?;
    let references = section(&manifest, Kind::ProjectReference, &bytes)?;
    let manifest_bytes = built.manifest.bytes.len() as u64;
    let bound = world.keys.len() as f64 * BITS_PER_KEY / 8.0;
    let all = keys.total() + references.total() + manifest_bytes;
    let detail = format!(
        "{all} bytes: key pages {}, their index {}, project references {}, manifest {manifest_bytes}; \
         names and resources apart; over {bound:.0}",
        keys.pages,
        keys.nodes,
        references.total()
    );
    let keys_alone = (keys.total() + manifest_bytes) as f64 / bound;
    Ok(vec![
        Row::new("snapshot_bound_ratio", all as f64 / bound, detail),
        Row::new("snapshot_keys_bound_ratio", keys_alone, "the same without the references of projects"),
    ])
}

fn section(manifest: &Manifest, kind: Kind, bytes: &HashMap<ObjectDigest, &[u8]>) -> Result<Weight> {
    let mut weight = Weight::default();
    for reference in manifest.section(kind).into_iter().flat_map(|section| &section.nodes) {
        let node = bytes.get(&reference.object.digest()).context("a node is missing")?;
        weight.nodes += node.len() as u64;
        let node = Node::parse(kind, &reference.object, node)?;
        weight.pages += node.pages().iter().map(|page| u64::from(page.object.len_bytes())).sum::<u64>();
    }
    Ok(weight)
}

/// What travels to an edge so that it learns of one revocation.
fn wire(world: &World, signers: &Signers, content: &Content, built: &Built) -> Result<Row> {
    let key = world.keys.first().context("no keys")?;
    let inline = Inline {
        generation: Generation(2),
        subject: InlineSubject::Tag(content.key_tag(key.id, &key.digest)),
        reason: Reason::Revoked,
    };
    let statement = signers.statement(&built.manifest, 1)?;
    let (without, with) = (signers.head(&statement, NOW, &[])?, signers.head(&statement, NOW, &[inline])?);
    let detail = format!("a signed head with one inline revocation; {} without it", without.len());
    Ok(Row::new("revocation_wire_bytes", with.len() as f64, detail))
}

/// The key's record once it is revoked.
pub(crate) fn revoked(key: &Key) -> Record<'_> {
    match key.record() {
        Record::Key { id, digest, binding, expiry, out_of_budget, narrowing, .. } => {
            Record::Key { id, digest, binding, expiry, state: KeyState::Revoked, out_of_budget, narrowing }
        }
        other => other,
    }
}
