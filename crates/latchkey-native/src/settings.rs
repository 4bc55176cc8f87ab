//! What a native gate is told.

use crate::assertion::EdgeKey;
use crate::decisions::DecisionLog;
use crate::source::Source;
use crate::usage::Reporter;
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Uri};
use latchkey_core::UnixMillis;
use latchkey_gate::GateConfig;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Everything that a native gate is told.
pub struct Settings {
    /// What it was deployed with.
    pub gate: GateConfig,
    /// Where it reads what is published.
    pub source: Source,
    /// Where the last good copy is kept, if it is.
    pub state: Option<PathBuf>,
    /// Where requests go that are let in; without one, there is forward-auth alone.
    pub origin: Option<Origin>,
    /// Signs assertions to the origin; without it none is made.
    pub edge_key: Option<EdgeKey>,
    /// How a proxy asks before it passes a request on, if one may.
    pub forward: Option<Forward>,
    /// Where a client's address stands.
    pub client: Client,
    /// Who is told what was used, if anybody is.
    pub reporter: Option<Reporter>,
    /// Where decisions are written, if any are.
    pub decisions: Option<DecisionLog>,
    /// Tells the time.
    pub now: fn() -> UnixMillis,
}

/// A proxy that asks before it passes a request on.
pub struct Forward {
    /// What it shows.
    pub token: Token,
    /// How it names the original request.
    pub family: Family,
    /// Where it names the client's address. The peer is whom Envoy's gRPC names as its own; in a header's form there is none.
    pub client: Client,
}

/// The headers in which a proxy names the original request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `X-Original-Method` and `X-Original-URI`, nginx's.
    Original,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`, Traefik's and Caddy's.
    Forwarded,
    /// None: the question has the original method and host itself, and the original path behind its own. Envoy's.
    Envoy,
}

impl Family {
    /// The headers with the method, with path and query, and with the host, which need not be there.
    pub(crate) const fn headers(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Original => Some(("x-original-method", "x-original-uri", "x-original-host")),
            Self::Forwarded => Some(("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host")),
            Self::Envoy => None,
        }
    }
}

/// Where a client's address stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// It is that of the connection.
    Peer,
    /// In this header, which whoever stands in front sets anew on every request.
    Header(String),
    /// Nowhere.
    Unknown,
}

impl Client {
    pub(crate) fn address(&self, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Peer => Some(peer.to_canonical()),
            Self::Header(name) => address_in(headers, name),
            Self::Unknown => None,
        }
    }
}

/// The address in the one header of this name; two of them are none, nor is a list.
pub(crate) fn address_in(headers: &HeaderMap, name: &str) -> Option<IpAddr> {
    let mut all = headers.get_all(name).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    only.to_str().ok()?.parse().ok()
}

/// Where requests go that are let in: scheme, host and port, and nothing else. A path would be put before paths that
/// the gate has not seen so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

/// The text names no origin; the operator's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError;

impl Origin {
    /// The origin that `http://host:port` or `https://host:port` names.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(OriginError);
        };
        let is_known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let is_host = !authority.as_str().contains('@');
        if is_bare && is_known && is_host { Ok(Self { scheme, authority }) } else { Err(OriginError) }
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is `https://host` or `http://host`, with a port perhaps and no path")
    }
}

impl std::error::Error for OriginError {}

/// What a caller shows as it is. Kept as a digest; it shows nothing.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl Token {
    /// The token with this text, if it is long enough to be one: 16 bytes.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= TOKEN_LEN_MIN).then(|| Self(blake3::hash(text.as_bytes())))
    }

    /// Whether this is its text. Digests are compared, in constant time.
    pub(crate) fn is(&self, presented: &[u8]) -> bool {
        self.0 == blake3::hash(presented)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

const TOKEN_LEN_MIN: usize = 16;
