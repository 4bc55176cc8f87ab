//! The promises, asserted at every answer and every look.
//!
//! What an isolate must know is reckoned from the truth: when each change was committed, and which of them each signed
//! head covers. Nothing the gate says of itself is believed but which `as_of` it holds as confirmed, and that is looked
//! up among the heads that were signed.

use crate::authority::{Fact, Said};
use crate::isolate::Shell;
use crate::traffic::{Ask, What, Who};
use crate::world::World;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::Reason;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// An answer without the mark knows every change committed this long before it, if the signer's clock is at most a second
/// ahead of the edge's.
pub(crate) const BOUND_MS: u64 = 5000;
/// Once all lines are whole again, every isolate that gets requests is within the promise after this long: a push that
/// was on its way (2 s), its retry and the upload (4 s), the breaker at its longest (12.5 s), a look.
pub(crate) const RECOVERY_MS: u64 = 22_000;
/// An isolate that has not answered for so long looked at no head meanwhile either.
const IDLE_MS: u64 = 2000;
/// How long a request takes at most: 5 s of asking, and what was begun just before.
const REQUEST_MS_MAX: u64 = 7100;
/// Looks at the head of one isolate at the same time, if nothing is heard of any for 2 s: behind answers one a second, before
/// answers one in 500 ms.
const LOOKS_AT_ONCE_MAX: u64 = 6;
/// Looks behind answers are no closer than this, and neither are forced ones.
const EVERY_MS: u64 = 250;
/// The greatest age that a fresh-only answer rests on.
const FRESH_ONLY_MS: u64 = 1000;

/// A failed ask, so many in a row, and what was confirmed then.
#[derive(Clone, Copy)]
struct Failed {
    at: UnixMillis,
    times: u32,
    as_of: Option<UnixMillis>,
}

/// What is known of one isolate.
pub(crate) struct Watch {
    floor: Floor,
    /// Every change before this moment of true time was confirmed.
    confirmed_ms: Cell<u64>,
    /// The newest change of each fact that rode inline.
    inline: RefCell<BTreeMap<Fact, Generation>>,
    use_by_ms: Cell<u64>,
    latest: Cell<UnixMillis>,
    granted: Cell<Option<UnixMillis>>,
    forced: Cell<Option<UnixMillis>>,
    failed: Cell<Option<Failed>>,
    looks: Cell<u64>,
    /// When it answered last.
    answered_ms: Cell<Option<u64>>,
}

impl Watch {
    pub(crate) fn new(floor: Floor) -> Self {
        Self {
            floor,
            confirmed_ms: Cell::new(0),
            inline: RefCell::default(),
            use_by_ms: Cell::new(0),
            latest: Cell::new(UnixMillis(0)),
            granted: Cell::new(None),
            forced: Cell::new(None),
            failed: Cell::new(None),
            looks: Cell::new(0),
            answered_ms: Cell::new(None),
        }
    }

    /// Whatever the gate is told of the time, as the gate counts it.
    pub(crate) fn tick(&self, now: UnixMillis) -> UnixMillis {
        let latest = self.latest.get();
        if now < latest && latest.since_ms(now) <= AS_OF_AHEAD_MS_MAX {
            return latest;
        }
        if now < latest {
            [&self.granted, &self.forced].into_iter().for_each(|moment| moment.set(None));
            self.failed.set(None);
        }
        self.latest.set(now);
        now
    }

    /// An answer is about to go out.
    pub(crate) fn check(
        &self,
        shell: &Shell,
        asked: &Ask,
        verdict: &Verdict,
        begun: UnixMillis,
        trail: &[(u64, latchkey_gate::Ask)],
    ) {
        let now = self.tick(shell.now());
        let world = &shell.world;
        let context = || {
            format!(
                "isolate {} at {} ms of the run, {asked:?}: {verdict:?} after {trail:?}",
                shell.site.name,
                world.run_ms()
            )
        };
        self.note_confirmed(shell, &context);
        let is_unmarked = verdict.standing.is_some_and(|standing| !standing.stale);
        if is_unmarked {
            let known_ms = self.confirmed_ms.get();
            let behind_ms = world.clockwork.now_ms().saturating_sub(known_ms);
            assert!(behind_ms <= BOUND_MS, "unmarked, and {behind_ms} ms behind: {}", context());
            assert!(now.0 < self.use_by_ms.get(), "unmarked past use-by: {}", context());
            world.tally.note_behind(behind_ms);
        }
        if world.climate.measures && verdict.standing.is_some() {
            self.note_unknowing(shell);
        }
        if let Some(standing) = verdict.standing {
            assert!(standing.generation >= self.floor.generation, "below the floor: {}", context());
        }
        let waited_ms = shell.now().since_ms(begun);
        assert!(waited_ms <= REQUEST_MS_MAX + 1000, "{waited_ms} ms: {}", context());
        match verdict.outcome {
            Outcome::Refuse(Refusal::Unavailable(why)) => {
                self.check_unavailable(shell, asked, verdict, why, &context);
            }
            Outcome::Refuse(refusal) => self.check_refused(shell, asked, refusal, is_unmarked, &context),
            Outcome::Pass(pass) => panic!("no route is public or in shadow: {pass:?}"),
            Outcome::Allow(_) => self.check_allowed(shell, asked, verdict, now, &context),
        }
        if !matches!(verdict.outcome, Outcome::Refuse(Refusal::Unavailable(_))) && verdict.standing.is_some()
        {
            world.tally.note(if is_unmarked { "fresh" } else { "stale" });
            if !is_unmarked {
                self.check_recovered(shell, &context);
            }
        }
        self.answered_ms.set(Some(world.clockwork.now_ms()));
    }

