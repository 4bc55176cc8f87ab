//! Deltas: whatever does not lead from the base to the statement is refused, what they remove applies all the same,
//! and catching up takes the cheapest way there is.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::{Content, Record, Signer, Standing};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::{Exceptions, Installation, KeyState, ObjectRef};
use proptest::prelude::*;

const REVOKED: Refusal = Refusal::OutOfForce(Reason::Revoked);
const DISABLED: Refusal = Refusal::OutOfForce(Reason::Disabled);

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

/// A shell that holds all of a base; its counts begin here.
fn staged() -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    shell.objects = 0;
    stage.now = after(100);
    (stage, shell, key)
}

/// A statement over the base that names this tip.
fn name_tip(stage: &mut Stage, tip: &[u8]) -> ObjectRef {
    let tip = stage.put_object(tip);
    stage.base.as_mut().unwrap().tip = Some(tip);
    stage.statement_generation = stage.generation;
    stage.sign_statement();
    tip
}

/// What a gate says to a statement with these deltas, and that it serves on as before.
#[track_caller]
fn assert_not_adopted(stage: &mut Stage, shell: &mut Shell, key: &Key, error: AdoptError) {
    let before = shell.gate.status(stage.now).generation;
    shell.refresh(stage);
    shell.load(stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((shell.not_adopted.as_slice(), status.refused_manifest), ([error].as_slice(), Some(error)));
    assert_eq!((status.generation, status.deltas), (before, 0));
    assert_fresh(&shell.invoke(stage, &key.text));
    // It is not asked for again, and the next good one serves.
    shell.objects = 0;
    stage.now = stage.now.plus_ms(300);
    let accepted = shell.gate.accept_head(&stage.head(), stage.now);
    assert_eq!(accepted, Ok(HeadAccepted::ManifestRefused(error)));
    assert!(shell.gate.wanted(10).is_empty());
    stage.publish();
    shell.refresh(stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.generation, status.refused_manifest), (Some(stage.generation), None));
}

