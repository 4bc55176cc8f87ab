//! The state machine alone: every sequence of what can happen to it, each state once, and a model of what it owes beside it.

use super::*;
use std::collections::BTreeSet;
use std::vec::Vec;

const DEPTH: usize = 6;
const START: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum Event {
    Tick(u64),
    Back(u64),
    Refresh,
    Ask(Urge, Waited),
    GiveBack,
    GiveBackBehind,
    Fail,
    /// A head of so long ago is confirmed.
    Confirm(u64),
}

const EVENTS: &[Event] = &[
    Event::Tick(1),
    Event::Tick(249),
    Event::Tick(450),
    Event::Tick(1300),
    Event::Tick(4001),
    Event::Back(600),
    Event::Back(1500),
    Event::Refresh,
    Event::Ask(Urge::Age, Waited::NotYet),
    Event::Ask(Urge::Age, Waited::InVain),
    Event::Ask(Urge::Forced, Waited::NotYet),
    Event::GiveBack,
    Event::GiveBackBehind,
    Event::Fail,
    Event::Confirm(0),
    Event::Confirm(3900),
];

/// The clock and what it was seen to do. Moments are as the edge reads them.
struct Model {
    clock: Clock,
    read: u64,
    /// The latest reading; anew when the clock was set back far.
    latest: u64,
    granted: Option<u64>,
    behind: Option<u64>,
    forced: Option<u64>,
    failed: Option<(u64, u32)>,
    confirmed: Option<u64>,
}

impl Model {
    fn new() -> Self {
        let (granted, behind, forced, failed, confirmed) = (None, None, None, None, None);
        Self { clock: Clock::new(9), read: START, latest: 0, granted, behind, forced, failed, confirmed }
    }

    fn copy(&self) -> Self {
        let of = |one: &AtomicU64| AtomicU64::new(one.load(Relaxed));
        let clock = &self.clock;
        Self {
            clock: Clock {
                seed: clock.seed,
                latest: of(&clock.latest),
                confirmed: of(&clock.confirmed),
                lease_until: of(&clock.lease_until),
                begun: of(&clock.begun),
                behind: of(&clock.behind),
                forced: of(&clock.forced),
                breaker_until: of(&clock.breaker_until),
                failures: of(&clock.failures),
            },
            ..*self
        }
    }

