//! The facts of a request, as they were received.
//!
//! What stands in front of the script may tidy a URL up before anybody here sees it. `wrangler dev` 4.164 resolves
//! dot segments and `\`, cuts at `#`, encodes `^` and `"`, and leaves `//`, escapes and a slash at the end alone; a
//! zone's own URL normalisation does as much, or more. Then the tidy path is what is matched and what the origin gets,
//! so the two never differ. Whatever arrives untidied is the gate's to refuse.

use core::net::IpAddr;
use latchkey_gate::{Header, Headers as GateHeaders, Request};
use worker::web_sys::{self, Headers};

/// Path and query of a request, exactly as the runtime hands them over.
#[derive(Debug)]
pub(crate) struct Target(String);

impl Target {
    /// Those of a request. The URL is text here and is never parsed: parsing would tidy the path up.
    pub(crate) fn of(request: &web_sys::Request) -> Self {
        let url = request.url();
        let behind = url.split_once("://").map_or(url.as_str(), |(_, behind)| behind);
        let from = behind.find(['/', '?']).unwrap_or(behind.len());
        let target = behind.get(from..).unwrap_or_default();
        Self(if target.starts_with('/') { target.to_owned() } else { format!("/{target}") })
    }

    /// Those that a proxy names.
    pub(crate) fn named(text: String) -> Self {
        Self(text)
    }

    /// The path: everything before the first `?`. A `#` stays in it, and no canonical path has one.
    pub(crate) fn path(&self) -> &str {
        self.0.split_once('?').map_or(self.0.as_str(), |(path, _)| path)
    }

    /// Path and query.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a verdict rests on.
#[derive(Debug)]
pub(crate) struct Facts {
    method: String,
    target: String,
    path_len: usize,
    authorization: Option<String>,
    min_generation: Option<String>,
    project: Option<String>,
    client: Option<IpAddr>,
    headers: Headers,
}

impl Facts {
    /// Those of a request with this method and target. `client_header` names the one header that tells the client's
    /// address, and that nobody but whoever stands in front can set.
    pub(crate) fn new(
        method: String,
        target: &Target,
        headers: Headers,
        client_header: Option<&str>,
    ) -> Self {
        let client = client_header.and_then(|name| headers.get(name).ok().flatten());
        Self {
            method,
            path_len: target.path().len(),
            target: target.as_str().to_owned(),
            authorization: headers.get("authorization").unwrap_or_default(),
            min_generation: headers.get("latchkey-min-generation").unwrap_or_default(),
            project: headers.get("latchkey-project").unwrap_or_default(),
            // Two headers folded into one are no address.
            client: client.and_then(|text| text.parse().ok()),
            headers,
        }
    }

    /// As the gate takes them.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: self.target.get(..self.path_len).unwrap_or_default().as_bytes(),
            authorization: header(self.authorization.as_deref()),
            min_generation: self
                .min_generation
                .as_deref()
                .filter(|value| !is_folded(value))
                .map(str::as_bytes),
            project: header(self.project.as_deref()),
            client: self.client,
            headers: self,
        }
    }
}

impl GateHeaders for Facts {
    fn one(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten().filter(|value| !is_folded(value))
    }
}

fn header(value: Option<&str>) -> Header<'_> {
    match value {
        None => Header::None,
        Some(value) if is_folded(value) => Header::Many,
        Some(value) => Header::One(value.as_bytes()),
    }
}

/// Whether several headers of the name were folded into one: the runtime puts a comma between them, and no
/// native key, token, generation, project or model has one.
fn is_folded(value: &str) -> bool {
    value.contains(',')
}
