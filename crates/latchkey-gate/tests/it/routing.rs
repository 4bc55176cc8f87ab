//! Hosts, the places of a request that a rule reads, public routes, shadows, and what browsers ask before they call.
//! Refusals first.

use crate::stage::*;
use latchkey_core::{ModelName, Permission, ResourceType, Role, UnixSeconds};
use latchkey_gate::*;
use latchkey_snapshot::build::NarrowingContent;
use latchkey_snapshot::{Access, Cors, Forwarding, ResourceSource, Rule, Source};

/// Headers as a shell hands them over.
struct Given(&'static [(&'static str, &'static str)]);

impl Headers for Given {
    fn one(&self, name: &str) -> Option<String> {
        let mut values = self.0.iter().filter(|(known, _)| *known == name);
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| (*value).to_owned())
    }
}

const HOUR: u64 = 3600;

fn file(source: Source) -> Option<ResourceSource> {
    Some(ResourceSource { resource: ResourceType::File, source })
}

/// A gate that serves these rules, and a key of project 1, which is called `alpha` and has the file `file-1`.
fn serving(rules: Vec<Rule>, cors: Option<Cors>) -> (Stage, Shell, Key) {
    let mut stage = Stage::new();
    stage.rules = rules;
    stage.rules.sort_by(|a, b| a.key().cmp(&b.key()));
    stage.cors = cors;
    let key = stage.add_key(1, Role::Member);
    stage.add_resource(1, ResourceType::File, "file-1");
    stage.publish();
    let shell = stage.warm_shell();
    (stage, shell, key)
}

fn told(verdict: &Verdict) -> Result<(), Refusal> {
    match verdict.outcome {
        Outcome::Allow(_) | Outcome::Pass(_) => Ok(()),
        Outcome::Refuse(refusal) => Err(refusal),
    }
}

#[test]
fn source_that_is_not_there_once_is_refused() {
    const ABSENT: Refusal = Refusal::NotFound(Absent::Project);
    let rules = vec![
        Rule {
            project: Some(Source::Header("x-project".into())),
            ..rule("GET", "/header", Permission::FilesView)
        },
        Rule {
            project: Some(Source::Query("project".into())),
            ..rule("GET", "/query", Permission::FilesView)
        },
        Rule { resource: file(Source::Query("file".into())), ..rule("GET", "/file", Permission::FilesRead) },
        Rule {
            resource: file(Source::Header("x-file".into())),
            ..rule("GET", "/head", Permission::FilesRead)
        },
    ];
    let (mut stage, mut shell, key) = serving(rules, None);
    let bearer = format!("Bearer {}", key.text);
    let mut ask =
        |path: &'static str, query: &'static str, headers: &'static [(&'static str, &'static str)]| {
            let headers = Given(headers);
            let request = Request {
                query: query.as_bytes(),
                headers: &headers,
                ..Request::new("GET", path.as_bytes(), Header::One(bearer.as_bytes()))
            };
            told(&shell.ask(&mut stage, &request, Question::Route))
        };
    let unnamed = |what| Err(Refusal::Unnamed(what));
    assert_eq!(ask("/header", "", &[]), unnamed(Unnamed::Project));
    assert_eq!(
        ask("/header", "", &[("x-project", "alpha"), ("x-project", "alpha")]),
        unnamed(Unnamed::Project)
    );
    assert_eq!(ask("/header", "", &[("x-project", "beta")]), Err(ABSENT));
    assert_eq!(ask("/header", "", &[("x-project", "nobody")]), Err(ABSENT));
    assert_eq!(ask("/header", "project=beta", &[("x-project", "alpha")]), Ok(()));
    assert_eq!(ask("/query", "", &[]), unnamed(Unnamed::Project));
    assert_eq!(ask("/query", "project=alpha&project=beta", &[]), unnamed(Unnamed::Query));
    assert_eq!(ask("/query", "project=alpha&PROJECT=beta", &[]), unnamed(Unnamed::Query));
    assert_eq!(ask("/query", "project=alpha;project=beta", &[]), unnamed(Unnamed::Query));
    assert_eq!(ask("/query", "project=beta", &[]), Err(ABSENT));
    assert_eq!(ask("/query", "x=1&project=al%70ha&y", &[]), Ok(()));
    assert_eq!(ask("/file", "", &[]), unnamed(Unnamed::Resource));
    assert_eq!(ask("/file", "file=file-2", &[]), Err(Refusal::NotFound(Absent::Resource)));
    assert_eq!(ask("/file", "file=file-1&file[]=file-2", &[]), unnamed(Unnamed::Query));
    assert_eq!(ask("/file", "file=file-1", &[]), Ok(()));
    assert_eq!(ask("/head", "", &[]), unnamed(Unnamed::Resource));
    assert_eq!(ask("/head", "", &[("x-file", "file-1")]), Ok(()));
}

