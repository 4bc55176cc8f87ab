//! An edge's isolate: the loop of `wasm/edge` (decide, do what is asked for, decide again; a look behind the answer)
//! around the real gate.

use crate::cache::Cache;
use crate::clockwork::{Bell, Task, TaskId, join_all};
use crate::hub::root;
use crate::link::Link;
use crate::traffic::Ask as Asked;
use crate::watch::Watch;
use crate::world::World;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_push::shared::{self, Urgency};
use latchkey_snapshot::ObjectDigest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How long a look at the head may go on, whoever still waits for it.
const LOOK_BUDGET_MS: u64 = 2000;
const OBJECT_BUDGET_MS: u64 = 2000;
const OBJECTS_AT_ONCE: usize = 4;
const OBJECTS_BEHIND_MAX: usize = 32;
const JOIN_PAUSE_MS: u64 = 50;
const FLIGHT_LEASE_MS: u64 = 2500;
/// How long a client waits at most before it goes.
const PATIENCE_MS: u64 = 3000;

/// A place where isolates live one after the other.
pub(crate) struct Site {
    pub(crate) name: usize,
    pub(crate) link: Rc<Link>,
    pub(crate) cache: Option<Rc<Cache>>,
    pub(crate) skew_ms: Cell<i64>,
    /// Whatever stands between the hub and here, if it lies.
    pub(crate) liar: RefCell<Liar>,
    pub(crate) life: RefCell<Rc<Life>>,
}

/// What is handed in instead of what the hub said.
#[derive(Clone, Default)]
pub(crate) struct Liar {
    /// Always this head.
    pub(crate) frozen: Option<Vec<u8>>,
    /// How often any head that was ever signed.
    pub(crate) replay_percent: u64,
    /// How often other bytes.
    pub(crate) garbage_percent: u64,
}

/// One isolate, from its first request to its eviction.
pub(crate) struct Life {
    pub(crate) gate: RefCell<Gate>,
    flights: RefCell<BTreeMap<Cargo, Flight>>,
    tasks: RefCell<Vec<TaskId>>,
    /// The `as_of` of the newest head that was taken.
    pub(crate) newest: Cell<UnixMillis>,
    pub(crate) watch: Watch,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cargo {
    Head,
    Object(ObjectDigest),
}

#[derive(Clone)]
struct Flight {
    over: Rc<Bell>,
    begun: UnixMillis,
}

/// An isolate at work, for one of its requests.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) world: Rc<World>,
    pub(crate) site: Rc<Site>,
    pub(crate) life: Rc<Life>,
}

impl Life {
    pub(crate) fn new(world: &World, floor: Floor) -> Rc<Self> {
        let authority = world.authority.borrow();
        let config = GateConfig {
            root: root(),
            peppers: vec![authority.pepper.clone()],
            mint: authority.mint.clone(),
            floor,
            memory_bytes_max: MEMORY_BYTES_MIN,
            seed: world.clockwork.random.next(),
        };
        Rc::new(Self {
            gate: RefCell::new(Gate::new(config).unwrap()),
            flights: RefCell::default(),
            tasks: RefCell::default(),
            newest: Cell::default(),
            watch: Watch::new(floor),
        })
    }
}

impl Site {
    /// Ends an isolate with all its requests. The next one begins cold, deployed with what was published then.
    pub(crate) fn evict(&self, world: &World) {
        let next = Life::new(world, world.floor.get());
        let last = self.life.replace(next);
        last.tasks.take().into_iter().for_each(|id| world.clockwork.kill(id));
    }
}

impl Shell {
    pub(crate) fn of(world: &Rc<World>, site: &Rc<Site>) -> Self {
        Self { world: Rc::clone(world), site: Rc::clone(site), life: Rc::clone(&site.life.borrow()) }
    }

    /// The isolate's clock; whoever reads it tells the gate.
    pub(crate) fn now(&self) -> UnixMillis {
        let now = self.world.at(self.site.skew_ms.get());
        self.life.watch.tick(now);
        now
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) -> TaskId {
        let id = self.world.clockwork.spawn(task);
        self.life.tasks.borrow_mut().push(id);
        id
    }

    /// A request comes in, whose client may go before it is answered.
    pub(crate) fn take_request(self, asked: Asked) {
        let random = &self.world.clockwork.random;
        let is_storm = self.world.healed_ms.get().is_none();
        let goes = is_storm && random.percent(self.world.climate.cancel_percent);
        let goes_ms = goes.then(|| random.below(PATIENCE_MS));
        let shell = self.clone();
        let id = self.spawn(async move { shell.serve(asked).await });
        if let Some(ms) = goes_ms {
            let clockwork = Rc::clone(&self.world.clockwork);
            self.world.clockwork.spawn(async move {
                clockwork.sleep(ms).await;
                clockwork.kill(id);
            });
        }
    }

