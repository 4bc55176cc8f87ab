//! How what was published comes to serve: by the cheapest way that its statement offers, and only if its canaries
//! answer as they must. What only refuses never waits for that.

use crate::chain::Chain;
use crate::deltas;
use crate::gate::{Gate, Serving};
use crate::pending::{Before, Candidate, Course, Pending};
use crate::refusal::AdoptError;
use crate::shelf::Lookup;
use crate::shelves::Shelves;
use latchkey_core::UnixMillis;
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::{Entry, Found, Manifest, ObjectRef, Previous, Query};

impl Gate {
    /// Waits for whatever leads to the statement that is held, unless that serves already.
    pub(crate) fn pursue(&mut self, now: UnixMillis) {
        let Some(held) = &self.held else { return };
        let (statement, as_of) = (held.statement.clone(), held.rank.as_of);
        for course in self.courses(&statement, now).into_iter().flatten() {
            self.coming.expect(&statement, course, as_of);
        }
    }

    /// The ways to go to a statement. On the base before, only its new deltas are needed; the move to the new base is
    /// made at a moment of this gate's own, so that not all gates fetch its pages at once.
    fn courses(&mut self, statement: &Statement, now: UnixMillis) -> [Option<Course>; 2] {
        let own = Course::of(statement);
        let Some(serving) = &self.serving else { return [Some(own), None] };
        let course = serving.course;
        let is_reached = !serving.is_behind(statement.generation, self.root.version())
            && serving.statement.generation == statement.generation;
        if is_reached && course == own {
            return [None, None];
        }
        let before = Course::before(statement).filter(|before| before.base == course.base);
        let (Some(before), Some(previous)) = (before, statement.previous) else { return [Some(own), None] };
        let is_broken = serving.quarantined.is_some()
            || self.coming.pending.iter().any(|pending| pending.course == before && pending.fault.is_some());
        // What was refused once is not tried again, and its deltas say nothing that these do not.
        let is_refused = self.coming.refusal(&own.base).is_some();
        let moves = is_broken || (!is_refused && self.is_time_to_move(&previous, statement.manifest, now));
        [Some(before).filter(|before| !(is_reached && course == *before)), moves.then_some(own)]
    }

    /// The moment lies within the first seven eighths of what is left when the new base is first seen: the rest is for
    /// those whom something holds up.
    fn is_time_to_move(&mut self, previous: &Previous, to: ObjectRef, now: UnixMillis) -> bool {
        if let Some((base, at)) = self.moving
            && base == to
        {
            return now >= at;
        }
        let [a, b, c, d, e, f, g, h, ..] = to.digest().0;
        let left_ms = previous.until.millis().since_ms(now);
        let wait_ms = self.clock.spread(u64::from_le_bytes([a, b, c, d, e, f, g, h]), left_ms - left_ms / 8);
        self.moving = Some((to, now.plus_ms(wait_ms)));
        wait_ms == 0
    }

    /// Lets the newest statement serve that waits for nothing more. Says why one never will, if that is new.
    pub(crate) fn adopt_ready(&mut self, now: UnixMillis) -> Option<AdoptError> {
        let mut fault = None;
        loop {
            if let Some(new) = self.coming.review(self.serving.as_ref()) {
                fault = Some(new);
                // There may be another way.
                self.pursue(now);
            }
            let Some(held) = &self.held else { return fault };
            let Some(at) = self.coming.next(self.serving.as_ref(), held) else { return fault };
            let Some(pending) = self.coming.pending.get(at) else { return fault };
            let deltas = self.coming.walk(pending, self.serving.as_ref()).deltas;
            let chain = Chain::new(deltas, self.serving.as_ref().map(|serving| &serving.chain));
            match self.wrong_canary(pending, &chain) {
                Some(wrong) => {
                    let error = AdoptError::Canary(wrong.index);
                    fault = Some(error);
                    let base = pending.course.base;
                    match self.coming.pending.get_mut(at) {
                        Some(pending) if wrong.is_deltas => pending.fault = Some(error),
                        _ => self.coming.refuse(base, error),
                    }
                    self.pursue(now);
                }
                None => {
                    let pending = self.coming.pending.remove(at);
                    self.adopt(pending, chain, now);
                    self.pursue(now);
                }
            }
        }
    }

