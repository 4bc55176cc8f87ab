//! DESIGN §4: the promise about age, on both sides of each boundary.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::KeyState;
use latchkey_snapshot::head::Reason;

const PAST_GRACE: Refusal = Refusal::Unavailable(Unavailable::PastGrace);
const NOT_FRESH: Refusal = Refusal::Unavailable(Unavailable::NotFresh);

fn after(ms: u64) -> UnixMillis {
    START.plus_ms(ms)
}

fn staged() -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    (shell.heads, shell.objects) = (0, 0);
    (stage, shell, key)
}

#[test]
fn idle_gate_does_not_let_a_revoked_key_pass_once_more() {
    for ms in [4001, 10_000, 3_600_000] {
        let (mut stage, mut shell, key) = staged();
        stage.set_state(&key, KeyState::Revoked);
        stage.publish();
        stage.now = after(ms);
        assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::OutOfForce(Reason::Revoked));
        assert_eq!(shell.heads, 1);
    }
}

#[test]
fn age_of_4000_ms_answers_unasked_and_4001_asks() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(ASK_AFTER_MS);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!(shell.heads, 0);
    stage.now = after(ASK_AFTER_MS + 1);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!(shell.heads, 1);
}

#[test]
fn answer_is_stale_until_grace_and_refused_after_it() {
    let (mut stage, mut shell, key) = staged();
    shell.network = Line::HeadDown;
    stage.now = after(ASK_AFTER_MS + 1);
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_stale(&verdict);
    assert_eq!(verdict.standing.unwrap().age_ms, 4001);
    stage.now = after(u64::from(GRACE_SECS) * 1000);
    assert_stale(&shell.invoke(&mut stage, &key.text));
    stage.now = after(u64::from(GRACE_SECS) * 1000 + 1);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
    assert_eq!(shell.gate.status(stage.now).health, Health::Refusing);
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(13_000);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn gate_names_its_generation_only_while_its_answers_are_fresh() {
    let (stage, shell, _) = staged();
    let generation = shell.gate.status(stage.now).generation;
    assert!(generation.is_some());
    assert_eq!(shell.gate.fresh_generation(after(ASK_AFTER_MS)), generation);
    assert_eq!(shell.gate.fresh_generation(after(ASK_AFTER_MS + 1)), None);
    assert_eq!(Stage::new().gate().fresh_generation(after(0)), None, "it has none");
}

#[test]
fn no_grace_means_no_stale_answer() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.grace_secs = 0;
    stage.publish();
    let mut shell = stage.warm_shell();
    shell.network = Line::HeadDown;
    stage.now = after(ASK_AFTER_MS);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.now = after(ASK_AFTER_MS + 1);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
}

#[test]
fn now_is_read_again_after_the_ask() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(ASK_AFTER_MS + 1);
    let frozen = stage.head();
    let mut attempt = Attempt::default();
    let bearer = format!("Bearer {}", key.text);
    let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
    let step = shell.gate.decide(&request, Question::Route, stage.now, &mut attempt);
    assert_eq!(step, Step::Ask(Ask::Head(HeadAsk::Start)));
    shell.gate.accept_head(&frozen, stage.now).unwrap();
    // The answer took five seconds to come: what it confirmed is old by now.
    let late = stage.now.plus_ms(5000);
    let Step::Answer(verdict) = shell.gate.decide(&request, Question::Route, late, &mut attempt) else {
        panic!("asked twice")
    };
    assert_stale(&verdict);
}

#[test]
fn past_use_by_is_stale_and_grace_runs_from_there() {
    let (mut stage, mut shell, key) = staged();
    let use_by = START.0 + 3_600_000;
    stage.now = UnixMillis(use_by - 1);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.now = UnixMillis(use_by);
    // The head is young, yet the statement in it is not renewed.
    assert_stale(&shell.invoke(&mut stage, &key.text));
    stage.now = UnixMillis(use_by + u64::from(GRACE_SECS) * 1000 + 20_000);
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
    stage.sign_statement();
    stage.now = stage.now.plus_ms(20_000);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!(shell.objects, 0, "a renewed statement needs no object");
}

