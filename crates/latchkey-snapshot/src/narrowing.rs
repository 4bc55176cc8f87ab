//! What a key is narrowed to besides permissions: a rate, client networks, resources, models (IAM K7).
//!
//! An entry of a page's narrowing table. A list that is empty narrows nothing; an entry narrows something.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | rate, requests a minute; 0 for none |
//! | 8 | family: the id of the key that the rate is shared with; 0 without a rate |
//! | 1 | network count; then networks ascending: prefix length 1, version 1 (4 or 6), address 4 or 16 |
//! | 1 | resource count; then patterns ascending: resource type 1, matching 1, text |
//! | 1 | model count; then patterns ascending: matching 1, text |

use crate::cursor::{Cursor, Fault, ParseError};
use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU32;
use latchkey_core::narrowing::{MODEL_LEN_MAX, MODELS_MAX, NETWORKS_MAX, RESOURCES_MAX};
use latchkey_core::resource::ID_LEN_MAX;
use latchkey_core::{KeyId, Matching, ModelName, Network, ResourceId, ResourceType};

/// Bytes of a page's narrowing table at most, the lengths of its entries included.
pub const NARROWINGS_LEN_MAX: usize = 65_536;
/// Bytes before the lists.
const HEADER_LEN: usize = 12;
/// Bytes of an entry at most.
pub const NARROWING_LEN_MAX: usize = HEADER_LEN
    + (1 + NETWORKS_MAX * 18)
    + (1 + RESOURCES_MAX * (2 + 2 + ID_LEN_MAX))
    + (1 + MODELS_MAX * (1 + 2 + MODEL_LEN_MAX));
const _: () = assert!(NARROWING_LEN_MAX + 2 <= NARROWINGS_LEN_MAX);

/// A narrowing, read in place.
#[derive(Clone, Copy)]
pub struct Narrowing<'a> {
    rate: u32,
    family: u64,
    networks: List<'a>,
    resources: List<'a>,
    models: List<'a>,
}

/// How many requests a minute a key and its kin may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute.
    pub per_minute: NonZeroU32,
    /// Keys with the same family share the rate: a key and its successors (IAM K8).
    pub family: KeyId,
}

/// Which resources are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourcePattern<'a> {
    /// Their type.
    pub resource: ResourceType,
    /// How the text is compared.
    pub matching: Matching,
    /// An id, or what ids begin with.
    pub text: ResourceId<'a>,
}

/// Which models are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelPattern<'a> {
    /// How the text is compared.
    pub matching: Matching,
    /// A name, or what names begin with.
    pub text: ModelName<'a>,
}

impl<'a> Narrowing<'a> {
    /// The rate, if one is set.
    pub fn rate(&self) -> Option<Rate> {
        let per_minute = NonZeroU32::new(self.rate)?;
        Some(Rate { per_minute, family: KeyId::from_number(self.family) })
    }

    /// Whether clients outside some networks are refused, so that an unknown client address is refused too.
    pub const fn narrows_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether requests for resources outside some patterns are refused.
    pub const fn narrows_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    /// Whether requests for models outside some patterns are refused.
    pub const fn narrows_models(&self) -> bool {
        !self.models.is_empty()
    }

    /// Whether a client with this address may use the key.
    pub fn allows_address(&self, client: IpAddr) -> bool {
        !self.narrows_networks() || self.networks().any(|network| network.contains(client))
    }

    /// Whether the key may be used on the resource.
    pub fn allows_resource(&self, resource: ResourceType, id: &str) -> bool {
        let meant = |pattern: ResourcePattern<'_>| {
            pattern.resource == resource && pattern.matching.matches(pattern.text.as_str(), id)
        };
        !self.narrows_resources() || self.resources().any(meant)
    }

    /// Whether the key may be used on the model.
    pub fn allows_model(&self, name: &str) -> bool {
        let meant = |pattern: ModelPattern<'_>| pattern.matching.matches(pattern.text.as_str(), name);
        !self.narrows_models() || self.models().any(meant)
    }

    /// The networks, ascending.
    pub fn networks(&self) -> impl Iterator<Item = Network> + use<'a> {
        let mut rest = self.networks.items;
        core::iter::from_fn(move || next_network(&mut rest))
    }

    /// The resource patterns, ascending.
    pub fn resources(&self) -> impl Iterator<Item = ResourcePattern<'a>> + use<'a> {
        let mut rest = self.resources.items;
        core::iter::from_fn(move || next_resource(&mut rest))
    }

    /// The model patterns, ascending.
    pub fn models(&self) -> impl Iterator<Item = ModelPattern<'a>> + use<'a> {
        let mut rest = self.models.items;
        core::iter::from_fn(move || next_model(&mut rest))
    }

    /// What [`check`] has let in. Of anything else, nothing is allowed.
    pub(crate) fn open(entry: &'a [u8]) -> Self {
        Self::split(entry).unwrap_or(Self::CLOSED)
    }

    fn split(entry: &'a [u8]) -> Option<Self> {
        let mut rest = entry;
        Some(Self {
            rate: u32::from_le_bytes(take(&mut rest)?),
            family: u64::from_le_bytes(take(&mut rest)?),
            networks: List::split(&mut rest, |rest| next_network(rest).is_some())?,
            resources: List::split(&mut rest, |rest| take::<2>(rest).is_some() && next_text(rest).is_some())?,
            models: List::split(&mut rest, |rest| take::<1>(rest).is_some() && next_text(rest).is_some())?,
        })
    }

    /// Lists that promise something and hold nothing: every question is answered with no.
    const CLOSED: Self = Self {
        rate: 0,
        family: 0,
        networks: List { count: 1, items: &[] },
        resources: List { count: 1, items: &[] },
        models: List { count: 1, items: &[] },
    };
}

