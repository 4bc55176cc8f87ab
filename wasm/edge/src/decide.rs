//! A request's loop with the gate: decide, do what it asks for, decide again.

use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::refresh;
use latchkey_gate::{Attempt, Outcome, Question, Refusal, Step, Unavailable, Verdict};
use worker::Env;

/// The verdict on a request. `attempt` is the request's own, for what else it may ask the gate.
pub(crate) async fn decide(
    isolate: &Isolate,
    env: &Env,
    facts: &Facts,
    question: Question,
    attempt: &mut Attempt,
) -> Verdict {
    loop {
        let step = isolate.with(|gate| gate.decide(&facts.request(), question, now(), attempt));
        match step {
            Some(Step::Answer(verdict)) => return verdict,
            Some(Step::Ask(ask)) => refresh::perform(isolate, env, ask).await,
            None => {
                let outcome = Outcome::Refuse(Refusal::Unavailable(Unavailable::OutOfReach));
                return Verdict { outcome, standing: None };
            }
        }
    }
}