#[test]
fn fresh_only_asks_above_1000_ms_and_is_refused_without_an_answer() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(FRESH_MS);
    assert_fresh(&shell.route(&mut stage, &key.text, "POST", "/v1/batches"));
    assert_eq!(shell.heads, 0);
    stage.now = after(FRESH_MS + 1);
    assert_fresh(&shell.route(&mut stage, &key.text, "POST", "/v1/batches"));
    assert_eq!(shell.heads, 1);
    shell.network = Line::HeadDown;
    stage.now = after(3 * FRESH_MS);
    assert_refused(&shell.route(&mut stage, &key.text, "POST", "/v1/batches"), NOT_FRESH);
    stage.now = after(60_000);
    assert_refused(&shell.route(&mut stage, &key.text, "POST", "/v1/batches"), NOT_FRESH);
    assert_stale(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn background_refresh_is_due_every_250_ms_and_leased_for_one_second() {
    let (stage, shell, _) = staged();
    let gate = shell.gate;
    assert!(gate.refresh_due(after(0)));
    assert!(!gate.refresh_due(after(20)), "one is in flight");
    gate.refresh_ended(after(20));
    assert!(!gate.refresh_due(after(REFRESH_EVERY_MS - 1)));
    assert!(gate.refresh_due(after(REFRESH_EVERY_MS)));
    // Its request is cancelled: nobody ever says how it ended.
    assert!(!gate.refresh_due(after(REFRESH_EVERY_MS + 999)));
    assert!(gate.refresh_due(after(REFRESH_EVERY_MS + 1000)));
    drop(stage);
}

#[test]
fn others_join_a_look_in_flight_and_take_over_when_its_holder_is_gone() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(10_000);
    assert!(shell.gate.refresh_due(stage.now));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!((shell.joins, shell.heads), (1, 1));
}

#[test]
fn of_many_that_waited_in_vain_one_looks_and_the_others_wait_for_it() {
    let (mut stage, shell, key) = staged();
    stage.now = after(10_000);
    // Whoever has the lease is gone, or takes longer than an answer can wait.
    assert!(shell.gate.refresh_due(stage.now));
    let bearer = format!("Bearer {}", key.text);
    let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
    let mut attempts: Vec<Attempt> = (0..50).map(|_| Attempt::default()).collect();
    for (waited_ms, starting) in [(0, 0), (HEAD_BUDGET_MS, 1)] {
        let now = stage.now.plus_ms(waited_ms);
        let mut decide = |attempt| shell.gate.decide(&request, Question::Route, now, attempt);
        let steps: Vec<Step> = attempts.iter_mut().map(&mut decide).collect();
        let starts = steps.iter().filter(|step| **step == Step::Ask(Ask::Head(HeadAsk::Start))).count();
        let joins = steps.iter().filter(|step| **step == Step::Ask(Ask::Head(HeadAsk::Join))).count();
        assert_eq!((starts, joins), (starting, 50 - starting), "after {waited_ms} ms");
    }
}

#[test]
fn unknown_resource_is_told_though_publications_never_end() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(300);
    let bearer = format!("Bearer {}", key.text);
    let request = Request::new("GET", b"/v1/files/none", Header::One(bearer.as_bytes()));
    let mut attempt = Attempt::default();
    for round in 0..40 {
        match shell.gate.decide(&request, Question::Route, stage.now, &mut attempt) {
            Step::Answer(verdict) => {
                return assert_refused(&verdict, Refusal::NotFound(Absent::Resource));
            }
            Step::Ask(Ask::Head(_)) => shell.gate.ask_ended(RefreshEnd::Answered, stage.now),
            Step::Ask(Ask::Objects(list)) => list.iter().for_each(|wanted| shell.fetch(&stage, wanted)),
            Step::Ask(Ask::Body(field)) => panic!("no rule reads `{field}`"),
        }
        stage.add_resource(1, ResourceType::File, &format!("file-{round}"));
        stage.publish();
        stage.now = stage.now.plus_ms(50);
        shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    }
    panic!("the loop does not end");
}

#[test]
fn breaker_opens_after_a_failed_ask_and_doubles_to_ten_seconds() {
    let (mut stage, mut shell, key) = staged();
    shell.network = Line::HeadDown;
    stage.now = after(ASK_AFTER_MS + 1);
    let mut base_ms = 1000;
    for round in 1..=7 {
        assert_stale(&shell.invoke(&mut stage, &key.text));
        assert_eq!(shell.heads, round);
        let opened = stage.now;
        stage.now = opened.plus_ms(base_ms * 3 / 4 - 1);
        assert_stale(&shell.invoke(&mut stage, &key.text));
        assert!(shell.gate.status(stage.now).breaker_open);
        assert_eq!(shell.heads, round, "asked while the breaker was open");
        stage.now = opened.plus_ms(base_ms * 5 / 4 + 1);
        base_ms = (base_ms * 2).min(10_000);
    }
    shell.network = Line::Up;
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert!(!shell.gate.status(stage.now).breaker_open);
    shell.network = Line::HeadDown;
    stage.now = stage.now.plus_ms(ASK_AFTER_MS + 1);
    assert_stale(&shell.invoke(&mut stage, &key.text));
    stage.now = stage.now.plus_ms(1251);
    assert!(!shell.gate.status(stage.now).breaker_open, "a success starts over at one second");
}

