//! The gate, what it asked for, and the rates that it counts.

use crate::case::Case;
use crate::respond;
use crate::told::{self, Beside, HeadTold, NamesTold, StepTold, WantedTold};
use crate::usage;
use core::fmt;
use latchkey_core::{Generation, MintSecret, Pepper, ProjectId, UnixMillis};
use latchkey_gate::decision::{Line, Shares, request_id};
use latchkey_gate::headers::is_taken_away;
use latchkey_gate::{
    Ask, Floor, Gate, GateConfig, Grant, HeadAccepted, HeadAsk, HeadRefusal, Headers as _, NamesStep,
    Outcome, Preflight, PreflightRequest, Rates, RefreshEnd, Refusal, Step, Unavailable, Usage, Verdict,
    Wanted,
};
use latchkey_snapshot::ObjectDigest;
use std::collections::BTreeMap;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// A gate for JavaScript.
#[wasm_bindgen]
pub struct Core {
    gate: Gate,
    /// What it was told to fetch and has not been handed.
    wanted: BTreeMap<ObjectDigest, Wanted>,
    /// Counted here, unless whoever runs it counts.
    rates: Option<Rates>,
    /// Which decisions are told.
    shares: Option<Shares>,
    /// Counted if somebody is told.
    usage: Option<Usage>,
}

/// Objects that may be on their way; far more than are asked for at a time.
const WANTED_MAX: usize = 4096;

#[wasm_bindgen]
impl Core {
    /// A gate that was deployed with these: the pinned root, one or two peppers and the mint secret in hexadecimal, the
    /// floor as `root version,generation`. `seed` is any number that differs between gates.
    #[wasm_bindgen(constructor)]
    pub fn new(
        root: &[u8],
        peppers: Vec<String>,
        mint: &str,
        floor: Option<String>,
        memory_bytes_max: usize,
        seed: f64,
        counts_rates: bool,
    ) -> Result<Core, JsError> {
        let peppers = peppers.iter().map(|text| secret(text, "LATCHKEY_PEPPER").map(Pepper::new));
        let config = GateConfig {
            root: root.to_vec(),
            peppers: peppers.collect::<Result<_, _>>()?,
            mint: MintSecret::new(secret(mint, "LATCHKEY_MINT")?),
            floor: floor_of(floor.as_deref())?,
            memory_bytes_max,
            seed: seed as u64,
        };
        let gate = Gate::new(config).map_err(|error| JsError::new(&error.to_string()))?;
        let rates = counts_rates.then(Rates::default);
        Ok(Self { gate, wanted: BTreeMap::new(), rates, shares: None, usage: None })
    }

    /// Tells decisions from now on: of each kind the share that this text names, as `LATCHKEY_DECISIONS` of an edge does.
    pub fn tell_decisions(&mut self, shares: &str) -> Result<(), JsError> {
        let read = Shares::parse(shares);
        self.shares = Some(
            read.ok_or_else(|| JsError::new("`decisions` must be shares, as `1` or `0.01,refused=1` is"))?,
        );
        Ok(())
    }

    /// Counts usage from now on.
    pub fn count_usage(&mut self) {
        self.usage = Some(Usage::default());
    }

    /// Counts a request that has gone on, by what the verdict said to keep of it; whether it is time for a batch.
    pub fn used(&mut self, kept: &str, now: f64) -> bool {
        let Some(usage) = &mut self.usage else { return false };
        usage::count(usage, kept, millis(now));
        usage.is_full()
    }

    /// What was counted, as a batch's body with this id; it is counted anew from then on.
    pub fn usage_batch(&mut self, id: &str) -> Option<String> {
        usage::batch(self.usage.as_mut()?, id)
    }

    /// Requests that found no room to be counted in.
    pub fn usage_lost(&self) -> f64 {
        self.usage.as_ref().map_or(0, Usage::lost) as f64
    }

    /// The next step of a request, as JSON: a verdict, or the one thing that must be done first.
    pub fn step(&mut self, case: &mut Case, now: f64) -> String {
        let now = millis(now);
        let verdict = match self.judge(case, now) {
            Ok(verdict) => verdict,
            Err(ask) => return self.asked(ask),
        };
        let Outcome::Allow(grant) = verdict.outcome else { return self.answered(case, &verdict, None, now) };
        let names = match self.gate.names(&grant.binding, now, &mut case.attempt) {
            NamesStep::Ask(ask) => return self.asked(ask),
            NamesStep::Unavailable => {
                let outcome = Outcome::Refuse(Refusal::Unavailable(Unavailable::OutOfReach));
                return self.answered(case, &Verdict { outcome, ..verdict }, None, now);
            }
            NamesStep::Names(names) => NamesTold::of(&names),
        };
        if let Some(rate) = grant.rate {
            if let Some(rates) = &mut self.rates {
                case.counted.get_or_insert_with(|| rates.refusal(rate, now));
            }
            match case.counted {
                None => {
                    let (family, per_minute) = (rate.family.to_string(), rate.per_minute.get());
                    return told::json(&StepTold::Rate { family, per_minute });
                }
                Some(None) => {}
                Some(Some(refusal)) => {
                    let verdict = self.gate.refused_for_rate(refusal, &verdict, &mut case.attempt);
                    return self.answered(case, &verdict, Some((&grant, &names)), now);
                }
            }
        }
        self.answered(case, &verdict, Some((&grant, &names)), now)
    }