#[test]
fn rule_of_the_very_host_comes_before_the_others() {
    let of = |host: &str, permission| Rule { host: Some(host.into()), ..rule("GET", "/v1/x", permission) };
    let named = Rule {
        project: Some(Source::Host("project".into())),
        ..of("{project}.api.example", Permission::FilesView)
    };
    let rules = vec![
        of("admin.api.example", Permission::ClustersDelete),
        named,
        rule("GET", "/v1/x", Permission::FilesView),
        rule("GET", "/v1/y", Permission::FilesView),
    ];
    let (mut stage, mut shell, key) = serving(rules, None);
    let bearer = format!("Bearer {}", key.text);
    let mut ask = |host: Option<&str>, path: &str| {
        let request =
            Request { host, ..Request::new("GET", path.as_bytes(), Header::One(bearer.as_bytes())) };
        told(&shell.ask(&mut stage, &request, Question::Route))
    };
    let forbidden = Err(Refusal::Forbidden(Permission::ClustersDelete));
    for host in [
        "admin.api.example",
        "ADMIN.api.Example",
        "admin.api.example:8443",
        "admin.api.example.",
        "admin.api.example.:1",
    ] {
        assert_eq!(ask(Some(host), "/v1/x"), forbidden, "{host}");
    }
    let absent = Err(Refusal::NotFound(Absent::Project));
    assert_eq!(ask(Some("beta.api.example"), "/v1/x"), absent);
    assert_eq!(ask(Some("nobody.api.example"), "/v1/x"), absent);
    assert_eq!(ask(Some("alpha.api.example"), "/v1/x"), Ok(()));
    // No parameter spans a dot; what no host's rules say, the rules of every host do.
    assert_eq!(ask(Some("x.alpha.api.example"), "/v1/x"), Ok(()));
    assert_eq!(ask(Some("admin.api.example"), "/v1/y"), Ok(()));
    assert_eq!(ask(Some("[::1]:80"), "/v1/x"), Ok(()));
    assert_eq!(ask(None, "/v1/x"), Ok(()));
}

#[test]
fn model_of_a_body_is_asked_for_only_where_the_key_is_narrowed() {
    let chat = Rule {
        model: Some(Source::Body("model".into())),
        ..rule("POST", "/v1/chat", Permission::InferenceInvoke)
    };
    let (mut stage, _, plain) = serving(vec![chat], None);
    let models = [latchkey_snapshot::ModelPattern {
        matching: latchkey_core::Matching::Prefix,
        text: ModelName::parse("llama").unwrap(),
    }];
    let narrowed = stage.add_key_with(1, Role::Member, |key| {
        key.narrowing = narrowing(NarrowingContent { models: &models, ..NarrowingContent::default() });
    });
    stage.publish();
    let mut shell = stage.warm_shell();
    let mut ask = |key: &Key, body: &str| {
        (shell.body, shell.bodies) = (body.as_bytes().to_vec(), 0);
        let verdict = shell.route(&mut stage, &key.text, "POST", "/v1/chat");
        (told(&verdict), shell.bodies)
    };
    let refused = |narrowed| (Err(Refusal::Narrowed(narrowed)), 1);
    for body in
        ["", "{}", "{\"model\":\"llama\",\"model\":\"llama\"}", "{\"model\":1}", "{\"Model\":\"llama\"}"]
    {
        assert_eq!(ask(&narrowed, body), refused(Narrowed::ModelUnseen), "{body}");
    }
    assert_eq!(ask(&narrowed, "{\"model\":\"gpt\"}"), refused(Narrowed::Model));
    assert_eq!(ask(&narrowed, "{\"model\":\"lla ma\"}"), refused(Narrowed::Model));
    assert_eq!(ask(&narrowed, "{\"model\":\"llama-3\"}"), (Ok(()), 1));
    assert_eq!(ask(&plain, "{\"model\":\"gpt\"}"), (Ok(()), 0));
    // A shell that does not say what it was asked is not asked for ever.
    let bearer = format!("Bearer {}", narrowed.text);
    let request = Request::new("POST", b"/v1/chat", Header::One(bearer.as_bytes()));
    let mut attempt = Attempt::default();
    let mut decide = || shell.gate.decide(&request, Question::Route, stage.now, &mut attempt);
    assert_eq!(decide(), Step::Ask(Ask::Body("model".into())));
    let Step::Answer(verdict) = decide() else { panic!("asked twice") };
    assert_refused(&verdict, Refusal::Narrowed(Narrowed::ModelUnseen));
}

