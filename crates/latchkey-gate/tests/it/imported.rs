//! Keys of other systems (IAM K9): read by their SHA-256 digest alone, and no flood of made-up ones costs more than its
//! quota.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::KeyState;
use latchkey_snapshot::head::Reason;

const TEXT: &str = "sk-or-v1-0123456789abcdef";

#[test]
fn imported_key_is_let_in_under_its_own_id_k9() {
    let mut stage = Stage::new();
    let key = stage.add_imported_key(1, Role::Member, TEXT);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    let grant = assert_allowed(&shell.invoke(&mut stage, TEXT));
    assert_eq!((grant.subject, grant.binding), (Subject::Key(key.id), key.binding));
    assert_eq!(shell.objects, 3, "manifest, node, page");
}

#[test]
fn other_text_is_no_imported_key() {
    let mut stage = Stage::new();
    stage.add_imported_key(1, Role::Member, TEXT);
    stage.publish();
    let mut shell = stage.warm_shell();
    let malformed = Refusal::Unauthenticated(Unproven::Malformed(KeyError::Length));
    for (text, refusal) in [
        (format!("{TEXT}0"), UNKNOWN),
        (TEXT[1..].to_owned(), UNKNOWN),
        (TEXT.to_uppercase(), UNKNOWN),
        ("1234567".into(), malformed),
        (format!("{TEXT} "), malformed),
        (format!("{TEXT}\u{e9}"), malformed),
        ("x".repeat(513), malformed),
        ("x".repeat(512), UNKNOWN),
    ] {
        assert_refused(&shell.invoke(&mut stage, &text), refusal);
    }
}

/// Whoever imports a text that begins like a native key gains nothing: such a text is only ever read as native.
#[test]
fn text_with_the_installations_prefix_is_native_only() {
    let mut stage = Stage::new();
    let text = stage.unsaid_key();
    stage.add_imported_key(1, Role::Admin, &text);
    stage.add_imported_key(1, Role::Admin, "lk_imported-long-enough");
    let token = stage.add_person();
    let token = stage.token_of(&token);
    stage.add_imported_key(1, Role::Admin, &token);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_refused(&shell.invoke(&mut stage, &text), UNKNOWN);
    let malformed = Refusal::Unauthenticated(Unproven::Malformed(KeyError::Length));
    assert_refused(&shell.invoke(&mut stage, "lk_imported-long-enough"), malformed);
    assert_refused(&shell.invoke(&mut stage, &token), Refusal::ProjectHeader(ProjectHeader::Missing));
}

#[test]
fn imported_key_out_of_force_is_told_why_r1() {
    let mut stage = Stage::new();
    let inline = stage.add_imported_key(1, Role::Member, TEXT);
    let disabled = stage.add_imported_key(1, Role::Member, "another-system-2");
    stage.set_state(&disabled, KeyState::Disabled);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_allowed(&shell.invoke(&mut stage, TEXT));
    assert_refused(&shell.invoke(&mut stage, &disabled.text), Refusal::OutOfForce(Reason::Disabled));
    stage.revoke_key_inline(&inline);
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, TEXT), Refusal::OutOfForce(Reason::Revoked));
    stage.publish();
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, TEXT), Refusal::OutOfForce(Reason::Revoked));
}

#[test]
fn key_imported_a_moment_ago_is_found() {
    let mut stage = Stage::new();
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_refused(&shell.invoke(&mut stage, TEXT), UNKNOWN);
    stage.add_imported_key(1, Role::Member, TEXT);
    stage.publish();
    stage.now = stage.now.plus_ms(300);
    assert_fresh(&shell.invoke(&mut stage, TEXT));
}

#[test]
fn flood_of_made_up_texts_costs_its_quota_and_no_more() {
    let mut stage = Stage::new();
    stage.add_imported_key(1, Role::Member, TEXT);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    shell.network = Line::ObjectsDown;
    let before = (shell.heads, shell.objects);
    for at in 0..200 {
        let verdict = shell.invoke(&mut stage, &format!("made-up-{at}-key"));
        // Whether there is such a key cannot be told without the page: never 401.
        assert_refused(&verdict, Refusal::Unavailable(Unavailable::OutOfReach));
    }
    assert_eq!(shell.heads, before.0);
    assert_eq!((shell.objects - before.1) as u64, SEEK_PER_SECOND_MAX);
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(1000);
    assert_allowed(&shell.invoke(&mut stage, TEXT));
    for at in 0..200 {
        assert_refused(&shell.invoke(&mut stage, &format!("made-up-{at}-key")), UNKNOWN);
    }
    assert!(shell.heads <= before.0 + 1, "looks at the head are rationed once more");
    assert_allowed(&shell.invoke(&mut stage, TEXT));
}

#[test]
fn flood_beyond_the_quota_is_503_and_not_401_when_the_gate_is_old() {
    let mut stage = Stage::new();
    stage.add_imported_key(1, Role::Member, TEXT);
    stage.publish();
    let mut shell = stage.warm_shell();
    shell.network = Line::HeadDown;
    stage.now = stage.now.plus_ms(10_000);
    for at in 0..100 {
        let verdict = shell.invoke(&mut stage, &format!("made-up-{at}-key"));
        assert_refused(&verdict, Refusal::Unavailable(Unavailable::StaleUnknown));
    }
    assert_stale(&shell.invoke(&mut stage, TEXT));
}
