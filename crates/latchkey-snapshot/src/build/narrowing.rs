//! A key's narrowing as it is written: one form for what it means, whatever the order it was given in.

use super::encode::{BuildError, Bytes, count};
use crate::cursor::Cursor;
use crate::narrowing::{self, ModelPattern, Rate, ResourcePattern};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use latchkey_core::Network;
use latchkey_core::narrowing::{MODELS_MAX, NETWORKS_MAX, RESOURCES_MAX};

/// What a key is narrowed to besides its permissions. A list that is empty narrows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NarrowingContent<'a> {
    /// How many requests a minute it may make.
    pub rate: Option<Rate>,
    /// Where its clients must be, in any order.
    pub networks: &'a [Network],
    /// Which resources it may be used on, in any order.
    pub resources: &'a [ResourcePattern<'a>],
    /// Which models it may be used on, in any order.
    pub models: &'a [ModelPattern<'a>],
}

/// An entry of a page's narrowing table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Narrowing(Box<[u8]>);

impl NarrowingContent<'_> {
    /// The narrowing with this content; `None` if it narrows nothing.
    ///
    /// # Errors
    /// [`BuildError`], when a list is longer than the format allows or the rate's family is the number 0.
    pub fn encode(&self) -> Result<Option<Narrowing>, BuildError> {
        let empty = self.networks.is_empty() && self.resources.is_empty() && self.models.is_empty();
        if self.rate.is_none() && empty {
            return Ok(None);
        }
        let mut bytes = Bytes::default();
        bytes.put(self.rate.map_or(0, |rate| rate.per_minute.get()).to_le_bytes());
        bytes.put(self.rate.map_or(0, |rate| rate.family.number()).to_le_bytes());
        list(&mut bytes, "networks of a key", self.networks, NETWORKS_MAX, put_network)?;
        list(&mut bytes, "resources of a key", self.resources, RESOURCES_MAX, put_resource)?;
        list(&mut bytes, "models of a key", self.models, MODELS_MAX, put_model)?;
        narrowing::check(Cursor::inside("page", &bytes.0)).map_err(BuildError::Unreadable)?;
        Ok(Some(Narrowing(bytes.0.into())))
    }
}

impl Narrowing {
    /// Its bytes as they stand in a page, without their length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes it takes in a page, its length included.
    pub(super) fn len_in_page(&self) -> usize {
        2 + self.0.len()
    }
}

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        narrowing::Narrowing::open(&self.0).fmt(f)
    }
}

/// Writes the items once each and ascending, behind their count.
fn list<T: Ord + Copy>(
    bytes: &mut Bytes,
    what: &'static str,
    items: &[T],
    max: usize,
    put: fn(&mut Bytes, T) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut items: Vec<T> = items.to_vec();
    items.sort_unstable();
    items.dedup();
    bytes.put(count::<u8>(what, items.len(), max)?.to_le_bytes());
    items.into_iter().try_for_each(|item| put(bytes, item))
}

fn put_network(bytes: &mut Bytes, network: Network) -> Result<(), BuildError> {
    match network.address() {
        IpAddr::V4(address) => {
            bytes.put([network.prefix_len(), 4]);
            bytes.put(address.octets());
        }
        IpAddr::V6(address) => {
            bytes.put([network.prefix_len(), 6]);
            bytes.put(address.octets());
        }
    }
    Ok(())
}

fn put_resource(bytes: &mut Bytes, pattern: ResourcePattern<'_>) -> Result<(), BuildError> {
    bytes.put([pattern.resource as u8, pattern.matching as u8]);
    bytes.text(pattern.text.as_str())
}

fn put_model(bytes: &mut Bytes, pattern: ModelPattern<'_>) -> Result<(), BuildError> {
    bytes.put([pattern.matching as u8]);
    bytes.text(pattern.text.as_str())
}