#[test]
fn public_route_asks_nobody_and_no_other_route_is_public() {
    let public = |method: &str, path: &str| Rule::new(method, path, Access::Public);
    let kept = Rule { forwarding: Forwarding::Kept, ..public("GET", "/docs/{*page}") };
    let rules = vec![public("GET", "/health"), kept, rule("POST", "/v1/x", Permission::InferenceInvoke)];
    let (mut stage, mut shell, key) = serving(rules, None);
    let good = format!("Bearer {}", key.text);
    let bad = format!("Bearer {}x", key.text);
    let mut ask = |method: &str, path: &str, authorization: Header<'_>| {
        shell.ask(&mut stage, &Request::new(method, path.as_bytes(), authorization), Question::Route)
    };
    let credentials = [Header::None, Header::Many, Header::One(good.as_bytes()), Header::One(bad.as_bytes())];
    for authorization in credentials {
        let verdict = ask("GET", "/health", authorization);
        assert_eq!(verdict.outcome, Outcome::Pass(Pass::Public));
        assert_eq!(verdict.matched.unwrap().forwarding, Forwarding::Removed);
        assert!(verdict.standing.is_some());
        let verdict = ask("GET", "/docs/a/b", authorization);
        assert_eq!(verdict.outcome, Outcome::Pass(Pass::Public));
        assert_eq!(verdict.matched.unwrap().forwarding, Forwarding::Kept);
    }
    assert_refused(&ask("POST", "/health", Header::None), Refusal::Unauthenticated(Unproven::Missing));
    assert_refused(&ask("GET", "/health/", Header::None), Refusal::Unauthenticated(Unproven::Missing));
    assert_refused(
        &ask("GET", "//health", Header::One(good.as_bytes())),
        Refusal::BadRequest(PathError::EmptySegment),
    );
    assert_refused(&ask("GET", "/none", Header::None), Refusal::Unauthenticated(Unproven::Missing));
    assert_refused(&ask("POST", "/v1/x", Header::None), Refusal::Unauthenticated(Unproven::Missing));
    assert_allowed(&ask("POST", "/v1/x", Header::One(good.as_bytes())));
}

#[test]
fn public_route_is_none_before_the_rules_are_known_and_past_grace() {
    let rules = vec![Rule::new("GET", "/health", Access::Public)];
    let (mut stage, mut warm, _) = serving(rules, None);
    let request = Request::new("GET", b"/health", Header::None);
    let mut cold = Shell::new(stage.gate());
    cold.network = Line::HeadDown;
    let verdict = cold.ask(&mut stage, &request, Question::Route);
    assert_refused(&verdict, Refusal::Unauthenticated(Unproven::Missing));
    warm.network = Line::HeadDown;
    stage.now = stage.now.plus_ms(10_000);
    let verdict = warm.ask(&mut stage, &request, Question::Route);
    assert_eq!((verdict.outcome, verdict.standing.unwrap().stale), (Outcome::Pass(Pass::Public), true));
    stage.now = stage.now.plus_ms(86_400_000);
    let verdict = warm.ask(&mut stage, &request, Question::Route);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::PastGrace));
}

