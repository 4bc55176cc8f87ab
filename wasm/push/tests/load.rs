//! How many reads reach the hub and its relays, and what they cost: a simulation of isolates in data centres, with the very
//! rules by which the edge judges shared entries and claims, of heads and of objects. `cargo test -p latchkey-push --test load --
//! --nocapture` prints the tables that docs/operations.md shows.
//!
//! Every isolate has traffic and looks at the head every 250 ms. Looks begin at random moments; the cache takes 1 to 15 ms, the
//! way to a relay 5 to 60 ms, to the hub 20 to 120 ms. A change makes a new tip, an object that every isolate needs before the
//! head that names it confirms anything. Everything is drawn from a fixed seed.

use latchkey_core::UnixMillis;
use latchkey_push::shared::{Entry, Errand, Next, Patience, SHARED_BY_MS, Urgency};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

const DATA_CENTRES: u64 = 330;
const RELAYS: u64 = 9;
const REFRESH_EVERY_MS: u64 = 250;
const BEGIN: u64 = 10_000;
const SIMULATED_MS: u64 = 12_000;
/// Left out of the count: everything begins at once.
const WARM_UP_MS: u64 = 2_000;
/// Data centres that are simulated one by one; the others are like them.
const SAMPLED: u64 = 10;
/// The way of a new head from the control plane to the source.
const PUSHED_IN_MS: u64 = 60;
const RENEWED_EVERY_MS: u64 = 500;
const CHANGED_EVERY_MS: u64 = 1000;
/// When in that time a change comes: between two renewals.
const CHANGED_AT_MS: u64 = 250;

const SECONDS_A_MONTH: f64 = 30.0 * 86_400.0;
/// Dollars for a million requests to Durable Objects, and those included (Cloudflare's price list; docs/operations.md
/// says of which day).
const REQUESTS_MILLION: f64 = 0.15;
const REQUESTS_INCLUDED: f64 = 1e6;
/// Dollars for a million GB-s of Durable Objects, and those included; one that is awake counts as 128 MB.
const GB_SECONDS_MILLION: f64 = 12.5;
const GB_SECONDS_INCLUDED: f64 = 400_000.0;
const OBJECT_GB: f64 = 0.128;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn within(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        from + (value ^ value >> 31) % (to - from + 1)
    }

    fn chance(&mut self) -> u32 {
        self.within(0, u64::from(u32::MAX)) as u32
    }

    /// A read of the cache, or a write.
    fn cache(&mut self) -> u64 {
        self.within(1, 15)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    shares: bool,
    relays: bool,
    changes: bool,
}

/// A head as far as it matters here: its `as_of`, and the number of its tip, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    as_of: u64,
    tip: u64,
}

/// One read of a tip.
#[derive(Clone, Copy)]
struct Reading {
    tip: u64,
    patience: Patience,
    /// The head that is put into the cache once the tip is there.
    news: Option<Head>,
}

/// What happens to an isolate next.
#[derive(Clone, Copy)]
enum Event {
    /// It begins a look: the cache's entry is on its way to it.
    Look,
    /// The entry is here, as it was when it was read.
    Judge { entry: Option<(u64, Head)> },
    /// A claim that it put can be seen.
    Claim { put: u64 },
    /// The source's answer is here.
    Answer { head: Head },
    /// It puts the head into the cache.
    Share { head: Head },
    /// Its entry can be seen.
    Shared { put: u64, head: Head },
    /// It looks for a tip in the cache.
    LookForTip { reading: Reading },
    /// What was there is here.
    JudgeTip { reading: Reading, found: bool, claim: Option<u64> },
    /// Its claim of a tip can be seen.
    ClaimTip { tip: u64, put: u64 },
    /// The source's answer is here.
    TipAnswer { reading: Reading },
    /// The tip can be seen in the cache.
    TipShared { reading: Reading },
}

#[derive(Clone, Copy, Default)]
struct Isolate {
    /// The newest head.
    head: Head,
    /// The tip that it holds, and the one that it reads.
    tip: u64,
    reads: u64,
    /// The `as_of` of the newest head whose tip it held.
    confirmed: u64,
}

#[derive(Default)]
struct Outcome {
    head_reads: u64,
    tip_reads: u64,
    /// The oldest `as_of` that an isolate was left with after a look, in milliseconds.
    oldest_ms: u64,
    /// When the last tip came.
    last_tip: u64,
}

/// The isolates of one data centre and what they share.
struct DataCentre {
    shape: Shape,
    dice: Dice,
    isolates: BTreeMap<usize, Isolate>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, (usize, Event)>,
    entry: Option<(u64, Head)>,
    claim: Option<u64>,
    tips: BTreeSet<u64>,
    tip_claims: BTreeMap<u64, u64>,
    outcome: Outcome,
}

