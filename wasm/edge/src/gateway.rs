//! The gateway: what is let in goes to the origin, body and all, by the runtime's own streaming.
//!
//! The origin gets exactly the path that was matched. It gets the credential only where the rule says so; who calls is told in
//! `Latchkey-*` headers, and such headers of the caller's own are taken away, whatever their spelling.

use crate::Io;
use crate::decide::{Decision, decide};
use crate::facts::Facts;
use crate::isolate::Isolate;
use crate::runtime::{self, Changes};
use crate::watch::Watch;
use crate::{assertion, respond, usage};
use latchkey_gate::bodies::{Names, identity};
use latchkey_gate::{Grant, Question};
use latchkey_snapshot::Forwarding;
use worker::Result;
use worker::wasm_bindgen::JsCast;
use worker::web_sys;

pub(crate) async fn answer(
    isolate: &Isolate,
    io: Io<'_>,
    request: &web_sys::Request,
    facts: Facts,
) -> Result<web_sys::Response> {
    let (caller, forwarding, standing) = match decide(isolate, io, &facts, Question::Route).await {
        Decision::Refused(refusal, standing) => return respond::refused(refusal, standing),
        Decision::Passed(forwarding, standing) => (None, forwarding, standing),
        Decision::Admitted(grant, names, forwarding, standing) => {
            (Some((grant, names)), forwarding, standing)
        }
    };
    let Some(origin) = &isolate.settings().origin else {
        return respond::no_origin(standing);
    };
    let mut changes = told(&facts, caller.as_ref(), forwarding)?;
    if let Some((grant, names)) = &caller {
        match assertion::of(isolate, grant, names).await {
            Ok(None) => {}
            Ok(Some(text)) => changes.set(assertion::HEADER, &text)?,
            Err(error) => {
                worker::console_error!("nobody can be asserted to the origin: {error}");
                return respond::assertion_unavailable(standing);
            }
        }
    }
    let url = format!("{origin}{}", facts.path_and_query());
    let watch = Watch::new(isolate, io, facts)?;
    let answered = match runtime::pass_on(request, &url, &changes, &watch.signal()) {
        Ok(answered) => watch.during(&answered).await,
        Err(error) => Ok(Err(error)),
    };
    match answered {
        Ok(Ok(response)) => {
            if let Some((grant, _)) = &caller {
                usage::record(isolate, grant);
            }
            watch.over(response.unchecked_ref(), standing)
        }
        Err((refusal, standing)) => {
            watch.end();
            respond::refused(refusal, standing)
        }
        Ok(Err(error)) => {
            worker::console_error!("the origin did not answer: {error}");
            respond::origin_unreachable(standing)
        }
    }
}

/// What the origin gets to hear that the caller did not say, and not from the caller.
fn told(facts: &Facts, caller: Option<&(Grant, Box<Names>)>, forwarding: Forwarding) -> Result<Changes> {
    let mut changes = Changes::of(facts.names());
    if forwarding == Forwarding::Removed {
        changes.remove("authorization");
    }
    // The origin is asked under its own name.
    if let Some(host) = facts.host() {
        changes.set(HOST_HEADER, host)?;
    }
    if let Some((grant, names)) = caller {
        for (name, value) in identity(grant, names) {
            changes.set(name, &value)?;
        }
        if let Some(model) = facts.model() {
            changes.set(MODEL_HEADER, model)?;
        }
    }
    Ok(changes)
}

/// The host that was judged.
const HOST_HEADER: &str = "x-forwarded-host";
/// The model that the body was seen to name, where that was asked.
const MODEL_HEADER: &str = "latchkey-model";
