//! Sessions at the edge (IAM S1, S2, M5, M10, X3, X4, J5): the token says who, the request where, the snapshot as what.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::build::{Record, Signer, Standing};
use latchkey_snapshot::head::{InlineSubject, Reason};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{Query, TokenError};

const LIST: &str = "/v1/both/projects/alpha/files";

/// A request with a session's token, and a project in the header.
#[track_caller]
fn ask(
    shell: &mut Shell,
    stage: &mut Stage,
    token: &str,
    (method, path): (&str, &str),
    project: Header<'_>,
) -> Verdict {
    let bearer = format!("Bearer {token}");
    let request =
        Request { project, ..Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes())) };
    shell.ask(stage, &request, Question::Route)
}

const ALPHA: Header<'_> = Header::One(b"alpha");

fn no_project() -> Refusal {
    Refusal::NotFound(Absent::Project)
}

#[test]
fn token_that_is_none_is_401_on_every_path() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Admin, Role::Admin);
    let foreign = stage.token_signed(&person, &Signer::from_seed(&[66; 32]));
    let mut altered = stage.token_of(&person).into_bytes();
    altered[70] = if altered[70] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    stage.now = stage.now.plus_ms(3000);
    let ahead = stage.token_of(&person);
    stage.now = START;
    stage.publish();
    let mut shell = stage.warm_shell();
    for (token, error) in
        [("lkt_".to_owned(), TokenError::Length), (foreign, TokenError::Signer), (ahead, TokenError::Ahead)]
    {
        for path in [LIST, "/nowhere", "/a//b"] {
            let verdict = shell.route(&mut stage, &token, "GET", path);
            assert_refused(&verdict, Refusal::Unauthenticated(Unproven::Token(error)));
        }
    }
    let verdict = shell.route(&mut stage, &altered, "GET", LIST);
    assert!(matches!(verdict.outcome, Outcome::Refuse(Refusal::Unauthenticated(Unproven::Token(_)))));
    let token = stage.token_of(&person);
    assert_allowed(&shell.route(&mut stage, &token, "GET", LIST));
}

#[test]
fn token_is_good_until_it_expires_and_no_longer() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let token = stage.token_of(&person);
    for _ in 0..2 {
        assert_fresh(&shell.route(&mut stage, &token, "GET", LIST));
    }
    stage.now = UnixMillis(START.0 + 599_999);
    assert_fresh(&shell.route(&mut stage, &token, "GET", LIST));
    stage.now = UnixMillis(START.0 + 600_000);
    for path in [LIST, "/nowhere"] {
        let verdict = shell.route(&mut stage, &token, "GET", path);
        assert_refused(&verdict, Refusal::OutOfForce(Reason::Expired));
    }
}

#[test]
fn ended_session_is_revoked_while_its_token_is_still_good_s1() {
    let mut stage = Stage::new();
    let [inline, recorded] = [0; 2].map(|_| stage.add_collaborator(1, Role::Member, Role::Member));
    let forget = ExpiryMinute::floor(START.seconds().plus_secs(1200)).unwrap();
    stage.content.put(Record::EndedSession { session: recorded.session, forget });
    stage.publish();
    let mut shell = stage.warm_shell();
    let [inline_token, recorded_token] = [inline, recorded].map(|person| stage.token_of(&person));
    assert_allowed(&shell.route(&mut stage, &inline_token, "GET", LIST));
    for path in [LIST, "/nowhere", "/a//b"] {
        let verdict = shell.route(&mut stage, &recorded_token, "GET", path);
        assert_refused(&verdict, Refusal::OutOfForce(Reason::Revoked));
    }
    let tag = Query::ended_session(&stage.pepper, &inline.session).tag;
    stage.revoke_inline(InlineSubject::Tag(tag), Reason::Revoked);
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    let verdict = shell.route(&mut stage, &inline_token, "GET", LIST);
    assert_refused(&verdict, Refusal::OutOfForce(Reason::Revoked));
}

