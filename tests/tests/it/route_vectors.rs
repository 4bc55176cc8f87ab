//! The gate's routes against tests/vectors.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use crate::vectors::{file, list, text};
use latchkey_core::{Permission, ResourceType};
use latchkey_gate::{RouteFault, Routes};
use latchkey_snapshot::{Credentials, Freshness, ModelSource, ProjectSource, ResourceSource, Rule};
use serde_json::{Value, json};

fn rule(said: &Value) -> Rule {
    let named = |value: &Value| value.as_str().map(str::to_owned);
    let resource = |said: &Value| ResourceSource {
        resource: ResourceType::ALL.iter().find(|one| said["type"] == one.as_str()).copied().unwrap(),
        parameter: text(&said["parameter"]).into(),
    };
    let model = |said: &Value| match named(&said["header"]) {
        Some(header) => ModelSource::Header(header),
        None => ModelSource::Path(text(&said["parameter"]).into()),
    };
    Rule {
        method: text(&said["method"]).into(),
        pattern: text(&said["pattern"]).into(),
        permission: Permission::from_word(text(&said["permission"])).unwrap(),
        freshness: if said["fresh_only"] == true { Freshness::FreshOnly } else { Freshness::Normal },
        credentials: match (said["keys"] == true, said["sessions"] == true) {
            (true, false) => Credentials::Keys,
            (false, _) => Credentials::Sessions,
            (true, true) => Credentials::Any,
        },
        project: named(&said["project_parameter"]).map_or(ProjectSource::Credential, ProjectSource::Path),
        resource: said["resource"].is_object().then(|| resource(&said["resource"])),
        model: said["model"].is_object().then(|| model(&said["model"])),
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
        match routes.resolve(text(&case["method"]), &path) {
            Err(error) => assert_eq!(json!(error.code()), case["refused"], "{}", case["path"]),
            Ok(found) => {
                let rule = found.as_ref().map(|found| found.rule);
                let parameters = found.map(|found| found.parameters);
                assert_eq!(
                    json!([rule, parameters]),
                    json!([case["rule"], case["parameters"]]),
                    "{}",
                    case["path"]
                );
            }
        }
    }
}
