//! The gate, and what it asks for before it answers.
//!
//! Verdicts take it shared and at once; taking something in takes it alone, for some microseconds. No verdict waits for
//! anything that the gate did not ask for. Whatever is read is read behind: who waits for it waits so long and no
//! longer, and the read goes on.

use crate::assertion::Asserter;
use crate::body::Upload;
use crate::decisions::{DecisionLog, Note};
use crate::facts::Facts;
use crate::respond::{self, Reply};
use crate::settings::Settings;
use crate::source::Source;
use crate::state::State;
use crate::watch::Refused;
use hyper::Response;
use hyper::body::{Body, Bytes};
use latchkey_core::{UnixMillis, UnixSeconds};
use latchkey_gate::assertion::issuer;
use latchkey_gate::bodies::Names;
use latchkey_gate::{
    Ask, Attempt, ConfigError, Gate, Grant, HEAD_BUDGET_MS, HeadAccepted, HeadAsk, HeadRefusal, Headers as _,
    NamesStep, Outcome, Pass, Preflight, PreflightRequest, Question, ROOT_HOPS_MAX, Rates, RefreshEnd,
    Refusal, Standing, Status, Step, Unavailable, Verdict, Wanted,
};
use latchkey_snapshot::{Forwarding, ObjectDigest, Rate, Root};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// The gate with all that it needs to go on.
pub(crate) struct Mind {
    gate: RwLock<Gate>,
    pub(crate) source: Source,
    pub(crate) state: Option<State>,
    rates: Mutex<Rates>,
    decisions: Option<DecisionLog>,
    now: fn() -> UnixMillis,
    /// Objects that are on their way: the sender is gone once they are here, or will not come.
    flights: Mutex<HashMap<ObjectDigest, watch::Receiver<()>>>,
    /// Rings at the end of each look at the head.
    looked: Notify,
    /// Rings when there may be something to fetch behind the answers.
    pub(crate) stirred: Notify,
}

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

enum Next {
    Decided(Decision),
    Ask(Ask),
}

impl Mind {
    pub(crate) fn new(settings: Settings) -> Result<(Arc<Self>, Rest), ConfigError> {
        let Settings { gate, source, state, origin, edge_key, forward, client, reporter, decisions, now } =
            settings;
        let asserter = edge_key.zip(origin.as_ref()).map(|(key, origin)| {
            // A root that is refused refuses the gate below.
            let installation = Root::pinned(&gate.root).map(|root| root.installation());
            Asserter::new(key, installation.map(issuer).unwrap_or_default(), origin)
        });
        let state = state.map(|path| State::at(path, gate.root.clone()));
        let mind = Self {
            gate: RwLock::new(Gate::new(gate)?),
            source,
            state,
            rates: Mutex::default(),
            decisions,
            now,
            flights: Mutex::default(),
            looked: Notify::new(),
            stirred: Notify::new(),
        };
        Ok((Arc::new(mind), Rest { origin, asserter, forward, client, reporter }))
    }

    pub(crate) fn now(&self) -> UnixMillis {
        (self.now)()
    }

    /// Answers a browser's preflight, if it is one that the rules answer.
    pub(crate) fn preflight(&self, facts: &Facts<'_>) -> Option<Reply> {
        if facts.method != "OPTIONS" {
            return None;
        }
        let (origin, method) = (facts.one("origin")?, facts.one("access-control-request-method")?);
        let asked = PreflightRequest { origin: &origin, method: &method };
        match self.read().preflight(&facts.request(), asked, self.now())? {
            Preflight::Allowed(cors) => Some(respond::preflight(&origin, &method, cors)),
            Preflight::Refused => Some(respond::origin_not_allowed()),
        }
    }

    /// Lets a page of this origin read the answer, if it may.
    pub(crate) fn share<B>(&self, origin: &str, reply: &mut Response<B>) {
        if let Some(cors) = self.read().cors(origin) {
            respond::share(reply.headers_mut(), origin, cors);
        }
    }

    /// Where decisions are written, if any are.
    pub(crate) const fn decisions(&self) -> Option<&DecisionLog> {
        self.decisions.as_ref()
    }

    pub(crate) fn status(&self) -> Status {
        self.read().status(self.now())
    }

    /// Decides on a request. Whatever had to be waited for, the verdict comes after it. Forward-auth has no body.
    pub(crate) async fn decide<B: Body<Data = Bytes> + Unpin>(
        self: &Arc<Self>,
        facts: &Facts<'_>,
        question: Question,
        mut body: Option<&mut Upload<B>>,
    ) -> Decision {
        let mut attempt = Attempt::default();
        let note = Note::begin(self.decisions.as_ref(), self.now());
        loop {
            match self.step(facts, question, &mut attempt, note.as_ref()) {
                Next::Decided(decision) => return decision,
                Next::Ask(Ask::Body(field)) => {
                    let said = match &mut body {
                        Some(body) => body.text_of(facts.headers, &field).await,
                        None => None,
                    };
                    // It is looked at once: a request is under one rule.
                    let _ = facts.model.set(said);
                }
                Next::Ask(ask) => self.perform(ask).await,
            }
        }
    }