    /// Notes which of the last revocations this answer does not know of.
    fn note_unknowing(&self, shell: &Shell) {
        let (world, inline) = (&shell.world, self.inline.borrow());
        let (now_ms, authority) = (world.clockwork.now_ms(), world.authority.borrow());
        let recent = authority.log.iter().rev().take_while(|(_, (_, at_ms))| at_ms + BOUND_MS >= now_ms);
        for (generation, (fact, at_ms)) in recent {
            let is_known =
                *at_ms < self.confirmed_ms.get() || inline.get(fact).is_some_and(|known| known >= generation);
            if !is_known && authority.rides(*fact, *generation) {
                let mut unknowing = world.tally.unknowing.borrow_mut();
                unknowing.insert((shell.site.name, *generation), now_ms - at_ms);
            }
        }
    }

    fn check_allowed(
        &self,
        shell: &Shell,
        asked: &Ask,
        verdict: &Verdict,
        now: UnixMillis,
        context: &dyn Fn() -> String,
    ) {
        let world = &shell.world;
        let standing = verdict.standing.unwrap_or_else(|| panic!("allowed on nothing: {}", context()));
        assert!(!matches!(asked.who, Who::Unsaid | Who::MadeUp), "never granted: {}", context());
        assert!(!asked.strays(world), "another project's: {}", context());
        for fact in asked.needs(world) {
            let inline = self.inline.borrow().get(&fact).copied().unwrap_or_default();
            let said = self.possible(world, asked, fact, !standing.stale, inline);
            let account = || self.account(world, asked);
            assert!(said.contains(&Said::Yes), "{fact:?} was {said:?}: {}{}", account(), context());
        }
        if asked.what == What::Batch {
            let behind_ms = world.clockwork.now_ms().saturating_sub(self.confirmed_ms.get());
            assert!(
                standing.age_ms <= FRESH_ONLY_MS && behind_ms <= 2 * FRESH_ONLY_MS,
                "not fresh: {}",
                context()
            );
        }
        if standing.stale {
            let as_of = shell.life.gate.borrow().status(shell.now()).as_of.unwrap();
            let from = as_of.0.min(self.use_by_ms.get());
            let grace_ms = u64::from(world.climate.policy.grace_secs) * 1000;
            assert!(now.0.saturating_sub(from) <= grace_ms, "past grace: {}", context());
        }
        world.tally.note("allowed");
    }

    fn check_refused(
        &self,
        shell: &Shell,
        asked: &Ask,
        refusal: Refusal,
        is_unmarked: bool,
        context: &dyn Fn() -> String,
    ) {
        let world = &shell.world;
        let unknown = Refusal::Unauthenticated(Unproven::Unknown);
        match asked.who {
            Who::MadeUp => {
                return assert_eq!(refusal, Refusal::Unauthenticated(Unproven::MadeUp), "{}", context());
            }
            Who::Unsaid => return assert_eq!(refusal, unknown, "{}", context()),
            Who::Key(_) | Who::Session(..) => {}
        }
        if refusal == unknown {
            assert!(is_unmarked, "unknown by old knowledge: {}", context());
        }
        let is_explained = asked.needs(world).into_iter().any(|fact| {
            // What came inline says what is refused, not what was granted before.
            let said = self.possible(world, asked, fact, is_unmarked, Generation(0));
            said.iter().any(|said| explains(fact, *said, refusal))
        });
        let strays = asked.strays(world) && refusal == Refusal::NotFound(Absent::Resource);
        assert!(is_explained || strays, "wrongly refused: {}{}", self.account(world, asked), context());
        world.tally.note(refusal.cause());
    }

