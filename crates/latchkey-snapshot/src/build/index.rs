//! The index in the making: what names the pages, and the manifest that names that.

use super::Object;
use super::content::Edition;
use super::encode::{self, BuildError};
use super::trie::cut_runs;
use crate::manifest::{Manifest, Section};
use crate::node::{NODE_PAGES_MAX, NodeRef, PageRef};
use crate::object::ObjectError;
use crate::query::Kind;
use alloc::vec::Vec;

impl Edition<'_> {
    /// The manifest of this edition over sections that are published already.
    ///
    /// # Errors
    /// [`BuildError`], when it is beyond what the format can say.
    pub fn over(&self, sections: Vec<Section>) -> Result<Object, BuildError> {
        Index { sections }.manifest(self)
    }
}

/// The sections of an edition in the making.
#[derive(Default)]
pub(super) struct Index {
    sections: Vec<Section>,
}

impl Index {
    /// Adds the section that consists of these pages, ascending by first place, and returns its nodes. A kind without
    /// pages has no section.
    pub(super) fn add(&mut self, kind: Kind, pages: &[PageRef]) -> Result<Vec<Object>, BuildError> {
        let mut runs = Vec::new();
        cut_runs(pages, |page| page.first_place, NODE_PAGES_MAX, &mut runs);
        let (mut nodes, mut objects) = (Vec::with_capacity(runs.len()), Vec::with_capacity(runs.len()));
        for run in runs {
            let node = encode::node(kind, run)?;
            let first_place = run.first().map_or(0, |page| page.first_place);
            nodes.push(NodeRef { first_place, object: node.reference });
            objects.push(node);
        }
        if !nodes.is_empty() {
            let records = pages.iter().map(|page| u64::from(page.records)).sum();
            self.sections.push(Section { kind, records, nodes });
        }
        Ok(objects)
    }

    /// The manifest of the edition with these sections.
    pub(super) fn manifest(mut self, edition: &Edition<'_>) -> Result<Object, BuildError> {
        self.sections.sort_unstable_by_key(|section| section.kind);
        let manifest = encode::manifest(edition, &self.sections)?;
        match Manifest::parse(&manifest.reference, &manifest.bytes) {
            Ok(_) => Ok(manifest),
            Err(ObjectError::Parse(error)) => Err(BuildError::Unreadable(error)),
            Err(_) => Err(BuildError::TooLong("manifest")),
        }
    }
}