#[test]
fn whoever_is_no_collaborator_learns_nothing_r2() {
    let mut stage = Stage::new();
    let stranger = stage.add_person();
    let elsewhere = stage.add_collaborator(2, Role::Admin, Role::Admin);
    let unjoined = stage.add_person();
    stage.put_member(&unjoined, 1, Role::Admin);
    let removed = stage.add_person();
    stage.put_collaborator(&removed, 1, Role::Admin, Standing::Member);
    stage.add_resource(1, ResourceType::File, "file-a");
    stage.publish();
    let mut shell = stage.warm_shell();
    for person in [stranger, elsewhere, unjoined, removed] {
        let token = stage.token_of(&person);
        let id = project_id(1).to_string();
        for project in ["alpha", &id, "nobody", "No!", "proj_"] {
            for rest in ["files", "files/file-a", "files/none"] {
                let path = format!("/v1/both/projects/{project}/{rest}");
                let verdict = shell.route(&mut stage, &token, "GET", &path);
                assert_refused(&verdict, no_project());
            }
            let header = Header::One(project.as_bytes());
            let verdict = ask(&mut shell, &mut stage, &token, ("GET", "/v1/both/files/file-a"), header);
            assert_refused(&verdict, no_project());
        }
    }
}

/// The costs of a 404, and how they come about, are the same for a project that is not there and for one that is.
#[test]
fn unknown_project_costs_what_anothers_project_costs_r2() {
    let costs = |project: &str| {
        let mut stage = Stage::new();
        let person = stage.add_collaborator(2, Role::Member, Role::Member);
        stage.add_collaborator(1, Role::Member, Role::Member);
        stage.publish();
        let mut shell = Shell::new(stage.gate());
        shell.refresh(&stage);
        let token = stage.token_of(&person);
        stage.now = stage.now.plus_ms(300);
        let path = format!("/v1/both/projects/{project}/files");
        let cold = shell.route(&mut stage, &token, "GET", &path);
        assert_refused(&cold, no_project());
        let cold = (shell.heads, shell.objects);
        stage.now = stage.now.plus_ms(300);
        assert_refused(&shell.route(&mut stage, &token, "GET", &path), no_project());
        (cold, shell.heads, shell.objects)
    };
    let theirs = costs("alpha");
    for nobodys in ["nobody", "nothing-here", "zz9"] {
        assert_eq!(costs(nobodys), theirs);
    }
    assert!(theirs.1 == 2, "each looks at the head once: {theirs:?}");
}

#[test]
fn project_comes_from_the_path_or_from_one_header() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    stage.put_member(&person, 2, Role::Member);
    stage.put_collaborator(&person, 2, Role::Member, Standing::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let token = stage.token_of(&person);
    let id = project_id(2).to_string();
    let header = ("POST", "/v1/evaluations");
    for (route, project, expected) in [
        (header, Header::None, Err(Refusal::ProjectHeader(ProjectHeader::Missing))),
        (header, Header::Many, Err(Refusal::ProjectHeader(ProjectHeader::Several))),
        (("GET", LIST), Header::Many, Err(Refusal::ProjectHeader(ProjectHeader::Several))),
        (header, Header::One(b"alpha, alpha"), Err(no_project())),
        (header, Header::One(b"\xff\xff\xff"), Err(no_project())),
        (header, Header::One(b""), Err(no_project())),
        (("GET", LIST), Header::One(b"beta"), Err(no_project())),
        (("GET", LIST), Header::One(b"nobody"), Err(no_project())),
        (header, ALPHA, Ok(1)),
        (header, Header::One(id.as_bytes()), Ok(2)),
        (("GET", LIST), Header::None, Ok(1)),
        (("GET", LIST), ALPHA, Ok(1)),
    ] {
        let verdict = ask(&mut shell, &mut stage, &token, route, project);
        match expected {
            Err(refusal) => assert_refused(&verdict, refusal),
            Ok(number) => {
                let grant = assert_allowed(&verdict);
                assert_eq!(grant.subject, Subject::Session(person.identity));
                assert_eq!(grant.binding.project, ProjectNumber(number));
                assert_eq!(grant.binding.organization, OrganizationNumber(number * 10));
                assert_eq!(grant.binding.permissions, PermissionSet::of_project(Role::Member));
            }
        }
    }
}

/// A key names its own project, or none.
#[test]
fn key_with_the_header_of_another_project_is_404_k4() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let several = Refusal::ProjectHeader(ProjectHeader::Several);
    for (project, refusal) in [
        (Header::One(b"beta".as_slice()), no_project()),
        (Header::One(b"nobody"), no_project()),
        (Header::One(b"No!"), no_project()),
        (Header::Many, several),
    ] {
        let verdict = ask(&mut shell, &mut stage, &key.text, ("POST", "/v1/inference"), project);
        assert_refused(&verdict, refusal);
    }
    assert_allowed(&ask(&mut shell, &mut stage, &key.text, ("POST", "/v1/inference"), ALPHA));
}

