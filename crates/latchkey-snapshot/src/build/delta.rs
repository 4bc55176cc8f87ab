//! Deltas: what content says of the things that were touched since a base, or since an earlier delta.
//!
//! Nothing of a delta is kept but which things were touched: what it says of them follows from the content.

use super::Object;
use super::content::Content;
use super::encode::{self, BuildError, Bytes, count};
use super::page;
use super::slot::names_fit;
use super::trie::{Fits, Item, Trie};
use crate::delta::{self, DELTA_LEN_MAX, Delta, Removal, RemovalReason};
use crate::exceptions::Exceptions;
use crate::object::{ObjectError, ObjectRef};
use crate::page::Page;
use crate::query::{Kind, Query, TAG_LEN};
use crate::root::Installation;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_core::Generation;

/// Where a delta belongs, and the exceptions on both sides of it.
#[derive(Clone, Copy, Debug)]
pub struct DeltaContent<'a> {
    /// The installation.
    pub installation: Installation,
    /// The manifest that the chain stands on.
    pub base: ObjectRef,
    /// The generation that it continues.
    pub from: Generation,
    /// The newest change that the content knows.
    pub generation: Generation,
    /// The delta before it, if it does not continue the base itself.
    pub parent: Option<ObjectRef>,
    /// What was refused as a whole at `from`.
    pub before: &'a Exceptions,
    /// What is refused as a whole now.
    pub now: &'a Exceptions,
}

/// Things of which something else is said than before.
#[derive(Clone, Debug, Default)]
pub struct Touched(BTreeMap<Key, u32>);

/// Kind, place and tag; names have no tag.
type Key = (Kind, u64, [u8; TAG_LEN]);

impl Touched {
    /// Adds those.
    pub fn extend(&mut self, more: &Self) {
        self.0.extend(&more.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The look-ups that may come out otherwise, ascending by kind and place; names, which have none, are left out.
    pub fn queries(&self) -> impl Iterator<Item = Query> + '_ {
        let records = self.0.iter().filter(|((kind, ..), _)| !kind.is_names());
        records.map(|(&(kind, place, tag), &bucket)| Query { kind, place, bucket, tag })
    }

    /// The places of the names of a kind, ascending.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = u64> + '_ {
        self.of(kind).filter(move |_| kind.is_names()).map(|(place, _)| place)
    }

    pub(super) fn note(&mut self, query: &Query) {
        self.0.insert((query.kind, query.place, query.tag), query.bucket);
    }

    pub(super) fn note_names(&mut self, kind: Kind, place: u64) {
        self.0.insert((kind, place, [0; TAG_LEN]), 0);
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = (u64, [u8; TAG_LEN])> + '_ {
        let range = (kind, 0, [0; TAG_LEN])..=(kind, u64::MAX, [0xFF; TAG_LEN]);
        self.0.range(range).map(|((_, place, tag), _)| (*place, *tag))
    }
}

impl Content {
    /// Everything that was said otherwise since this was asked last, or since everything was loaded.
    pub fn take_touched(&mut self) -> Touched {
        core::mem::take(&mut self.touched)
    }

    /// The delta that says what is so now of everything `touched`.
    ///
    /// # Errors
    /// [`BuildError`]; `TooLong` when there is more than a delta holds.
    pub fn delta(&self, content: &DeltaContent<'_>, touched: &Touched) -> Result<Object, BuildError> {
        let mut said = Said::default();
        for kind in Kind::ALL {
            match kind {
                Kind::ImportedKey => {
                    let picked = said.pick(kind, touched, &self.imported);
                    said.add(kind, picked, &|items| self.shared.fit(items), |items| {
                        page::page(kind, items, &self.shared)
                    })?;
                }
                Kind::ProjectNames => {
                    let picked = pick_names(kind, touched, &self.projects);
                    said.add(kind, picked, &|names| names_fit(names), encode::project_names)?;
                }
                Kind::OrganizationNames => {
                    let picked = pick_names(kind, touched, &self.organizations);
                    said.add(kind, picked, &|names| names_fit(names), encode::organization_names)?;
                }
                _ => {
                    let empty = Trie::new();
                    let picked = said.pick(kind, touched, self.records.get(&kind).unwrap_or(&empty));
                    said.add(kind, picked, &|items| self.shared.fit(items), |items| {
                        page::page(kind, items, &self.shared)
                    })?;
                }
            }
        }
        said.write(content, self.pepper_id())
    }
}

