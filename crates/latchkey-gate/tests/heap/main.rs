//! The memory of a gate that cannot adopt what is published, counted by the allocator and not by the gate. One test
//! alone in its process, since everything there is counted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "made for the tests of `it`")]
#[path = "../it/stage.rs"]
mod stage;

use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::NarrowingContent;
use latchkey_snapshot::{Canary, Expected, KeyState, ObjectRef, ResourcePattern};
use stage::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CAP_BYTES: usize = 2 << 20;
/// What the gate's estimate may be short of.
const SLACK_BYTES: isize = (CAP_BYTES / 4) as isize;
const BASES: usize = 120;
const DELTAS_A_BASE: usize = 3;
const REMOVALS_A_DELTA: u32 = 10_000;

/// A gate and what it really holds.
struct Counted {
    shell: Shell,
    bytes: isize,
    most: isize,
}

impl Counted {
    fn new(stage: &Stage, peppers: Vec<Pepper>) -> Self {
        let region = Region::new(HEAP);
        let config = GateConfig { memory_bytes_max: CAP_BYTES, peppers, ..stage.config() };
        let shell = Shell::new(Gate::new(config).unwrap());
        let mut counted = Self { shell, bytes: 0, most: 0 };
        counted.note(&region);
        counted
    }

    fn act(&mut self, act: impl FnOnce(&mut Shell)) {
        let region = Region::new(HEAP);
        act(&mut self.shell);
        self.shell.not_adopted = vec![];
        self.note(&region);
    }

    fn note(&mut self, region: &Region<'_, System>) {
        let change = region.change();
        self.bytes += change.bytes_allocated as isize - change.bytes_deallocated as isize;
        self.most = self.most.max(self.bytes);
    }

    /// A look at the head, and what a Worker fetches behind it.
    fn refresh(&mut self, stage: &mut Stage) {
        stage.now = stage.now.plus_ms(REFRESH_EVERY_MS);
        self.act(|shell| {
            let _ = shell.gate.accept_head(&stage.head(), stage.now);
            shell.gate.refresh_ended(stage.now);
            shell.fetch_behind(stage);
        });
    }
}

/// Six kilobytes that narrow to resources whose names begin with the number.
fn wide(number: u32) -> Option<latchkey_snapshot::build::Narrowing> {
    let texts: Vec<String> = (0..64).map(|at| format!("{number:06}-{at:02}-{}", "x".repeat(86))).collect();
    let pattern = |text| ResourcePattern {
        resource: ResourceType::File,
        matching: Matching::Exact,
        text: ResourceId::parse(text).unwrap(),
    };
    let resources: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
    narrowing(NarrowingContent { resources: &resources, ..NarrowingContent::default() })
}

