//! The pages of one kind that a manifest names: which are held, and where the others would stand.
//!
//! A look-up is one binary search over first places, all in one flat list, then the page. A node that has not
//! been read yet stands in the list as one entry; its pages take that entry's place when it arrives.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_snapshot::manifest::Section;
use latchkey_snapshot::node::PageRef;
use latchkey_snapshot::{Kind, Names, Node, ObjectDigest, ObjectError, ObjectRef, Page};

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
    Node(Kind),
    Page(Kind),
}

/// What a page of a shelf can be.
pub(crate) trait Leaf: Sized + Clone {
    fn parse(kind: Kind, page: &PageRef, bytes: Vec<u8>) -> Result<Self, LeafError>;
    fn len_bytes(&self) -> usize;
}

/// Why bytes are no page of the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafError {
    Object(ObjectError),
    Records,
}

impl Leaf for Page {
    fn parse(kind: Kind, page: &PageRef, bytes: Vec<u8>) -> Result<Self, LeafError> {
        let parsed = Page::parse(kind, &page.object, bytes.into_boxed_slice()).map_err(LeafError::Object)?;
        if parsed.records() == page.records as usize { Ok(parsed) } else { Err(LeafError::Records) }
    }

    fn len_bytes(&self) -> usize {
        Page::len_bytes(self)
    }
}

impl Leaf for Names {
    fn parse(kind: Kind, page: &PageRef, bytes: Vec<u8>) -> Result<Self, LeafError> {
        let parsed = Names::parse(kind, &page.object, &bytes).map_err(LeafError::Object)?;
        let records = match &parsed {
            Names::Projects(list) => list.len(),
            Names::Organizations(list) => list.len(),
        };
        if records == page.records as usize { Ok(parsed) } else { Err(LeafError::Records) }
    }

    fn len_bytes(&self) -> usize {
        0
    }
}

#[derive(Debug)]
pub(crate) struct Shelf<T> {
    kind: Kind,
    /// The first places of `slots`, ascending.
    places: Vec<u64>,
    slots: Vec<Slot<T>>,
    nodes: BTreeMap<ObjectDigest, Node>,
    /// Pages of an earlier manifest that a node not read yet may still name.
    spare: BTreeMap<ObjectDigest, T>,
}

#[derive(Debug)]
enum Slot<T> {
    Node(ObjectRef),
    Page(PageRef),
    Held(T, PageRef),
}

/// What a shelf has at a place.
pub(crate) enum Lookup<'a, T> {
    /// The page that would know.
    Held(&'a T),
    /// No page covers the place: nobody knows of it.
    Nothing,
    /// This must be fetched first.
    Missing(Wanted),
}

impl<T: Leaf> Shelf<T> {
    pub(crate) const fn empty(kind: Kind) -> Self {
        Self { kind, places: Vec::new(), slots: Vec::new(), nodes: BTreeMap::new(), spare: BTreeMap::new() }
    }

    /// The shelf of a new manifest, with whatever the old one held and `fresh` brings.
    pub(crate) fn succeed(self, section: Option<&Section>, fresh: Staged<T>) -> Self {
        let kind = self.kind;
        let Self { slots, mut nodes, spare: mut pages, .. } = self;
        for slot in slots {
            if let Slot::Held(page, reference) = slot {
                pages.insert(reference.object.digest(), page);
            }
        }
        pages.extend(fresh.pages);
        nodes.extend(fresh.nodes);
        let mut next = Self { spare: pages, ..Self::empty(kind) };
        let references = section.map(|section| section.nodes.as_slice()).unwrap_or_default();
        for (at, reference) in references.iter().enumerate() {
            let until = references.get(at + 1).map(|next| next.first_place);
            let fitting = |node: &Node| fits(node, reference.first_place, until);
            match nodes.remove(&reference.object.digest()).filter(fitting) {
                Some(node) => next.push_node(reference.object, node),
                None => {
                    next.places.push(reference.first_place);
                    next.slots.push(Slot::Node(reference.object));
                }
            }
        }
        next.drop_spare();
        next
    }

