//! How big pages are, and the manifest that leads to them.

use crate::row::Row;
use anyhow::{Context, Result, ensure};
use latchkey_snapshot::build::Object;
use latchkey_snapshot::manifest::Section;
use latchkey_snapshot::{Kind, Manifest, Node};
use std::fs;
use std::path::Path;

/// Bytes that a page of keys should have (DESIGN §3).
const WANTED: std::ops::RangeInclusive<u32> = 10_000..=80_000;

/// The part of the pages of keys that are neither small nor big. A page of any kind that is too big is an error: none is
/// ever cut so.
pub(super) fn row(size: &str, manifest: &Object, objects: &Path) -> Result<Row> {
    let read = Manifest::parse(&manifest.reference, &manifest.bytes)?;
    for section in &read.sections {
        let most = lengths(section, objects)?.into_iter().max().unwrap_or(0);
        ensure!(most <= *WANTED.end(), "a page of kind {} has {most} bytes", section.kind as u8);
    }
    let section = read.section(Kind::NativeKey).context("a snapshot without keys")?;
    let mut lengths = lengths(section, objects)?;
    lengths.sort_unstable();
    let at = |part: f64| lengths.get(((lengths.len() - 1) as f64 * part) as usize).copied().unwrap_or(0);
    let within = lengths.iter().filter(|length| WANTED.contains(length)).count();
    let total: u64 = lengths.iter().copied().map(u64::from).sum();
    let detail = format!(
        "part of {} pages of keys that have 10 to 80 KB: least {:.1} KB, one in 100 below {:.1}, median {:.1}, one in 100 \
         above {:.1}, most {:.1}; {:.2} bytes a key; {} nodes; manifest {} bytes",
        lengths.len(),
        f64::from(at(0.0)) / 1e3,
        f64::from(at(0.01)) / 1e3,
        f64::from(at(0.5)) / 1e3,
        f64::from(at(0.99)) / 1e3,
        f64::from(at(1.0)) / 1e3,
        total as f64 / section.records as f64,
        section.nodes.len(),
        manifest.bytes.len()
    );
    Ok(Row::new(format!("pages_{size}"), within as f64 / lengths.len() as f64, detail))
}

/// Bytes of each page of a section.
fn lengths(section: &Section, objects: &Path) -> Result<Vec<u32>> {
    let mut lengths = Vec::new();
    for node in &section.nodes {
        let bytes = fs::read(objects.join(node.object.digest().to_string()))?;
        let node = Node::parse(section.kind, &node.object, &bytes)?;
        lengths.extend(node.pages().iter().map(|page| page.object.len_bytes()));
    }
    Ok(lengths)
}