    /// The same of a request that was let in and goes on ([`Case::again`]), judged as if it came now. It counts for no rate, and nobody is named.
    pub fn step_again(&mut self, case: &mut Case, now: f64) -> String {
        let now = millis(now);
        let verdict = match self.judge(case, now) {
            Ok(verdict) => verdict,
            Err(ask) => return self.asked(ask),
        };
        let allowed = !matches!(verdict.outcome, Outcome::Refuse(_));
        let decision = if allowed { None } else { self.decision(case, &verdict, None, now, true) };
        told::json(&StepTold::Again { allowed, decision })
    }

    /// What came of counting a request's rate: 0 it may go on, 1 it may not, anything else it could not be counted.
    pub fn count(&self, case: &mut Case, outcome: u8) {
        case.counted = Some(match outcome {
            0 => None,
            1 => Some(Refusal::RateLimited),
            _ => Some(Refusal::Unavailable(Unavailable::RateUnenforceable)),
        });
    }

    /// The answer to a browser's preflight, if this is one that the rules answer.
    pub fn preflight(&self, case: &Case, now: f64) -> Option<String> {
        if !case.is_preflight() {
            return None;
        }
        let (origin, method) = (case.header("origin")?, case.header("access-control-request-method")?);
        let asked = PreflightRequest { origin: &origin, method: &method };
        Some(match self.gate.preflight(&case.request(), asked, millis(now))? {
            Preflight::Allowed(cors) => respond::preflight(&origin, &method, cors),
            Preflight::Refused => respond::origin_not_allowed(),
        })
    }

    /// The headers, as JSON, by which a page of this origin may read an answer, if it may.
    pub fn share(&self, origin: &str) -> Option<String> {
        self.gate.cors(origin).map(|cors| told::json(&respond::share(origin, cors)))
    }

    /// Names of a response's headers that a handler may not say, as JSON.
    pub fn reserved(&self, names: Vec<String>) -> String {
        told::json(&names.iter().filter(|name| is_taken_away(name)).collect::<Vec<_>>())
    }

    /// Hands a head in; what became of it, as JSON.
    pub fn accept_head(&mut self, bytes: &[u8], now: f64) -> String {
        let taken = self.gate.accept_head(bytes, millis(now));
        told::json(&match taken {
            Ok(taken) => HeadTold::Taken {
                confirmed: taken == HeadAccepted::Confirmed,
                generation: self.gate.status(millis(now)).generation.map(|generation| generation.0),
            },
            Err(HeadRefusal::RootNeeded { next }) => HeadTold::Root { version: next },
            Err(HeadRefusal::Older) => HeadTold::Older,
            Err(refusal) => HeadTold::Refused { why: refusal.to_string() },
        })
    }

    /// The digests of everything that a gate needs which starts with the head that serves, as JSON, once all of it is known.
    pub fn serving_objects(&self) -> Option<String> {
        let named = self.gate.named()?;
        Some(told::json(&named.iter().map(ObjectDigest::to_string).collect::<Vec<_>>()))
    }

    /// Hands a root in; whether it was taken.
    pub fn accept_root(&mut self, bytes: &[u8]) -> bool {
        self.gate.accept_root(bytes).is_ok()
    }

    /// Hands an object in that was wanted; why it was refused, if it was.
    pub fn accept_object(&mut self, digest: &str, bytes: Vec<u8>, now: f64) -> Option<String> {
        let Some(wanted) = self.take_wanted(digest) else { return Some("nobody wants it".to_owned()) };
        self.gate.accept_object(&wanted, &bytes, millis(now)).err().map(|refusal| refusal.to_string())
    }

    /// An object that was wanted could not be had.
    pub fn object_failed(&mut self, digest: &str, now: f64) {
        if let Some(wanted) = self.take_wanted(digest) {
            self.gate.object_failed(&wanted, millis(now));
        }
    }

    /// A look at the head before an answer is over; whether one came.
    pub fn ask_ended(&self, answered: bool, now: f64) {
        let end = if answered { RefreshEnd::Answered } else { RefreshEnd::Failed };
        self.gate.ask_ended(end, millis(now));
    }

