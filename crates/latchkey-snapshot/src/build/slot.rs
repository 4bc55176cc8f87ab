//! Records as the tries hold them, and when they fit one page.

use super::intern::Interner;
use super::narrowing::Narrowing;
use super::page::count_different;
use super::trie::Item;
use crate::names::{self, NAMES_MAX, OrganizationNames, ProjectNames};
use crate::narrowing::{NARROWING_LEN_MAX, NARROWINGS_LEN_MAX};
use crate::page::{BINDING_LEN, HEADER_LEN, KEY_ID_LEN, RECORD_LEN, RECORDS_MAX, SET_LEN, bucket_count};
use crate::query::{Kind, Query, TAG_LEN};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use latchkey_core::{ExpiryMinute, KeyId, OrganizationNumber, PermissionSet, ProjectNumber, Role};

/// A record: what its page says of it, and where it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) place: u64,
    pub(super) bucket: u32,
    pub(super) tag: [u8; TAG_LEN],
    pub(super) role: u8,
    pub(super) flags: u8,
    pub(super) project: u32,
    pub(super) organization: u32,
    pub(super) expiry: Option<u32>,
    /// The number of its permission set in [`Shared`]; 0 for none.
    pub(super) set: u32,
    /// The number of its narrowing in [`Shared`]; 0 for none.
    pub(super) narrowing: u32,
}

/// The record of an imported key, whose page says its id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ImportedSlot {
    pub(super) slot: Slot,
    pub(super) id: KeyId,
}

/// A record of any kind, as its page is written.
pub(super) trait Paged: Item {
    fn slot(&self) -> &Slot;

    /// The key's id, if the page says it.
    fn key_id(&self) -> Option<KeyId>;
}

/// What slots share.
pub(super) struct Shared {
    pub(super) sets: Interner<PermissionSet>,
    pub(super) narrowings: Interner<Narrowing>,
}

impl Shared {
    pub(super) const fn new() -> Self {
        Self { sets: Interner::new(), narrowings: Interner::new() }
    }

    /// The slot is gone.
    pub(super) fn release(&mut self, slot: &Slot) {
        self.sets.release(slot.set);
        self.narrowings.release(slot.narrowing);
    }

    /// Whether these records fit one page: one that the format allows, and that is no longer than a page should be.
    pub(super) fn fit<T: Paged>(&self, items: &[T]) -> bool {
        if items.len() > RECORDS_MAX {
            return false;
        }
        let len = |number: u32| self.narrowings.value(number).map_or(0, Narrowing::len_in_page);
        let narrowings = || items.iter().map(|item| item.slot().narrowing).filter(|number| *number != 0);
        // Nearly every page is settled by what its tables have at most. Few keys are narrowed: each is counted as if it
        // were the only one with its narrowing.
        let narrowings_most: usize = narrowings().map(len).sum();
        let most = items.len() * BINDING_LEN + items.len().min(SETS_MAX) * SET_LEN + narrowings_most;
        let Some(room) = PAGE_LEN_WANTED.checked_sub(len_without_tables(items)) else { return false };
        if items.len() <= SETS_MAX && narrowings_most <= NARROWINGS_LEN_MAX && most <= room {
            return true;
        }
        let sets = distinct_sets(items);
        let narrowings: usize = narrowings().collect::<BTreeSet<u32>>().into_iter().map(len).sum();
        let tables = sets * SET_LEN + narrowings;
        sets <= SETS_MAX
            && narrowings <= NARROWINGS_LEN_MAX
            && tables <= room
            && distinct_bindings_are_at_most((room - tables) / BINDING_LEN, items)
    }
}

/// Bytes of header, directory, records and ids.
fn len_without_tables<T: Paged>(items: &[T]) -> usize {
    let ids = items.iter().filter(|item| item.key_id().is_some()).count();
    let directory = (bucket_count(items.len()) as usize + 1) * 2;
    HEADER_LEN + directory + items.len() * RECORD_LEN + ids * KEY_ID_LEN
}

/// Keys of a big organization are spread over all its projects, so that nearly each may have a binding of its own.
fn distinct_bindings_are_at_most<T: Paged>(most: usize, items: &[T]) -> bool {
    let fold = |(project, organization, role, set, narrowing): Bound| {
        u64::from(project) << 32 ^ u64::from(organization ^ set << 8 ^ narrowing << 16 ^ u32::from(role) << 4)
    };
    items.len() <= most || count_different(items.iter().map(|item| binding(item.slot())), fold) <= most
}

