//! What was let in, counted (IAM B1, B3, K13).

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::usage::{LINES_FULL, LINES_MAX, Line};
use latchkey_gate::*;

fn grant(stage: &mut Stage, shell: &mut Shell, key: &Key) -> Grant {
    assert_allowed(&shell.invoke(stage, &key.text))
}

#[test]
fn whoami_is_nobodys_use() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let mut usage = Usage::default();
    let granted = Grant { permission: None, ..grant(&mut stage, &mut shell, &key) };
    usage.record(&granted, stage.now);
    assert!(usage.is_empty() && usage.drain().is_empty());
}

#[test]
fn line_is_a_subject_a_project_a_permission_and_a_day_k13() {
    let mut stage = Stage::new();
    let key = stage.add_key(2, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let granted = grant(&mut stage, &mut shell, &key);
    let mut usage = Usage::default();
    let day = START.0 / 86_400_000;
    let midnight = UnixMillis((day + 1) * 86_400_000);
    usage.record(&granted, START.plus_ms(5));
    usage.record(&granted, START);
    usage.record(&granted, UnixMillis(midnight.0 - 1));
    usage.record(&granted, midnight);
    let line = |day, requests, last_at| Line {
        subject: Subject::Key(key.id),
        project: ProjectNumber(2),
        permission: Permission::InferenceInvoke,
        day,
        requests,
        last_at,
    };
    assert_eq!(usage.drain(), [line(day, 3, UnixMillis(midnight.0 - 1)), line(day + 1, 1, midnight)]);
    assert!(usage.is_empty(), "what was handed over is not handed over again");
}

#[test]
fn table_is_bounded_and_says_what_it_lost() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let granted = grant(&mut stage, &mut shell, &key);
    let mut usage = Usage::default();
    for number in 0..LINES_MAX as u64 + 3 {
        assert_eq!(usage.is_full(), number >= LINES_FULL as u64);
        usage.record(&Grant { subject: Subject::Key(KeyId::from_number(number)), ..granted }, START);
    }
    usage.record(&Grant { subject: Subject::Key(KeyId::from_number(0)), ..granted }, START);
    assert_eq!(usage.lost(), 3);
    let lines = usage.drain();
    assert_eq!(lines.len(), LINES_MAX);
    assert_eq!(lines.iter().map(|line| line.requests).sum::<u64>(), LINES_MAX as u64 + 1);
}