    fn adopt(&mut self, pending: Pending, chain: Chain, now: UnixMillis) {
        let Pending { statement, course, as_of, .. } = pending;
        let root_version = self.root.version();
        let at = self.coming.candidates.iter().position(|candidate| candidate.reference == course.base);
        let candidate = at.map(|at| self.coming.candidates.remove(at));
        let serving = match (self.serving.take(), candidate) {
            (Some(old), None) => Serving { statement, root_version, course, chain, quarantined: None, ..old },
            (old, Some(Candidate { manifest, routes, pepper, staged, .. })) => {
                let shelves = match old {
                    Some(old) if old.pepper == pepper => old.shelves,
                    Some(old) => old.shelves.forget_records(),
                    None => Shelves::empty(),
                };
                let shelves = shelves.succeed(&manifest, staged);
                let exceptions = manifest.exceptions.clone();
                Serving {
                    statement,
                    root_version,
                    course,
                    manifest,
                    routes,
                    pepper,
                    shelves,
                    chain,
                    exceptions,
                    quarantined: None,
                }
            }
            (None, None) => return,
        };
        self.overlay.settle(serving.statement.generation);
        if let Some(held) = &self.held {
            self.coming.prune(&serving, &held.statement);
        }
        self.serving = Some(serving);
        self.renew_exceptions();
        self.confirm(as_of, now);
    }

    /// Notes that everything committed before `as_of` is known, unless something is refused that was lost.
    pub(crate) fn confirm(&self, as_of: UnixMillis, now: UnixMillis) {
        if !self.overlay.has_lost_some() {
            self.clock.confirm(as_of, now);
        }
    }

    /// What is refused as a whole: by the base, its deltas, and deltas that do not serve.
    pub(crate) fn renew_exceptions(&mut self) {
        if let Some(serving) = &mut self.serving {
            let served = serving.chain.exceptions(&serving.manifest.exceptions);
            serving.exceptions = self.overlay.exceptions(&served);
        }
    }

    /// Refuses at once what a delta removes that does not serve. It ends when a statement of its generation does.
    pub(crate) fn refuse_ahead(&mut self, reference: &ObjectRef) {
        let Some(held) = &self.held else { return };
        let Some(link) = self.coming.deltas.get(reference) else { return };
        let Some(removals) = link.removals() else { return };
        // No delta speaks for a time that no statement does.
        let generation = removals.generation.min(held.rank.generation);
        if self.serving.as_ref().is_some_and(|serving| !serving.is_behind(generation, self.root.version())) {
            return;
        }
        let newer = self.coming.deltas.newer(&removals.base, removals.generation, held.rank.generation);
        let lifted = newer.deltas.iter().map(|delta| &delta.lifted);
        let begun = lifted.fold(removals.begun.clone(), |begun, lifted| begun.minus(lifted));
        let removed = deltas::refused(link);
        self.overlay.begin(begun, generation);
        if self.overlay.remove(removed, &newer.known(), generation).is_err() {
            // What cannot be kept in mind could be let in: from here on nothing is.
            self.clock.forget();
        }
        self.renew_exceptions();
    }

    /// The first canary that a statement would answer wrongly, as far as what is here can tell.
    fn wrong_canary(&self, pending: &Pending, chain: &Chain) -> Option<WrongCanary> {
        let base = &pending.course.base;
        match (self.coming.candidate(base), &self.serving) {
            (Some(candidate), serving) => {
                let before = Before::of(serving.as_ref(), candidate.pepper);
                wrong_canary(&candidate.manifest, chain, |query| candidate.find(query, before))
            }
            (None, Some(serving)) => {
                wrong_canary(&serving.manifest, chain, |query| find_held(&serving.shelves, query))
            }
            (None, None) => None,
        }
    }

    /// Looks at the canaries of what serves, of which a page may have come by now.
    pub(crate) fn check_canaries(&mut self) -> Option<AdoptError> {
        let serving = self.serving.as_mut().filter(|serving| serving.quarantined.is_none())?;
        let shelves = &serving.shelves;
        let wrong = wrong_canary(&serving.manifest, &serving.chain, |query| find_held(shelves, query))?;
        serving.quarantined = Some(AdoptError::Canary(wrong.index));
        serving.quarantined
    }
}

/// A canary that answers wrongly.
struct WrongCanary {
    index: usize,
    /// Whether a delta answered, and not the base.
    is_deltas: bool,
}

fn wrong_canary(
    manifest: &Manifest,
    chain: &Chain,
    find: impl Fn(&Query) -> Option<Option<Entry>>,
) -> Option<WrongCanary> {
    manifest.canaries.iter().enumerate().find_map(|(index, canary)| {
        let (found, is_deltas) = match chain.find(&canary.query) {
            Found::Here(_, entry) => (Some(entry), true),
            Found::Gone => (None, true),
            Found::Unknown => (find(&canary.query)?, false),
        };
        (!canary.holds(found.as_ref())).then_some(WrongCanary { index, is_deltas })
    })
}

/// What the pages that serve say; `None` if the one that would know is not here.
fn find_held(shelves: &Shelves, query: &Query) -> Option<Option<Entry>> {
    match shelves.records.at(query.kind)?.peek(query.place) {
        Lookup::Held(page) => Some(page.find(query)),
        Lookup::Nothing => Some(None),
        Lookup::Missing(_) => None,
    }
}
