//! What a request has the runtime do, each part in one call of runtime.js.

use crate::watch::EVERY_MS;
use core::cell::OnceCell;
use core::time::Duration;
use latchkey_gate::headers::is_taken_away;
use worker::js_sys::{Array, Promise};
use worker::wasm_bindgen::closure::Closure;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsCast, JsValue};
use worker::web_sys::{AbortController, ReadableStream, Request, Response};

#[wasm_bindgen(module = "/src/runtime.js")]
extern "C" {
    pub(crate) fn read(request: &Request, wanted: &Array) -> String;

    #[wasm_bindgen(js_name = passOn)]
    fn pass_on_with(request: &Request, url: &str, changes: &str, ms: u32, settle: &JsValue) -> JsValue;

    // `catch` has each go through the glue: without it, wasm-bindgen 0.2.130 names the module once for each.
    #[wasm_bindgen(catch, js_name = soon)]
    fn soon_by(turn: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = listen)]
    fn listen_by(promise: &Promise, tell: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = after)]
    fn after_by(ms: u32, tell: &JsValue) -> Result<f64, JsValue>;

    #[wasm_bindgen(catch)]
    fn clear(timer: f64) -> Result<(), JsValue>;

    pub(crate) type Wait;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(promise: Promise) -> Wait;

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

thread_local! {
    static TURN: OnceCell<JsValue> = const { OnceCell::new() };
}

/// Has this done once nothing else is done, always the same.
pub(crate) fn soon(turn: fn()) {
    TURN.with(|kept| {
        let turn = || Closure::<dyn FnMut()>::own_assert_unwind_safe(turn).into_js_value();
        // It throws nothing, and so do the others here but a timer that is set outside a request, where nobody waits.
        let _ = soon_by(kept.get_or_init(turn));
    });
}

/// Has this told once what a promise comes to. The runtime drops it when the promise can come to nothing any more.
pub(crate) fn listen(promise: &Promise, tell: impl FnOnce(Result<JsValue, JsValue>) + 'static) {
    let _ = listen_by(promise, &teller(tell));
}

fn teller(tell: impl FnOnce(Result<JsValue, JsValue>) + 'static) -> JsValue {
    let tell = Closure::once_assert_unwind_safe(move |is_kept: bool, value: JsValue| {
        tell(if is_kept { Ok(value) } else { Err(value) });
    });
    tell.into_js_value()
}

/// A timer, which is cleared when it is dropped.
pub(crate) struct Alarm(Option<f64>);

impl Alarm {
    /// Has this told once, after so long. The runtime drops it with the request.
    pub(crate) fn set(pause: Duration, tell: impl FnOnce(Result<JsValue, JsValue>) + 'static) -> Self {
        Self(after_by(u32::try_from(pause.as_millis()).unwrap_or(u32::MAX), &teller(tell)).ok())
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let _ = self.0.map(clear);
    }
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

/// What became of a request that was sent on.
pub(crate) enum Settled {
    /// The origin answered.
    Answered(Response),
    /// It cannot, or could not be asked.
    Failed(JsValue),
    /// It has not yet, after [`EVERY_MS`]; the promise of its answer.
    Late(Promise),
}

/// Sends a request on to this URL, with other headers. What it comes to is what `settle` makes of it, with what ends the origin's part.
pub(crate) fn pass_on(
    request: &Request,
    url: &str,
    changes: &Changes,
    settle: impl FnOnce(Settled, AbortController) -> JsValue + 'static,
) -> JsValue {
    let settle =
        Closure::once_assert_unwind_safe(move |how: u32, value: JsValue, controller: AbortController| {
            let settled = match how {
                ANSWERED => Settled::Answered(value.unchecked_into()),
                LATE => Settled::Late(value.unchecked_into()),
                _ => Settled::Failed(value),
            };
            settle(settled, controller)
        });
    // The runtime's to drop: a caller that goes away takes its request with it, and nobody settles that.
    pass_on_with(request, url, &changes.0, EVERY_MS, &settle.into_js_value())
}

/// As runtime.js has them.
const ANSWERED: u32 = 0;
const LATE: u32 = 2;