#[test]
fn shadow_lets_pass_until_its_end_and_tells_what_it_hides() {
    let (mut stage, mut shell, key) = {
        let until = Some(UnixSeconds(START.seconds().0 + HOUR));
        let far = Some(UnixSeconds(START.seconds().0 + SHADOW_SECS_MAX + HOUR));
        let rules = vec![
            Rule { shadow_until: until, ..rule("DELETE", "/old", Permission::ClustersDelete) },
            Rule { shadow_until: far, ..rule("DELETE", "/far", Permission::ClustersDelete) },
            Rule { shadow_until: until, ..rule("GET", "/mine", Permission::FilesView) },
        ];
        serving(rules, None)
    };
    let bearer = format!("Bearer {}", key.text);
    let good = Header::One(bearer.as_bytes());
    let forbidden = Refusal::Forbidden(Permission::ClustersDelete);
    let ask = |stage: &mut Stage, shell: &mut Shell, method: &str, path: &str, authorization: Header<'_>| {
        shell.ask(stage, &Request::new(method, path.as_bytes(), authorization), Question::Route)
    };
    let verdict = ask(&mut stage, &mut shell, "DELETE", "/old", good);
    assert_eq!(verdict.outcome, Outcome::Pass(Pass::Shadow(forbidden)));
    let matched = verdict.matched.unwrap();
    assert_eq!((matched.is_in_shadow, matched.forwarding), (true, Forwarding::Kept));
    let verdict = ask(&mut stage, &mut shell, "DELETE", "/old", Header::None);
    let missing = Refusal::Unauthenticated(Unproven::Missing);
    assert_eq!(verdict.outcome, Outcome::Pass(Pass::Shadow(missing)));
    // Whoever is let in is told to the origin, and keeps the credential that the old system looks at.
    let verdict = ask(&mut stage, &mut shell, "GET", "/mine", good);
    assert_allowed(&verdict);
    assert_eq!(verdict.matched.unwrap().forwarding, Forwarding::Kept);
    // A shadow whose end is too far away is none; nor is one beside the rule.
    assert_refused(&ask(&mut stage, &mut shell, "DELETE", "/far", good), forbidden);
    assert_refused(&ask(&mut stage, &mut shell, "DELETE", "/none", Header::None), missing);
    let counts = shell.gate.status(stage.now).counts;
    let times = |cause: &str| counts.iter().find(|count| count.cause == cause).map_or(0, |count| count.times);
    assert_eq!((times("shadow:permission_denied"), times("shadow:credential_missing")), (1, 1));
    assert_eq!((times("permission_denied"), times("credential_missing"), times("allowed")), (1, 1, 1));
    stage.now = stage.now.plus_ms(HOUR * 1000);
    stage.sign_statement();
    assert_refused(&ask(&mut stage, &mut shell, "DELETE", "/old", good), forbidden);
}

#[test]
fn shadow_hides_nothing_past_grace() {
    let until = Some(UnixSeconds(START.seconds().0 + SHADOW_SECS_MAX));
    let rules = vec![Rule { shadow_until: until, ..rule("DELETE", "/old", Permission::ClustersDelete) }];
    let (mut stage, mut shell, key) = serving(rules, None);
    shell.network = Line::HeadDown;
    stage.now = stage.now.plus_ms(86_400_000);
    let verdict = shell.route(&mut stage, &key.text, "DELETE", "/old");
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::PastGrace));
}

#[test]
fn preflight_is_answered_by_the_rules_alone() {
    let cors = Cors {
        origins: vec!["https://app.example".into()],
        headers: vec!["authorization".into()],
        exposed: vec![],
        max_age_secs: 600,
    };
    let rules = vec![
        rule("POST", "/v1/x", Permission::InferenceInvoke),
        rule("POST", "/v1/own", Permission::InferenceInvoke),
        Rule::new("OPTIONS", "/v1/own", Access::Public),
    ];
    let (stage, shell, _) = serving(rules.clone(), Some(cors));
    let ask = |method: &str, path: &str, origin: &str, meant: &str| {
        let request = Request::new(method, path.as_bytes(), Header::None);
        let asked = PreflightRequest { origin, method: meant };
        shell.gate.preflight(&request, asked, stage.now).map(|answer| matches!(answer, Preflight::Allowed(_)))
    };
    assert_eq!(ask("OPTIONS", "/v1/x", "https://evil.example", "POST"), Some(false));
    assert_eq!(ask("OPTIONS", "/v1/x", "null", "POST"), Some(false));
    assert_eq!(ask("OPTIONS", "/v1/x", "https://app.example", "GET"), None);
    assert_eq!(ask("OPTIONS", "/v1/none", "https://app.example", "POST"), None);
    assert_eq!(ask("OPTIONS", "/v1/own", "https://app.example", "POST"), None);
    assert_eq!(ask("GET", "/v1/x", "https://app.example", "POST"), None);
    assert_eq!(ask("OPTIONS", "/v1/x", "https://app.example", "POST"), Some(true));
    assert!(shell.gate.cors("https://app.example").is_some());
    assert!(shell.gate.cors("https://evil.example").is_none());
    let (stage, shell, _) = serving(rules, None);
    let request = Request::new("OPTIONS", b"/v1/x", Header::None);
    let asked = PreflightRequest { origin: "https://app.example", method: "POST" };
    assert!(shell.gate.preflight(&request, asked, stage.now).is_none());
}
