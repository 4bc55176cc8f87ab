//! IAM R1, R2 and R5: who is told what, and in which order.

use crate::stage::*;
use latchkey_core::*;
use latchkey_gate::*;
use latchkey_snapshot::head::{InlineSubject, Reason};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{KeyState, TokenError};

const INFERENCE: (&str, &[u8]) = ("POST", b"/v1/inference");

fn request<'a>(authorization: Header<'a>, (method, path): (&'a str, &'a [u8])) -> Request<'a> {
    Request::new(method, path, authorization)
}

#[test]
fn without_a_proven_credential_every_path_is_401() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = stage.warm_shell();
    let lower = format!("bearer {}", key.text);
    for (value, expected) in [
        (String::new(), Unproven::Scheme),
        ("Bearer".into(), Unproven::Scheme),
        ("Bearer ".into(), Unproven::Malformed(KeyError::Length)),
        (format!("Bearer  {}", key.text), Unproven::Malformed(KeyError::Length)),
        (format!("Bearer {} ", key.text), Unproven::Malformed(KeyError::Length)),
        (format!("Bearer\t{}", key.text), Unproven::Scheme),
        (format!("Basic {}", key.text), Unproven::Scheme),
        (key.text.clone(), Unproven::Scheme),
        (format!("Bearer {}x", &key.text[..key.text.len() - 1]), Unproven::Malformed(KeyError::Checksum)),
        (format!("Bearer x{}", &key.text[1..]), Unproven::Unknown),
        ("Bearer short".into(), Unproven::Malformed(KeyError::Length)),
        ("Bearer lkt_short".into(), Unproven::Token(TokenError::Length)),
        (format!("Bearer {}", stage.made_up_key()), Unproven::MadeUp),
        (format!("Bearer {}", stage.unsaid_key()), Unproven::Unknown),
    ] {
        for path in [INFERENCE, ("GET", b"/nowhere"), ("GET", b"/../etc"), ("GET", b"")] {
            for question in [Question::Route, Question::Whoami] {
                let request = request(Header::One(value.as_bytes()), path);
                let verdict = shell.ask(&mut stage, &request, question);
                assert_refused(&verdict, Refusal::Unauthenticated(expected));
            }
        }
    }
    for (authorization, expected) in [(Header::None, Unproven::Missing), (Header::Many, Unproven::Several)] {
        let verdict = shell.ask(&mut stage, &request(authorization, INFERENCE), Question::Route);
        assert_refused(&verdict, Refusal::Unauthenticated(expected));
    }
    let verdict = shell.ask(&mut stage, &request(Header::One(lower.as_bytes()), INFERENCE), Question::Route);
    assert_allowed(&verdict);
}

#[test]
fn unknown_and_malformed_are_one_answer_r1() {
    for unproven in
        [Unproven::Missing, Unproven::Malformed(KeyError::Checksum), Unproven::Unknown, Unproven::MadeUp]
    {
        let refusal = Refusal::Unauthenticated(unproven);
        assert_eq!(
            (refusal.code(), refusal.to_string()),
            ("unauthenticated", "no valid credential was given".to_owned())
        );
    }
}

#[test]
fn proven_key_out_of_force_is_told_why_r1() {
    let mut stage = Stage::new();
    let soon = ExpiryMinute::floor(START.seconds()).map(|minute| ExpiryMinute(minute.0 + 1));
    let revoked = stage.add_key_with(1, Role::Member, |key| key.state = KeyState::Revoked);
    let disabled = stage.add_key_with(1, Role::Member, |key| key.state = KeyState::Disabled);
    let expiring = stage.add_key_with(1, Role::Member, |key| key.expiry = soon);
    let suspended = stage.add_key(2, Role::Member);
    stage.add_project(3, "gamma");
    let archived = stage.add_key(3, Role::Member);
    stage.exceptions =
        Exceptions::default().with_suspended([OrganizationNumber(20)]).with_archived([ProjectNumber(3)]);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_allowed(&shell.invoke(&mut stage, &expiring.text));
    let begins = soon.unwrap().begins().millis();
    stage.now = UnixMillis(begins.0 - 1);
    assert_allowed(&shell.invoke(&mut stage, &expiring.text));
    stage.now = begins;
    for (key, reason) in [
        (&revoked, Reason::Revoked),
        (&disabled, Reason::Disabled),
        (&expiring, Reason::Expired),
        (&suspended, Reason::Suspended),
        (&archived, Reason::Suspended),
    ] {
        for (method, path) in [("POST", "/v1/inference"), ("GET", "/nowhere"), ("GET", "/a//b")] {
            let verdict = shell.route(&mut stage, &key.text, method, path);
            assert_refused(&verdict, Refusal::OutOfForce(reason));
        }
    }
}

