//! The gate's routes against tests/vectors.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use crate::vectors::{file, list, text, unhex};
use latchkey_core::{Permission, ResourceType, UnixSeconds};
use latchkey_gate::{Extent, RouteFault, Routes, find_text, query_value};
use latchkey_snapshot::{Access, Credentials, Forwarding, Freshness, ResourceSource, Rule, Source};
use serde_json::{Value, json};

fn source(said: &Value) -> Source {
    let (kind, name) = said.as_object().unwrap().iter().next().unwrap();
    let name = text(name).to_owned();
    match kind.as_str() {
        "path" => Source::Path(name),
        "header" => Source::Header(name),
        "query" => Source::Query(name),
        "host" => Source::Host(name),
        "body" => Source::Body(name),
        _ => panic!("no source is called {kind}"),
    }
}

fn rule(said: &Value) -> Rule {
    let maybe = |said: &Value| said.is_object().then(|| source(said));
    let access = match said["permission"].as_str() {
        None => Access::Public,
        Some(word) => Permission::from_word(word).unwrap().into(),
    };
    let rule = Rule {
        host: said["host"].as_str().map(str::to_owned),
        forwarding: if said["keep_credential"] == true { Forwarding::Kept } else { Forwarding::Removed },
        ..Rule::new(text(&said["method"]), text(&said["pattern"]), access)
    };
    // What a public rule says beside that is there where a vector says that it must not be.
    if said.get("keys").is_none() {
        return rule;
    }
    let resource = |said: &Value| ResourceSource {
        resource: ResourceType::ALL.iter().find(|one| said["type"] == one.as_str()).copied().unwrap(),
        source: source(&said["source"]),
    };
    Rule {
        freshness: if said["fresh_only"] == true { Freshness::FreshOnly } else { Freshness::Normal },
        credentials: match (said["keys"] == true, said["sessions"] == true) {
            (true, false) => Credentials::Keys,
            (false, _) => Credentials::Sessions,
            (true, true) => Credentials::Any,
        },
        project: maybe(&said["project"]),
        resource: said["resource"].is_object().then(|| resource(&said["resource"])),
        model: maybe(&said["model"]),
        shadow_until: said["shadow_until"].as_str().map(|text| UnixSeconds(text.parse().unwrap())),
        ..rule
    }
}

fn rules(said: &Value) -> Vec<Rule> {
    list(said).iter().map(rule).collect()
}

fn word(fault: &RouteFault) -> &'static str {
    match fault {
        RouteFault::TooMany => "too many",
        RouteFault::Method => "method",
        RouteFault::PatternLength => "pattern length",
        RouteFault::NotAbsolute => "not absolute",
        RouteFault::Segment => "segment",
        RouteFault::Character(_) => "character",
        RouteFault::Parameter => "parameter",
        RouteFault::ParametersInSegment => "parameters",
        RouteFault::ParameterTwice(_) => "parameter twice",
        RouteFault::TooManyParameters => "too many parameters",
        RouteFault::TooManySegments => "too many segments",
        RouteFault::CatchAll => "catch-all",
        RouteFault::Twice => "twice",
        RouteFault::Conflict => "conflict",
        RouteFault::UnknownParameter(_) => "unknown parameter",
        RouteFault::CatchAllSource(_) => "catch-all source",
        RouteFault::OneForBoth(_) => "one for both",
        RouteFault::Header(_) => "header",
        RouteFault::NeverHeld(_) => "never held",
        RouteFault::Host => "host",
        RouteFault::UnknownHostParameter(_) => "unknown host parameter",
        RouteFault::Place(_) => "place",
        RouteFault::SourceName(_) => "source name",
        RouteFault::PublicNeeds => "public",
        RouteFault::ShadowFreshOnly => "shadow",
    }
}

#[test]
fn rule_sets_stand_as_the_vectors_say() {
    for case in list(&file("routes.json")["sets"]) {
        let (said, key) = match Routes::compile(&rules(&case["rules"])) {
            Ok(routes) => (json!(routes.len()), "accepted"),
            Err(error) => (json!({ "rule": error.rule, "reason": word(&error.what) }), "refused"),
        };
        assert_eq!(said, case[key], "{}", case["name"]);
    }
}

#[test]
fn paths_fall_under_the_rules_that_the_vectors_say() {
    let file = file("routes.json");
    for case in list(&file["paths"]) {
        let own = case.get("rules").unwrap_or(&file["rules"]);
        let routes = Routes::compile(&rules(own)).unwrap();
        let path: Vec<u8> = text(&case["path"]).chars().map(|one| u8::try_from(one).unwrap()).collect();
        match routes.resolve(case["host"].as_str(), text(&case["method"]), &path) {
            Err(error) => assert_eq!(json!(error.code()), case["refused"], "{}", case["path"]),
            Ok(found) => {
                let rule = found.as_ref().map(|found| found.rule);
                let label = found.as_ref().and_then(|found| found.label.clone());
                let parameters = found.map(|found| found.parameters);
                assert_eq!(
                    json!([rule, label, parameters]),
                    json!([case["rule"], case["label"], case["parameters"]]),
                    "{}",
                    case["path"]
                );
            }
        }
    }
}

#[test]
fn queries_say_what_the_vectors_say() {
    for case in list(&file("routes.json")["queries"]) {
        let query: Vec<u8> = text(&case["query"]).chars().map(|one| u8::try_from(one).unwrap()).collect();
        match query_value(&query, text(&case["name"])) {
            Ok(value) => assert_eq!(json!(value), case["value"], "{}", case["query"]),
            Err(_) => assert_eq!(json!("query_ambiguous"), case["refused"], "{}", case["query"]),
        }
    }
}

#[test]
fn bodies_say_what_the_vectors_say() {
    for case in list(&file("routes.json")["bodies"]) {
        let extent = if case["more"] == true { Extent::Beginning } else { Extent::Whole };
        let said = find_text(&unhex(&case["seen"]), extent, text(&case["field"])).ok();
        assert_eq!(json!(said), case["text"], "{case}");
    }
}
