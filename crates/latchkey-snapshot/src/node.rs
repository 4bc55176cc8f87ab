//! An index node: up to 256 pages of one kind, each with its first place, length, count and digest.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKN2` |
//! | 4 | 1 | kind |
//! | 5 | 2 | page count, 1 to 256 |
//! | 7 | 48 each | first place 8, length 4, record count 4, digest 32; ascending by first place |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::head::read_reference;
use crate::names::NAMES_LEN_MAX;
use crate::object::{ObjectError, ObjectRef};
use crate::page::PAGE_LEN_MAX;
use crate::query::Kind;
use alloc::vec::Vec;

/// Pages a node may name at most.
pub const NODE_PAGES_MAX: usize = 256;
/// Bytes a node may have at most.
pub const NODE_LEN_MAX: usize = 7 + 48 * NODE_PAGES_MAX;
pub(crate) const MAGIC: &[u8; 4] = b"LKN2";

/// A verified index node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    kind: Kind,
    pages: Vec<PageRef>,
}

/// A page as a node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRef {
    /// Records whose place is at or above this, and below the next page's, are in this page.
    pub first_place: u64,
    /// Records in it.
    pub records: u32,
    /// The page itself.
    pub object: ObjectRef,
}

impl Node {
    /// Reads the node that `reference` names.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(kind: Kind, reference: &ObjectRef, bytes: &[u8]) -> Result<Self, ObjectError> {
        Ok(Self::read(kind, reference.admit(bytes)?)?)
    }

    /// What its pages are about.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its pages, ascending by first place; never empty.
    pub fn pages(&self) -> &[PageRef] {
        &self.pages
    }

    fn read(kind: Kind, bytes: &[u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("node", MAGIC, bytes)?;
        let before = cursor.clone();
        let same = cursor.u8("kind")? == kind as u8;
        before.ensure("kind", same, Fault::OutOfRange)?;
        let before = cursor.clone();
        let count = usize::from(cursor.u16("page count")?);
        before.ensure("page count", (1..=NODE_PAGES_MAX).contains(&count), Fault::OutOfRange)?;
        let mut pages: Vec<PageRef> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = cursor.clone();
            let first_place = cursor.u64("first place")?;
            let ascending = pages.last().is_none_or(|last| last.first_place < first_place);
            before.ensure("first place", ascending, Fault::NotAscending)?;
            pages.push(read_page(&mut cursor, kind, first_place)?);
        }
        cursor.finish()?;
        Ok(Self { kind, pages })
    }
}

fn read_page(cursor: &mut Cursor<'_>, kind: Kind, first_place: u64) -> Result<PageRef, ParseError> {
    let length = cursor.clone();
    let len_bytes = cursor.u32("page length")?;
    let len_max = if kind.is_names() { NAMES_LEN_MAX } else { PAGE_LEN_MAX };
    length.ensure("page length", (1..=len_max).contains(&(len_bytes as usize)), Fault::OutOfRange)?;
    let before = cursor.clone();
    let records = cursor.u32("record count")?;
    before.ensure("record count", records > 0, Fault::OutOfRange)?;
    let digest = crate::object::ObjectDigest(cursor.array("page digest")?);
    Ok(PageRef { first_place, records, object: ObjectRef::named(digest, len_bytes) })
}

/// A node as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRef {
    /// The first place of its first page.
    pub first_place: u64,
    /// The node itself.
    pub object: ObjectRef,
}

impl NodeRef {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let first_place = cursor.u64("node first place")?;
        Ok(Self { first_place, object: read_reference(cursor, "node", NODE_LEN_MAX)? })
    }
}
