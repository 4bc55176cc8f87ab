mod chains;

use super::*;
use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, KeyDigest, KeyId, MintSecret, OrganizationNumber, Pepper, PermissionSet, PlainKey, ProjectNumber,
    Role, UnixSeconds,
};
use latchkey_snapshot::build::{
    Built, Content, Edition as BuiltEdition, HeadContent, Record, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::head::Previous;
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Binding, HeadError, Inline, KeyState, ObjectRef};
use std::cell::RefCell;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn root_bytes(version: u32, signers: [u8; 3]) -> Vec<u8> {
    let roles = [KeyRole::Offline, KeyRole::Release, KeyRole::Head];
    let keys = signers.into_iter().zip(roles).map(|(seed, role)| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    });
    let content = RootContent {
        installation: Installation([7; 16]),
        version,
        issued: NOW.seconds(),
        thresholds: [1, 1, 1],
        keys: keys.collect(),
    };
    content.sign(&[&signer(signers[0])]).unwrap()
}

/// An edition with as many keys as its generation, so that each differs.
fn built(generation: u64) -> Built {
    let mut content = Content::new(Pepper::new([5; 32]));
    for seed in 0..generation {
        put(&mut content, seed);
    }
    let edition = BuiltEdition {
        installation: Installation([7; 16]),
        generation: Generation(generation),
        pepper_id: content.pepper_id(),
        grace_secs: 900,
        prefix: Prefix::parse("lk").unwrap(),
        exceptions: &Exceptions::default(),
        session_keys: &[],
        edge_keys: &[],
        canaries: &[],
        cors: None,
        rules: &[],
    };
    content.build(&edition).unwrap()
}

fn put(content: &mut Content, seed: u64) {
    let (id, digest) = key(seed as u8);
    content.put(Record::Key {
        id,
        digest,
        binding: Binding {
            project: ProjectNumber(10),
            organization: OrganizationNumber(1),
            role: Some(Role::Member),
            permissions: PermissionSet::of_key(Role::Member),
        },
        expiry: None,
        state: KeyState::Active,
        out_of_budget: false,
        narrowing: None,
    });
}

fn key(seed: u8) -> (KeyId, KeyDigest) {
    let mut dice = Dice::from_seed(&[seed; 32]);
    let prefix = Prefix::parse("lk").unwrap();
    let plain = PlainKey::generate(&prefix, 1, &MintSecret::new([9; 32]), &mut dice);
    (plain.id(), plain.digest())
}

struct Head1 {
    root_version: u32,
    release: u8,
    head: u8,
    as_of: UnixMillis,
    inline: Vec<Inline>,
}

impl Default for Head1 {
    fn default() -> Self {
        Self { root_version: 1, release: 2, head: 3, as_of: NOW, inline: Vec::new() }
    }
}

impl Head1 {
    fn over(&self, generation: u64) -> Vec<u8> {
        self.naming(generation, built(generation).manifest.reference, None, None)
    }

    fn naming(
        &self,
        generation: u64,
        manifest: ObjectRef,
        tip: Option<ObjectRef>,
        previous: Option<Previous>,
    ) -> Vec<u8> {
        let statement = StatementContent {
            installation: Installation([7; 16]),
            generation: Generation(generation),
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(3600),
            manifest,
            tip,
            previous,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(self.release)]).unwrap();
        let content = HeadContent {
            root_version: self.root_version,
            as_of: self.as_of,
            statement: &statement,
            inline: &self.inline,
        };
        content.sign(&[&signer(self.head)]).unwrap()
    }

    fn later(ms: u64) -> Self {
        Self { as_of: NOW.plus_ms(ms), ..Self::default() }
    }
}

/// A ledger with the storage that a hub would have.
struct Hub {
    ledger: Ledger,
    stored: RefCell<BTreeMap<ObjectDigest, Vec<u8>>>,
}

impl Hub {
    fn new() -> Self {
        let ledger = Ledger::open(&root_bytes(1, [1, 2, 3]), Stored::default(), &|_| None).unwrap();
        Self { ledger, stored: RefCell::default() }
    }

    /// With everything of these generations pushed, one after the other.
    fn at(generations: &[u64]) -> Self {
        let mut hub = Self::new();
        for generation in generations {
            let _ = hub.head(&Head1::default().over(*generation));
            hub.all_of(*generation);
            hub.head(&Head1::default().over(*generation)).unwrap();
        }
        hub
    }

    fn all_of(&mut self, generation: u64) {
        let built = built(generation);
        self.object(&built.manifest.bytes).unwrap();
        for object in &built.objects {
            self.object(&object.bytes).unwrap();
        }
    }

