//! The edge's Worker script: it turns a request into the gate's words and the gate's verdict into a response.
//! Nothing is decided here.
//!
//! `task` runs the future of a request, `isolate` holds the gate, `refresh` does its I/O by way of `source` (`cache`, `kv`, `hub`), `facts`
//! reads a request by way of `runtime`; then there is one module a route: `whoami`, `verify`, `status`, `push`, and `gateway` for
//! everything else, with `watch` over what takes long and `assertion` of who calls; `log` tells of decisions. Only `respond` names
//! status codes.

mod assertion;
mod body;
mod cache;
mod cors;
mod decide;
mod facts;
mod flight;
mod gateway;
mod hub;
mod isolate;
mod kv;
mod log;
mod names;
mod push;
mod rate;
mod refresh;
mod respond;
mod runtime;
mod settings;
mod source;
mod status;
mod task;
mod usage;
mod verify;
mod watch;
mod whoami;

use facts::Facts;
use isolate::Isolate;
use std::rc::Rc;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::worker_sys::Context;
use worker::{Env, Result, web_sys};

/// What a request does I/O with.
#[derive(Clone, Copy)]
pub(crate) struct Io<'a> {
    /// The bindings.
    env: &'a Env,
    /// Keeps what is begun here alive behind the answer.
    context: &'a Rc<Context>,
}

/// What the script answers itself begins with this; the origin never sees it.
const OWN_PREFIX: &str = "/.latchkey/";
const PUSH_PREFIX: &str = "/.latchkey/push/";
const STATUS_PATH: &str = "/.latchkey/status";
const KEYS_PATH: &str = "/.latchkey/jwks.json";
const VERIFY_PATH: &str = "/.latchkey/verify";
const WHOAMI_PATH: &str = "/v1/whoami";

/// Answers a request: the script's one handler. It answers at once, or by a promise.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: Env, context: Context) -> JsValue {
    task::run(serve(request, env, context))
}

async fn serve(request: web_sys::Request, env: Env, context: Context) -> JsValue {
    let Some(isolate) = isolate::of(&env) else { return respond::handed_over(respond::not_configured()) };
    isolate.locate(&request);
    let Some(facts) = Facts::of(&isolate, &request) else {
        return respond::handed_over(respond::unreadable());
    };
    let context = Rc::new(context);
    let io = Io { env: &env, context: &context };
    if let Some(rest) = facts.path().strip_prefix(PUSH_PREFIX) {
        // No look at the head behind it: before the first publication ends, that would fail and open the breaker.
        return respond::handed_over(push::answer(&isolate, &env, &request, rest).await);
    }
    if let Some(answer) = cors::preflight(&isolate, &facts) {
        refresh_behind(&isolate, &env, &context);
        return respond::handed_over(answer);
    }
    let origin = facts.origin().map(str::to_owned);
    let response = match facts.path() {
        STATUS_PATH => status::answer(&isolate, &facts),
        KEYS_PATH => assertion::keys(&isolate, io, &facts).await,
        VERIFY_PATH => verify::answer(&isolate, io, facts).await,
        WHOAMI_PATH if facts.method() == "GET" => whoami::answer(&isolate, io, &facts).await,
        path if path.starts_with(OWN_PREFIX) => respond::not_found(),
        _ => match gateway::answer(&isolate, io, facts).await {
            Ok(gateway::Answer::Ours(response)) => Ok(response),
            Ok(gateway::Answer::Origins(passage)) => return passage.begin(),
            Err(error) => Err(error),
        },
    };
    finished(&isolate, io, origin.as_deref(), response)
}

/// What is done with every answer but to a push or a preflight, and behind it. `origin` is the page's that asked.
fn finished(
    isolate: &Isolate,
    io: Io<'_>,
    origin: Option<&str>,
    response: Result<web_sys::Response>,
) -> JsValue {
    if let Some((origin, response)) = origin.zip(response.as_ref().ok()) {
        cors::share(isolate, origin, response);
    }
    usage::behind(isolate, io.env, io.context);
    refresh_behind(isolate, io.env, io.context);
    respond::handed_over(response)
}

/// Looks at the head behind the answer, when the gate says that it is time.
fn refresh_behind(isolate: &Isolate, env: &Env, context: &Context) {
    if isolate.with(|gate| gate.refresh_due(isolate::now())) == Some(true) {
        let (isolate, env) = (isolate.clone(), env.clone());
        task::behind(context, async move { refresh::behind(&isolate, &env).await });
    }
}
