//! The cap on memory: pages are let go and fetched again, what is in use stays, and nothing grows.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::{Narrowing, NarrowingContent};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::{KeyState, ResourcePattern};

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

/// More than twice as many bytes of pages as a gate with the least memory may hold, by keys with long narrowings.
pub(crate) fn crowded() -> (Stage, Vec<Key>) {
    let mut stage = Stage::new();
    let keys =
        (0..400).map(|at| stage.add_key_with(1 + at % 2, Role::Member, |key| key.narrowing = wide(at)));
    let keys = keys.collect();
    stage.publish();
    (stage, keys)
}

/// Six kilobytes that narrow to resources whose names begin with the number.
fn wide(number: u32) -> Option<Narrowing> {
    let texts: Vec<String> = (0..64).map(|at| format!("{number:04}-{at:02}-{}", "x".repeat(88))).collect();
    let pattern = |text| ResourcePattern {
        resource: ResourceType::File,
        matching: Matching::Exact,
        text: ResourceId::parse(text).unwrap(),
    };
    let resources: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
    narrowing(NarrowingContent { resources: &resources, ..NarrowingContent::default() })
}

pub(crate) fn small_gate(stage: &Stage) -> Gate {
    Gate::new(GateConfig { memory_bytes_max: MEMORY_BYTES_MIN, ..stage.config() }).unwrap()
}

#[track_caller]
fn assert_within_cap(shell: &Shell, stage: &Stage) {
    let bytes = shell.gate.status(stage.now).memory_bytes;
    assert!(bytes <= MEMORY_BYTES_MIN as u64, "{bytes} bytes");
}

#[test]
fn less_memory_than_the_least_is_refused() {
    let stage = Stage::new();
    for memory_bytes_max in [0, MEMORY_BYTES_MIN - 1] {
        let refused = Gate::new(GateConfig { memory_bytes_max, ..stage.config() }).map(drop);
        assert_eq!(refused, Err(ConfigError::Memory(memory_bytes_max)));
    }
    small_gate(&stage);
}

#[test]
fn loading_behind_answers_stops_before_the_cap_and_evicts_nothing() {
    let (stage, _) = crowded();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert!(shell.gate.wanted(10).is_empty() && status.evictions == 0);
    assert!(status.pages_held > 10 && status.pages_held * 2 < status.pages_named, "{status:?}");
    let limit = (MEMORY_BYTES_MIN - MEMORY_BYTES_MIN / 8) as u64;
    assert!(status.memory_bytes <= limit && status.memory_bytes > limit - 100_000, "{status:?}");
}

/// The pages of keys alone do not fit; they must not keep the few others out.
#[test]
fn small_kinds_are_loaded_though_a_large_one_does_not_fit() {
    let (mut stage, _) = crowded();
    stage.add_resource(1, ResourceType::File, "file");
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    stage.publish();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert!(status.pages_held * 2 < status.pages_named && status.evictions == 0, "{status:?}");
    assert_eq!(status.nodes_held, status.nodes_named);
    assert_within_cap(&shell, &stage);
    shell.network = Line::ObjectsDown;
    let token = stage.token_of(&person);
    let verdict = shell.route(&mut stage, &token, "GET", "/v1/both/projects/alpha/files/file");
    let binding = assert_allowed(&verdict).binding;
    assert!(shell.project_name(&stage, &binding).is_some());
}

#[test]
fn evicted_pages_come_back_when_they_are_needed() {
    let (mut stage, keys) = crowded();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    stage.set_state(&keys[7], KeyState::Revoked);
    stage.publish_delta();
    shell.refresh(&stage);
    for round in 0..2 {
        for (at, key) in keys.iter().enumerate() {
            stage.now = stage.now.plus_ms(10);
            let verdict = shell.invoke(&mut stage, &key.text);
            if at == 7 {
                assert_refused(&verdict, Refusal::OutOfForce(Reason::Revoked));
            } else {
                assert_fresh(&verdict);
            }
            assert_within_cap(&shell, &stage);
        }
        let status = shell.gate.status(stage.now);
        assert!(status.evictions > 20 * (round + 1), "{status:?}");
    }
}

#[test]
fn page_in_use_stays_while_others_come_and_go() {
    let (mut stage, keys) = crowded();
    let mut shell = Shell::new(small_gate(&stage));
    assert_fresh(&shell.invoke(&mut stage, &keys[0].text));
    let (mut fetched, mut again) = (0, 0);
    for key in keys.iter().cycle().skip(1).take(450) {
        stage.now = stage.now.plus_ms(10);
        let before = shell.objects;
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        fetched += shell.objects - before;
        let before = shell.objects;
        assert_fresh(&shell.invoke(&mut stage, &keys[0].text));
        again += shell.objects - before;
    }
    assert!(fetched > 50 && again == 0, "{fetched} fetched, {again} of the page in use");
}

#[test]
fn request_that_needs_every_kind_of_page_is_answered_however_full_memory_is() {
    let (mut stage, keys) = crowded();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    let mut shell = Shell::new(small_gate(&stage));
    for key in keys.iter().take(150) {
        stage.now = stage.now.plus_ms(10);
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        let token = stage.token_of(&person);
        let verdict = shell.route(&mut stage, &token, "GET", "/v1/both/projects/alpha/files/file");
        assert_fresh(&verdict);
        assert_within_cap(&shell, &stage);
    }
}

#[test]
fn page_of_a_canary_is_never_let_go() {
    let (mut stage, keys) = crowded();
    stage.canaries = vec![stage.canary(&keys[0])];
    stage.publish();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    for key in keys.iter().cycle().skip(1).take(450) {
        stage.now = stage.now.plus_ms(10);
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
    assert!(shell.gate.status(stage.now).evictions > 20);
    shell.network = Line::ObjectsDown;
    assert_fresh(&shell.invoke(&mut stage, &keys[0].text));
}

#[test]
fn memory_stays_flat_over_many_refreshes() {
    let (mut stage, keys) = crowded();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    let before = shell.gate.status(stage.now);
    for round in 0..120 {
        stage.now = after(1 + round * 500);
        stage.set_state(&keys[round as usize], KeyState::Disabled);
        match round % 20 {
            0 => stage.publish(),
            7 | 14 => {
                stage.publish_delta();
                stage.seal();
            }
            _ => stage.publish_delta(),
        }
        shell.refresh(&stage);
        let verdict = shell.invoke(&mut stage, &keys[round as usize].text);
        assert_refused(&verdict, Refusal::OutOfForce(Reason::Disabled));
        assert_within_cap(&shell, &stage);
    }
    let after = shell.gate.status(stage.now);
    assert_eq!((after.generation, after.nodes_held), (Some(stage.generation), before.nodes_held));
}
