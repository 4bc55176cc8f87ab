//! What a request has the runtime do, each part in one call of runtime.js.

use latchkey_gate::headers::is_taken_away;
use worker::js_sys::{Array, Promise};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::web_sys::{AbortSignal, ReadableStream, Request, Response};

#[wasm_bindgen(module = "/src/runtime.js")]
extern "C" {
    pub(crate) fn read(request: &Request, wanted: &Array) -> String;

    #[wasm_bindgen(catch, js_name = passOn)]
    fn pass_on_with(
        request: &Request,
        url: &str,
        changes: &str,
        signal: &AbortSignal,
    ) -> Result<Promise, JsValue>;

    pub(crate) type Wait;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(promise: &Promise) -> Wait;

    #[wasm_bindgen(method)]
    pub(crate) fn within(this: &Wait, ms: u32) -> Promise;

    #[wasm_bindgen(js_name = look)]
    fn look_at(response: &Response) -> String;

    #[wasm_bindgen(catch, js_name = answer)]
    fn answer_with(
        response: &Response,
        body: Option<&ReadableStream>,
        changes: &str,
    ) -> Result<Response, JsValue>;

    #[wasm_bindgen(catch, js_name = switched)]
    fn switched_with(response: &Response, socket: &JsValue, changes: &str) -> Result<Response, JsValue>;
}

/// What is changed in the headers of what goes on.
#[derive(Default)]
pub(crate) struct Changes(String);

impl Changes {
    /// None but that every header goes that could be taken for one of ours, or that makes another request of this one.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut changes = Self::default();
        names.filter(|name| is_taken_away(name)).for_each(|name| changes.remove(name));
        changes
    }

    /// Takes a header away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.line(&[name]);
    }

    /// Has a header say this and nothing else.
    ///
    /// # Errors
    /// No header can say it.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> worker::Result<()> {
        // A line break would begin another header.
        if value.contains(|char: char| char.is_ascii_control() && char != '\t') {
            return Err(format!("`{name}` cannot be told: a character that no header has").into());
        }
        self.line(&[name, " ", value]);
        Ok(())
    }

    /// The same of a number.
    pub(crate) fn set_number(&mut self, name: &str, value: u64) {
        self.line(&[name, " ", &value.to_string()]);
    }

    fn line(&mut self, parts: &[&str]) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        parts.iter().for_each(|part| self.0.push_str(part));
    }
}

/// What an origin's response says.
pub(crate) struct Seen {
    /// Whether it changed to a WebSocket.
    pub(crate) is_socket: bool,
    /// What it declares that its body has, bytes.
    pub(crate) length: Option<u64>,
    /// What must not go on.
    pub(crate) changes: Changes,
}

impl Seen {
    pub(crate) fn of(response: &Response) -> Self {
        let text = look_at(response);
        let mut lines = text.splitn(3, '\n');
        let mut line = || lines.next().unwrap_or_default();
        let (socket, length, names) = (line(), line(), line());
        let changes = Changes::of(names.split(' '));
        Self { is_socket: !socket.is_empty(), length: length.parse().ok(), changes }
    }
}

/// The same response with this body, if one is given, and with other headers.
pub(crate) fn answer(
    response: &Response,
    body: Option<&ReadableStream>,
    changes: &Changes,
) -> worker::Result<Response> {
    answer_with(response, body, &changes.0).map_err(worker::Error::from)
}

/// The same for a response that changed to a WebSocket, of which `socket` is the caller's end.
pub(crate) fn switched(response: &Response, socket: &JsValue, changes: &Changes) -> worker::Result<Response> {
    switched_with(response, socket, &changes.0).map_err(worker::Error::from)
}

/// Sends a request on to this URL, with other headers.
pub(crate) fn pass_on(
    request: &Request,
    url: &str,
    changes: &Changes,
    signal: &AbortSignal,
) -> worker::Result<Promise> {
    pass_on_with(request, url, &changes.0, signal).map_err(worker::Error::from)
}
