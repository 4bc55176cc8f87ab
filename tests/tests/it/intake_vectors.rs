//! The gate against tests/vectors: where nodes and pages stand, what is refused though it is verified, what is kept,
//! and what refuses though it does not serve.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use crate::vectors::{array, by_digest, file, list, number, small, text, unhex};
use latchkey_control::publish::{PublishedError, Snapshot, Source, SourceError};
use latchkey_core::key::Prefix;
use latchkey_core::{Generation, MintSecret, OrganizationNumber, Pepper, UnixMillis, UnixSeconds};
use latchkey_gate::{Floor, Gate, GateConfig, HeadRefusal, MEMORY_BYTES_DEFAULT, ObjectRefusal, Wanted};
use latchkey_snapshot::build::{
    Content, Edition, HeadContent, Object, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::head::{Inline, InlineSubject, Reason};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;
use serde_json::{Value, json};
use std::collections::HashMap;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const INSTALLATION: Installation = Installation([7; 16]);

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

/// The head key of the first root.
const HEAD_KEY: u8 = 3;

/// A root of the keys 1 offline, 2 release, and this one for heads.
fn root(version: u32, head_key: u8) -> Vec<u8> {
    let key = |seed: u8, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(head_key, KeyRole::Head)];
    let content =
        RootContent { installation: INSTALLATION, version, issued: NOW.seconds(), thresholds: [1; 3], keys };
    content.sign(&[&signer(1)]).unwrap()
}

fn gate(pepper: Pepper, floor: Floor) -> Gate {
    let mint = MintSecret::new([1; 32]);
    let memory_bytes_max = MEMORY_BYTES_DEFAULT;
    let root = root(1, HEAD_KEY);
    Gate::new(GateConfig { root, peppers: vec![pepper], mint, floor, memory_bytes_max, seed: 1 }).unwrap()
}

/// The parts of a head that a case states.
struct Head<'a> {
    root_version: u32,
    as_of: UnixMillis,
    generation: Generation,
    manifest: ObjectRef,
    tip: Option<ObjectRef>,
    inline: &'a [Inline],
    head_key: u8,
}

impl Head<'_> {
    fn sign(&self) -> Vec<u8> {
        let statement = StatementContent {
            installation: INSTALLATION,
            generation: self.generation,
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(3600),
            manifest: self.manifest,
            tip: self.tip,
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(2)]).unwrap();
        let Self { root_version, as_of, inline, .. } = *self;
        HeadContent { root_version, as_of, statement: &statement, inline }
            .sign(&[&signer(self.head_key)])
            .unwrap()
    }
}

/// Hands in whatever the gate wants of these, until it wants nothing more that is here.
fn feed(
    gate: &mut Gate,
    objects: &HashMap<ObjectDigest, Vec<u8>>,
    now: UnixMillis,
) -> Result<(), ObjectRefusal> {
    let mut failed: Vec<Wanted> = Vec::new();
    loop {
        let wanted = gate.wanted(usize::MAX).into_iter().find(|wanted| !failed.contains(wanted));
        let Some(wanted) = wanted else { return Ok(()) };
        match objects.get(&wanted.reference().digest()) {
            Some(bytes) => gate.accept_object(&wanted, bytes, now)?,
            None => {
                gate.object_failed(&wanted, now);
                failed.push(wanted);
            }
        }
    }
}

#[test]
fn place_vectors_hold() {
    let pepper = Pepper::new(array(&file("snapshot/lookup.json")["pepper"]));
    let (mut accepted, mut refused) = (0, 0);
    for case in list(&file("snapshot/place.json")["cases"]) {
        let manifest = unhex(&case["manifest"]);
        let mut objects = by_digest(&case["objects"]);
        let reference = ObjectRef::to(&manifest);
        objects.insert(reference.digest(), manifest);
        let mut gate = gate(pepper.clone(), Floor::default());
        let head = Head {
            root_version: 1,
            as_of: NOW,
            generation: Generation(5),
            manifest: reference,
            tip: None,
            inline: &[],
            head_key: HEAD_KEY,
        };
        gate.accept_head(&head.sign(), NOW).unwrap();
        let fed = feed(&mut gate, &objects, NOW);
        let status = gate.status(NOW);
        match fed {
            Ok(()) => {
                let said = json!([status.nodes_held, status.pages_held]);
                assert_eq!(
                    said,
                    json!([case["accepted"]["nodes"], case["accepted"]["pages"]]),
                    "{}",
                    case["name"]
                );
                accepted += 1;
            }
            Err(refusal) => {
                let why = match refusal {
                    ObjectRefusal::Misplaced => "place",
                    ObjectRefusal::Records => "records",
                    ObjectRefusal::SectionRecords => "section records",
                    other => panic!("{}: {other:?}", case["name"]),
                };
                assert_eq!(why, case["refused"]["reason"], "{}", case["name"]);
                refused += 1;
            }
        }
    }
    assert!(accepted > 3 && refused > 10);
}

/// The inline revocations of a step.
fn inline(step: &Value) -> Vec<Inline> {
    let first = number(&step["inline"]["first"]);
    let entry = |generation: u64| Inline {
        generation: Generation(generation),
        subject: InlineSubject::Organization(OrganizationNumber(generation as u32)),
        reason: Reason::Suspended,
    };
    (0..number(&step["inline"]["count"])).map(|nth| entry(first + nth)).collect()
}

