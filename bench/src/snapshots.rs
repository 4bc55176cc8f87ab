//! What a snapshot weighs and how long it takes to make.

use crate::installation::Signers;
use crate::row::Row;
use crate::timing::median;
use crate::world::{NOW, World};
use anyhow::{Context, Result};
use latchkey_core::Generation;
use latchkey_snapshot::build::{Built, Content};
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::page::{BINDING_LEN, RECORD_LEN};
use latchkey_snapshot::{Kind, Manifest, Node, ObjectDigest};
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
    let parts = Parts::of(&manifest, &bytes)?;
    let resources = section(&manifest, Kind::Resource, &bytes)?;
    let resource_count = manifest.section(Kind::Resource).map_or(0, |section| section.records);
    let detail = format!(
        "{all} bytes: key pages {} ({} records, {} directories, {} bindings, {} sets and headers), their index {}, project \
         references {} (slug and id of each project), manifest with exceptions and rules {manifest_bytes}; over {bound:.0}, {} \
         keys of 125 bits. Left out: \
         names, which no verdict reads, and the files of this data set, of which DESIGN's has none: {resource_count} resources, {} bytes",
        keys.pages,
        parts.records,
        parts.directories,
        parts.bindings,
        keys.pages - parts.records - parts.directories - parts.bindings,
        keys.nodes,
        references.total(),
        world.keys.len(),
        resources.total()
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

/// Of what the pages of keys consist, in bytes.
#[derive(Default)]
struct Parts {
    records: u64,
    directories: u64,
    bindings: u64,
}

impl Parts {
    fn of(manifest: &Manifest, bytes: &HashMap<ObjectDigest, &[u8]>) -> Result<Self> {
        let (kind, mut parts) = (Kind::NativeKey, Self::default());
        for reference in manifest.section(kind).into_iter().flat_map(|section| &section.nodes) {
            let node = bytes.get(&reference.object.digest()).context("a node is missing")?;
            for page in Node::parse(kind, &reference.object, node)?.pages() {
                let page = bytes.get(&page.object.digest()).context("a page is missing")?;
                // Where the header says its counts: the format's table of a page.
                let field = |at: usize, len: usize| {
                    let field = page.get(at..at + len).unwrap_or_default();
                    field.iter().rev().fold(0, |count, byte| count << 8 | u64::from(*byte))
                };
                parts.records += field(8, 4) * RECORD_LEN as u64;
                parts.directories += (field(12, 4) + 1) * 2;
                parts.bindings += field(6, 2) * BINDING_LEN as u64;
            }
        }
        Ok(parts)
    }
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