#[test]
fn role_is_the_projects_and_an_admin_of_the_organization_is_admin_j5() {
    let mut stage = Stage::new();
    let member = stage.add_collaborator(1, Role::Member, Role::Member);
    let admin = stage.add_collaborator(1, Role::Member, Role::Admin);
    let above = stage.add_collaborator(1, Role::Admin, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let create = ("DELETE", "/v1/both/clusters");
    let token = stage.token_of(&member);
    let verdict = ask(&mut shell, &mut stage, &token, create, ALPHA);
    assert_refused(&verdict, Refusal::Forbidden(Permission::ClustersDelete));
    for person in [admin, above] {
        let token = stage.token_of(&person);
        let grant = assert_allowed(&ask(&mut shell, &mut stage, &token, create, ALPHA));
        assert_eq!(grant.binding.role, Some(Role::Admin));
        // A session may manage, which no key ever may (K6b).
        assert_allowed(&ask(&mut shell, &mut stage, &token, ("GET", "/v1/keys"), ALPHA));
        assert_allowed(&ask(&mut shell, &mut stage, &token, ("PUT", "/v1/external"), ALPHA));
    }
}

#[test]
fn removal_ends_a_good_token_inline_m5_j9() {
    let mut stage = Stage::new();
    let [from_project, from_organization] =
        [0; 2].map(|_| stage.add_collaborator(1, Role::Member, Role::Member));
    stage.publish();
    let mut shell = stage.warm_shell();
    let tags = [
        Query::collaboration(&stage.pepper, &from_project.identity, ProjectNumber(1)).tag,
        Query::membership(&stage.pepper, &from_organization.identity, OrganizationNumber(10)).tag,
    ];
    for (person, tag) in [from_project, from_organization].into_iter().zip(tags) {
        let token = stage.token_of(&person);
        assert_allowed(&shell.route(&mut stage, &token, "GET", LIST));
        stage.revoke_inline(InlineSubject::Tag(tag), Reason::Revoked);
        stage.now = stage.now.plus_ms(300);
        shell.refresh(&stage);
        assert_refused(&shell.route(&mut stage, &token, "GET", LIST), no_project());
    }
}

#[test]
fn external_is_let_in_while_the_switch_is_on_and_its_time_lasts_x3_x4() {
    let mut stage = Stage::new();
    let minute = ExpiryMinute::floor(START.seconds()).unwrap();
    let ends = ExpiryMinute(minute.0 + 2);
    let lasting = stage.add_person();
    stage.put_collaborator(&lasting, 1, Role::Admin, Standing::External { ends: None });
    let ending = stage.add_person();
    stage.put_collaborator(&ending, 1, Role::Member, Standing::External { ends: Some(ends) });
    stage.publish();
    let mut shell = stage.warm_shell();
    let [lasting, ending] = [lasting, ending].map(|person| stage.token_of(&person));
    // X3: all of P2 but the switch itself.
    let verdict = ask(&mut shell, &mut stage, &lasting, ("PUT", "/v1/external"), ALPHA);
    assert_refused(&verdict, Refusal::Forbidden(Permission::ProjectExternalWrite));
    for token in [&lasting, &ending] {
        assert_allowed(&shell.route(&mut stage, token, "GET", LIST));
    }
    stage.now = UnixMillis(ends.begins().millis().0 - 1);
    shell.refresh(&stage);
    assert_allowed(&shell.route(&mut stage, &ending, "GET", LIST));
    stage.now = ends.begins().millis();
    assert_refused(&shell.route(&mut stage, &ending, "GET", LIST), no_project());
    assert_allowed(&shell.route(&mut stage, &lasting, "GET", LIST));
    stage.exceptions = Exceptions::default().with_closed_to_externals([ProjectNumber(1)]);
    stage.publish();
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    assert_refused(&shell.route(&mut stage, &lasting, "GET", LIST), no_project());
}

/// Whoever became a member of the organization is no external any more, whatever the record still says.
#[test]
fn member_is_let_in_whatever_the_switch_says() {
    let mut stage = Stage::new();
    let person = stage.add_person();
    stage.put_member(&person, 1, Role::Member);
    stage.put_collaborator(&person, 1, Role::Member, Standing::External { ends: None });
    stage.exceptions = Exceptions::default().with_closed_to_externals([ProjectNumber(1)]);
    stage.publish();
    let mut shell = stage.warm_shell();
    let token = stage.token_of(&person);
    assert_allowed(&shell.route(&mut stage, &token, "GET", LIST));
}

#[test]
fn suspended_organization_is_403_to_a_collaborator_and_404_to_a_stranger_o6() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Admin, Role::Admin);
    let stranger = stage.add_person();
    let [token, foreign] = [person, stranger].map(|person| stage.token_of(&person));
    for exceptions in [
        Exceptions::default().with_suspended([OrganizationNumber(10)]),
        Exceptions::default().with_archived([ProjectNumber(1)]),
    ] {
        stage.exceptions = exceptions;
        stage.publish();
        let mut shell = stage.warm_shell();
        let verdict = shell.route(&mut stage, &token, "GET", LIST);
        assert_refused(&verdict, Refusal::Suspended);
        let Outcome::Refuse(refusal) = verdict.outcome else { unreachable!() };
        assert_eq!((refusal.class(), refusal.code()), (Class::Forbidden, "suspended"));
        assert_refused(&shell.route(&mut stage, &foreign, "GET", LIST), no_project());
    }
    stage.exceptions = Exceptions::default();
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_allowed(&shell.route(&mut stage, &token, "GET", LIST));
    stage.revoke_inline(InlineSubject::Organization(OrganizationNumber(10)), Reason::Suspended);
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    assert_refused(&shell.route(&mut stage, &token, "GET", LIST), Refusal::Suspended);
}