#[test]
fn looks_behind_answers_go_on_while_the_breaker_is_open_and_are_rarer_the_older_the_head() {
    let (mut stage, mut shell, key) = staged();
    shell.network = Line::HeadDown;
    let mut opens = 0;
    for (age_ms, most_ms) in [(ASK_AFTER_MS + 1, 1000), (10_000, 3000), (600_000, 10_250)] {
        stage.now = after(age_ms);
        assert_stale(&shell.invoke(&mut stage, &key.text));
        let asked = stage.now;
        stage.now = asked.plus_ms(REFRESH_EVERY_MS - 1);
        assert!(!shell.gate.refresh_due(stage.now), "{age_ms} ms old");
        while !shell.gate.refresh_due(stage.now) {
            stage.now = stage.now.plus_ms(1);
        }
        assert!(stage.now.since_ms(asked) <= most_ms, "{age_ms} ms old, {} ms", stage.now.since_ms(asked));
        opens += u32::from(shell.gate.status(stage.now).breaker_open);
        shell.gate.refresh_ended(stage.now);
    }
    assert!(opens > 0, "no look while the breaker is open");
}

#[test]
fn head_that_stays_old_opens_the_breaker_too() {
    let (mut stage, shell, _) = staged();
    let old = stage.head();
    stage.now = after(10_000);
    let mut gate = shell.gate;
    assert!(gate.refresh_due(stage.now));
    gate.accept_head(&old, stage.now).unwrap();
    gate.refresh_ended(stage.now);
    assert!(gate.status(stage.now).breaker_open);
}

#[test]
fn lost_background_refresh_costs_nothing_while_young() {
    let (stage, shell, _) = staged();
    assert!(shell.gate.refresh_due(stage.now));
    shell.gate.refresh_ended(stage.now);
    assert!(shell.gate.refresh_due(after(REFRESH_EVERY_MS)));
}

#[test]
fn made_up_keys_ask_for_nothing() {
    let mut stage = Stage::new();
    stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    (shell.heads, shell.objects) = (0, 0);
    for round in 0..200 {
        let key = stage.made_up_key();
        assert_refused(&shell.invoke(&mut stage, &key), MADE_UP);
        stage.now = after(round * 100);
    }
    assert_eq!((shell.heads, shell.joins, shell.objects), (0, 0, 0));
}

#[test]
fn unknown_keys_force_at_most_one_refresh_in_250_ms() {
    let (mut stage, mut shell, _) = staged();
    for ms in 0..1000 {
        stage.now = after(ms);
        for _ in 0..3 {
            let key = stage.unsaid_key();
            assert_refused(&shell.invoke(&mut stage, &key), UNKNOWN);
        }
    }
    assert_eq!((shell.heads, shell.objects), (4, 0));
}

#[test]
fn key_made_a_moment_ago_is_found_by_one_forced_refresh() {
    let (mut stage, mut shell, _) = staged();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    stage.now = after(100);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!(shell.heads, 1);
}

#[test]
fn unknown_resource_and_project_force_one_refresh() {
    let (mut stage, mut shell, key) = staged();
    stage.add_resource(1, ResourceType::File, "new");
    stage.publish();
    stage.now = after(100);
    assert_fresh(&shell.route(&mut stage, &key.text, "GET", "/v1/files/new"));
    assert_eq!(shell.heads, 1);
    stage.now = after(200);
    let verdict = shell.route(&mut stage, &key.text, "GET", "/v1/files/newer");
    assert_refused(&verdict, Refusal::NotFound(Absent::Resource));
    assert_eq!(shell.heads, 1, "rationed");
    stage.now = after(350);
    let verdict = shell.route(&mut stage, &key.text, "GET", "/v1/projects/gone/files");
    assert_refused(&verdict, Refusal::NotFound(Absent::Project));
    assert_eq!(shell.heads, 2);
}

#[test]
fn unknown_key_is_503_when_stale() {
    let (mut stage, mut shell, _) = staged();
    shell.network = Line::HeadDown;
    stage.now = after(60_000);
    let key = stage.unsaid_key();
    assert_refused(&shell.invoke(&mut stage, &key), Refusal::Unavailable(Unavailable::StaleUnknown));
    let key = stage.made_up_key();
    assert_refused(&shell.invoke(&mut stage, &key), MADE_UP);
}

