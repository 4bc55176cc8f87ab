//! The edge's Worker script: it turns a request into the gate's words and the gate's verdict into a response.
//! Nothing is decided here.
//!
//! `isolate` holds the gate, `refresh` does its I/O by way of `source` (`cache`, `kv`, `hub`), `facts` reads a request by way of `runtime`; then there is one module a
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
mod runtime;
mod settings;
mod source;
mod status;
mod usage;
mod verify;
mod watch;
mod whoami;

use facts::Facts;
use isolate::Isolate;
use std::rc::Rc;
use worker::{Context, Env, Result, event, web_sys};

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
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let Some(isolate) = isolate::of(&env) else { return respond::not_configured() };
    isolate.locate(&request);
    let Some(facts) = Facts::of(&isolate, &request) else { return respond::unreadable() };
    let context = Rc::new(context);
    let io = Io { env: &env, context: &context };
    if let Some(rest) = facts.path().strip_prefix(PUSH_PREFIX) {
        // No look at the head behind it: before the first publication ends, that would fail and open the breaker.
        return push::answer(&isolate, &env, &request, rest).await;
    }
    if let Some(answer) = cors::preflight(&isolate, &facts) {
        refresh_behind(&isolate, env, &context);
        return answer;
    }
    let origin = facts.origin().map(str::to_owned);
    let response = match facts.path() {
        STATUS_PATH => status::answer(&isolate, &facts),
        KEYS_PATH => assertion::keys(&isolate, io, &facts).await,
        VERIFY_PATH => verify::answer(&isolate, io, facts).await,
        WHOAMI_PATH if facts.method() == "GET" => whoami::answer(&isolate, io, &facts).await,
        path if path.starts_with(OWN_PREFIX) => respond::not_found(),
        _ => gateway::answer(&isolate, io, &request, facts).await,
    };
    if let Some((origin, response)) = origin.zip(response.as_ref().ok()) {
        cors::share(&isolate, &origin, response);
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
