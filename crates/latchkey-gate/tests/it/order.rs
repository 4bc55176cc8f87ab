//! IAM R5: of two reasons to refuse, the earlier one is told, for every pair of neighbours and so for every pair.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::{NarrowingContent, Record};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{KeyState, ResourcePattern};

const NOWHERE: &str = "192.0.2.1";

/// What is wrong with a key's request; each may come with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Credential,
    State,
    Path,
    Route,
    Project,
    Permission,
    Resource,
    Network,
    Kind,
    Budget,
    Freshness,
}

const ORDER: [Wrong; 11] = [
    Wrong::Credential,
    Wrong::State,
    Wrong::Path,
    Wrong::Route,
    Wrong::Project,
    Wrong::Permission,
    Wrong::Resource,
    Wrong::Network,
    Wrong::Kind,
    Wrong::Budget,
    Wrong::Freshness,
];

fn told(wrong: Wrong) -> Refusal {
    match wrong {
        Wrong::Credential => MADE_UP,
        Wrong::State => Refusal::OutOfForce(Reason::Disabled),
        Wrong::Path => Refusal::BadRequest(PathError::EmptySegment),
        Wrong::Route => Refusal::NotFound(Absent::Route),
        Wrong::Project => Refusal::NotFound(Absent::Project),
        Wrong::Permission => Refusal::Forbidden(Permission::FilesCreate),
        Wrong::Resource => Refusal::Narrowed(Narrowed::Resource),
        Wrong::Network => Refusal::NetworkNotAllowed,
        Wrong::Kind => Refusal::CredentialKind,
        Wrong::Budget => Refusal::BudgetExhausted,
        Wrong::Freshness => Refusal::Unavailable(Unavailable::NotFresh),
    }
}

/// The answer to a request with a key with which these things are wrong.
fn answer(wrong: &[Wrong]) -> Verdict {
    let is = |one: Wrong| wrong.contains(&one);
    let mut stage = Stage::new();
    let networks = [Network::parse("10.0.0.0/8").unwrap()];
    let resources = [ResourcePattern {
        resource: ResourceType::File,
        matching: Matching::Exact,
        text: ResourceId::parse("other").unwrap(),
    }];
    let mut key = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent {
            networks: if is(Wrong::Network) { &networks } else { &[] },
            resources: if is(Wrong::Resource) { &resources } else { &[] },
            ..NarrowingContent::default()
        });
        key.out_of_budget = is(Wrong::Budget);
        if is(Wrong::State) {
            key.state = KeyState::Disabled;
        }
        if is(Wrong::Permission) {
            key.binding.permissions = PermissionSet::EMPTY.with(Permission::FilesView);
        }
    });
    if is(Wrong::Credential) {
        key.text = stage.made_up_key();
    }
    stage.rules.push(put_file(is(Wrong::Kind)));
    stage.rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
    stage.add_resource(1, ResourceType::File, "file-a");
    stage.publish();
    let mut shell = stage.warm_shell();
    if is(Wrong::Freshness) {
        shell.network = Line::HeadDown;
        stage.now = stage.now.plus_ms(2000);
    }
    let project = if is(Wrong::Project) { "beta" } else { "alpha" };
    let path = match (is(Wrong::Path), is(Wrong::Route)) {
        (true, true) => format!("/v1//nowhere/{project}"),
        (true, false) => format!("/v1/put/{project}//file-a"),
        (false, true) => format!("/v1/nowhere/{project}"),
        (false, false) => format!("/v1/put/{project}/file-a"),
    };
    let bearer = format!("Bearer {}", key.text);
    let request = Request {
        client: Some(NOWHERE.parse().unwrap()),
        ..Request::new("PUT", path.as_bytes(), Header::One(bearer.as_bytes()))
    };
    shell.ask(&mut stage, &request, Question::Route)
}

fn put_file(sessions_alone: bool) -> latchkey_snapshot::Rule {
    use latchkey_snapshot::{Credentials, Freshness, ResourceSource, Rule, Source};
    Rule {
        freshness: Freshness::FreshOnly,
        credentials: if sessions_alone { Credentials::Sessions } else { Credentials::Keys },
        project: Some(Source::Path("project".into())),
        resource: Some(ResourceSource { resource: ResourceType::File, source: Source::Path("file".into()) }),
        ..rule("PUT", "/v1/put/{project}/{file}", Permission::FilesCreate)
    }
}

