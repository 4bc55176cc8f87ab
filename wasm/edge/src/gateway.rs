//! The gateway: what is let in goes to the origin, body and all, by the runtime's own streaming.
//!
//! The origin gets exactly the path that was matched. It gets the credential only where the rule says so; who calls is told in
//! `Latchkey-*` headers, and such headers of the caller's own are taken away, whatever their spelling.

use crate::Io;
use crate::decide::{Decision, decide};
use crate::facts::{Facts, Target};
use crate::isolate::Isolate;
use crate::watch::Watch;
use crate::{assertion, respond, usage};
use latchkey_gate::Question;
use latchkey_gate::bodies::identity;
use latchkey_gate::headers::is_taken_away;
use latchkey_snapshot::Forwarding;
use worker::Result;
use worker::js_sys::{Object, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, AbortSignal, Headers};

pub(crate) async fn answer(
    isolate: &Isolate,
    io: Io<'_>,
    request: &web_sys::Request,
    target: &Target,
) -> Result<web_sys::Response> {
    let client = isolate.settings().client_header.as_deref();
    let facts = Facts::new(request.method(), target, request.headers(), client).with_body(request);
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
    let mut told = Vec::new();
    // The origin is asked under its own name.
    told.extend(target.host().map(|host| (HOST_HEADER, host.to_owned())));
    if let Some((grant, names)) = &caller {
        told.extend(identity(grant, names));
        told.extend(facts.model().map(|model| (MODEL_HEADER, model.to_owned())));
        match assertion::of(isolate, grant, names).await {
            Ok(assertion) => told.extend(assertion.map(|text| (assertion::HEADER, text))),
            Err(error) => {
                worker::console_error!("nobody can be asserted to the origin: {error}");
                return respond::assertion_unavailable(standing);
            }
        }
    }
    let watch = Watch::new(isolate, io, facts)?;
    let url = format!("{origin}{}", target.as_str());
    match watch.during(pass_on(request, &url, &watch.signal(), forwarding, told)).await {
        Ok(Ok(response)) => {
            if let Some((grant, _)) = &caller {
                usage::record(isolate, grant);
            }
            watch.over(&response, standing)
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

async fn pass_on(
    request: &web_sys::Request,
    url: &str,
    signal: &AbortSignal,
    forwarding: Forwarding,
    told: Vec<(&'static str, String)>,
) -> Result<web_sys::Response> {
    let headers = Headers::new_with_headers(&request.headers())?;
    strip(&headers)?;
    if forwarding == Forwarding::Removed {
        headers.delete("authorization")?;
    }
    for (name, value) in told {
        headers.set(name, &value)?;
    }
    let init = Object::new();
    let fields: [(&str, JsValue); 7] = [
        ("method", JsValue::from_str(&request.method())),
        ("headers", headers.into()),
        ("body", request.body().map_or(JsValue::NULL, JsValue::from)),
        ("redirect", JsValue::from_str("manual")),
        ("signal", signal.into()),
        // What is compressed goes through as it is.
        ("encodeResponseBody", JsValue::from_str("manual")),
        // No cache may answer: one project's answer would reach another.
        ("cache", JsValue::from_str("no-store")),
    ];
    for (name, value) in fields {
        Reflect::set(&init, &JsValue::from_str(name), &value)?;
    }
    let onward = web_sys::Request::new_with_str_and_init(url, init.unchecked_ref())?;
    let scope: web_sys::WorkerGlobalScope = worker::js_sys::global().unchecked_into();
    Ok(JsFuture::from(scope.fetch_with_request(&onward)).await?.dyn_into()?)
}

/// Takes away every header that could be taken for one of ours, or that makes another request of this one.
pub(crate) fn strip(headers: &Headers) -> Result<()> {
    let names: Vec<String> = names(headers).filter(|name| is_taken_away(name)).collect();
    for name in names {
        headers.delete(&name)?;
    }
    Ok(())
}

/// The names of all headers.
pub(crate) fn names(headers: &Headers) -> impl Iterator<Item = String> {
    headers.keys().into_iter().filter_map(|name| name.ok()?.as_string())
}

/// The host that was judged.
const HOST_HEADER: &str = "x-forwarded-host";
/// The model that the body was seen to name, where that was asked.
const MODEL_HEADER: &str = "latchkey-model";
