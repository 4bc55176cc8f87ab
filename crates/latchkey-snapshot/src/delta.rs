//! A delta: what changed since a base, or since the delta before it.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKD3` |
//! | 4 | 16 | installation |
//! | 20 | 8 | pepper id |
//! | 28 | 36 | base: the manifest's length and digest |
//! | 64 | 8 | from: the generation that it continues |
//! | 72 | 8 | generation: the newest change it knows |
//! | 80 | 36 | parent: the delta before it; zero for none |
//! | 116 | 1 | exceptions that begin, as in a manifest |
//! | – | 4 | removal count; then removals of 12: kind 1, reason 1, tag 10; ascending by kind, tag |
//! | – | 1 | exceptions that end, as in a manifest |
//! | – | 2 | page count; then pages: kind 1, first place 8, length 4, bytes; ascending by kind, first place |
//!
//! What refuses stands first and can be read alone ([`Removals`]): it applies even where the rest is held back.

use crate::cursor::{Cursor, Fault, ParseError};
use crate::exceptions::Exceptions;
use crate::head::{read_optional_reference, read_reference};
use crate::manifest::MANIFEST_LEN_MAX;
use crate::names::{NAMES_LEN_MAX, Names, OrganizationNames, ProjectNames};
use crate::object::{ObjectError, ObjectRef};
use crate::page::{Entry, KeyState, PAGE_LEN_MAX, Page};
use crate::query::{Kind, Query, TAG_LEN};
use crate::root::Installation;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use latchkey_core::{Generation, OrganizationNumber, ProjectNumber};

/// Bytes a delta may have at most.
pub const DELTA_LEN_MAX: usize = 1 << 20;
/// Deltas from a base to a tip at most.
pub const CHAIN_MAX: usize = 4;
/// Bytes of a removal.
pub const REMOVAL_LEN: usize = 12;
pub(crate) const MAGIC: &[u8; 4] = b"LKD3";

/// The part of a delta that only refuses, and where the delta belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removals {
    /// The installation it belongs to.
    pub installation: Installation,
    /// Which pepper its tags are under.
    pub pepper_id: [u8; 8],
    /// The manifest that the chain stands on.
    pub base: ObjectRef,
    /// The generation that it continues: its parent's, or the base's.
    pub from: Generation,
    /// The newest change it knows.
    pub generation: Generation,
    /// The delta before it; `None` if it continues the base itself.
    pub parent: Option<ObjectRef>,
    /// Organizations and projects that are refused as a whole from now on.
    pub begun: Exceptions,
    list: Box<[Removal]>,
}

/// A record that is refused from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// What it is about.
    pub kind: Kind,
    /// Its tag.
    pub tag: [u8; TAG_LEN],
    /// What became of it.
    pub reason: RemovalReason,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RemovalReason {
    /// It is no more, and nothing is said of it.
    Gone = 0,
    /// A key that is out of force for good; its record is in the delta.
    Revoked = 2,
    /// A key that is out of force for now; its record is in the delta.
    Disabled = 3,
}

/// A verified delta.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Where it belongs, and what it refuses.
    pub removals: Removals,
    /// Organizations and projects that are no longer refused as a whole.
    pub lifted: Exceptions,
    pages: Vec<(u64, Page)>,
    names: Vec<Names>,
    len_bytes: usize,
}

/// What a delta says of a thing.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Nothing: whatever came before it knows.
    Unknown,
    /// It is no more.
    Gone,
    /// It is this.
    Here(&'a Page, Entry),
}

