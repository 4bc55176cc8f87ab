//! `GET /v1/whoami` (IAM K11): who a key is, answered from the snapshot.

use crate::Io;
use crate::decide::{Decision, decide};
use crate::facts::Facts;
use crate::isolate::Isolate;
use crate::respond;
use latchkey_gate::Question;
use worker::{Result, web_sys};

pub(crate) async fn answer(isolate: &Isolate, io: Io<'_>, facts: &Facts) -> Result<web_sys::Response> {
    match decide(isolate, io, facts, Question::Whoami).await {
        Decision::Refused(refusal, standing) => respond::refused(refusal, standing),
        // Whoami falls under no rule.
        Decision::Passed(_, standing) => respond::out_of_reach(standing),
        Decision::Admitted(grant, names, _, standing) => respond::whoami(&grant, &names, standing),
    }
}