    /// What is missing, if anything.
    fn head(&mut self, bytes: &[u8]) -> Result<Vec<ObjectDigest>, Refusal> {
        let stored = &self.stored;
        let read = |digest: &ObjectDigest| stored.borrow().get(digest).cloned();
        match self.ledger.judge_head(bytes, NOW, &read)? {
            HeadJudgement::Held => Ok(Vec::new()),
            HeadJudgement::Take(change) => {
                self.ledger.apply_head(change, NOW);
                Ok(Vec::new())
            }
            HeadJudgement::Await(change, missing) => {
                self.ledger.apply_head(change, NOW);
                Ok(missing)
            }
        }
    }

    fn object(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.object_as(&ObjectDigest::of(bytes), bytes)
    }

    fn object_as(&mut self, digest: &ObjectDigest, bytes: &[u8]) -> Result<(), Refusal> {
        let stored = &self.stored;
        let read = |digest: &ObjectDigest| stored.borrow().get(digest).cloned();
        if let Some(change) = self.ledger.judge_object(digest, bytes, &read)? {
            stored.borrow_mut().insert(*digest, bytes.to_vec());
            self.ledger.apply_object(change);
        }
        Ok(())
    }

    fn generation(&self) -> Option<u64> {
        self.ledger.head().map(|head| head.statement.generation.0)
    }
}

#[test]
fn head_is_taken_once_all_that_it_leads_to_is_held() {
    let mut hub = Hub::new();
    let head = Head1::default().over(3);
    let built = built(3);
    assert_eq!(hub.head(&head), Ok(vec![built.manifest.reference.digest()]));
    assert_eq!(hub.generation(), None);
    hub.object(&built.manifest.bytes).unwrap();
    let mut objects = built.objects.iter();
    while let Ok(missing) = hub.head(&head) {
        let Some(object) = objects.next() else { break };
        assert!(missing.contains(&object.reference.digest()));
        hub.object(&object.bytes).unwrap();
    }
    assert_eq!((hub.generation(), hub.head(&head)), (Some(3), Ok(Vec::new())));
}

#[test]
fn object_that_nobody_named_is_refused() {
    let mut hub = Hub::new();
    let built = built(3);
    assert_eq!(hub.object(&built.manifest.bytes), Err(Refusal::NotNamed));
    hub.head(&Head1::default().over(3)).unwrap();
    assert_eq!(hub.object(&built.objects[0].bytes), Err(Refusal::NotNamed));
    assert_eq!(hub.object(b"anything"), Err(Refusal::NotNamed));
}

#[test]
fn flipped_or_truncated_object_is_refused() {
    let mut hub = Hub::new();
    hub.head(&Head1::default().over(3)).unwrap();
    let object = built(3).manifest;
    let digest = object.reference.digest();
    let mut flipped = object.bytes.to_vec();
    flipped[30] ^= 1;
    assert_eq!(hub.object_as(&digest, &flipped).unwrap_err().code(), "object_digest");
    assert_eq!(hub.object_as(&digest, &flipped[1..]).unwrap_err().code(), "object_length");
    assert!(!hub.ledger.holds(&digest));
}

#[test]
fn young_head_over_the_held_statement_is_taken_while_another_awaits_its_objects() {
    let mut hub = Hub::at(&[3]);
    assert!(!hub.head(&Head1::default().over(4)).unwrap().is_empty());
    let young = Head1::later(900).over(3);
    assert_eq!(hub.head(&young), Ok(Vec::new()));
    assert_eq!(hub.ledger.head_bytes(), Some(young.as_slice()));
    assert!(hub.ledger.awaited().is_some_and(|(generation, _)| generation.0 == 4));
    hub.all_of(4);
    assert_eq!(hub.head(&Head1::later(1).over(4)), Ok(Vec::new()));
    assert_eq!((hub.generation(), hub.ledger.awaited()), (Some(4), None));
}

#[test]
fn older_and_conflicting_heads_are_refused() {
    let mut hub = Hub::at(&[3, 4]);
    assert_eq!(hub.head(&Head1::default().over(3)), Err(Refusal::Older));
    assert_eq!(
        hub.head(&Head1 { as_of: UnixMillis(NOW.0 - 1), ..Head1::default() }.over(4)),
        Err(Refusal::Older)
    );
    let inline = Inline {
        generation: Generation(9),
        subject: latchkey_snapshot::InlineSubject::Tag([1; 10]),
        reason: latchkey_snapshot::Reason::Revoked,
    };
    let other = Head1 { inline: vec![inline], ..Head1::default() }.over(4);
    assert_eq!(hub.head(&other), Err(Refusal::Conflict));
    assert_eq!(hub.head(&Head1::default().over(4)), Ok(Vec::new()));
}

