//! Scripts of pushes to a hub: heads, roots and objects of a small world, right and wrong, in any order.

use crate::{INSTALLATION, NOW, PREFIX, pepper, root_bytes, signer};
use latchkey_core::key::Prefix;
use latchkey_core::{Generation, OrganizationId, OrganizationNumber, ProjectNumber, UnixMillis, UnixSeconds};
use latchkey_push::ledger::{HeadJudgement, Ledger, RootJudgement, Stored};
use latchkey_snapshot::build::{
    Content, DeltaContent, Edition, HeadContent, Object, Record, RootContent, StatementContent, Touched,
};
use latchkey_snapshot::head::Rank;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;
use std::collections::BTreeMap;

/// What can be pushed.
pub struct World {
    roots: Vec<Vec<u8>>,
    manifests: Vec<ObjectRef>,
    tips: Vec<ObjectRef>,
    objects: Vec<Object>,
}

impl World {
    /// Three roots, three bases, and chains over the first: each object right, alone or beside those that it fits to.
    pub fn new() -> Self {
        let roots = vec![root_bytes(), root(2), root(3)];
        let mut world = Self { roots, manifests: vec![], tips: vec![], objects: vec![] };
        let (mut content, none) = (content(), Exceptions::default());
        let base = world.base(&mut content, 2, &none);
        let mut parent = None;
        for generation in 3..=7 {
            content.put(names(generation));
            let touched = content.take_touched();
            let said = |from, parent| DeltaContent {
                installation: INSTALLATION,
                base,
                from: Generation(from),
                generation: Generation(generation),
                parent,
                before: &none,
                now: &none,
            };
            let delta = content.delta(&said(generation - 1, parent), &touched).unwrap();
            // One that continues nothing.
            let orphan = content.delta(&said(1, None), &Touched::default()).unwrap();
            parent = Some(delta.reference);
            world.tips.extend([delta.reference, orphan.reference]);
            world.objects.extend([delta, orphan]);
            if generation % 2 == 0 {
                world.base(&mut content, generation, &none);
            }
        }
        world
    }

    fn base(&mut self, content: &mut Content, generation: u64, exceptions: &Exceptions) -> ObjectRef {
        let edition = Edition {
            installation: INSTALLATION,
            generation: Generation(generation),
            pepper_id: content.pepper_id(),
            grace_secs: 60,
            prefix: Prefix::parse(PREFIX).unwrap(),
            exceptions,
            session_keys: &[],
            edge_keys: &[],
            canaries: &[],
            cors: None,
            rules: &[],
        };
        let built = content.build(&edition).unwrap();
        content.take_touched();
        self.manifests.push(built.manifest.reference);
        self.objects.extend(built.objects.iter().cloned());
        self.objects.push(built.manifest.clone());
        built.manifest.reference
    }

    fn head(&self, [what, which, how]: [u8; 3], now: UnixMillis) -> Vec<u8> {
        let manifest = self.manifests[usize::from(which) % self.manifests.len()];
        let tip = |at: u8| self.tips[usize::from(at) % self.tips.len()];
        let other = self.manifests[usize::from(which / 3) % self.manifests.len()];
        let previous = (how & 0x80 != 0 && other != manifest).then(|| Previous {
            manifest: other,
            tip: tip(which / 7),
            until: UnixSeconds(NOW.seconds().0 + 3600),
        });
        let statement = StatementContent {
            installation: INSTALLATION,
            generation: Generation(u64::from(how % 8) + 1),
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(86_400),
            manifest,
            tip: (how & 0x40 == 0).then(|| tip(which / 3)),
            previous,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(2)]).unwrap();
        let as_of = UnixMillis(now.0 + u64::from(what / 16) * 200);
        let root_version = u32::from(how / 8 % 4) + 1;
        let head = HeadContent { root_version, as_of, statement: &statement, inline: &[] };
        head.sign(&[&signer(3)]).unwrap()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

fn root(version: u32) -> Vec<u8> {
    let key = |seed: u8, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(1_000_000_000),
        not_after: UnixSeconds(3_000_000_000),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let issued = NOW.seconds();
    let content = RootContent { installation: INSTALLATION, version, issued, thresholds: [1; 3], keys };
    content.sign(&[&signer(1)]).unwrap()
}

fn content() -> Content {
    let mut content = Content::new(pepper());
    let (project, organization) = (ProjectNumber(10), OrganizationNumber(1));
    content.load([Record::ProjectReference { text: "alpha", project, organization }, names(2)]);
    content
}

fn names(number: u64) -> Record<'static> {
    Record::OrganizationNames(OrganizationNames {
        number: OrganizationNumber(number as u32),
        id: OrganizationId::from_body([b'0' + number as u8; 16]).unwrap(),
        name: "o".into(),
    })
}

/// A hub and its storage.
pub struct Hub<'w> {
    world: &'w World,
    ledger: Ledger,
    objects: BTreeMap<ObjectDigest, Vec<u8>>,
    now: UnixMillis,
    rank: Option<Rank>,
    root_version: u32,
}

impl<'w> Hub<'w> {
    /// One that holds nothing but the pinned root.
    pub fn new(world: &'w World) -> Self {
        let ledger = Ledger::open(&world.roots[0], Stored::default(), &|_| None).unwrap();
        Self { world, ledger, objects: BTreeMap::new(), now: NOW, rank: None, root_version: 1 }
    }

