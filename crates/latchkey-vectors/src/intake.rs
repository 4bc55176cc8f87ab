//! Vectors of taking heads in: what a reader refuses though it is verified, and which inline revocations it keeps.

use serde_json::{Value, json};

/// When everything here happens, in milliseconds.
const NOW: u64 = 1_800_000_000_000;
/// Inline revocations of a head at most.
const PER_HEAD: u64 = 64;
/// Inline revocations that a reader keeps at most.
const KEPT_MAX: u64 = 4096;

/// A verified head that comes.
#[derive(Clone, Copy)]
struct Head {
    root: u32,
    generation: u64,
    as_of: u64,
    /// The first generation of its inline revocations, and how many there are.
    inline: (u64, u64),
    /// Whether its root names the keys that signed what came under older ones.
    vouches: bool,
}

const HEAD: Head = Head { root: 1, generation: 5, as_of: NOW, inline: (0, 0), vouches: true };

struct Case {
    name: &'static str,
    floor: (u32, u64),
    steps: Vec<Value>,
}

impl Case {
    fn new(name: &'static str) -> Self {
        Self { name, floor: (1, 0), steps: Vec::new() }
    }

    /// A head that is taken in; afterwards so many inline revocations are kept.
    fn take(self, head: Head, kept: u64) -> Self {
        self.step(head, "taken", false, kept)
    }

    /// The same, and what it names serves at once.
    fn serve(self, head: Head, kept: u64) -> Self {
        self.step(head, "taken", true, kept)
    }

    fn refuse(self, head: Head, why: &str, kept: u64) -> Self {
        self.step(head, why, false, kept)
    }

    fn step(mut self, head: Head, outcome: &str, serves: bool, kept: u64) -> Self {
        let (first, count) = head.inline;
        self.steps.push(json!({
            "root_version": head.root, "generation": head.generation.to_string(), "as_of": head.as_of.to_string(),
            "inline": { "first": first.to_string(), "count": count }, "vouches": head.vouches,
            "outcome": outcome, "serves": serves, "kept": kept,
        }));
        self
    }

    fn into_value(self) -> Value {
        let (root_version, generation) = self.floor;
        let floor = json!({ "root_version": root_version, "generation": generation.to_string() });
        json!({ "name": self.name, "floor": floor, "steps": self.steps })
    }
}

pub(crate) fn vectors() -> Value {
    let cases = [as_of(), floors(), ranks(), kept()];
    json!({
        "about": "verified heads that come one after the other to a reader whose clock says now. The n-th inline revocation \
                  of a head has the generation first + n, and refuses the organization whose number is that generation. \
                  vouches: whether its root names enough of the keys that signed what came under older roots. \
                  outcome: taken, or the reason of the refusal; kept: how many inline revocations the reader keeps then",
        "now": NOW.to_string(),
        "cases": cases.into_iter().flatten().map(Case::into_value).collect::<Vec<_>>(),
    })
}

fn as_of() -> Vec<Case> {
    let at = |as_of| Head { as_of, ..HEAD };
    vec![
        Case::new("1,001 ms ahead of the clock").refuse(at(NOW + 1001), "as of", 0),
        Case::new("ahead of the clock by all there is").refuse(at(u64::MAX), "as of", 0),
        Case::new("what lies ahead brings no revocation").refuse(
            Head { inline: (6, 2), ..at(NOW + 1001) },
            "as of",
            0,
        ),
        Case::new("1,000 ms ahead of the clock").take(at(NOW + 1000), 0),
        Case::new("a year old").take(at(NOW - 31_536_000_000), 0),
    ]
}

