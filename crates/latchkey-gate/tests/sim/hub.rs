//! Where heads and objects are kept: the hub, which is the real ledger over a storage that outlives its restarts; or a
//! directory, which takes a head once all that the publisher says it names is there.

use crate::authority::INSTALLATION;
use crate::edition::release_signer;
use crate::signer::head_signer;
use latchkey_core::*;
use latchkey_push::Ledger;
use latchkey_push::ledger::{HeadChange, HeadJudgement, MISSING_LISTED_MAX, Refusal, Stored};
use latchkey_snapshot::build::{RootContent, Signer};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Head, ObjectDigest, Root, UnverifiedHead};
use std::collections::BTreeMap;

/// What becomes of a head that is pushed.
pub(crate) enum Pushed {
    Taken,
    Missing(Vec<ObjectDigest>),
    /// A newer one is held, with this generation and `as_of`.
    Older(Generation, UnixMillis),
    Refused,
}

pub(crate) struct Hub {
    /// `None`: a directory.
    ledger: Option<Ledger>,
    current: Option<Vec<u8>>,
    pending: Option<Vec<u8>>,
    objects: BTreeMap<ObjectDigest, Vec<u8>>,
}

impl Hub {
    pub(crate) fn new(is_directory: bool) -> Self {
        let objects = BTreeMap::new();
        let ledger = (!is_directory).then(|| open(Stored::default(), &objects));
        Self { ledger, current: None, pending: None, objects }
    }

    /// Forgets whatever is only in memory.
    pub(crate) fn restart(&mut self) {
        if self.ledger.is_none() {
            return;
        }
        let stored = Stored {
            roots: Vec::new(),
            current: self.current.clone(),
            pending: self.pending.clone(),
            objects: self.objects.keys().map(|digest| (*digest, None)).collect(),
        };
        self.ledger = Some(open(stored, &self.objects));
    }

    pub(crate) fn put_head(&mut self, bytes: &[u8], named: &[ObjectDigest], now: UnixMillis) -> Pushed {
        let Some(ledger) = &self.ledger else { return self.put_head_file(bytes, named) };
        let judged = ledger.judge_head(bytes, now, &|digest| self.objects.get(digest).cloned());
        match judged {
            Ok(HeadJudgement::Held) => Pushed::Taken,
            Ok(HeadJudgement::Take(change)) => {
                self.store(change, now);
                Pushed::Taken
            }
            Ok(HeadJudgement::Await(change, missing)) => {
                self.store(change, now);
                assert!(missing.len() <= MISSING_LISTED_MAX);
                Pushed::Missing(missing)
            }
            Err(Refusal::Older | Refusal::Conflict) => {
                let held = ledger.newest_head();
                let (generation, as_of) = held
                    .map_or((Generation(0), UnixMillis(0)), |head| (head.statement.generation, head.as_of));
                Pushed::Older(generation, as_of)
            }
            Err(_) => Pushed::Refused,
        }
    }

    fn put_head_file(&mut self, bytes: &[u8], named: &[ObjectDigest]) -> Pushed {
        let missing: Vec<_> =
            named.iter().copied().filter(|digest| !self.objects.contains_key(digest)).collect();
        if !missing.is_empty() {
            return Pushed::Missing(missing);
        }
        let head = verified(bytes);
        if let Some(held) = self.current.as_deref().map(verified)
            && held.rank() >= head.rank()
            && held.digest != head.digest
        {
            return Pushed::Older(held.statement.generation, held.as_of);
        }
        self.current = Some(bytes.to_vec());
        Pushed::Taken
    }

    /// Whether the object is held now.
    pub(crate) fn put_object(&mut self, digest: &ObjectDigest, bytes: &[u8], _: UnixMillis) -> bool {
        let Some(ledger) = &mut self.ledger else {
            self.objects.insert(*digest, bytes.to_vec());
            return true;
        };
        let judged = ledger.judge_object(digest, bytes, &|digest| self.objects.get(digest).cloned());
        match judged {
            Ok(None) => true,
            Ok(Some(change)) => {
                self.objects.insert(*digest, bytes.to_vec());
                ledger.apply_object(change);
                true
            }
            // What awaited it may have been overtaken.
            Err(Refusal::NotNamed) => true,
            Err(_) => false,
        }
    }

    pub(crate) fn head(&self) -> Option<Vec<u8>> {
        match &self.ledger {
            Some(ledger) => ledger.head_bytes().map(<[u8]>::to_vec),
            None => self.current.clone(),
        }
    }

    pub(crate) fn object(&self, digest: &ObjectDigest) -> Option<Vec<u8>> {
        self.objects.get(digest).cloned()
    }

    fn store(&mut self, change: HeadChange, now: UnixMillis) {
        self.current = change.current().map(|(_, bytes)| bytes.to_vec());
        self.pending = change.pending().map(|(_, bytes)| bytes.to_vec());
        if let Some(ledger) = &mut self.ledger {
            ledger.apply_head(change, now);
        }
    }
}

fn open(stored: Stored, objects: &BTreeMap<ObjectDigest, Vec<u8>>) -> Ledger {
    Ledger::open(&root(), stored, &|digest| objects.get(digest).cloned()).unwrap()
}

/// A head that was signed here.
pub(crate) fn verified(bytes: &[u8]) -> Head {
    UnverifiedHead::parse(bytes).unwrap().verify(&Root::pinned(&root()).unwrap()).unwrap()
}

/// The root that everybody is pinned to.
pub(crate) fn root() -> Vec<u8> {
    let offline = Signer::from_seed(&[1; 32]);
    let key = |signer: &Signer, role| RootKey {
        public: signer.public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    };
    let content = RootContent {
        installation: INSTALLATION,
        version: 1,
        issued: UnixSeconds(1000),
        thresholds: [1, 1, 1],
        keys: vec![
            key(&offline, KeyRole::Offline),
            key(&release_signer(), KeyRole::Release),
            key(&head_signer(), KeyRole::Head),
        ],
    };
    content.sign(&[&offline]).unwrap()
}
