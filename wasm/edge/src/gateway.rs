//! The gateway: what is let in goes to the origin, body and all, by the runtime's own streaming.
//!
//! The origin gets exactly the path that was matched. It gets the credential only where the rule says so; who calls is told in
//! `Latchkey-*` headers, and such headers of the caller's own are taken away, whatever their spelling.

use crate::decide::{Decision, decide};
use crate::facts::Facts;
use crate::isolate::Isolate;
use crate::runtime::{Changes, Settled};
use crate::watch::{Refused, Watch};
use crate::{Io, assertion, finished, respond, runtime, task, usage};
use latchkey_gate::bodies::{Names, identity};
use latchkey_gate::{Grant, Question, Standing};
use latchkey_snapshot::Forwarding;
use std::rc::Rc;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{AbortController, Response};
use worker::{Error, Result};

/// Whose answer it is.
pub(crate) enum Answer {
    /// The script's own.
    Ours(Response),
    /// The origin's, which has yet to be asked.
    Origins(Passage),
}

/// A request on its way to the origin and back.
pub(crate) struct Passage {
    watch: Rc<Watch>,
    url: String,
    changes: Changes,
    returning: Returning,
}

/// What is known of a request when its answer comes.
struct Returning {
    grant: Option<Grant>,
    standing: Option<Standing>,
}

pub(crate) async fn answer(isolate: &Isolate, io: Io<'_>, facts: Facts) -> Result<Answer> {
    let (caller, forwarding, standing) = match decide(isolate, io, &facts, Question::Route).await {
        Decision::Refused(refusal, standing) => return respond::refused(refusal, standing).map(Answer::Ours),
        Decision::Passed(forwarding, standing) => (None, forwarding, standing),
        Decision::Admitted(grant, names, forwarding, standing) => {
            (Some((grant, names)), forwarding, standing)
        }
    };
    let Some(origin) = &isolate.settings().origin else {
        return respond::no_origin(standing).map(Answer::Ours);
    };
    let mut changes = told(&facts, caller.as_ref(), forwarding)?;
    if let Some((grant, names)) = &caller {
        match assertion::of(isolate, grant, names).await {
            Ok(None) => {}
            Ok(Some(text)) => changes.set(assertion::HEADER, &text)?,
            Err(error) => {
                worker::console_error!("nobody can be asserted to the origin: {error}");
                return respond::assertion_unavailable(standing).map(Answer::Ours);
            }
        }
    }
    let url = [origin, facts.path_and_query()].concat();
    let watch = Rc::new(Watch::new(isolate, io, facts));
    let returning = Returning { grant: caller.map(|(grant, _)| grant), standing };
    Ok(Answer::Origins(Passage { watch, url, changes, returning }))
}

impl Passage {
    /// Asks the origin; what it says comes by a promise.
    pub(crate) fn begin(self) -> JsValue {
        let Self { watch, url, changes, returning } = self;
        let asked = Rc::clone(&watch);
        runtime::pass_on(asked.facts().incoming(), &url, &changes, move |settled, controller| {
            returning.settled(watch, settled, controller)
        })
    }
}

impl Returning {
    fn settled(self, watch: Rc<Watch>, settled: Settled, controller: AbortController) -> JsValue {
        match settled {
            Settled::Answered(response) => self.answered(&watch, &controller, &response),
            Settled::Failed(error) => self.failed(&watch, error),
            Settled::Late(answered) => task::run(async move {
                match watch.on(answered).await {
                    Ok(Ok(response)) => self.answered(&watch, &controller, response.unchecked_ref()),
                    Ok(Err(error)) => self.failed(&watch, error),
                    Err(refused) => {
                        controller.abort();
                        self.refused(&watch, refused)
                    }
                }
            }),
        }
    }

    fn answered(&self, watch: &Rc<Watch>, controller: &AbortController, response: &Response) -> JsValue {
        if let Some(grant) = &self.grant {
            usage::record(watch.isolate(), grant);
        }
        finish(watch, watch.over(controller, response, self.standing))
    }

    fn failed(&self, watch: &Watch, error: JsValue) -> JsValue {
        worker::console_error!("the origin did not answer: {}", Error::from(error));
        finish(watch, respond::origin_unreachable(self.standing))
    }

    fn refused(&self, watch: &Watch, (refusal, standing): Refused) -> JsValue {
        finish(watch, respond::refused(refusal, standing))
    }
}

fn finish(watch: &Watch, response: Result<Response>) -> JsValue {
    finished(watch.isolate(), watch.io(), watch.facts().origin(), response)
}

/// What the origin gets to hear that the caller did not say, and not from the caller.
fn told(facts: &Facts, caller: Option<&(Grant, Box<Names>)>, forwarding: Forwarding) -> Result<Changes> {
    let mut changes = Changes::of(facts.names());
    if forwarding == Forwarding::Removed {
        changes.remove("authorization");
    }
    // The origin is asked under its own name.
    if let Some(host) = facts.host() {
        changes.set(HOST_HEADER, host)?;
    }
    if let Some((grant, names)) = caller {
        for (name, value) in identity(grant, names) {
            changes.set(name, &value)?;
        }
        if let Some(model) = facts.model() {
            changes.set(MODEL_HEADER, model)?;
        }
    }
    Ok(changes)
}

/// The host that was judged.
const HOST_HEADER: &str = "x-forwarded-host";
/// The model that the body was seen to name, where that was asked.
const MODEL_HEADER: &str = "latchkey-model";
