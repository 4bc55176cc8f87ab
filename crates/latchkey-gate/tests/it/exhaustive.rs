//! Every sequence of a few events, up to a depth: heads that come, come again or come late, objects that come or are lost,
//! looks that end well or not, requests under each kind of line, a clock that is set back, a new root. The promises hold in
//! all.
//!
//! A sequence is run from its beginning each time, since a gate cannot be copied. Sequences that lead to the same state
//! are followed once.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::KeyState;
use latchkey_snapshot::build::HeadContent;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// Events of a sequence at most, unless `LATCHKEY_SIM_DEPTH` says otherwise.
const DEPTH: usize = 4;
const GRACE_MS: u64 = 5000;
/// What an answer without the mark knows, by clocks that agree.
const PROMISED_MS: u64 = 4000;
/// How far a clock is set back: further than moments may be out of order.
const SET_BACK_MS: u64 = 1500;

const FIRST_REVOKED: u64 = 900;
const SECOND_GRANTED: u64 = 1900;
const THIRD_DISABLED: u64 = 2900;
/// When the last of the written heads was signed; from then on a head is signed whenever somebody looks.
const LAST_SIGNED: u64 = 4000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick(u64),
    /// A head that was signed before comes, for the first time or again.
    Head(usize),
    /// The first object that is wanted comes, or is lost.
    Object(bool),
    /// A request with the key of this number.
    Ask(usize, Line),
    /// A look behind an answer ends well, or not.
    Refresh(bool),
    /// The edge's clock is set back, or right again.
    Clock,
    /// The next root comes: the second names another head key beside the first, the third no more the first.
    Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Up,
    HeadsOnly,
    Down,
}

const EVENTS: &[Event] = &[
    Event::Tick(300),
    Event::Tick(1200),
    Event::Tick(4200),
    Event::Head(0),
    Event::Head(1),
    Event::Head(2),
    Event::Head(4),
    Event::Object(true),
    Event::Object(false),
    Event::Ask(0, Line::Up),
    Event::Ask(0, Line::Down),
    Event::Ask(1, Line::Up),
    Event::Ask(2, Line::HeadsOnly),
    Event::Refresh(true),
    Event::Refresh(false),
    Event::Clock,
    Event::Root,
];

/// What was published, and when: the same in every sequence.
struct Script {
    stage: Stage,
    keys: [Key; 3],
    /// Each with the moment of its `as_of`, since the start.
    heads: Vec<(u64, Vec<u8>)>,
    /// Heads of the last statement by their moment.
    late: BTreeMap<u64, Vec<u8>>,
    roots: [Vec<u8>; 2],
    /// Heads by what was published then, under a newer root.
    rotated: BTreeMap<(u64, u32), Vec<u8>>,
    /// What was published when: a statement with what rides above it.
    published: Vec<Published>,
    signers: [Signer; 2],
}

struct Published {
    at: u64,
    statement: Vec<u8>,
    inline: Vec<Inline>,
}

impl Script {
    /// The first key is revoked, the second granted, the third disabled; inline, in a delta, in a base of its own.
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.grace_secs = (GRACE_MS / 1000) as u32;
        let [first, third] = [stage.add_key(1, Role::Member), stage.add_key(2, Role::Member)];
        stage.publish();
        let (mut heads, mut published) = (vec![], vec![]);
        let mut sign = |stage: &mut Stage, at: u64| {
            heads.push((at, stage.head_at(START.plus_ms(at))));
            let (statement, inline) = (stage.statement.clone(), stage.inline.clone());
            published.push(Published { at, statement, inline });
        };
        sign(&mut stage, 0);
        stage.revoke_key_inline(&first);
        sign(&mut stage, 1000);
        let second = stage.add_key(1, Role::Member);
        stage.publish_delta();
        sign(&mut stage, 2000);
        let tag = stage.content.key_tag(third.id, &third.digest);
        stage.revoke_inline(InlineSubject::Tag(tag), Reason::Disabled);
        stage.set_state(&third, KeyState::Disabled);
        sign(&mut stage, 3000);
        stage.publish_delta();
        stage.rebase(START.plus_ms(40_000).seconds());
        sign(&mut stage, LAST_SIGNED);
        let signers = [stage.head_signer.clone(), Signer::from_seed(&[33; 32])];
        let [old, new] = &signers;
        let roots = [
            stage.root_naming(2, &[&stage.release], &[old, new]),
            stage.root_naming(3, &[&stage.release], &[new]),
        ];
        Self {
            stage,
            keys: [first, second, third],
            heads,
            late: BTreeMap::new(),
            roots,
            rotated: BTreeMap::new(),
            published,
            signers,
        }
    }

    /// The head that a look finds at this moment once roots came, signed at that moment.
    fn newest_under(&mut self, root_version: u32, at: u64) -> Vec<u8> {
        let [old, new] = &self.signers;
        let signers: &[&Signer] = if root_version == 2 { &[old, new] } else { &[new] };
        let published = self.published.iter().rev().find(|published| published.at <= at).unwrap();
        let head = self.rotated.entry((at, root_version)).or_insert_with(|| {
            let content = HeadContent {
                root_version,
                as_of: START.plus_ms(at),
                statement: &published.statement,
                inline: &published.inline,
            };
            content.sign(signers).unwrap()
        });
        head.clone()
    }

    /// The head that a look finds at this moment.
    fn newest(&mut self, at: u64) -> Vec<u8> {
        if at <= LAST_SIGNED {
            let written = self.heads.iter().rev().find(|(signed, _)| *signed <= at);
            return written.unwrap().1.clone();
        }
        let stage = &self.stage;
        self.late.entry(at).or_insert_with(|| stage.head_at(START.plus_ms(at))).clone()
    }

    /// Whether the key is in force from its change on, and when that was.
    const fn change(key: usize) -> (bool, u64) {
        match key {
            0 => (false, FIRST_REVOKED),
            1 => (true, SECOND_GRANTED),
            _ => (false, THIRD_DISABLED),
        }
    }
}

