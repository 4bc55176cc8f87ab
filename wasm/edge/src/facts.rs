//! The facts of a request, as they were received.
//!
//! What stands in front of the script may tidy a URL up before anybody here sees it. `wrangler dev` 4.164 resolves
//! dot segments and `\`, cuts at `#`, encodes `^` and `"`, and leaves `//`, escapes and a slash at the end alone; a
//! zone's own URL normalisation does as much, or more. Then the tidy path is what is matched and what the origin gets,
//! so the two never differ. Whatever arrives untidied is the gate's to refuse.

use crate::body;
use core::cell::OnceCell;
use core::net::IpAddr;
use latchkey_gate::{Body, Header, Headers as GateHeaders, Request};
use worker::web_sys::{self, Headers};

/// Host, path and query of a request, exactly as the runtime hands them over.
#[derive(Debug)]
pub(crate) struct Target {
    host: Option<String>,
    text: String,
}

impl Target {
    /// Those of a request. The URL is text here and is never parsed: parsing would tidy the path up.
    pub(crate) fn of(request: &web_sys::Request) -> Self {
        let url = request.url();
        let behind = url.split_once("://").map_or(url.as_str(), |(_, behind)| behind);
        let from = behind.find(['/', '?']).unwrap_or(behind.len());
        let (host, target) = behind.split_at_checked(from).unwrap_or_default();
        let text = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Self { host: Some(host.to_owned()), text }
    }

    /// Those that a proxy names.
    pub(crate) fn named(host: Option<String>, text: String) -> Self {
        Self { host, text }
    }

    /// The path: everything before the first `?`. A `#` stays in it, and no canonical path has one.
    pub(crate) fn path(&self) -> &str {
        self.text.split_once('?').map_or(self.text.as_str(), |(path, _)| path)
    }

    /// The host, as the request names it.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Path and query.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// What a verdict rests on.
#[derive(Debug)]
pub(crate) struct Facts {
    method: String,
    host: Option<String>,
    target: String,
    path_len: usize,
    authorization: Option<String>,
    min_generation: Option<String>,
    project: Option<String>,
    client: Option<IpAddr>,
    headers: Headers,
    /// Whose body may be looked at; forward-auth has none.
    request: Option<web_sys::Request>,
    /// What the body says of the model, once it was looked at.
    model: OnceCell<Option<String>>,
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
            host: target.host.clone(),
            path_len: target.path().len(),
            target: target.as_str().to_owned(),
            authorization: headers.get("authorization").unwrap_or_default(),
            min_generation: headers.get("latchkey-min-generation").unwrap_or_default(),
            project: headers.get("latchkey-project").unwrap_or_default(),
            // Two headers folded into one are no address.
            client: client.and_then(|text| text.parse().ok()),
            headers,
            request: None,
            model: OnceCell::new(),
        }
    }

    /// The same, of a request whose body may be looked at.
    pub(crate) fn with_body(self, request: &web_sys::Request) -> Self {
        // The handle, not a copy of the body.
        Self { request: Some(Clone::clone(request)), ..self }
    }

    /// Looks at the beginning of the body for this field.
    pub(crate) async fn look_into_body(&self, field: &str) {
        let said = match &self.request {
            Some(request) => body::text_of(request, field).await,
            None => None,
        };
        // It is looked at once: a request is under one rule.
        let _ = self.model.set(said);
    }

    /// The model that the body was seen to name.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.get()?.as_deref()
    }

    /// A header that stands once.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten().filter(|value| !is_folded(value))
    }

    /// As the gate takes them.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            host: self.host.as_deref(),
            path: self.target.get(..self.path_len).unwrap_or_default().as_bytes(),
            query: self.target.get(self.path_len + 1..).unwrap_or_default().as_bytes(),
            authorization: header(self.authorization.as_deref()),
            min_generation: self
                .min_generation
                .as_deref()
                .filter(|value| !is_folded(value))
                .map(str::as_bytes),
            project: header(self.project.as_deref()),
            client: self.client,
            headers: self,
            body: match self.model.get() {
                None => Body::Unread,
                Some(None) => Body::Silent,
                Some(Some(model)) => Body::Says(model),
            },
            need: None,
        }
    }
}

impl GateHeaders for Facts {
    /// None either where another header's name could be read as this one: some origins take `_` for `-`.
    fn one(&self, name: &str) -> Option<String> {
        let reads_as = |other: &str| other != name && other.replace('_', "-") == name;
        let others = self.headers.keys().into_iter().filter_map(|other| other.ok()?.as_string());
        if others.into_iter().any(|other| reads_as(&other)) {
            return None;
        }
        self.header(name)
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