#[test]
fn delta_that_does_not_lead_from_the_base_to_the_statement_is_refused() {
    type Spoil = fn(&mut Stage) -> Vec<u8>;
    let spoils: [(Spoil, ChainError); 6] = [
        (
            |stage| {
                let base = stage.base.clone().unwrap();
                let content = latchkey_snapshot::build::DeltaContent {
                    installation: Installation([9; 16]),
                    ..stage.delta_content(&base)
                };
                stage.content.delta(&content, &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Installation,
        ),
        (
            |stage| {
                let base = stage.base.clone().unwrap();
                let content = stage.delta_content(&base);
                Content::new(Pepper::new([77; 32])).delta(&content, &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Pepper,
        ),
        (
            |stage| {
                let mut base = stage.base.clone().unwrap();
                base.manifest = ObjectRef::to(b"another manifest");
                stage.content.delta(&stage.delta_content(&base), &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Base,
        ),
        (
            |stage| {
                let base = stage.base.clone().unwrap();
                let content = latchkey_snapshot::build::DeltaContent {
                    generation: stage.generation.next(),
                    ..stage.delta_content(&base)
                };
                stage.content.delta(&content, &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Generation,
        ),
        (
            |stage| {
                let mut base = stage.base.clone().unwrap();
                base.from = Generation(base.from.0 - 1);
                stage.content.delta(&stage.delta_content(&base), &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Gap,
        ),
        (
            |stage| {
                let mut base = stage.base.clone().unwrap();
                base.from = base.from.next();
                stage.content.delta(&stage.delta_content(&base), &base.touched).unwrap().bytes.to_vec()
            },
            ChainError::Gap,
        ),
    ];
    for (spoil, error) in spoils {
        let (mut stage, mut shell, key) = staged();
        stage.add_key(2, Role::Member);
        stage.generation = Generation(stage.generation.0 + 2);
        let tip = spoil(&mut stage);
        name_tip(&mut stage, &tip);
        assert_not_adopted(&mut stage, &mut shell, &key, AdoptError::Chain(error));
    }
}

#[test]
fn delta_that_does_not_continue_its_parent_is_refused() {
    for from in [-1_i64, 1] {
        let (mut stage, mut shell, key) = staged();
        stage.generation = Generation(stage.generation.0 + 5);
        stage.publish_delta_same_generation();
        stage.seal();
        stage.generation = Generation(stage.generation.0 + 5);
        let mut base = stage.base.clone().unwrap();
        base.from = Generation(base.from.0.checked_add_signed(from).unwrap());
        let tip = stage.content.delta(&stage.delta_content(&base), &base.touched).unwrap();
        name_tip(&mut stage, &tip.bytes);
        assert_not_adopted(&mut stage, &mut shell, &key, AdoptError::Chain(ChainError::Gap));
    }
}

#[test]
fn parent_over_another_base_is_refused() {
    let (mut stage, mut shell, key) = staged();
    stage.publish_delta();
    let parent = stage.base.clone().unwrap();
    stage.publish();
    shell.refresh(&stage);
    let before = stage.generation;
    stage.generation = stage.generation.next();
    // The tip stands on the new base, its parent on the one before.
    let mut base = stage.base.clone().unwrap();
    (base.parent, base.from) = (parent.tip, Generation(before.0 - 1));
    let tip = stage.content.delta(&stage.delta_content(&base), &base.touched).unwrap();
    name_tip(&mut stage, &tip.bytes);
    assert_not_adopted(&mut stage, &mut shell, &key, AdoptError::Chain(ChainError::Base));
}

#[test]
fn chain_of_four_serves_and_of_five_is_refused() {
    let (mut stage, mut shell, _) = staged();
    for _ in 0..4 {
        stage.publish_delta();
        stage.seal();
    }
    shell.refresh(&stage);
    assert_eq!((shell.gate.status(stage.now).deltas, shell.objects), (4, 4));
    let (mut stage, mut shell, key) = staged();
    for _ in 0..5 {
        stage.publish_delta();
        stage.seal();
    }
    assert_not_adopted(&mut stage, &mut shell, &key, AdoptError::Chain(ChainError::TooLong));
}

#[test]
fn tampered_delta_is_refused_and_asked_for_again() {
    let (mut stage, mut shell, key) = staged();
    stage.set_state(&key, KeyState::Revoked);
    stage.publish_delta();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let wanted = shell.gate.wanted(10);
    assert_eq!(wanted.len(), 1);
    let bytes = stage.objects[&wanted[0].reference().digest()].clone();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for tampered in [flipped, bytes[1..].to_vec(), vec![]] {
        let refused = shell.gate.accept_object(&wanted[0], &tampered, stage.now);
        assert!(matches!(refused, Err(ObjectRefusal::Object(_))), "{refused:?}");
        assert!(shell.gate.wanted(10).is_empty(), "asked for again at once");
        stage.now = stage.now.plus_ms(30_000);
        assert_eq!(shell.gate.status(stage.now).removed_ahead, 0);
        assert_eq!(shell.gate.wanted(10), wanted);
    }
    shell.gate.accept_object(&wanted[0], &bytes, stage.now).unwrap();
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn removals_apply_though_the_rest_of_the_delta_is_refused() {
    let (mut stage, mut shell, key) = staged();
    let (disabled, gone, archived) =
        (stage.add_key(1, Role::Member), stage.add_key(1, Role::Member), stage.add_key(2, Role::Member));
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    assert_fresh(&shell.route(&mut stage, &disabled.text, "GET", "/v1/files/file"));
    stage.set_state(&key, KeyState::Revoked);
    stage.set_state(&disabled, KeyState::Disabled);
    stage.content.remove_key(gone.id, &gone.digest);
    stage.exceptions = stage.exceptions.clone().with_archived([ProjectNumber(2)]);
    let granted = stage.add_key(1, Role::Member);
    stage.publish_delta();
    // The signer names bytes that end in one too many.
    let tip = stage.base.as_ref().unwrap().tip.unwrap();
    let mut bytes = stage.objects[&tip.digest()].clone();
    bytes.push(0);
    name_tip(&mut stage, &bytes);
    shell.refresh(&stage);
    let status = shell.gate.status(stage.now);
    assert!(matches!(status.refused_manifest, Some(AdoptError::Delta(_))), "{status:?}");
    assert_eq!((status.deltas, status.removed_ahead), (0, 3));
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    assert_refused(&shell.invoke(&mut stage, &disabled.text), DISABLED);
    assert_refused(&shell.invoke(&mut stage, &gone.text), UNKNOWN);
    assert_refused(&shell.invoke(&mut stage, &archived.text), Refusal::OutOfForce(Reason::Suspended));
    stage.now = stage.now.plus_ms(300);
    assert_refused(&shell.invoke(&mut stage, &granted.text), UNKNOWN);
    // What a later good statement grants again is granted, and nothing of it is left.
    stage.set_state(&disabled, KeyState::Active);
    stage.exceptions = Exceptions::default();
    stage.now = stage.now.plus_ms(300);
    stage.publish_delta();
    shell.refresh(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.refused_manifest, status.deltas, status.removed_ahead), (None, 1, 0));
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    for key in [&disabled, &archived, &granted] {
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
}

#[test]
fn removals_apply_before_the_new_base_is_adopted_and_end_with_it() {
    let (mut stage, mut shell, key) = staged();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    let ended = stage.add_collaborator(1, Role::Member, Role::Member);
    let other = stage.add_key(1, Role::Member);
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    // Another base, and a delta over it that removes.
    stage.add_key(2, Role::Member);
    stage.publish();
    stage.set_state(&key, KeyState::Disabled);
    stage.content.remove_collaboration(&person.identity, ProjectNumber(1));
    stage.content.put(Record::EndedSession {
        session: ended.session,
        forget: ExpiryMinute((stage.now.0 / 60_000) as u32 + 60),
    });
    stage.publish_delta();
    let files = "/v1/both/projects/alpha/files";
    for person in [&person, &ended] {
        let token = stage.token_of(person);
        assert_fresh(&shell.route(&mut stage, &token, "GET", files));
    }
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let wanted = shell.gate.wanted(10);
    let tip = stage.base.as_ref().unwrap().tip.unwrap();
    let delta = wanted.iter().find(|wanted| *wanted.reference() == tip).expect("deltas come first");
    shell.fetch(&stage, delta);
    shell.network = Line::ObjectsDown;
    let status = shell.gate.status(stage.now);
    assert_eq!((status.deltas, status.removed_ahead), (0, 3));
    assert_refused(&shell.invoke(&mut stage, &key.text), DISABLED);
    let token = stage.token_of(&person);
    let verdict = shell.route(&mut stage, &token, "GET", files);
    assert_refused(&verdict, Refusal::NotFound(Absent::Project));
    let token = stage.token_of(&ended);
    assert_refused(&shell.route(&mut stage, &token, "GET", files), REVOKED);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    // The key is enabled again before the gate has adopted anything: then it is let in.
    shell.network = Line::Up;
    stage.set_state(&key, KeyState::Active);
    stage.now = after(1200);
    stage.publish_delta();
    shell.refresh(&stage);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.generation, status.removed_ahead), (Some(stage.generation), 0));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    let token = stage.token_of(&ended);
    assert_refused(&shell.route(&mut stage, &token, "GET", files), REVOKED);
}

#[test]
fn what_an_older_delta_removes_and_a_newer_one_grants_is_not_refused_ahead() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(1, Role::Member);
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    stage.publish();
    stage.set_state(&key, KeyState::Disabled);
    stage.set_state(&other, KeyState::Disabled);
    stage.publish_delta();
    stage.seal();
    stage.set_state(&key, KeyState::Active);
    stage.publish_delta();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    for _ in 0..2 {
        let delta = shell.gate.wanted(1).pop().unwrap();
        shell.fetch(&stage, &delta);
    }
    assert_eq!(shell.gate.status(stage.now).deltas, 0);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_refused(&shell.invoke(&mut stage, &other.text), DISABLED);
}

/// The readable part of a delta that removes this many resources, numbered from `first` on, and then nothing that could
/// be read.
fn removing(stage: &Stage, base: &Base, reach: (Generation, Generation), first: u32, count: u32) -> Vec<u8> {
    let reference = |reference: &ObjectRef| {
        [reference.len_bytes().to_le_bytes().as_slice(), &reference.digest().0].concat()
    };
    let mut bytes = b"LKD3".to_vec();
    bytes.extend(stage.installation.0);
    bytes.extend(stage.content.pepper_id());
    bytes.extend(reference(&base.manifest));
    bytes.extend(reach.0.0.to_le_bytes());
    bytes.extend(reach.1.0.to_le_bytes());
    bytes.extend(base.parent.as_ref().map_or(vec![0; 36], reference));
    bytes.push(0);
    bytes.extend(count.to_le_bytes());
    for number in first..first + count {
        bytes.extend([3, 0]);
        bytes.extend(number.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes.push(0xFF);
    bytes
}

#[test]
fn more_removals_than_a_gate_keeps_mean_that_nothing_is_answered() {
    const EACH: u32 = 87_000;
    let (mut stage, mut shell, key) = staged();
    let mut base = stage.base.clone().unwrap();
    for part in 0..4 {
        let reach = (stage.generation, stage.generation.next());
        stage.generation = reach.1;
        let bytes = removing(&stage, &base, reach, part * EACH, EACH);
        base.parent = Some(name_tip(&mut stage, &bytes));
    }
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    for left in (0..4).rev() {
        let wanted = shell.gate.wanted(10);
        assert_eq!(wanted.len(), 1, "removals are fetched though nothing of it can serve");
        shell.fetch(&stage, &wanted[0]);
        let verdict = shell.invoke(&mut stage, &key.text);
        match left {
            0 => assert_refused(&verdict, Refusal::Unavailable(Unavailable::PastGrace)),
            _ => assert_fresh(&verdict),
        }
    }
    stage.now = after(400);
    stage.publish();
    shell.refresh(&stage);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

/// A session that was ended is forgotten once it would be over anyway: that must not bring it back early.
#[test]
fn ended_session_that_is_gone_is_not_let_in_by_a_delta_that_does_not_serve() {
    let (mut stage, mut shell, _) = staged();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    let forget = ExpiryMinute((stage.now.0 / 60_000) as u32 + 60);
    stage.content.put(Record::EndedSession { session: person.session, forget });
    stage.publish();
    shell.refresh(&stage);
    shell.load(&stage);
    stage.content.remove_ended_session(&person.session);
    stage.publish_delta();
    let tip = stage.base.as_ref().unwrap().tip.unwrap();
    let mut bytes = stage.objects[&tip.digest()].clone();
    bytes.push(0);
    name_tip(&mut stage, &bytes);
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).removed_ahead, 0);
    let token = stage.token_of(&person);
    assert_refused(&shell.route(&mut stage, &token, "GET", "/v1/both/projects/alpha/files"), REVOKED);
}

#[test]
fn one_generation_on_costs_one_fetch_and_no_page() {
    let (mut stage, mut shell, key) = staged();
    let mut keys = vec![key];
    for round in 1..20 {
        keys.push(stage.add_key(1 + round % 2, Role::Member));
        stage.publish_delta();
        stage.now = after(100 + u64::from(round) * 100);
        shell.objects = 0;
        shell.refresh(&stage);
        assert_eq!(shell.objects, 1);
        assert_eq!(shell.gate.status(stage.now).age_ms, Some(0));
        shell.network = Line::ObjectsDown;
        keys.iter().for_each(|key| assert_fresh(&shell.invoke(&mut stage, &key.text)));
        shell.network = Line::Up;
    }
    stage.set_state(&keys[0], KeyState::Revoked);
    stage.set_state(&keys[1], KeyState::Disabled);
    stage.publish_delta();
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &keys[0].text), REVOKED);
    assert_refused(&shell.invoke(&mut stage, &keys[1].text), DISABLED);
}

#[test]
fn far_behind_on_one_base_fetches_the_chain_and_no_page() {
    let (mut stage, mut shell, key) = staged();
    let mut granted = vec![];
    for _ in 0..3 {
        for _ in 0..10 {
            granted.push(stage.add_key(2, Role::Member));
            stage.publish_delta();
        }
        stage.seal();
    }
    stage.set_state(&granted[0], KeyState::Revoked);
    stage.publish_delta();
    shell.refresh(&stage);
    assert_eq!((shell.objects, shell.gate.status(stage.now).deltas), (4, 4));
    shell.network = Line::ObjectsDown;
    assert_refused(&shell.invoke(&mut stage, &granted[0].text), REVOKED);
    granted[1..].iter().for_each(|key| assert_fresh(&shell.invoke(&mut stage, &key.text)));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    // From there on the tip alone.
    shell.network = Line::Up;
    shell.objects = 0;
    stage.now = after(400);
    stage.publish_delta();
    shell.refresh(&stage);
    assert_eq!(shell.objects, 1);
}

#[test]
fn cold_gate_answers_from_head_manifest_chain_one_node_and_one_page() {
    let mut stage = Stage::new();
    let in_base = stage.add_key(1, Role::Member);
    stage.publish();
    let in_delta = stage.add_key(2, Role::Member);
    stage.publish_delta();
    let mut shell = Shell::new(stage.gate());
    assert_fresh(&shell.invoke(&mut stage, &in_delta.text));
    assert_eq!((shell.heads, shell.objects), (1, 2), "what a delta says needs no page");
    assert_fresh(&shell.invoke(&mut stage, &in_base.text));
    assert_eq!((shell.heads, shell.objects), (1, 4));
}

#[test]
fn gate_on_the_base_before_goes_on_with_its_deltas_and_moves_at_a_moment_of_its_own() {
    let mut moved_at = vec![];
    for seed in 0..20 {
        let mut stage = Stage::new();
        let key = stage.add_key(1, Role::Member);
        stage.publish();
        let mut shell = Shell::new(Gate::new(GateConfig { seed, ..stage.config() }).unwrap());
        shell.refresh(&stage);
        shell.load(&stage);
        stage.add_key(2, Role::Member);
        stage.publish_delta();
        shell.refresh(&stage);
        let until = stage.now.seconds().plus_secs(600);
        stage.rebase(until);
        let old = shell.gate.status(stage.now).bytes_held;
        let mut granted = vec![];
        let mut moved = None;
        for step in 1..=60 {
            stage.now = after(step * 10_000);
            if step % 5 == 0 {
                granted.push(stage.add_key(1, Role::Member));
                stage.publish_delta();
            }
            shell.objects = 0;
            shell.refresh(&stage);
            let status = shell.gate.status(stage.now);
            assert_eq!(
                (status.generation, status.age_ms),
                (Some(stage.generation), Some(0)),
                "always confirmed"
            );
            if moved.is_none() {
                let here = status.bytes_held != old;
                assert!(here || shell.objects <= 1, "only the delta, before the move");
                moved = here.then_some(step);
            }
        }
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        granted.iter().for_each(|key| assert_fresh(&shell.invoke(&mut stage, &key.text)));
        assert_eq!(shell.gate.status(stage.now).refused_manifest, None);
        moved_at.push(moved.expect("moved before the end"));
    }
    moved_at.sort_unstable();
    moved_at.dedup();
    assert!(
        moved_at.len() > 10 && *moved_at.last().unwrap() <= 57,
        "spread, and before the end: {moved_at:?}"
    );
}

#[test]
fn gate_on_neither_base_moves_at_once() {
    let (mut stage, mut shell, key) = staged();
    stage.add_key(2, Role::Member);
    stage.publish();
    stage.add_key(2, Role::Member);
    stage.publish_delta();
    stage.rebase(stage.now.seconds().plus_secs(600));
    shell.refresh(&stage);
    assert_eq!((shell.objects, shell.gate.status(stage.now).deltas), (3, 0), "manifest, node and page");
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn older_statement_of_one_generation_does_not_follow_the_newer_one() {
    let (mut stage, mut shell, key) = staged();
    let before = stage.generation;
    stage.generation = before.next();
    stage.add_key(2, Role::Member);
    stage.publish_same_generation();
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let first = shell.gate.wanted(1).pop().unwrap();
    // The publisher begins anew and makes another base of the same generation.
    stage.grace_secs += 1;
    stage.publish_same_generation();
    stage.now = after(200);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let second = shell.gate.wanted(2).pop().unwrap();
    assert_ne!(first, second);
    shell.fetch(&stage, &second);
    while let Some(wanted) = shell.gate.wanted(9).into_iter().find(|wanted| *wanted != first) {
        shell.fetch(&stage, &wanted);
    }
    assert_eq!(shell.gate.status(stage.now).age_ms, Some(0));
    shell.fetch(&stage, &first);
    shell.load(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.age_ms, status.pending, shell.gate.wanted(1).len()), (Some(0), None, 0));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn broken_deltas_of_the_base_before_make_the_gate_move() {
    let (mut stage, mut shell, key) = staged();
    stage.publish_delta();
    shell.refresh(&stage);
    stage.rebase(stage.now.seconds().plus_secs(600));
    stage.generation = stage.generation.next();
    let (mut before, until) = stage.before.clone().unwrap();
    before.from = before.from.next();
    stage.before = Some((before, until));
    stage.now = after(400);
    stage.publish_delta_same_generation();
    shell.refresh(&stage);
    shell.refresh(&stage);
    let status = shell.gate.status(stage.now);
    assert_eq!((status.generation, status.refused_manifest), (Some(stage.generation), None));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn exceptions_of_a_chain_are_those_of_its_end() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(2, Role::Member);
    let archived =
        |numbers: &[u32]| Exceptions::default().with_archived(numbers.iter().copied().map(ProjectNumber));
    stage.exceptions = archived(&[2]);
    stage.publish();
    stage.exceptions = archived(&[1]);
    stage.publish_delta();
    stage.seal();
    shell.refresh(&stage);
    let suspended = Refusal::OutOfForce(Reason::Suspended);
    assert_refused(&shell.invoke(&mut stage, &key.text), suspended);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
    stage.exceptions = archived(&[]);
    stage.now = after(400);
    stage.publish_delta();
    shell.refresh(&stage);
    for key in [&key, &other] {
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
    stage.exceptions = archived(&[1, 2]);
    stage.now = after(700);
    stage.publish_delta();
    shell.refresh(&stage);
    for key in [&key, &other] {
        assert_refused(&shell.invoke(&mut stage, &key.text), suspended);
    }
}

#[test]
fn every_kind_of_look_up_asks_the_deltas() {
    const TEXT: &str = "sk-of-another-system-123456";
    let (mut stage, mut shell, _) = staged();
    stage.add_project(3, "gamma");
    let key = stage.add_key(3, Role::Admin);
    let imported = stage.add_imported_key(3, Role::Member, TEXT);
    let person = stage.add_collaborator(3, Role::Member, Role::Member);
    stage.add_resource(3, ResourceType::File, "file");
    stage.publish_delta();
    shell.refresh(&stage);
    shell.network = Line::ObjectsDown;
    assert_fresh(&shell.route(&mut stage, &key.text, "GET", "/v1/files/file"));
    assert_fresh(&shell.route(&mut stage, &key.text, "GET", "/v1/projects/gamma/files"));
    let grant = assert_allowed(&shell.invoke(&mut stage, &imported.text));
    assert_eq!(grant.subject, Subject::Key(imported.id));
    let NamesStep::Names(names) = shell.gate.names(&grant.binding, stage.now, &mut Attempt::default()) else {
        panic!("names out of reach");
    };
    assert_eq!((names.project.slug.as_str(), &*names.organization.name), ("gamma", "organization of gamma"));
    let token = stage.token_of(&person);
    assert_fresh(&shell.route(&mut stage, &token, "GET", "/v1/both/projects/gamma/files/file"));
    // And what the base says, a delta takes back.
    shell.network = Line::Up;
    stage.publish();
    stage.now = after(400);
    shell.refresh(&stage);
    shell.load(&stage);
    stage.content.remove_collaboration(&person.identity, ProjectNumber(3));
    stage.content.remove_resource(ProjectNumber(3), ResourceType::File, ResourceId::parse("file").unwrap());
    stage.publish_delta();
    stage.now = after(800);
    shell.refresh(&stage);
    let token = stage.token_of(&person);
    let verdict = shell.route(&mut stage, &token, "GET", "/v1/both/projects/gamma/files");
    assert_refused(&verdict, Refusal::NotFound(Absent::Project));
    let verdict = shell.route(&mut stage, &key.text, "GET", "/v1/files/file");
    assert_refused(&verdict, Refusal::NotFound(Absent::Resource));
    stage.put_collaborator(&person, 3, Role::Member, Standing::Member);
    stage.publish_delta();
    stage.now = after(1200);
    shell.refresh(&stage);
    let token = stage.token_of(&person);
    assert_fresh(&shell.route(&mut stage, &token, "GET", "/v1/both/projects/gamma/files"));
}

#[test]
fn inline_revocation_ends_when_a_delta_reaches_it() {
    let (mut stage, mut shell, key) = staged();
    stage.revoke_key_inline(&key);
    shell.refresh(&stage);
    assert_eq!((shell.gate.status(stage.now).inline, shell.objects), (1, 0));
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    stage.now = after(400);
    stage.publish_delta_same_generation();
    shell.refresh(&stage);
    assert_eq!((shell.gate.status(stage.now).inline, shell.objects), (0, 1));
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn new_root_drops_what_deltas_under_the_old_one_removed() {
    let (mut stage, mut shell, key) = staged();
    stage.set_state(&key, KeyState::Revoked);
    stage.publish_delta();
    let tip = stage.base.as_ref().unwrap().tip.unwrap();
    let mut bytes = stage.objects[&tip.digest()].clone();
    bytes.push(0);
    name_tip(&mut stage, &bytes);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    stage.set_state(&key, KeyState::Active);
    stage.head_signer = Signer::from_seed(&[33; 32]);
    stage.root_version = 2;
    shell.gate.accept_root(&stage.root(2, &stage.head_signer)).unwrap();
    stage.now = after(400);
    stage.publish();
    shell.refresh(&stage);
    assert_eq!(shell.gate.status(stage.now).removed_ahead, 0);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

/// What a key's owner would see, were the edge the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Absent,
    Known(KeyState),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a state came to be published, and whatever of it a gate missed, its answers are those of the state.
    #[test]
    fn deltas_over_a_base_answer_as_the_state_itself(
        steps in proptest::collection::vec((0..12_usize, 0..4_u8, 0..10_u8, 0..6_u8), 1..40),
        seed: u64,
    ) {
        let mut stage = Stage::new();
        let keys: Vec<Key> = (0..12).map(|at| stage.add_key(1 + at % 2, Role::Member)).collect();
        let mut fates = [Fate::Known(KeyState::Active); 12];
        let mut archived = false;
        stage.publish();
        let mut shell = Shell::new(Gate::new(GateConfig { seed, ..stage.config() }).unwrap());
        for (at, change, how, looks) in steps {
            stage.now = stage.now.plus_ms(300);
            let key = &keys[at];
            match change {
                0 if fates[at] != Fate::Absent => {
                    stage.content.remove_key(key.id, &key.digest);
                    fates[at] = Fate::Absent;
                }
                1 => {
                    archived = !archived;
                    let numbers = archived.then_some(ProjectNumber(2));
                    stage.exceptions = Exceptions::default().with_archived(numbers);
                }
                _ => {
                    let state = [KeyState::Active, KeyState::Disabled, KeyState::Revoked][at % 3];
                    let state = if change == 2 { KeyState::Active } else { state };
                    stage.set_state(key, state);
                    fates[at] = Fate::Known(state);
                }
            }
            let links = stage.base.as_ref().unwrap().sealed;
            match how {
                0 => stage.publish(),
                1 => {
                    stage.publish_delta();
                    stage.rebase(stage.now.seconds().plus_secs(60));
                }
                2 | 3 if links < 3 => {
                    stage.publish_delta();
                    stage.seal();
                }
                _ => stage.publish_delta(),
            }
            if looks == 0 {
                continue;
            }
            shell.refresh(&stage);
            prop_assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
            for (key, fate) in keys.iter().zip(&fates) {
                let closed = archived && key.binding.project == ProjectNumber(2);
                let expected = match fate {
                    Fate::Absent => Some(UNKNOWN),
                    Fate::Known(KeyState::Revoked) => Some(REVOKED),
                    Fate::Known(KeyState::Disabled) => Some(DISABLED),
                    Fate::Known(KeyState::Active) if closed => Some(Refusal::OutOfForce(Reason::Suspended)),
                    Fate::Known(KeyState::Active) => None,
                };
                let outcome = shell.invoke(&mut stage, &key.text).outcome;
                let refused = match outcome {
                    Outcome::Allow(_) => None,
                    Outcome::Refuse(refusal) => Some(refusal),
                    Outcome::Pass(pass) => panic!("no route is public or in shadow: {pass:?}"),
                };
                prop_assert_eq!(refused, expected);
            }
        }
    }
}

#[test]
fn stream_of_deltas_does_not_starve_the_gate() {
    let (mut stage, mut shell, _) = staged();
    for round in 1..50 {
        stage.now = after(100 + round * 50);
        let wanted = shell.gate.wanted(4);
        stage.add_key(1, Role::Member);
        stage.publish_delta();
        shell.gate.accept_head(&stage.head(), stage.now).unwrap();
        // What was wanted before this head came is delivered after it.
        wanted.iter().for_each(|wanted| shell.fetch(&stage, wanted));
        let adopted = shell.gate.status(stage.now).generation.unwrap();
        assert!(stage.generation.0 - adopted.0 < 8, "{adopted} of {}", stage.generation);
    }
}
