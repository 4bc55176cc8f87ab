//! What the publisher's tests stand on: a state in memory, a clock that moves when told, and a sink that checks
//! everything it takes as an edge would.

use crate::iam::{
    Identity, Key, KeyProof, Membership, Name, Narrowing, Organization, Project, Visibility,
    authorize_first_operator,
};
use crate::outside::{Clock, NoSeed, Seeds};
use crate::publish::sink::{Answer, Told};
use crate::publish::{
    ChainLimits, Held, Keyring, Keys, Named, Publisher, Routing, Rulebook, Schedule, Settings, Sink,
    SinkError,
};
use crate::store::{AuditEntry, Change, Store, StoreError, Write};
use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, Generation, IdentityId, KeyDigest, KeyId, OrganizationId, OrganizationNumber, Pepper, ProjectId,
    ProjectNumber, Role, Slug, UnixMillis, UnixSeconds, UserId,
};
use latchkey_snapshot::build::{HeadContent, Object, RootContent, Signer, StatementContent};
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{
    Delta, Found, Head, Installation, Manifest, Node, ObjectDigest, ObjectRef, Page, Query, Root, Statement,
    UnverifiedHead,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub(crate) const NOW: UnixMillis = UnixMillis(1_795_428_000_000);
const INSTALLATION: Installation = Installation([7; 16]);

/// A clock that moves only when told.
#[derive(Debug, Clone)]
pub(crate) struct ManualClock {
    at: Arc<AtomicU64>,
    /// While set, whoever reads it panics.
    pub(crate) is_broken: Arc<AtomicBool>,
}

impl ManualClock {
    pub(crate) fn set(&self, at: u64) {
        self.at.store(at, Ordering::SeqCst);
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.at.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        assert!(!self.is_broken.load(Ordering::SeqCst), "the clock is broken");
        UnixMillis(self.at.load(Ordering::SeqCst))
    }
}

struct CountedSeeds(AtomicU64);

impl Seeds for CountedSeeds {
    fn seed(&self) -> Result<[u8; 32], NoSeed> {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        Ok(seed)
    }
}

pub(crate) fn seeds() -> Arc<dyn Seeds> {
    Arc::new(CountedSeeds(AtomicU64::new(1 << 32)))
}

pub(crate) fn identity_of(n: u8, id: IdentityId, user: UserId) -> Identity {
    Identity { id, user, provider: "test".to_owned(), subject: n.to_string(), created_at: NOW }
}

/// A state with one project, and the keys to publish it.
pub(crate) struct Stage {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: ManualClock,
    pub(crate) keyring: watch::Sender<Arc<Keyring>>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let clock = ManualClock { at: Arc::new(AtomicU64::new(NOW.0)), is_broken: Arc::default() };
        let seeds = Arc::new(CountedSeeds(AtomicU64::new(0)));
        let store = Arc::new(Store::in_memory(Arc::new(clock.clone()), seeds).unwrap());
        let keyring = watch::Sender::new(Arc::new(keyring(&[2], &[3], vec![first_root()])));
        let stage = Self { store, clock, keyring };
        stage.commit([Change::Organization(organization(false)), Change::Project(project("alpha"))]).await;
        stage
    }

    /// The stage on another state.
    pub(crate) fn on(&self, store: Arc<Store>) -> Self {
        Self { store, clock: self.clock.clone(), keyring: watch::Sender::new(self.keyring.borrow().clone()) }
    }

    pub(crate) fn root(&self) -> Root {
        self.keyring.borrow().root().clone()
    }

    /// The stage's own keyring, with this root after it and these signers.
    pub(crate) fn with_root(&self, root: Vec<u8>, release: &[u8], head: &[u8]) -> Keyring {
        let mut roots = self.keyring.borrow().roots().to_vec();
        roots.push(root);
        keyring(release, head, roots)
    }

    pub(crate) fn start(&self, sinks: Vec<Arc<dyn Sink>>) -> Publisher {
        self.start_with(sinks, quick())
    }

    pub(crate) fn start_with(&self, sinks: Vec<Arc<dyn Sink>>, schedule: Schedule) -> Publisher {
        let seeds = CountedSeeds(AtomicU64::new(77));
        let clock = Arc::new(self.clock.clone());
        Publisher::start(self.store.clone(), clock, &seeds, self.settings(schedule), sinks).unwrap()
    }

    pub(crate) fn settings(&self, schedule: Schedule) -> Settings {
        Settings {
            installation: INSTALLATION,
            prefix: Prefix::parse("lk").unwrap(),
            keyring: self.keyring.subscribe(),
            rules: Rulebook::of(Routing::default()),
            canaries: Vec::new(),
            grace_secs: 900,
            schedule,
        }
    }

    /// Commits these rows as one change.
    pub(crate) async fn commit(&self, changes: impl IntoIterator<Item = Change>) -> Generation {
        let changes: Vec<Change> = changes.into_iter().collect();
        let decide = move |_: &dyn crate::store::View, _: &mut crate::store::Ctx| {
            let permit = authorize_first_operator(0).unwrap();
            let entry = AuditEntry::new(&permit, None, "test", ("test", String::new()));
            Ok::<_, StoreError>(Write::new(entry, ()).put_all(changes.clone()))
        };
        self.store.write(decide).await.unwrap().generation
    }
}

