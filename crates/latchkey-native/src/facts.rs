//! The facts of a request, as they were received.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use latchkey_gate::{Header, Headers, Request};
use std::net::IpAddr;

/// What a verdict rests on.
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a str,
    /// Path and query, as they were received.
    pub(crate) target: &'a str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) headers: &'a HeaderMap,
}

impl Facts<'_> {
    /// As the gate takes them.
    pub(crate) fn request(&self) -> Request<'_> {
        let path = self.target.split_once('?').map_or(self.target, |(path, _)| path);
        Request {
            method: self.method,
            path: path.as_bytes(),
            authorization: self.header(AUTHORIZATION.as_str()),
            min_generation: match self.header("latchkey-min-generation") {
                Header::One(value) => Some(value),
                _ => None,
            },
            project: self.header("latchkey-project"),
            client: self.client,
            headers: self,
        }
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
    fn one(&self, name: &str) -> Option<String> {
        match self.header(name) {
            Header::One(value) => std::str::from_utf8(value).ok().map(str::to_owned),
            _ => None,
        }
    }
}