/// The readable part of a delta over the base that removes resources, and then nothing that could be read.
fn removing(stage: &Stage, base: &Base, from: Generation, first: u32) -> Vec<u8> {
    let reference =
        |reference: &ObjectRef| [&reference.len_bytes().to_le_bytes()[..], &reference.digest().0].concat();
    let mut bytes = b"LKD3".to_vec();
    bytes.extend(stage.installation.0);
    bytes.extend(stage.content.pepper_id());
    bytes.extend(reference(&base.manifest));
    bytes.extend(from.0.to_le_bytes());
    bytes.extend(stage.generation.0.to_le_bytes());
    bytes.extend(base.parent.as_ref().map_or(vec![0; 36], reference));
    bytes.push(0);
    bytes.extend(REMOVALS_A_DELTA.to_le_bytes());
    for number in first..first + REMOVALS_A_DELTA {
        bytes.extend([3, 0]);
        bytes.extend(number.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes.push(0xFF);
    bytes
}

/// Why no base is adopted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Pepper,
    Canary,
    LostPageOfCanary,
    LostManifest,
    LostNames,
    /// All is well but that the gate is never told of what it asks for.
    Silence,
}

fn run(fault: Fault) {
    let mut stage = Stage::new();
    let mut keys: Vec<Key> = (0..150)
        .map(|at| stage.add_key_with(1 + at % 2, Role::Member, |key| key.narrowing = wide(at)))
        .collect();
    let canary = stage.add_imported_key(2, Role::Member, "sk-of-another-system-123456");
    stage.publish();
    let mut counted = Counted::new(&stage, vec![stage.pepper.clone()]);
    counted.refresh(&mut stage);
    counted.act(|shell| shell.load(&stage));
    let (loaded, first) = (counted.bytes, stage.objects.clone());
    assert!(loaded > 1_000_000, "{loaded} bytes");
    if fault == Fault::Pepper {
        stage.content = latchkey_snapshot::build::Content::new(Pepper::new([77; 32]));
        keys.iter().for_each(|key| stage.put_key(key));
        stage.content.take_touched();
    }
    let (mut middle, mut removed) = (0, 0);
    for round in 0..BASES {
        let at = round % keys.len();
        keys[at].state =
            if keys[at].state == KeyState::Active { KeyState::Disabled } else { KeyState::Active };
        stage.put_key(&keys[at]);
        if fault == Fault::LostNames {
            stage.add_project(1000 + round as u32, &format!("project-{round}"));
        }
        stage.canaries = match fault {
            Fault::Canary => {
                let wrong = Expected { binding: keys[0].binding, state: KeyState::Revoked };
                vec![Canary { expected: Some(wrong), ..stage.canary(&keys[0]) }]
            }
            Fault::LostPageOfCanary => {
                let query = latchkey_snapshot::Query::imported_key(&stage.pepper, &canary.imported.unwrap());
                vec![Canary { query, ..stage.canary(&canary) }]
            }
            _ => vec![],
        };
        stage.objects.clear();
        stage.publish();
        let new: Vec<_> = stage.objects.iter().filter(|(digest, _)| !first.contains_key(digest)).collect();
        let is_lost = |bytes: &[u8]| match fault {
            Fault::LostManifest => bytes.starts_with(b"LKM"),
            Fault::LostPageOfCanary | Fault::LostNames => bytes.starts_with(b"LKN"),
            Fault::Silence => true,
            Fault::Pepper | Fault::Canary => false,
        };
        let lost: Vec<_> =
            new.into_iter().filter(|(_, bytes)| is_lost(bytes)).map(|(digest, _)| *digest).collect();
        counted.shell.lost = lost.into_iter().map(|digest| (digest, 0)).collect();
        stage.objects.extend(first.clone());
        for nth in 0..DELTAS_A_BASE {
            if fault == Fault::LostNames || nth > 0 {
                stage.put_key(&keys[(at + nth) % keys.len()]);
                stage.publish_delta();
            } else {
                let base = stage.base.clone().unwrap();
                stage.generation = stage.generation.next();
                let bytes = removing(&stage, &base, base.from, removed);
                removed = (removed + 1000) % REMOVALS_A_DELTA;
                let tip = stage.put_object(&bytes);
                stage.base.as_mut().unwrap().tip = Some(tip);
                stage.statement_generation = stage.generation;
                stage.sign_statement();
            }
            counted.refresh(&mut stage);
            let status = counted.shell.gate.status(stage.now);
            let (real, own) = (counted.bytes, status.memory_bytes);
            assert!(
                real <= CAP_BYTES as isize + SLACK_BYTES,
                "{fault:?}: {real} bytes after {round} bases, by its own account {own}: {status:?}"
            );
        }
        if round == BASES / 2 {
            middle = counted.most;
        }
    }
    println!("{fault:?}: {loaded} bytes loaded, {} at most, {} by its own account", counted.most, {
        counted.shell.gate.status(stage.now).memory_bytes
    });
    assert!(counted.most <= middle + middle / 10, "{fault:?}: {middle} at first, then {}", counted.most);
}

#[test]
fn gate_that_can_adopt_nothing_holds_no_more_than_its_cap_however_much_is_published() {
    for fault in [
        Fault::Pepper,
        Fault::Canary,
        Fault::LostPageOfCanary,
        Fault::LostManifest,
        Fault::LostNames,
        Fault::Silence,
    ] {
        run(fault);
    }
}