impl DataCentre {
    fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            dice: Dice(seed),
            isolates: BTreeMap::new(),
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            entry: None,
            claim: None,
            tips: BTreeSet::new(),
            tip_claims: BTreeMap::new(),
            outcome: Outcome::default(),
        }
    }

    fn at(&mut self, moment: u64, isolate: usize, event: Event) {
        let turn = self.what.last_key_value().map_or(0, |(turn, _)| turn + 1);
        self.what.insert(turn, (isolate, event));
        self.events.push(Reverse((moment, turn)));
    }

    fn run(mut self) -> Outcome {
        while let Some(Reverse((now, turn))) = self.events.pop() {
            let Some((isolate, event)) = self.what.remove(&turn) else { continue };
            if now > BEGIN + SIMULATED_MS {
                break;
            }
            self.step(now, isolate, event);
        }
        self.outcome
    }

    fn step(&mut self, now: u64, isolate: usize, event: Event) {
        match event {
            Event::Look => {
                self.at(now + REFRESH_EVERY_MS, isolate, Event::Look);
                let wait = if self.shape.shares { self.dice.cache() } else { 0 };
                self.at(now + wait, isolate, Event::Judge { entry: self.entry });
            }
            Event::Judge { entry } => match entry.filter(|entry| self.serves(*entry, now)) {
                Some((_, head)) => self.take(now, isolate, head, Errand::Behind),
                None => self.ask(now, isolate),
            },
            Event::Claim { put } => self.claim = self.claim.max(Some(put)),
            Event::Answer { head } => self.take(now, isolate, head, Errand::News),
            Event::Share { head } => {
                let seen = now + self.dice.cache();
                self.at(seen, isolate, Event::Shared { put: now, head });
            }
            Event::Shared { put, head } => self.entry = Some((put, head)),
            Event::LookForTip { reading } => {
                let found = self.tips.contains(&reading.tip);
                let claim = self.tip_claims.get(&reading.tip).copied();
                let here = now + self.dice.cache();
                self.at(here, isolate, Event::JudgeTip { reading, found, claim });
            }
            Event::JudgeTip { reading, found, claim } => self.judge_tip(now, isolate, reading, found, claim),
            Event::ClaimTip { tip, put } => {
                self.tip_claims.insert(tip, put);
            }
            Event::TipAnswer { reading } => {
                self.hold(now, isolate, reading.tip);
                if self.shape.shares {
                    let seen = now + self.dice.cache();
                    self.at(seen, isolate, Event::TipShared { reading });
                }
            }
            Event::TipShared { reading } => {
                self.tips.insert(reading.tip);
                if let Some(head) = reading.news {
                    self.at(now, isolate, Event::Share { head });
                }
            }
        }
    }

    fn serves(&mut self, (put, head): (u64, Head), now: u64) -> bool {
        let behind = Urgency::Behind { chance: self.dice.chance() };
        let bytes = [[0; 8], head.as_of.to_le_bytes()].concat();
        let (entry, moment) = (Entry { put: UnixMillis(put), head: &bytes }, UnixMillis(now));
        entry.serves(behind, moment) || entry.serves_while_claimed(behind, self.claim.map(UnixMillis), moment)
    }

    fn is_counted(now: u64) -> u64 {
        u64::from(now >= BEGIN + WARM_UP_MS)
    }

    fn way(&mut self) -> u64 {
        let (least, most) = if self.shape.relays { (5, 60) } else { (20, 120) };
        self.dice.within(least, most)
    }

    /// Asks the source for the head.
    fn ask(&mut self, now: u64, isolate: usize) {
        self.outcome.head_reads += Self::is_counted(now);
        let way = self.way();
        self.at(now + way, isolate, Event::Answer { head: newest(now + way / 2, self.shape.changes) });
        if self.shape.shares {
            let seen = now + self.dice.cache();
            self.at(seen, isolate, Event::Claim { put: now });
        }
    }

    /// Takes a head in, and begins to read the tip that it newly names.
    fn take(&mut self, now: u64, isolate: usize, head: Head, errand: Errand) {
        let news = Some(head).filter(|_| errand == Errand::News && self.shape.shares);
        let here = self.isolates.entry(isolate).or_default();
        here.head = here.head.max(head);
        if here.tip >= head.tip || here.reads >= head.tip {
            if let Some(head) = news {
                self.at(now, isolate, Event::Share { head });
            }
        } else {
            here.reads = head.tip;
            let patience = Patience::new(errand, self.dice.chance());
            let reading = Reading { tip: head.tip, patience, news };
            if self.shape.shares {
                self.at(now, isolate, Event::LookForTip { reading });
            } else {
                self.ask_for_tip(now, isolate, reading);
            }
            if let Some(head) = news {
                self.at(now + SHARED_BY_MS, isolate, Event::Share { head });
            }
        }
        self.note(now, isolate);
    }

    fn judge_tip(&mut self, now: u64, isolate: usize, mut reading: Reading, found: bool, claim: Option<u64>) {
        if found {
            self.hold(now, isolate, reading.tip);
            if let Some(head) = reading.news {
                self.at(now, isolate, Event::Share { head });
            }
            return;
        }
        match reading.patience.next(claim.map(UnixMillis), UnixMillis(now)) {
            Next::Look(wait) => self.at(now + wait, isolate, Event::LookForTip { reading }),
            Next::Ask => {
                let seen = now + self.dice.cache();
                self.at(seen, isolate, Event::ClaimTip { tip: reading.tip, put: now });
                self.ask_for_tip(now, isolate, reading);
            }
        }
    }

    fn ask_for_tip(&mut self, now: u64, isolate: usize, reading: Reading) {
        self.outcome.tip_reads += Self::is_counted(now);
        let way = self.way();
        self.at(now + way, isolate, Event::TipAnswer { reading });
    }

    fn hold(&mut self, now: u64, isolate: usize, tip: u64) {
        let here = self.isolates.entry(isolate).or_default();
        here.tip = here.tip.max(tip);
        self.outcome.last_tip = now;
        self.note(now, isolate);
    }

    fn note(&mut self, now: u64, isolate: usize) {
        let here = self.isolates.entry(isolate).or_default();
        if here.tip >= here.head.tip {
            here.confirmed = here.confirmed.max(here.head.as_of);
        }
        if Self::is_counted(now) == 1 {
            self.outcome.oldest_ms = self.outcome.oldest_ms.max(now - here.confirmed);
        }
    }
}

