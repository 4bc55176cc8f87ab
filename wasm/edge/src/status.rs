//! `/.latchkey/status`: the gate's account of itself. Without the push token it tells no more than any answer does.

use crate::isolate::{Isolate, now};
use crate::respond;
use worker::{Result, web_sys};

pub(crate) fn answer(isolate: &Isolate, request: &web_sys::Request) -> Result<web_sys::Response> {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return respond::method_not_allowed();
    }
    let header = request.headers().get("authorization")?;
    let token = isolate.settings().push;
    let trusted = header.zip(token).is_some_and(|(header, token)| token.is_bearer(&header));
    match isolate.with(|gate| gate.status(now())) {
        Some(status) => respond::status(&status, isolate.report(|report| report.account()), trusted),
        None => respond::out_of_reach(None),
    }
}