#[test]
fn minimum_generation_is_waited_for_and_never_passed_over() {
    let (mut stage, mut shell, key) = staged();
    let held = stage.token(stage.generation);
    assert_fresh(&shell.invoke_at_least(&mut stage, &key.text, &held));
    assert_eq!(shell.heads, 0);
    stage.publish();
    stage.now = after(100);
    let next = stage.token(stage.generation);
    let verdict = shell.invoke_at_least(&mut stage, &key.text, &next);
    assert_fresh(&verdict);
    assert_eq!((shell.heads, verdict.standing.unwrap().generation), (1, stage.generation));
    let beyond = stage.token(stage.generation.next());
    stage.now = after(200);
    let refusal = Refusal::Unavailable(Unavailable::GenerationNotReached);
    assert_refused(&shell.invoke_at_least(&mut stage, &key.text, &beyond), refusal);
    assert_eq!(shell.heads, 1, "rationed");
    let unsaid = stage.unsaid_key();
    assert_refused(&shell.invoke_at_least(&mut stage, &unsaid, &beyond), refusal);
}

/// A revocation may overtake a grant that was committed before it: its generation is not reached before both are here.
#[test]
fn minimum_generation_is_not_reached_by_an_inline_revocation_alone() {
    let (mut stage, mut shell, key) = staged();
    let other = stage.add_key(1, Role::Member);
    stage.publish();
    let published = stage.generation;
    stage.revoke_key_inline(&other);
    stage.now = after(300);
    let token = stage.token(stage.generation);
    let refusal = Refusal::Unavailable(Unavailable::GenerationNotReached);
    assert_refused(&shell.invoke_at_least(&mut stage, &key.text, &token), refusal);
    stage.now = stage.now.plus_ms(300);
    let token = stage.token(published);
    let verdict = shell.invoke_at_least(&mut stage, &key.text, &token);
    assert_fresh(&verdict);
    assert_eq!(verdict.standing.unwrap().generation, published);
}

#[test]
fn forged_minimum_generation_is_ignored() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(300);
    let mut forged = stage.token(Generation(u64::MAX));
    forged.replace_range(21..22, if forged.ends_with('a') { "b" } else { "a" });
    for token in [forged.as_str(), "", "11", "18446744073709551615", &"0".repeat(22)] {
        assert_fresh(&shell.invoke_at_least(&mut stage, &key.text, token));
    }
    assert_eq!(shell.heads, 0);
}

#[test]
fn minimum_generation_of_an_unproven_caller_costs_nothing() {
    let (mut stage, mut shell, _) = staged();
    stage.now = after(300);
    let token = stage.token(Generation(999));
    let key = stage.made_up_key();
    assert_refused(&shell.invoke_at_least(&mut stage, &key, &token), MADE_UP);
    assert_eq!(shell.heads, 0);
}

#[test]
fn clock_set_back_confirms_nothing_until_asked() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(3000);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.now = after(1999);
    shell.network = Line::HeadDown;
    assert_refused(&shell.invoke(&mut stage, &key.text), PAST_GRACE);
    shell.network = Line::Up;
    stage.now = after(4000);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!(shell.heads, 2);
}

#[test]
fn moments_slightly_out_of_order_count_as_the_latest() {
    let (mut stage, mut shell, key) = staged();
    stage.now = after(3000);
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.now = after(2000);
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_eq!(verdict.standing.unwrap().age_ms, 3000);
}

#[test]
fn as_of_up_to_a_second_ahead_is_taken_and_no_further() {
    let (stage, mut shell, _) = staged();
    let head = stage.head_at(after(1001));
    assert_eq!(shell.gate.accept_head(&head, after(0)), Err(HeadRefusal::FromTheFuture { ahead_ms: 1001 }));
    assert_eq!(shell.gate.accept_head(&head, after(1)), Ok(HeadAccepted::Confirmed));
    assert_eq!(shell.gate.status(after(1)).age_ms, Some(0));
}

#[test]
fn cold_gate_fed_an_old_head_is_stale_from_the_start() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let old = stage.head();
    stage.now = after(60_000);
    let mut shell = Shell::new(stage.gate());
    shell.gate.accept_head(&old, stage.now).unwrap();
    shell.load(&stage);
    shell.network = Line::HeadDown;
    assert_stale(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn slow_looks_end_the_attempt() {
    let (mut stage, mut shell, key) = staged();
    shell.head_ms = 6000;
    stage.now = after(10_000);
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_eq!(shell.heads, 1);
    assert_fresh(&verdict);
}
