//! The gate in workerd, for `cargo xtask bench` alone: entry.mjs times what [`Harness`] does.
//!
//! Objects come from a function of JavaScript's, as in the edge, so that their bytes are in this module's memory
//! once, where the gate holds them. `cargo xtask bench` writes them; the crate `latchkey-bench` makes them.

mod routing;

use js_sys::{Function, Uint8Array};
use latchkey_core::{MintSecret, Pepper, UnixMillis};
use latchkey_gate::{
    Ask, Attempt, Floor, Gate, GateConfig, Header, Outcome, Question, Request, Step, Wanted,
};
use std::hint::black_box;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

/// Requests that are made ready at a time: few enough that their texts stay in the cache, as in a server that has
/// just received them.
const CHUNK: usize = 500;
/// Steps that a cold request may take before something is wrong.
const STEPS_MAX: usize = 16;

/// What is asked of the gate in a loop.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub enum Measurement {
    /// A verdict on a path whose project is the key's.
    Route,
    /// A verdict without a route.
    Whoami,
    /// A verdict on a path that names project and file.
    Resource,
    /// The refusal of a key with one character changed.
    Junk,
    /// BLAKE3 of the key's text alone.
    Digest,
    /// Nothing: what it costs to make the requests ready.
    Nothing,
}

/// A gate and requests to ask it.
#[wasm_bindgen]
pub struct Harness {
    gate: Gate,
    now: UnixMillis,
    pool: Vec<(String, String)>,
    next: usize,
    /// Where objects are put while the gate reads them, as in the edge.
    scratch: Vec<u8>,
}

/// A request, its texts ready.
#[derive(Default)]
struct Asked {
    authorization: Vec<u8>,
    path: Vec<u8>,
}

#[wasm_bindgen]
impl Harness {
    /// A cold gate, pinned to what the file `edge` says.
    #[wasm_bindgen(constructor)]
    pub fn new(edge: &[u8]) -> Result<Harness, JsError> {
        let (pepper, rest) = edge.split_first_chunk().ok_or(JsError::new("no pepper"))?;
        let (mint, rest) = rest.split_first_chunk().ok_or(JsError::new("no mint secret"))?;
        let (now, root) = rest.split_first_chunk().ok_or(JsError::new("no moment"))?;
        let config = GateConfig {
            root: root.to_vec(),
            peppers: vec![Pepper::new(*pepper)],
            mint: MintSecret::new(*mint),
            floor: Floor::default(),
            memory_bytes_max: latchkey_gate::MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let gate = Gate::new(config).map_err(|error| JsError::new(&error.to_string()))?;
        let now = UnixMillis(u64::from_le_bytes(*now));
        Ok(Self { gate, now, pool: Vec::new(), next: 0, scratch: Vec::new() })
    }

    /// Takes in a head, behind the moment at which it comes.
    pub fn head(&mut self, bytes: &[u8]) -> Result<(), JsError> {
        let (moment, bytes) = bytes.split_first_chunk().ok_or(JsError::new("no moment"))?;
        self.now = UnixMillis(u64::from_le_bytes(*moment));
        self.gate.accept_head(bytes, self.now).map(drop).map_err(|error| JsError::new(&format!("{error:?}")))
    }

    /// Asks who a key is and fetches what the answer needs; the generation that answered.
    pub fn first(&mut self, key: &str, fetch: &Function) -> Result<u64, JsError> {
        let authorization = [b"Bearer ", key.as_bytes()].concat();
        let mut attempt = Attempt::default();
        for _ in 0..STEPS_MAX {
            let request = request("GET", b"/v1/whoami", &authorization);
            let asked = match self.gate.decide(&request, Question::Whoami, self.now, &mut attempt) {
                Step::Answer(verdict) => return answered(&verdict),
                Step::Ask(Ask::Objects(list)) => list,
                Step::Ask(Ask::Head(_)) => self.gate.wanted(1),
                Step::Ask(Ask::Body(_)) => return Err(JsError::new("no rule reads a body")),
            };
            self.take(&asked, fetch)?;
        }
        Err(JsError::new("no verdict"))
    }

    /// Takes in up to `most` of what is missing; how many there were.
    pub fn fill(&mut self, most: usize, fetch: &Function) -> Result<usize, JsError> {
        let wanted = self.gate.wanted(most);
        self.take(&wanted, fetch)?;
        Ok(wanted.len())
    }

    /// Generation served, pages held, their bytes, and the bytes of all that is held, in this order.
    pub fn status(&self) -> Vec<f64> {
        let status = self.gate.status(self.now);
        let generation = status.generation.map_or(0, |generation| generation.0);
        vec![
            generation as f64,
            status.pages_held as f64,
            status.bytes_held as f64,
            status.memory_bytes as f64,
        ]
    }

    /// Takes in the keys that [`Harness::run`] asks with: a line each, key and path.
    pub fn prepare(&mut self, lines: &str) {
        let pairs = lines.lines().filter_map(|line| line.split_once(' '));
        self.pool = pairs.map(|(key, path)| (key.to_owned(), path.to_owned())).collect();
    }

    /// Asks with so many chunks of keys, each request after the one before was answered; how many were let in.
    pub fn run(&mut self, measurement: Measurement, chunks: usize) -> usize {
        let mut ready: Vec<Asked> = Vec::new();
        ready.resize_with(CHUNK, Asked::default);
        (0..chunks).map(|_| self.run_chunk(measurement, &mut ready)).sum()
    }
}

impl Harness {
    fn run_chunk(&mut self, measurement: Measurement, ready: &mut [Asked]) -> usize {
        for asked in ready.iter_mut() {
            self.next = (self.next + 1) % self.pool.len().max(1);
            if let Some((key, path)) = self.pool.get(self.next) {
                asked.fill(key, path, matches!(measurement, Measurement::Junk));
            }
        }
        let nothing = black_box(0usize);
        let (mut answer, mut allowed) = (0, 0);
        for index in 0..ready.len() {
            if let Some(asked) = ready.get(index + (answer & nothing)) {
                answer = self.measure(measurement, asked);
                allowed += usize::from(answer < usize::MAX);
            }
        }
        allowed
    }