#[test]
fn earlier_reason_is_told_r5() {
    assert_allowed(&answer(&[]));
    for (at, first) in ORDER.into_iter().enumerate() {
        assert_refused(&answer(&[first]), told(first));
        for second in &ORDER[at + 1..] {
            let verdict = answer(&[first, *second]);
            assert_eq!(verdict.outcome, Outcome::Refuse(told(first)), "{first:?} before {second:?}");
        }
    }
    assert_refused(&answer(&ORDER), told(Wrong::Credential));
}

/// The same of a session: each line is refused for a later reason than the one above it.
#[test]
fn earlier_reason_is_told_to_a_session_too_r5() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    let ended = stage.add_collaborator(1, Role::Member, Role::Member);
    let stranger = stage.add_person();
    let forget = ExpiryMinute::floor(START.seconds().plus_secs(1200)).unwrap();
    stage.content.put(Record::EndedSession { session: ended.session, forget });
    let all = Exceptions::default()
        .with_suspended([OrganizationNumber(10)])
        .with_projects_out_of_budget([ProjectNumber(1)]);
    let budget = Exceptions::default().with_projects_out_of_budget([ProjectNumber(1)]);
    let alpha = Some("alpha");
    let steps = [
        (&all, &ended, "DELETE", "/nowhere", None, Refusal::OutOfForce(Reason::Revoked)),
        (&all, &person, "DELETE", "/nowhere", None, Refusal::NotFound(Absent::Route)),
        (&all, &person, "POST", "/v1/chat", None, Refusal::ProjectHeader(ProjectHeader::Missing)),
        (&all, &stranger, "DELETE", "/v1/both/clusters", alpha, Refusal::NotFound(Absent::Project)),
        (&all, &person, "GET", "/v1/both/files/none", alpha, Refusal::NotFound(Absent::Resource)),
        (&all, &person, "DELETE", "/v1/both/clusters", alpha, Refusal::Suspended),
        (
            &budget,
            &person,
            "POST",
            "/v1/both/clusters",
            alpha,
            Refusal::Forbidden(Permission::ClustersCreate),
        ),
        (&budget, &person, "POST", "/v1/chat", alpha, Refusal::CredentialKind),
        (&budget, &person, "POST", "/v1/evaluations", alpha, Refusal::BudgetExhausted),
    ];
    for (exceptions, person, method, path, project, refusal) in steps {
        stage.exceptions = exceptions.clone();
        stage.publish();
        let mut shell = stage.warm_shell();
        let bearer = format!("Bearer {}", stage.token_of(person));
        let request = Request {
            project: project.map_or(Header::None, |text: &str| Header::One(text.as_bytes())),
            ..Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes()))
        };
        assert_refused(&shell.ask(&mut stage, &request, Question::Route), refusal);
    }
}

/// A request that is judged anew after a wait counts once, as what it was answered; so does one that the shell refuses.
#[test]
fn request_counts_once_as_its_last_answer() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let shell = stage.warm_shell();
    let bearer = format!("Bearer {}", key.text);
    let request = Request::new("POST", b"/v1/inference", Header::One(bearer.as_bytes()));
    let count = |cause: &str| {
        let counts = shell.gate.status(stage.now).counts;
        counts.iter().find(|count| count.cause == cause).unwrap().times
    };
    let mut attempt = Attempt::default();
    let mut decide = || match shell.gate.decide(&request, Question::Route, stage.now, &mut attempt) {
        Step::Answer(verdict) => verdict,
        Step::Ask(ask) => panic!("{ask:?}"),
    };
    let (_, _, verdict) = (decide(), decide(), decide());
    assert_eq!((count("allowed"), count("rate_limited")), (1, 0));
    let verdict = shell.gate.refused_for_rate(Refusal::RateLimited, &verdict, &mut attempt);
    assert_refused(&verdict, Refusal::RateLimited);
    assert_eq!((count("allowed"), count("rate_limited")), (0, 1));
    // What goes on is judged again, and no answer.
    let before = shell.gate.status(stage.now);
    let made_up = Request::new("POST", b"/v1/inference", Header::None);
    for request in [&request, &request, &made_up] {
        let step = shell.gate.decide(request, Question::Route, stage.now, &mut Attempt::again());
        assert!(matches!(step, Step::Answer(_)));
    }
    let after = shell.gate.status(stage.now);
    assert_eq!((after.counts, after.rejudged), (before.counts, Rejudged { allowed: 2, refused: 1 }));
    assert_eq!(Refusal::RateLimited.class(), Class::TooMany);
    assert!(Refusal::RateLimited.retry_after_secs().is_some());
}
