//! Vectors of route rules: which sets of them can stand, and what becomes of a method and a path.

use crate::describe;
use latchkey_core::{Permission, ResourceType};
use latchkey_snapshot::{Credentials, Freshness, ModelSource, ProjectSource, ResourceSource, Rule};
use serde_json::{Value, json};

fn get(pattern: &str) -> Rule {
    Rule {
        method: "GET".into(),
        pattern: pattern.into(),
        permission: Permission::FilesRead,
        freshness: Freshness::Normal,
        credentials: Credentials::Any,
        project: ProjectSource::Credential,
        resource: None,
        model: None,
    }
}

fn of_project(name: &str, rule: Rule) -> Rule {
    Rule { project: ProjectSource::Path(name.into()), ..rule }
}

fn of_resource(name: &str, rule: Rule) -> Rule {
    Rule { resource: Some(ResourceSource { resource: ResourceType::File, parameter: name.into() }), ..rule }
}

fn of_model(model: ModelSource, rule: Rule) -> Rule {
    Rule { model: Some(model), ..rule }
}

fn header(name: &str) -> Rule {
    of_model(ModelSource::Header(name.into()), get("/a"))
}

pub(crate) fn vectors() -> Value {
    let mut sets = Vec::new();
    refuse_patterns(&mut sets);
    refuse_rules(&mut sets);
    refuse_conflicts(&mut sets);
    accept(&mut sets);
    json!({
        "about": "sets: rules that can stand together, or why the rule with this number cannot. paths: the rule that a method \
                  and a path fall under, of the case's rules or else of the file's, or why the path is refused",
        "rules": rules().iter().map(describe::rule).collect::<Vec<_>>(),
        "sets": sets,
        "paths": paths(),
    })
}

fn set(name: &str, rules: &[Rule]) -> Value {
    json!({ "name": name, "rules": rules.iter().map(describe::rule).collect::<Vec<_>>() })
}

fn refuse(sets: &mut Vec<Value>, name: &str, rules: &[Rule], at: usize, why: &str) {
    let mut case = set(name, rules);
    case["refused"] = json!({ "rule": at, "reason": why });
    sets.push(case);
}

fn refuse_patterns(sets: &mut Vec<Value>) {
    let long = format!("/{}", "a".repeat(512));
    let deep = "/a".repeat(33);
    let long_name = format!("/{{{}}}", "a".repeat(33));
    for (pattern, why) in [
        ("", "pattern length"),
        (&*long, "pattern length"),
        ("v1", "not absolute"),
        ("//", "segment"),
        ("/v1/", "segment"),
        ("/a//b", "segment"),
        ("/.", "segment"),
        ("/a/../b", "segment"),
        ("/a b", "character"),
        ("/a%20b", "character"),
        ("/a;b", "character"),
        ("/a\\b", "character"),
        ("/a?b", "character"),
        ("/a\u{e9}", "character"),
        ("/a}", "character"),
        ("/a}{b}", "character"),
        ("/{a}}", "character"),
        ("/a;{b}", "character"),
        ("/{a", "parameter"),
        ("/{}", "parameter"),
        ("/{*}", "parameter"),
        ("/{A}", "parameter"),
        ("/{a-b}", "parameter"),
        ("/{a*}", "parameter"),
        ("/{{a}}", "parameter"),
        (&*long_name, "parameter"),
        ("/{a}{b}", "parameters"),
        ("/{a}-{b}", "parameters"),
        ("/{A}{b}", "parameters"),
        ("/{a}/{a}", "parameter twice"),
        ("/{a}/{*a}", "parameter twice"),
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "too many parameters"),
        (&*deep, "too many segments"),
        ("/{*a}/b", "catch-all"),
        ("/{*a}/", "catch-all"),
        ("/x{*a}", "catch-all"),
        ("/{*a}x", "catch-all"),
        ("/;{*a}", "catch-all"),
    ] {
        let shown = if pattern.len() > 64 { "a pattern or a name that is too long" } else { pattern };
        refuse(sets, &format!("pattern {shown}"), &[get("/x"), get(pattern)], 1, why);
    }
}

