//! The world of a run: who is in it, and the weather.

use crate::authority::Authority;
use crate::cache::Cache;
use crate::clockwork::{Bell, Clockwork, TaskId};
use crate::edition::Policy;
use crate::hub::{Hub, verified};
use crate::isolate::{Liar, Life, Shell, Site};
use crate::link::{Link, Manners};
use crate::signer::{Bookmark, Publisher, Signed};
use crate::tally::Tally;
use crate::traffic::Ask;
use latchkey_core::*;
use latchkey_gate::Floor;
use latchkey_snapshot::{ObjectDigest, UnverifiedHead};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const START_MS: u64 = 1_800_000_000_000;
const FIRST_MS: u64 = 4500;
/// A line with nothing wrong.
const WHOLE: Manners = Manners { delay_ms: (10, 60), loss_percent: 0, double_percent: 0 };

/// What a run is like. All of it follows from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    pub(crate) policy: Policy,
    pub(crate) signer_skew_ms: i64,
    pub(crate) hub_skew_ms: i64,
    /// Whether what is published goes to a directory instead of a hub.
    pub(crate) is_directory: bool,
    pub(crate) sites: u64,
    pub(crate) has_cache: bool,
    /// Between two changes, on average.
    pub(crate) change_every_ms: u64,
    /// Between two requests to an isolate.
    pub(crate) request_every_ms: (u64, u64),
    pub(crate) build_ms: u64,
    pub(crate) cancel_percent: u64,
    pub(crate) uplink: Manners,
    pub(crate) downlink: Manners,
    /// Between two blows of the weather; 0 for none at all.
    pub(crate) blow_every_ms: u64,
    pub(crate) is_hostile: bool,
    /// Whether it is kept how long revocations take.
    pub(crate) measures: bool,
    pub(crate) storm_ms: u64,
    pub(crate) calm_ms: u64,
}

/// Whose clock.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Signer,
    Hub,
}

pub(crate) struct World {
    pub(crate) clockwork: Rc<Clockwork>,
    pub(crate) climate: Climate,
    pub(crate) authority: RefCell<Authority>,
    pub(crate) committed: Rc<Bell>,
    pub(crate) bookmark: Bookmark,
    pub(crate) hub: Rc<RefCell<Hub>>,
    pub(crate) uplink: Rc<Link>,
    pub(crate) sites: RefCell<Vec<Rc<Site>>>,
    /// Heads in the order in which they were signed: whoever listens has them all.
    pub(crate) heads: RefCell<Vec<Vec<u8>>>,
    signed: RefCell<BTreeMap<ObjectDigest, Signed>>,
    covers: RefCell<BTreeMap<UnixMillis, u64>>,
    /// What isolates that start now are deployed with.
    pub(crate) floor: Cell<Floor>,
    /// How far the signer's clock is ahead.
    pub(crate) signer_skew_ms: Cell<i64>,
    pub(crate) healed_ms: Cell<Option<u64>>,
    pub(crate) tally: Tally,
    publisher: RefCell<Vec<TaskId>>,
}

impl World {
    pub(crate) fn new(seed: u64, climate: Climate) -> Rc<Self> {
        let clockwork = Clockwork::new(seed, START_MS);
        let authority = Authority::new(&clockwork.random, START_MS);
        let floor = Floor { root_version: 1, generation: authority.generation };
        let world = Rc::new(Self {
            authority: RefCell::new(authority),
            committed: Rc::default(),
            bookmark: Bookmark::default(),
            hub: Rc::new(RefCell::new(Hub::new(climate.is_directory))),
            uplink: Link::new(WHOLE),
            sites: RefCell::default(),
            heads: RefCell::default(),
            signed: RefCell::default(),
            covers: RefCell::default(),
            floor: Cell::new(floor),
            signer_skew_ms: Cell::new(climate.signer_skew_ms),
            healed_ms: Cell::new(None),
            tally: Tally::default(),
            publisher: RefCell::default(),
            clockwork,
            climate,
        });
        let cache = world.climate.has_cache.then(|| Rc::new(Cache::default()));
        for name in 0..world.climate.sites as usize {
            let site = Site {
                name,
                link: Link::new(WHOLE),
                cache: cache.clone(),
                skew_ms: Cell::new(world.any_skew_ms(500)),
                liar: RefCell::default(),
                life: RefCell::new(Life::new(&world, floor)),
            };
            world.sites.borrow_mut().push(Rc::new(site));
        }
        world
    }

