//! What takes long is judged again: an upload that the origin has not answered yet, a long body, a WebSocket. Every 5 s the gate is
//! asked as if the request came now; what it would refuse is ended.
//!
//! What is merely passed through outlives the script: the runtime goes on with it alone, and ends whatever waits behind the answer after half
//! a minute. So these go through a stream of the runtime's own, or a pair of sockets, either of which keeps the script there.

use crate::Io;
use crate::decide::judge_again;
use crate::facts::Facts;
use crate::isolate::Isolate;
use crate::runtime::{Changes, Seen, Wait};
use crate::{respond, task};
use core::cell::Cell;
use latchkey_gate::{Refusal, Standing};
use std::rc::Rc;
use worker::js_sys::{self, Array, Function, Object, Promise, Reflect};
use worker::wasm_bindgen::closure::Closure;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{AbortController, ReadableStream, Response, WritableStream};
use worker::worker_sys::Context;
use worker::{Env, Result};

/// How often what goes on is judged again.
pub(crate) const EVERY_MS: u32 = 5000;
/// A body that is declared with at most so many bytes is not watched.
const SHORT_BYTES: u64 = 64 << 10;
/// What a socket is closed with: the caller may not go on (RFC 6455, 7.4.1), or the other side went away.
const REFUSED: u16 = 1008;
const GONE: u16 = 1001;
/// Codes that say that there was none.
const NO_CODE: [f64; 2] = [1005.0, 1006.0];

/// A refusal in the middle of a request.
pub(crate) type Refused = (Refusal, Option<Standing>);

/// What a promise came to, or why nobody waits for it any more.
type Watched = core::result::Result<core::result::Result<JsValue, JsValue>, Refused>;

/// Watches over one request.
pub(crate) struct Watch {
    isolate: Isolate,
    env: Env,
    context: Rc<Context>,
    facts: Facts,
}

impl Watch {
    pub(crate) fn new(isolate: &Isolate, io: Io<'_>, facts: Facts) -> Self {
        Self { isolate: isolate.clone(), env: io.env.clone(), context: Rc::clone(io.context), facts }
    }

    pub(crate) fn isolate(&self) -> &Isolate {
        &self.isolate
    }

    pub(crate) fn io(&self) -> Io<'_> {
        Io { env: &self.env, context: &self.context }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits on for what this comes to, which has taken [`EVERY_MS`] already, as long as the request would be let in.
    pub(crate) async fn on(&self, promise: Promise) -> Watched {
        let wait = Wait::new(promise);
        match judge_again(&self.isolate, self.io(), &self.facts).await {
            None => self.during(wait).await,
            Some(refused) => Err(refused),
        }
    }

    /// Waits for what this comes to, as long as the request would be let in.
    async fn during(&self, wait: Wait) -> Watched {
        loop {
            match task::come(wait.within(EVERY_MS)).await {
                Ok(value) if value.is_null() => {}
                settled => return Ok(settled),
            }
            if let Some(refused) = judge_again(&self.isolate, self.io(), &self.facts).await {
                return Err(refused);
            }
        }
    }

    /// The origin's response, watched over if it may take long; `controller` ends the origin's part.
    pub(crate) fn over(
        self: &Rc<Self>,
        controller: &AbortController,
        response: &Response,
        standing: Option<Standing>,
    ) -> Result<Response> {
        let seen = Seen::of(response);
        if seen.is_socket {
            return self.over_socket(response, seen.changes, standing);
        }
        if seen.length.is_some_and(|length| length <= SHORT_BYTES) {
            return respond::from_origin(response, None, seen.changes, standing);
        }
        let Some(body) = response.body() else {
            return respond::from_origin(response, None, seen.changes, standing);
        };
        let between = between(seen.length)?;
        let writable: WritableStream =
            Reflect::get(&between, &JsValue::from_str("writable"))?.unchecked_into();
        let readable: ReadableStream =
            Reflect::get(&between, &JsValue::from_str("readable"))?.unchecked_into();
        let (piped, controller) = (body.pipe_to(&writable), controller.clone());
        self.behind(piped, move || controller.abort());
        respond::from_origin(response, Some(&readable), seen.changes, standing)
    }

