//! Questions whose answer is no must not become a storm of fetches, whoever asks them; and beyond a ration, "cannot
//! tell" is 503, never 401 or 404.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;

const OUT_OF_REACH: Refusal = Refusal::Unavailable(Unavailable::OutOfReach);
const NO_RESOURCE: Refusal = Refusal::NotFound(Absent::Resource);
const NO_PROJECT: Refusal = Refusal::NotFound(Absent::Project);

/// A gate that holds keys, project references and sessions, and nothing else. Its counts begin here.
fn lazy() -> (Stage, Shell, Key, Person) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Admin);
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    let other = stage.add_person();
    stage.content.put(latchkey_snapshot::build::Record::EndedSession {
        session: other.session,
        forget: ExpiryMinute(u32::MAX / 2),
    });
    stage.add_resource(1, ResourceType::File, "file");
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_refused(&shell.route(&mut stage, &key.text, "GET", "/v1/projects/gone/files"), NO_PROJECT);
    stage.now = stage.now.plus_ms(1000);
    shell.refresh(&stage);
    (shell.heads, shell.objects) = (0, 0);
    (stage, shell, key, person)
}

#[test]
fn minted_keys_that_nobody_knows_cost_a_ration_of_fetches() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    (shell.heads, shell.objects) = (0, 0);
    shell.network = Line::ObjectsDown;
    for _ in 0..500 {
        let unsaid = stage.unsaid_key();
        assert_refused(&shell.invoke(&mut stage, &unsaid), OUT_OF_REACH);
    }
    assert_eq!((shell.objects as u64, shell.heads), (PROVE_PER_SECOND_MAX, 0));
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(1000);
    for _ in 0..500 {
        let unsaid = stage.unsaid_key();
        assert_refused(&shell.invoke(&mut stage, &unsaid), UNKNOWN);
    }
    // The node and the page that would know.
    assert_eq!((shell.objects as u64, shell.heads), (PROVE_PER_SECOND_MAX + 2, 1));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn made_up_keys_cost_nothing_however_little_is_held() {
    let (mut stage, mut shell, ..) = lazy();
    for _ in 0..500 {
        let made_up = stage.made_up_key();
        assert_refused(&shell.invoke(&mut stage, &made_up), MADE_UP);
    }
    assert_eq!((shell.objects, shell.heads), (0, 0));
}

#[test]
fn key_that_names_random_resources_costs_a_ration_of_fetches() {
    let (mut stage, mut shell, key, _) = lazy();
    shell.network = Line::ObjectsDown;
    for at in 0..500 {
        let verdict = shell.route(&mut stage, &key.text, "GET", &format!("/v1/files/random-{at}"));
        assert_refused(&verdict, OUT_OF_REACH);
    }
    assert_eq!((shell.objects as u64, shell.heads), (NAMED_PER_SECOND_MAX, 0));
    // What others need to be proven has a ration of its own, and what is held is answered.
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(1000);
    for at in 0..500 {
        let verdict = shell.route(&mut stage, &key.text, "GET", &format!("/v1/files/random-{at}"));
        assert_refused(&verdict, NO_RESOURCE);
    }
    assert_eq!((shell.objects as u64, shell.heads), (NAMED_PER_SECOND_MAX + 2, 1));
}

#[test]
fn session_that_names_random_projects_costs_a_ration_of_fetches() {
    for holds_references in [false, true] {
        let mut stage = Stage::new();
        let key = stage.add_key(1, Role::Admin);
        let person = stage.add_collaborator(1, Role::Member, Role::Member);
        stage.publish();
        let token = stage.token_of(&person);
        let mut shell = Shell::new(stage.gate());
        assert_fresh(&shell.invoke(&mut stage, &key.text));
        if holds_references {
            let verdict = shell.route(&mut stage, &key.text, "GET", "/v1/projects/gone/files");
            assert_refused(&verdict, NO_PROJECT);
        }
        stage.now = stage.now.plus_ms(1000);
        shell.refresh(&stage);
        shell.network = Line::ObjectsDown;
        (shell.heads, shell.objects) = (0, 0);
        for at in 0..500 {
            let path = format!("/v1/both/projects/random-{at}/files");
            assert_refused(&shell.route(&mut stage, &token, "GET", &path), OUT_OF_REACH);
        }
        assert_eq!((shell.objects as u64, shell.heads), (NAMED_PER_SECOND_MAX, 0));
    }
}

#[test]
fn unknown_things_look_at_the_head_four_times_a_second_together() {
    let (mut stage, mut shell, key, person) = lazy();
    shell.load(&stage);
    (shell.heads, shell.objects) = (0, 0);
    let token = stage.token_of(&person);
    for ms in 0..1000 {
        stage.now = stage.now.plus_ms(1);
        let unsaid = stage.unsaid_key();
        assert_refused(&shell.invoke(&mut stage, &unsaid), UNKNOWN);
        let verdict = shell.route(&mut stage, &key.text, "GET", &format!("/v1/files/random-{ms}"));
        assert_refused(&verdict, NO_RESOURCE);
        let path = format!("/v1/both/projects/random-{ms}/files");
        assert_refused(&shell.route(&mut stage, &token, "GET", &path), NO_PROJECT);
    }
    assert_eq!((shell.heads, shell.objects), (4, 0));
}

