//! Rules that cannot stand are refused before they are published, and once more before they serve.

use crate::stage::rule;
use latchkey_core::{Permission, ResourceType};
use latchkey_gate::{RouteError, RouteFault, Routes};
use latchkey_snapshot::{ResourceSource, Rule, Source};
use proptest::prelude::*;

fn fault(rule: Rule) -> RouteFault {
    Routes::compile(&[rule]).expect_err("the rule cannot stand").what
}

fn view(pattern: &str) -> Rule {
    rule("GET", pattern, Permission::FilesView)
}

#[test]
fn pattern_that_no_request_can_match_is_refused() {
    use RouteFault::*;
    for (pattern, expected) in [
        ("", PatternLength),
        (&*format!("/{}", "a".repeat(512)), PatternLength),
        ("v1", NotAbsolute),
        ("/v1/", Segment),
        ("//", Segment),
        ("/a//b", Segment),
        ("/a/./b", Segment),
        ("/a/..", Segment),
        ("/a b", Character(' ')),
        ("/a%20b", Character('%')),
        ("/é", Character('é')),
        ("/a;b", Character(';')),
        ("/a\\b", Character('\\')),
        ("/a}", Character('}')),
        ("/{{a}}", Parameter),
        ("/{a", Parameter),
        ("/{}", Parameter),
        ("/{*}", Parameter),
        ("/{A}", Parameter),
        ("/{a-b}", Parameter),
        (&*format!("/{{{}}}", "a".repeat(33)), Parameter),
        ("/{a}{b}", ParametersInSegment),
        ("/{a}/{a}", ParameterTwice("a".into())),
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", TooManyParameters),
        (&*"/a".repeat(33), TooManySegments),
        ("/{*a}/b", CatchAll),
        ("/x{*a}", CatchAll),
        ("/{*a}x", CatchAll),
    ] {
        assert_eq!(fault(view(pattern)), expected, "{pattern}");
    }
    let longest = format!("/{}", "a".repeat(511));
    for pattern in
        ["/", "/a", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", "/a-{b}.png", "/{*rest}", &longest, &"/a".repeat(32)]
    {
        assert!(Routes::compile(&[view(pattern)]).is_ok(), "{pattern}");
    }
}

#[test]
fn segments_that_end_alike_are_told_apart() {
    let texts = [
        "settings",
        "red-settings",
        "blue-settings",
        "a-settings",
        "x",
        "ettings",
        "ttings",
        "longer-settings-b",
    ];
    let patterns: Vec<_> = texts.iter().map(|text| format!("/v1/{text}/all")).collect();
    let mut rules: Vec<_> = patterns.iter().map(|pattern| view(pattern)).collect();
    rules.push(view("/v1/{other}/all"));
    let routes = Routes::compile(&rules).unwrap();
    let which = |path: &str| routes.which(None, "GET", path.as_bytes()).unwrap();
    for (at, path) in patterns.iter().enumerate() {
        assert_eq!(which(path), Some(at), "{path}");
    }
    for other in ["green-settings", "0-settings", "zz-settings", "tings", "longer-settings-a", "y"] {
        assert_eq!(which(&format!("/v1/{other}/all")), Some(texts.len()), "{other}");
    }
    assert_eq!(which("/v1/red-settings"), None);
}

#[test]
fn sources_must_name_parameters_of_the_pattern() {
    let project =
        |pattern: &str, name: &str| Rule { project: Some(Source::Path(name.into())), ..view(pattern) };
    let resource = |name: &str, rule: Rule| Rule {
        resource: Some(ResourceSource { resource: ResourceType::File, source: Source::Path(name.into()) }),
        ..rule
    };
    assert_eq!(fault(project("/{a}", "b")), RouteFault::UnknownParameter("b".into()));
    assert_eq!(fault(project("/{*a}", "a")), RouteFault::CatchAllSource("a".into()));
    assert_eq!(fault(resource("b", view("/{a}"))), RouteFault::UnknownParameter("b".into()));
    assert_eq!(fault(resource("a", project("/{a}", "a"))), RouteFault::OneForBoth("a".into()));
    assert!(Routes::compile(&[resource("b", project("/{a}/{b}", "a"))]).is_ok());
}

#[test]
fn permission_that_no_key_holds_is_refused_k6b() {
    for permission in [Permission::KeysCreate, Permission::OrgUsageRead, Permission::ProjectSettingsRead] {
        assert_eq!(fault(rule("GET", "/a", permission)), RouteFault::NeverHeld(permission));
    }
    assert!(Routes::compile(&[rule("GET", "/a", Permission::ClustersAdminKubeconfig)]).is_ok());
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let twice = Routes::compile(&[view("/a"), view("/b"), view("/a")]).unwrap_err();
    assert_eq!(twice, RouteError { rule: 2, what: RouteFault::Twice });
    let conflict = Routes::compile(&[view("/{a}"), view("/x"), view("/{b}")]).unwrap_err();
    assert_eq!(conflict.what, RouteFault::Conflict);
    let post = rule("POST", "/{b}", Permission::FilesCreate);
    assert_eq!(Routes::compile(&[view("/{a}"), view("/x"), post]).unwrap().len(), 3);
}

#[test]
fn method_outside_its_limits_is_refused() {
    for method in ["", "get", "GET ", "ABCDEFGHIJKLMNOPQ"] {
        assert_eq!(fault(rule(method, "/a", Permission::FilesView)), RouteFault::Method);
    }
    assert!(Routes::compile(&[rule("ABCDEFGHIJKLMNOP", "/a", Permission::FilesView)]).is_ok());
}

#[test]
fn rules_beyond_the_limit_are_refused() {
    let rules: Vec<Rule> = (0..4097).map(|at| view(&format!("/r{at}"))).collect();
    assert_eq!(Routes::compile(&rules).unwrap_err().what, RouteFault::TooMany);
    assert_eq!(Routes::compile(&rules[..4096]).unwrap().len(), 4096);
}

proptest! {
    #[test]
    fn any_rules_are_answered_without_panic(
        patterns in proptest::collection::vec("(/(\\{\\*?[a-c]?\\}|[a-c:{}*é%.]{0,3}){1,2}){0,4}/?", 0..12),
    ) {
        let rules: Vec<Rule> = patterns.iter().map(|pattern| view(pattern)).collect();
        let _ = Routes::compile(&rules);
    }
}
