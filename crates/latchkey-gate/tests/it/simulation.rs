//! Delays, losses and reordering, drawn from a seed: whatever happens on the way, an answer that does not say it
//! is stale knows every change committed five seconds before it.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::KeyState;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BOUND_MS: u64 = 5000;

/// One byte sequence after another that is on its way to the gate.
enum Parcel {
    Head(Vec<u8>),
    Object(Wanted),
}

struct World {
    stage: Stage,
    gate: Gate,
    dice: Dice,
    keys: Vec<Key>,
    /// By key: the moments of its changes and the state from then on.
    history: Vec<Vec<(UnixMillis, KeyState)>>,
    wire: BTreeMap<u64, Vec<Parcel>>,
    /// Heads as they were signed: an adversary may deliver any of them again.
    signed: Vec<Vec<u8>>,
    loss_percent: u64,
    delay_ms: u64,
    answers: [usize; 3],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::new();
        let keys: Vec<Key> = (0..6).map(|at| stage.add_key(1 + at % 2, Role::Member)).collect();
        stage.publish();
        let mut seed_bytes = [0; 32];
        seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut dice = Dice::from_seed(&seed_bytes);
        let loss_percent = [0, 10, 50, 90][u64::from_le_bytes(dice.bytes()) as usize % 4];
        let delay_ms = [1, 50, 500, 6000][u64::from_le_bytes(dice.bytes()) as usize % 4];
        Self {
            gate: stage.gate(),
            history: keys.iter().map(|_| vec![(UnixMillis(0), KeyState::Active)]).collect(),
            wire: BTreeMap::new(),
            signed: vec![],
            answers: [0; 3],
            stage,
            dice,
            keys,
            loss_percent,
            delay_ms,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        u64::from_le_bytes(self.dice.bytes()) % sides
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let pause = [0, 3, 40, 300, 2500][self.roll(5) as usize];
            self.stage.now = self.stage.now.plus_ms(pause);
            self.deliver();
            match self.roll(10) {
                0 => self.change(),
                1 => self.publish(),
                2..=3 => self.background(),
                _ => self.request(),
            }
        }
    }

    /// Commits a change: inline if it revokes, else with a publication.
    fn change(&mut self) {
        let at = self.roll(self.keys.len() as u64) as usize;
        let key = self.keys[at].clone();
        let last = self.history[at].last().unwrap().1;
        let state = match last {
            KeyState::Active if self.roll(3) == 0 => KeyState::Revoked,
            KeyState::Active => KeyState::Disabled,
            KeyState::Disabled => KeyState::Active,
            KeyState::Revoked => return,
        };
        if state == KeyState::Revoked && self.stage.inline.len() < 60 {
            self.stage.revoke_key_inline(&key);
        } else {
            self.stage.set_state(&key, state);
            self.stage.publish();
        }
        let now = self.stage.now;
        self.history[at].push((now, state));
    }

    fn publish(&mut self) {
        if self.roll(2) == 0 {
            self.stage.publish();
        } else {
            self.stage.sign_statement();
        }
    }

    /// A look at the head: what is read is what is signed now, and it arrives some time, or never.
    fn look(&mut self) {
        let head = self.stage.head();
        self.signed.push(head.clone());
        self.send(Parcel::Head(head));
        if self.roll(4) == 0 {
            let old = self.roll(self.signed.len() as u64) as usize;
            self.send(Parcel::Head(self.signed[old].clone()));
        }
    }

    fn send(&mut self, parcel: Parcel) {
        if self.roll(100) >= self.loss_percent {
            let due = self.stage.now.0 + self.roll(self.delay_ms);
            self.wire.entry(due).or_default().push(parcel);
        }
    }

    fn deliver(&mut self) {
        let later = self.wire.split_off(&(self.stage.now.0 + 1));
        for parcel in std::mem::replace(&mut self.wire, later).into_values().flatten() {
            match parcel {
                Parcel::Head(bytes) => drop(self.gate.accept_head(&bytes, self.stage.now)),
                Parcel::Object(wanted) => {
                    let bytes = &self.stage.objects[&wanted.reference().digest()];
                    self.gate.accept_object(&wanted, bytes, self.stage.now).unwrap();
                }
            }
        }
    }

    fn background(&mut self) {
        if self.gate.refresh_due(self.stage.now) {
            self.look();
            if self.roll(2) == 0 {
                self.gate.refresh_ended(self.stage.now);
            }
        }
        let most = self.roll(4) as usize;
        self.gate.wanted(most).into_iter().for_each(|wanted| self.send(Parcel::Object(wanted)));
    }

    fn request(&mut self) {
        let at = self.roll(self.keys.len() as u64) as usize;
        let bearer = format!("Bearer {}", self.keys[at].text);
        let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
        let mut attempt = Attempt::default();
        for _ in 0..40 {
            match self.gate.decide(&request, Question::Route, self.stage.now, &mut attempt) {
                Step::Answer(verdict) => return self.check(at, &verdict),
                Step::Ask(ask) => self.answer(ask),
            }
        }
        panic!("the loop does not end");
    }

    fn answer(&mut self, ask: Ask) {
        let start = ask == Ask::Head(HeadAsk::Start);
        match ask {
            Ask::Head(HeadAsk::Start) => self.look(),
            Ask::Head(HeadAsk::Join) => {}
            Ask::Objects(list) => list.into_iter().for_each(|wanted| self.send(Parcel::Object(wanted))),
            Ask::Body(field) => panic!("no rule reads `{field}`"),
        }
        let wait = self.roll(HEAD_BUDGET_MS);
        self.stage.now = self.stage.now.plus_ms(wait);
        self.deliver();
        if start && self.roll(3) > 0 {
            let end = if self.roll(2) == 0 { RefreshEnd::Answered } else { RefreshEnd::Failed };
            self.gate.ask_ended(end, self.stage.now);
        }
    }

    /// The states the key has had since five seconds ago; a verdict that is not stale must fit one of them.
    fn check(&mut self, at: usize, verdict: &Verdict) {
        let now = self.stage.now;
        let stale = verdict.standing.is_none_or(|standing| standing.stale);
        let allowed = matches!(verdict.outcome, Outcome::Allow(_));
        let unavailable = matches!(verdict.outcome, Outcome::Refuse(Refusal::Unavailable(_)));
        self.answers[if unavailable { 2 } else { usize::from(stale) }] += 1;
        if stale || unavailable {
            return;
        }
        let old = self.history[at].iter().rposition(|(since, _)| since.0 + BOUND_MS <= now.0).unwrap_or(0);
        let possible = &self.history[at][old..];
        let fits = possible.iter().any(|(_, state)| (*state == KeyState::Active) == allowed);
        assert!(fits, "key {at} at {now:?}: {verdict:?}, possible {possible:?}");
    }
}