#[test]
fn session_is_refused_by_whoami_k11() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Admin, Role::Admin);
    stage.publish();
    let mut shell = stage.warm_shell();
    let bearer = format!("Bearer {}", stage.token_of(&person));
    let request = Request::new("GET", b"/v1/whoami", Header::One(bearer.as_bytes()));
    let verdict = shell.ask(&mut stage, &request, Question::Whoami);
    assert_refused(&verdict, Refusal::KeyNeeded);
}

/// Rules of freshness are the same for sessions.
#[test]
fn stale_gate_and_minimum_generation_hold_for_sessions() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Admin, Role::Admin);
    stage.publish();
    let mut shell = stage.warm_shell();
    let token = stage.token_of(&person);
    let bearer = format!("Bearer {token}");
    let ahead = stage.token(Generation(stage.generation.0 + 1));
    let request = Request {
        min_generation: Some(ahead.as_bytes()),
        ..Request::new("GET", LIST.as_bytes(), Header::One(bearer.as_bytes()))
    };
    let verdict = shell.ask(&mut stage, &request, Question::Route);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::GenerationNotReached));
    shell.network = Line::HeadDown;
    stage.now = stage.now.plus_ms(10_000);
    assert_stale(&shell.route(&mut stage, &token, "GET", LIST));
    let verdict = ask(&mut shell, &mut stage, &token, ("POST", "/v1/both/clusters"), ALPHA);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::NotFresh));
    stage.now = stage.now.plus_ms(u64::from(GRACE_SECS) * 1000);
    let token = stage.token_of(&person);
    let verdict = shell.route(&mut stage, &token, "GET", LIST);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::PastGrace));
}

#[test]
fn token_of_a_key_that_is_newer_than_the_manifest_is_found() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let next = Signer::from_seed(&[67; 32]);
    stage.session_keys.push(session_key(&next));
    stage.publish();
    let token = stage.token_signed(&person, &next);
    stage.now = stage.now.plus_ms(300);
    assert_fresh(&shell.route(&mut stage, &token, "GET", LIST));
    // A signing key that is gone takes its tokens along, verified before or not.
    stage.session_keys.pop();
    stage.publish();
    stage.now = stage.now.plus_ms(300);
    shell.refresh(&stage);
    let verdict = shell.route(&mut stage, &token, "GET", LIST);
    assert_refused(&verdict, Refusal::Unauthenticated(Unproven::Token(TokenError::Signer)));
}

#[test]
fn cold_gate_ends_its_loop_for_a_session_with_everything() {
    let mut stage = Stage::new();
    let person = stage.add_collaborator(1, Role::Member, Role::Member);
    let other = stage.add_person();
    let forget = ExpiryMinute::floor(START.seconds().plus_secs(1200)).unwrap();
    stage.content.put(Record::EndedSession { session: other.session, forget });
    stage.add_resource(1, ResourceType::File, "mine");
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    let token = stage.token_of(&person);
    let verdict = shell.route(&mut stage, &token, "GET", "/v1/both/projects/alpha/files/mine");
    let grant = assert_allowed(&verdict);
    assert_eq!((shell.heads, shell.objects), (1, 1 + 5 * 2));
    let mut attempt = Attempt::default();
    assert!(matches!(shell.gate.names(&grant.binding, stage.now, &mut attempt), NamesStep::Ask(_)));
}
