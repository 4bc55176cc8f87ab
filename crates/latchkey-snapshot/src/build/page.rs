//! Bytes of a page of records, field by field as the reader's table lists them.

use super::Object;
use super::encode::{BuildError, Bytes, count};
use super::narrowing::Narrowing;
use super::slot::{Paged, Shared, Slot};
use crate::page::{self, EXPIRY_NEVER, FLAG_OUT_OF_BUDGET, KeyState, RECORD_LEN, bucket_count};
use crate::query::Kind;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// The page with these records. `shared` says what their numbers of permission sets and narrowings mean.
pub(super) fn page<T: Paged>(kind: Kind, items: &[T], shared: &Shared) -> Result<Object, BuildError> {
    let records: u32 = count("records of a page", items.len(), page::RECORDS_MAX)?;
    let order = Order::of(items);
    let tables = Tables::of(items, shared)?;
    let epoch = epoch(kind, items);

    let mut bytes = Bytes::magic(page::MAGIC);
    bytes.0.reserve(
        page::HEADER_LEN + order.directory.len() * 2 + items.len() * RECORD_LEN + tables.len_bytes(),
    );
    bytes.put([kind as u8]);
    bytes.put(count::<u8>("permission sets of a page", tables.sets.len(), 255)?.to_le_bytes());
    bytes.put(count::<u16>("bindings of a page", tables.bindings.len(), page::RECORDS_MAX)?.to_le_bytes());
    bytes.put(records.to_le_bytes());
    bytes.put((order.directory.len() as u32 - 1).to_le_bytes());
    bytes.put(epoch.to_le_bytes());
    bytes
        .put(count::<u16>("narrowings of a page", tables.narrowings.len(), page::RECORDS_MAX)?.to_le_bytes());
    order.directory.iter().for_each(|first| bytes.put(first.to_le_bytes()));
    for at in order.items() {
        let slot = items[at].slot();
        bytes.put(record(kind, slot, tables.binding_of[at], epoch));
    }
    tables.write_bindings(&mut bytes);
    for id in order.items().filter_map(|at| items[at].key_id()) {
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

fn record(kind: Kind, slot: &Slot, binding: u16, epoch: u32) -> [u8; RECORD_LEN] {
    let [a, b, c, d, e, f, g, h, i, j] = slot.tag;
    let [b0, b1] = binding.to_le_bytes();
    let [e0, e1, e2, _] = expiry_offset(slot.expiry, epoch).to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, b0, b1, e0, e1, e2, flags(kind, slot, epoch)]
}

/// In which order the records stand: by bucket, then ascending by tag.
struct Order {
    /// The first record of each bucket, and the record count once more.
    directory: Vec<u16>,
    /// Indices of the items.
    items: Vec<u16>,
}

impl Order {
    fn of<T: Paged>(items: &[T]) -> Self {
        let buckets = bucket_count(items.len());
        let bucket = |item: &T| ((u64::from(item.slot().bucket) * u64::from(buckets)) >> 32) as usize;
        let mut directory = vec![0u16; buckets as usize + 1];
        items.iter().for_each(|item| directory[bucket(item) + 1] += 1);
        for at in 1..directory.len() {
            directory[at] += directory[at - 1];
        }
        let (mut next, mut order) = (directory.clone(), vec![0u16; items.len()]);
        for (at, item) in (0u16..).zip(items) {
            let slot = &mut next[bucket(item)];
            order[usize::from(*slot)] = at;
            *slot += 1;
        }
        for bucket in directory.windows(2) {
            let bucket = &mut order[usize::from(bucket[0])..usize::from(bucket[1])];
            bucket.sort_unstable_by_key(|at| items[usize::from(*at)].slot().tag);
        }
        Self { directory, items: order }
    }

    fn items(&self) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().map(|at| usize::from(*at))
    }
}

/// A page's bindings, permission sets and narrowings, each once and ascending.
struct Tables<'a> {
    bindings: Vec<Binding>,
    sets: BTreeMap<u128, u8>,
    /// Narrowing → index in the page, counted from 1.
    narrowings: BTreeMap<&'a Narrowing, u16>,
    /// By item: the index of its binding.
    binding_of: Vec<u16>,
}

/// Project, organization, role, permission set, narrowing, from the top: ordered as the reader wants them.
type Binding = u128;