    /// Runs the storm, then the calm after it.
    pub(crate) fn run(self: &Rc<Self>) {
        self.start_publisher();
        if self.climate.is_hostile {
            let random = &self.clockwork.random;
            for site in self.sites.borrow().iter() {
                let [replay_percent, garbage_percent] = [random.below(40), random.below(15)];
                *site.liar.borrow_mut() = Liar { frozen: None, replay_percent, garbage_percent };
            }
        }
        let clockwork = &self.clockwork;
        clockwork.spawn(Rc::clone(self).change());
        // The first publication is there before the first request.
        clockwork.run_until(START_MS + FIRST_MS);
        self.uplink.set(self.climate.uplink);
        self.sites.borrow().iter().for_each(|site| site.link.set(self.climate.downlink));
        let weather = (self.climate.blow_every_ms > 0).then(|| clockwork.spawn(Rc::clone(self).blow()));
        for site in self.sites.borrow().iter() {
            clockwork.spawn(Rc::clone(self).ask(Rc::clone(site)));
        }
        clockwork.run_until(START_MS + self.climate.storm_ms);
        if self.climate.calm_ms == 0 {
            return;
        }
        weather.into_iter().for_each(|id| clockwork.kill(id));
        self.heal();
        clockwork.run_until(START_MS + self.climate.storm_ms + self.climate.calm_ms);
    }

    pub(crate) fn at(&self, skew_ms: i64) -> UnixMillis {
        UnixMillis(self.clockwork.now_ms().saturating_add_signed(skew_ms))
    }

    pub(crate) fn now(&self, place: Place) -> UnixMillis {
        self.at(match place {
            Place::Signer => self.signer_skew_ms.get(),
            Place::Hub => self.climate.hub_skew_ms,
        })
    }

    pub(crate) fn run_ms(&self) -> u64 {
        self.clockwork.now_ms() - START_MS
    }

    pub(crate) fn note_signed(&self, bytes: &[u8], signed: &Signed) {
        self.heads.borrow_mut().push(bytes.to_vec());
        self.signed.borrow_mut().insert(verified(bytes).digest, signed.clone());
        let mut covers = self.covers.borrow_mut();
        let least = covers.entry(signed.as_of).or_insert(signed.covers_ms);
        *least = signed.covers_ms.min(*least);
        // What a head claims more than it knows, beyond the skew: steps of a millisecond while a change is lacking.
        let claimed_ms = signed.as_of.0.saturating_add_signed(-self.signer_skew_ms.get());
        self.tally.note_claim(claimed_ms.saturating_sub(signed.covers_ms));
    }

    /// What a head covers. Whoever carries it may have changed its signatures, and nothing else.
    pub(crate) fn signed_as(&self, bytes: &[u8]) -> Option<Signed> {
        let digest = UnverifiedHead::parse(bytes).ok()?.digest();
        self.signed.borrow().get(&digest).cloned()
    }

    pub(crate) fn covers_of(&self, as_of: UnixMillis) -> Option<u64> {
        self.covers.borrow().get(&as_of).copied()
    }