/// What this comes to. Only what never happens takes as long as the bound, however busy the machine is; a failure
/// says what was waited for.
pub(crate) async fn awaited<T>(what: impl fmt::Display, event: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(600), event).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Everything happens as soon as it can.
pub(crate) fn quick() -> Schedule {
    Schedule {
        head_every: Duration::from_millis(20),
        statement_every: Duration::from_secs(600),
        use_by_secs: 3600,
        chain: ChainLimits::default(),
    }
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new([4; 32])
}

pub(crate) fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

pub(crate) fn keyring(release: &[u8], head: &[u8], roots: Vec<Vec<u8>>) -> Keyring {
    let signers = |seeds: &[u8]| seeds.iter().copied().map(signer).collect();
    let (release, head) = (signers(release), signers(head));
    let (session_keys, edge_keys) = (Vec::new(), Vec::new());
    Keyring::new(Keys { roots, release, head, session_keys, edge_keys, pepper: pepper() }).unwrap()
}

fn first_root() -> Vec<u8> {
    root_bytes(1, &[2], &[3])
}

/// A root signed by offline key 1.
pub(crate) fn root_bytes(version: u32, release: &[u8], head: &[u8]) -> Vec<u8> {
    root(version, UnixSeconds(u64::MAX / 2), release, head)
}

/// A first root whose keys end with this second.
pub(crate) fn root_until(not_after: UnixSeconds, release: &[u8], head: &[u8]) -> Vec<u8> {
    root(1, not_after, release, head)
}

fn root(version: u32, not_after: UnixSeconds, release: &[u8], head: &[u8]) -> Vec<u8> {
    let key =
        |seed, role| RootKey { public: signer(seed).public(), role, not_before: UnixSeconds(0), not_after };
    let release = release.iter().map(|seed| key(*seed, KeyRole::Release));
    let head = head.iter().map(|seed| key(*seed, KeyRole::Head));
    let keys = std::iter::once(key(1, KeyRole::Offline)).chain(release).chain(head).collect();
    let issued = NOW.seconds();
    let root = RootContent { installation: INSTALLATION, version, issued, thresholds: [1, 1, 1], keys };
    root.sign(&[&signer(1)]).unwrap()
}

/// A head of the stage's keys, under a root of this version.
pub(crate) fn head_bytes(root_version: u32, generation: u64, as_of: UnixMillis) -> Vec<u8> {
    head_bytes_until(root_version, generation, as_of, 3600)
}

