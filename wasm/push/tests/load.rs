//! How many reads of the head reach the hub, and what they cost: a simulation of isolates in data centres, with the very
//! rules by which the edge judges the shared entry and the claim. `cargo test -p latchkey-push --test load -- --nocapture`
//! prints the table that docs/operations.md shows.
//!
//! Every isolate has traffic and looks at the head every 250 ms. Looks begin at random moments; the cache takes 1 to 15 ms, the
//! way to a relay 5 to 60 ms, to the hub 20 to 120 ms. Everything is drawn from a fixed seed.

use latchkey_core::UnixMillis;
use latchkey_push::shared::{Entry, Urgency};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const DATA_CENTRES: u64 = 330;
const RELAYS: u64 = 9;
const REFRESH_EVERY_MS: u64 = 250;
const SIMULATED_MS: u64 = 12_000;
/// Left out of the count: everything begins at once.
const WARM_UP_MS: u64 = 2_000;
/// Data centres that are simulated one by one; the others are like them.
const SAMPLED: u64 = 10;
/// Heads a second: two renewals, and a change now and then.
const HEADS_PER_SECOND: f64 = 2.2;

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
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    shares: bool,
    relays: bool,
}

/// What happens to an isolate next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It begins a look: the cache's entry is on its way to it.
    Look,
    /// The entry is here, as it was when it was read.
    Judge { put: Option<u64>, as_of: u64 },
    /// A claim that it put can be seen.
    Claim { put: u64 },
    /// The source's answer is here.
    Answer { as_of: u64 },
    /// Its entry can be seen.
    Shared { put: u64, as_of: u64 },
}

#[derive(Default)]
struct Outcome {
    reads: u64,
    /// The oldest `as_of` that an isolate was left with after a look, in milliseconds.
    oldest_ms: u64,
}

/// Reads of the source by the isolates of one data centre.
fn data_centre(isolates: u64, shape: Shape, seed: u64) -> Outcome {
    let mut dice = Dice(seed);
    let mut outcome = Outcome::default();
    let mut events = BinaryHeap::new();
    for isolate in 0..isolates {
        events.push(Reverse((10_000 + dice.within(0, REFRESH_EVERY_MS), isolate, Event::Look)));
    }
    let (mut entry, mut claim): (Option<(u64, u64)>, Option<u64>) = (None, None);
    let until = 10_000 + SIMULATED_MS;
    while let Some(Reverse((now, isolate, event))) = events.pop() {
        if now > until {
            break;
        }
        let mut later = |ms: u64, event| events.push(Reverse((now + ms, isolate, event)));
        match event {
            Event::Look => {
                later(REFRESH_EVERY_MS, Event::Look);
                let (put, as_of) = entry.map_or((None, 0), |(put, as_of)| (Some(put), as_of));
                let wait = if shape.shares { dice.within(1, 15) } else { 0 };
                later(wait, Event::Judge { put, as_of });
            }
            Event::Judge { put, as_of } => {
                let head = head(as_of);
                let read = put.map(|put| Entry { put: UnixMillis(put), head: &head });
                let behind = Urgency::Behind { chance: dice.within(0, u64::from(u32::MAX)) as u32 };
                let serves = shape.shares
                    && read.is_some_and(|entry| {
                        let moment = UnixMillis(now);
                        entry.serves(behind, moment)
                            || entry.serves_while_claimed(behind, claim.map(UnixMillis), moment)
                    });
                if serves {
                    outcome.note(now, as_of);
                } else {
                    outcome.reads += u64::from(now >= 10_000 + WARM_UP_MS);
                    let (least, most) = if shape.relays { (5, 60) } else { (20, 120) };
                    let way = dice.within(least, most);
                    later(way, Event::Answer { as_of: renewed(now + way / 2) });
                    if shape.shares {
                        later(dice.within(1, 15), Event::Claim { put: now });
                    }
                }
            }
            Event::Claim { put } => claim = claim.max(Some(put)),
            Event::Answer { as_of } => {
                outcome.note(now, as_of);
                if shape.shares {
                    later(dice.within(1, 15), Event::Shared { put: now, as_of });
                }
            }
            Event::Shared { put, as_of } => entry = Some((put, as_of)),
        }
    }
    outcome
}

