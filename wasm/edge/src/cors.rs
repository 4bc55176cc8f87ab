//! Pages of other origins in browsers: their preflights, and what they may read of an answer.

use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::respond;
use latchkey_gate::{Preflight, PreflightRequest};
use worker::{Result, web_sys};

/// Answers a preflight, if this is one that the rules answer.
pub(crate) fn preflight(isolate: &Isolate, facts: &Facts) -> Option<Result<web_sys::Response>> {
    if facts.method() != "OPTIONS" {
        return None;
    }
    let (origin, method) = (facts.header("origin")?, facts.header("access-control-request-method")?);
    let asked = PreflightRequest { origin: &origin, method: &method };
    isolate.with(|gate| match gate.preflight(&facts.request(), asked, now())? {
        Preflight::Allowed(cors) => Some(respond::preflight(&origin, &method, cors)),
        Preflight::Refused => Some(respond::origin_not_allowed()),
    })?
}

/// Lets a page of this origin read an answer, if it may.
pub(crate) fn share(isolate: &Isolate, origin: &str, response: &web_sys::Response) {
    isolate.with(|gate| {
        if let Some(cors) = gate.cors(origin) {
            // Headers that cannot be set any more are those of an upgrade, which no page reads.
            let _ = respond::share(&response.headers(), origin, cors);
        }
    });
}
