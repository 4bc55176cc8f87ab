//! The pages of one kind that a manifest names: which are held, and where the others would stand.
//!
//! A look-up is one binary search over first places, all in one flat list, then the page. A node that has not
//! been read yet stands in the list as one entry; its pages take that entry's place when it arrives.

use crate::leaf::{Leaf, LeafError};
use crate::quota::Asked;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use latchkey_snapshot::manifest::Section;
use latchkey_snapshot::node::{NodeRef, PageRef};
use latchkey_snapshot::{Kind, Node, ObjectDigest, ObjectRef};

/// An immutable object that a gate wants, named by a verified one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(crate) reference: ObjectRef,
    pub(crate) part: Part,
    pub(crate) place: u64,
}

impl Wanted {
    /// Its digest and length.
    pub const fn reference(&self) -> &ObjectRef {
        &self.reference
    }
}

/// What a wanted object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Manifest,
    Delta,
    Node(Kind),
    Page(Kind),
}

#[derive(Debug)]
pub(crate) struct Shelf<T> {
    kind: Kind,
    /// The first places of `slots`, ascending.
    places: Vec<u64>,
    slots: Vec<Slot<T>>,
    nodes: BTreeMap<ObjectDigest, Node>,
    /// Nodes not read yet.
    unread: usize,
    /// Records that the manifest says there are, and those that the nodes read so far name.
    records: u64,
    counted: u64,
    /// Pages of an earlier manifest that a node not read yet may still name: one a place, and none elsewhere.
    spare: BTreeMap<ObjectDigest, (PageRef, T)>,
    /// Places whose pages stay once they are here: those of canaries.
    pins: Vec<u64>,
    /// Pages held, and what they weigh.
    held: usize,
    weight: usize,
    /// What the spare ones weigh.
    spare_weight: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Node(ObjectRef, Asked),
    Page(PageRef, Asked),
    Held(Held<T>),
}

#[derive(Debug)]
struct Held<T> {
    page: T,
    reference: PageRef,
    /// Whether something was looked up in it since eviction came past.
    used: AtomicBool,
}

/// What a shelf has at a place.
pub(crate) enum Lookup<'a, T> {
    /// The page that would know.
    Held(&'a T),
    /// No page covers the place: nobody knows of it.
    Nothing,
    /// This must be fetched first.
    Missing(Missing<'a>),
}

/// Something that is not here, and when it was asked for last.
#[derive(Clone, Copy)]
pub(crate) struct Missing<'a> {
    pub(crate) wanted: Wanted,
    pub(crate) asked: &'a Asked,
}

impl<T: Leaf> Shelf<T> {
    pub(crate) const fn empty(kind: Kind) -> Self {
        Self {
            kind,
            places: Vec::new(),
            slots: Vec::new(),
            nodes: BTreeMap::new(),
            unread: 0,
            records: 0,
            counted: 0,
            spare: BTreeMap::new(),
            pins: Vec::new(),
            held: 0,
            weight: 0,
            spare_weight: 0,
        }
    }

    /// The shelf of a new manifest, with whatever the old one held and `fresh` brings. Pages at `pins` stay.
    pub(crate) fn succeed(self, section: Option<&Section>, fresh: Staged<T>, pins: Vec<u64>) -> Self {
        let kind = self.kind;
        let Self { slots, mut nodes, spare: mut pages, .. } = self;
        let held = slots.into_iter().filter_map(|slot| match slot {
            Slot::Held(held) => Some((held.reference, held.page)),
            Slot::Node(..) | Slot::Page(..) => None,
        });
        let held: Vec<_> = held.collect();
        let places: BTreeSet<u64> = held.iter().map(|(page, _)| page.first_place).collect();
        // Whatever was spare already is older than what stood in its place.
        pages.retain(|_, (page, _)| !places.contains(&page.first_place));
        pages.extend(held.into_iter().map(|(page, held)| (page.object.digest(), (page, held))));
        pages.extend(fresh.pages);
        nodes.extend(fresh.nodes);
        let references = section.map(|section| section.nodes.as_slice()).unwrap_or_default();
        let records = section.map_or(0, |section| section.records);
        let mut next = Self { spare: pages, pins, records, unread: references.len(), ..Self::empty(kind) };
        for (at, reference) in references.iter().enumerate() {
            let until = references.get(at + 1).map(|next| next.first_place);
            let fitting = |node: &Node| next.check(node, reference.first_place, until).is_ok();
            match nodes.remove(&reference.object.digest()).filter(fitting) {
                Some(node) => {
                    next.count(&node);
                    next.push_node(reference.object, node);
                }
                None => {
                    next.places.push(reference.first_place);
                    next.slots.push(Slot::Node(reference.object, Asked::never()));
                }
            }
        }
        next.drop_spare();
        next
    }

