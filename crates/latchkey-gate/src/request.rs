//! The facts of a request, as a shell hands them over.

use crate::need::Need;
use crate::shelf::Wanted;
use crate::tally::Counted;
use crate::verdict::Unproven;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use latchkey_core::UnixMillis;
use latchkey_snapshot::ObjectDigest;

/// What is asked about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it may go to the origin, by the route rules or by what [`Request::need`] says.
    Route,
    /// Who its key is; needs no rule and no permission.
    Whoami,
}

/// The facts of one request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, as received.
    pub method: &'a str,
    /// The host that the request is for, with or without its port, if it names one.
    pub host: Option<&'a str>,
    /// The path, exactly as received: still percent-encoded, without the query.
    pub path: &'a [u8],
    /// What stands behind the first `?`, exactly as received.
    pub query: &'a [u8],
    /// The `Authorization` header.
    pub authorization: Header<'a>,
    /// The `Latchkey-Min-Generation` header, if there is exactly one.
    pub min_generation: Option<&'a [u8]>,
    /// The `Latchkey-Project` header: which project a session acts in, where the path does not say so.
    pub project: Header<'a>,
    /// The client's address, if the shell knows it for certain.
    pub client: Option<IpAddr>,
    /// Whatever other header a route rule reads.
    pub headers: &'a dyn Headers,
    /// What the body says, once [`crate::Ask::Body`] asked for it.
    pub body: Body<'a>,
    /// What the application says that it needs, if no route rule is to say it.
    pub need: Option<&'a Need>,
}

impl<'a> Request<'a> {
    /// A request with these facts and no others.
    pub const fn new(method: &'a str, path: &'a [u8], authorization: Header<'a>) -> Self {
        Self {
            method,
            host: None,
            path,
            query: b"",
            authorization,
            min_generation: None,
            project: Header::None,
            client: None,
            headers: &NoHeaders,
            body: Body::Unread,
            need: None,
        }
    }
}

/// What is known of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing: it was not looked at.
    Unread,
    /// The field that was asked for says this.
    Says(&'a str),
    /// It does not say it, so that all readers would agree on it.
    Silent,
}

/// A header of a request.
#[derive(Clone, Copy)]
pub enum Header<'a> {
    /// There is none.
    None,
    /// There is one, with this value.
    One(&'a [u8]),
    /// There are several; none of them counts.
    Many,
}

impl<'a> Header<'a> {
    /// The credential's text behind `Bearer` and one space; the scheme in any case.
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

/// The headers that route rules may read. Few requests need one, so it is looked up only then.
pub trait Headers {
    /// The value of the one header with this name, which is in lower case; `None` if there is none, or several.
    fn one(&self, name: &str) -> Option<String>;
}

/// No headers at all.
#[derive(Clone, Copy, Debug)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn one(&self, _: &str) -> Option<String> {
        None
    }
}

/// What one request has already asked for, so that its loop ends, and what it was counted as, so that it counts once.
/// One for each request, kept through its loop.
#[derive(Debug, Default)]
pub struct Attempt {
    pub(crate) begun: Option<UnixMillis>,
    pub(crate) joined: bool,
    pub(crate) started: bool,
    /// Whether it has its share of the quota for what has no mint check.
    pub(crate) has_quota: bool,
    pub(crate) fetched: Vec<ObjectDigest>,
    pub(crate) asks: u8,
    pub(crate) counted: Option<Counted>,
    /// Whether it was let in before and goes on; then it is no answer.
    pub(crate) is_again: bool,
    /// Whether it was asked what the body says.
    pub(crate) has_asked_body: bool,
}

impl Attempt {
    /// That of a request that was let in and goes on: it is judged again, and counted apart.
    pub fn again() -> Self {
        Self { is_again: true, ..Self::default() }
    }

    /// Whether it has not asked for this object before; one that was asked for and is still missing is out of
    /// reach.
    pub(crate) fn may_fetch(&self, wanted: &Wanted) -> bool {
        !self.fetched.contains(&wanted.reference().digest())
    }

    /// Whether it must do with what is held: what it asks for from here on is only what its answer needs of that. Else
    /// it would run after a stream of publications until nothing is left to ask for a page with.
    pub(crate) fn has_caught_up_enough(&self, now: UnixMillis) -> bool {
        self.asks >= CATCH_UP_ASKS_MAX || self.is_spent(now)
    }

    pub(crate) fn is_spent(&self, now: UnixMillis) -> bool {
        self.asks >= ASKS_MAX || self.begun.is_some_and(|begun| now.since_ms(begun) >= ATTEMPT_MS_MAX)
    }
}

/// Asks of one request at most: a cold gate needs thirteen for a session, a project, a resource and the names, and one
/// for each delta but the newest.
pub(crate) const ASKS_MAX: u8 = 20;
/// Of these, asks that follow what was published: a head, a manifest, four deltas, and nodes and pages that changed.
const CATCH_UP_ASKS_MAX: u8 = 8;
/// How long one request goes on asking, in milliseconds.
pub(crate) const ATTEMPT_MS_MAX: u64 = 5000;

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Request({} of {} path bytes)", self.method, self.path.len())
    }
}
