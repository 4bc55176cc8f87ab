//! `/.latchkey/verify`: forward-auth for a proxy that asks before it passes a request on. The proxy proves itself
//! with a token; the original request is read from one family of headers, and the others are ignored.

use crate::Io;
use crate::decide::{Decision, decide};
use crate::facts::{Facts, Target};
use crate::isolate::Isolate;
use crate::respond;
use crate::settings::Family;
use crate::usage;
use latchkey_gate::Question;
use latchkey_gate::headers::is_misspelt;
use worker::Result;
use worker::web_sys::{self, Headers};

const TOKEN_HEADER: &str = "latchkey-forward-token";

pub(crate) async fn answer(isolate: &Isolate, io: Io<'_>, facts: Facts) -> Result<web_sys::Response> {
    let Some(token) = &isolate.settings().forward else { return respond::not_found() };
    let headers = facts.headers();
    if !headers.get(TOKEN_HEADER)?.is_some_and(|given| token.is(&given)) {
        return respond::forward_token();
    }
    let family = isolate.settings().family;
    if facts.names().any(is_misspelt) {
        return respond::header_spelling();
    }
    let Some((method, target)) = original(&headers, family)? else {
        return respond::forward_headers();
    };
    let facts = facts.asked_about(method, target);
    match decide(isolate, io, &facts, Question::Route).await {
        // nginx is the one that keeps a body back.
        Decision::Refused(refusal, standing) if family == Family::Original => {
            respond::refused_to_proxy(refusal, standing)
        }
        Decision::Refused(refusal, standing) => respond::refused(refusal, standing),
        Decision::Passed(_, standing) => respond::passed(standing),
        Decision::Admitted(grant, names, _, standing) => {
            usage::record(isolate, &grant);
            respond::verified(&grant, &names, standing)
        }
    }
}

/// Method and target of the original request; `None` when one of the two headers is missing, empty or there twice.
fn original(headers: &Headers, family: Family) -> Result<Option<(String, Target)>> {
    let (method, target, host) = family.headers();
    // A host that stands twice is none that any rule has.
    let host = headers.get(host)?;
    let method = headers.get(method)?.filter(|text| is_method(text));
    // The runtime folds two headers into one with a comma and a space, and no request target has a space.
    let target = headers.get(target)?.filter(|text| !text.is_empty() && !text.contains(' '));
    Ok(method.zip(target.map(|target| Target::named(host, target))))
}

fn is_method(text: &str) -> bool {
    (1..=METHOD_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

const METHOD_LEN_MAX: usize = 16;