impl Removals {
    /// Reads where a delta belongs and what it refuses. What follows in the bytes is not looked at.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(reference: &ObjectRef, bytes: &[u8]) -> Result<Self, ObjectError> {
        let mut cursor = open(reference.admit(bytes)?)?;
        Ok(Self::read(&mut cursor)?)
    }

    /// What becomes of the record with this tag, if it is refused.
    pub fn find(&self, kind: Kind, tag: &[u8; TAG_LEN]) -> Option<RemovalReason> {
        self.list.get(self.index(kind, tag)?).map(|removal| removal.reason)
    }

    fn index(&self, kind: Kind, tag: &[u8; TAG_LEN]) -> Option<usize> {
        self.list.binary_search_by_key(&(kind, tag), |removal| (removal.kind, &removal.tag)).ok()
    }

    /// Every removal, ascending by kind, then tag.
    pub const fn list(&self) -> &[Removal] {
        &self.list
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let installation = Installation(cursor.array("installation")?);
        let pepper_id = cursor.array("pepper id")?;
        let base = read_reference(cursor, "base", MANIFEST_LEN_MAX)?;
        let from = Generation(cursor.u64("from")?);
        let before = cursor.clone();
        let generation = Generation(cursor.u64("generation")?);
        before.ensure("generation", generation > from, Fault::OutOfRange)?;
        let parent = read_optional_reference(cursor, "parent", DELTA_LEN_MAX)?;
        let begun = Exceptions::read(cursor)?;
        let list = read_removals(cursor)?;
        Ok(Self { installation, pepper_id, base, from, generation, parent, begun, list })
    }
}

impl Delta {
    /// Reads the delta that `reference` names: every byte is checked now, so that no look-up has to.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(reference: &ObjectRef, bytes: &[u8]) -> Result<Self, ObjectError> {
        Ok(Self::read(reference.admit(bytes)?)?)
    }

    /// What it says of the thing that `query` names.
    pub fn find(&self, query: &Query) -> Found<'_> {
        let removed = self.removals.find(query.kind, &query.tag);
        if removed == Some(RemovalReason::Gone) {
            return Found::Gone;
        }
        let at =
            self.pages.partition_point(|(first, page)| (page.kind(), *first) <= (query.kind, query.place));
        let page = at.checked_sub(1).and_then(|at| self.pages.get(at));
        let page = page.filter(|(_, page)| page.kind() == query.kind);
        match page.and_then(|(_, page)| page.find(query).map(|entry| (page, entry))) {
            Some((page, entry)) => Found::Here(page, entry),
            // A record that lies elsewhere than the query leads: what came before it must not let the key in.
            None if removed.is_some() => Found::Gone,
            None => Found::Unknown,
        }
    }

    /// The names of a project, if it says them anew.
    pub fn project_names(&self, number: ProjectNumber) -> Option<&ProjectNames> {
        self.names.iter().find_map(|names| names.project(number))
    }

    /// The names of an organization, if it says them anew.
    pub fn organization_names(&self, number: OrganizationNumber) -> Option<&OrganizationNames> {
        self.names.iter().find_map(|names| names.organization(number))
    }

    /// Its pages of records with their first places, ascending by kind, then first place.
    pub fn pages(&self) -> &[(u64, Page)] {
        &self.pages
    }

    /// Its pages of names.
    pub fn names(&self) -> &[Names] {
        &self.names
    }

    /// Bytes it takes.
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut cursor = open(bytes)?;
        let removals = Removals::read(&mut cursor)?;
        let before = cursor.clone();
        let lifted = Exceptions::read(&mut cursor)?;
        before.ensure("exceptions", removals.begun.is_disjoint(&lifted), Fault::NotCanonical)?;
        let (pages, names) = read_pages(&mut cursor)?;
        check_removed(&before, &removals, &pages)?;
        cursor.finish()?;
        Ok(Self { removals, lifted, pages, names, len_bytes: bytes.len() })
    }
}

fn open(bytes: &[u8]) -> Result<Cursor<'_>, ParseError> {
    let cursor = Cursor::open("delta", MAGIC, bytes)?;
    cursor.ensure("end", bytes.len() <= DELTA_LEN_MAX, Fault::OutOfRange)?;
    Ok(cursor)
}

fn read_removals(cursor: &mut Cursor<'_>) -> Result<Box<[Removal]>, ParseError> {
    let count = cursor.u32("removal count")? as usize;
    // Taken before anything is allocated: a count that promises more than there is ends here.
    let mut part = cursor.part("removals", count.saturating_mul(REMOVAL_LEN))?;
    let mut list: Vec<Removal> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = part.clone();
        let removal = read_removal(&mut part)?;
        let key = |removal: &Removal| (removal.kind, removal.tag);
        let ascending = list.last().is_none_or(|last| key(last) < key(&removal));
        before.ensure("removals", ascending, Fault::NotAscending)?;
        list.push(removal);
    }
    Ok(list.into())
}

