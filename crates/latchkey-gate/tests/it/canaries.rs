//! Canaries: a snapshot that does not answer as its own manifest says is held back, and what it revokes is not.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::{Canary, KeyState, Query};

const REVOKED: Refusal = Refusal::OutOfForce(Reason::Revoked);
const QUARANTINED: Refusal = Refusal::Unavailable(Unavailable::Quarantined);
const WRONG: AdoptError = AdoptError::Canary(0);

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

/// A shell that holds all of a base whose canary is its key.
fn staged() -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.canaries = vec![stage.canary(&key)];
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_eq!(shell.gate.status(stage.now).quarantined, None);
    shell.objects = 0;
    stage.now = after(100);
    (stage, shell, key)
}

/// What the publisher believes of the key stays, and the page says otherwise.
fn spoil(stage: &mut Stage, key: &Key) {
    stage.set_state(key, KeyState::Disabled);
}

#[test]
fn base_whose_canary_answers_wrongly_is_held_back_and_the_last_good_one_serves() {
    let (mut stage, mut shell, key) = staged();
    let good = stage.generation;
    spoil(&mut stage, &key);
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    assert_eq!((shell.not_adopted.as_slice(), shell.objects), ([WRONG].as_slice(), 3));
    let status = shell.gate.status(stage.now);
    assert_eq!((status.refused_manifest, status.quarantined), (Some(WRONG), None));
    assert_eq!((status.generation, status.age_ms), (Some(good), Some(100)));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    // It is not asked for again, however often heads name it.
    stage.now = after(400);
    shell.refresh(&stage);
    assert_eq!((shell.objects, shell.gate.wanted(10).len()), (3, 0));
    // A good one ends it.
    stage.set_state(&key, KeyState::Active);
    stage.now = after(700);
    stage.publish();
    shell.refresh(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.refused_manifest, status.generation), (None, Some(stage.generation)));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn held_back_base_still_revokes_by_its_deltas() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(2, Role::Member);
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    spoil(&mut stage, &key);
    stage.publish();
    stage.now = after(400);
    shell.refresh(&stage);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    stage.set_state(&other, KeyState::Revoked);
    let granted = stage.add_key(2, Role::Member);
    stage.publish_delta();
    stage.now = after(800);
    shell.objects = 0;
    shell.refresh(&stage);
    shell.load(&stage);
    assert_eq!(shell.objects, 1, "the delta, not the base again");
    assert_refused(&shell.invoke(&mut stage, &other.text), REVOKED);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.now = after(1200);
    assert_refused(&shell.invoke(&mut stage, &granted.text), UNKNOWN);
    assert_eq!(shell.gate.status(stage.now).refused_manifest, Some(WRONG));
    // Its next delta costs one fetch, and heads without a new one none.
    for _ in 0..3 {
        stage.now = stage.now.plus_ms(300);
        shell.refresh(&stage);
        shell.load(&stage);
    }
    assert_eq!(shell.objects, 1);
    stage.publish_delta();
    shell.refresh(&stage);
    shell.load(&stage);
    assert_eq!(shell.objects, 2);
}

#[test]
fn held_back_base_neither_opens_the_breaker_nor_makes_requests_wait() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(2, Role::Member);
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    spoil(&mut stage, &key);
    stage.publish();
    for step in 1..100 {
        stage.now = after(100 + step * REFRESH_EVERY_MS);
        assert!(shell.gate.refresh_due(stage.now), "a revocation would have to wait");
        shell.refresh(&stage);
        shell.load(&stage);
        assert!(!shell.gate.status(stage.now).breaker_open);
        (shell.heads, shell.joins) = (0, 0);
        let verdict = shell.invoke(&mut stage, &other.text);
        assert_eq!((assert_allowed(&verdict).binding, shell.heads, shell.joins), (other.binding, 0, 0));
        assert_eq!(verdict.standing.unwrap().stale, stage.now.since_ms(after(100)) > ASK_AFTER_MS);
    }
    // A source that says nothing new is another matter.
    stage.now = stage.now.plus_ms(ASK_AFTER_MS + 1);
    shell.network = Line::HeadDown;
    assert_stale(&shell.invoke(&mut stage, &other.text));
    assert!(shell.heads == 1 && shell.gate.status(stage.now).breaker_open);
}

