//! Bytes of a page of records, field by field as the reader's table lists them.

use super::Object;
use super::encode::{BuildError, Bytes, count};
use super::narrowing::Narrowing;
use super::slot::{Paged, Shared, Slot};
use crate::page::{self, EXPIRY_NEVER, FLAG_OUT_OF_BUDGET, KeyState, bucket_count};
use crate::query::Kind;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The page with these records. `shared` says what their numbers of permission sets and narrowings mean.
pub(super) fn page<T: Paged>(kind: Kind, items: &[T], shared: &Shared) -> Result<Object, BuildError> {
    let records: u32 = count("records of a page", items.len(), page::RECORDS_MAX)?;
    let buckets = bucket_count(items.len());
    let mut order: Vec<(u32, &T)> = items
        .iter()
        .map(|item| (((u64::from(item.slot().bucket) * u64::from(buckets)) >> 32) as u32, item))
        .collect();
    order.sort_unstable_by_key(|(bucket, item)| (*bucket, item.slot().tag));
    let tables = Tables::of(items, shared)?;
    let epoch = epoch(kind, items);

    let mut bytes = Bytes::magic(page::MAGIC);
    bytes.0.reserve(page::HEADER_LEN + buckets as usize * 2 + items.len() * 17);
    bytes.put([kind as u8]);
    bytes.put(count::<u8>("permission sets of a page", tables.sets.len(), 255)?.to_le_bytes());
    bytes.put(count::<u16>("bindings of a page", tables.bindings.len(), page::RECORDS_MAX)?.to_le_bytes());
    bytes.put(records.to_le_bytes());
    bytes.put(buckets.to_le_bytes());
    bytes.put(epoch.to_le_bytes());
    bytes
        .put(count::<u16>("narrowings of a page", tables.narrowings.len(), page::RECORDS_MAX)?.to_le_bytes());
    for bucket in 0..=buckets {
        let first = order.partition_point(|(at, _)| *at < bucket);
        bytes.put((first as u16).to_le_bytes());
    }
    for (_, item) in &order {
        let slot = item.slot();
        bytes.put(slot.tag);
        bytes.put(tables.binding_index(slot).to_le_bytes());
        bytes.put(&expiry_offset(slot.expiry, epoch).to_le_bytes()[..3]);
        bytes.put([flags(kind, slot, epoch)]);
    }
    tables.write_bindings(&mut bytes);
    for id in order.iter().filter_map(|(_, item)| item.key_id()) {
        bytes.put(id.number().to_le_bytes());
    }
    for narrowing in tables.narrowings.keys() {
        let narrowing = narrowing.as_bytes();
        bytes
            .put(count::<u16>("bytes of a narrowing", narrowing.len(), usize::from(u16::MAX))?.to_le_bytes());
        bytes.put(narrowing);
    }
    Ok(Object::new(bytes.0))
}

/// A page's bindings, permission sets and narrowings, each once and ascending.
struct Tables<'a> {
    /// Slot's own binding → index in the page.
    bindings: BTreeMap<Binding, u16>,
    /// Permission set → index in the page.
    sets: BTreeMap<u128, u8>,
    /// Narrowing → index in the page, counted from 1.
    narrowings: BTreeMap<&'a Narrowing, u16>,
    /// A slot's number of its permission set → index in the page.
    set_of: BTreeMap<u32, u8>,
    /// A slot's number of its narrowing → index in the page.
    narrowing_of: BTreeMap<u32, u16>,
}

/// Project, organization, role, permission set, narrowing.
type Binding = (u32, u32, u8, u8, u16);

