//! The edge's side: what is published, and gates that read it.

use latchkey_control::app::RulesDesk;
use latchkey_control::app::rules::{RulesFile, RulesRead};
use latchkey_control::outside::Clock;
use latchkey_control::publish::sink::Answer;
use latchkey_control::publish::{
    ChainLimits, Held, Keyring, Keyrings, Keys, Named, Publisher, Routing, Rulebook, Schedule, Settings,
    Sink, Told,
};
use latchkey_core::{Generation, MintSecret, Pepper, Prefix, UnixMillis, UnixSeconds};
use latchkey_gate::{
    Ask, Attempt, Floor, Gate, GateConfig, HeadAsk, Question, RefreshEnd, Request, Step, Verdict, Wanted,
};
use latchkey_snapshot::build::{Object, RootContent, Signer};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Installation, ObjectDigest, Root, Rule, Statement, UnverifiedHead};
use latchkey_testkit::{ManualClock, SeededSeeds, Stage};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const INSTALLATION: Installation = Installation([7; 16]);

/// A head as it was pushed.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) generation: Generation,
    pub(crate) as_of: UnixMillis,
    pub(crate) statement: Statement,
}

/// Everything that was ever pushed.
pub(crate) struct Hub {
    root: Root,
    objects: Mutex<HashMap<ObjectDigest, Arc<[u8]>>>,
    heads: watch::Sender<Vec<Pushed>>,
}

impl Hub {
    /// The heads from the one with this number on, once the last of them is of this generation and moment.
    pub(crate) async fn heads(&self, from: usize, generation: Generation, now: UnixMillis) -> Vec<Pushed> {
        let mut heads = self.heads.subscribe();
        let is_there = |heads: &Vec<Pushed>| {
            heads.last().is_some_and(|last| last.generation >= generation && last.as_of >= now)
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), heads.wait_for(is_there)).await;
        seen.expect("no such head came").expect("the hub is there")[from..].to_vec()
    }

    /// How many bases heads named, how many tips, and how many heads named a base before.
    pub(crate) fn travelled(&self) -> (usize, usize, usize) {
        let heads = self.heads.borrow();
        let said = || heads.iter().map(|head| &head.statement);
        let bases: BTreeSet<_> = said().map(|one| one.manifest).collect();
        let tips: BTreeSet<_> = said().filter_map(|one| one.tip).collect();
        (bases.len(), tips.len(), said().filter(|one| one.previous.is_some()).count())
    }

    fn object(&self, digest: ObjectDigest) -> Vec<u8> {
        self.objects.lock().unwrap().get(&digest).expect("a head names only what was pushed").to_vec()
    }
}

impl Sink for Hub {
    fn name(&self) -> &str {
        "hub"
    }

    fn held(&self) -> Answer<'_, Held> {
        Box::pin(async {
            let head = self.heads.borrow().last().map(|head| (head.generation, head.as_of));
            Ok(Held { root_version: 1, head })
        })
    }

    fn put_root<'a>(&'a self, _version: u32, _bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        self.objects.lock().unwrap().insert(object.reference.digest(), object.bytes.clone());
        Box::pin(async { Ok(()) })
    }

    fn put_head<'a>(&'a self, bytes: &'a [u8], named: &'a Named) -> Answer<'a, Told> {
        let mut objects = self.objects.lock().unwrap();
        for object in named.objects() {
            objects.insert(object.reference.digest(), object.bytes.clone());
        }
        let head = UnverifiedHead::parse(bytes).unwrap().verify(&self.root).unwrap();
        let (generation, as_of) = (head.statement.generation, head.as_of);
        let pushed = Pushed { bytes: bytes.to_vec(), generation, as_of, statement: head.statement };
        self.heads.send_modify(|heads| heads.push(pushed));
        Box::pin(async { Ok(Told::default()) })
    }
}

/// A publisher on the stage's store, its hub, and what a gate is deployed with.
pub(crate) struct Publication {
    pub(crate) hub: Arc<Hub>,
    root: Vec<u8>,
    _publisher: Publisher,
}

impl Publication {
    /// With these rules, which the stage's state names no other than.
    pub(crate) fn start(stage: &Stage, rules: Vec<Rule>) -> Self {
        Self::of(stage, Rulebook::of(Routing { rules, cors: None }))
    }

    /// With these rules, which are put in force.
    pub(crate) async fn enforce(stage: &Stage, rules: Vec<Rule>) -> Self {
        let desk = RulesDesk::new(Arc::new(Written(rules)));
        desk.settle(stage.control.store()).await.expect("the rules are in force").expect("others were");
        Self::of(stage, desk.book())
    }