    /// One push, or a while, or a new start.
    pub fn step(&mut self, [what, which, how]: [u8; 3]) {
        match what % 8 {
            0 | 1 => self.push_head(&self.world.head([what, which, how], self.now)),
            2..=4 => self.push_object(which, how),
            5 => self.push_root(which, how),
            6 => self.sweep(which, how),
            _ => self.reopen(),
        }
        self.check();
    }

    fn push_head(&mut self, bytes: &[u8]) {
        let objects = &self.objects;
        let Ok(judged) = self.ledger.judge_head(bytes, self.now, &|digest| objects.get(digest).cloned())
        else {
            return;
        };
        match judged {
            HeadJudgement::Held => assert_eq!(
                self.ledger.head().map(|head| head.digest),
                UnverifiedHead::parse(bytes).ok().map(|head| head.digest())
            ),
            HeadJudgement::Take(change) => self.ledger.apply_head(change, self.now),
            HeadJudgement::Await(change, missing) => {
                self.ledger.apply_head(change, self.now);
                // One that is held and does not fit counts as missing, too.
                let is_wanted = |digest| self.ledger.wants(digest).is_some();
                assert!(!missing.is_empty() && missing.iter().all(is_wanted));
            }
        }
    }

    /// An object of the world, whole or with one byte changed, under its own name.
    fn push_object(&mut self, which: u8, how: u8) {
        let object = &self.world.objects[usize::from(which) % self.world.objects.len()];
        let mut bytes = object.bytes.to_vec();
        if how >= 0xf0 {
            let at = usize::from(how) * 31 % bytes.len();
            bytes[at] ^= 1;
        }
        let (digest, objects) = (object.reference.digest(), &self.objects);
        let judged = self.ledger.judge_object(&digest, &bytes, &|digest| objects.get(digest).cloned());
        if let Ok(Some(change)) = judged {
            assert!(how < 0xf0, "bytes that are not what was named");
            self.objects.insert(digest, bytes);
            self.ledger.apply_object(change);
        }
    }

    fn push_root(&mut self, which: u8, how: u8) {
        let at = usize::from(which) % self.world.roots.len();
        let version = if how >= 0xf0 { u32::from(how) } else { at as u32 + 1 };
        if let Ok(RootJudgement::Take(change)) = self.ledger.judge_root(version, &self.world.roots[at]) {
            assert_eq!(version, self.ledger.root_version() + 1);
            self.ledger.apply_root(change, self.now);
        }
    }

    fn sweep(&mut self, which: u8, how: u8) {
        self.now = self.now.plus_ms(u64::from(which) * 60_000 + u64::from(how));
        let sweep = self.ledger.judge_sweep(self.now);
        for digest in &sweep.deleted {
            self.objects.remove(digest);
        }
        self.ledger.apply_sweep(&sweep, self.now);
    }

    /// What is stored says the same again.
    fn reopen(&mut self) {
        let roots = 2..=self.ledger.root_version();
        let stored = Stored {
            roots: roots.map(|version| (version, self.world.roots[version as usize - 1].clone())).collect(),
            current: self.ledger.head_bytes().map(<[u8]>::to_vec),
            pending: None,
            objects: self.objects.keys().map(|digest| (*digest, None)).collect(),
        };
        let objects = &self.objects;
        let opened =
            Ledger::open(&self.world.roots[0], stored, &|digest| objects.get(digest).cloned()).unwrap();
        assert_eq!(opened.head_bytes(), self.ledger.head_bytes());
        self.ledger = opened;
    }

    fn check(&mut self) {
        assert!(self.ledger.root_version() >= self.root_version);
        self.root_version = self.ledger.root_version();
        assert_eq!(self.ledger.objects_count(), self.objects.len());
        let Some(head) = self.ledger.head() else { return assert!(self.rank.is_none()) };
        assert!(self.rank.is_none_or(|rank| rank <= head.rank()), "order goes back");
        self.rank = Some(head.rank());
        let statement = &head.statement;
        self.check_way(&statement.manifest, statement.tip, statement.generation);
        if let Some(previous) = &statement.previous {
            self.check_way(&previous.manifest, Some(previous.tip), statement.generation);
        }
    }

    /// Everything that a base and a chain lead to is here, and they fit each other.
    fn check_way(&self, base: &ObjectRef, tip: Option<ObjectRef>, generation: Generation) {
        let read =
            |named: &ObjectRef| self.objects.get(&named.digest()).expect("a head without all it names");
        let manifest = Manifest::parse(base, read(base)).unwrap();
        for section in &manifest.sections {
            for node in &section.nodes {
                let node = Node::parse(section.kind, &node.object, read(&node.object)).unwrap();
                for page in node.pages() {
                    assert_eq!(read(&page.object).len(), page.object.len_bytes() as usize);
                }
            }
        }
        let (mut chain, mut next) = (Vec::new(), tip);
        while let Some(reference) = next {
            let delta = Delta::parse(&reference, read(&reference)).unwrap();
            next = delta.removals.parent;
            chain.insert(0, delta.removals);
        }
        if !chain.is_empty() {
            let statement = (INSTALLATION, generation);
            chain::check(statement, base, &manifest, &chain.iter().collect::<Vec<_>>()).unwrap();
        }
    }
}
