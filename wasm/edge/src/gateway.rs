//! The gateway: what is let in goes to the origin, body and all, by the runtime's own streaming.
//!
//! The origin gets exactly the path that was matched. It never gets the credential; who calls is told in
//! `Latchkey-*` headers, and such headers of the caller's own are taken away, whatever their spelling.

use crate::decide::decide;
use crate::facts::{Facts, Target};
use crate::isolate::Isolate;
use crate::{names, respond};
use latchkey_gate::{Attempt, Grant, Outcome, Question};
use worker::js_sys::{Object, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, Headers};
use worker::{Env, Result};

pub(crate) async fn answer(
    isolate: &Isolate,
    env: &Env,
    request: &web_sys::Request,
    target: &Target,
) -> Result<web_sys::Response> {
    let facts = Facts::new(request.method(), target, &request.headers());
    let mut attempt = Attempt::default();
    let verdict = decide(isolate, env, &facts, Question::Route, &mut attempt).await;
    let grant = match verdict.outcome {
        Outcome::Refuse(refusal) => return respond::refused(refusal, verdict.standing),
        Outcome::Allow(grant) => grant,
    };
    let Some(origin) = &isolate.settings().origin else {
        return respond::no_origin(verdict.standing);
    };
    let Some(names) = names::of(isolate, env, &grant.binding, &mut attempt).await else {
        return respond::out_of_reach(verdict.standing);
    };
    match pass_on(request, &format!("{origin}{}", target.as_str()), &grant, &names).await {
        Ok(response) => respond::from_origin(&response, verdict.standing),
        Err(error) => {
            worker::console_error!("the origin did not answer: {error}");
            respond::origin_unreachable(verdict.standing)
        }
    }
}

async fn pass_on(
    request: &web_sys::Request,
    url: &str,
    grant: &Grant,
    names: &names::Names,
) -> Result<web_sys::Response> {
    let headers = Headers::new_with_headers(&request.headers())?;
    strip(&headers)?;
    headers.delete("authorization")?;
    for (name, value) in respond::identity(grant, names) {
        headers.set(name, &value)?;
    }
    let init = Object::new();
    let fields: [(&str, JsValue); 5] = [
        ("method", JsValue::from_str(&request.method())),
        ("headers", headers.into()),
        ("body", request.body().map_or(JsValue::NULL, JsValue::from)),
        ("redirect", JsValue::from_str("manual")),
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

/// Takes away every header that could be taken for one of ours.
pub(crate) fn strip(headers: &Headers) -> Result<()> {
    let names: Vec<String> = headers
        .keys()
        .into_iter()
        .filter_map(|name| name.ok()?.as_string())
        .filter(|name| is_ours(name))
        .collect();
    for name in names {
        headers.delete(&name)?;
    }
    Ok(())
}

/// Whether a name begins with `Latchkey-`, in any case and with `_` for `-`, as some origins read it.
fn is_ours(name: &str) -> bool {
    let same = |(byte, ours): (u8, u8)| byte.to_ascii_lowercase() == ours || (byte == b'_' && ours == b'-');
    name.len() >= OURS.len() && name.bytes().zip(OURS.bytes()).all(same)
}

const OURS: &str = "latchkey-";