    fn over_socket(
        self: &Rc<Self>,
        response: &Response,
        changes: Changes,
        standing: Option<Standing>,
    ) -> Result<Response> {
        let origin = &Reflect::get(response, &JsValue::from_str("webSocket"))?;
        let pair = construct("WebSocketPair", &Array::new())?;
        let (client, ours) = (Reflect::get_u32(&pair, 0)?, Reflect::get_u32(&pair, 1)?);
        let mut resolve = None;
        let over = Promise::new(&mut |resolved, _| resolve = Some(resolved));
        let open = Rc::new(Cell::new(true));
        for (from, to) in [(origin, &ours), (&ours, origin)] {
            join(from, to, Rc::clone(&open), resolve.clone())?;
        }
        for socket in [origin, &ours] {
            accept(socket)?;
        }
        let (origin, ours) = (origin.clone(), ours);
        self.behind(over, move || {
            open.set(false);
            for socket in [&ours, &origin] {
                let _ =
                    call(socket, "close", &[JsValue::from(REFUSED), JsValue::from_str("no longer let in")]);
            }
        });
        respond::switched(response, &client, changes, standing)
    }

    /// Judges again behind the answer until it is over; `end` ends it when it is refused.
    fn behind(self: &Rc<Self>, over: Promise, end: impl FnOnce() + 'static) {
        let (watch, wait) = (Rc::clone(self), Wait::new(over));
        task::behind(&self.context, async move {
            if watch.during(wait).await.is_err() {
                end();
            }
        });
    }
}

/// A stream of the runtime's own, which moves bytes without a look at them.
fn between(length: Option<u64>) -> Result<JsValue> {
    match length {
        None => construct("IdentityTransformStream", &Array::new()),
        // Keeps the length that the origin declared.
        Some(length) => construct("FixedLengthStream", &Array::of1(&JsValue::from_f64(length as f64))),
    }
}

/// Hands on what comes from one socket to the other, while both may.
fn join(from: &JsValue, to: &JsValue, open: Rc<Cell<bool>>, over: Option<Function>) -> Result<()> {
    let other = to.clone();
    listen(from, "message", move |event| {
        if open.get()
            && let Ok(data) = Reflect::get(&event, &JsValue::from_str("data"))
        {
            let _ = call(&other, "send", &[data]);
        }
    })?;
    let (other, ended) = (to.clone(), over.clone());
    listen(from, "close", move |event| {
        let _ = call(&other, "close", &reason(&event));
        end(ended.as_ref());
    })?;
    let other = to.clone();
    listen(from, "error", move |_| {
        let _ = call(&other, "close", &[JsValue::from(GONE)]);
        end(over.as_ref());
    })
}

fn end(over: Option<&Function>) {
    if let Some(over) = over {
        let _ = over.call0(&JsValue::UNDEFINED);
    }
}

/// What a socket was closed with, as it may be said again.
fn reason(event: &JsValue) -> Vec<JsValue> {
    let code = Reflect::get(event, &JsValue::from_str("code")).ok().and_then(|code| code.as_f64());
    match code.filter(|code| !NO_CODE.contains(code)) {
        Some(code) => {
            let text = Reflect::get(event, &JsValue::from_str("reason")).unwrap_or(JsValue::UNDEFINED);
            vec![JsValue::from_f64(code), text]
        }
        None => vec![JsValue::from(GONE)],
    }
}

fn accept(socket: &JsValue) -> Result<()> {
    Reflect::set(socket, &JsValue::from_str("binaryType"), &JsValue::from_str("arraybuffer"))?;
    // Each side's closing is the other side's, not ours.
    let options = Object::new();
    Reflect::set(&options, &JsValue::from_str("allowHalfOpen"), &JsValue::TRUE)?;
    call(socket, "accept", &[options.into()])
}

fn listen(socket: &JsValue, what: &str, handler: impl FnMut(JsValue) + 'static) -> Result<()> {
    let handler = Closure::<dyn FnMut(JsValue)>::own_assert_unwind_safe(handler).into_js_value();
    call(socket, "addEventListener", &[JsValue::from_str(what), handler])
}

fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<()> {
    let method: Function = Reflect::get(object, &JsValue::from_str(method))?.dyn_into()?;
    method.apply(object, &arguments.iter().collect::<Array>())?;
    Ok(())
}

fn construct(class: &str, arguments: &Array) -> Result<JsValue> {
    let class: Function = Reflect::get(&js_sys::global(), &JsValue::from_str(class))?.dyn_into()?;
    Ok(Reflect::construct(&class, arguments)?)
}