impl Outcome {
    fn note(&mut self, now: u64, as_of: u64) {
        if now >= 10_000 + WARM_UP_MS {
            self.oldest_ms = self.oldest_ms.max(now - as_of);
        }
    }
}

/// The `as_of` that a source holds: renewed every 500 ms, 60 ms on its way.
fn renewed(now: u64) -> u64 {
    (now - 60) / 500 * 500
}

fn head(as_of: u64) -> Vec<u8> {
    [[0; 8], as_of.to_le_bytes()].concat()
}

struct Load {
    hub_per_second: f64,
    relays_per_second: f64,
    dollars: f64,
    oldest_ms: u64,
}

fn load(isolates: u64, shape: Shape) -> Load {
    let seconds = (SIMULATED_MS - WARM_UP_MS) as f64 / 1000.0;
    let mut reads = 0;
    let mut oldest_ms = 0;
    for number in 0..SAMPLED {
        let here = isolates * (number + 1) / DATA_CENTRES - isolates * number / DATA_CENTRES;
        let outcome = data_centre(here, shape, 0x1A7C_4EE1 + number);
        reads += outcome.reads;
        oldest_ms = oldest_ms.max(outcome.oldest_ms);
    }
    let per_second = reads as f64 / seconds * DATA_CENTRES as f64 / SAMPLED as f64;
    let feeding = HEADS_PER_SECOND * RELAYS as f64;
    // What is pushed to the hub is the same everywhere: a head is one request.
    let (hub_per_second, relays_per_second, objects) = if shape.relays {
        (HEADS_PER_SECOND, per_second + feeding, 1 + RELAYS)
    } else {
        (per_second + HEADS_PER_SECOND, 0.0, 1)
    };
    let requests = (hub_per_second + relays_per_second) * SECONDS_A_MONTH;
    let gb_seconds = objects as f64 * OBJECT_GB * SECONDS_A_MONTH;
    let dollars = (requests - REQUESTS_INCLUDED).max(0.0) / 1e6 * REQUESTS_MILLION
        + (gb_seconds - GB_SECONDS_INCLUDED).max(0.0) / 1e6 * GB_SECONDS_MILLION;
    Load { hub_per_second, relays_per_second, dollars, oldest_ms }
}

#[test]
fn shared_reads_do_not_grow_with_isolates() {
    println!(
        "| isolates | cache | relays | hub, requests/s | relays, requests/s | $ a month | oldest `as_of`, ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut loads = Vec::new();
    for isolates in [1_000, 100_000] {
        for (shares, relays) in [(false, false), (false, true), (true, false), (true, true)] {
            let load = load(isolates, Shape { shares, relays });
            println!(
                "| {isolates} | {} | {} | {:.0} | {:.0} | {:.0} | {} |",
                if shares { "shared" } else { "–" },
                if relays { "9" } else { "–" },
                load.hub_per_second,
                load.relays_per_second,
                load.dollars,
                load.oldest_ms
            );
            loads.push(load);
        }
    }
    let [_, _, few, _, alone, _, shared, both] = loads.as_slice() else { panic!("eight of them") };
    // Four looks a second each, and nothing saved.
    assert!(alone.hub_per_second > 390_000.0, "{}", alone.hub_per_second);
    // At most four a second a data centre, plus those who look in the moment before a claim can be seen.
    let most = DATA_CENTRES as f64 * 4.0;
    assert!(shared.hub_per_second < most * 2.0, "{}", shared.hub_per_second);
    assert!(shared.hub_per_second < few.hub_per_second * 4.0);
    assert!(both.hub_per_second < 3.0 && both.relays_per_second < most * 2.0);
    // What is shared confirms what its `as_of` says, and that stays young.
    assert!(
        loads.iter().all(|load| load.oldest_ms < 2_000),
        "{:?}",
        loads.iter().map(|load| load.oldest_ms).max()
    );
}