/// The head that a source holds.
fn newest(now: u64, changes: bool) -> Head {
    let signed = now - PUSHED_IN_MS;
    let renewed = signed / RENEWED_EVERY_MS * RENEWED_EVERY_MS;
    if !changes {
        return Head { as_of: renewed, tip: 0 };
    }
    let tip = (signed - CHANGED_AT_MS) / CHANGED_EVERY_MS;
    Head { as_of: renewed.max(tip * CHANGED_EVERY_MS + CHANGED_AT_MS), tip }
}

/// A data centre in which all isolates have traffic.
fn looking(isolates: u64, shape: Shape, seed: u64) -> Outcome {
    let mut centre = DataCentre::new(shape, seed);
    for isolate in 0..isolates as usize {
        let begin = BEGIN + centre.dice.within(0, REFRESH_EVERY_MS);
        centre.at(begin, isolate, Event::Look);
    }
    centre.run()
}

/// A data centre in which all isolates want the same object within 250 ms, as after a new base or a deploy: how often it
/// is read from beyond, and how long it takes until the last has it, in milliseconds.
fn crowd(isolates: u64, errand: Errand, seed: u64) -> (u64, u64) {
    let shape = Shape { shares: true, relays: false, changes: false };
    let mut centre = DataCentre::new(shape, seed);
    let begin = BEGIN + WARM_UP_MS;
    for isolate in 0..isolates as usize {
        let reading = Reading { tip: 1, patience: Patience::new(errand, centre.dice.chance()), news: None };
        let moment = begin + centre.dice.within(0, REFRESH_EVERY_MS);
        centre.at(moment, isolate, Event::LookForTip { reading });
    }
    let outcome = centre.run();
    (outcome.tip_reads, outcome.last_tip - begin)
}

struct Load {
    hub_heads: f64,
    hub_objects: f64,
    relay_heads: f64,
    relay_objects: f64,
    dollars: f64,
    oldest_ms: u64,
}

impl Load {
    fn hub(&self) -> f64 {
        self.hub_heads + self.hub_objects
    }

    fn relays(&self) -> f64 {
        self.relay_heads + self.relay_objects
    }
}

