//! Taking bytes in: what is refused changes nothing, and revocations never wait.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::head::{InlineSubject, Reason};
use latchkey_snapshot::root::Installation;
use latchkey_snapshot::{HeadError, KeyState, ObjectError, RootError};

const REVOKED: Refusal = Refusal::OutOfForce(Reason::Revoked);

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

fn staged() -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let shell = stage.warm_shell();
    (stage, shell, key)
}

#[test]
fn every_flipped_bit_of_a_head_is_refused_and_changes_nothing() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(100);
    let other = stage.add_key(2, Role::Member);
    stage.revoke_key_inline(&other);
    let head = stage.head();
    let before = shell.gate.status(stage.now);
    for bit in 0..head.len() * 8 {
        let mut flipped = head.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        shell.gate.accept_head(&flipped, stage.now).expect_err("a flipped bit");
    }
    for len in 0..head.len() {
        shell.gate.accept_head(&head[..len], stage.now).expect_err("a truncated head");
    }
    let status = shell.gate.status(stage.now);
    assert_eq!((status.as_of, status.inline, status.generation), (before.as_of, 0, before.generation));
    assert!(shell.gate.accept_head(&head, stage.now).is_ok());
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn replayed_and_older_heads_are_refused() {
    let (mut stage, mut shell, key) = staged();
    let first = stage.head();
    stage.now = after(100);
    let second = stage.head();
    shell.gate.accept_head(&second, stage.now).unwrap();
    assert_eq!(shell.gate.accept_head(&first, stage.now), Err(HeadRefusal::Older));
    stage.set_state(&key, KeyState::Revoked);
    stage.publish();
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    for old in [&first, &second] {
        assert_eq!(shell.gate.accept_head(old, stage.now), Err(HeadRefusal::Older));
    }
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn older_statement_in_a_younger_head_is_refused() {
    let (mut stage, mut shell, _) = staged();
    let old_statement = stage.statement.clone();
    stage.publish();
    stage.now = after(100);
    shell.refresh(&stage);
    stage.statement = old_statement;
    assert_eq!(shell.gate.accept_head(&stage.head_at(after(200)), after(200)), Err(HeadRefusal::Older));
}

#[test]
fn second_head_of_one_rank_is_refused_and_counted() {
    let (mut stage, mut shell, key) = staged();
    stage.revoke_key_inline(&key);
    assert_eq!(shell.gate.accept_head(&stage.head(), stage.now), Err(HeadRefusal::Forked));
    assert_eq!(shell.gate.status(stage.now).heads_forked, 1);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn head_of_another_installation_or_signer_is_refused() {
    let (mut stage, mut shell, _) = staged();
    stage.now = after(100);
    let stranger = Signer::from_seed(&[66; 32]);
    let refused = Err(HeadRefusal::Head(HeadError::HeadSignatures));
    assert_eq!(shell.gate.accept_head(&stage.head_signed(stage.now, &stranger), stage.now), refused);
    stage.installation = Installation([8; 16]);
    stage.publish();
    let refused = Err(HeadRefusal::Head(HeadError::Installation));
    assert_eq!(shell.gate.accept_head(&stage.head(), stage.now), refused);
}

#[test]
fn head_below_the_floor_is_refused() {
    let mut stage = Stage::new();
    stage.publish();
    let floor = Floor { root_version: 1, generation: Generation(12) };
    let mut gate = Gate::new(GateConfig { floor, ..stage.config() }).unwrap();
    assert_eq!(stage.generation, Generation(11));
    assert_eq!(gate.accept_head(&stage.head(), stage.now), Err(HeadRefusal::BelowFloor));
    stage.publish();
    assert_eq!(gate.accept_head(&stage.head(), stage.now), Ok(HeadAccepted::Pending));
}

#[test]
fn new_root_outranks_everything_signed_before() {
    let (mut stage, mut shell, key) = staged();
    let thief = stage.head_signer.clone();
    stage.now = after(100);
    stage.revoke_inline(InlineSubject::Project(ProjectNumber(1)), Reason::Suspended);
    stage.inline[0].generation = Generation(u64::MAX);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::OutOfForce(Reason::Suspended));
    let last = stage.head();
    stage.inline.clear();
    stage.head_signer = Signer::from_seed(&[33; 32]);
    stage.root_version = 2;
    let head = stage.head();
    assert_eq!(shell.gate.accept_head(&head, stage.now), Err(HeadRefusal::RootNeeded { next: 2 }));
    assert_eq!(shell.gate.root_needed(&head), Some(2));
    let foreign = stage.root(3, &stage.head_signer);
    let version = RootError::Version { got: 3, expected: 2 };
    assert_eq!(shell.gate.accept_root(&foreign), Err(version));
    shell.gate.accept_root(&stage.root(2, &stage.head_signer)).unwrap();
    assert_eq!(shell.gate.root_needed(&head), None);
    let old_root = HeadRefusal::Head(HeadError::RootVersion { named: 1, held: 2 });
    assert_eq!(shell.gate.accept_head(&last, stage.now), Err(old_root));
    shell.gate.accept_head(&head, stage.now).unwrap();
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.root_version = 1;
    stage.now = after(500);
    let stolen = stage.head_signed(stage.now, &thief);
    assert_eq!(shell.gate.accept_head(&stolen, stage.now), Err(old_root));
}

#[test]
fn inline_revocation_applies_while_the_manifest_is_pending() {
    for subject in ["key", "project", "organization"] {
        let (mut stage, mut shell, key) = staged();
        let other = stage.add_key(2, Role::Member);
        stage.publish();
        match subject {
            "key" => stage.revoke_key_inline(&key),
            "project" => stage.revoke_inline(InlineSubject::Project(ProjectNumber(1)), Reason::Revoked),
            _ => stage.revoke_inline(InlineSubject::Organization(OrganizationNumber(10)), Reason::Revoked),
        }
        stage.now = after(100);
        assert_eq!(shell.gate.accept_head(&stage.head(), stage.now), Ok(HeadAccepted::Pending));
        shell.network = Line::ObjectsDown;
        let verdict = shell.invoke(&mut stage, &key.text);
        assert_refused(&verdict, REVOKED);
        assert_eq!(verdict.standing.unwrap().age_ms, 100, "a pending head confirms nothing");
        shell.network = Line::Up;
        shell.load(&stage);
        assert_eq!(shell.gate.status(stage.now).age_ms, Some(0));
        assert_fresh(&shell.invoke(&mut stage, &other.text));
    }
}

#[test]
fn inline_entry_is_dropped_only_when_the_statement_reaches_it() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(1, Role::Member);
    stage.publish();
    let early = (stage.statement.clone(), stage.statement_generation);
    stage.revoke_key_inline(&key);
    stage.now = after(100);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    assert_eq!(shell.gate.status(stage.now).generation, Some(early.1));
    // A later head does not repeat the entry, and its statement does not reach it either.
    let entries = std::mem::take(&mut stage.inline);
    stage.now = after(200);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    // The statement that reaches it decides alone.
    stage.set_state(&key, KeyState::Disabled);
    stage.now = after(300);
    stage.publish_same_generation();
    assert_eq!(stage.statement_generation, entries[0].generation);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::OutOfForce(Reason::Disabled));
    assert_eq!(shell.gate.status(stage.now).inline, 0);
    assert_fresh(&shell.invoke(&mut stage, &other.text));
}

