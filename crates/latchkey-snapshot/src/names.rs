//! Pages of names, loaded for `whoami` and for what an origin is told; no verdict needs them.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKT1` |
//! | 4 | 1 | kind: project names or organization names |
//! | 5 | 4 | count |
//! | 9 | – | entries, ascending by number |
//!
//! A project's entry: number 4, organization number 4, id 16, slug 2 + n, name 2 + n. An organization's: number
//! 4, id 16, name 2 + n.

use crate::cursor::{Cursor, Fault, ParseError};
use crate::object::{ObjectError, ObjectRef};
use crate::query::{Kind, Query};
use alloc::boxed::Box;
use alloc::vec::Vec;
use latchkey_core::{OrganizationId, OrganizationNumber, ProjectId, ProjectNumber, Slug};

/// Bytes a name may have at most.
pub const NAME_LEN_MAX: usize = 200;
/// Entries a page of names may have at most.
pub const NAMES_MAX: usize = 512;
/// Bytes a page of names may have at most: a project's entry is the longer one.
pub const NAMES_LEN_MAX: usize =
    HEADER_LEN + NAMES_MAX * (PROJECT_LEN + latchkey_core::slug::LEN_MAX + NAME_LEN_MAX);
/// Bytes before the entries.
pub(crate) const HEADER_LEN: usize = 9;
/// Bytes of a project's entry besides its slug and its name.
pub(crate) const PROJECT_LEN: usize = 4 + 4 + 16 + 2 + 2;
/// Bytes of an organization's entry besides its name.
#[cfg(feature = "build")]
pub(crate) const ORGANIZATION_LEN: usize = 4 + 16 + 2;
pub(crate) const MAGIC: &[u8; 4] = b"LKT1";

/// A verified page of names.
#[derive(Clone, Debug)]
pub enum Names {
    /// Of projects, ascending by number.
    Projects(Vec<ProjectNames>),
    /// Of organizations, ascending by number.
    Organizations(Vec<OrganizationNames>),
}

/// What a project is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectNames {
    /// Its number.
    pub number: ProjectNumber,
    /// The organization it belongs to.
    pub organization: OrganizationNumber,
    /// Its permanent id.
    pub id: ProjectId,
    /// Its slug.
    pub slug: Slug,
    /// Its name.
    pub name: Box<str>,
}

/// What an organization is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationNames {
    /// Its number.
    pub number: OrganizationNumber,
    /// Its permanent id.
    pub id: OrganizationId,
    /// Its name.
    pub name: Box<str>,
}

impl Names {
    /// Reads the page of names that `reference` names.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(kind: Kind, reference: &ObjectRef, bytes: &[u8]) -> Result<Self, ObjectError> {
        Ok(Self::read(kind, reference.admit(bytes)?)?)
    }

    /// The names of a project, if this page has them.
    pub fn project(&self, number: ProjectNumber) -> Option<&ProjectNames> {
        let Self::Projects(list) = self else { return None };
        list.binary_search_by_key(&number, |names| names.number).ok().and_then(|at| list.get(at))
    }

    /// The names of an organization, if this page has them.
    pub fn organization(&self, number: OrganizationNumber) -> Option<&OrganizationNames> {
        let Self::Organizations(list) = self else { return None };
        list.binary_search_by_key(&number, |names| names.number).ok().and_then(|at| list.get(at))
    }

    /// The places of its first and of its last entry.
    pub(crate) fn places(&self) -> (u64, u64) {
        fn ends<T>(list: &[T], number: impl Fn(&T) -> u32) -> (u64, u64) {
            let place = |entry: Option<&T>| entry.map_or(0, |entry| Query::names_place(number(entry)));
            (place(list.first()), place(list.last()))
        }
        match self {
            Self::Projects(list) => ends(list, |names| names.number.0),
            Self::Organizations(list) => ends(list, |names| names.number.0),
        }
    }

    pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("names", MAGIC, bytes)?;
        let before = cursor.clone();
        let same = cursor.u8("kind")? == kind as u8 && kind.is_names();
        before.ensure("kind", same, Fault::OutOfRange)?;
        let before = cursor.clone();
        let count = cursor.u32("count")? as usize;
        before.ensure("count", (1..=NAMES_MAX).contains(&count), Fault::OutOfRange)?;
        let names = if kind == Kind::ProjectNames {
            Self::Projects(read_list(&mut cursor, count, read_project, |names| names.number.0)?)
        } else {
            Self::Organizations(read_list(&mut cursor, count, read_organization, |names| names.number.0)?)
        };
        cursor.finish()?;
        Ok(names)
    }
}

fn read_list<T>(
    cursor: &mut Cursor<'_>,
    count: usize,
    read: impl Fn(&mut Cursor<'_>) -> Result<T, ParseError>,
    number: impl Fn(&T) -> u32,
) -> Result<Vec<T>, ParseError> {
    let mut list: Vec<T> = Vec::new();
    for _ in 0..count {
        let before = cursor.clone();
        let entry = read(cursor)?;
        let ascending = list.last().is_none_or(|last| number(last) < number(&entry));
        before.ensure("number", ascending, Fault::NotAscending)?;
        list.push(entry);
    }
    Ok(list)
}

pub(crate) fn read_project(cursor: &mut Cursor<'_>) -> Result<ProjectNames, ParseError> {
    let number = ProjectNumber(cursor.u32("number")?);
    let organization = OrganizationNumber(cursor.u32("organization number")?);
    let before = cursor.clone();
    let id = ProjectId::from_body(cursor.array("id")?);
    let id = id.ok_or_else(|| before.fault("id", Fault::OutOfRange))?;
    let before = cursor.clone();
    let slug = Slug::parse(cursor.text("slug", 0, latchkey_core::slug::LEN_MAX)?);
    let slug = slug.map_err(|_| before.fault("slug", Fault::OutOfRange))?;
    Ok(ProjectNames { number, organization, id, slug, name: read_name(cursor)? })
}

pub(crate) fn read_organization(cursor: &mut Cursor<'_>) -> Result<OrganizationNames, ParseError> {
    let number = OrganizationNumber(cursor.u32("number")?);
    let before = cursor.clone();
    let id = OrganizationId::from_body(cursor.array("id")?);
    let id = id.ok_or_else(|| before.fault("id", Fault::OutOfRange))?;
    Ok(OrganizationNames { number, id, name: read_name(cursor)? })
}

fn read_name(cursor: &mut Cursor<'_>) -> Result<Box<str>, ParseError> {
    let before = cursor.clone();
    let name = cursor.text("name", 1, NAME_LEN_MAX)?;
    let printable = !name.chars().any(char::is_control);
    before.ensure("name", printable, Fault::OutOfRange)?;
    Ok(name.into())
}