#[test]
fn most_final_reason_is_told() {
    let mut stage = Stage::new();
    let key = stage.add_key_with(2, Role::Member, |key| {
        key.state = KeyState::Disabled;
        key.expiry = Some(ExpiryMinute(1));
    });
    stage.exceptions = Exceptions::default().with_suspended([OrganizationNumber(20)]);
    stage.publish();
    let mut shell = stage.warm_shell();
    assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::OutOfForce(Reason::Expired));
    let tag = stage.content.key_tag(key.id, &key.digest);
    stage.revoke_inline(InlineSubject::Tag(tag), Reason::Revoked);
    stage.now = stage.now.plus_ms(1);
    shell.refresh(&stage);
    assert_refused(&shell.invoke(&mut stage, &key.text), Refusal::OutOfForce(Reason::Revoked));
}

#[test]
fn key_of_one_project_learns_nothing_of_another_k4() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Admin);
    stage.add_resource(2, ResourceType::File, "file-b");
    stage.publish();
    let mut shell = stage.warm_shell();
    let other = project_id(2).to_string();
    let unknown = project_id(9).to_string();
    for project in ["beta", &other, &unknown, "nobody", "No!", "proj_", "%C3%A9"] {
        for path in [format!("/v1/projects/{project}/files"), format!("/v1/projects/{project}/files/file-b")]
        {
            let verdict = shell.route(&mut stage, &key.text, "GET", &path);
            assert_refused(&verdict, Refusal::NotFound(Absent::Project));
        }
        let verdict =
            shell.route(&mut stage, &key.text, "DELETE", &format!("/v1/projects/{project}/clusters"));
        assert_refused(&verdict, Refusal::NotFound(Absent::Project));
    }
    let own = project_id(1).to_string();
    for project in ["alpha", &own] {
        let path = format!("/v1/projects/{project}/files");
        assert_allowed(&shell.route(&mut stage, &key.text, "GET", &path));
    }
}

#[test]
fn resource_of_another_project_or_type_is_404() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.add_resource(1, ResourceType::File, "mine");
    stage.add_resource(2, ResourceType::File, "theirs");
    stage.add_resource(1, ResourceType::Model, "model");
    stage.publish();
    let mut shell = stage.warm_shell();
    for id in ["theirs", "model", "nothing", "%40", "a%20b", "..."] {
        let verdict = shell.route(&mut stage, &key.text, "GET", &format!("/v1/files/{id}"));
        assert_refused(&verdict, Refusal::NotFound(Absent::Resource));
    }
    assert_allowed(&shell.route(&mut stage, &key.text, "GET", "/v1/files/mine"));
    assert_allowed(&shell.route(&mut stage, &key.text, "GET", "/v1/projects/alpha/files/mine"));
}

#[test]
fn all_404s_are_one_answer_r2() {
    for absent in [Absent::Route, Absent::Project, Absent::Resource] {
        let refusal = Refusal::NotFound(absent);
        assert_eq!((refusal.code(), refusal.to_string()), ("not_found", "there is nothing here".to_owned()));
    }
}

#[test]
fn lacking_permission_is_403_and_named_after_404_r5() {
    let mut stage = Stage::new();
    let member = stage.add_key(1, Role::Member);
    let narrowed = stage.add_key_with(1, Role::Member, |key| {
        key.binding.permissions = PermissionSet::EMPTY.with(Permission::FilesView);
    });
    stage.publish();
    let mut shell = stage.warm_shell();
    let verdict = shell.route(&mut stage, &member.text, "POST", "/v1/clusters");
    assert_refused(&verdict, Refusal::Forbidden(Permission::ClustersCreate));
    let Outcome::Refuse(refusal) = verdict.outcome else { unreachable!() };
    assert_eq!(refusal.to_string(), "the credential lacks the permission `clusters.create`");
    assert_refused(
        &shell.invoke(&mut stage, &narrowed.text),
        Refusal::Forbidden(Permission::InferenceInvoke),
    );
    let verdict = shell.route(&mut stage, &narrowed.text, "GET", "/v1/files/none");
    assert_refused(&verdict, Refusal::NotFound(Absent::Resource));
    let verdict = shell.route(&mut stage, &member.text, "DELETE", "/v1/projects/beta/clusters");
    assert_refused(&verdict, Refusal::NotFound(Absent::Project));
}