    async fn serve(self, asked: Asked) {
        let (mut attempt, begun) = (Attempt::default(), self.now());
        let facts = asked.facts(&self.world);
        let mut trail = Vec::new();
        for _ in 0..60 {
            let step = {
                let gate = self.life.gate.borrow();
                gate.decide(&facts.request(), Question::Route, self.now(), &mut attempt)
            };
            match step {
                Step::Ask(ask) => {
                    trail.push((self.world.run_ms(), ask.clone()));
                    self.perform(ask).await;
                }
                Step::Answer(verdict) => {
                    let names = self.names(&verdict, &mut attempt);
                    match names {
                        Some(ask) => {
                            trail.push((self.world.run_ms(), ask.clone()));
                            self.perform(ask).await;
                        }
                        None => {
                            self.life.watch.check(&self, &asked, &verdict, begun, &trail);
                            return self.refresh_behind();
                        }
                    }
                }
            }
        }
        panic!("the loop of a request does not end");
    }

    /// What must be fetched before an origin can be told who calls.
    fn names(&self, verdict: &Verdict, attempt: &mut Attempt) -> Option<latchkey_gate::Ask> {
        let Outcome::Allow(grant) = verdict.outcome else { return None };
        match self.life.gate.borrow().names(&grant.binding, self.now(), attempt) {
            NamesStep::Ask(ask) => Some(ask),
            NamesStep::Names(_) | NamesStep::Unavailable => None,
        }
    }

    fn refresh_behind(self) {
        if self.life.gate.borrow().refresh_due(self.now()) {
            self.life.watch.refresh_granted(&self);
            let shell = self.clone();
            self.spawn(async move { shell.behind().await });
        }
    }

    async fn perform(&self, ask: latchkey_gate::Ask) {
        match ask {
            latchkey_gate::Ask::Head(HeadAsk::Start) => {
                self.life.watch.ask_granted(self);
                self.ask_head().await;
            }
            latchkey_gate::Ask::Head(HeadAsk::Join) => match self.flight(Cargo::Head) {
                Some(flight) => {
                    self.world.clockwork.wait(&flight.over, 0, HEAD_BUDGET_MS).await;
                }
                None => self.world.clockwork.sleep(JOIN_PAUSE_MS).await,
            },
            latchkey_gate::Ask::Body(field) => panic!("no rule reads `{field}`"),
            latchkey_gate::Ask::Objects(list) => {
                for some in list.chunks(OBJECTS_AT_ONCE) {
                    join_all(some.iter().map(|wanted| self.await_object(*wanted))).await;
                }
            }
        }
    }

    /// Begins a look at the head and waits for it as long as an answer may. What comes later is for the next answer.
    async fn ask_head(&self) {
        let (told, flight) = (Rc::new(Cell::new(false)), self.begin(Cargo::Head));
        let (shell, begun, told_behind) = (self.clone(), flight.clone(), Rc::clone(&told));
        self.spawn(async move {
            let urgency = Urgency::Before { held: shell.life.newest.get() };
            let is_late = shell.look(urgency, &begun, |shell, end| shell.tell(&told_behind, end)).await;
            if is_late {
                shell.fetch_wanted().await;
            }
        });
        self.world.clockwork.wait(&flight.over, 0, HEAD_BUDGET_MS).await;
        self.tell(&told, RefreshEnd::Failed);
    }

    /// Tells the gate once how a look ended.
    fn tell(&self, told: &Cell<bool>, end: RefreshEnd) {
        if !told.replace(true) {
            let was_open = self.life.gate.borrow().status(self.now()).breaker_open;
            self.life.gate.borrow().ask_ended(end, self.now());
            self.life.watch.ask_ended(self, was_open, end);
        }
    }

    async fn behind(self) {
        let flight = self.begin(Cargo::Head);
        let urgency = Urgency::Behind { chance: self.world.clockwork.random.next() as u32 };
        self.look(urgency, &flight, |shell, _| shell.life.gate.borrow().refresh_ended(shell.now())).await;
        self.fetch_wanted().await;
    }

    /// Looks at the head. Whether it took longer than an answer waits.
    async fn look(&self, urgency: Urgency, flight: &Flight, ended: impl FnOnce(&Self, RefreshEnd)) -> bool {
        self.life.watch.look_began(self);
        let begun_ms = self.world.clockwork.now_ms();
        let end = match self.read_head(urgency, begun_ms + LOOK_BUDGET_MS).await {
            true => RefreshEnd::Answered,
            false => RefreshEnd::Failed,
        };
        self.life.watch.look_ended();
        ended(self, end);
        self.land(Cargo::Head, flight);
        self.world.clockwork.now_ms() - begun_ms >= HEAD_BUDGET_MS
    }

