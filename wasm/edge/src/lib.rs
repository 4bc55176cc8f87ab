//! The edge's Worker script: it turns a request into the gate's words and the gate's verdict into a response.
//! Nothing is decided here.
//!
//! `isolate` holds the gate, `refresh` does its I/O by way of `source` (`cache`, `kv`, `hub`), `facts` reads a request; then there is one module a
//! route: `whoami`, `verify`, `status`, `push`, and `gateway` for everything else, with `watch` over what takes long and `assertion` of
//! who calls; `log` tells of decisions. Only `respond` names status codes.

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
mod settings;
mod source;
mod status;
mod usage;
mod verify;
mod watch;
mod whoami;

use facts::Target;
use isolate::Isolate;
use std::rc::Rc;
use worker::{Context, Env, Request, Result, event, web_sys};

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

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let Some(isolate) = isolate::of(&env) else { return respond::not_configured() };
    isolate.locate(&request);
    let request = request.inner();
    let context = Rc::new(context);
    let io = Io { env: &env, context: &context };
    let target = Target::of(request);
    if let Some(rest) = target.path().strip_prefix(PUSH_PREFIX) {
        // No look at the head behind it: before the first publication ends, that would fail and open the breaker.
        return push::answer(&isolate, &env, request, rest).await;
    }
    if let Some(answer) = cors::preflight(&isolate, request, &target) {
        refresh_behind(&isolate, env, &context);
        return answer;
    }
    let response = match target.path() {
        STATUS_PATH => status::answer(&isolate, request),
        KEYS_PATH => assertion::keys(&isolate, io, request).await,
        VERIFY_PATH => verify::answer(&isolate, io, request).await,
        WHOAMI_PATH if request.method() == "GET" => whoami::answer(&isolate, io, request, &target).await,
        path if path.starts_with(OWN_PREFIX) => respond::not_found(),
        _ => gateway::answer(&isolate, io, request, &target).await,
    };
    if let Ok(response) = &response {
        cors::share(&isolate, request, response);
    }
    usage::behind(&isolate, &env, &context);
    refresh_behind(&isolate, env, &context);
    response
}

/// Looks at the head behind the answer, when the gate says that it is time.
fn refresh_behind(isolate: &Isolate, env: Env, context: &Context) {
    if isolate.with(|gate| gate.refresh_due(isolate::now())) == Some(true) {
        let isolate = isolate.clone();
        context.wait_until(async move { refresh::behind(&isolate, &env).await });
    }
}