    /// What was so of all that an answer needs, for whoever looks into a failure.
    fn account(&self, world: &World, asked: &Ask) -> String {
        let (now_ms, authority) = (world.clockwork.now_ms(), world.authority.borrow());
        let of = |fact: Fact| {
            let changes = authority.history.get(&fact).into_iter().flatten();
            let told = changes.map(|change| {
                format!(" {:?} by {} {} ms ago,", change.said, change.generation, now_ms - change.at_ms)
            });
            format!("{fact:?}:{}\n", told.collect::<String>())
        };
        let facts: String = asked.needs(world).into_iter().map(of).collect();
        format!("confirmed up to {} ms ago\n{facts}", now_ms - self.confirmed_ms.get())
    }

    /// Whatever the fact may have been, for all that the isolate must know.
    fn possible(
        &self,
        world: &World,
        asked: &Ask,
        fact: Fact,
        is_unmarked: bool,
        inline: Generation,
    ) -> Vec<Said> {
        let mut since_ms = self.confirmed_ms.get();
        if is_unmarked {
            since_ms = since_ms.max(world.clockwork.now_ms().saturating_sub(BOUND_MS));
        }
        let known = self.floor.generation.max(asked.at_least.unwrap_or_default()).max(inline);
        world.authority.borrow().since(fact, since_ms, known)
    }

    fn check_unavailable(
        &self,
        shell: &Shell,
        asked: &Ask,
        verdict: &Verdict,
        why: Unavailable,
        context: &dyn Fn() -> String,
    ) {
        let world = &shell.world;
        world.tally.note(Refusal::Unavailable(why).cause());
        let is_unmarked = verdict.standing.is_some_and(|standing| !standing.stale);
        match why {
            Unavailable::NotFresh => assert_eq!(asked.what, What::Batch, "{}", context()),
            Unavailable::GenerationNotReached => {
                let least = asked.at_least.expect("nobody waits for a generation");
                // What rides inline is known, and reaches no generation.
                let held = verdict.standing.map_or(least, |standing| standing.generation);
                let authority = world.authority.borrow();
                let is_known = is_unmarked
                    && authority.log.range(held.next()..=least.max(held.next())).any(
                        |(generation, (fact, at_ms))| {
                            let is_waiting = authority.said_by(*fact, *generation) == Said::Yes;
                            is_waiting && *generation <= least && at_ms + BOUND_MS < world.clockwork.now_ms()
                        },
                    );
                assert!(!is_known, "reached long ago: {}", context());
            }
            _ => self.check_recovered(shell, context),
        }
        if !is_unmarked && matches!(why, Unavailable::NotFresh | Unavailable::GenerationNotReached) {
            self.check_recovered(shell, context);
        }
    }

    /// A marked answer, or none: not long after all lines are whole, by an isolate that has requests.
    fn check_recovered(&self, shell: &Shell, context: &dyn Fn() -> String) {
        let now_ms = shell.world.clockwork.now_ms();
        if self.answered_ms.get().is_none_or(|answered_ms| now_ms - answered_ms > IDLE_MS) {
            return;
        }
        // Changes without end over a slow build leave every head lacking something older than the promise.
        let climate = &shell.world.climate;
        let is_slow = climate.build_ms > 100 && climate.change_every_ms < climate.build_ms.max(1000);
        let Some(healed_ms) = shell.world.healed_ms.get().filter(|_| !is_slow) else { return };
        let since_ms = now_ms - healed_ms;
        shell.world.tally.note_recovery(since_ms);
        assert!(since_ms <= RECOVERY_MS, "{since_ms} ms after all lines were whole: {}", context());
    }

    /// A head was handed in.
    pub(crate) fn head_taken(&self, shell: &Shell, bytes: &[u8], taken: &Result<HeadAccepted, HeadRefusal>) {
        let world = &shell.world;
        world.tally.note(match taken {
            Ok(HeadAccepted::Confirmed) => "head confirms",
            Ok(_) => "head awaits",
            Err(HeadRefusal::Older) => "head older",
            Err(HeadRefusal::FromTheFuture { .. }) => "head ahead",
            Err(_) => "head refused",
        });
        if taken.is_err() {
            return;
        }
        let signed = world.signed_as(bytes).unwrap_or_else(|| panic!("nobody signed this head"));
        self.use_by_ms.set(self.use_by_ms.get().max(signed.use_by_ms));
        let authority = world.authority.borrow();
        let mut inline = self.inline.borrow_mut();
        for generation in &signed.inline {
            let known = inline.entry(authority.log[generation].0).or_default();
            *known = (*known).max(*generation);
        }
        drop((authority, inline));
        self.note_fresh(shell);
    }

    pub(crate) fn object_taken(&self, shell: &Shell, is_lie: bool, taken: Result<(), ObjectRefusal>) {
        let what = match taken {
            Ok(()) if is_lie => "object let go",
            Ok(()) => "object taken",
            Err(ObjectRefusal::NotAdopted(AdoptError::Canary(_))) => "object not adopted",
            Err(refusal) => {
                assert!(is_lie, "an honest object was refused: {refusal}");
                "object garbage"
            }
        };
        shell.world.tally.note(what);
        self.note_fresh(shell);
    }

