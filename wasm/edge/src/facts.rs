//! The facts of a request, as they were received.
//!
//! What stands in front of the script may tidy a URL up before anybody here sees it. `wrangler dev` 4.164 resolves
//! dot segments and `\`, cuts at `#`, encodes `^` and `"`, and leaves `//`, escapes and a slash at the end alone; a
//! zone's own URL normalisation does as much, or more. Then the tidy path is what is matched and what the origin gets,
//! so the two never differ. Whatever arrives untidied is the gate's to refuse.

use crate::isolate::Isolate;
use crate::{body, runtime};
use core::cell::OnceCell;
use core::net::IpAddr;
use latchkey_gate::{Body, Header, Headers as GateHeaders, Request};
use worker::js_sys::Array;
use worker::wasm_bindgen::JsValue;
use worker::web_sys;

/// Host, path and query of a request, exactly as the runtime hands them over.
#[derive(Debug)]
pub(crate) struct Target {
    host: Option<String>,
    text: String,
    path_len: usize,
}

impl Target {
    /// Those of a URL. It is text here and is never parsed: parsing would tidy the path up.
    fn of(url: &str) -> Self {
        let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
        let from = behind.find(['/', '?']).unwrap_or(behind.len());
        let (host, target) = behind.split_at_checked(from).unwrap_or_default();
        let text = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Self::named(Some(host.to_owned()), text)
    }

    /// Those that a proxy names.
    pub(crate) fn named(host: Option<String>, text: String) -> Self {
        // Everything before the first `?` is the path. A `#` stays in it, and no canonical path has one.
        let path_len = text.find('?').unwrap_or(text.len());
        Self { host, text, path_len }
    }

    fn path(&self) -> &str {
        self.text.get(..self.path_len).unwrap_or_default()
    }

    fn query(&self) -> &str {
        self.text.get(self.path_len + 1..).unwrap_or_default()
    }
}

/// The headers that are read of every request, in one call.
pub(crate) struct Wanted(Array);

impl Wanted {
    /// Those that tell clients' addresses are the operator's to name, or none.
    pub(crate) fn new(client: Option<&str>, forwarded_client: Option<&str>) -> Self {
        let clients = [client, forwarded_client];
        let names = ALWAYS.iter().map(|name| Some(*name)).chain(clients);
        Self(names.map(|name| name.map_or(JsValue::NULL, JsValue::from_str)).collect())
    }
}

/// What a verdict rests on. It holds the credential, and so prints nowhere.
pub(crate) struct Facts {
    request: web_sys::Request,
    method: String,
    target: Target,
    /// With spaces between them.
    names: String,
    authorization: Option<String>,
    min_generation: Option<String>,
    project: Option<String>,
    origin: Option<String>,
    client: Option<IpAddr>,
    forwarded_client: Option<IpAddr>,
    /// Whether the body is the request's that is judged; forward-auth has none.
    has_body: bool,
    /// What the body says of the model, once it was looked at.
    model: OnceCell<Option<String>>,
}

impl Facts {
    /// Those of a request; `None` if it has what no request can have.
    pub(crate) fn of(isolate: &Isolate, request: &web_sys::Request) -> Option<Self> {
        let text = runtime::read(request, &isolate.wanted().0);
        let mut lines = text.split('\n');
        let (method, url, names) = (lines.next()?, lines.next()?, lines.next()?);
        let mut value = || lines.next().map(|line| line.strip_prefix('=').map(str::to_owned));
        // In the order in which they are wanted.
        let (authorization, min_generation, project, origin) = (value()?, value()?, value()?, value()?);
        let (client, forwarded_client) = (value()?, value()?);
        if lines.next().is_some() {
            return None;
        }
        // Two headers folded into one are no address.
        let address = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Some(Self {
            // The handle, not a copy of the body.
            request: Clone::clone(request),
            method: method.to_owned(),
            target: Target::of(url),
            names: names.to_owned(),
            authorization,
            min_generation,
            project,
            origin,
            client: address(client),
            forwarded_client: address(forwarded_client),
            has_body: true,
            model: OnceCell::new(),
        })
    }

    /// Those of the request that a proxy asks about.
    pub(crate) fn asked_about(self, method: String, target: Target) -> Self {
        Self { method, target, client: self.forwarded_client, has_body: false, ..self }
    }

    /// The request that came in, which with forward-auth is not the one that is judged.
    pub(crate) fn incoming(&self) -> &web_sys::Request {
        &self.request
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    /// Path and query.
    pub(crate) fn path_and_query(&self) -> &str {
        &self.target.text
    }

    /// The host, as the request names it.
    pub(crate) fn host(&self) -> Option<&str> {
        self.target.host.as_deref()
    }

    /// The page's origin that the request is from, in a browser.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The credential, as the header has it.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// All headers, as they were received.
    pub(crate) fn headers(&self) -> web_sys::Headers {
        self.request.headers()
    }

    /// The names of all headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ')
    }

    /// Looks at the beginning of the body for this field.
    pub(crate) async fn look_into_body(&self, field: &str) {
        let said = if self.has_body { body::text_of(&self.request, field).await } else { None };
        // It is looked at once: a request is under one rule.
        let _ = self.model.set(said);
    }

    /// The model that the body was seen to name.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.get()?.as_deref()
    }

    /// A header that stands once.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers().get(name).ok().flatten().filter(|value| !is_folded(value))
    }

    /// As the gate takes them.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            host: self.host(),
            path: self.path().as_bytes(),
            query: self.target.query().as_bytes(),
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
        if self.names().any(reads_as) {
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

/// What every request is asked for, in this order; behind them are the two that tell clients' addresses.
const ALWAYS: [&str; 4] = ["authorization", "latchkey-min-generation", "latchkey-project", "origin"];
