//! The decision log: a line on the console for each decision that is drawn, for Tail Workers, Logpush and `wrangler tail`.
//! What a line says is the gate's to know.

use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use latchkey_core::{ProjectId, UnixMillis};
use latchkey_gate::Verdict;
use latchkey_gate::decision::{DRAWS, Line, request_id};
use latchkey_snapshot::Rule;
use worker::js_sys::Math;

/// A decision that was drawn before anything was known of it.
pub(crate) struct Note {
    draw: u32,
    begun: UnixMillis,
    rule: Option<Rule>,
}

impl Note {
    /// `None` if whatever is decided is not written.
    pub(crate) fn begin(isolate: &Isolate) -> Option<Self> {
        let shares = &isolate.settings().decisions;
        if !shares.may_take(0) {
            return None;
        }
        let draw = (Math::random() * f64::from(DRAWS)) as u32;
        shares.may_take(draw).then(|| Self { draw, begun: now(), rule: None })
    }

    /// Notes the rule before anything is waited for: rules may change.
    pub(crate) fn of(mut self, isolate: &Isolate, verdict: &Verdict) -> Self {
        self.rule = isolate.with(|gate| gate.rule_of(verdict).cloned()).flatten();
        self
    }

    /// Writes what was decided, if this draw is of that kind.
    pub(crate) fn write(
        &self,
        isolate: &Isolate,
        facts: &Facts,
        verdict: &Verdict,
        project: Option<ProjectId>,
        is_again: bool,
    ) {
        if !isolate.settings().decisions.takes(&verdict.outcome, self.draw) {
            return;
        }
        let (ray, traceparent) = (facts.header("cf-ray"), facts.header("traceparent"));
        let line = Line {
            at: now(),
            took_ms: now().since_ms(self.begun),
            request: request_id(ray.as_deref(), traceparent.as_deref()),
            verdict,
            rule: self.rule.as_ref(),
            project,
            is_again,
        };
        worker::console_log!("{}", line.text());
    }
}
