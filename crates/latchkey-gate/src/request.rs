//! The facts of a request, as a shell hands them over.

use crate::shelf::Wanted;
use crate::verdict::Unproven;
use alloc::vec::Vec;
use latchkey_core::UnixMillis;
use latchkey_snapshot::ObjectDigest;

/// What is asked about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it may go to the origin, by the route rules.
    Route,
    /// Who its credential is; needs no rule and no permission.
    Whoami,
}

/// The facts of one request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, as received.
    pub method: &'a str,
    /// The path, exactly as received: still percent-encoded, without the query.
    pub path: &'a [u8],
    /// The `Authorization` header.
    pub authorization: Authorization<'a>,
    /// The `Latchkey-Min-Generation` header, if there is exactly one.
    pub min_generation: Option<&'a [u8]>,
}

/// The `Authorization` header of a request.
#[derive(Clone, Copy)]
pub enum Authorization<'a> {
    /// There is none.
    None,
    /// There is one, with this value.
    One(&'a [u8]),
    /// There are several; none of them counts.
    Many,
}

impl<'a> Authorization<'a> {
    /// The key's text behind `Bearer` and one space; the scheme in any case.
    pub(crate) fn bearer(self) -> Result<&'a [u8], Unproven> {
        let value = match self {
            Self::None => return Err(Unproven::Missing),
            Self::Many => return Err(Unproven::Several),
            Self::One(value) => value,
        };
        match value.split_first_chunk::<7>() {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(token),
            _ => Err(Unproven::Scheme),
        }
    }
}

/// What one request has already asked for, so that its loop ends. One for each request, kept through its loop.
#[derive(Debug, Default)]
pub struct Attempt {
    pub(crate) begun: Option<UnixMillis>,
    pub(crate) joined: bool,
    pub(crate) started: bool,
    pub(crate) fetched: Vec<ObjectDigest>,
    pub(crate) asks: u8,
}

impl Attempt {
    /// Whether it has not asked for this object before; one that was asked for and is still missing is out of
    /// reach.
    pub(crate) fn may_fetch(&self, wanted: &Wanted) -> bool {
        !self.fetched.contains(&wanted.reference().digest())
    }

    pub(crate) fn is_spent(&self, now: UnixMillis) -> bool {
        self.asks >= ASKS_MAX || self.begun.is_some_and(|begun| now.since_ms(begun) >= ATTEMPT_MS_MAX)
    }
}

/// Asks of one request at most: a cold gate with a project and a resource to look up needs eight.
pub(crate) const ASKS_MAX: u8 = 12;
/// How long one request goes on asking, in milliseconds.
pub(crate) const ATTEMPT_MS_MAX: u64 = 5000;

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Request({} of {} path bytes)", self.method, self.path.len())
    }
}