    /// Whether the head is to be looked at behind an answer; who is told so must do it.
    pub fn refresh_due(&self, now: f64) -> bool {
        self.gate.refresh_due(millis(now))
    }

    /// A look at the head behind an answer is over.
    pub fn refresh_ended(&self, now: f64) {
        self.gate.refresh_ended(millis(now));
    }

    /// Up to so many objects that may be fetched behind the answers, as JSON.
    pub fn wanted(&mut self, most: usize) -> String {
        let wanted = self.gate.wanted(most);
        told::json(&self.named(&wanted))
    }

    /// The gate's account of itself, as JSON.
    pub fn status(&self, now: f64) -> String {
        told::status(&self.gate.status(millis(now)))
    }
}

impl Core {
    fn judge(&self, case: &mut Case, now: UnixMillis) -> Result<Verdict, Ask> {
        let mut attempt = core::mem::take(&mut case.attempt);
        let step = self.gate.decide(&case.request(), case.question, now, &mut attempt);
        case.attempt = attempt;
        match step {
            Step::Ask(ask) => Err(ask),
            Step::Answer(verdict) => Ok(verdict),
        }
    }

    /// The answer to a request. `found` is whom the gate let in, before rates were counted.
    fn answered(
        &self,
        case: &Case,
        verdict: &Verdict,
        found: Option<(&Grant, &NamesTold)>,
        now: UnixMillis,
    ) -> String {
        let project = found.map(|(_, names)| names.project_id);
        let decision = self.decision(case, verdict, project, now, false);
        let caller = found.filter(|_| matches!(verdict.outcome, Outcome::Allow(_)));
        let used = caller.filter(|_| self.usage.is_some()).and_then(|(grant, _)| usage::kept(grant));
        told::answered(case, verdict, caller, Beside { decision, used })
    }

    /// A decision's line of the log, if it was drawn.
    fn decision(
        &self,
        case: &Case,
        verdict: &Verdict,
        project: Option<ProjectId>,
        now: UnixMillis,
        is_again: bool,
    ) -> Option<String> {
        let (shares, drawn) = (self.shares?, case.drawn?);
        if !shares.takes(&verdict.outcome, drawn.draw) {
            return None;
        }
        let [ray, traceparent] = ["cf-ray", "traceparent"].map(|name| case.one(name));
        let line = Line {
            at: now,
            took_ms: now.since_ms(drawn.begun),
            request: request_id(ray.as_deref(), traceparent.as_deref()),
            verdict,
            rule: self.gate.rule_of(verdict),
            project,
            is_again,
        };
        Some(line.text())
    }

    fn asked(&mut self, ask: Ask) -> String {
        told::json(&match ask {
            Ask::Head(HeadAsk::Start) => StepTold::Head { start: true },
            Ask::Head(HeadAsk::Join) => StepTold::Head { start: false },
            Ask::Objects(list) => StepTold::Objects { objects: self.named(&list) },
            Ask::Body(field) => StepTold::Body { field },
        })
    }

    /// Notes what is to be fetched, under its digest.
    fn named(&mut self, list: &[Wanted]) -> Vec<WantedTold> {
        if self.wanted.len() + list.len() > WANTED_MAX {
            self.wanted.clear();
        }
        list.iter()
            .map(|wanted| {
                self.wanted.insert(wanted.reference().digest(), *wanted);
                WantedTold::of(wanted.reference())
            })
            .collect()
    }

    fn take_wanted(&mut self, digest: &str) -> Option<Wanted> {
        self.wanted.remove(&ObjectDigest::parse_hex(digest)?)
    }
}

/// Dates of JavaScript are whole milliseconds that a float holds exactly; what is none is the epoch, and nothing is fresh
/// then.
fn millis(now: f64) -> UnixMillis {
    UnixMillis(now as u64)
}

fn secret(text: &str, name: &str) -> Result<[u8; 32], JsError> {
    let bytes = blake3::Hash::from_hex(text);
    bytes.map(Into::into).map_err(|_| JsError::new(&format!("`{name}` must be 64 hexadecimal characters")))
}

fn floor_of(text: Option<&str>) -> Result<Floor, JsError> {
    let Some(text) = text else { return Ok(Floor::default()) };
    let parsed = text.split_once(',').and_then(|(root, generation)| {
        let generation = Generation(generation.trim().parse().ok()?);
        Some(Floor { root_version: root.trim().parse().ok()?, generation })
    });
    parsed.ok_or_else(|| JsError::new("`LATCHKEY_FLOOR` must be `root version,generation`"))
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Core(..)")
    }
}