impl<'a> Tables<'a> {
    fn of<T: Paged>(items: &[T], shared: &'a Shared) -> Result<Self, BuildError> {
        let used = |number: fn(&Slot) -> u32| -> BTreeSet<u32> {
            items.iter().map(|item| number(item.slot())).filter(|number| *number != 0).collect()
        };
        let (used_sets, used_narrowings) = (used(|slot| slot.set), used(|slot| slot.narrowing));
        let bits = |number: &u32| shared.sets.value(*number).map_or(0, |set| set.bits());
        let ordered: BTreeSet<u128> = used_sets.iter().map(bits).collect();
        count::<u8>("permission sets of a page", ordered.len(), 255)?;
        let sets: BTreeMap<u128, u8> = ordered.into_iter().zip(0u8..).collect();
        let narrowing = |number: &u32| shared.narrowings.value(*number);
        let ordered: BTreeSet<&Narrowing> = used_narrowings.iter().filter_map(narrowing).collect();
        let narrowings: BTreeMap<&Narrowing, u16> = ordered.into_iter().zip(1u16..).collect();
        let set_of = |number: u32| (number, sets.get(&bits(&number)).copied().unwrap_or(0));
        let set_of = used_sets.into_iter().map(set_of).collect();
        let index = |number: &u32| narrowing(number).and_then(|narrowing| narrowings.get(narrowing)).copied();
        // To leave one out would widen a key.
        let found =
            |number: u32| index(&number).map(|index| (number, index)).ok_or(BuildError::Lost("narrowing"));
        let narrowing_of = used_narrowings.into_iter().map(found).collect::<Result<_, _>>()?;
        let mut tables = Self { bindings: BTreeMap::new(), sets, narrowings, set_of, narrowing_of };
        let ordered: BTreeSet<_> = items.iter().map(|item| tables.binding(item.slot())).collect();
        tables.bindings = ordered.into_iter().zip(0u16..).collect();
        Ok(tables)
    }

    fn binding(&self, slot: &Slot) -> Binding {
        let set = self.set_of.get(&slot.set).copied().unwrap_or(0);
        let narrowing =
            if slot.narrowing == 0 { None } else { self.narrowing_of.get(&slot.narrowing).copied() };
        (slot.project, slot.organization, slot.role, set, narrowing.unwrap_or(0))
    }

    fn binding_index(&self, slot: &Slot) -> u16 {
        self.bindings.get(&self.binding(slot)).copied().unwrap_or(0)
    }

    /// Writes the bindings, then the permission sets.
    fn write_bindings(&self, bytes: &mut Bytes) {
        for (project, organization, role, set, narrowing) in self.bindings.keys() {
            bytes.put(project.to_le_bytes());
            bytes.put(organization.to_le_bytes());
            bytes.put([*role, *set]);
            bytes.put(narrowing.to_le_bytes());
        }
        for set in self.sets.keys() {
            bytes.put(set.to_le_bytes());
        }
    }
}

/// The flags of a record. A key that expires before its page's epoch cannot say when: it is written as revoked, so
/// that it is refused whatever the clock says.
fn flags(kind: Kind, slot: &Slot, epoch: u32) -> u8 {
    if kind.is_key() && slot.expiry.is_some_and(|expiry| expiry < epoch) {
        slot.flags & FLAG_OUT_OF_BUDGET | KeyState::Revoked as u8
    } else {
        slot.flags
    }
}

/// The minute that a page counts from: its earliest expiry. In a page of keys it is never so early that the latest
/// does not fit; in another the latest ends sooner than was said, in 31 years.
fn epoch<T: Paged>(kind: Kind, items: &[T]) -> u32 {
    let expiries = || items.iter().filter_map(|item| item.slot().expiry);
    match (expiries().min(), expiries().max()) {
        (Some(earliest), Some(latest)) if kind.is_key() => {
            earliest.max(latest.saturating_sub(EXPIRY_NEVER - 1))
        }
        (Some(earliest), _) => earliest,
        (None, _) => 0,
    }
}

fn expiry_offset(expiry: Option<u32>, epoch: u32) -> u32 {
    expiry.map_or(EXPIRY_NEVER, |expiry| expiry.saturating_sub(epoch).min(EXPIRY_NEVER - 1))
}