/// A base without content.
fn empty_base(generation: Generation) -> Object {
    let mut content = Content::new(Pepper::new([0x55; 32]));
    let edition = Edition {
        installation: INSTALLATION,
        generation,
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
    content.build(&edition).unwrap().manifest
}

#[test]
fn intake_vectors_hold() {
    for case in list(&file("snapshot/intake.json")["cases"]) {
        let floor = Floor {
            root_version: small(&case["floor"]["root_version"]),
            generation: Generation(number(&case["floor"]["generation"])),
        };
        let (mut gate, mut head_key) = (gate(Pepper::new([0x55; 32]), floor), HEAD_KEY);
        for (at, step) in list(&case["steps"]).iter().enumerate() {
            let generation = Generation(number(&step["generation"]));
            let base = empty_base(generation);
            // A root that does not vouch for what came names another key.
            head_key += u8::from(step["vouches"] == false);
            let head = Head {
                root_version: small(&step["root_version"]),
                as_of: UnixMillis(number(&step["as_of"])),
                generation,
                manifest: base.reference,
                tip: None,
                inline: &inline(step),
                head_key,
            };
            while gate.status(NOW).root_version < head.root_version {
                gate.accept_root(&root(gate.status(NOW).root_version + 1, head_key)).unwrap();
            }
            let outcome = match gate.accept_head(&head.sign(), NOW) {
                Ok(_) => "taken",
                Err(HeadRefusal::FromTheFuture { .. }) => "as of",
                Err(HeadRefusal::BelowFloor) => "floor",
                Err(HeadRefusal::Older) => "older",
                Err(HeadRefusal::Forked) => "forked",
                Err(HeadRefusal::TooManyInline) => "inline",
                Err(HeadRefusal::Head(HeadError::RootVersion { .. })) => "root version",
                Err(other) => panic!("{}, step {at}: {other:?}", case["name"]),
            };
            if step["serves"] == true {
                feed(&mut gate, &HashMap::from([(base.reference.digest(), base.bytes.to_vec())]), NOW)
                    .unwrap();
                assert_eq!(gate.status(NOW).generation, Some(generation));
            }
            let said = json!([outcome, gate.status(NOW).inline]);
            assert_eq!(said, json!([step["outcome"], step["kept"]]), "{}, step {at}", case["name"]);
        }
    }
}

#[test]
fn held_back_vectors_hold() {
    let file = file("snapshot/held.json");
    let mut all = by_digest(&file["manifests"]);
    all.extend(by_digest(&file["objects"]));
    all.extend(by_digest(&file["deltas"]));
    let named = |named: &Value| {
        let digest = ObjectDigest::parse_hex(text(named.get("digest")?)).unwrap();
        Some(ObjectRef::to(&all[&digest]))
    };
    for case in list(&file["cases"]) {
        let mut gate = gate(Pepper::new(array(&file["pepper"])), Floor::default());
        for (at, step) in list(&case["steps"]).iter().enumerate() {
            // What was lacking rests for a while.
            let now = NOW.plus_ms(60_000 * at as u64);
            let head = Head {
                root_version: 1,
                as_of: now,
                generation: Generation(number(&step["generation"])),
                manifest: named(&step["manifest"]).unwrap(),
                tip: named(&step["tip"]),
                inline: &[],
                head_key: HEAD_KEY,
            };
            gate.accept_head(&head.sign(), now).unwrap();
            let lacking: Vec<&str> = list(&step["lacking"]).iter().map(text).collect();
            let here = all.iter().filter(|(digest, _)| !lacking.contains(&digest.to_string().as_str()));
            let here = here.map(|(digest, bytes)| (*digest, bytes.clone())).collect();
            while let Err(refusal) = feed(&mut gate, &here, now) {
                assert!(matches!(refusal, ObjectRefusal::NotAdopted(_)), "{refusal:?}");
            }
            let status = gate.status(now);
            let name = format!("{}, step {at}", case["name"]);
            assert_eq!(status.generation, Some(Generation(number(&step["serves"]))), "{name}");
            assert_eq!(status.removed_ahead, list(&step["refused"]).len(), "{name}");
        }
    }
}

/// A place that holds a head, and roots by version.
struct Roots(Vec<u8>, Vec<Vec<u8>>);

impl Source for Roots {
    fn name(&self) -> &str {
        "roots"
    }

    fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.1.get(version as usize - 1).cloned())
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Some(self.0.clone()))
    }

    fn object(&self, _: ObjectDigest, _: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }
}

#[test]
fn successors_in_a_row_are_followed_as_the_vectors_say() {
    let file = file("snapshot/root.json");
    let roots: Vec<Vec<u8>> = list(&file["successors"]).iter().map(unhex).collect();
    for case in list(&file["in_a_row"]) {
        let head = Head {
            root_version: small(&case["named"]),
            as_of: NOW,
            generation: Generation(5),
            manifest: ObjectRef::to(b"not here"),
            tip: None,
            inline: &[],
            head_key: HEAD_KEY,
        };
        // No root beyond the head's: that would outrank it.
        let held = roots.iter().take(head.root_version as usize).cloned().collect();
        let source = Roots(head.sign(), held);
        // A root that is reached verifies the head, and what that names is not there.
        match Snapshot::read(&roots[..1], &source).unwrap_err() {
            PublishedError::Missing { .. } => assert_eq!(case["accepted"], case["named"], "{}", case["name"]),
            PublishedError::TooManyRoots => {
                assert_eq!(case["refused"]["reason"], "too many", "{}", case["name"]);
            }
            other => panic!("{}: {other}", case["name"]),
        }
    }
}