/// The same, with a statement that is good for so long.
pub(crate) fn head_bytes_until(root_version: u32, generation: u64, as_of: UnixMillis, secs: u64) -> Vec<u8> {
    let issued = NOW.seconds();
    let statement = StatementContent {
        installation: INSTALLATION,
        generation: Generation(generation),
        issued,
        use_by: issued.plus_secs(secs),
        manifest: ObjectRef::to(b"manifest"),
        tip: None,
        previous: None,
        audit_size: 0,
        audit_root: [0; 32],
    };
    let statement = statement.sign(&[&signer(2)]).unwrap();
    HeadContent { root_version, as_of, statement: &statement, inline: &[] }.sign(&[&signer(3)]).unwrap()
}

pub(crate) fn owner() -> UserId {
    UserId::generate(&mut Dice::from_seed(&[8; 32]))
}

pub(crate) fn organization(is_suspended: bool) -> Organization {
    Organization {
        number: OrganizationNumber(1),
        id: OrganizationId::generate(&mut Dice::from_seed(&[1; 32])),
        name: Name::parse("Example").unwrap(),
        owner: owner(),
        created_at: NOW,
        suspended_at: is_suspended.then_some(NOW),
        settings: crate::iam::Settings::default(),
        imports_keys: false,
    }
}

pub(crate) fn membership(role: Role) -> Membership {
    let identity = IdentityId::generate(&mut Dice::from_seed(&[9; 32]));
    Membership { organization: OrganizationNumber(1), user: owner(), role, identity, joined_at: NOW }
}

pub(crate) fn project(slug: &str) -> Project {
    Project {
        number: ProjectNumber(1),
        id: ProjectId::generate(&mut Dice::from_seed(&[2; 32])),
        organization: OrganizationNumber(1),
        name: Name::parse("Alpha").unwrap(),
        slug: Slug::parse(slug).unwrap(),
        visibility: Visibility::Open,
        allows_external: false,
        is_default: true,
        created_at: NOW,
        archived_at: None,
        deleted_at: None,
    }
}

/// Key `n`, active.
pub(crate) fn key(n: u64) -> Key {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    Key {
        id: KeyId::from_number(n),
        proof: KeyProof::Native(KeyDigest(digest)),
        project: ProjectNumber(1),
        name: Name::parse("key").unwrap(),
        role: Role::Member,
        narrowing: Narrowing::default(),
        family: KeyId::from_number(n),
        predecessor: None,
        successor: None,
        created_by: owner(),
        created_at: NOW,
        expires: None,
        disabled_at: None,
        enabled_at: None,
        warned_of: None,
        revoked_at: None,
    }
}

pub(crate) fn revoked(n: u64) -> Change {
    Change::Key(Key { revoked_at: Some(NOW), ..key(n) })
}

pub(crate) fn created(n: u64) -> Change {
    Change::Key(key(n))
}

/// A hub in memory. It takes what an edge would take, and panics at what must never be sent.
pub(crate) struct Hub {
    name: &'static str,
    root: Mutex<Root>,
    /// The calls until it fails once; `u64::MAX` for never.
    pub(crate) fails_in: AtomicU64,
    pub(crate) is_down: AtomicBool,
    /// While set, objects are not taken and not refused: their uploads hang.
    pub(crate) holds_up_objects: watch::Sender<bool>,
    /// While set, the same for all objects of bases; deltas are taken.
    pub(crate) holds_up_bases: watch::Sender<bool>,
    /// While set, no object of a base is taken.
    pub(crate) refuses_bases: AtomicBool,
    /// Whether it takes only objects that a head which was offered to it names.
    pub(crate) takes_only_named: AtomicBool,
    /// What such heads lacked.
    wanted: Mutex<HashSet<ObjectDigest>>,
    roots: AtomicU64,
    objects: Mutex<HashMap<ObjectDigest, Arc<[u8]>>>,
    pub(crate) heads: watch::Sender<Vec<Head>>,
}

