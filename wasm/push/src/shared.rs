//! What the isolates of a data centre share in its cache: the newest head that one of them read, objects, and the claims of
//! those that are reading (DESIGN §5). Heads and claims carry the moment they were put there, which is all that they are
//! judged by; the cache's own reckoning is too coarse.
//!
//! Nothing here is believed: a head out of the cache is verified like any other, and confirms no more than its `as_of`
//! says. A lost, late or wrong entry costs a read of the source.

use latchkey_core::UnixMillis;
use latchkey_snapshot::head::HEAD_LEN_MAX;

/// An answer that waits takes an entry up to this age.
pub const YOUNG_MS: u64 = 250;
/// Behind an answer an entry is used without a question up to an age that each look draws anew: at most this, and with each
/// [`ASKED_STEP_MS`] less half as likely. So where there are many isolates one asks early, and its claim can be seen
/// before the others would; where there are few, one asks in time.
pub const ASKED_BY_MS: u64 = 400;
/// See [`ASKED_BY_MS`].
pub const ASKED_STEP_MS: u64 = 25;
/// A claim is respected up to this age.
pub const CLAIM_MS: u64 = 300;
/// Under a claim an entry is used up to an age that each look draws anew: at most this, and with each [`CLAIMED_STEP_MS`] less
/// half as likely. So whoever claims again and again and never brings anything keeps nobody waiting longer.
pub const CLAIMED_BY_MS: u64 = 1500;
/// See [`CLAIMED_BY_MS`].
pub const CLAIMED_STEP_MS: u64 = 100;
/// A head goes into the cache behind the objects that it newly leads to, so that whoever takes it there finds them there too;
/// yet what it refuses waits no longer than this for them.
pub const SHARED_BY_MS: u64 = 250;
/// The claim of an object holds a reader back up to an age that each read draws: at most this, and with each [`OBJECT_STEP_MS`]
/// less half as likely. A source has answered long before, so only a claim that came to nothing gets so old.
pub const OBJECT_CLAIM_MS: u64 = 400;
/// Who reads an object behind an answer, and finds neither it nor a claim, looks once more before it asks, after a while
/// that each read draws: at most this, and with each [`OBJECT_STEP_MS`] less half as likely.
pub const OBJECT_PAUSE_MS: u64 = 200;
/// See [`OBJECT_CLAIM_MS`] and [`OBJECT_PAUSE_MS`].
pub const OBJECT_STEP_MS: u64 = 25;
/// While another reads an object, who needs it at once looks this often whether it has come.
pub const LOOK_EVERY_MS: u64 = 25;
/// And who reads it behind an answer.
pub const LOOK_BEHIND_EVERY_MS: u64 = 75;
/// An answer that waits for the head takes one from the cache only if its `as_of` is at most this old.
pub const WAITED_FOR_AS_OF_MS: u64 = 1000;
/// Clocks of one data centre may differ by so much; what lies further ahead is no entry.
const AHEAD_MS_MAX: u64 = 1000;
const MOMENT_LEN: usize = 8;
/// Where a head has its `as_of`.
const AS_OF_AT: core::ops::Range<usize> = 8..16;
/// Bytes that an entry has at most.
pub const ENTRY_LEN_MAX: usize = MOMENT_LEN + HEAD_LEN_MAX;

/// Why a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Behind an answer, as every isolate does that has traffic.
    Behind {
        /// 32 random bits.
        chance: u32,
    },
    /// An answer waits for it. `held` is the `as_of` of the head that the isolate has; one that is no newer is no help.
    Before {
        /// The `as_of` held.
        held: UnixMillis,
    },
}

/// A head that was put into the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When.
    pub put: UnixMillis,
    /// Its bytes, which nobody has verified.
    pub head: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads what the cache holds; `None`: that is no entry.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (moment, head) = bytes.split_first_chunk::<MOMENT_LEN>()?;
        (!head.is_empty() && head.len() <= HEAD_LEN_MAX)
            .then_some(Self { put: UnixMillis(u64::from_le_bytes(*moment)), head })
    }

    /// The bytes for the cache.
    pub fn encode(&self) -> Vec<u8> {
        [&self.put.0.to_le_bytes()[..], self.head].concat()
    }

    /// Whether it is used without a look at the claim.
    pub fn serves(&self, urgency: Urgency, now: UnixMillis) -> bool {
        match urgency {
            Urgency::Behind { chance } => is_within(self.put, drawn(ASKED_BY_MS, ASKED_STEP_MS, chance), now),
            Urgency::Before { held } => {
                let is_news = |as_of| as_of > held && now.since_ms(as_of) <= WAITED_FOR_AS_OF_MS;
                is_within(self.put, YOUNG_MS, now) && as_of(self.head).is_some_and(is_news)
            }
        }
    }

    /// Whether it is used because somebody else is reading. An answer never waits for that one's success.
    pub fn serves_while_claimed(&self, urgency: Urgency, claim: Option<UnixMillis>, now: UnixMillis) -> bool {
        match urgency {
            Urgency::Behind { chance } => {
                is_within(self.put, drawn(CLAIMED_BY_MS, CLAIMED_STEP_MS, chance), now)
                    && claim.is_some_and(|claim| is_within(claim, CLAIM_MS, now))
            }
            Urgency::Before { .. } => false,
        }
    }
}