    /// What confirms a young age lets the breaker begin anew. How young it was cannot be seen from here where it came with no
    /// head and no object, so that anything younger counts.
    fn note_fresh(&self, shell: &Shell) {
        let status = shell.life.gate.borrow().status(shell.now());
        let is_young = status.age_ms.is_some_and(|age_ms| age_ms <= ASK_AFTER_MS);
        if is_young || self.failed.get().is_some_and(|failed| status.as_of > failed.as_of) {
            self.failed.set(None);
        }
    }

    fn note_confirmed(&self, shell: &Shell, context: &dyn Fn() -> String) {
        let Some(as_of) = shell.life.gate.borrow().status(shell.now()).as_of else { return };
        let covers_ms = shell.world.covers_of(as_of);
        let covers_ms = covers_ms.unwrap_or_else(|| panic!("nobody signed this as_of: {}", context()));
        self.confirmed_ms.set(self.confirmed_ms.get().max(covers_ms));
    }

    pub(crate) fn refresh_granted(&self, shell: &Shell) {
        let now = self.tick(shell.now());
        let rested = self.granted.get().is_none_or(|last| now.since_ms(last) >= EVERY_MS);
        assert!(rested, "isolate {}: a second look within 250 ms", shell.site.name);
        if shell.life.newest.get() == UnixMillis::default() {
            self.check_breaker(shell, now);
        }
        self.granted.set(Some(now));
        shell.world.tally.note("look behind");
    }

    pub(crate) fn ask_granted(&self, shell: &Shell) {
        let now = self.tick(shell.now());
        if shell.life.gate.borrow().status(shell.now()).health == Health::Fresh {
            let rested = self.forced.get().is_none_or(|last| now.since_ms(last) >= EVERY_MS);
            assert!(rested, "isolate {}: a second forced look within 250 ms", shell.site.name);
            self.forced.set(Some(now));
            shell.world.tally.note("look forced");
        } else {
            shell.world.tally.note("look for age");
        }
        self.check_breaker(shell, now);
        self.granted.set(Some(now));
    }

    /// While the breaker is open no request waits for a look, and before the first head there is none at all: at least three quarters of 1 s, 2 s, 4 s, up to 10 s.
    fn check_breaker(&self, shell: &Shell, now: UnixMillis) {
        self.note_fresh(shell);
        let Some(Failed { at, times, .. }) = self.failed.get() else { return };
        let least_ms = (1000 << (times - 1).min(4)).min(10_000) * 3 / 4;
        assert!(now.since_ms(at) >= least_ms, "a look within {least_ms} ms after {times} failures");
    }

    /// After the gate was told.
    pub(crate) fn ask_ended(&self, shell: &Shell, was_open: bool, end: RefreshEnd) {
        let now = self.tick(shell.now());
        if end == RefreshEnd::Failed && !was_open {
            self.note_fresh(shell);
            let times = self.failed.get().map_or(0, |failed| failed.times) + 1;
            let as_of = shell.life.gate.borrow().status(shell.now()).as_of;
            self.failed.set(Some(Failed { at: now, times, as_of }));
            shell.world.tally.note("breaker");
        }
    }

    pub(crate) fn look_began(&self, shell: &Shell) {
        self.looks.set(self.looks.get() + 1);
        assert!(
            self.looks.get() <= LOOKS_AT_ONCE_MAX,
            "isolate {}: {} looks at once, {} ms into the run",
            shell.site.name,
            self.looks.get(),
            shell.world.run_ms()
        );
    }

    pub(crate) fn look_ended(&self) {
        self.looks.set(self.looks.get() - 1);
    }
}

/// Whether this is what is said where a fact is so.
fn explains(fact: Fact, said: Said, refusal: Refusal) -> bool {
    let expected: &[Refusal] = match (fact, said) {
        (_, Said::Yes) => &[],
        (Fact::Key(_), Said::No) => &[Refusal::Unauthenticated(Unproven::Unknown)],
        (Fact::Key(_), Said::Disabled) => &[Refusal::OutOfForce(Reason::Disabled)],
        (Fact::Key(_), Said::Revoked) | (Fact::Session(..), _) => &[Refusal::OutOfForce(Reason::Revoked)],
        (Fact::Resource(_), _) => &[Refusal::NotFound(Absent::Resource)],
        (Fact::Membership(_) | Fact::Collaboration(_) | Fact::OpenToExternals(_), _) => {
            &[Refusal::NotFound(Absent::Project)]
        }
        (Fact::ProjectInForce(_) | Fact::OrganizationInForce(_), _) => {
            &[Refusal::OutOfForce(Reason::Suspended), Refusal::Suspended]
        }
        (Fact::WithinBudget(_), _) => &[Refusal::BudgetExhausted],
    };
    expected.contains(&refusal)
}