    /// Judges a request that was let in as if it came now; `None`: it still is. It counts for no rate.
    pub(crate) async fn judge_again(self: &Arc<Self>, facts: &Facts<'_>) -> Option<Refused> {
        let mut attempt = Attempt::again();
        let note = Note::begin(self.decisions.as_ref(), self.now());
        loop {
            let ask = {
                let (gate, now) = (self.read(), self.now());
                match gate.decide(&facts.request(), Question::Route, now, &mut attempt) {
                    Step::Ask(ask) => ask,
                    Step::Answer(verdict) => {
                        let Outcome::Refuse(refusal) = verdict.outcome else { return None };
                        if let Some(note) = note {
                            note.again().write(&gate, facts, &verdict, None, now);
                        }
                        return Some((refusal, verdict.standing));
                    }
                }
            };
            match ask {
                // The body has gone on.
                Ask::Body(_) => drop(facts.model.set(None)),
                ask => self.perform(ask).await,
            }
        }
    }

    /// Whether what this edge key signs now would be believed.
    pub(crate) fn names_edge_key(&self, public: &[u8; 32], moment: UnixSeconds) -> bool {
        self.read().names_edge_key(public, moment)
    }

    /// The keys by which assertions are checked, as a JWK set; `None` before the first manifest.
    pub(crate) fn edge_key_set(&self) -> Option<String> {
        self.read().edge_key_set(self.now().seconds())
    }

    fn step(
        &self,
        facts: &Facts<'_>,
        question: Question,
        attempt: &mut Attempt,
        note: Option<&Note<'_>>,
    ) -> Next {
        let (gate, now) = (self.read(), self.now());
        let write = |verdict: &Verdict, names: Option<&Names>| {
            if let Some(note) = note {
                note.write(&gate, facts, verdict, names, now);
            }
        };
        let verdict = match gate.decide(&facts.request(), question, now, attempt) {
            Step::Ask(ask) => return Next::Ask(ask),
            Step::Answer(verdict) => verdict,
        };
        let standing = verdict.standing;
        let grant = match verdict.outcome {
            Outcome::Allow(grant) => grant,
            _ => {
                write(&verdict, None);
                return Next::Decided(turned_away(&verdict));
            }
        };
        let names: Box<Names> = match gate.names(&grant.binding, now, attempt) {
            NamesStep::Ask(ask) => return Next::Ask(ask),
            NamesStep::Unavailable => {
                let outcome = Outcome::Refuse(Refusal::Unavailable(Unavailable::OutOfReach));
                write(&Verdict { outcome, ..verdict }, None);
                return Next::Decided(Decision::OutOfReach(standing));
            }
            NamesStep::Names(names) => Box::new(names.into()),
        };
        // Nothing is waited for any more, so a request counts once.
        if let Some(refusal) = grant.rate.and_then(|rate| self.count(rate, now)) {
            let refused = gate.refused_for_rate(refusal, &verdict, attempt);
            write(&refused, Some(&names));
            return Next::Decided(turned_away(&refused));
        }
        write(&verdict, Some(&names));
        Next::Decided(Decision::Admitted(grant, names, forwarding(&verdict), standing))
    }

