//! Objects that cannot be had: they are asked for seldom, and nothing waits behind them.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::KeyState;
use latchkey_snapshot::head::Reason;

const REVOKED: Refusal = Refusal::OutOfForce(Reason::Revoked);
/// Asks of one lost object in 60 s: four pauses of 250 ms, then of 0.5, 1, 2, 4, 8, 16 and 30 s, each up to a quarter shorter.
const ASKS_A_MINUTE_MAX: usize = 12;

/// A minute of looks at the head, and of what is fetched behind them.
fn pass_a_minute(stage: &mut Stage, shell: &mut Shell, mut each: impl FnMut(&mut Stage, &mut Shell)) {
    for _ in 0..60 * 1000 / REFRESH_EVERY_MS {
        stage.now = stage.now.plus_ms(REFRESH_EVERY_MS);
        each(stage, shell);
        let _ = shell.gate.accept_head(&stage.head(), stage.now);
        shell.gate.refresh_ended(stage.now);
        shell.fetch_behind(stage);
    }
}

#[track_caller]
fn assert_seldom(shell: &Shell) {
    for times in shell.lost.values() {
        assert!((8..=ASKS_A_MINUTE_MAX).contains(times), "{times} times in a minute");
    }
}

#[test]
fn lost_pages_are_asked_for_seldom_and_starve_nothing_behind_them() {
    let (mut stage, keys) = crate::memory::crowded();
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    while let [wanted] = shell.gate.wanted(1).as_slice()
        && stage.objects[&wanted.reference().digest()].starts_with(b"LKN")
    {
        shell.fetch(&stage, wanted);
    }
    let front = shell.gate.wanted(4);
    shell.lost = front.iter().map(|wanted| (wanted.reference().digest(), 0)).collect();
    assert_eq!(shell.lost.len(), 4);
    pass_a_minute(&mut stage, &mut shell, |_, _| {});
    assert_seldom(&shell);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.pages_held + 4, status.nodes_held), (status.pages_named, status.nodes_named));
    // A request's own need is another matter: it asks within a ration, rest or no rest.
    let mut refused = 0;
    for key in keys.iter().step_by(5) {
        stage.now = stage.now.plus_ms(20);
        let before = shell.objects;
        let verdict = shell.invoke(&mut stage, &key.text);
        if verdict.outcome == Outcome::Refuse(Refusal::Unavailable(Unavailable::OutOfReach)) {
            refused += 1;
            assert_eq!(shell.objects, before + 1);
        }
    }
    assert!(refused > 0);
    shell.lost.clear();
    for key in keys.iter().step_by(5) {
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
}

#[test]
fn lost_manifest_is_asked_for_seldom_while_its_deltas_are_fetched_as_they_come() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    let others: Vec<Key> = (0..300).map(|_| stage.add_key(2, Role::Member)).collect();
    stage.publish();
    let mut shell = stage.warm_shell();
    stage.publish();
    shell.lost.insert(stage.base.as_ref().unwrap().manifest.digest(), 0);
    let mut revoked = others.iter();
    pass_a_minute(&mut stage, &mut shell, |stage, _| {
        if let Some(other) = revoked.next() {
            stage.set_state(other, KeyState::Revoked);
            stage.publish_delta();
        }
    });
    assert_seldom(&shell);
    assert_stale(&shell.invoke(&mut stage, &key.text));
    for other in others.iter().take(240) {
        assert_refused(&shell.invoke(&mut stage, &other.text), REVOKED);
    }
}

#[test]
fn lost_delta_is_asked_for_seldom_and_the_next_one_at_once() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    stage.publish_delta();
    shell.lost.insert(stage.base.as_ref().unwrap().tip.unwrap().digest(), 0);
    pass_a_minute(&mut stage, &mut shell, |_, _| {});
    assert_seldom(&shell);
    stage.set_state(&key, KeyState::Revoked);
    stage.publish_delta();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    shell.fetch_behind(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
}

#[test]
fn page_of_a_canary_that_is_lost_is_asked_for_seldom() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    stage.canaries = vec![stage.canary(&key)];
    stage.add_key(1, Role::Member);
    stage.publish();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    for _ in 0..2 {
        let wanted = shell.gate.wanted(1).pop().unwrap();
        shell.fetch(&stage, &wanted);
    }
    let page = shell.gate.wanted(1).pop().unwrap();
    shell.lost.insert(page.reference().digest(), 0);
    pass_a_minute(&mut stage, &mut shell, |_, _| {});
    assert_seldom(&shell);
    assert!(shell.gate.status(stage.now).generation < Some(stage.generation), "adopted unseen");
    shell.lost.clear();
    stage.now = stage.now.plus_ms(30_000);
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
}

/// Names that did not change are read at nobody's cost after a new base, be its new page out of reach.
#[test]
fn names_that_did_not_change_stay_here_when_a_new_base_cannot_be_loaded() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_eq!(shell.project_name(&stage, &key.binding).as_deref(), Some("ALPHA"));
    stage.now = stage.now.plus_ms(100);
    stage.add_project(3, "gamma");
    let other = stage.add_key(3, Role::Member);
    stage.publish();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    while shell.gate.status(stage.now).pending.is_some() {
        let wanted = shell.gate.wanted(1).pop().unwrap();
        shell.fetch(&stage, &wanted);
    }
    shell.network = Line::ObjectsDown;
    for (key, name) in [(&key, "ALPHA"), (&other, "GAMMA")] {
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        assert_eq!(shell.project_name(&stage, &key.binding).as_deref(), Some(name));
    }
}

#[test]
fn names_are_staged_across_a_change_of_the_pepper_too() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let next = Pepper::new([77; 32]);
    let peppers = vec![stage.pepper.clone(), next.clone()];
    let mut shell = Shell::new(Gate::new(GateConfig { peppers, ..stage.config() }).unwrap());
    shell.refresh(&stage);
    shell.load(&stage);
    stage.content = latchkey_snapshot::build::Content::new(next);
    stage.add_project(1, "alpha");
    stage.add_project(3, "gamma");
    stage.put_key(&key);
    stage.publish();
    stage.now = stage.now.plus_ms(100);
    shell.refresh(&stage);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    shell.network = Line::ObjectsDown;
    assert_eq!(shell.project_name(&stage, &key.binding).as_deref(), Some("ALPHA"));
}