fn refuse_rules(sets: &mut Vec<Value>) {
    for method in ["", "get", "GET ", "ABCDEFGHIJKLMNOPQ"] {
        let rule = Rule { method: method.into(), ..get("/a") };
        refuse(sets, &format!("method {method}"), &[rule], 0, "method");
    }
    for (name, permission, credentials) in [
        ("a permission of organizations", Permission::OrgAuditRead, Credentials::Any),
        ("a permission of organizations for sessions", Permission::OrgAuditRead, Credentials::Sessions),
        ("a permission that no key holds", Permission::KeysCreate, Credentials::Keys),
    ] {
        refuse(sets, name, &[Rule { permission, credentials, ..get("/a") }], 0, "never held");
    }
    let path = |name: &str| ModelSource::Path(name.into());
    for (name, rule, why) in [
        ("a project of no parameter", of_project("b", get("/{a}")), "unknown parameter"),
        ("a project of a catch-all", of_project("a", get("/{*a}")), "catch-all source"),
        ("a resource of no parameter", of_resource("b", get("/{a}")), "unknown parameter"),
        ("a resource of a catch-all", of_resource("a", get("/{*a}")), "catch-all source"),
        ("a model of no parameter", of_model(path("b"), get("/{a}")), "unknown parameter"),
        ("one for project and resource", of_resource("a", of_project("a", get("/{a}"))), "one for both"),
        ("one for project and model", of_model(path("a"), of_project("a", get("/{a}"))), "one for both"),
        ("the model in authorization", header("authorization"), "header"),
        ("the model in cookie", header("cookie"), "header"),
        ("the model in a header of Latchkey", header("latchkey-project"), "header"),
        ("the model in an unnamed header of Latchkey", header("latchkey-"), "header"),
    ] {
        refuse(sets, name, &[rule], 0, why);
    }
    refuse(sets, "a rule twice", &[get("/a"), get("/b"), get("/a")], 2, "twice");
}

fn refuse_conflicts(sets: &mut Vec<Value>) {
    let mut refuse = |patterns: &[&str], at: usize| {
        let rules: Vec<Rule> = patterns.iter().map(|pattern| get(pattern)).collect();
        refuse(sets, &format!("contending {}", patterns.join(" ")), &rules, at, "conflict");
    };
    refuse(&["/{a}", "/{b}"], 1);
    refuse(&["/{b}", "/x", "/{a}"], 0);
    refuse(&["/{a}/x/{b}", "/{c}/x/{d}"], 1);
    refuse(&["/{*a}", "/{*b}"], 1);
    refuse(&["/{*a}", "/{b}"], 1);
    refuse(&["/{*a}", "/{b}/c"], 1);
    refuse(&["/{*a}", "/{b}c"], 1);
    refuse(&["/x/{*a}", "/x/{b}c/d"], 1);
    refuse(&["/a{x}", "/{x}a"], 1);
    refuse(&["/a{x}/b", "/{y}a/c"], 1);
    refuse(&["/a{x}", "/b{x}c"], 1);
    refuse(&["/a{x}b", "/{x}b"], 1);
    refuse(&["/a{x}b", "/a{x}c"], 1);
    refuse(&["/a{x}b", "/c{x}d"], 1);
    refuse(&["/{p}/a{x}b", "/{q}/c{x}d"], 1);
    refuse(&["/a{x}", "/b{x}"], 1);
    refuse(&["/a{x}", "/ab{x}"], 0);
    refuse(&["/a{x}", "/a{x}b"], 1);
    refuse(&["/a{x}", "/{y}"], 1);
    refuse(&["/a{x}", "/{y}/b"], 1);
    refuse(&["/a{x}b", "/{y}"], 1);
    refuse(&["/a{x}", "/{*r}"], 1);
}