    async fn fetch_wanted(&self) {
        let mut fetched = 0;
        while fetched < OBJECTS_BEHIND_MAX {
            let wanted = self.life.gate.borrow().wanted(OBJECTS_AT_ONCE);
            if wanted.is_empty() {
                return;
            }
            fetched += wanted.len();
            join_all(wanted.into_iter().map(|wanted| self.await_object(wanted))).await;
        }
    }

    /// Looks into the cache of the data centre first, if there is one; then asks the hub.
    async fn read_head(&self, urgency: Urgency, until_ms: u64) -> bool {
        if let Some(cache) = &self.site.cache {
            let found = cache.head(&self.world.clockwork, urgency, || self.now()).await;
            if found.is_some_and(|bytes| self.take_head(&bytes).is_ok()) {
                self.world.tally.note("head shared");
                return true;
            }
            cache.put_claim(self.now());
        }
        let left_ms = until_ms.saturating_sub(self.world.clockwork.now_ms());
        let hub = Rc::clone(&self.world.hub);
        let read = self.site.link.call(&self.world.clockwork, left_ms, move || hub.borrow().head());
        let Some(Some(bytes)) = read.await else { return false };
        let bytes = self.lie(bytes);
        match self.take_head(&bytes) {
            Ok(_) => {
                if let Some(cache) = &self.site.cache {
                    cache.put_head(&bytes, self.now());
                }
                true
            }
            Err(refusal) => refusal == HeadRefusal::Older,
        }
    }

    fn take_head(&self, bytes: &[u8]) -> Result<HeadAccepted, HeadRefusal> {
        let taken = self.life.gate.borrow_mut().accept_head(bytes, self.now());
        self.life.watch.head_taken(self, bytes, &taken);
        if taken.is_ok() {
            self.life.newest.set(shared::as_of(bytes).unwrap_or_default());
        }
        taken
    }

    /// Waits for an object, which is fetched behind, by this request or by whoever began before it.
    fn await_object(&self, wanted: Wanted) -> Task {
        let cargo = Cargo::Object(wanted.reference().digest());
        let flight = self.flight(cargo).unwrap_or_else(|| {
            let (shell, flight) = (self.clone(), self.begin(cargo));
            let begun = flight.clone();
            self.spawn(async move { shell.fetch(&wanted, &begun).await });
            flight
        });
        let clockwork = Rc::clone(&self.world.clockwork);
        Box::pin(async move {
            clockwork.wait(&flight.over, 0, OBJECT_BUDGET_MS).await;
        })
    }

    async fn fetch(&self, wanted: &Wanted, flight: &Flight) {
        let digest = wanted.reference().digest();
        let hub = Rc::clone(&self.world.hub);
        let read = self
            .site
            .link
            .call(&self.world.clockwork, OBJECT_BUDGET_MS, move || hub.borrow().object(&digest));
        match read.await.flatten() {
            Some(bytes) => {
                let is_lie = self.world.clockwork.random.percent(self.site.liar.borrow().garbage_percent);
                let bytes = if is_lie { self.world.garbage(bytes) } else { bytes };
                let taken = self.life.gate.borrow_mut().accept_object(wanted, &bytes, self.now());
                self.life.watch.object_taken(self, is_lie, taken);
            }
            None => self.life.gate.borrow_mut().object_failed(wanted, self.now()),
        }
        self.land(Cargo::Object(digest), flight);
    }

    fn lie(&self, bytes: Vec<u8>) -> Vec<u8> {
        let (random, liar) = (&self.world.clockwork.random, self.site.liar.borrow().clone());
        if let Some(frozen) = liar.frozen {
            return frozen;
        }
        if random.percent(liar.replay_percent) {
            self.world.tally.note("head replayed");
            return random.pick(&self.world.heads.borrow()).clone();
        }
        if random.percent(liar.garbage_percent) { self.world.garbage(bytes) } else { bytes }
    }

    fn flight(&self, cargo: Cargo) -> Option<Flight> {
        let flights = self.life.flights.borrow();
        flights.get(&cargo).filter(|flight| self.now().since_ms(flight.begun) < FLIGHT_LEASE_MS).cloned()
    }

    fn begin(&self, cargo: Cargo) -> Flight {
        let flight = Flight { over: Rc::default(), begun: self.now() };
        let mut flights = self.life.flights.borrow_mut();
        flights.retain(|_, flight| self.now().since_ms(flight.begun) < FLIGHT_LEASE_MS);
        flights.insert(cargo, flight.clone());
        flight
    }

    fn land(&self, cargo: Cargo, flight: &Flight) {
        let mut flights = self.life.flights.borrow_mut();
        if flights.get(&cargo).is_some_and(|held| Rc::ptr_eq(&held.over, &flight.over)) {
            flights.remove(&cargo);
        }
        drop(flights);
        flight.over.ring();
    }
}