fn load(isolates: u64, shape: Shape) -> Load {
    let seconds = (SIMULATED_MS - WARM_UP_MS) as f64 / 1000.0;
    let (mut head_reads, mut tip_reads, mut oldest_ms) = (0, 0, 0);
    for number in 0..SAMPLED {
        let here = isolates * (number + 1) / DATA_CENTRES - isolates * number / DATA_CENTRES;
        let outcome = looking(here, shape, 0x1A7C_4EE1 + number);
        head_reads += outcome.head_reads;
        tip_reads += outcome.tip_reads;
        oldest_ms = oldest_ms.max(outcome.oldest_ms);
    }
    let everywhere = |reads: u64| reads as f64 / seconds * DATA_CENTRES as f64 / SAMPLED as f64;
    let (head_reads, tip_reads) = (everywhere(head_reads), everywhere(tip_reads));
    let renewals = 1000.0 / RENEWED_EVERY_MS as f64;
    let changes = if shape.changes { 1000.0 / CHANGED_EVERY_MS as f64 } else { 0.0 };
    // A renewal is pushed as one head; a change as a head that is not taken yet, a tip, and the head again.
    let (pushed_heads, pushed_objects) = (renewals + 2.0 * changes, changes);
    let fed = RELAYS as f64 * (renewals + changes);
    let (hub_heads, hub_objects, relay_heads, relay_objects, awake) = if shape.relays {
        // Each relay reads a tip once, however many ask it.
        let tips = RELAYS as f64 * changes;
        (pushed_heads, pushed_objects + tips, head_reads + fed, tip_reads, 1 + RELAYS)
    } else {
        (pushed_heads + head_reads, pushed_objects + tip_reads, 0.0, 0.0, 1)
    };
    let requests = (hub_heads + hub_objects + relay_heads + relay_objects) * SECONDS_A_MONTH;
    let gb_seconds = awake as f64 * OBJECT_GB * SECONDS_A_MONTH;
    let dollars = (requests - REQUESTS_INCLUDED).max(0.0) / 1e6 * REQUESTS_MILLION
        + (gb_seconds - GB_SECONDS_INCLUDED).max(0.0) / 1e6 * GB_SECONDS_MILLION;
    Load { hub_heads, hub_objects, relay_heads, relay_objects, dollars, oldest_ms }
}

#[test]
fn shared_reads_do_not_grow_with_isolates() {
    println!(
        "| isolates | changes/s | cache | relays | hub, requests/s | of them objects | relays, requests/s | of them objects \
         | $ a month | oldest `as_of`, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut loads = Vec::new();
    for isolates in [1_000, 100_000] {
        for changes in [false, true] {
            for (shares, relays) in [(false, false), (false, true), (true, false), (true, true)] {
                let load = load(isolates, Shape { shares, relays, changes });
                println!(
                    "| {isolates} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
                    u8::from(changes),
                    if shares { "shared" } else { "–" },
                    if relays { "9" } else { "–" },
                    load.hub(),
                    load.hub_objects,
                    load.relays(),
                    load.relay_objects,
                    load.dollars,
                    load.oldest_ms
                );
                loads.push(load);
            }
        }
    }
    let [_, _, _, _, _, _, few, _, calm_alone, _, calm, _, alone, _, shared, both] = loads.as_slice() else {
        panic!("sixteen of them")
    };
    // Four looks a second each, and nothing saved; with a change a second each reads that too.
    assert!(calm_alone.hub() > 390_000.0, "{}", calm_alone.hub());
    assert!(alone.hub_objects > 95_000.0, "{}", alone.hub_objects);
    // Four a second a data centre, plus those who look in the moment before a claim can be seen.
    let most = DATA_CENTRES as f64 * 6.0;
    for load in [calm, shared] {
        assert!(load.hub_heads < most, "{}", load.hub_heads);
    }
    assert!(shared.hub_heads < few.hub_heads * 4.0);
    // A tip is read by those who read its head, and by next to nobody else.
    assert!(shared.hub_objects < DATA_CENTRES as f64 * 3.0, "{}", shared.hub_objects);
    assert!(both.relay_objects < DATA_CENTRES as f64 * 3.0, "{}", both.relay_objects);
    assert!(both.hub() < 20.0 && both.relay_heads < most);
    // What is shared confirms what its `as_of` says, and that stays young.
    assert!(
        loads.iter().all(|load| load.oldest_ms < 2_000),
        "{:?}",
        loads.iter().map(|load| load.oldest_ms).max()
    );
}

#[test]
fn an_object_that_all_want_at_once_is_read_a_few_times_a_data_centre() {
    println!(
        "| isolates in the data centre | wanted | reads of the source an object | until the last has it, ms |"
    );
    println!("|---|---|---|---|");
    for isolates in [3, 30, 300] {
        for (errand, name) in [(Errand::Behind, "behind an answer"), (Errand::Answer, "by an answer")] {
            let crowds: Vec<_> = (0..100).map(|seed| crowd(isolates, errand, seed)).collect();
            let reads = crowds.iter().map(|(reads, _)| *reads as f64).sum::<f64>() / 100.0;
            let last_ms = crowds.iter().map(|(_, last_ms)| *last_ms).max().unwrap_or_default();
            println!("| {isolates} | {name} | {reads:.1} | {last_ms} |");
            // An answer does not wait to see whether another asks: those who come before the claim can be seen ask.
            let most = if errand == Errand::Behind { 3.0 } else { 1.0 + isolates as f64 / 8.0 };
            assert!(reads <= most, "{isolates} {name}: {reads}");
            assert!(last_ms < 1_000, "{isolates} {name}: {last_ms}");
        }
    }
}