#[test]
fn too_many_inline_revocations_are_refused_and_forget_none() {
    let (mut stage, mut shell, key) = staged();
    stage.revoke_key_inline(&key);
    let mut refused = 0;
    for round in 0..70 {
        stage.now = after(1 + round);
        if shell.gate.accept_head(&stage.head(), stage.now) == Err(HeadRefusal::TooManyInline) {
            refused += 1;
        }
        stage.inline.clear();
        (0..64).for_each(|at| {
            let number = ProjectNumber(1000 + at + 64 * round as u32);
            stage.revoke_inline(InlineSubject::Project(number), Reason::Suspended);
        });
    }
    assert!(refused > 0 && shell.gate.status(stage.now).inline <= INLINE_HELD_MAX);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn tampered_objects_are_refused_and_asked_for_again() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    for _ in 0..40 {
        let Some(wanted) = shell.gate.wanted(1).pop() else { break };
        let bytes = stage.objects[&wanted.reference().digest()].clone();
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let refused = shell.gate.accept_object(&wanted, &flipped, stage.now);
        assert_eq!(refused, Err(ObjectRefusal::Object(ObjectError::Digest)));
        let refused = shell.gate.accept_object(&wanted, &[], stage.now);
        assert!(matches!(refused, Err(ObjectRefusal::Object(ObjectError::Length { got: 0, .. }))));
        stage.now = stage.now.plus_ms(30_000);
        shell.gate.status(stage.now);
        assert!(shell.gate.wanted(100).contains(&wanted));
        shell.gate.accept_object(&wanted, &bytes, stage.now).unwrap();
    }
    assert!(shell.gate.wanted(1).is_empty());
    shell.network = Line::ObjectsDown;
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn manifest_that_cannot_serve_is_not_adopted_and_the_last_good_one_serves() {
    type Spoil = (fn(&mut Stage), fn(&AdoptError) -> bool);
    let spoils: [Spoil; 4] = [
        (
            |stage| stage.rules = vec![rule("GET", "/a//b", Permission::FilesView)],
            |error| matches!(error, AdoptError::Routes(0)),
        ),
        (
            |stage| {
                stage.content = latchkey_snapshot::build::Content::new(Pepper::new([77; 32]));
                stage.add_project(1, "alpha");
            },
            |error| matches!(error, AdoptError::Pepper(_)),
        ),
        (|_| {}, |error| matches!(error, AdoptError::Generation)),
        (|_| {}, |error| matches!(error, AdoptError::Manifest(_))),
    ];
    for (at, (spoil, expected)) in spoils.into_iter().enumerate() {
        let (mut stage, mut shell, key) = staged();
        spoil(&mut stage);
        stage.publish();
        if at == 2 {
            stage.statement_generation = stage.generation.next();
            stage.sign_statement();
        }
        if at == 3 {
            let page = stage.objects.values().find(|bytes| bytes.starts_with(b"LKP2")).unwrap();
            stage.statement =
                stage.statement_over(latchkey_snapshot::ObjectRef::to(page), None, stage.generation);
        }
        stage.now = after(100);
        shell.gate.accept_head(&stage.head(), stage.now).unwrap();
        let wanted = shell.gate.wanted(10);
        assert_eq!(wanted.len(), 1);
        let bytes = &stage.objects[&wanted[0].reference().digest()];
        let Err(ObjectRefusal::NotAdopted(error)) = shell.gate.accept_object(&wanted[0], bytes, stage.now)
        else {
            panic!("adopted")
        };
        assert!(expected(&error), "{error:?}");
        assert_eq!(shell.gate.status(stage.now).refused_manifest, Some(error));
        assert!(shell.gate.wanted(10).is_empty(), "asked for again");
        let verdict = shell.invoke(&mut stage, &key.text);
        assert_fresh(&verdict);
        assert_eq!(verdict.standing.unwrap().age_ms, 100);
        stage.now = after(200);
        let accepted = shell.gate.accept_head(&stage.head(), stage.now);
        assert_eq!(accepted, Ok(HeadAccepted::ManifestRefused(error)));
        stage.now = after(5000);
        assert_stale(&shell.invoke(&mut stage, &key.text));
    }
}

#[test]
fn second_pepper_is_adopted_when_it_is_held() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let next = Pepper::new([77; 32]);
    let peppers = vec![stage.pepper.clone(), next.clone()];
    let mut shell = Shell::new(Gate::new(GateConfig { peppers, ..stage.config() }).unwrap());
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.content = latchkey_snapshot::build::Content::new(next);
    stage.add_project(1, "alpha");
    stage.put_key(&key);
    stage.publish();
    stage.now = after(100);
    shell.refresh(&stage);
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_fresh(&verdict);
    assert_eq!(verdict.standing.unwrap().generation, stage.generation);
}