    fn of(stage: &Stage, rules: Rulebook) -> Self {
        let root = root();
        let hub = Arc::new(Hub {
            root: Root::pinned(&root).unwrap(),
            objects: Mutex::default(),
            heads: watch::Sender::new(Vec::new()),
        });
        let settings = Settings {
            installation: INSTALLATION,
            prefix: Prefix::parse("lk_test").unwrap(),
            keyring: keyring(root.clone()),
            rules,
            canaries: Vec::new(),
            grace_secs: 900,
            schedule: Schedule {
                head_every: Duration::from_millis(20),
                statement_every: Duration::from_secs(600),
                use_by_secs: 86_400,
                // So small that a history sees every level, bases that follow one another, and gates on the one before.
                chain: ChainLimits {
                    tip_bytes: 250,
                    chain_bytes_min: 1_000,
                    chain_bytes_max: 1_000,
                    base_age_secs: 3_600,
                    previous_secs: 20,
                },
            },
        };
        let (store, clock) = (stage.control.store().clone(), Arc::new(stage.clock.clone()));
        let sinks: Vec<Arc<dyn Sink>> = vec![hub.clone()];
        let publisher = Publisher::start(store, clock, &SeededSeeds::new(77), settings, sinks).unwrap();
        Self { hub, root, _publisher: publisher }
    }

    /// A gate that knows nothing yet.
    pub(crate) fn gate(&self, clock: &ManualClock) -> Shell {
        let config = GateConfig {
            root: self.root.clone(),
            peppers: vec![pepper()],
            mint: MintSecret::new([7; 32]),
            floor: Floor::default(),
            memory_bytes_max: latchkey_gate::MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let gate = Gate::new(config).unwrap();
        Shell { gate, hub: self.hub.clone(), clock: clock.clone(), head: Vec::new() }
    }
}

/// A file of rules that says these.
struct Written(Vec<Rule>);

impl RulesFile for Written {
    fn read(&self) -> Result<Option<RulesRead>, String> {
        let routing = Routing { rules: self.0.clone(), cors: None };
        Ok(Some(RulesRead { routing, text: String::new() }))
    }
}

/// A gate and the loop around it.
pub(crate) struct Shell {
    gate: Gate,
    hub: Arc<Hub>,
    clock: ManualClock,
    head: Vec<u8>,
}

impl Shell {
    /// Takes a head, and, if it is told to, everything that it leads to.
    pub(crate) fn take(&mut self, head: &Pushed, with_objects: bool) {
        self.head.clone_from(&head.bytes);
        self.gate.accept_head(&head.bytes, self.clock.now()).expect("the publisher's heads are good");
        self.gate.refresh_ended(self.clock.now());
        if !with_objects {
            return;
        }
        loop {
            let wanted = self.gate.wanted(usize::MAX);
            if wanted.is_empty() {
                return;
            }
            wanted.iter().for_each(|wanted| self.fetch(wanted));
        }
    }

    /// One whole request.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Verdict {
        let mut attempt = Attempt::default();
        for _ in 0..40 {
            match self.gate.decide(request, Question::Route, self.clock.now(), &mut attempt) {
                Step::Answer(verdict) => return verdict,
                Step::Ask(Ask::Head(HeadAsk::Join)) => {}
                Step::Ask(Ask::Head(HeadAsk::Start)) => {
                    let head = self.head.clone();
                    let taken = self.gate.accept_head(&head, self.clock.now());
                    let end = if taken.is_ok() { RefreshEnd::Answered } else { RefreshEnd::Failed };
                    self.gate.ask_ended(end, self.clock.now());
                }
                Step::Ask(Ask::Objects(list)) => list.iter().for_each(|wanted| self.fetch(wanted)),
                Step::Ask(Ask::Body(field)) => panic!("no rule reads `{field}`"),
            }
        }
        panic!("the loop does not end");
    }

    fn fetch(&mut self, wanted: &Wanted) {
        let bytes = self.hub.object(wanted.reference().digest());
        self.gate.accept_object(wanted, &bytes, self.clock.now()).expect("what was pushed is good");
    }
}

fn root() -> Vec<u8> {
    let key = |seed: u8, role| RootKey {
        public: Signer::from_seed(&[seed; 32]).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX / 2),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let (issued, thresholds) = (UnixSeconds(1), [1, 1, 1]);
    let root = RootContent { installation: INSTALLATION, version: 1, issued, thresholds, keys };
    root.sign(&[&Signer::from_seed(&[1; 32])]).unwrap()
}

fn keyring(root: Vec<u8>) -> Keyrings {
    let session_keys = vec![TokenKey {
        public: Signer::from_seed(&[9; 32]).public(),
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    }];
    let keys = Keys {
        roots: vec![root],
        release: vec![Signer::from_seed(&[2; 32])],
        head: vec![Signer::from_seed(&[3; 32])],
        session_keys,
        edge_keys: Vec::new(),
        pepper: pepper(),
    };
    Keyring::new(keys).unwrap().fixed()
}

fn pepper() -> Pepper {
    Pepper::new([4; 32])
}