/// What a delta in the making says.
#[derive(Default)]
struct Said {
    removals: Vec<Removal>,
    pages: Vec<(Kind, u64, Object)>,
}

impl Said {
    /// The records that were touched and are there; those that are not are gone.
    fn pick<T>(&mut self, kind: Kind, touched: &Touched, trie: &Trie<T>) -> Vec<T>
    where
        T: Item<Key = [u8; TAG_LEN]> + Clone,
    {
        let mut there = Vec::new();
        for key in touched.of(kind) {
            match trie.get(key) {
                Some(item) => there.push(item.clone()),
                None => self.removals.push(Removal { kind, tag: key.1, reason: RemovalReason::Gone }),
            }
        }
        there
    }

    /// Cuts these into pages by the rule of a base.
    fn add<T: Item>(
        &mut self,
        kind: Kind,
        items: Vec<T>,
        fits: Fits<'_, T>,
        encode: impl Fn(&[T]) -> Result<Object, BuildError>,
    ) -> Result<(), BuildError> {
        let mut trie = Trie::new();
        trie.load(items, fits);
        for (first_place, leaf) in trie.leaves_mut() {
            let page = encode(&leaf.items)?;
            if !kind.is_names() {
                self.refuse(kind, &page)?;
            }
            self.pages.push((kind, first_place, page));
        }
        Ok(())
    }

    /// Names the keys of a page that are out of force, as the page says it.
    fn refuse(&mut self, kind: Kind, page: &Object) -> Result<(), BuildError> {
        let read = Page::read(kind, page.bytes.as_ref().into()).map_err(BuildError::Unreadable)?;
        for (tag, entry) in read.entries() {
            if let Some(reason) = RemovalReason::of(entry.state) {
                self.removals.push(Removal { kind, tag: *tag, reason });
            }
        }
        Ok(())
    }

    fn write(mut self, content: &DeltaContent<'_>, pepper_id: [u8; 8]) -> Result<Object, BuildError> {
        let mut bytes = Bytes::magic(delta::MAGIC);
        bytes.put(content.installation.0);
        bytes.put(pepper_id);
        bytes.reference(&content.base);
        bytes.put(content.from.0.to_le_bytes());
        bytes.put(content.generation.0.to_le_bytes());
        bytes.optional_reference(content.parent.as_ref());
        encode::exceptions(&mut bytes, &content.now.minus(content.before))?;
        self.removals.sort_unstable();
        bytes.put(count::<u32>("removals", self.removals.len(), DELTA_LEN_MAX)?.to_le_bytes());
        for removal in &self.removals {
            bytes.put([removal.kind as u8, removal.reason as u8]);
            bytes.put(removal.tag);
        }
        encode::exceptions(&mut bytes, &content.before.minus(content.now))?;
        bytes.put(count::<u16>("pages of a delta", self.pages.len(), usize::from(u16::MAX))?.to_le_bytes());
        for (kind, first_place, page) in &self.pages {
            bytes.put([*kind as u8]);
            bytes.put(first_place.to_le_bytes());
            bytes.put(page.reference.len_bytes().to_le_bytes());
            bytes.put(&page.bytes);
        }
        if bytes.0.len() > DELTA_LEN_MAX {
            return Err(BuildError::TooLong("delta"));
        }
        let object = Object::new(bytes.0);
        match Delta::parse(&object.reference, &object.bytes) {
            Ok(_) => Ok(object),
            Err(ObjectError::Parse(error)) => Err(BuildError::Unreadable(error)),
            Err(_) => Err(BuildError::TooLong("delta")),
        }
    }
}

/// Names are never taken back.
fn pick_names<T: Item<Key = ()> + Clone>(kind: Kind, touched: &Touched, trie: &Trie<T>) -> Vec<T> {
    touched.of(kind).filter_map(|(place, _)| trie.get((place, ())).cloned()).collect()
}