#[test]
fn changed_pages_are_fetched_before_a_new_manifest_serves() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(2, Role::Member);
    stage.publish();
    stage.now = after(100);
    shell.objects = 0;
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    while shell.gate.status(stage.now).pending.is_some() {
        assert_eq!(shell.gate.status(stage.now).age_ms, Some(100));
        let wanted = shell.gate.wanted(1).pop().unwrap();
        shell.fetch(&stage, &wanted);
    }
    assert_eq!(shell.objects, 3, "manifest, node and page");
    assert_eq!(shell.gate.status(stage.now).age_ms, Some(0));
    shell.network = Line::ObjectsDown;
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_fresh(&shell.invoke(&mut stage, &other.text));
}

#[test]
fn new_manifest_serves_without_its_pages_when_they_cannot_be_had() {
    let (mut stage, mut shell, key) = staged();
    stage.set_state(&key, KeyState::Revoked);
    stage.publish();
    stage.now = after(100);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let manifest = shell.gate.wanted(1).pop().unwrap();
    shell.fetch(&stage, &manifest);
    shell.network = Line::ObjectsDown;
    let node = shell.gate.wanted(1).pop().unwrap();
    shell.fetch(&stage, &node);
    assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
    assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::Unavailable(Unavailable::OutOfReach));
    shell.network = Line::Up;
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn stream_of_publications_does_not_starve_the_gate() {
    let (mut stage, mut shell, _) = staged();
    let mut adopted = Generation(0);
    for round in 1..50 {
        stage.now = after(round * 50);
        let wanted = shell.gate.wanted(4);
        stage.add_key(1, Role::Member);
        stage.publish();
        shell.gate.accept_head(&stage.head(), stage.now).unwrap();
        // What was wanted before this head came is delivered after it.
        wanted.iter().for_each(|wanted| shell.fetch(&stage, wanted));
        adopted = shell.gate.status(stage.now).generation.unwrap();
    }
    assert!(stage.generation.0 - adopted.0 < 12, "{adopted} of {}", stage.generation);
}

