//! Which pages in browsers may call through the edge: the manifest's part on cross-origin requests (the Fetch standard's
//! CORS protocol).
//!
//! | bytes | field |
//! |---|---|
//! | 1 | 0: no page may; 1: what follows |
//! | 1 | origin count, 1 to 64; then texts of 1 to 255 bytes, ascending; `*` alone stands for every origin |
//! | 1 | header count, at most 64; then texts of 1 to 64 of `a-z0-9-`, ascending |
//! | 1 | exposed header count, likewise |
//! | 4 | max age, seconds, at most 86,400 |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::rule::Rule;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// Origins at most.
pub const ORIGINS_MAX: usize = 64;
/// Bytes of an origin at most.
pub const ORIGIN_LEN_MAX: usize = 255;
/// Headers of either kind at most.
pub const HEADERS_MAX: usize = 64;
/// How long a browser may remember an answer at most: one day.
pub const MAX_AGE_SECS_MAX: u32 = 86_400;
/// In the place of an origin: every one.
pub const EVERY_ORIGIN: &str = "*";

/// Which pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Their origins, ascending, as browsers write them: `https://app.example.com`; or `*` alone.
    pub origins: Vec<String>,
    /// Request headers that they may set, ascending, in lower case.
    pub headers: Vec<String>,
    /// Response headers that they may read, ascending, in lower case.
    pub exposed: Vec<String>,
    /// How long a browser may remember the answer, in seconds.
    pub max_age_secs: u32,
}

impl Cors {
    /// Whether pages of this origin may call.
    pub fn allows(&self, origin: &str) -> bool {
        self.allows_every_origin() || self.origins.iter().any(|known| known == origin)
    }

    /// Whether pages of any origin may.
    pub fn allows_every_origin(&self) -> bool {
        self.origins.first().is_some_and(|origin| origin == EVERY_ORIGIN)
    }

    /// Whether the text is an origin as browsers write it: scheme, host in lower case, a port that is not the scheme's own.
    pub fn is_origin(text: &str) -> bool {
        let Some((scheme, authority)) = text.split_once("://") else { return false };
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']');
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return false,
        };
        text.len() <= ORIGIN_LEN_MAX
            && !authority.is_empty()
            && authority.bytes().all(plain)
            && !authority.ends_with(own_port)
            && !authority.ends_with(':')
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, ParseError> {
        let before = cursor.clone();
        match cursor.u8("cors")? {
            0 => return Ok(None),
            1 => {}
            _ => return Err(before.fault("cors", Fault::OutOfRange)),
        }
        let before = cursor.clone();
        let origins =
            read_list(cursor, "cors origin", ORIGIN_LEN_MAX, ORIGINS_MAX, Self::is_origin_or_every)?;
        let every = origins.iter().any(|origin| origin == EVERY_ORIGIN);
        before.ensure("cors origin", !origins.is_empty(), Fault::OutOfRange)?;
        before.ensure("cors origin", !every || origins.len() == 1, Fault::NotCanonical)?;
        let header_len_max = crate::rule::HEADER_LEN_MAX;
        let headers = read_list(cursor, "cors header", header_len_max, HEADERS_MAX, Rule::is_header)?;
        let exposed = read_list(cursor, "cors exposed header", header_len_max, HEADERS_MAX, Rule::is_header)?;
        let before = cursor.clone();
        let max_age_secs = cursor.u32("cors max age")?;
        before.ensure("cors max age", max_age_secs <= MAX_AGE_SECS_MAX, Fault::OutOfRange)?;
        Ok(Some(Self { origins, headers, exposed, max_age_secs }))
    }

    fn is_origin_or_every(text: &str) -> bool {
        text == EVERY_ORIGIN || Self::is_origin(text)
    }
}

fn read_list(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    len_max: usize,
    count_max: usize,
    is_right: fn(&str) -> bool,
) -> Result<Vec<String>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8(field)?);
    before.ensure(field, count <= count_max, Fault::OutOfRange)?;
    let mut list: Vec<String> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = cursor.clone();
        let text = cursor.text(field, 1, len_max)?;
        before.ensure(field, is_right(text), Fault::OutOfRange)?;
        let ascending = list.last().is_none_or(|last| last.as_str() < text);
        before.ensure(field, ascending, Fault::NotAscending)?;
        list.push(text.to_owned());
    }
    Ok(list)
}