/// One sequence as it runs.
struct Run<'s> {
    script: &'s mut Script,
    gate: Gate,
    /// True time since the start.
    at: u64,
    is_set_back: bool,
    root_version: u32,
    /// Every change before this was confirmed.
    known: u64,
    /// What came inline.
    refused: [bool; 3],
}

impl<'s> Run<'s> {
    fn new(script: &'s mut Script, is_warm: bool) -> Self {
        let gate = script.stage.gate();
        let mut run =
            Self { script, gate, at: 0, is_set_back: false, root_version: 1, known: 0, refused: [false; 3] };
        if is_warm {
            run.hand(0);
            while run.object(true) {}
        }
        run
    }

    fn now(&self) -> UnixMillis {
        let back_ms = if self.is_set_back { SET_BACK_MS } else { 0 };
        UnixMillis(START.0 + self.at - back_ms)
    }

    /// Whether the event changed anything.
    fn step(&mut self, event: Event) -> bool {
        match event {
            Event::Tick(ms) => self.at += ms,
            Event::Head(at) if self.script.heads[at].0 <= self.at => self.hand(at),
            Event::Head(_) => return false,
            Event::Object(comes) => return self.object(comes),
            Event::Ask(key, line) => self.ask(key, line),
            Event::Refresh(ends_well) => {
                if !self.gate.refresh_due(self.now()) {
                    return false;
                }
                self.at += 100;
                if ends_well {
                    self.look();
                }
                self.gate.refresh_ended(self.now());
            }
            Event::Clock if self.at < SET_BACK_MS => return false,
            Event::Clock => self.is_set_back = !self.is_set_back,
            Event::Root => {
                let Some(root) = self.script.roots.get(self.root_version as usize - 1) else { return false };
                self.gate.accept_root(root).unwrap();
                self.root_version += 1;
            }
        }
        true
    }

    fn hand(&mut self, at: usize) {
        let (signed, bytes) = self.script.heads[at].clone();
        self.take(signed, &bytes);
    }

    fn look(&mut self) -> RefreshEnd {
        if self.root_version > 1 {
            let at = self.at;
            let bytes = self.script.newest_under(self.root_version, at);
            let end = self.take(u64::MAX, &bytes);
            if end == RefreshEnd::Answered {
                let published = self.script.published.iter().rev().find(|published| published.at <= at);
                let names = |nth: u64| published.is_some_and(|published| published.at == nth);
                self.refused[0] |= names(1000);
                self.refused[2] |= names(3000);
            }
            return end;
        }
        let bytes = self.script.newest(self.at);
        let signed = self.script.heads.iter().find(|(_, written)| *written == bytes);
        let signed = signed.map_or(self.at, |(signed, _)| *signed);
        self.take(signed, &bytes)
    }

    fn take(&mut self, signed: u64, bytes: &[u8]) -> RefreshEnd {
        match self.gate.accept_head(bytes, self.now()) {
            Ok(_) => {
                // The second and the fourth head name one inline, and both are written.
                self.refused[0] |= signed == 1000;
                self.refused[2] |= signed == 3000;
                RefreshEnd::Answered
            }
            Err(HeadRefusal::Older) => RefreshEnd::Answered,
            Err(_) => RefreshEnd::Failed,
        }
    }

    fn object(&mut self, comes: bool) -> bool {
        let Some(wanted) = self.gate.wanted(1).pop() else { return false };
        self.fetch(&wanted, comes);
        true
    }

    fn fetch(&mut self, wanted: &Wanted, comes: bool) {
        let bytes = self.script.stage.objects[&wanted.reference().digest()].clone();
        if comes {
            self.gate.accept_object(wanted, &bytes, self.now()).unwrap();
        } else {
            self.gate.object_failed(wanted, self.now());
        }
    }