fn accept(sets: &mut Vec<Value>) {
    let mut accept = |name: &str, rules: &[Rule]| {
        let mut case = set(name, rules);
        case["accepted"] = rules.len().into();
        sets.push(case);
    };
    let beside = |patterns: &[&str]| patterns.iter().map(|pattern| get(pattern)).collect::<Vec<_>>();
    accept("none", &[]);
    let longest = format!("/{}", "a".repeat(511));
    let deepest = "/a".repeat(32);
    let named = format!("/{{{}}}", "a".repeat(32));
    for patterns in [
        &["/"][..],
        &["/!$&'()*+,=:@-._~09azAZ"],
        &["/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"],
        &[&longest],
        &[&named],
        &[&deepest],
        &["/...", "/.a"],
        &["/{*rest}", "/c", "/c/{x}", "/c/d/{*rest}"],
        &["/{a}", "/{a}:x", "/{a}:y", "/{b}/{c}", "/text"],
        &["/a{x}", "/a{y}/{z}", "/ab", "/ab/a{x}"],
        &["/a{x}b", "/a{y}b/c", "/ab"],
        &["/x/a{x}", "/y/{x}a"],
    ] {
        let shown: Vec<&str> =
            patterns.iter().map(|one| if one.len() > 64 { "longest" } else { *one }).collect();
        accept(&format!("beside each other {}", shown.join(" ")), &beside(patterns));
    }
    let post = Rule { method: "POST".into(), ..get("/{b}") };
    accept("the same shape under another method", &[get("/{a}"), post]);
    let sessions =
        Rule { permission: Permission::KeysCreate, credentials: Credentials::Sessions, ..get("/a") };
    accept("a permission that sessions alone hold", &[sessions]);
    let path = |name: &str| ModelSource::Path(name.into());
    for (name, rule) in [
        (
            "all three of parameters",
            of_model(path("c"), of_resource("b", of_project("a", get("/{a}/{b}/{*c}")))),
        ),
        ("one for resource and model", of_model(path("a"), of_resource("a", get("/{a}")))),
        ("a model in a header", header("x-model")),
        ("a model in a header that begins like one of Latchkey's", header("latchkeys")),
        ("a method of 16", Rule { method: "ABCDEFGHIJKLMNOP".into(), ..get("/a") }),
    ] {
        accept(name, &[rule]);
    }
}

/// The rules under which most paths are looked at.
fn rules() -> Vec<Rule> {
    let post = Rule { method: "POST".into(), ..get("/v1/models/{model}:invoke") };
    let patterns = ["/", "/v1/files", "/v1/files/{file}", "/v1/files/latest", "/v1/assets/{*rest}"];
    let more =
        ["/v1/models/{model}", "/v1/models/{model}:invoke", "/v1/{kind}/{id}/parts", "/img-{name}.png"];
    patterns.iter().chain(&more).map(|pattern| get(pattern)).chain([post]).collect()
}