    fn take(&mut self, wanted: &[Wanted], fetch: &Function) -> Result<(), JsError> {
        for wanted in wanted {
            let name = JsValue::from_str(&wanted.reference().digest().to_string());
            let bytes =
                fetch.call1(&JsValue::NULL, &name).map_err(|_| JsError::new("an object is missing"))?;
            let bytes = Uint8Array::new(&bytes);
            let len = bytes.length() as usize;
            if self.scratch.len() < len {
                self.scratch.resize(len.next_power_of_two(), 0);
            }
            let (place, _) = self.scratch.split_at_mut(len);
            bytes.copy_to(place);
            let taken = self.gate.accept_object(wanted, place, self.now);
            taken.map_err(|error| JsError::new(&format!("{error:?}")))?;
        }
        Ok(())
    }

    /// A number that follows from the answer; the greatest one for a refusal.
    fn measure(&self, measurement: Measurement, asked: &Asked) -> usize {
        match measurement {
            Measurement::Route => {
                let request = request("POST", b"/v1/chat/completions", &asked.authorization);
                self.decide(&request, Question::Route)
            }
            Measurement::Whoami => {
                self.decide(&request("GET", b"/v1/whoami", &asked.authorization), Question::Whoami)
            }
            Measurement::Resource => {
                let request = request("GET", &asked.path, &asked.authorization);
                self.decide(&request, Question::Route)
            }
            Measurement::Junk => {
                self.decide(&request("POST", b"/v1/chat/completions", &asked.authorization), Question::Route)
            }
            Measurement::Digest => {
                let key = asked.authorization.get(7..).unwrap_or_default();
                usize::from(blake3::hash(key).as_bytes()[0])
            }
            Measurement::Nothing => asked.path.len(),
        }
    }

    fn decide(&self, request: &Request<'_>, question: Question) -> usize {
        match self.gate.decide(request, question, self.now, &mut Attempt::default()) {
            Step::Answer(verdict) => match black_box(&verdict).outcome {
                Outcome::Allow(grant) => grant.binding.project.0 as usize,
                Outcome::Pass(_) | Outcome::Refuse(_) => usize::MAX,
            },
            Step::Ask(_) => usize::MAX,
        }
    }
}

impl Asked {
    fn fill(&mut self, key: &str, path: &str, spoil: bool) {
        self.authorization.clear();
        self.authorization.extend(b"Bearer ");
        self.authorization.extend(key.as_bytes());
        self.path.clear();
        self.path.extend(path.as_bytes());
        if spoil && let Some(byte) = self.authorization.get_mut(30) {
            *byte = if *byte == b'0' { b'1' } else { b'0' };
        }
    }
}

fn request<'a>(method: &'a str, path: &'a [u8], authorization: &'a [u8]) -> Request<'a> {
    Request::new(method, path, Header::One(authorization))
}

fn answered(verdict: &latchkey_gate::Verdict) -> Result<u64, JsError> {
    match (verdict.outcome, verdict.standing) {
        (Outcome::Allow(_), Some(standing)) => Ok(standing.generation.0),
        (outcome, _) => Err(JsError::new(&format!("not let in: {outcome:?}"))),
    }
}
