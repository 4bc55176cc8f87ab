//! What was let in, on its way to the hub (IAM B1, B3): counted in the isolate, handed over in batches behind answers.
//!
//! The first count after a batch sets a timer; what it finds at its end is a batch with an id of its own, which is sent
//! until the hub has it. Nothing is waited for by a request, and what an isolate that is ended has not sent is lost: some
//! seconds of its own traffic.

use crate::isolate::{Isolate, now};
use crate::{hub, task};
use core::fmt::Write;
use core::time::Duration;
use latchkey_core::UnixMillis;
use latchkey_gate::json::Object;
use latchkey_gate::usage::Line;
use latchkey_gate::{Grant, Subject, Usage};
use worker::Env;
use worker::js_sys::{self, Function, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::Context;

/// How long counts are gathered before they are sent.
const GATHER_MS: u64 = 5000;
/// A timer that has not rung so long after it should have is gone with its request.
const OVERDUE_MS: u64 = 5000;
/// How often one timer tries to hand a batch over; then the next request's does.
const TRIES: u64 = 3;
const PAUSE_MS: u64 = 2000;

/// What an isolate counts and has not handed over.
#[derive(Default)]
pub(crate) struct Report {
    usage: Usage,
    /// Drawn up and not acknowledged yet.
    pending: Option<Batch>,
    /// When the timer was set that has not rung.
    armed: Option<UnixMillis>,
}

#[derive(Clone)]
struct Batch {
    id: String,
    body: Vec<u8>,
}

/// What there is to tell of it.
pub(crate) struct Account {
    /// Whether a batch waits for the hub.
    pub(crate) pending: bool,
    /// Requests that found no room to be counted in.
    pub(crate) lost: u64,
}

/// Counts a request that was let in and has gone on.
pub(crate) fn record(isolate: &Isolate, grant: &Grant) {
    isolate.report(|report| report.usage.record(grant, now()));
}

/// Sets the timer behind an answer, when there is something to hand over and none is set.
pub(crate) fn behind(isolate: &Isolate, env: &Env, context: &Context) {
    let Some(pause) = isolate.report(|report| report.arm(now())).flatten() else { return };
    let (isolate, env) = (isolate.clone(), env.clone());
    task::behind(context, async move {
        task::sleep(pause).await;
        hand_over(&isolate, &env).await;
    });
}

async fn hand_over(isolate: &Isolate, env: &Env) {
    for attempt in 0..TRIES {
        if attempt > 0 {
            task::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
        let Some(batch) = isolate.report(Report::draw_up).flatten() else { return };
        match hub::report(isolate, env, &batch.id, &batch.body).await {
            Ok(()) => {
                isolate.report(|report| report.acknowledge(&batch.id));
                return;
            }
            Err(error) => worker::console_warn!("a batch of usage waits: {error}"),
        }
    }
}

impl Report {
    pub(crate) fn account(&self) -> Account {
        Account { pending: self.pending.is_some(), lost: self.usage.lost() }
    }

    fn arm(&mut self, now: UnixMillis) -> Option<Duration> {
        let is_empty = self.usage.is_empty() && self.pending.is_none();
        let waits = self.armed.is_some_and(|armed| now.since_ms(armed) < GATHER_MS + OVERDUE_MS);
        // What is full is handed over at once, unless a batch before it still waits for the hub.
        let hurries = self.usage.is_full() && self.pending.is_none();
        if is_empty || (waits && !hurries) {
            return None;
        }
        self.armed = Some(now);
        Some(Duration::from_millis(if hurries { 0 } else { GATHER_MS }))
    }

    /// The batch to send: the one that was not acknowledged, else a new one.
    fn draw_up(&mut self) -> Option<Batch> {
        self.armed = None;
        if self.pending.is_none() && !self.usage.is_empty() {
            let id = random_id()?;
            let mut batch = Object::new();
            batch.text("id", &id).list("lines", self.usage.drain().iter().map(line));
            self.pending = Some(Batch { id, body: batch.end().into_bytes() });
        }
        self.pending.clone()
    }

    fn acknowledge(&mut self, id: &str) {
        if self.pending.as_ref().is_some_and(|batch| batch.id == id) {
            self.pending = None;
        }
    }
}

/// A line of `latchkey_api::usage::ReportUsage`, written without that crate.
fn line(line: &Line) -> String {
    let last_at = crate::respond::rfc3339(line.last_at.seconds().0);
    let mut subject = Object::new();
    match line.subject {
        Subject::Key(id) => subject.text("key", &id.to_string()),
        Subject::Session(identity) => subject.text("identity", &identity.to_string()),
    };
    let mut body = Object::new();
    body.object("subject", subject).number("project", line.project.0.into());
    body.text("permission", line.permission.as_str());
    // `last_at` is on the line's day.
    body.text("day", last_at.get(..10).unwrap_or_default());
    body.number("requests", line.requests).text("last_at", &last_at);
    body.end()
}

/// 128 random bits, by the runtime's own generator.
fn random_id() -> Option<String> {
    let crypto = Reflect::get(&js_sys::global(), &JsValue::from_str("crypto")).ok()?;
    let fill: Function =
        Reflect::get(&crypto, &JsValue::from_str("getRandomValues")).ok()?.dyn_into().ok()?;
    let bytes = Uint8Array::new_with_length(16);
    fill.call1(&crypto, &bytes).ok()?;
    let mut text = String::new();
    bytes.to_vec().into_iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(text)
}