    /// What is at `place`.
    pub(crate) fn at(&self, place: u64) -> Lookup<'_, T> {
        let Some(index) = self.places.partition_point(|first| *first <= place).checked_sub(1) else {
            return Lookup::Nothing;
        };
        match self.slots.get(index) {
            Some(Slot::Held(page, _)) => Lookup::Held(page),
            Some(slot) => self.wanted(index, slot).map_or(Lookup::Nothing, Lookup::Missing),
            None => Lookup::Nothing,
        }
    }

    /// Takes a node in, if the shelf still wants it. Says whether it did.
    pub(crate) fn take_node(&mut self, wanted: &Wanted, node: Node) -> Result<bool, Misplaced> {
        let Some(index) = self.index_of(wanted) else { return Ok(false) };
        if !fits(&node, wanted.place, self.places.get(index + 1).copied()) {
            return Err(Misplaced);
        }
        let mut part = Self { spare: core::mem::take(&mut self.spare), ..Self::empty(self.kind) };
        part.push_node(wanted.reference, node);
        self.places.splice(index..=index, part.places);
        self.slots.splice(index..=index, part.slots);
        self.nodes.append(&mut part.nodes);
        self.spare = part.spare;
        self.drop_spare();
        Ok(true)
    }

    /// Takes a page in, if the shelf still wants it. Says whether it did.
    pub(crate) fn take_page(&mut self, wanted: &Wanted, bytes: Vec<u8>) -> Result<bool, LeafError> {
        let Some(index) = self.index_of(wanted) else { return Ok(false) };
        let Some(slot) = self.slots.get_mut(index) else { return Ok(false) };
        let Slot::Page(reference) = slot else { return Ok(false) };
        let (page, reference) = (T::parse(self.kind, reference, bytes)?, *reference);
        *slot = Slot::Held(page, reference);
        Ok(true)
    }

    /// Everything that is missing, nodes first.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Wanted> + '_ {
        let of = |nodes: bool| {
            let slots = self.slots.iter().enumerate();
            slots.filter(move |(_, slot)| matches!(slot, Slot::Node(_)) == nodes)
        };
        of(true).chain(of(false)).filter_map(|(index, slot)| self.wanted(index, slot))
    }

    /// The nodes of a new manifest that should be here before it serves: all that differ, if any was here.
    pub(crate) fn nodes_to_stage(&self, section: &Section) -> Vec<Wanted> {
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let new = section.nodes.iter().filter(|node| !self.nodes.contains_key(&node.object.digest()));
        new.map(|node| Wanted {
            reference: node.object,
            part: Part::Node(self.kind),
            place: node.first_place,
        })
        .collect()
    }

    /// The pages of a new node that should be here before it serves: those whose predecessors are.
    pub(crate) fn pages_to_stage(&self, node: &Node) -> Vec<(Wanted, PageRef)> {
        let changed = |page: &&PageRef| {
            let index = self.places.partition_point(|first| *first <= page.first_place).checked_sub(1);
            match index.and_then(|index| self.slots.get(index)) {
                Some(Slot::Held(_, held)) => held.object != page.object,
                _ => false,
            }
        };
        let wanted = |page: &PageRef| Wanted {
            reference: page.object,
            part: Part::Page(self.kind),
            place: page.first_place,
        };
        node.pages().iter().filter(changed).map(|page| (wanted(page), *page)).collect()
    }

    /// Nodes held and named, pages held and named, bytes held.
    pub(crate) fn account(&self) -> Account {
        let mut account = Account { nodes_held: self.nodes.len(), ..Account::default() };
        account.nodes_named = self.nodes.len();
        for slot in &self.slots {
            match slot {
                Slot::Node(_) => account.nodes_named += 1,
                Slot::Page(_) => account.pages_named += 1,
                Slot::Held(page, _) => {
                    account.pages_named += 1;
                    account.pages_held += 1;
                    account.bytes_held += page.len_bytes() as u64;
                }
            }
        }
        account
    }

    fn push_node(&mut self, reference: ObjectRef, node: Node) {
        for page in node.pages() {
            self.places.push(page.first_place);
            self.slots.push(match self.spare.remove(&page.object.digest()) {
                Some(held) => Slot::Held(held, *page),
                None => Slot::Page(*page),
            });
        }
        self.nodes.insert(reference.digest(), node);
    }

    fn drop_spare(&mut self) {
        if !self.slots.iter().any(|slot| matches!(slot, Slot::Node(_))) {
            self.spare.clear();
        }
    }

    fn wanted(&self, index: usize, slot: &Slot<T>) -> Option<Wanted> {
        let place = *self.places.get(index)?;
        match slot {
            Slot::Node(reference) => {
                Some(Wanted { reference: *reference, part: Part::Node(self.kind), place })
            }
            Slot::Page(page) => Some(Wanted { reference: page.object, part: Part::Page(self.kind), place }),
            Slot::Held(..) => None,
        }
    }

    /// Where the shelf wants this very object.
    fn index_of(&self, wanted: &Wanted) -> Option<usize> {
        let index = self.places.binary_search(&wanted.place).ok()?;
        (self.wanted(index, self.slots.get(index)?)? == *wanted).then_some(index)
    }
}

/// A node whose pages do not lie where the manifest says; the signer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misplaced;

/// Objects of a manifest that does not serve yet.
#[derive(Debug)]
pub(crate) struct Staged<T> {
    pub(crate) nodes: BTreeMap<ObjectDigest, Node>,
    pub(crate) pages: BTreeMap<ObjectDigest, T>,
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

fn fits(node: &Node, first_place: u64, until: Option<u64>) -> bool {
    let pages = node.pages();
    pages.first().is_some_and(|page| page.first_place == first_place)
        && pages.last().is_some_and(|page| until.is_none_or(|until| page.first_place < until))
}