#[test]
fn unwanted_objects_are_let_go() {
    let (mut stage, mut shell, _) = staged();
    stage.publish();
    stage.now = after(100);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    let manifest = shell.gate.wanted(1).pop().unwrap();
    let bytes = &stage.objects[&manifest.reference().digest()];
    shell.gate.accept_object(&manifest, bytes, stage.now).unwrap();
    let before = shell.gate.status(stage.now);
    shell.gate.accept_object(&manifest, bytes, stage.now).unwrap();
    assert_eq!(shell.gate.status(stage.now), before);
}

#[test]
fn pages_that_are_no_longer_named_are_dropped() {
    let mut stage = Stage::new();
    let keys: Vec<Key> = (0..5000).map(|at| stage.add_key(1 + at % 2, Role::Member)).collect();
    stage.publish();
    let mut shell = stage.warm_shell();
    let before = shell.gate.status(stage.now);
    assert!(before.pages_held > 2);
    keys.iter().skip(1).for_each(|key| stage.content.remove_key(key.id, &key.digest));
    stage.publish();
    stage.now = after(100);
    shell.refresh(&stage);
    shell.load(&stage);
    let after = shell.gate.status(stage.now);
    assert!(after.bytes_held < before.bytes_held / 10, "{after:?}");
    assert_fresh(&shell.invoke(&mut stage, &keys[0].text));
    let gone = shell.invoke(&mut stage, &keys[1].text);
    assert_refused(&gone, UNKNOWN);
}

#[test]
fn config_outside_its_limits_is_refused() {
    let stage = Stage::new();
    let pepper = |byte| Pepper::new([byte; 32]);
    let with = |peppers| Gate::new(GateConfig { peppers, ..stage.config() }).map(drop);
    assert_eq!(with(vec![]), Err(ConfigError::Peppers(0)));
    assert_eq!(with(vec![pepper(1), pepper(2), pepper(3)]), Err(ConfigError::Peppers(3)));
    assert_eq!(with(vec![pepper(1), pepper(1)]), Err(ConfigError::PepperTwice));
    assert_eq!(with(vec![pepper(1), pepper(2)]), Ok(()));
    let root = Gate::new(GateConfig { root: vec![1; 100], ..stage.config() });
    assert!(matches!(root.map(drop), Err(ConfigError::Root(_))));
}

#[test]
fn refusals_are_counted_by_cause() {
    let (mut stage, mut shell, key) = staged();
    shell.invoke(&mut stage, &key.text);
    shell.route(&mut stage, &key.text, "GET", "/a//b");
    shell.route(&mut stage, &key.text, "GET", "/a");
    let counts = shell.gate.status(stage.now).counts;
    let times = |cause: &str| counts.iter().find(|count| count.cause == cause).unwrap().times;
    assert_eq!((times("allowed"), times("path_empty_segment"), times("absent_route")), (1, 1, 1));
}