impl<'a> Tables<'a> {
    fn of<T: Paged>(items: &[T], shared: &'a Shared) -> Result<Self, BuildError> {
        let used_sets = used(items, |slot| slot.set);
        let bits = |number: &u32| shared.sets.value(*number).map_or(0, |set| set.bits());
        let ordered: BTreeSet<u128> = used_sets.iter().map(bits).collect();
        count::<u8>("permission sets of a page", ordered.len(), 255)?;
        let sets: BTreeMap<u128, u8> = ordered.into_iter().zip(0u8..).collect();
        let index = |number: &u32| sets.get(&bits(number)).copied().unwrap_or(0);
        let set_of: Vec<(u32, u8)> = used_sets.iter().map(|number| (*number, index(number))).collect();

        let used_narrowings = used(items, |slot| slot.narrowing);
        let narrowing = |number: &u32| shared.narrowings.value(*number);
        let ordered: BTreeSet<&Narrowing> = used_narrowings.iter().filter_map(narrowing).collect();
        let narrowings: BTreeMap<&Narrowing, u16> = ordered.into_iter().zip(1u16..).collect();
        let index = |number: &u32| narrowing(number).and_then(|narrowing| narrowings.get(narrowing)).copied();
        // To leave one out would widen a key.
        let found =
            |number: &u32| index(number).map(|index| (*number, index)).ok_or(BuildError::Lost("narrowing"));
        let narrowing_of: Vec<(u32, u16)> = used_narrowings.iter().map(found).collect::<Result<_, _>>()?;

        let binding = |item: &T| {
            let slot = item.slot();
            let (set, narrowing) = (look_up(&set_of, slot.set), look_up(&narrowing_of, slot.narrowing));
            let (project, organization) = (u128::from(slot.project), u128::from(slot.organization));
            let (role, set) = (u128::from(slot.role), u128::from(set));
            project << 64 | organization << 32 | role << 24 | set << 16 | u128::from(narrowing)
        };
        let fold = |binding: Binding| (binding >> 64) as u64 ^ binding as u64;
        let (bindings, binding_of) = number(items.iter().map(binding), fold);
        Ok(Self { bindings, sets, narrowings, binding_of })
    }

    fn len_bytes(&self) -> usize {
        let narrowings: usize = self.narrowings.keys().map(|narrowing| narrowing.len_in_page()).sum();
        self.bindings.len() * page::BINDING_LEN
            + self.sets.len() * page::SET_LEN
            + self.binding_of.len() * page::KEY_ID_LEN
            + narrowings
    }

    /// Writes the bindings, then the permission sets.
    fn write_bindings(&self, bytes: &mut Bytes) {
        for binding in &self.bindings {
            bytes.put(((binding >> 64) as u32).to_le_bytes());
            bytes.put(((binding >> 32) as u32).to_le_bytes());
            bytes.put([(binding >> 24) as u8, (binding >> 16) as u8]);
            bytes.put((*binding as u16).to_le_bytes());
        }
        for set in self.sets.keys() {
            bytes.put(set.to_le_bytes());
        }
    }
}

/// The numbers other than 0 that these items use, ascending.
fn used<T: Paged>(items: &[T], number: fn(&Slot) -> u32) -> Vec<u32> {
    let mut used: Vec<u32> = Vec::new();
    for number in items.iter().map(|item| number(item.slot())) {
        // Most pages use two or three numbers, in long runs or in turn.
        if number != 0 && !used.iter().rev().take(4).any(|known| *known == number) {
            used.push(number);
        }
    }
    used.sort_unstable();
    used.dedup();
    used
}

/// What stands beside a number in an ascending list; nothing, which is 0, beside one that is not there.
fn look_up<V: Copy + Default>(list: &[(u32, V)], number: u32) -> V {
    let found = list.binary_search_by_key(&number, |(known, _)| *known).ok();
    found.map_or_else(V::default, |at| list[at].1)
}

/// The different ones, ascending, and the index there of each.
fn number<B: Ord + Copy>(bindings: impl Iterator<Item = B>, fold: fn(B) -> u64) -> (Vec<B>, Vec<u16>) {
    let (seen, mut seen_at) = see(bindings, fold);
    let mut order: Vec<u16> = (0..seen.len() as u16).collect();
    order.sort_unstable_by_key(|at| seen[usize::from(*at)]);
    let (mut listed, mut index) = (Vec::<B>::new(), vec![0u16; seen.len()]);
    for at in order {
        let binding = seen[usize::from(at)];
        if listed.last() != Some(&binding) {
            listed.push(binding);
        }
        index[usize::from(at)] = listed.len() as u16 - 1;
    }
    seen_at.iter_mut().for_each(|at| *at = index[usize::from(*at)]);
    (listed, seen_at)
}

/// How many different ones there are.
pub(super) fn count_different<B: Ord + Copy>(bindings: impl Iterator<Item = B>, fold: fn(B) -> u64) -> usize {
    let (mut seen, _) = see(bindings, fold);
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

/// The different ones as they come, and the index there of each. One that was seen not long ago is found again by its
/// hash; one that was forgotten is listed twice.
fn see<B: Ord + Copy>(bindings: impl Iterator<Item = B>, fold: fn(B) -> u64) -> (Vec<B>, Vec<u16>) {
    let (mut seen, mut recent) = (Vec::<B>::new(), [u16::MAX; RECENT]);
    let mut seen_at: Vec<u16> = Vec::with_capacity(bindings.size_hint().0);
    for binding in bindings {
        let hash = fold(binding).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - RECENT_BITS);
        let place = &mut recent[hash as usize];
        if seen.get(usize::from(*place)) != Some(&binding) {
            *place = seen.len() as u16;
            seen.push(binding);
        }
        seen_at.push(*place);
    }
    (seen, seen_at)
}

const RECENT_BITS: u32 = 9;
const RECENT: usize = 1 << RECENT_BITS;

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
