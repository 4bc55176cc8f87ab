//! Rows: records as bytes, between sorting and cutting. They never leave the process that made them.
//!
//! | bytes | field of a record |
//! |---|---|
//! | 8 | place |
//! | 1 | number of the sorter |
//! | 4, 10 | bucket, tag |
//! | 1, 1 | role, flags and whether there is an expiry |
//! | 4, 4, 4 | project, organization, expiry |
//! | 4, 4 | permission set and narrowing, as the sorter numbers them |
//! | 8 | of imported keys: the id |
//!
//! A row of names: length 2, then the entry as its page will have it.

use super::Cutter;
use crate::build::Object;
use crate::build::encode::{self, BuildError, Bytes};
use crate::build::page;
use crate::build::slot::{ImportedSlot, Slot, names_fit};
use crate::build::trie::Item;
use crate::cursor::{Cursor, ParseError};
use crate::names::{self, NAMES_MAX, OrganizationNames, ProjectNames};
use crate::page::{KEY_ID_LEN, RECORDS_MAX};
use crate::query::{Kind, Query};
use alloc::vec::Vec;
use latchkey_core::KeyId;

const SLOT_LEN: usize = 8 + 1 + 4 + 10 + 1 + 1 + 4 + 4 + 4 + 4 + 4;
const NAMES_LEN_MIN: usize = 2 + 4 + 16;
/// Beside the flags of a record: there is an expiry.
const EXPIRES: u8 = 0b1000_0000;

/// What has rows.
pub(super) trait Rowed: Item + Clone {
    /// Puts the row at the end of `out`; its kind and place.
    fn write(&self, kind: Kind, sorter: u8, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError>;
    fn read(cutter: &Cutter, row: &[u8]) -> Result<Self, BuildError>;
    fn fit(cutter: &Cutter, items: &[Self]) -> bool;
    fn page(cutter: &Cutter, kind: Kind, items: &[Self]) -> Result<Object, BuildError>;
}

/// Rows that a page holds at most.
pub(super) const fn most(kind: Kind) -> usize {
    if kind.is_names() { NAMES_MAX } else { RECORDS_MAX }
}

/// Bytes of a row at least.
pub(super) const fn shortest(kind: Kind) -> usize {
    match kind {
        Kind::ImportedKey => SLOT_LEN + KEY_ID_LEN,
        Kind::ProjectNames | Kind::OrganizationNames => NAMES_LEN_MIN,
        _ => SLOT_LEN,
    }
}

/// Rows behind one another: each with its place.
pub(super) struct Rows<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Rows<'a> {
    pub(super) const fn of(kind: Kind, rows: &'a [u8]) -> Self {
        Self { kind, rest: rows }
    }

