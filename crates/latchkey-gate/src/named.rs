//! What the snapshot that serves is made of: for whoever keeps a copy of it, and forgets everything else.

use crate::gate::Gate;
use crate::leaf::Leaf;
use crate::shelf::Shelf;
use crate::shelves::Shelves;
use alloc::vec::Vec;
use latchkey_snapshot::ObjectDigest;

impl Gate {
    /// The digests of all objects that a gate needs which starts with the head that serves here. `None` while not all of them
    /// are known: something else is to serve soon, or a node has not been read.
    pub fn named(&self) -> Option<Vec<ObjectDigest>> {
        let serving = self.serving.as_ref()?;
        let is_newest = self.held.as_ref().is_some_and(|held| held.statement == serving.statement);
        if !is_newest || !self.coming.pending.is_empty() {
            return None;
        }
        let mut named = alloc::vec![serving.course.base.digest()];
        named.extend(serving.course.tip.map(|tip| tip.digest()));
        let parents = serving.chain.deltas().iter().filter_map(|delta| delta.removals.parent);
        named.extend(parents.map(|parent| parent.digest()));
        serving.shelves.name_all(&mut named)?;
        Some(named)
    }
}

impl Shelves {
    fn name_all(&self, named: &mut Vec<ObjectDigest>) -> Option<()> {
        for shelf in self.records.all() {
            name(shelf, named)?;
        }
        name(&self.project_names, named)?;
        name(&self.organization_names, named)
    }
}

/// Names a shelf's nodes and their pages, held or not; `None` if a node has not been read.
fn name<T: Leaf>(shelf: &Shelf<T>, named: &mut Vec<ObjectDigest>) -> Option<()> {
    let nodes = shelf.nodes_if_all()?;
    for (digest, node) in nodes {
        named.push(*digest);
        named.extend(node.pages().iter().map(|page| page.object.digest()));
    }
    Some(())
}