/// Project, organization, role, permission set, narrowing.
type Bound = (u32, u32, u8, u32, u32);

/// What a slot's binding follows from.
const fn binding(slot: &Slot) -> Bound {
    let Slot { project, organization, role, set, narrowing, .. } = *slot;
    (project, organization, role, set, narrowing)
}

fn distinct_sets<T: Paged>(items: &[T]) -> usize {
    // Nearly every page has two or three sets: a short list beats a tree.
    let mut seen: Vec<u32> = Vec::new();
    for set in items.iter().map(|item| item.slot().set).filter(|set| *set != 0) {
        if seen.last() != Some(&set) && !seen.contains(&set) {
            seen.push(set);
        }
    }
    seen.len()
}

/// What a page of names consists of.
pub(super) trait Named {
    /// Bytes of its entry.
    fn len_in_page(&self) -> usize;
}

impl Named for ProjectNames {
    fn len_in_page(&self) -> usize {
        names::PROJECT_LEN + self.slug.as_str().len() + self.name.len()
    }
}

impl Named for OrganizationNames {
    fn len_in_page(&self) -> usize {
        names::ORGANIZATION_LEN + self.name.len()
    }
}

/// Whether these names fit one page.
pub(super) fn names_fit<T: Named>(names: &[T]) -> bool {
    let len = || names.iter().map(Named::len_in_page).sum::<usize>();
    names.len() <= NAMES_MAX && names::HEADER_LEN + len() <= PAGE_LEN_WANTED
}

/// Permission sets a page may have.
const SETS_MAX: usize = 255;
/// Bytes of a page at most, as it is cut. A reader takes longer ones.
const PAGE_LEN_WANTED: usize = 80_000;
/// One record always fits, however much it is narrowed: so there is no page that cannot be cut.
const _: () = assert!(
    HEADER_LEN + 4 + RECORD_LEN + KEY_ID_LEN + BINDING_LEN + SET_LEN + 2 + NARROWING_LEN_MAX
        <= PAGE_LEN_WANTED
);

impl Slot {
    /// A record of which nothing is said but that it is there.
    pub(super) fn at(query: &Query) -> Self {
        Self {
            place: query.place,
            bucket: query.bucket,
            tag: query.tag,
            role: 0,
            flags: 0,
            project: 0,
            organization: 0,
            expiry: None,
            set: 0,
            narrowing: 0,
        }
    }

    /// The look-up that finds it.
    pub(super) const fn query(&self, kind: Kind) -> Query {
        Query { kind, place: self.place, bucket: self.bucket, tag: self.tag }
    }

    pub(super) const fn owned(self, project: ProjectNumber, organization: OrganizationNumber) -> Self {
        Self { project: project.0, organization: organization.0, ..self }
    }

    pub(super) const fn with_role(self, role: Role) -> Self {
        Self { role: role as u8, ..self }
    }

    pub(super) fn lasting(self, expiry: Option<ExpiryMinute>) -> Self {
        Self { expiry: expiry.map(|expiry| expiry.0), ..self }
    }

    pub(super) const fn flagged(self, flags: u8) -> Self {
        Self { flags, ..self }
    }
}

impl Item for Slot {
    type Key = [u8; TAG_LEN];

    fn key(&self) -> (u64, Self::Key) {
        (self.place, self.tag)
    }

    /// State and expiry are of the same length whatever they say.
    fn weighs_like(&self, other: &Self) -> bool {
        binding(self) == binding(other)
    }
}

impl Item for ImportedSlot {
    type Key = [u8; TAG_LEN];

    fn key(&self) -> (u64, Self::Key) {
        self.slot.key()
    }

    fn weighs_like(&self, other: &Self) -> bool {
        self.slot.weighs_like(&other.slot)
    }
}

impl Item for ProjectNames {
    type Key = ();

    fn key(&self) -> (u64, ()) {
        (Query::names_place(self.number.0), ())
    }
}

impl Item for OrganizationNames {
    type Key = ();

    fn key(&self) -> (u64, ()) {
        (Query::names_place(self.number.0), ())
    }
}

impl Paged for Slot {
    fn slot(&self) -> &Slot {
        self
    }

    fn key_id(&self) -> Option<KeyId> {
        None
    }
}

impl Paged for ImportedSlot {
    fn slot(&self) -> &Slot {
        &self.slot
    }

    fn key_id(&self) -> Option<KeyId> {
        Some(self.id)
    }
}
