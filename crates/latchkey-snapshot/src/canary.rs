//! Canaries: look-ups of which the manifest says what comes out, so that an edge notices a wrong snapshot before it
//! serves it.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind |
//! | 1 | 8 | place |
//! | 9 | 4 | bucket hash |
//! | 13 | 10 | tag |
//! | 23 | 1 | found: 0 or 1; if 0, all that follows is zero |
//! | 24 | 4 | project |
//! | 28 | 4 | organization |
//! | 32 | 1 | role; 0 for none |
//! | 33 | 1 | state |
//! | 34 | 16 | permission set |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::page::{Binding, Entry, KeyState};
use crate::query::{Kind, Query, TAG_LEN};
use alloc::vec::Vec;
use latchkey_core::{OrganizationNumber, PermissionSet, ProjectNumber, Role};

/// Canaries a manifest may name at most.
pub const CANARIES_MAX: usize = 16;
/// Bytes of a canary.
pub const CANARY_LEN: usize = 50;

/// A look-up and what must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// What is looked up.
    pub query: Query,
    /// What must be found; `None`: nothing.
    pub expected: Option<Expected>,
}

/// What must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whose it is and what it may do.
    pub binding: Binding,
    /// Whether it is in force.
    pub state: KeyState,
}

impl Canary {
    /// Whether what was found is what must be.
    pub fn holds(&self, found: Option<&Entry>) -> bool {
        let found = found.map(|entry| Expected { binding: entry.binding, state: entry.state });
        found == self.expected
    }

    /// What canaries ascend by.
    pub(crate) const fn key(&self) -> (Kind, [u8; TAG_LEN]) {
        (self.query.kind, self.query.tag)
    }

    pub(crate) fn read_list(cursor: &mut Cursor<'_>) -> Result<Vec<Self>, ParseError> {
        let before = cursor.clone();
        let count = usize::from(cursor.u8("canary count")?);
        before.ensure("canary count", count <= CANARIES_MAX, Fault::OutOfRange)?;
        let mut list: Vec<Self> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = cursor.clone();
            let canary = Self::read(cursor)?;
            let ascending = list.last().is_none_or(|last| last.key() < canary.key());
            before.ensure("canaries", ascending, Fault::NotAscending)?;
            list.push(canary);
        }
        Ok(list)
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let before = cursor.clone();
        let kind = Kind::from_byte(cursor.u8("canary kind")?).filter(|kind| !kind.is_names());
        let kind = kind.ok_or_else(|| before.fault("canary kind", Fault::OutOfRange))?;
        let place = cursor.u64("canary place")?;
        let bucket = cursor.u32("canary bucket hash")?;
        let tag = cursor.array("canary tag")?;
        let query = Query { kind, place, bucket, tag };
        let before = cursor.clone();
        let found = cursor.u8("canary found")?;
        before.ensure("canary found", found <= 1, Fault::OutOfRange)?;
        let before = cursor.clone();
        if found == 0 {
            let rest = cursor.array::<26>("canary expected")?;
            before.ensure("canary expected", rest == [0; 26], Fault::NotCanonical)?;
            return Ok(Self { query, expected: None });
        }
        Ok(Self { query, expected: Some(read_expected(cursor, kind)?) })
    }
}

/// What a record of the kind can say; what none can would keep a snapshot from ever being served.
fn read_expected(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Expected, ParseError> {
    let start = cursor.clone();
    let project = ProjectNumber(cursor.u32("canary expected")?);
    let organization = OrganizationNumber(cursor.u32("canary expected")?);
    let wrong = || start.fault("canary expected", Fault::OutOfRange);
    let role = match cursor.u8("canary expected")? {
        0 => None,
        byte => Some(Role::from_byte(byte).ok_or_else(wrong)?),
    };
    let state = KeyState::from_byte(cursor.u8("canary expected")?).ok_or_else(wrong)?;
    let bits = u128::from_le_bytes(cursor.array("canary expected")?);
    let permissions = PermissionSet::from_bits(bits).ok_or_else(wrong)?;
    let ended = kind == Kind::EndedSession;
    let possible = role.is_some() == kind.has_role()
        && (kind.is_key() || (state == KeyState::Active && permissions == PermissionSet::EMPTY))
        && (project.0 == 0 || !(ended || kind == Kind::Membership))
        && (organization.0 == 0 || !ended);
    start.ensure("canary expected", possible, Fault::OutOfRange)?;
    Ok(Expected { binding: Binding { project, organization, role, permissions }, state })
}