    fn next_row(&mut self) -> Option<(u64, &'a [u8])> {
        let is_names = self.kind.is_names();
        let len = match is_names {
            true => 2 + usize::from(u16::from_le_bytes(*self.rest.first_chunk()?)),
            false => shortest(self.kind),
        };
        let (row, rest) = self.rest.split_at_checked(len)?;
        let place = match is_names {
            true => Query::names_place(u32::from_le_bytes(*row.get(2..)?.first_chunk()?)),
            false => u64::from_le_bytes(*row.first_chunk()?),
        };
        self.rest = rest;
        Some((place, row))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<(u64, &'a [u8]), BuildError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.next_row().ok_or(BuildError::Lost("row")))
    }
}

impl Rowed for Slot {
    fn write(&self, kind: Kind, sorter: u8, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError> {
        let mut row = [0; SLOT_LEN];
        let flags = self.flags | if self.expiry.is_some() { EXPIRES } else { 0 };
        let parts: [&[u8]; 11] = [
            &self.place.to_le_bytes(),
            &[sorter],
            &self.bucket.to_le_bytes(),
            &self.tag,
            &[self.role],
            &[flags],
            &self.project.to_le_bytes(),
            &self.organization.to_le_bytes(),
            &self.expiry.unwrap_or(0).to_le_bytes(),
            &self.set.to_le_bytes(),
            &self.narrowing.to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            row[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out.extend_from_slice(&row);
        Ok((kind, self.place))
    }

    fn read(cutter: &Cutter, row: &[u8]) -> Result<Self, BuildError> {
        let mut slot = fields(row).map_err(BuildError::Unreadable)?;
        let sorter = usize::from(row[8]);
        slot.set = translate(&cutter.sets, sorter, slot.set)?;
        slot.narrowing = translate(&cutter.narrowings, sorter, slot.narrowing)?;
        Ok(slot)
    }

    fn fit(cutter: &Cutter, items: &[Self]) -> bool {
        cutter.shared.fit(items)
    }

    fn page(cutter: &Cutter, kind: Kind, items: &[Self]) -> Result<Object, BuildError> {
        page::page(kind, items, &cutter.shared)
    }
}

fn fields(row: &[u8]) -> Result<Slot, ParseError> {
    let mut cursor = Cursor::inside("row", row);
    let place = cursor.u64("place")?;
    cursor.u8("sorter")?;
    let (bucket, tag) = (cursor.u32("bucket")?, cursor.array("tag")?);
    let (role, flags) = (cursor.u8("role")?, cursor.u8("flags")?);
    let (project, organization) = (cursor.u32("project")?, cursor.u32("organization")?);
    let expiry = cursor.u32("expiry")?;
    let (set, narrowing) = (cursor.u32("set")?, cursor.u32("narrowing")?);
    let expiry = (flags & EXPIRES != 0).then_some(expiry);
    let flags = flags & !EXPIRES;
    Ok(Slot { place, bucket, tag, role, flags, project, organization, expiry, set, narrowing })
}

/// Our number for a sorter's. Nothing stays nothing; to lose something would widen a key.
fn translate(numbers: &[Vec<u32>], sorter: usize, number: u32) -> Result<u32, BuildError> {
    let Some(at) = (number as usize).checked_sub(1) else { return Ok(0) };
    let ours = numbers.get(sorter).and_then(|of_sorter| of_sorter.get(at)).copied();
    ours.filter(|ours| *ours != 0).ok_or(BuildError::Lost("shared value"))
}

impl Rowed for ImportedSlot {
    fn write(&self, kind: Kind, sorter: u8, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError> {
        let written = self.slot.write(kind, sorter, out);
        out.extend_from_slice(&self.id.number().to_le_bytes());
        written
    }

    fn read(cutter: &Cutter, row: &[u8]) -> Result<Self, BuildError> {
        let id = row.last_chunk().copied().map(u64::from_le_bytes).ok_or(BuildError::Lost("row"))?;
        Ok(Self { slot: Slot::read(cutter, row)?, id: KeyId::from_number(id) })
    }

    fn fit(cutter: &Cutter, items: &[Self]) -> bool {
        cutter.shared.fit(items)
    }

    fn page(cutter: &Cutter, kind: Kind, items: &[Self]) -> Result<Object, BuildError> {
        page::page(kind, items, &cutter.shared)
    }
}

impl Rowed for ProjectNames {
    fn write(&self, kind: Kind, _: u8, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError> {
        write_names(out, |bytes| encode::project_entry(bytes, self))?;
        Ok((kind, self.key().0))
    }

    fn read(_: &Cutter, row: &[u8]) -> Result<Self, BuildError> {
        names::read_project(&mut entry(row)).map_err(BuildError::Unreadable)
    }

    fn fit(_: &Cutter, items: &[Self]) -> bool {
        names_fit(items)
    }

    fn page(_: &Cutter, _: Kind, items: &[Self]) -> Result<Object, BuildError> {
        encode::project_names(items)
    }
}

impl Rowed for OrganizationNames {
    fn write(&self, kind: Kind, _: u8, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError> {
        write_names(out, |bytes| encode::organization_entry(bytes, self))?;
        Ok((kind, self.key().0))
    }

    fn read(_: &Cutter, row: &[u8]) -> Result<Self, BuildError> {
        names::read_organization(&mut entry(row)).map_err(BuildError::Unreadable)
    }

    fn fit(_: &Cutter, items: &[Self]) -> bool {
        names_fit(items)
    }

    fn page(_: &Cutter, _: Kind, items: &[Self]) -> Result<Object, BuildError> {
        encode::organization_names(items)
    }
}

fn write_names(
    out: &mut Vec<u8>,
    write: impl Fn(&mut Bytes) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut bytes = Bytes::default();
    write(&mut bytes)?;
    let len = u16::try_from(bytes.0.len()).map_err(|_| BuildError::TooLong("name"))?;
    out.extend_from_slice(&len.to_le_bytes());
    out.append(&mut bytes.0);
    Ok(())
}

fn entry(row: &[u8]) -> Cursor<'_> {
    Cursor::inside("row", row.get(2..).unwrap_or_default())
}