fn floors() -> Vec<Case> {
    let case = |name, floor| Case { floor, ..Case::new(name) };
    let at = |root, generation| Head { root, generation, ..HEAD };
    vec![
        case("a generation below the floor", (1, 6)).refuse(at(1, 5), "floor", 0),
        case("a root below the floor", (2, 1)).refuse(at(1, u64::MAX - 1), "floor", 0),
        case("below the floor, with revocations", (1, 6)).refuse(
            Head { inline: (6, 1), ..at(1, 5) },
            "floor",
            0,
        ),
        case("at the floor", (1, 5)).take(at(1, 5), 0),
        case("above the floor", (1, 5)).take(at(1, 6), 0),
        case("an older generation under a newer root than the floor's", (1, 6)).take(at(2, 1), 0),
    ]
}

fn ranks() -> Vec<Case> {
    let at = |root, generation, as_of| Head { root, generation, as_of, ..HEAD };
    let held = at(1, 7, NOW);
    let with = |head: Head, inline| Head { inline, ..head };
    vec![
        Case::new("an older head is refused and brings no revocation")
            .take(held, 0)
            .refuse(with(at(1, 7, NOW - 1), (8, 1)), "older", 0)
            .refuse(with(at(1, 6, NOW + 1), (7, 1)), "older", 0),
        Case::new("another head of the same rank is refused and brings no revocation").take(held, 0).refuse(
            with(held, (8, 1)),
            "forked",
            0,
        ),
        Case::new("the same head changes nothing").take(with(held, (8, 1)), 1).take(with(held, (8, 1)), 1),
        Case::new("a head under an older root is refused").take(at(2, 1, NOW), 0).refuse(
            with(at(1, 9, NOW + 1), (10, 1)),
            "root version",
            0,
        ),
        Case::new("a newer root that does not vouch for them drops what heads under older ones brought")
            .take(with(held, (8, 3)), 3)
            .take(Head { vouches: false, ..with(at(2, 7, NOW), (20, 1)) }, 1),
        Case::new("a newer root that vouches for them drops nothing")
            .take(with(held, (8, 3)), 3)
            .take(with(at(2, 7, NOW), (20, 1)), 4),
    ]
}

fn kept() -> Vec<Case> {
    let heads = KEPT_MAX / PER_HEAD;
    let nth = |nth: u64, inline| Head { as_of: NOW - 1000 + nth, inline, ..HEAD };
    let full = |name| {
        let first = |nth| 6 + nth * PER_HEAD;
        (0..heads)
            .fold(Case::new(name), |case, at| case.take(nth(at, (first(at), PER_HEAD)), (at + 1) * PER_HEAD))
    };
    let served = Head { generation: 105, ..nth(heads + 2, (0, 0)) };
    vec![
        full("one more than 4,096 is refused; what is known fits, and what serves makes room")
            .refuse(nth(heads, (6 + KEPT_MAX, 1)), "inline", KEPT_MAX)
            .refuse(nth(heads, (5 + KEPT_MAX, 2)), "inline", KEPT_MAX)
            .take(nth(heads + 1, (6, PER_HEAD)), KEPT_MAX)
            .serve(served, KEPT_MAX - 100)
            .take(
                Head { as_of: served.as_of + 1, inline: (6 + KEPT_MAX, PER_HEAD), ..served },
                KEPT_MAX - 100 + PER_HEAD,
            ),
        full("the first head under a newer root is taken, and where not all fits the rest is dropped")
            .refuse(nth(heads, (6 + KEPT_MAX, 1)), "inline", KEPT_MAX)
            .take(Head { root: 2, ..nth(heads, (6 + KEPT_MAX, 1)) }, 1),
        Case::new("an entry stays though no later head repeats it, until its generation serves")
            .take(nth(1, (6, 2)), 2)
            .take(nth(2, (0, 0)), 2)
            .take(Head { generation: 6, ..nth(3, (0, 0)) }, 2)
            .serve(Head { generation: 6, ..nth(4, (0, 0)) }, 1)
            .serve(Head { generation: 7, ..nth(5, (0, 0)) }, 0),
        Case::new("an entry that comes again counts once").take(nth(1, (6, 2)), 2).take(nth(2, (7, 2)), 3),
    ]
}