/// Why an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A head that the reader is about to share leads to it.
    News,
    /// An answer waits for it.
    Answer,
    /// Behind an answer.
    Behind,
}

/// What a reader does that does not find an object in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Puts a claim and asks beyond.
    Ask,
    /// Looks again after so many milliseconds.
    Look(u64),
}

/// How long a reader of an object leaves the source to others.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    errand: Errand,
    chance: u32,
    has_paused: bool,
}

impl Patience {
    /// That of one read; `chance` is 32 random bits.
    pub const fn new(errand: Errand, chance: u32) -> Self {
        Self { errand, chance, has_paused: false }
    }

    /// What to do now that the object was not there, `claim` being the claim that was.
    pub fn next(&mut self, claim: Option<UnixMillis>, now: UnixMillis) -> Next {
        let is_behind = self.errand == Errand::Behind;
        let held_back_ms = drawn(OBJECT_CLAIM_MS, OBJECT_STEP_MS, self.chance);
        if claim.is_some_and(|claim| is_within(claim, held_back_ms, now)) {
            return Next::Look(if is_behind { LOOK_BEHIND_EVERY_MS } else { LOOK_EVERY_MS });
        }
        if is_behind && !self.has_paused {
            self.has_paused = true;
            return Next::Look(drawn(OBJECT_PAUSE_MS, OBJECT_STEP_MS, self.chance));
        }
        Next::Ask
    }
}

/// `most_ms`, and with each step less half as likely.
fn drawn(most_ms: u64, step_ms: u64, chance: u32) -> u64 {
    most_ms.saturating_sub(u64::from(chance.trailing_zeros()) * step_ms)
}

/// Reads a claim; `None`: there is none.
pub fn parse_claim(bytes: &[u8]) -> Option<UnixMillis> {
    Some(UnixMillis(u64::from_le_bytes(bytes.try_into().ok()?)))
}

/// The bytes of a claim that is put now.
pub fn encode_claim(now: UnixMillis) -> [u8; MOMENT_LEN] {
    now.0.to_le_bytes()
}

/// What a head says of its `as_of`, before anybody has verified it.
pub fn as_of(head: &[u8]) -> Option<UnixMillis> {
    Some(UnixMillis(u64::from_le_bytes(head.get(AS_OF_AT)?.try_into().ok()?)))
}