    fn now(&mut self) -> UnixMillis {
        if self.read < self.latest && self.latest - self.read > AS_OF_AHEAD_MS_MAX {
            (self.granted, self.behind, self.forced, self.confirmed) = (None, None, None, None);
            self.failed = self.failed.map(|(_, times)| (0, times));
            self.latest = self.read;
        }
        self.latest = self.latest.max(self.read);
        let now = self.clock.tick(UnixMillis(self.read));
        assert_eq!(now.0, self.latest, "the latest reading counts");
        now
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Tick(ms) => self.read += ms,
            Event::Back(ms) => self.read -= ms,
            Event::Refresh => {
                let now = self.now();
                if self.clock.take_refresh(self.newest(), now) {
                    let since = self.granted.map(|granted| now.0 - granted);
                    assert!(since.is_none_or(|ms| ms >= REFRESH_EVERY_MS), "a look {since:?} ms after one");
                    let since = self.behind.map(|behind| now.0 - behind);
                    assert!(since.is_none_or(|ms| ms >= LEASE_MS), "{since:?} ms after one that is out");
                    if self.confirmed.is_none() {
                        self.check_breaker(now.0);
                    }
                    (self.granted, self.behind) = (Some(now.0), Some(now.0));
                }
            }
            Event::Ask(urge, waited) => {
                let now = self.now();
                if self.clock.take_ask(urge, waited, now) != Leave::Granted {
                    return;
                }
                if urge == Urge::Forced {
                    let since = self.forced.map(|forced| now.0 - forced);
                    assert!(since.is_none_or(|ms| ms >= FORCED_EVERY_MS), "forced {since:?} ms after one");
                    self.forced = Some(now.0);
                }
                self.check_breaker(now.0);
                self.granted = Some(now.0);
                // Of any number that ask in this moment, however long they have waited, one looks.
                for waited in [Waited::NotYet, Waited::InVain] {
                    assert_eq!(self.clock.take_ask(Urge::Age, waited, now), Leave::InFlight);
                }
                assert!(!self.clock.take_refresh(self.newest(), now));
            }
            Event::GiveBack => {
                self.now();
                self.clock.give_back();
            }
            Event::GiveBackBehind => {
                self.now();
                self.clock.give_back_behind();
                self.behind = None;
            }
            Event::Fail => {
                let now = self.now();
                if !self.clock.is_open(now) {
                    let times = self.failed.map_or(0, |(_, times)| times);
                    self.failed = Some((now.0, times + 1));
                }
                self.clock.fail(now);
                assert!(self.clock.is_open(now));
            }
            Event::Confirm(ago_ms) => {
                let now = self.now();
                self.clock.confirm(UnixMillis(now.0 - ago_ms), now);
                self.confirmed = self.confirmed.max(Some(now.0 - ago_ms));
                self.failed = None;
            }
        }
    }

    /// The newest head.
    fn newest(&self) -> Option<UnixMillis> {
        self.confirmed.map(UnixMillis)
    }

    /// While the breaker is open no request waits for a look, and where nothing was confirmed yet there is none behind either.
    fn check_breaker(&self, now: u64) {
        if let Some((failed, times)) = self.failed {
            let least_ms = (BREAKER_MS_MIN << (times - 1)).min(BREAKER_MS_MAX) * 3 / 4;
            assert!(now - failed >= least_ms, "a look {} ms after {times} failures", now - failed);
        }
    }

    /// What holds in every state.
    fn check(&self) {
        let mut model = self.copy();
        let now = model.now();
        assert_eq!(model.clock.age_ms(now), model.confirmed.map(|as_of| now.0 - as_of));
        // Whatever happened, a look is due again before long: nothing lasts that nobody ends.
        let longest_ms = BREAKER_MS_MAX * 5 / 4 + 1;
        let later = model.clock.tick(UnixMillis(model.read + longest_ms + AS_OF_AHEAD_MS_MAX));
        assert!(!model.clock.is_open(later), "the breaker stays open");
        assert!(model.copy().clock.take_refresh(model.newest(), later), "no look behind is due");
        if let Some(confirmed) = model.confirmed.filter(|confirmed| now.0 - confirmed <= PACED_FROM_MS) {
            let soon = UnixMillis(confirmed + PACED_FROM_MS);
            let is_due = model.granted.is_none_or(|granted| soon.0 - granted >= LEASE_MS);
            assert!(
                !is_due || model.copy().clock.take_refresh(model.newest(), soon),
                "young, and no look behind is due"
            );
        }
        assert_eq!(model.clock.take_ask(Urge::Forced, Waited::NotYet, later), Leave::Granted);
    }

    fn state(&self) -> [u64; 15] {
        let of = |one: &AtomicU64| one.load(Relaxed);
        let clock = &self.clock;
        [
            of(&clock.latest),
            of(&clock.confirmed),
            of(&clock.lease_until),
            of(&clock.begun),
            of(&clock.behind),
            of(&clock.forced),
            of(&clock.breaker_until),
            of(&clock.failures),
            self.read,
            self.latest,
            self.granted.unwrap_or(NEVER),
            self.behind.unwrap_or(NEVER),
            self.forced.unwrap_or(NEVER),
            self.failed.map_or(NEVER, |(failed, _)| failed),
            self.failed.map_or(0, |(_, times)| u64::from(times)),
        ]
    }
}

#[test]
fn every_sequence_keeps_what_the_clock_owes() {
    let mut seen = BTreeSet::new();
    let mut models = Vec::from([Model::new()]);
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for model in &models {
            for event in EVENTS {
                let mut model = model.copy();
                model.step(*event);
                if seen.insert(model.state()) {
                    model.check();
                    next.push(model);
                }
            }
        }
        models = next;
    }
    assert!(seen.len() > 100_000, "{} states", seen.len());
}
