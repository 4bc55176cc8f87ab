//! A request's loop with the gate: decide, do what it asks for, decide again.

use crate::Io;
use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::names::{self, Names};
use crate::{rate, refresh};
use latchkey_gate::{
    Ask, Attempt, Grant, Outcome, Pass, Question, Refusal, Standing, Step, Unavailable, Verdict,
};
use latchkey_snapshot::Forwarding;

/// What becomes of a request.
pub(crate) enum Decision {
    /// It is refused.
    Refused(Refusal, Option<Standing>),
    /// It would be let in, and who calls cannot be told.
    OutOfReach(Option<Standing>),
    /// It goes on, and nobody is named to the origin.
    Passed(Forwarding, Option<Standing>),
    /// It is let in.
    Admitted(Grant, Box<Names>, Forwarding, Option<Standing>),
}

/// Decides on a request. Whatever had to be waited for, the verdict comes after it: a wait for names may be long
/// enough for a revocation.
pub(crate) async fn decide(isolate: &Isolate, io: Io<'_>, facts: &Facts, question: Question) -> Decision {
    let mut attempt = Attempt::default();
    let mut is_counted = false;
    loop {
        let verdict = judge(isolate, io, facts, question, &mut attempt).await;
        let grant = match verdict.outcome {
            Outcome::Refuse(refusal) => return Decision::Refused(refusal, verdict.standing),
            Outcome::Pass(pass) => return passed(pass, &verdict),
            Outcome::Allow(grant) => grant,
        };
        match names::of(isolate, &grant.binding, &mut attempt) {
            names::Next::Found(names) => match grant.rate.filter(|_| !is_counted) {
                None => return Decision::Admitted(grant, names, forwarding(&verdict), verdict.standing),
                Some(rate) => {
                    is_counted = true;
                    if let Some(refusal) = rate::refusal(io.env, rate).await {
                        let told =
                            isolate.with(|gate| gate.refused_for_rate(refusal, &verdict, &mut attempt));
                        return match told.map(|told| told.outcome) {
                            Some(Outcome::Pass(pass)) => passed(pass, &verdict),
                            _ => Decision::Refused(refusal, verdict.standing),
                        };
                    }
                }
            },
            names::Next::Unavailable => return Decision::OutOfReach(verdict.standing),
            names::Next::Ask(ask) => refresh::perform(isolate, io, ask).await,
        }
    }
}

fn passed(pass: Pass, verdict: &Verdict) -> Decision {
    if let Pass::Shadow(refusal) = pass {
        worker::console_log!("shadow: would be refused as `{}`", refusal.cause());
    }
    Decision::Passed(forwarding(verdict), verdict.standing)
}

fn forwarding(verdict: &Verdict) -> Forwarding {
    verdict.matched.map_or(Forwarding::Removed, |matched| matched.forwarding)
}

/// Judges a request that was let in as if it came now; `None`: it still is. It counts for no rate.
pub(crate) async fn judge_again(
    isolate: &Isolate,
    io: Io<'_>,
    facts: &Facts,
) -> Option<(Refusal, Option<Standing>)> {
    let verdict = judge(isolate, io, facts, Question::Route, &mut Attempt::default()).await;
    match verdict.outcome {
        Outcome::Refuse(refusal) => Some((refusal, verdict.standing)),
        Outcome::Allow(_) | Outcome::Pass(_) => None,
    }
}

async fn judge(
    isolate: &Isolate,
    io: Io<'_>,
    facts: &Facts,
    question: Question,
    attempt: &mut Attempt,
) -> Verdict {
    loop {
        let step = isolate.with(|gate| gate.decide(&facts.request(), question, now(), attempt));
        match step {
            Some(Step::Answer(verdict)) => return verdict,
            Some(Step::Ask(Ask::Body(field))) => facts.look_into_body(&field).await,
            Some(Step::Ask(ask)) => refresh::perform(isolate, io, ask).await,
            None => {
                let outcome = Outcome::Refuse(Refusal::Unavailable(Unavailable::OutOfReach));
                return Verdict { outcome, standing: None, matched: None };
            }
        }
    }
}