    /// Other bytes than these.
    pub(crate) fn garbage(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let random = &self.clockwork.random;
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes.push(0),
            _ => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
        }
        bytes
    }

    /// The signer's is within 400 ms, so that no edge is more than 900 ms behind it: what is left of a second is for the
    /// steps of `as_of`.
    fn any_skew_ms(&self, most_ms: i64) -> i64 {
        self.clockwork.random.below(2 * most_ms as u64 + 1) as i64 - most_ms
    }

    fn start_publisher(self: &Rc<Self>) {
        *self.publisher.borrow_mut() = Publisher::start(self);
    }

    fn kill_publisher(&self) {
        self.publisher.take().into_iter().for_each(|id| self.clockwork.kill(id));
    }

    async fn change(self: Rc<Self>) {
        let random = &self.clockwork.random;
        loop {
            self.clockwork.sleep(random.below(self.climate.change_every_ms * 2)).await;
            let now_ms = self.clockwork.now_ms();
            self.authority.borrow_mut().change(random, now_ms);
            self.committed.ring();
        }
    }

    /// Requests to one place: mostly in a rhythm, now and then a crowd, now and then none for long.
    async fn ask(self: Rc<Self>, site: Rc<Site>) {
        let random = &self.clockwork.random;
        loop {
            let pause_ms = random.within(self.climate.request_every_ms);
            let is_idle = self.climate.blow_every_ms > 0 && random.percent(2);
            self.clockwork.sleep(if is_idle { random.below(12_000) } else { pause_ms }).await;
            let crowd = if self.climate.blow_every_ms > 0 && random.percent(3) { 12 } else { 1 };
            for _ in 0..crowd {
                Shell::of(&self, &site).take_request(Ask::any(&self));
            }
        }
    }

    async fn blow(self: Rc<Self>) {
        let random = &self.clockwork.random;
        loop {
            self.clockwork.sleep(random.below(self.climate.blow_every_ms * 2)).await;
            let site = Rc::clone(random.pick(&self.sites.borrow()));
            let last_ms = *random.pick(&[200, 1500, 6000, 15_000]);
            let last_ms = random.below(last_ms);
            match random.below(12) {
                0..=1 => self.cut(Rc::clone(&site.link), last_ms),
                2..=3 => self.cut(Rc::clone(&self.uplink), last_ms),
                4..=5 => {
                    self.kill_publisher();
                    self.clockwork.sleep(last_ms.min(5000)).await;
                    self.start_publisher();
                }
                6 => self.hub.borrow_mut().restart(),
                7 => site.evict(&self),
                8 if random.percent(30) => self.signer_skew_ms.set(self.any_skew_ms(400)),
                8 => site.skew_ms.set(self.any_skew_ms(500)),
                9 if self.climate.is_hostile && !self.heads.borrow().is_empty() => {
                    // Whoever is cold meets it too.
                    let frozen = random.pick(&self.heads.borrow()).clone();
                    site.liar.borrow_mut().frozen = Some(frozen);
                    if random.percent(50) {
                        site.evict(&self);
                    }
                    let (world, site) = (Rc::clone(&self), Rc::clone(&site));
                    self.clockwork.spawn(async move {
                        world.clockwork.sleep(last_ms).await;
                        site.liar.borrow_mut().frozen = None;
                    });
                }
                10 if self.climate.is_hostile => {
                    let [replay_percent, garbage_percent] = [random.below(60), random.below(40)];
                    *site.liar.borrow_mut() = Liar { frozen: None, replay_percent, garbage_percent };
                    if let Some(cache) = &site.cache {
                        cache.old_percent.set(random.below(60));
                    }
                }
                11 if random.percent(30) => {
                    while random.percent(99) {
                        let now_ms = self.clockwork.now_ms();
                        if !self.authority.borrow_mut().revoke_spare(now_ms) {
                            break;
                        }
                        self.committed.ring();
                        self.clockwork.sleep(random.below(8)).await;
                    }
                }
                // A new deployment: what is published now is the least that is believed from here on.
                _ => {
                    let held = self.hub.borrow().head();
                    let held = held.map(|head| verified(&head).statement.generation);
                    let generation = held.unwrap_or_default().max(self.floor.get().generation);
                    self.floor.set(Floor { root_version: 1, generation });
                }
            }
        }
    }

    fn cut(&self, link: Rc<Link>, last_ms: u64) {
        link.cut(true);
        let clockwork = Rc::clone(&self.clockwork);
        self.clockwork.spawn(async move {
            clockwork.sleep(last_ms).await;
            link.cut(false);
        });
    }

    fn heal(self: &Rc<Self>) {
        let sites = self.sites.borrow();
        for link in sites.iter().map(|site| &site.link).chain([&self.uplink]) {
            link.set(WHOLE);
            link.cut(false);
        }
        for site in sites.iter() {
            *site.liar.borrow_mut() = Liar::default();
            if let Some(cache) = &site.cache {
                cache.old_percent.set(0);
            }
        }
        // A blow may have been about to start it again.
        self.kill_publisher();
        self.start_publisher();
        self.healed_ms.set(Some(self.clockwork.now_ms()));
    }
}