#[test]
fn models_are_looked_up_nowhere() {
    let (mut stage, mut shell, key, _) = lazy();
    for at in 0..100 {
        let verdict = shell.route(&mut stage, &key.text, "POST", &format!("/v1/models/random-{at}"));
        assert_fresh(&verdict);
    }
    assert_eq!((shell.heads, shell.objects), (0, 0));
}

#[test]
fn what_the_next_snapshot_waits_for_is_asked_for_in_a_ration() {
    let (mut stage, mut shell, key, _) = lazy();
    shell.load(&stage);
    stage.publish();
    stage.now = stage.now.plus_ms(300);
    shell.gate.accept_head(&stage.head(), stage.now).unwrap();
    shell.network = Line::ObjectsDown;
    (shell.heads, shell.objects) = (0, 0);
    for at in 0..300 {
        let verdict = shell.route(&mut stage, &key.text, "GET", &format!("/v1/files/random-{at}"));
        assert_refused(&verdict, NO_RESOURCE);
    }
    assert!(shell.objects as u64 <= PURSUE_PER_SECOND_MAX && shell.heads <= 1, "{} objects", shell.objects);
    // Once it can be had it is there.
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(1000);
    shell.route(&mut stage, &key.text, "GET", "/v1/files/random");
    assert_eq!(shell.gate.status(stage.now).generation, Some(stage.generation));
}

#[test]
fn pages_that_come_and_go_are_fetched_in_a_ration() {
    let (mut stage, keys) = crate::memory::crowded();
    let mut shell = Shell::new(crate::memory::small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    shell.objects = 0;
    let mut answers = [0, 0];
    for key in keys.iter().cycle().take(1000) {
        match shell.invoke(&mut stage, &key.text).outcome {
            Outcome::Allow(_) => answers[0] += 1,
            Outcome::Pass(pass) => panic!("no route is public or in shadow: {pass:?}"),
            Outcome::Refuse(refusal) => {
                assert_eq!(refusal, OUT_OF_REACH);
                answers[1] += 1;
            }
        }
    }
    assert!(answers[0] > 300 && answers[1] > 100, "let in, cannot tell: {answers:?}");
    assert!(shell.objects as u64 <= PROVE_PER_SECOND_MAX, "{} objects", shell.objects);
}

#[test]
fn whoever_needs_a_page_that_is_on_its_way_waits_with_the_others() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    let bearer = format!("Bearer {}", key.text);
    let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
    let ask =
        |shell: &Shell| shell.gate.decide(&request, Question::Route, stage.now, &mut Attempt::default());
    let first = ask(&shell);
    assert!(matches!(first, Step::Ask(Ask::Objects(_))));
    for _ in 0..1000 {
        assert_eq!(ask(&shell), first, "the same object, not 503");
    }
}

#[test]
fn names_that_cannot_be_had_cost_a_ration_of_fetches() {
    let (mut stage, mut shell, key, _) = lazy();
    shell.network = Line::ObjectsDown;
    for _ in 0..500 {
        assert_eq!(shell.project_name(&stage, &key.binding), None);
    }
    assert_eq!(shell.objects as u64, NAMED_PER_SECOND_MAX);
    shell.network = Line::Up;
    stage.now = stage.now.plus_ms(1000);
    assert_eq!(shell.project_name(&stage, &key.binding).as_deref(), Some("ALPHA"));
}

/// More pages of names than stay however little memory there is.
#[test]
fn pages_of_names_that_come_and_go_are_fetched_in_a_ration() {
    const PROJECTS: u32 = 5000;
    let mut stage = Stage::new();
    (3..PROJECTS).for_each(|number| stage.add_project(number, &format!("project-{number}")));
    stage.publish();
    let mut shell = Shell::new(crate::memory::small_gate(&stage));
    shell.refresh(&stage);
    shell.load(&stage);
    shell.objects = 0;
    let mut answers = [0, 0];
    for number in (1..PROJECTS).step_by(125).cycle().take(2000) {
        stage.now = stage.now.plus_ms(1);
        let binding = latchkey_snapshot::Binding {
            project: ProjectNumber(number),
            organization: OrganizationNumber(number * 10),
            role: None,
            permissions: PermissionSet::EMPTY,
        };
        answers[usize::from(shell.project_name(&stage, &binding).is_none())] += 1;
    }
    assert!(shell.gate.status(stage.now).evictions > 0);
    assert!(answers[0] > 50 && answers[1] > 500, "told, cannot tell: {answers:?}");
    assert!(shell.objects as u64 <= 2 * NAMED_PER_SECOND_MAX, "{} objects in two seconds", shell.objects);
}
