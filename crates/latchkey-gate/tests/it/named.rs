//! What is named of the snapshot that serves is all that a gate needs which starts with it, and nothing else.

use crate::memory::{crowded, small_gate};
use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use std::collections::BTreeSet;

fn named(gate: &Gate) -> BTreeSet<latchkey_snapshot::ObjectDigest> {
    gate.named().unwrap().into_iter().collect()
}

/// A gate that can have nothing but what is named has everything.
#[track_caller]
fn assert_suffices(mut stage: Stage, gate: &Gate) {
    let named = named(gate);
    stage.objects.retain(|digest, _| named.contains(digest));
    assert_eq!(stage.objects.len(), named.len(), "each is an object that was published");
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.generation, status.health), (Some(stage.generation), Health::Fresh));
    assert_eq!(status.pages_held, status.pages_named);
}

#[test]
fn nothing_is_named_before_all_of_it_is_known() {
    let (mut stage, _) = crowded();
    let mut shell = Shell::new(stage.gate());
    assert_eq!(shell.gate.named(), None);
    shell.refresh(&stage);
    shell.load(&stage);
    assert!(shell.gate.named().is_some());
    stage.add_key(1, Role::Member);
    stage.publish_delta();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    // The delta is on its way.
    assert_eq!(shell.gate.named(), None);
}

#[test]
fn what_is_named_suffices_for_a_gate_that_starts_with_it() {
    let (mut stage, _) = crowded();
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    for _ in 0..3 {
        stage.add_key(1, Role::Member);
        stage.publish_delta();
    }
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    shell.load(&stage);
    assert_suffices(stage, &shell.gate);
}

#[test]
fn pages_that_find_no_room_are_named_all_the_same() {
    let (stage, _) = crowded();
    let mut shell = Shell::new(small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert!(status.pages_held < status.pages_named);
    assert_suffices(stage, &shell.gate);
}