    /// What is at `place`. Whoever looks something up in a page keeps it from being let go.
    pub(crate) fn at(&self, place: u64) -> Lookup<'_, T> {
        self.see(place, |held| {
            // Written only where it changes something, so that the line stays clean.
            if !held.used.load(Relaxed) {
                held.used.store(true, Relaxed);
            }
        })
    }

    /// What is at `place`, looked at by nobody who needs it.
    pub(crate) fn peek(&self, place: u64) -> Lookup<'_, T> {
        self.see(place, |_| {})
    }

    fn see(&self, place: u64, note: impl Fn(&Held<T>)) -> Lookup<'_, T> {
        let Some(index) = self.index(place) else { return Lookup::Nothing };
        match self.slots.get(index) {
            Some(Slot::Held(held)) => {
                note(held);
                Lookup::Held(&held.page)
            }
            Some(slot @ (Slot::Node(..) | Slot::Page(..))) => {
                self.missing(index, slot).map_or(Lookup::Nothing, Lookup::Missing)
            }
            None => Lookup::Nothing,
        }
    }

    /// Takes a node in, if the shelf still wants it. Says whether it did.
    pub(crate) fn take_node(&mut self, wanted: &Wanted, node: Node) -> Result<bool, NodeError> {
        let Some(index) = self.index_of(wanted) else { return Ok(false) };
        self.check(&node, wanted.place, self.places.get(index + 1).copied())?;
        self.count(&node);
        let spare = core::mem::take(&mut self.spare);
        let mut part = Self { spare, ..Self::empty(self.kind) };
        part.push_node(wanted.reference, node);
        self.places.splice(index..=index, part.places);
        self.slots.splice(index..=index, part.slots);
        self.nodes.append(&mut part.nodes);
        self.spare = part.spare;
        self.held += part.held;
        self.weight += part.weight;
        self.drop_spare();
        Ok(true)
    }

    /// Takes a page in, if the shelf still wants it. Says whether it did.
    pub(crate) fn take_page(&mut self, wanted: &Wanted, bytes: &[u8]) -> Result<bool, LeafError> {
        let Some(index) = self.index_of(wanted) else { return Ok(false) };
        let Some(slot) = self.slots.get_mut(index) else { return Ok(false) };
        let Slot::Page(reference, _) = slot else { return Ok(false) };
        let (page, reference) = (T::parse(self.kind, reference, bytes)?, *reference);
        *slot = Slot::Held(Held { page, reference, used: AtomicBool::new(true) });
        self.held += 1;
        self.weight += T::weight(&reference);
        Ok(true)
    }

    /// When something that is wanted was asked for last.
    pub(crate) fn asked(&self, wanted: &Wanted) -> Option<&Asked> {
        match self.slots.get(self.index_of(wanted)?)? {
            Slot::Node(_, asked) | Slot::Page(_, asked) => Some(asked),
            Slot::Held(_) => None,
        }
    }

    /// The nodes that are missing.
    pub(crate) fn missing_nodes(&self) -> impl Iterator<Item = Missing<'_>> + '_ {
        self.missing_slots()
            .filter(|(_, slot)| matches!(slot, Slot::Node(..)))
            .filter_map(|(index, slot)| self.missing(index, slot))
    }

    /// The nodes, once all of them have been read.
    pub(crate) fn nodes_if_all(&self) -> Option<&BTreeMap<ObjectDigest, Node>> {
        (self.unread == 0).then_some(&self.nodes)
    }

    /// The pages that are missing, of the nodes that are here, with what they will weigh.
    pub(crate) fn missing_pages(&self) -> impl Iterator<Item = (Missing<'_>, usize)> + '_ {
        self.missing_slots().filter_map(|(index, slot)| match slot {
            Slot::Page(page, _) => Some((self.missing(index, slot)?, T::weight(page))),
            Slot::Node(..) | Slot::Held(_) => None,
        })
    }

    fn missing_slots(&self) -> impl Iterator<Item = (usize, &Slot<T>)> + '_ {
        self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot, Slot::Held(_)))
    }

    /// What is missing where it must not be: the nodes and pages of canaries.
    pub(crate) fn missing_pins(&self) -> impl Iterator<Item = Missing<'_>> + '_ {
        let index = self.pins.iter().filter_map(|place| self.index(*place));
        index.filter_map(|index| self.missing(index, self.slots.get(index)?))
    }

    fn missing<'a>(&'a self, index: usize, slot: &'a Slot<T>) -> Option<Missing<'a>> {
        let wanted = self.wanted(index, slot)?;
        match slot {
            Slot::Node(_, asked) | Slot::Page(_, asked) => Some(Missing { wanted, asked }),
            Slot::Held(_) => None,
        }
    }

    /// Lets go of one page, the next from `hand` on in which nothing was looked up since the hand last came past. Says
    /// whether there was one before the end.
    pub(crate) fn evict(&mut self, hand: &mut usize) -> bool {
        let pinned: Vec<usize> = self.pins.iter().filter_map(|place| self.index(*place)).collect();
        while let Some(slot) = self.slots.get_mut(*hand) {
            let at = *hand;
            *hand += 1;
            if let Slot::Held(held) = slot
                && !held.used.swap(false, Relaxed)
                && !pinned.contains(&at)
            {
                self.held -= 1;
                self.weight -= T::weight(&held.reference);
                *slot = Slot::Page(held.reference, Asked::never());
                return true;
            }
        }
        false
    }

    /// The nodes of a new manifest that should be here before it serves: all that differ, if any was here.
    pub(crate) fn nodes_to_stage(&self, section: &Section) -> Vec<Wanted> {
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let new = section.nodes.iter().filter(|node| !self.nodes.contains_key(&node.object.digest()));
        new.map(|node| wanted_node(self.kind, node)).collect()
    }

    /// The pages of a new node that should be here before it serves: those whose predecessors are.
    pub(crate) fn pages_to_stage(&self, node: &Node) -> Vec<PageRef> {
        let changed = |page: &&PageRef| {
            let slot = self.index(page.first_place).and_then(|index| self.slots.get(index));
            matches!(slot, Some(Slot::Held(held)) if held.reference.object != page.object)
        };
        node.pages().iter().filter(changed).copied().collect()
    }

    /// The node of this digest, if it is here.
    pub(crate) fn node(&self, digest: &ObjectDigest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// This very page, if it is here.
    pub(crate) fn page(&self, page: &PageRef) -> Option<&T> {
        let slot = self.index(page.first_place).and_then(|index| self.slots.get(index));
        match slot {
            Some(Slot::Held(held)) if held.reference.object == page.object => Some(&held.page),
            _ => self.spare.get(&page.object.digest()).map(|(_, page)| page),
        }
    }

    /// Pages held, and what they weigh.
    pub(crate) const fn load(&self) -> (usize, usize) {
        (self.held, self.weight)
    }

    /// What the index and the spare pages weigh, about.
    pub(crate) fn index_weight(&self) -> usize {
        let pages = self.nodes.values().map(|node| node.pages().len()).sum::<usize>();
        let slots = self.slots.len() * (size_of::<Slot<T>>() + size_of::<u64>());
        pages * size_of::<PageRef>() + slots + self.spare_weight
    }

    /// Lets go of the spare pages.
    pub(crate) fn forget_spare(&mut self) {
        self.spare.clear();
        self.spare_weight = 0;
    }

    /// Nodes held and named, pages held and named, bytes held.
    pub(crate) fn account(&self) -> Account {
        let mut account = Account { nodes_held: self.nodes.len(), ..Account::default() };
        account.nodes_named = self.nodes.len();
        for slot in &self.slots {
            match slot {
                Slot::Node(..) => account.nodes_named += 1,
                Slot::Page(..) => account.pages_named += 1,
                Slot::Held(held) => {
                    account.pages_named += 1;
                    account.pages_held += 1;
                    account.bytes_held += held.page.len_bytes() as u64;
                }
            }
        }
        account
    }

    /// Whether a node not read yet may stand here: the last one must make the section's records whole, and no other
    /// may go beyond them.
    fn check(&self, node: &Node, first_place: u64, until: Option<u64>) -> Result<(), NodeError> {
        if !fits(node, first_place, until) {
            return Err(NodeError::Misplaced);
        }
        let counted = self.counted.saturating_add(records_of(node));
        let is_right = if self.unread == 1 { counted == self.records } else { counted < self.records };
        if is_right { Ok(()) } else { Err(NodeError::Records) }
    }

    fn count(&mut self, node: &Node) {
        self.counted = self.counted.saturating_add(records_of(node));
        self.unread = self.unread.saturating_sub(1);
    }

    fn push_node(&mut self, reference: ObjectRef, node: Node) {
        for page in node.pages() {
            self.places.push(page.first_place);
            self.slots.push(match self.spare.remove(&page.object.digest()) {
                Some((_, held)) => {
                    self.held += 1;
                    self.weight += T::weight(page);
                    Slot::Held(Held { page: held, reference: *page, used: AtomicBool::new(true) })
                }
                None => Slot::Page(*page, Asked::never()),
            });
        }
        self.nodes.insert(reference.digest(), node);
    }

    /// Keeps of the spare pages those that a missing node may name.
    fn drop_spare(&mut self) {
        let mut spare = core::mem::take(&mut self.spare);
        spare.retain(|_, (page, _)| {
            let slot = self.index(page.first_place).and_then(|index| self.slots.get(index));
            matches!(slot, Some(Slot::Node(..)))
        });
        self.spare_weight = spare.values().map(|(page, _)| T::weight(page)).sum();
        self.spare = spare;
    }

    /// The index of the slot that covers a place.
    fn index(&self, place: u64) -> Option<usize> {
        self.places.partition_point(|first| *first <= place).checked_sub(1)
    }

    fn wanted(&self, index: usize, slot: &Slot<T>) -> Option<Wanted> {
        let place = *self.places.get(index)?;
        match slot {
            Slot::Node(reference, _) => {
                Some(Wanted { reference: *reference, part: Part::Node(self.kind), place })
            }
            Slot::Page(page, _) => Some(wanted_page(self.kind, page)),
            Slot::Held(_) => None,
        }
    }

    /// Where the shelf wants this very object.
    fn index_of(&self, wanted: &Wanted) -> Option<usize> {
        let index = self.places.binary_search(&wanted.place).ok()?;
        (self.wanted(index, self.slots.get(index)?)? == *wanted).then_some(index)
    }
}