#[test]
fn answer_without_stale_knows_every_change_committed_five_seconds_before() {
    let mut answers = [0; 3];
    for seed in 0..150 {
        let mut world = World::new(seed);
        world.run(150);
        world.answers.iter().zip(&mut answers).for_each(|(one, all)| *all += one);
    }
    assert!(answers.iter().all(|count| *count > 100), "fresh, stale, unavailable: {answers:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_request_is_answered_without_panic(
        value in proptest::collection::vec(any::<u8>(), 0..90),
        path in proptest::collection::vec(any::<u8>(), 0..40),
        token in proptest::collection::vec(any::<u8>(), 0..30),
        method in "\\PC{0,8}",
        at in any::<u64>(),
        prefixed: bool,
    ) {
        let mut stage = Stage::new();
        stage.publish();
        let mut shell = stage.warm_shell();
        let value = if prefixed { [b"Bearer ".as_slice(), &value].concat() } else { value };
        let request = Request {
            min_generation: Some(&token),
            project: Header::One(&token),
            ..Request::new(&method, &path, Header::One(&value))
        };
        shell.ask(&mut stage, &request, Question::Route);
        stage.now = UnixMillis(at);
        shell.network = Line::HeadDown;
        shell.ask(&mut stage, &request, Question::Whoami);
        let _ = shell.gate.accept_head(&value, stage.now);
        let _ = shell.gate.accept_root(&value);
        shell.gate.status(stage.now);
        shell.gate.refresh_due(stage.now);
        shell.gate.ask_ended(RefreshEnd::Failed, stage.now);
    }
}