#[test]
fn route_without_a_rule_is_404() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Admin);
    stage.publish();
    let mut shell = stage.warm_shell();
    for (method, path) in [
        ("GET", "/v1/inference"),
        ("post", "/v1/inference"),
        ("POST", "/v1/inferenc"),
        ("POST", "/v1/Inference"),
        ("POST", "/v1/inference/x"),
        ("GET", "/"),
        ("HEAD", "/v1/projects/alpha/files"),
        ("", "/v1/inference"),
    ] {
        assert_refused(&shell.route(&mut stage, &key.text, method, path), Refusal::NotFound(Absent::Route));
    }
}

#[test]
fn record_that_grants_management_grants_none_k6b() {
    let mut stage = Stage::new();
    let key = stage.add_key_with(1, Role::Member, |key| {
        key.binding.permissions = PermissionSet::of_project(Role::Admin);
    });
    stage.publish();
    let mut shell = stage.warm_shell();
    let verdict = shell.route(&mut stage, &key.text, "POST", "/v1/clusters");
    assert_refused(&verdict, Refusal::Forbidden(Permission::ClustersCreate));
    let grant = assert_allowed(&shell.invoke(&mut stage, &key.text));
    assert!(grant.binding.permissions.is_subset_of(PermissionSet::of_key(Role::Member)));
}

#[test]
fn what_a_gate_cannot_tell_is_503_and_never_401() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.network = Line::HeadDown;
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::NoSnapshot));
    let verdict = shell.invoke(&mut stage, "not even a key");
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::NoSnapshot));
    let Outcome::Refuse(refusal) = verdict.outcome else { unreachable!() };
    assert_eq!((refusal.class(), refusal.retry_after_secs()), (Class::Unavailable, Some(1)));
    let request = request(Header::None, INFERENCE);
    let verdict = shell.ask(&mut stage, &request, Question::Route);
    assert_refused(&verdict, Refusal::Unauthenticated(Unproven::Missing));
}

#[test]
fn page_out_of_reach_is_503() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    shell.refresh(&stage);
    shell.network = Line::ObjectsDown;
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::OutOfReach));
    shell.network = Line::Up;
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}

#[test]
fn cold_gate_needs_head_manifest_node_and_page() {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!((shell.heads, shell.objects), (1, 3));
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    assert_eq!((shell.heads, shell.objects), (1, 3));
}

#[test]
fn whoami_tells_binding_and_names() {
    let mut stage = Stage::new();
    let key = stage.add_key(2, Role::Admin);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    let bearer = format!("Bearer {}", key.text);
    let request = request(Header::One(bearer.as_bytes()), ("GET", b"/v1/whoami"));
    let grant = assert_allowed(&shell.ask(&mut stage, &request, Question::Whoami));
    assert_eq!((grant.subject, grant.binding, grant.permission), (Subject::Key(key.id), key.binding, None));
    let mut attempt = Attempt::default();
    let mut asked = 0;
    let names = loop {
        match shell.gate.names(&grant.binding, stage.now, &mut attempt) {
            NamesStep::Names(names) => break (names.project.clone(), names.organization.clone()),
            NamesStep::Ask(Ask::Objects(list)) => {
                asked += list.len();
                list.iter().for_each(|wanted| shell.fetch(&stage, wanted));
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked, 4);
    assert_eq!((names.0.slug.as_str(), &*names.0.name, names.0.id), ("beta", "BETA", project_id(2)));
    assert_eq!(&*names.1.name, "organization of beta");
    assert_refused(
        &shell.route(&mut stage, &key.text, "GET", "/v1/whoami"),
        Refusal::NotFound(Absent::Route),
    );
}

#[test]
fn names_out_of_reach_end_the_loop() {
    let mut stage = Stage::new();
    let key = stage.add_key(2, Role::Admin);
    stage.publish();
    let mut shell = Shell::new(stage.gate());
    let grant = assert_allowed(&shell.invoke(&mut stage, &key.text));
    let mut attempt = Attempt::default();
    let first = shell.gate.names(&grant.binding, stage.now, &mut attempt);
    assert!(matches!(first, NamesStep::Ask(Ask::Objects(_))), "{first:?}");
    assert!(matches!(shell.gate.names(&grant.binding, stage.now, &mut attempt), NamesStep::Unavailable));
}