    fn ask(&mut self, key: usize, line: Line) {
        let bearer = format!("Bearer {}", self.script.keys[key].text);
        let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
        let was_open = self.gate.status(self.now()).breaker_open;
        let mut attempt = Attempt::default();
        for _ in 0..40 {
            match self.gate.decide(&request, Question::Route, self.now(), &mut attempt) {
                Step::Answer(verdict) => return self.check(key, line, was_open, &verdict),
                Step::Ask(Ask::Head(HeadAsk::Join)) => self.at += HEAD_BUDGET_MS,
                Step::Ask(Ask::Head(HeadAsk::Start)) => {
                    self.at += if line == Line::Down { HEAD_BUDGET_MS } else { 100 };
                    let end = if line == Line::Down { RefreshEnd::Failed } else { self.look() };
                    self.gate.ask_ended(end, self.now());
                }
                Step::Ask(Ask::Objects(list)) => {
                    self.at += 50;
                    list.iter().for_each(|wanted| self.fetch(wanted, line == Line::Up));
                }
                Step::Ask(Ask::Body(field)) => panic!("no rule reads `{field}`"),
            }
        }
        panic!("the loop does not end");
    }

    fn check(&mut self, key: usize, line: Line, was_open: bool, verdict: &Verdict) {
        if let Some(as_of) = self.gate.status(self.now()).as_of {
            self.known = self.known.max(as_of.0 - START.0);
        }
        let is_unmarked = verdict.standing.is_some_and(|standing| !standing.stale);
        let is_unavailable = matches!(verdict.outcome, Outcome::Refuse(Refusal::Unavailable(_)));
        let back_ms = if self.is_set_back { SET_BACK_MS } else { 0 };
        let mut known = self.known;
        if is_unmarked {
            let bound_ms = PROMISED_MS + back_ms;
            assert!(self.at - self.known <= bound_ms, "unmarked, and behind");
            known = known.max(self.at.saturating_sub(bound_ms));
        }
        if line == Line::Up && !was_open && !self.is_set_back {
            assert!(is_unmarked && !is_unavailable, "nothing is wrong but the answer: {verdict:?}");
        }
        if is_unavailable {
            return;
        }
        let (is_in_force, changed) = Script::change(key);
        let is_known = changed < known || self.refused[key];
        let has_happened = changed <= self.at;
        let may_allow = if is_in_force { has_happened } else { !is_known };
        let may_refuse = if is_in_force { !is_known } else { has_happened };
        match verdict.outcome {
            Outcome::Allow(_) => {
                assert!(may_allow, "let in");
                let age_ms = self.now().0.saturating_sub(START.0 + self.known);
                assert!(is_unmarked || age_ms <= GRACE_MS, "past grace");
            }
            Outcome::Pass(pass) => panic!("no route is public or in shadow: {pass:?}"),
            Outcome::Refuse(refusal) => {
                assert!(may_refuse, "kept out: {refusal:?}");
                assert!(refusal != UNKNOWN || is_unmarked, "unknown by old knowledge");
            }
        }
    }

    /// Whatever decides what comes next.
    fn state(&self) -> String {
        let now = self.now();
        let mut status = self.gate.status(now);
        status.counts.clear();
        (status.heads_accepted, status.heads_refused, status.objects_refused) = (0, 0, 0);
        let (gate, wanted) = (&self.gate, self.gate.wanted(usize::MAX));
        let moments = (self.at, self.is_set_back, self.root_version, self.known, self.refused);
        format!("{gate:?} {status:?} {wanted:?} {moments:?}")
    }
}

/// Follows every sequence. Says how many states there were.
fn explore(is_warm: bool) -> usize {
    let depth = std::env::var("LATCHKEY_SIM_DEPTH").ok().and_then(|text| text.parse().ok());
    let mut script = Script::new();
    let mut seen = BTreeSet::new();
    let mut paths: Vec<Vec<Event>> = vec![vec![]];
    for _ in 0..depth.unwrap_or(DEPTH) {
        let mut longer = Vec::new();
        for (path, event) in paths.iter().flat_map(|path| EVENTS.iter().map(move |event| (path, *event))) {
            let sequence = [path.as_slice(), &[event]].concat();
            let told = Told(&sequence);
            let mut run = Run::new(&mut script, is_warm);
            for event in path {
                run.step(*event);
            }
            let is_new = run.step(event) && seen.insert(digest(&run.state()));
            drop(told);
            if is_new {
                longer.push(sequence);
            }
        }
        paths = longer;
    }
    seen.len()
}

fn digest(state: &str) -> [u8; 32] {
    latchkey_snapshot::ObjectDigest::of(state.as_bytes()).0
}

struct Told<'a>(&'a [Event]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {:?}", self.0);
        }
    }
}

#[test]
fn promises_hold_in_every_sequence_from_a_warm_gate() {
    let states = explore(true);
    println!("{states} states");
    assert!(states > 1000);
}

#[test]
fn promises_hold_in_every_sequence_from_a_cold_gate() {
    let states = explore(false);
    println!("{states} states");
    assert!(states > 1000);
}