fn paths() -> Vec<Value> {
    let mut cases = refused_paths();
    let mut case = |method: &str, path: &str, rule: Option<(usize, &[(&str, &str)])>| {
        cases.push(json!({
            "method": method, "path": path, "rule": rule.map(|(at, _)| at),
            "parameters": rule.map(|(_, parameters)| parameters),
        }));
    };
    for (method, path) in [
        ("GET", "/v1"),
        ("GET", "/v2/files"),
        ("GET", "/v1/files/a/b"),
        ("GET", "/v1/Files"),
        ("get", "/v1/files"),
        ("PUT", "/v1/files"),
        ("POST", "/v1/files"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/:invoke"),
        ("GET", "/v1/assets"),
        ("GET", "/img-.png"),
        ("GET", "/img-a.PNG"),
    ] {
        case(method, path, None);
    }
    let longest = format!("/v1/assets/{}", "a".repeat(4096 - 11));
    for (path, at, parameters) in [
        ("/", 0, &[][..]),
        ("/v1/files", 1, &[]),
        ("/v1/files/latest", 3, &[]),
        ("/v1/files/latest/parts", 7, &[("kind", "files"), ("id", "latest")]),
        ("/v1/files/latesT", 2, &[("file", "latesT")]),
        ("/v1/files/...", 2, &[("file", "...")]),
        ("/v1/files/a%20b%C3%a9%25", 2, &[("file", "a b\u{e9}%")]),
        ("/v1/files/%22%3C%3E%3f%23", 2, &[("file", "\"<>?#")]),
        ("/v1/files/a@b!$&'()*+,=:~_-", 2, &[("file", "a@b!$&'()*+,=:~_-")]),
        ("/v1/files/%40", 2, &[("file", "@")]),
        ("/v1/files/100%25", 2, &[("file", "100%")]),
        ("/v1/files/%25zz", 2, &[("file", "%zz")]),
        ("/v1/assets/a/b%20c/d", 4, &[("rest", "a/b c/d")]),
        (&*longest, 4, &[("rest", &longest[11..])]),
        ("/v1/models/m", 5, &[("model", "m")]),
        ("/v1/models/m:invoke", 6, &[("model", "m")]),
        ("/v1/models/:invoke:invoke", 6, &[("model", ":invoke")]),
        ("/v1/models/:invoke", 5, &[("model", ":invoke")]),
        ("/img-a.b.png", 8, &[("name", "a.b")]),
    ] {
        case("GET", path, Some((at, parameters)));
    }
    case("POST", "/v1/models/m:invoke", Some((9, &[("model", "m")])));
    cases.extend(own_paths());
    cases
}

/// Paths that are refused whatever the method.
fn refused_paths() -> Vec<Value> {
    let long = format!("/v1/assets/{}", "a".repeat(4096 - 10));
    [
        ("", "path_not_absolute"),
        ("*", "path_not_absolute"),
        ("v1/files", "path_not_absolute"),
        ("http://host/v1/files", "path_not_absolute"),
        ("\\v1\\files", "path_not_absolute"),
        (&*long, "path_too_long"),
        ("//v1/files", "path_empty_segment"),
        ("/v1//files", "path_empty_segment"),
        ("/v1/files/", "path_empty_segment"),
        ("//", "path_empty_segment"),
        ("//.", "path_empty_segment"),
        ("/.//", "path_dot_segment"),
        ("/v1/assets/../files", "path_dot_segment"),
        ("/./v1", "path_dot_segment"),
        ("/..", "path_dot_segment"),
        ("/v1/assets/%2e%2e/x", "path_needless_escape"),
        ("/v1/assets/.%2E/x", "path_needless_escape"),
        ("/v1/%66iles", "path_needless_escape"),
        ("/v1/files/%7e", "path_needless_escape"),
        ("/v1/models/m%3Ainvoke", "path_needless_escape"),
        ("/v1/files/%252e%252e", "path_needless_escape"),
        ("/v1/files/%2541", "path_needless_escape"),
        ("/v1/files%2Fa", "path_encoded_slash"),
        ("/v1/files/a%2fb", "path_encoded_slash"),
        ("/v1/assets/..\\files", "path_backslash"),
        ("/v1/files/a%5cb", "path_backslash"),
        ("/v1/files/a%5C", "path_backslash"),
        ("/v1/files/a\0", "path_control_byte"),
        ("/v1/files/a\r\nX: y", "path_control_byte"),
        ("/v1/files/\x7f", "path_control_byte"),
        ("/v1/files/%00", "path_control_byte"),
        ("/v1/files/%0d%0a", "path_control_byte"),
        ("/v1/files/%7F", "path_control_byte"),
        ("/v1/files/%", "path_bad_escape"),
        ("/v1/files/%4", "path_bad_escape"),
        ("/v1/files/%4g", "path_bad_escape"),
        ("/v1/files/%+1", "path_bad_escape"),
        ("/v1/files/%%41", "path_bad_escape"),
        ("/v1/files/%u0041", "path_bad_escape"),
        ("/v1/files/%ff", "path_not_utf8"),
        ("/v1/files/%C3", "path_not_utf8"),
        ("/v1/files/%C0%AF", "path_not_utf8"),
        ("/v1/files/%E0%80%AF", "path_not_utf8"),
        ("/v1/files/%ED%A0%80", "path_not_utf8"),
        ("/v1/files/%F4%90%80%80", "path_not_utf8"),
        ("/v1/files/%C3a%A9", "path_not_utf8"),
        ("/v1/files/\u{c3}\u{a9}", "path_byte"),
        ("/v1/files/a b", "path_byte"),
        ("/v1/files?x", "path_byte"),
        ("/v1/files#x", "path_byte"),
        ("/v1/files;x", "path_byte"),
        ("/v1/..;/files", "path_byte"),
        ("/v1/files/%3b", "path_byte"),
        ("/v1/files/{file}", "path_byte"),
        ("/v1/files/\"", "path_byte"),
        ("/a b%", "path_byte"),
        ("/a%4/ ", "path_bad_escape"),
    ]
    .into_iter()
    .map(|(path, why)| json!({ "method": "GET", "path": path, "refused": why }))
    .collect()
}

/// Paths under rules of their own: what is tried, in which order, and how far back.
fn own_paths() -> Vec<Value> {
    let case = |patterns: &[&str], path: &str, rule: Option<(usize, &[(&str, &str)])>| {
        let rules: Vec<Value> = patterns.iter().map(|pattern| describe::rule(&get(pattern))).collect();
        json!({
            "rules": rules, "method": "GET", "path": path, "rule": rule.map(|(at, _)| at),
            "parameters": rule.map(|(_, parameters)| parameters),
        })
    };
    vec![
        case(&["/{a}9"], "/%C3%A9", None),
        case(&["/{a}A9"], "/%C3%A9", None),
        case(&["/{a}9"], "/%C3%A99", Some((0, &[("a", "\u{e9}")]))),
        case(&["/{a}.x/b", "/{a}/c"], "/q.x/c", Some((1, &[("a", "q.x")]))),
        case(&["/{a}.x", "/{a}/c"], "/q.x/c", Some((1, &[("a", "q.x")]))),
        case(&["/{a}.x/b", "/{a}"], "/q.x", Some((1, &[("a", "q.x")]))),
        case(&["/{a}x", "/{a}.x", "/{a}"], "/q.x", Some((1, &[("a", "q")]))),
        case(&["/{a}x/b", "/{a}.x/c"], "/q.x/b", Some((0, &[("a", "q.")]))),
        case(&["/{a}x/b", "/{a}.x/c"], "/q.x/d", None),
        case(&["/{a}x", "/{a}"], "/x", Some((1, &[("a", "x")]))),
        case(&["/a{x}/b", "/a{y}/c"], "/abq/b", Some((0, &[("x", "bq")]))),
        case(&["/a{x}/b", "/a{y}/c"], "/abq/c", Some((1, &[("y", "bq")]))),
        case(&["/a{x}/b", "/a{y}/c"], "/abq/d", None),
        case(&["/a{x}", "/ab"], "/ab", Some((1, &[]))),
        case(&["/a{x}", "/ab"], "/abc", Some((0, &[("x", "bc")]))),
        case(&["/a/b", "/{x}/c"], "/a/c", Some((1, &[("x", "a")]))),
        case(&["/a/b/{y}", "/{x}/b"], "/a/b", Some((1, &[("x", "a")]))),
        case(&["/a/{x}/b", "/{*r}"], "/a/q/c", Some((1, &[("r", "a/q/c")]))),
        case(&["/a/{x}", "/{*r}"], "/a/q", Some((0, &[("x", "q")]))),
        case(&["/a/{x}", "/{*r}"], "/a", Some((1, &[("r", "a")]))),
        case(&["/{*r}"], "/", None),
        case(&["/a{x}b"], "/ab", None),
        case(&["/a{x}b"], "/aqb", Some((0, &[("x", "q")]))),
    ]
}