impl Hub {
    pub(crate) fn new(stage: &Stage) -> Arc<Self> {
        Self::named(stage, "hub")
    }

    pub(crate) fn named(stage: &Stage, name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            root: Mutex::new(stage.root()),
            fails_in: AtomicU64::new(u64::MAX),
            is_down: AtomicBool::new(false),
            holds_up_objects: watch::Sender::new(false),
            holds_up_bases: watch::Sender::new(false),
            refuses_bases: AtomicBool::new(false),
            takes_only_named: AtomicBool::new(false),
            wanted: Mutex::default(),
            roots: AtomicU64::new(0),
            objects: Mutex::default(),
            heads: watch::Sender::new(Vec::new()),
        })
    }

    /// The head that first fulfils this.
    pub(crate) async fn head(&self, is_it: impl Fn(&Head) -> bool) -> Head {
        let mut heads = self.heads.subscribe();
        let seen = heads.wait_for(|heads| heads.iter().any(&is_it));
        let seen = awaited("such a head", seen).await.unwrap();
        seen.iter().find(|head| is_it(head)).unwrap().clone()
    }

    /// The first head under a statement of this generation.
    pub(crate) async fn statement(&self, generation: Generation) -> Head {
        self.head(|head| head.statement.generation == generation).await
    }

    pub(crate) fn last(&self) -> Head {
        self.heads.borrow().last().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.objects.lock().unwrap().clear();
    }

    fn may_answer(&self) -> Result<(), SinkError> {
        let count_down = |left: u64| (left != u64::MAX).then(|| left.checked_sub(1).unwrap_or(u64::MAX));
        let left = self.fails_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down);
        if self.is_down.load(Ordering::SeqCst) || left == Ok(0) {
            return Err(SinkError::Unavailable("out of order".to_owned()));
        }
        Ok(())
    }

    fn object(&self, digest: ObjectDigest) -> Result<Arc<[u8]>, SinkError> {
        self.objects.lock().unwrap().get(&digest).cloned().ok_or_else(|| {
            self.wanted.lock().unwrap().insert(digest);
            SinkError::Missing(vec![digest])
        })
    }

    /// The manifest that a head leads to.
    pub(crate) fn manifest(&self, head: &Head) -> Manifest {
        let manifest = &head.statement.manifest;
        Manifest::parse(manifest, &self.object(manifest.digest()).unwrap()).unwrap()
    }

    /// Whether what its head leads to says anything of key `n`.
    pub(crate) fn knows_key(&self, n: u64) -> bool {
        let KeyProof::Native(digest) = key(n).proof else { unreachable!("the stage's keys are native") };
        let query = Query::native_key(&pepper(), key(n).id, &digest);
        let Statement { manifest, tip, .. } = self.last().statement;
        let mut next = tip;
        while let Some(reference) = next {
            let delta = Delta::parse(&reference, &self.object(reference.digest()).unwrap()).unwrap();
            match delta.find(&query) {
                Found::Unknown => next = delta.removals.parent,
                found => return matches!(found, Found::Here(..)),
            }
        }
        let manifest = Manifest::parse(&manifest, &self.object(manifest.digest()).unwrap()).unwrap();
        let nodes = manifest.section(query.kind).into_iter().flat_map(|section| &section.nodes);
        let pages = nodes.flat_map(|node| {
            let bytes = self.object(node.object.digest()).unwrap();
            Node::parse(query.kind, &node.object, &bytes).unwrap().pages().to_vec()
        });
        let mut pages = pages.map(|page| {
            let bytes = self.object(page.object.digest()).unwrap();
            Page::parse(query.kind, &page.object, bytes[..].into()).unwrap()
        });
        pages.any(|page| page.find(&query).is_some())
    }

    /// Follows the statement down to every page and every delta.
    fn check_complete(&self, head: &Head) -> Result<(), SinkError> {
        let Statement { generation, manifest, tip, previous, .. } = &head.statement;
        self.check_line(manifest, tip.as_ref(), *generation)?;
        previous.as_ref().map_or(Ok(()), |previous| {
            assert!(previous.until > head.statement.issued);
            self.check_line(&previous.manifest, Some(&previous.tip), *generation)
        })
    }

    fn check_line(
        &self,
        base: &ObjectRef,
        tip: Option<&ObjectRef>,
        generation: Generation,
    ) -> Result<(), SinkError> {
        let manifest = Manifest::parse(base, &self.object(base.digest())?).unwrap();
        let (mut next, mut expected, mut deltas) = (tip.copied(), generation, 0);
        while let Some(reference) = next {
            let delta = Delta::parse(&reference, &self.object(reference.digest())?).unwrap();
            assert_eq!((delta.removals.base, delta.removals.generation), (*base, expected));
            (next, expected, deltas) = (delta.removals.parent, delta.removals.from, deltas + 1);
        }
        assert!(deltas <= CHAIN_MAX);
        assert_eq!(manifest.generation, expected);
        for section in &manifest.sections {
            for node in &section.nodes {
                let node =
                    Node::parse(section.kind, &node.object, &self.object(node.object.digest())?).unwrap();
                for page in node.pages() {
                    page.object.admit(&self.object(page.object.digest())?).unwrap();
                }
            }
        }
        Ok(())
    }

    fn take(&self, bytes: &[u8]) -> Result<(), SinkError> {
        assert!(self.roots.load(Ordering::SeqCst) > 0, "a head came before its root");
        let head = UnverifiedHead::parse(bytes).unwrap().verify(&self.root.lock().unwrap()).unwrap();
        self.check_complete(&head)?;
        self.heads.send_modify(|heads| {
            if let Some(last) = heads.last() {
                assert!(head.rank() > last.rank(), "{:?} came after {:?}", head.rank(), last.rank());
                assert!(head.as_of > last.as_of, "`as_of` went back");
            }
            heads.push(head);
        });
        Ok(())
    }
}