impl fmt::Debug for Narrowing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [self.networks.count, self.resources.count, self.models.count];
        f.debug_struct("Narrowing").field("rate", &self.rate()).field("counts", &counts).finish()
    }
}

/// A list of items behind one another.
#[derive(Clone, Copy)]
struct List<'a> {
    count: u8,
    items: &'a [u8],
}

impl<'a> List<'a> {
    const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The list at the beginning of `rest`, which begins behind it afterwards.
    fn split(rest: &mut &'a [u8], skip: impl Fn(&mut &'a [u8]) -> bool) -> Option<Self> {
        let [count] = take(rest)?;
        let items = *rest;
        for _ in 0..count {
            skip(rest).then_some(())?;
        }
        Some(Self { count, items: items.get(..items.len() - rest.len())? })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

fn next_network(rest: &mut &[u8]) -> Option<Network> {
    let [prefix_len, version] = take(rest)?;
    let address = match version {
        4 => IpAddr::from(take::<4>(rest)?),
        6 => IpAddr::from(take::<16>(rest)?),
        _ => return None,
    };
    Network::new(address, prefix_len).ok()
}

fn next_resource<'a>(rest: &mut &'a [u8]) -> Option<ResourcePattern<'a>> {
    let [resource, matching] = take(rest)?;
    Some(ResourcePattern {
        resource: ResourceType::from_byte(resource)?,
        matching: Matching::from_byte(matching)?,
        text: ResourceId::parse(next_text(rest)?).ok()?,
    })
}

fn next_model<'a>(rest: &mut &'a [u8]) -> Option<ModelPattern<'a>> {
    let [matching] = take(rest)?;
    let matching = Matching::from_byte(matching)?;
    Some(ModelPattern { matching, text: ModelName::parse(next_text(rest)?).ok()? })
}

fn next_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::from(u16::from_le_bytes(take(rest)?));
    let (text, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    core::str::from_utf8(text).ok()
}

/// Checks an entry wholly: the cursor stands before it and ends with it.
pub(crate) fn check(mut cursor: Cursor<'_>) -> Result<(), ParseError> {
    let start = cursor.clone();
    let rate = cursor.u32("narrowing rate")?;
    let before = cursor.clone();
    let family = cursor.u64("narrowing family")?;
    before.ensure("narrowing family", (rate == 0) == (family == 0), Fault::OutOfRange)?;
    let networks = ["narrowing network count", "narrowing network"];
    let networks = check_list(&mut cursor, networks, NETWORKS_MAX, read_network)?;
    let resources = ["narrowing resource count", "narrowing resource"];
    let resources = check_list(&mut cursor, resources, RESOURCES_MAX, read_resource)?;
    let models = ["narrowing model count", "narrowing model"];
    let models = check_list(&mut cursor, models, MODELS_MAX, read_model)?;
    cursor.finish_as("narrowing")?;
    start.ensure("narrowing", rate != 0 || networks + resources + models > 0, Fault::NotCanonical)
}

/// Checks a list and counts it. The two names are those of its count and of an item.
fn check_list<'a, T: PartialOrd>(
    cursor: &mut Cursor<'a>,
    [count_field, field]: [&'static str; 2],
    max: usize,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, ParseError>,
) -> Result<usize, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8(count_field)?);
    before.ensure(count_field, count <= max, Fault::OutOfRange)?;
    let mut last = None;
    for _ in 0..count {
        let before = cursor.clone();
        let item = read(cursor)?;
        before.ensure(field, last.is_none_or(|last| last < item), Fault::NotAscending)?;
        last = Some(item);
    }
    Ok(count)
}

fn read_network(cursor: &mut Cursor<'_>) -> Result<Network, ParseError> {
    const FIELD: &str = "narrowing network";
    let before = cursor.clone();
    let [prefix_len, version] = cursor.array(FIELD)?;
    let address = match version {
        4 => IpAddr::from(cursor.array::<4>(FIELD)?),
        6 => IpAddr::from(cursor.array::<16>(FIELD)?),
        _ => return Err(before.fault(FIELD, Fault::OutOfRange)),
    };
    Network::new(address, prefix_len).map_err(|_| before.fault(FIELD, Fault::OutOfRange))
}

fn read_resource<'a>(cursor: &mut Cursor<'a>) -> Result<ResourcePattern<'a>, ParseError> {
    const FIELD: &str = "narrowing resource";
    let before = cursor.clone();
    let resource = ResourceType::from_byte(cursor.u8(FIELD)?);
    let resource = resource.ok_or_else(|| before.fault(FIELD, Fault::OutOfRange))?;
    let matching = read_matching(cursor, FIELD)?;
    let text = ResourceId::parse(cursor.text(FIELD, 1, ID_LEN_MAX)?);
    let text = text.map_err(|_| before.fault(FIELD, Fault::OutOfRange))?;
    Ok(ResourcePattern { resource, matching, text })
}

fn read_model<'a>(cursor: &mut Cursor<'a>) -> Result<ModelPattern<'a>, ParseError> {
    const FIELD: &str = "narrowing model";
    let before = cursor.clone();
    let matching = read_matching(cursor, FIELD)?;
    let text = ModelName::parse(cursor.text(FIELD, 1, MODEL_LEN_MAX)?);
    Ok(ModelPattern { matching, text: text.map_err(|_| before.fault(FIELD, Fault::OutOfRange))? })
}

fn read_matching(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Matching, ParseError> {
    let before = cursor.clone();
    Matching::from_byte(cursor.u8(field)?).ok_or_else(|| before.fault(field, Fault::OutOfRange))
}
