//! The facts of a request, as they were received.

use crate::headers::ends_here;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use latchkey_gate::{Body, Header, Headers, Need, Request};
use std::net::IpAddr;
use std::sync::OnceLock;

/// What a verdict rests on.
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: Option<&'a str>,
    /// Path and query, as they were received.
    pub(crate) target: &'a str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) headers: &'a HeaderMap,
    /// What the body says of the model, once it was looked at.
    pub(crate) model: OnceLock<Option<String>>,
    /// What the application says that it needs, if no rule is to say it.
    pub(crate) need: Option<&'a Need>,
}

impl Facts<'_> {
    /// As the gate takes them.
    pub(crate) fn request(&self) -> Request<'_> {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        Request {
            method: self.method,
            host: self.host,
            path: path.as_bytes(),
            query: query.as_bytes(),
            authorization: self.header(AUTHORIZATION.as_str()),
            min_generation: match self.header("latchkey-min-generation") {
                Header::One(value) => Some(value),
                _ => None,
            },
            project: self.header("latchkey-project"),
            client: self.client,
            headers: self,
            body: match self.model.get() {
                None => Body::Unread,
                Some(None) => Body::Silent,
                Some(Some(model)) => Body::Says(model),
            },
            need: self.need,
        }
    }

    /// The model that the body was seen to name.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.get()?.as_deref()
    }

    /// Several of a name, or several that were folded into one, are none: nothing that is read here has a comma.
    fn header(&self, name: &str) -> Header<'_> {
        let mut all = self.headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Header::None,
            (Some(only), None) if !only.as_bytes().contains(&b',') => Header::One(only.as_bytes()),
            _ => Header::Many,
        }
    }
}

impl Headers for Facts<'_> {
    /// None either where another header's name could be read as this one, since some origins take `_` for `-`, or where `Connection`
    /// names it, since it ends here then and no origin sees it (RFC 9110, 7.6.1).
    fn one(&self, name: &str) -> Option<String> {
        let reads_as = |other: &str| other != name && other.replace('_', "-") == name;
        if self.headers.keys().any(|other| reads_as(other.as_str())) || ends_here(self.headers, name) {
            return None;
        }
        match self.header(name) {
            Header::One(value) => std::str::from_utf8(value).ok().map(str::to_owned),
            _ => None,
        }
    }
}