#[test]
fn gate_on_the_base_before_holds_the_new_one_back_and_stays_fresh() {
    let (mut stage, mut shell, key) = staged();
    stage.publish_delta();
    shell.refresh(&stage);
    // Only the new base has a canary that nothing answers.
    let unsaid = stage.add_key(1, Role::Member);
    stage.content.remove_key(unsaid.id, &unsaid.digest);
    stage.canaries = vec![stage.canary(&unsaid)];
    let until = stage.now.seconds().plus_secs(120);
    stage.rebase(until);
    let mut refused = 0;
    for step in 1..12 {
        stage.now = after(100 + step * 10_000);
        let granted = stage.add_key(2, Role::Member);
        stage.publish_delta();
        shell.objects = 0;
        shell.refresh(&stage);
        shell.load(&stage);
        let status = shell.gate.status(stage.now);
        assert_eq!((status.age_ms, status.generation), (Some(0), Some(stage.generation)));
        assert_fresh(&shell.invoke(&mut stage, &granted.text));
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        assert!(refused == 0 || shell.objects == 1, "the new base is tried once: {} objects", shell.objects);
        refused += usize::from(status.refused_manifest == Some(WRONG));
    }
    assert!(refused > 1, "marked, from the moment it would have moved on");
    // When the base before is carried on no longer, it grows old where all can see it, and still revokes.
    stage.now = after(130_000);
    stage.set_state(&key, KeyState::Revoked);
    stage.publish_delta();
    shell.refresh(&stage);
    shell.load(&stage);
    assert!(shell.gate.status(stage.now).age_ms > Some(ASK_AFTER_MS));
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn delta_that_makes_a_canary_answer_wrongly_is_held_back() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(1, Role::Member);
    stage.publish_delta();
    shell.refresh(&stage);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    let good = stage.generation;
    stage.content.remove_key(key.id, &key.digest);
    stage.now = after(400);
    stage.publish_delta();
    shell.refresh(&stage);
    assert_eq!(shell.not_adopted, [WRONG]);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.generation, status.refused_manifest), (Some(good), Some(WRONG)));
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    // What it removes applies all the same, be it the canary.
    assert_refused(&shell.invoke(&mut stage, &key.text), UNKNOWN);
    // The next delta over the same base may be good.
    stage.put_key(&key);
    stage.now = after(700);
    shell.objects = 0;
    stage.publish_delta();
    shell.refresh(&stage);
    assert_eq!((shell.objects, shell.gate.status(stage.now).generation), (1, Some(stage.generation)));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn canary_that_must_not_be_found_is_one_too() {
    let (mut stage, mut shell, key) = staged();
    let absent = stage.add_key(1, Role::Member);
    let query = Query::native_key(&stage.pepper, absent.id, &absent.digest);
    stage.canaries.push(Canary { query, expected: None });
    stage.canaries.sort_by_key(|canary| canary.query.tag);
    let index = stage.canaries.iter().position(|canary| canary.expected.is_none()).unwrap();
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    assert_eq!(shell.not_adopted, [AdoptError::Canary(index)]);
    stage.content.remove_key(absent.id, &absent.digest);
    stage.now = after(400);
    stage.publish();
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn cold_gate_with_a_wrong_canary_answers_503_and_nothing_else() {
    let mut stage = Stage::new();
    let (key, other) = (stage.add_key(1, Role::Member), stage.add_key(2, Role::Member));
    stage.canaries = vec![stage.canary(&key)];
    spoil(&mut stage, &key);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    // Until the canary's page is here the gate cannot know.
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).quarantined, None);
    shell.load(&stage);
    assert_eq!(shell.not_adopted, [WRONG]);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.quarantined, status.health), (Some(WRONG), Health::Refusing));
    for text in [&key.text, &other.text, "lk_junk", "sk-of-another-system"] {
        assert_refused(&shell.invoke(&mut stage, text), QUARANTINED);
    }
    // A good delta over it, or a good base, ends it.
    stage.set_state(&key, KeyState::Active);
    stage.now = after(400);
    stage.publish_delta();
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).quarantined, None);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn first_request_of_a_cold_gate_fetches_the_page_of_no_canary() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.canaries = vec![stage.canary(&key)];
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!((shell.heads, shell.objects), (1, 3));
    let first = stage.objects[&{ shell.gate.wanted(1).pop().unwrap() }.reference().digest()].clone();
    assert!(first.starts_with(b"LKN"), "the canary's page is here; next is whatever else is missing");
}

#[test]
fn new_base_is_not_adopted_before_the_pages_of_its_canaries_are_here() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    let canary = stage.add_imported_key(2, Role::Member, "sk-of-another-system-123456");
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    // This gate holds no page of imported keys.
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    let query = Query::imported_key(&stage.pepper, &canary.imported.unwrap());
    stage.canaries = vec![Canary { query, ..stage.canary(&canary) }];
    stage.set_state(&canary, KeyState::Revoked);
    stage.publish();
    stage.now = after(100);
    let before = shell.gate.status(stage.now).generation;
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let manifest = shell.gate.wanted(1).pop().unwrap();
    shell.fetch(&stage, &manifest);
    shell.network = Line::ObjectsDown;
    for _ in 0..3 {
        let wanted = shell.gate.wanted(10);
        wanted.iter().for_each(|wanted| shell.fetch(&stage, wanted));
    }
    assert_eq!(shell.gate.status(stage.now).generation, before, "adopted unseen");
    shell.network = Line::Up;
    stage.now = after(1200);
    shell.refresh(&stage);
    assert_eq!(shell.not_adopted, [WRONG]);
    assert_eq!(shell.gate.status(stage.now).generation, before);
}

#[test]
fn canaries_under_a_new_pepper_are_looked_at_before_it_serves() {
    for is_good in [true, false] {
        let mut stage = Stage::new();
        let key = stage.add_key(1, Role::Member);
        stage.publish();
        let next = Pepper::new([77; 32]);
        let peppers = vec![stage.pepper.clone(), next.clone()];
        let mut shell = Shell::new(Gate::new(GateConfig { peppers, ..stage.config() }).unwrap());
        shell.refresh(&stage);
        shell.load(&stage);
        let good = stage.generation;
        stage.content = latchkey_snapshot::build::Content::new(next.clone());
        stage.pepper = next;
        stage.add_project(1, "alpha");
        if is_good {
            stage.put_key(&key);
        }
        stage.canaries = vec![stage.canary(&key)];
        stage.publish();
        stage.now = after(100);
        shell.refresh(&stage);
        let expected = if is_good { stage.generation } else { good };
        assert_eq!(shell.gate.status(stage.now).generation, Some(expected));
        stage.canaries.clear();
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
}