fn read_removal(cursor: &mut Cursor<'_>) -> Result<Removal, ParseError> {
    let before = cursor.clone();
    let kind = Kind::from_byte(cursor.u8("removal kind")?).filter(|kind| !kind.is_names());
    let kind = kind.ok_or_else(|| before.fault("removal kind", Fault::OutOfRange))?;
    let before = cursor.clone();
    let reason = RemovalReason::from_byte(cursor.u8("removal reason")?);
    let reason = reason.filter(|reason| kind.is_key() || *reason == RemovalReason::Gone);
    let reason = reason.ok_or_else(|| before.fault("removal reason", Fault::OutOfRange))?;
    Ok(Removal { kind, tag: cursor.array("removal tag")?, reason })
}

type Pages = (Vec<(u64, Page)>, Vec<Names>);

fn read_pages(cursor: &mut Cursor<'_>) -> Result<Pages, ParseError> {
    let (mut pages, mut names) = (Vec::new(), Vec::new());
    let (mut last, mut last_name) = (None, None);
    for _ in 0..cursor.u16("page count")? {
        let before = cursor.clone();
        let kind = Kind::from_byte(cursor.u8("page kind")?);
        let kind = kind.ok_or_else(|| before.fault("page kind", Fault::OutOfRange))?;
        let first_place = cursor.u64("page first place")?;
        before.ensure("pages", last.is_none_or(|last| last < (kind, first_place)), Fault::NotAscending)?;
        last = Some((kind, first_place));
        let before = cursor.clone();
        let len = cursor.u32("page length")? as usize;
        let len_max = if kind.is_names() { NAMES_LEN_MAX } else { PAGE_LEN_MAX };
        before.ensure("page length", (1..=len_max).contains(&len), Fault::OutOfRange)?;
        let inside = cursor.clone();
        let bytes = cursor.take("page", len)?;
        if kind.is_names() {
            let page = Names::read(kind, bytes)?;
            let (first, last) = page.places();
            let above = last_name.is_none_or(|last| last < (kind, first_place));
            inside.ensure("page", above && first_place <= first, Fault::NotCanonical)?;
            last_name = Some((kind, last));
            names.push(page);
        } else {
            pages.push((first_place, Page::read(kind, bytes.into())?));
        }
    }
    Ok((pages, names))
}

/// What is gone is in no page, and a key's record is out of force exactly where a removal says so.
fn check_removed(at: &Cursor<'_>, removals: &Removals, pages: &[(u64, Page)]) -> Result<(), ParseError> {
    // Each removal is told once: two pages that name one key would hide that no page names another.
    let mut told = vec![false; removals.list.len()];
    for (_, page) in pages {
        for (tag, entry) in page.entries() {
            let index = removals.index(page.kind(), tag);
            let said = index.and_then(|index| removals.list.get(index));
            let agrees = said.map(|removal| removal.reason) == RemovalReason::of(entry.state);
            let first =
                index.and_then(|index| told.get_mut(index)).is_none_or(|told| !mem::replace(told, true));
            at.ensure("removals", agrees && first, Fault::NotCanonical)?;
        }
    }
    let told_of = |(removal, told): (&Removal, bool)| told == (removal.reason != RemovalReason::Gone);
    at.ensure("removals", removals.list.iter().zip(told).all(told_of), Fault::NotCanonical)
}

impl RemovalReason {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Gone, Self::Revoked, Self::Disabled].into_iter().find(|reason| *reason as u8 == byte)
    }

    /// What is said of a record in this state that is there.
    pub(crate) const fn of(state: KeyState) -> Option<Self> {
        match state {
            KeyState::Active => None,
            KeyState::Disabled => Some(Self::Disabled),
            KeyState::Revoked => Some(Self::Revoked),
        }
    }
}