pub(crate) const fn wanted_page(kind: Kind, page: &PageRef) -> Wanted {
    Wanted { reference: page.object, part: Part::Page(kind), place: page.first_place }
}

pub(crate) const fn wanted_node(kind: Kind, node: &NodeRef) -> Wanted {
    Wanted { reference: node.object, part: Part::Node(kind), place: node.first_place }
}

/// Why a node is not what the manifest says of it; the signer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeError {
    /// Its pages do not lie where the manifest says.
    Misplaced,
    /// With its pages the section has another number of records than the manifest says.
    Records,
}

/// Objects of a manifest that does not serve yet.
#[derive(Debug)]
pub(crate) struct Staged<T> {
    pub(crate) nodes: BTreeMap<ObjectDigest, Node>,
    pub(crate) pages: BTreeMap<ObjectDigest, (PageRef, T)>,
}

impl<T: Leaf> Staged<T> {
    /// What all of it weighs, about.
    pub(crate) fn weight(&self) -> usize {
        let nodes: usize = self.nodes.values().map(|node| size_of_val(node.pages())).sum();
        nodes + self.pages.values().map(|(page, _)| T::weight(page)).sum::<usize>()
    }
}

impl<T> Default for Staged<T> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), pages: BTreeMap::new() }
    }
}

/// What a shelf holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) nodes_held: usize,
    pub(crate) nodes_named: usize,
    pub(crate) pages_held: usize,
    pub(crate) pages_named: usize,
    pub(crate) bytes_held: u64,
}

impl Account {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            nodes_held: self.nodes_held + other.nodes_held,
            nodes_named: self.nodes_named + other.nodes_named,
            pages_held: self.pages_held + other.pages_held,
            pages_named: self.pages_named + other.pages_named,
            bytes_held: self.bytes_held + other.bytes_held,
        }
    }
}

fn records_of(node: &Node) -> u64 {
    node.pages().iter().map(|page| u64::from(page.records)).sum()
}

/// Whether the node's pages begin at its first place and lie below the next node's.
pub(crate) fn fits(node: &Node, first_place: u64, until: Option<u64>) -> bool {
    let pages = node.pages();
    pages.first().is_some_and(|page| page.first_place == first_place)
        && pages.last().is_some_and(|page| until.is_none_or(|until| page.first_place < until))
}
