//! `GET /v1/whoami` (IAM K11): who a key is, answered from the snapshot.

use crate::decide::decide;
use crate::facts::{Facts, Target};
use crate::isolate::Isolate;
use crate::{names, respond};
use latchkey_gate::{Attempt, Outcome, Question};
use worker::{Env, Result, web_sys};

pub(crate) async fn answer(
    isolate: &Isolate,
    env: &Env,
    request: &web_sys::Request,
    target: &Target,
) -> Result<web_sys::Response> {
    let facts = Facts::new(request.method(), target, &request.headers());
    let mut attempt = Attempt::default();
    let verdict = decide(isolate, env, &facts, Question::Whoami, &mut attempt).await;
    match verdict.outcome {
        Outcome::Refuse(refusal) => respond::refused(refusal, verdict.standing),
        Outcome::Allow(grant) => match names::of(isolate, env, &grant.binding, &mut attempt).await {
            Some(names) => respond::whoami(&grant, &names, verdict.standing),
            None => respond::out_of_reach(verdict.standing),
        },
    }
}