fn is_within(moment: UnixMillis, most_ms: u64, now: UnixMillis) -> bool {
    moment <= now.plus_ms(AHEAD_MS_MAX) && now.since_ms(moment) <= most_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);
    const BEHIND: Urgency = Urgency::Behind { chance: 1 };

    fn head(as_of: u64) -> Vec<u8> {
        let mut head = vec![7; 20];
        head[AS_OF_AT].copy_from_slice(&as_of.to_le_bytes());
        head
    }

    fn entry(head: &[u8], age_ms: u64) -> Entry<'_> {
        Entry { put: UnixMillis(NOW.0 - age_ms), head }
    }

    #[test]
    fn an_entry_is_read_as_it_is_written_and_nothing_else_is_one() {
        let head = head(5);
        let bytes = entry(&head, 3).encode();
        assert_eq!(Entry::parse(&bytes), Some(entry(&head, 3)));
        for wrong in [&[][..], &[0; 8], &[0; ENTRY_LEN_MAX + 1]] {
            assert_eq!(Entry::parse(wrong), None);
        }
        assert_eq!(parse_claim(&encode_claim(NOW)), Some(NOW));
        assert_eq!((parse_claim(&[]), parse_claim(&[0; 9])), (None, None));
    }

    #[test]
    fn only_a_young_entry_serves_unasked() {
        let head = head(NOW.0);
        for (age_ms, serves) in [(0, true), (ASKED_BY_MS, true), (ASKED_BY_MS + 1, false), (NOW.0, false)] {
            assert_eq!(entry(&head, age_ms).serves(BEHIND, NOW), serves, "{age_ms}");
        }
        // Two bits of chance: two steps less.
        let eager = Urgency::Behind { chance: 0b100 };
        assert!(entry(&head, ASKED_BY_MS - 2 * ASKED_STEP_MS).serves(eager, NOW));
        assert!(!entry(&head, ASKED_BY_MS - 2 * ASKED_STEP_MS + 1).serves(eager, NOW));
        assert!(!entry(&head, 1).serves(Urgency::Behind { chance: 0 }, NOW));
        let ahead = Entry { put: NOW.plus_ms(AHEAD_MS_MAX + 1), head: &head };
        assert!(!ahead.serves(BEHIND, NOW), "a moment that cannot be would serve for ever");
    }

    #[test]
    fn a_claim_lets_what_is_there_serve_for_a_moment_and_never_an_answer_that_waits() {
        let head = head(NOW.0);
        let old = entry(&head, CLAIMED_BY_MS);
        let claimed = |age_ms| Some(UnixMillis(NOW.0 - age_ms));
        assert!(old.serves_while_claimed(BEHIND, claimed(CLAIM_MS), NOW));
        assert!(!old.serves_while_claimed(BEHIND, claimed(CLAIM_MS + 1), NOW));
        assert!(!old.serves_while_claimed(BEHIND, None, NOW));
        let far = Some(NOW.plus_ms(AHEAD_MS_MAX + 1));
        assert!(!old.serves_while_claimed(BEHIND, far, NOW));
        let waiting = Urgency::Before { held: UnixMillis(0) };
        assert!(!old.serves_while_claimed(waiting, claimed(0), NOW));
    }

    #[test]
    fn claims_that_come_to_nothing_keep_nobody_from_asking() {
        let head = head(NOW.0);
        let serves = |age_ms, chance| {
            entry(&head, age_ms).serves_while_claimed(Urgency::Behind { chance }, Some(NOW), NOW)
        };
        assert!(serves(CLAIMED_BY_MS, 1) && !serves(CLAIMED_BY_MS + 1, 1));
        // Three bits of chance: three steps less, so that not all ask in the same moment.
        let most_ms = CLAIMED_BY_MS - 3 * CLAIMED_STEP_MS;
        assert!(serves(most_ms, 0b1000) && !serves(most_ms + 1, 0b1000));
    }

    #[test]
    fn a_claimed_object_is_waited_for_and_not_for_ever() {
        let claimed = |age_ms| Some(UnixMillis(NOW.0 - age_ms));
        for errand in [Errand::News, Errand::Answer] {
            let next = |claim, chance| Patience::new(errand, chance).next(claim, NOW);
            assert_eq!(next(None, 1), Next::Ask, "nobody reads it, and somebody waits");
            assert_eq!(next(claimed(OBJECT_CLAIM_MS), 1), Next::Look(LOOK_EVERY_MS));
            assert_eq!(next(claimed(OBJECT_CLAIM_MS + 1), 1), Next::Ask);
            let earlier_ms = OBJECT_CLAIM_MS - 2 * OBJECT_STEP_MS;
            assert_eq!(next(claimed(earlier_ms), 0b100), Next::Look(LOOK_EVERY_MS));
            assert_eq!(next(claimed(earlier_ms + 1), 0b100), Next::Ask);
            assert_eq!(next(Some(NOW.plus_ms(AHEAD_MS_MAX + 1)), 1), Next::Ask, "a moment that cannot be");
        }
    }

    #[test]
    fn behind_an_answer_an_object_is_looked_for_once_more_before_anybody_is_asked() {
        let mut patience = Patience::new(Errand::Behind, 1);
        assert_eq!(patience.next(None, NOW), Next::Look(OBJECT_PAUSE_MS));
        assert_eq!(patience.next(Some(NOW), NOW), Next::Look(LOOK_BEHIND_EVERY_MS));
        assert_eq!(patience.next(None, NOW), Next::Ask);
        let mut eager = Patience::new(Errand::Behind, 0);
        assert_eq!((eager.next(None, NOW), eager.next(None, NOW)), (Next::Look(0), Next::Ask));
    }

    #[test]
    fn an_answer_that_waits_takes_only_news() {
        let (young, old) = (head(NOW.0 - 400), head(NOW.0 - WAITED_FOR_AS_OF_MS - 1));
        let before = |held| Urgency::Before { held: UnixMillis(held) };
        assert!(entry(&young, 100).serves(before(NOW.0 - 401), NOW));
        assert!(!entry(&young, 100).serves(before(NOW.0 - 400), NOW), "it knows that already");
        assert!(!entry(&old, 100).serves(before(0), NOW));
        assert!(!entry(&[1], 100).serves(before(0), NOW));
    }
}
