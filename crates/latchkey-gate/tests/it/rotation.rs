//! What a new root leaves standing: a planned one everything, one after a theft nothing that the thief could have said.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::head::{InlineSubject, Reason};

const REVOKED: Refusal = Refusal::OutOfForce(Reason::Revoked);
const PAST_GRACE: Refusal = Refusal::Unavailable(Unavailable::PastGrace);

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

fn staged() -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let shell = stage.warm_shell();
    stage.now = after(100);
    (stage, shell, key)
}

/// A root with these keys comes, and then a head under it, by these keys, whose statement cannot be fetched.
fn rotate(stage: &mut Stage, shell: &mut Shell, roots: &[(&[&Signer], &[&Signer])], by: &[&Signer]) {
    for (releases, heads) in roots {
        stage.root_version += 1;
        shell.gate.accept_root(&stage.root_naming(stage.root_version, releases, heads)).unwrap();
    }
    stage.add_key(2, Role::Member);
    stage.publish();
    shell.network = Line::ObjectsDown;
    let accepted = shell.gate.accept_head(&stage.head_signed_by(by), stage.now);
    assert_eq!(accepted, Ok(HeadAccepted::Pending));
}

#[test]
fn planned_rotation_keeps_the_grace_though_nothing_new_can_be_fetched() {
    let (mut stage, mut shell, key) = staged();
    let (release, old, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    rotate(&mut stage, &mut shell, &[(&[&release], &[&old, &new])], &[&old, &new]);
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_fresh(&verdict);
    assert_eq!(verdict.standing.unwrap().age_ms, 100, "the new head confirms nothing");
    stage.now = after(10_000);
    assert_stale(&shell.invoke(&mut stage, &key.text));
    stage.now = after(u64::from(GRACE_SECS) * 1000 + 1);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
}

#[test]
fn end_of_a_planned_rotation_keeps_it_too_once_the_new_key_has_signed() {
    let (mut stage, mut shell, key) = staged();
    let (release, old, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    stage.root_version = 2;
    shell.gate.accept_root(&stage.root_naming(2, &[&release], &[&old, &new])).unwrap();
    let both = stage.head_signed_by(&[&old, &new]);
    assert_eq!(shell.gate.accept_head(&both, stage.now), Ok(HeadAccepted::Confirmed));
    stage.now = after(200);
    rotate(&mut stage, &mut shell, &[(&[&release], &[&new])], &[&new]);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

/// The whole of a rotation while nothing came: no head by the new key was ever seen.
#[test]
fn end_of_a_rotation_of_which_nothing_was_seen_is_as_a_theft() {
    let (mut stage, mut shell, key) = staged();
    let (release, old, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    let roots: [(&[&Signer], &[&Signer]); 2] = [(&[&release], &[&old, &new]), (&[&release], &[&new])];
    rotate(&mut stage, &mut shell, &roots, &[&new]);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
}

#[test]
fn root_without_a_key_that_signed_what_serves_ends_the_grace_at_once() {
    let new = Signer::from_seed(&[33; 32]);
    for role in ["head", "release"] {
        let (mut stage, mut shell, key) = staged();
        let (release, head) = (stage.release.clone(), stage.head_signer.clone());
        let (releases, heads) = match role {
            "head" => (&release, &new),
            _ => (&new, &head),
        };
        stage.release = releases.clone();
        rotate(&mut stage, &mut shell, &[(&[releases], &[heads])], &[heads]);
        assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
        shell.network = Line::Up;
        stage.now = after(400);
        stage.head_signer = heads.clone();
        assert_fresh(&shell.invoke(&mut stage, &key.text));
    }
}

/// The honest signer has both keys sign, the thief has one; whatever the thief said last counts for nothing.
#[test]
fn thiefs_head_during_a_rotation_ends_the_grace_with_the_stolen_key() {
    let (mut stage, mut shell, key) = staged();
    let (release, stolen, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    stage.root_version = 2;
    shell.gate.accept_root(&stage.root_naming(2, &[&release], &[&stolen, &new])).unwrap();
    shell.gate.accept_head(&stage.head_signed_by(&[&stolen, &new]), stage.now).unwrap();
    stage.now = after(200);
    shell.gate.accept_head(&stage.head_signed_by(&[&stolen]), stage.now).unwrap();
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    rotate(&mut stage, &mut shell, &[(&[&release], &[&new])], &[&new]);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
}

/// The statement under the new root knows of the revocation, and is not here; what said so until now must not be lost.
#[test]
fn revocation_inline_outlives_a_planned_rotation_until_a_statement_serves_that_knows_it() {
    let (mut stage, mut shell, key) = staged();
    let (release, old, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    stage.revoke_key_inline(&key);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    stage.now = after(200);
    rotate(&mut stage, &mut shell, &[(&[&release], &[&old, &new])], &[&old, &new]);
    assert!(stage.inline.is_empty());
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    // What the old key revoked stands under its name: a root without it lets go of the revocation, so of all answers.
    stage.now = after(300);
    rotate(&mut stage, &mut shell, &[(&[&release], &[&new])], &[&new]);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
    shell.network = Line::Up;
    stage.now = after(1600);
    stage.head_signer = new;
    shell.refresh(&stage);
    shell.load(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    assert_eq!(shell.gate.status(stage.now).inline, 0);
}

#[test]
fn removal_that_does_not_serve_outlives_a_planned_rotation() {
    let (mut stage, mut shell, key) = staged();
    let (release, old, new) =
        (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
    stage.set_state(&key, latchkey_snapshot::KeyState::Revoked);
    stage.publish_delta();
    let tip = stage.base.as_ref().unwrap().tip.unwrap();
    let mut bytes = stage.objects[&tip.digest()].clone();
    bytes.push(0);
    stage.base.as_mut().unwrap().tip = Some(stage.put_object(&bytes));
    stage.sign_statement();
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    stage.now = after(200);
    rotate(&mut stage, &mut shell, &[(&[&release], &[&old, &new])], &[&old, &new]);
    assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
}

#[test]
fn overlay_that_a_thief_filled_up_keeps_no_head_out_under_a_new_root() {
    for is_known_as_theft in [true, false] {
        let (mut stage, mut shell, key) = staged();
        let (release, stolen, new) =
            (stage.release.clone(), stage.head_signer.clone(), Signer::from_seed(&[33; 32]));
        for round in 0..64 {
            stage.now = after(100 + round);
            stage.inline.clear();
            for at in 0..64 {
                let number = ProjectNumber(1000 + at + 64 * round as u32);
                stage.revoke_inline(InlineSubject::Project(number), Reason::Suspended);
            }
            shell.gate.accept_head(&stage.head(), stage.now).unwrap();
        }
        assert_eq!(shell.gate.status(stage.now).inline, INLINE_HELD_MAX);
        stage.now = after(1000);
        stage.inline.clear();
        stage.revoke_key_inline(&key);
        assert_eq!(shell.gate.accept_head(&stage.head(), stage.now), Err(HeadRefusal::TooManyInline));
        stage.root_version = 2;
        let both = [&stolen, &new];
        let named: &[&Signer] = if is_known_as_theft { &both[1..] } else { &both };
        shell.gate.accept_root(&stage.root_naming(2, &[&release], named)).unwrap();
        stage.head_signer = new;
        shell.gate.accept_head(&stage.head(), stage.now).unwrap();
        assert_eq!(shell.gate.status(stage.now).inline, 1);
        assert_refused(&shell.invoke(&mut stage, &key.text), REVOKED);
    }
}
