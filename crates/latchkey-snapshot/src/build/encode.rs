//! Bytes of pages, names, nodes and the manifest, field by field as the reader's tables list them.

use super::Object;
use super::content::{Edition, Slot};
use crate::manifest::{self, ExceptionClass, Section, TokenKey};
use crate::names::{self, OrganizationNames, ProjectNames};
use crate::node::{self, NodeRef, PageRef};
use crate::page::{self, EXPIRY_NEVER, KeyState, bucket_count};
use crate::query::Kind;
use crate::rule::{ProjectSource, Rule};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::PermissionSet;

/// Why content cannot be written. The control plane's own limits make each of them impossible; they are
/// checked all the same, since an edge would refuse what came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// More than a named limit of the format allows.
    TooMany(&'static str),
    /// A text that is longer than its field allows.
    TooLong(&'static str),
    /// What was written is not what the reader accepts.
    Unreadable(crate::cursor::ParseError),
    /// No signer, or one signer twice.
    Signers,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(what) => write!(f, "more {what} than the format allows"),
            Self::TooLong(what) => write!(f, "a {what} is longer than the format allows"),
            Self::Unreadable(error) => write!(f, "the reader would refuse it: {error}"),
            Self::Signers => f.write_str("an object needs one to eight different signers"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Bytes in the making.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn magic(magic: &[u8; 4]) -> Self {
        Self(magic.to_vec())
    }

    pub(super) fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.extend_from_slice(bytes.as_ref());
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), BuildError> {
        let len = u16::try_from(text.len()).map_err(|_| BuildError::TooLong("text"))?;
        self.put(len.to_le_bytes());
        self.put(text);
        Ok(())
    }
}

/// Narrows a count to its field.
pub(super) fn count<N: TryFrom<usize>>(
    what: &'static str,
    count: usize,
    max: usize,
) -> Result<N, BuildError> {
    let allowed = (count <= max).then_some(count);
    allowed.and_then(|count| N::try_from(count).ok()).ok_or(BuildError::TooMany(what))
}

/// The page with these records. `sets` says which permission set a slot's index means.
pub(super) fn page(kind: Kind, slots: &[Slot], sets: &[PermissionSet]) -> Result<Object, BuildError> {
    let records: u32 = count("records of a page", slots.len(), page::RECORDS_MAX)?;
    let buckets = bucket_count(slots.len());
    let mut order: Vec<(u32, &Slot)> = slots
        .iter()
        .map(|slot| (((u64::from(slot.bucket) * u64::from(buckets)) >> 32) as u32, slot))
        .collect();
    order.sort_unstable_by_key(|(bucket, slot)| (*bucket, slot.tag));
    let tables = Tables::of(kind, slots, sets)?;
    let epoch = epoch(slots);

    let mut bytes = Bytes::magic(page::MAGIC);
    bytes.0.reserve(page::HEADER_LEN + buckets as usize * 2 + slots.len() * 17);
    bytes.put([kind as u8]);
    bytes.put(count::<u8>("permission sets of a page", tables.sets.len(), 255)?.to_le_bytes());
    bytes.put(count::<u16>("bindings of a page", tables.bindings.len(), page::RECORDS_MAX)?.to_le_bytes());
    bytes.put(records.to_le_bytes());
    bytes.put(buckets.to_le_bytes());
    bytes.put(epoch.to_le_bytes());
    for bucket in 0..=buckets {
        let first = order.partition_point(|(at, _)| *at < bucket);
        bytes.put((first as u16).to_le_bytes());
    }
    for (_, slot) in &order {
        bytes.put(slot.tag);
        bytes.put(tables.binding_index(slot).to_le_bytes());
        bytes.put(&expiry_offset(slot.expiry, epoch).to_le_bytes()[..3]);
        bytes.put([state(slot, epoch) as u8]);
    }
    tables.write(&mut bytes);
    Ok(Object::new(bytes.0))
}

/// A page's bindings and permission sets, each once and ascending.
struct Tables {
    /// Slot's own binding → index in the page.
    bindings: BTreeMap<(u32, u32, u8, u8), u16>,
    /// Permission set → index in the page.
    sets: BTreeMap<u128, u8>,
    /// A slot's set index → index in the page.
    set_of: BTreeMap<u32, u8>,
}

impl Tables {
    fn of(kind: Kind, slots: &[Slot], known: &[PermissionSet]) -> Result<Self, BuildError> {
        let mut used = BTreeSet::new();
        if kind == Kind::NativeKey {
            used.extend(slots.iter().map(|slot| slot.set));
        }
        let bits = |set: u32| known.get(set as usize).map_or(0, |set| set.bits());
        let ordered: BTreeSet<u128> = used.iter().map(|set| bits(*set)).collect();
        count::<u8>("permission sets of a page", ordered.len(), 255)?;
        let sets: BTreeMap<u128, u8> = ordered.into_iter().zip(0u8..).collect();
        let set_of = used.iter().map(|set| (*set, sets.get(&bits(*set)).copied().unwrap_or(0))).collect();
        let mut tables = Self { bindings: BTreeMap::new(), sets, set_of };
        let ordered: BTreeSet<_> = slots.iter().map(|slot| tables.binding(slot)).collect();
        tables.bindings = ordered.into_iter().zip(0u16..).collect();
        Ok(tables)
    }

    fn binding(&self, slot: &Slot) -> (u32, u32, u8, u8) {
        let set = self.set_of.get(&slot.set).copied().unwrap_or(0);
        (slot.project, slot.organization, slot.role, set)
    }

    fn binding_index(&self, slot: &Slot) -> u16 {
        self.bindings.get(&self.binding(slot)).copied().unwrap_or(0)
    }

    fn write(&self, bytes: &mut Bytes) {
        for (project, organization, role, set) in self.bindings.keys() {
            bytes.put(project.to_le_bytes());
            bytes.put(organization.to_le_bytes());
            bytes.put([*role, *set, 0, 0]);
        }
        for set in self.sets.keys() {
            bytes.put(set.to_le_bytes());
        }
    }
}

/// The state of a record. One that expires before its page's epoch cannot say when: it is written as revoked, so that
/// it is refused whatever the clock says.
fn state(slot: &Slot, epoch: u32) -> KeyState {
    if slot.expiry.is_some_and(|expiry| expiry < epoch) { KeyState::Revoked } else { slot.state }
}

/// The minute that a page counts from: its earliest expiry, yet never so early that its latest does not fit.
fn epoch(slots: &[Slot]) -> u32 {
    let expiries = || slots.iter().filter_map(|slot| slot.expiry);
    match (expiries().min(), expiries().max()) {
        (Some(earliest), Some(latest)) => earliest.max(latest.saturating_sub(EXPIRY_NEVER - 1)),
        _ => 0,
    }
}

fn expiry_offset(expiry: Option<u32>, epoch: u32) -> u32 {
    expiry.map_or(EXPIRY_NEVER, |expiry| expiry.saturating_sub(epoch))
}

/// The page of names of these projects.
pub(super) fn project_names(list: &[ProjectNames]) -> Result<Object, BuildError> {
    let mut bytes = names_header(Kind::ProjectNames, list.len())?;
    for names in list {
        bytes.put(names.number.0.to_le_bytes());
        bytes.put(names.organization.0.to_le_bytes());
        bytes.put(names.id.body());
        bytes.text(names.slug.as_str())?;
        bytes.text(&names.name)?;
    }
    Ok(Object::new(bytes.0))
}

/// The page of names of these organizations.
pub(super) fn organization_names(list: &[OrganizationNames]) -> Result<Object, BuildError> {
    let mut bytes = names_header(Kind::OrganizationNames, list.len())?;
    for names in list {
        bytes.put(names.number.0.to_le_bytes());
        bytes.put(names.id.body());
        bytes.text(&names.name)?;
    }
    Ok(Object::new(bytes.0))
}

fn names_header(kind: Kind, len: usize) -> Result<Bytes, BuildError> {
    let mut bytes = Bytes::magic(names::MAGIC);
    bytes.put([kind as u8]);
    bytes.put(count::<u32>("names of a page", len, names::NAMES_MAX)?.to_le_bytes());
    Ok(bytes)
}

/// The node that names these pages.
pub(super) fn node(kind: Kind, pages: &[PageRef]) -> Result<Object, BuildError> {
    let mut bytes = Bytes::magic(node::MAGIC);
    bytes.put([kind as u8]);
    bytes.put(count::<u16>("pages of a node", pages.len(), node::NODE_PAGES_MAX)?.to_le_bytes());
    for page in pages {
        bytes.put(page.first_place.to_le_bytes());
        bytes.put(page.object.len_bytes().to_le_bytes());
        bytes.put(page.records.to_le_bytes());
        bytes.put(page.object.digest().0);
    }
    Ok(Object::new(bytes.0))
}

/// The manifest of an edition with these sections.
pub(super) fn manifest(edition: &Edition<'_>, sections: &[Section]) -> Result<Object, BuildError> {
    let mut bytes = Bytes::magic(manifest::MAGIC);
    bytes.put(edition.installation.0);
    bytes.put(edition.generation.0.to_le_bytes());
    bytes.put(edition.pepper_id);
    bytes.put(edition.grace_secs.to_le_bytes());
    bytes.text(edition.prefix.as_str())?;
    bytes.put([sections.len() as u8]);
    for section in sections {
        bytes.put([section.kind as u8]);
        bytes.put(section.records.to_le_bytes());
        bytes.put(count::<u16>("nodes", section.nodes.len(), usize::from(u16::MAX))?.to_le_bytes());
        section.nodes.iter().for_each(|node| node_ref(&mut bytes, node));
    }
    exceptions(&mut bytes, edition)?;
    token_keys(&mut bytes, "session keys", edition.session_keys)?;
    token_keys(&mut bytes, "edge keys", edition.edge_keys)?;
    rules(&mut bytes, edition.rules)?;
    if bytes.0.len() > manifest::MANIFEST_LEN_MAX {
        return Err(BuildError::TooLong("manifest"));
    }
    Ok(Object::new(bytes.0))
}

fn node_ref(bytes: &mut Bytes, node: &NodeRef) {
    bytes.put(node.first_place.to_le_bytes());
    bytes.put(node.object.len_bytes().to_le_bytes());
    bytes.put(node.object.digest().0);
}

fn exceptions(bytes: &mut Bytes, edition: &Edition<'_>) -> Result<(), BuildError> {
    let classes = || {
        let all = ExceptionClass::ALL.into_iter();
        all.map(|class| (class, edition.exceptions.numbers(class))).filter(|(_, numbers)| !numbers.is_empty())
    };
    bytes.put([classes().count() as u8]);
    for (class, numbers) in classes() {
        bytes.put([class as u8]);
        bytes.put(count::<u32>("exceptions", numbers.len(), u32::MAX as usize)?.to_le_bytes());
        numbers.iter().for_each(|number| bytes.put(number.to_le_bytes()));
    }
    Ok(())
}

fn token_keys(bytes: &mut Bytes, what: &'static str, keys: &[TokenKey]) -> Result<(), BuildError> {
    let mut ordered: Vec<&TokenKey> = keys.iter().collect();
    ordered.sort_by_key(|key| *key.public.as_bytes());
    bytes.put(count::<u8>(what, keys.len(), manifest::TOKEN_KEYS_MAX)?.to_le_bytes());
    for key in ordered {
        bytes.put(key.public.as_bytes());
        bytes.put(key.not_before.0.to_le_bytes());
        bytes.put(key.not_after.0.to_le_bytes());
    }
    Ok(())
}

fn rules(bytes: &mut Bytes, rules: &[Rule]) -> Result<(), BuildError> {
    let mut ordered: Vec<&Rule> = rules.iter().collect();
    ordered.sort_by_key(|rule| (&rule.pattern, &rule.method));
    bytes.put(count::<u16>("route rules", rules.len(), manifest::RULES_MAX)?.to_le_bytes());
    for rule in ordered {
        bytes.text(&rule.method)?;
        bytes.text(&rule.pattern)?;
        bytes.put([rule.permission.number(), rule.freshness as u8]);
        match &rule.project {
            ProjectSource::Credential => bytes.put([0]),
            ProjectSource::Path(parameter) => {
                bytes.put([1]);
                bytes.text(parameter)?;
            }
        }
        bytes.put([rule.resource.as_ref().map_or(0, |source| source.resource as u8)]);
        if let Some(source) = &rule.resource {
            bytes.text(&source.parameter)?;
        }
    }
    Ok(())
}
