//! `/.latchkey/status`: the gate's account of itself. Without the push token it tells no more than any answer does.

use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::respond;
use worker::{Result, web_sys};

pub(crate) fn answer(isolate: &Isolate, facts: &Facts) -> Result<web_sys::Response> {
    if !matches!(facts.method(), "GET" | "HEAD") {
        return respond::method_not_allowed();
    }
    let token = isolate.settings().push;
    let trusted = facts.authorization().zip(token).is_some_and(|(header, token)| token.is_bearer(header));
    match isolate.with(|gate| gate.status(now())) {
        Some(status) => respond::status(&status, isolate.report(|report| report.account()), trusted),
        None => respond::out_of_reach(None),
    }
}