#[test]
fn awaited_statement_gives_way_to_a_newer_one_only() {
    let mut hub = Hub::at(&[3]);
    hub.head(&Head1::default().over(5)).unwrap();
    assert_eq!(hub.head(&Head1::default().over(4)), Err(Refusal::Older));
    hub.head(&Head1::default().over(6)).unwrap();
    assert!(hub.ledger.awaited().is_some_and(|(generation, _)| generation.0 == 6));
}

#[test]
fn head_of_the_future_or_of_a_stranger_is_refused() {
    let mut hub = Hub::new();
    assert!(hub.head(&Head1::later(1000).over(3)).is_ok());
    assert_eq!(hub.head(&Head1::later(1001).over(3)), Err(Refusal::AsOfAhead { ahead_ms: 1001 }));
    let by = |release, head| Head1 { release, head, ..Head1::default() }.over(3);
    assert_eq!(hub.head(&by(9, 3)), Err(Refusal::Head(HeadError::StatementSignatures)));
    assert_eq!(hub.head(&by(2, 9)), Err(Refusal::Head(HeadError::HeadSignatures)));
    assert_eq!(hub.head(&by(3, 2)).unwrap_err().fault(), Fault::Bytes);
}

#[test]
fn every_flipped_bit_of_a_head_is_refused() {
    let mut hub = Hub::new();
    let head = Head1::default().over(2);
    for bit in 0..head.len() * 8 {
        let mut flipped = head.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(hub.head(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn root_is_taken_one_by_one_and_outranks_the_heads_before_it() {
    let mut hub = Hub::at(&[3]);
    let second = {
        let old = root_bytes(1, [1, 2, 3]);
        assert!(matches!(hub.ledger.judge_root(1, &old), Ok(RootJudgement::Held)));
        root_bytes(2, [1, 4, 5])
    };
    assert!(matches!(hub.ledger.judge_root(3, &second), Err(Refusal::RootMissing { version: 2 })));
    assert!(matches!(hub.ledger.judge_root(1, &second), Err(Refusal::Conflict)));
    let stranger = root_bytes(2, [8, 4, 5]);
    assert_eq!(hub.ledger.judge_root(2, &stranger).err().unwrap().code(), "root_predecessor_signatures");
    let Ok(RootJudgement::Take(change)) = hub.ledger.judge_root(2, &second) else { panic!("refused") };
    hub.ledger.apply_root(change, NOW);
    assert_eq!(hub.head(&Head1::later(5).over(4)), Err(Refusal::Older));
    assert_eq!(hub.generation(), Some(3));
    let new = Head1 { root_version: 2, release: 4, head: 5, ..Head1::default() };
    assert_eq!(hub.head(&new.over(3)), Ok(Vec::new()));
    let ahead = Head1 { root_version: 3, ..new };
    assert_eq!(hub.head(&ahead.over(3)), Err(Refusal::RootMissing { version: 3 }));
}

#[test]
fn ledger_reopens_as_it_was() {
    let hub = Hub::at(&[3]);
    let stored = || Stored {
        current: hub.ledger.head_bytes().map(<[u8]>::to_vec),
        objects: hub.ledger.objects.clone(),
        ..Stored::default()
    };
    let read = |digest: &ObjectDigest| hub.stored.borrow().get(digest).cloned();
    let again = Ledger::open(&root_bytes(1, [1, 2, 3]), stored(), &read).unwrap();
    assert_eq!(again.head_bytes(), hub.ledger.head_bytes());
    assert_eq!(again.judge_sweep(NOW), Sweep::default());
    let foreign = Ledger::open(&root_bytes(1, [7, 8, 9]), stored(), &read).unwrap();
    assert!(foreign.head().is_none());
}

#[test]
fn what_nothing_names_is_deleted_after_grace_and_an_hour() {
    let mut hub = Hub::at(&[3, 4]);
    let old = built(3).manifest.reference.digest();
    let due = hub.ledger.next_sweep().unwrap();
    assert_eq!(due, NOW.plus_ms((900 + 3600) * 1000));
    assert_eq!(hub.ledger.judge_sweep(UnixMillis(due.0 - 1)), Sweep::default());
    let sweep = hub.ledger.judge_sweep(due);
    assert!(sweep.deleted.contains(&old));
    hub.ledger.apply_sweep(&sweep, due);
    assert!(!hub.ledger.holds(&old) && hub.ledger.next_sweep().is_none());
    assert_eq!(hub.generation(), Some(4));
    assert_eq!(hub.ledger.first_missing(&hub.ledger.current.as_ref().unwrap().stems, &[]), Vec::new());
}