impl Sink for Hub {
    fn name(&self) -> &str {
        self.name
    }

    fn held(&self) -> Answer<'_, Held> {
        Box::pin(async {
            self.may_answer()?;
            let root_version = self.roots.load(Ordering::SeqCst) as u32;
            let heads = self.heads.borrow();
            let head = heads.last().filter(|head| head.root_version >= root_version);
            Ok(Held { root_version, head: head.map(|head| (head.statement.generation, head.as_of)) })
        })
    }

    fn put_root<'a>(&'a self, version: u32, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.may_answer()?;
            let mut root = self.root.lock().unwrap();
            if version > root.version() {
                *root = root.successor(bytes).unwrap();
            }
            self.roots.store(u64::from(version), Ordering::SeqCst);
            Ok(())
        })
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        Box::pin(async {
            self.holds_up_objects.subscribe().wait_for(|holds| !holds).await.unwrap();
            if !object.bytes.starts_with(b"LKD") {
                self.holds_up_bases.subscribe().wait_for(|holds| !holds).await.unwrap();
                if self.refuses_bases.load(Ordering::SeqCst) {
                    return Err(SinkError::Unavailable("the disk is full".to_owned()));
                }
            }
            self.may_answer()?;
            let is_named = self.wanted.lock().unwrap().contains(&object.reference.digest());
            assert!(is_named || !self.takes_only_named(), "an object came that no head named");
            object.reference.admit(&object.bytes).unwrap();
            self.objects.lock().unwrap().insert(object.reference.digest(), object.bytes.clone());
            Ok(())
        })
    }

    fn takes_only_named(&self) -> bool {
        self.takes_only_named.load(Ordering::SeqCst)
    }

    fn put_head<'a>(&'a self, head: &'a [u8], _named: &'a Named) -> Answer<'a, Told> {
        Box::pin(async {
            self.may_answer()?;
            self.take(head).map(|()| Told::default())
        })
    }
}