    fn count(&self, rate: Rate, now: UnixMillis) -> Option<Refusal> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).refusal(rate, now)
    }

    async fn perform(self: &Arc<Self>, ask: Ask) {
        match ask {
            Ask::Head(HeadAsk::Start) => self.ask_head().await,
            Ask::Head(HeadAsk::Join) => {
                // The gate's lease ends by itself, should nobody be at it.
                let _ = timeout(HEAD_BUDGET, self.looked.notified()).await;
            }
            // The request's own to look at: see `decide`.
            Ask::Body(_) => {}
            Ask::Objects(list) => {
                let flights: Vec<_> = list.iter().map(|wanted| self.fetch(wanted)).collect();
                for mut flight in flights {
                    // An error is that it has landed.
                    let _ = timeout(OBJECT_BUDGET, flight.changed()).await;
                }
            }
        }
    }

    /// Looks at the head and waits for it as long as an answer may. What comes later is for the next answer.
    async fn ask_head(self: &Arc<Self>) {
        let mind = Arc::clone(self);
        let look = tokio::spawn(async move {
            let read = timeout(LOOK_BUDGET, mind.source.newest()).await;
            let Ok(Ok(Some(head))) = read else { return false };
            // A refusal is the gate's own affair: the source answered.
            let _ = mind.take_head(&head).await;
            true
        });
        let end = match timeout(HEAD_BUDGET, look).await {
            Ok(Ok(true)) => RefreshEnd::Answered,
            _ => RefreshEnd::Failed,
        };
        self.read().ask_ended(end, self.now());
        self.looked.notify_waiters();
    }

    /// Hands a head in, with the roots that it needs.
    pub(crate) async fn take_head(&self, bytes: &[u8]) -> Result<HeadAccepted, HeadRefusal> {
        let mut taken = self.write().accept_head(bytes, self.now());
        for _ in 0..ROOT_HOPS_MAX {
            let Err(HeadRefusal::RootNeeded { next }) = taken else { break };
            if !self.take_root(next).await {
                break;
            }
            taken = self.write().accept_head(bytes, self.now());
        }
        self.stirred.notify_one();
        taken
    }

    async fn take_root(&self, version: u32) -> bool {
        let kept = match &self.state {
            Some(state) => state.root(version).await,
            None => None,
        };
        if kept.is_some_and(|root| self.write().accept_root(&root).is_ok()) {
            return true;
        }
        let Ok(Ok(Some(root))) = timeout(LOOK_BUDGET, self.source.root(version)).await else { return false };
        if self.write().accept_root(&root).is_err() {
            return false;
        }
        if let Some(state) = &self.state {
            state.keep_root(version, root).await;
        }
        true
    }

    /// Up to so many objects that may be fetched behind the answers.
    pub(crate) fn wanted(&self, most: usize) -> Vec<Wanted> {
        self.read().wanted(most)
    }

    /// Begins to fetch an object, unless somebody is at it. The receiver's other end is gone once that is over.
    pub(crate) fn fetch(self: &Arc<Self>, wanted: &Wanted) -> watch::Receiver<()> {
        let digest = wanted.reference().digest();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest) {
            return flight.clone();
        }
        let (over, flight) = watch::channel(());
        flights.insert(digest, flight.clone());
        let landing = Landing { mind: Arc::clone(self), digest, _over: over };
        let wanted = *wanted;
        tokio::spawn(async move {
            landing.mind.bring(&wanted).await;
            drop(landing);
        });
        flight
    }

    /// Reads an object, from what was kept or from the source, and hands it in.
    async fn bring(&self, wanted: &Wanted) {
        let (digest, len) = (wanted.reference().digest(), wanted.reference().len_bytes() as usize);
        if let Some(state) = &self.state
            && let Some(bytes) = state.object(digest, len).await
            && self.write().accept_object(wanted, &bytes, self.now()).is_ok()
        {
            return;
        }
        let found = timeout(OBJECT_BUDGET, self.source.object(digest, len)).await;
        let Ok(Ok(Some(bytes))) = found else {
            self.write().object_failed(wanted, self.now());
            return;
        };
        match self.write().accept_object(wanted, &bytes, self.now()) {
            Ok(()) => {}
            Err(refusal) => {
                tracing::warn!(?refusal, "an object was refused");
                return;
            }
        }
        if let Some(state) = &self.state {
            state.keep_object(digest, bytes).await;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Gate> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Gate> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a request that nobody was let in for.
fn turned_away(verdict: &Verdict) -> Decision {
    match verdict.outcome {
        Outcome::Refuse(refusal) => Decision::Refused(refusal, verdict.standing),
        Outcome::Pass(pass) => {
            if let Pass::Shadow(refusal) = pass {
                tracing::info!(cause = refusal.cause(), "shadow: would be refused");
            }
            Decision::Passed(forwarding(verdict), verdict.standing)
        }
        // Who is let in is named, or goes nowhere.
        Outcome::Allow(_) => Decision::OutOfReach(verdict.standing),
    }
}

fn forwarding(verdict: &Verdict) -> Forwarding {
    verdict.matched.map_or(Forwarding::Removed, |matched| matched.forwarding)
}

/// What of the settings is not about the gate.
pub(crate) struct Rest {
    pub(crate) origin: Option<crate::Origin>,
    pub(crate) asserter: Option<Asserter>,
    pub(crate) forward: Option<crate::Forward>,
    pub(crate) client: crate::Client,
    pub(crate) reporter: Option<crate::Reporter>,
}

/// Takes a flight off the list however it ends, and tells whoever waits for it.
struct Landing {
    mind: Arc<Mind>,
    digest: ObjectDigest,
    _over: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.mind.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

const HEAD_BUDGET: Duration = Duration::from_millis(HEAD_BUDGET_MS);
/// How long a look at the head may go on, whoever still waits for it.
const LOOK_BUDGET: Duration = Duration::from_secs(2);
/// How long one object may take.
const OBJECT_BUDGET: Duration = Duration::from_secs(2);
