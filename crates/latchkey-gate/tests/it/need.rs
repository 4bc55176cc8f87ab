//! What an application says that it needs is judged as a rule that says the same.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::NarrowingContent;
use latchkey_snapshot::{Credentials, ModelPattern, ResourcePattern};

/// A need, and the method and path by which a rule of the stage says the same.
fn pairs() -> Vec<(Need, &'static str, &'static str)> {
    let view = || Need::new(Permission::FilesView);
    let read = || Need::new(Permission::FilesRead);
    let invoke = || Need::new(Permission::InferenceInvoke);
    let both = Credentials::Any;
    vec![
        (invoke(), "POST", "/v1/inference"),
        (view().in_project("alpha"), "GET", "/v1/projects/alpha/files"),
        (view().in_project("beta"), "GET", "/v1/projects/beta/files"),
        (view().in_project("nobody"), "GET", "/v1/projects/nobody/files"),
        (view().in_project("%"), "GET", "/v1/projects/%25/files"),
        (read().in_project("alpha").on(ResourceType::File, "one"), "GET", "/v1/projects/alpha/files/one"),
        (read().on(ResourceType::File, "one"), "GET", "/v1/files/one"),
        (read().on(ResourceType::File, "team-a"), "GET", "/v1/files/team-a"),
        (read().on(ResourceType::File, "none"), "GET", "/v1/files/none"),
        (read().on(ResourceType::File, "a b"), "GET", "/v1/files/a%20b"),
        (Need::new(Permission::ClustersCreate), "POST", "/v1/clusters"),
        (
            Need::new(Permission::ClustersDelete).in_project("alpha").fresh_only(),
            "DELETE",
            "/v1/projects/alpha/clusters",
        ),
        (Need::new(Permission::BatchCreate).fresh_only(), "POST", "/v1/batches"),
        (Need::new(Permission::EvaluationsCreate).of(both), "POST", "/v1/evaluations"),
        (view().in_project("alpha").of(both), "GET", "/v1/both/projects/alpha/files"),
        (view().in_project("beta").of(both), "GET", "/v1/both/projects/beta/files"),
        (view().of(Credentials::Sessions), "GET", "/v1/sessions/files"),
        (invoke().with_model("meta/llama-3"), "POST", "/v1/models/meta/llama-3"),
        (invoke().with_model("other"), "POST", "/v1/models/other"),
    ]
}

fn credentials(stage: &mut Stage) -> Vec<String> {
    let files = [ResourcePattern {
        resource: ResourceType::File,
        matching: Matching::Prefix,
        text: ResourceId::parse("team-").unwrap(),
    }];
    let models = [ModelPattern { matching: Matching::Prefix, text: ModelName::parse("meta/").unwrap() }];
    let mut narrowed = |content: NarrowingContent<'_>| {
        stage.add_key_with(1, Role::Member, |key| key.narrowing = narrowing(content)).text
    };
    let mut all = vec![
        narrowed(NarrowingContent { resources: &files, ..NarrowingContent::default() }),
        narrowed(NarrowingContent { models: &models, ..NarrowingContent::default() }),
    ];
    for (project, role) in [(1, Role::Member), (1, Role::Admin), (2, Role::Admin)] {
        all.push(stage.add_key(project, role).text);
    }
    all.push(stage.add_key_with(1, Role::Admin, |key| key.out_of_budget = true).text);
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    all.push(stage.token_of(&person));
    all.push("lk_made_up".to_owned());
    all
}

#[test]
fn need_is_judged_as_the_rule_that_says_the_same() {
    let mut stage = Stage::new();
    let credentials = credentials(&mut stage);
    for id in ["one", "team-a"] {
        stage.add_resource(1, ResourceType::File, id);
    }
    stage.publish();
    let (mut shell, mut allowed) = (stage.warm_shell(), 0);
    for credential in &credentials {
        let bearer = format!("Bearer {credential}");
        for project in [Header::None, Header::One(b"alpha"), Header::One(b"beta"), Header::Many] {
            for (need, method, path) in &pairs() {
                let by_rule = Request {
                    project,
                    ..Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes()))
                };
                // No rule has this one, and it is not even canonical.
                let by_need = Request { need: Some(need), path: b"//", ..by_rule };
                let [rule, said] = [by_rule, by_need]
                    .map(|request| shell.ask(&mut stage, &request, Question::Route).outcome);
                assert_eq!(rule, said, "{need:?} {method} {path}");
                allowed += usize::from(matches!(said, Outcome::Allow(_)));
            }
        }
    }
    assert!(allowed > 50, "{allowed}");
}

#[test]
fn model_in_the_body_is_asked_for_and_judged() {
    let mut stage = Stage::new();
    let models = [ModelPattern { matching: Matching::Exact, text: ModelName::parse("small").unwrap() }];
    let key = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent { models: &models, ..NarrowingContent::default() });
    });
    stage.publish();
    let mut shell = stage.warm_shell();
    let need = Need::new(Permission::InferenceInvoke).with_model_in_body("model");
    let bearer = format!("Bearer {}", key.text);
    let request = Request { need: Some(&need), ..Request::new("POST", b"/", Header::One(bearer.as_bytes())) };
    for (body, refusal) in [
        ("{\"model\":\"large\"}", Some(Narrowed::Model)),
        ("{\"model\":\"small\",\"Model\":\"large\"}", Some(Narrowed::ModelUnseen)),
        ("", Some(Narrowed::ModelUnseen)),
        ("{\"model\":\"small\"}", None),
    ] {
        shell.body = body.as_bytes().to_vec();
        let verdict = shell.ask(&mut stage, &request, Question::Route);
        match refusal {
            Some(narrowed) => assert_refused(&verdict, Refusal::Narrowed(narrowed)),
            None => drop(assert_allowed(&verdict)),
        }
    }
}

#[test]
fn no_public_route_and_no_shadow_opens_what_an_application_needs() {
    let mut stage = Stage::new();
    let until = Some(UnixSeconds(START.seconds().0 + 86_400));
    stage.rules = vec![
        latchkey_snapshot::Rule::new("GET", "/v1/public", latchkey_snapshot::Access::Public),
        latchkey_snapshot::Rule { shadow_until: until, ..rule("GET", "/v1/shadow", Permission::FilesView) },
    ];
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let need = Need::new(Permission::ClustersCreate);
    let bearer = format!("Bearer {}", key.text);
    for path in ["/v1/public", "/v1/shadow"] {
        let request = Request::new("GET", path.as_bytes(), Header::One(bearer.as_bytes()));
        let verdict = shell.ask(&mut stage, &request, Question::Route);
        assert!(!matches!(verdict.outcome, Outcome::Refuse(_)), "the stage is another than meant");
        let request = Request { need: Some(&need), ..request };
        let verdict = shell.ask(&mut stage, &request, Question::Route);
        assert_refused(&verdict, Refusal::Forbidden(Permission::ClustersCreate));
        assert_eq!(verdict.matched, None);
    }
}
