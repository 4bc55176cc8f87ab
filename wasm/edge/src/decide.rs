//! A request's loop with the gate: decide, do what it asks for, decide again.

use crate::Io;
use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::log::Note;
use crate::names;
use crate::{rate, refresh};
use latchkey_gate::bodies::Names;
use latchkey_gate::{
    Ask, Attempt, Grant, Outcome, Pass, Question, Refusal, Standing, Step, Unavailable, Verdict,
};
use latchkey_snapshot::Forwarding;

/// What becomes of a request.
pub(crate) enum Decision {
    /// It is refused.
    Refused(Refusal, Option<Standing>),
    /// It goes on, and nobody is named to the origin.
    Passed(Forwarding, Option<Standing>),
    /// It is let in.
    Admitted(Grant, Box<Names>, Forwarding, Option<Standing>),
}

/// Decides on a request. Whatever had to be waited for, the verdict comes after it: a wait for names may be long
/// enough for a revocation.
pub(crate) async fn decide(isolate: &Isolate, io: Io<'_>, facts: &Facts, question: Question) -> Decision {
    let mut note = Note::begin(isolate);
    let (verdict, names) = settle(isolate, io, facts, question, &mut note).await;
    if let Some(note) = note {
        note.write(isolate, facts, &verdict, names.as_ref().map(|names| names.project), false);
    }
    match (verdict.outcome, names) {
        (Outcome::Pass(pass), _) => passed(pass, &verdict),
        (Outcome::Allow(grant), Some(names)) => {
            Decision::Admitted(grant, names, forwarding(&verdict), verdict.standing)
        }
        (Outcome::Refuse(refusal), _) => Decision::Refused(refusal, verdict.standing),
        // Who is let in is named, or goes nowhere.
        (Outcome::Allow(_), None) => Decision::Refused(OUT_OF_REACH, verdict.standing),
    }
}

/// The verdict on a request, and the names of who is let in; without them, nobody is.
async fn settle(
    isolate: &Isolate,
    io: Io<'_>,
    facts: &Facts,
    question: Question,
    note: &mut Option<Note>,
) -> (Verdict, Option<Box<Names>>) {
    let mut attempt = Attempt::default();
    let mut is_counted = false;
    loop {
        let verdict = judge(isolate, io, facts, question, &mut attempt).await;
        *note = note.take().map(|note| note.of(isolate, &verdict));
        let Outcome::Allow(grant) = verdict.outcome else { return (verdict, None) };
        match names::of(isolate, &grant.binding, &mut attempt) {
            names::Next::Found(names) => match grant.rate.filter(|_| !is_counted) {
                None => return (verdict, Some(names)),
                Some(rate) => {
                    is_counted = true;
                    if let Some(refusal) = rate::refusal(io.env, rate).await {
                        let told =
                            isolate.with(|gate| gate.refused_for_rate(refusal, &verdict, &mut attempt));
                        let outcome = Outcome::Refuse(refusal);
                        return (told.unwrap_or(Verdict { outcome, ..verdict }), Some(names));
                    }
                }
            },
            names::Next::Unavailable => {
                return (Verdict { outcome: Outcome::Refuse(OUT_OF_REACH), ..verdict }, None);
            }
            names::Next::Ask(ask) => refresh::perform(isolate, io, ask).await,
        }
    }
}

const OUT_OF_REACH: Refusal = Refusal::Unavailable(Unavailable::OutOfReach);

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
    let note = Note::begin(isolate);
    let verdict = judge(isolate, io, facts, Question::Route, &mut Attempt::again()).await;
    let Outcome::Refuse(refusal) = verdict.outcome else { return None };
    if let Some(note) = note {
        note.of(isolate, &verdict).write(isolate, facts, &verdict, None, true);
    }
    Some((refusal, verdict.standing))
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
                let outcome = Outcome::Refuse(OUT_OF_REACH);
                return Verdict { outcome, standing: None, matched: None, proven: None };
            }
        }
    }
}
