//! Vectors of route rules: which sets of them can stand, what becomes of a host, a method and a path, and what queries and
//! bodies say.

use crate::case::hex;
use crate::describe;
use latchkey_core::UnixSeconds;
use latchkey_core::{Permission, ResourceType};
use latchkey_snapshot::{Access, Credentials, Forwarding, Freshness, ResourceSource, Rule, Source};
use serde_json::{Value, json};

fn get(pattern: &str) -> Rule {
    Rule { credentials: Credentials::Any, ..Rule::new("GET", pattern, Permission::FilesRead) }
}

fn of_project(name: &str, rule: Rule) -> Rule {
    Rule { project: Some(Source::Path(name.into())), ..rule }
}

fn of_resource(name: &str, rule: Rule) -> Rule {
    in_place(Source::Path(name.into()), rule)
}

fn in_place(source: Source, rule: Rule) -> Rule {
    Rule { resource: Some(ResourceSource { resource: ResourceType::File, source }), ..rule }
}

fn at(host: &str, rule: Rule) -> Rule {
    Rule { host: Some(host.into()), ..rule }
}

/// A host of so many bytes, in labels of at most 63.
fn host_of(len: usize) -> String {
    (1..=len).map(|at| if at % 64 == 0 { '.' } else { 'a' }).collect()
}

fn public(pattern: &str) -> Rule {
    Rule::new("GET", pattern, Access::Public)
}

fn of_model(model: Source, rule: Rule) -> Rule {
    Rule { model: Some(model), ..rule }
}

fn header(name: &str) -> Rule {
    of_model(Source::Header(name.into()), get("/a"))
}

pub(crate) fn vectors() -> Value {
    let mut sets = Vec::new();
    refuse_patterns(&mut sets);
    refuse_rules(&mut sets);
    refuse_conflicts(&mut sets);
    accept(&mut sets);
    json!({
        "about": "sets: rules that can stand together, or why the rule with this number cannot. paths: the rule that a host, a \
                  method and a path fall under, of the case's rules or else of the file's, or why the path is refused. \
                  queries: what one says for a name. bodies: what one says in a field",
        "rules": rules().iter().map(describe::rule).collect::<Vec<_>>(),
        "sets": sets,
        "paths": paths(),
        "queries": queries(),
        "bodies": bodies(),
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
        refuse(sets, name, &[Rule { access: permission.into(), credentials, ..get("/a") }], 0, "never held");
    }
    let path = |name: &str| Source::Path(name.into());
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
    refuse(sets, "a rule of a host twice", &[at("a", get("/a")), get("/a"), at("a", get("/a"))], 2, "twice");
    let parameters = [at("{a}.x", get("/a")), at("{b}.x", get("/a"))];
    refuse(sets, "a rule of a host's parameter twice", &parameters, 1, "twice");
    refuse_elsewhere(sets);
}

/// Of hosts, of other places than the path, of public routes and of shadows.
fn refuse_elsewhere(sets: &mut Vec<Value>) {
    for host in ["", "A", "a..b", "a.", "{a}", "x{a}.b", "{A}.b", "*.b", "a:80"] {
        refuse(sets, &format!("host {host}"), &[at(host, get("/a"))], 0, "host");
    }
    refuse(sets, "a host of 254 bytes", &[at(&host_of(254), get("/a"))], 0, "host");
    refuse(sets, "a label of 64", &[at(&"a".repeat(64), get("/a"))], 0, "host");
    let named = |source: fn(String) -> Source, name: &str| source(name.to_owned());
    let project = |source: Source| Rule { project: Some(source), ..get("/a") };
    let host = named(Source::Host, "p");
    for (name, rule, why) in [
        ("a project of a host without parameter", project(host.clone()), "unknown host parameter"),
        (
            "a project of another parameter of the host",
            at("{q}.x", project(host.clone())),
            "unknown host parameter",
        ),
        (
            "a resource of another parameter of the host",
            in_place(host.clone(), get("/a")),
            "unknown host parameter",
        ),
        ("a model of another parameter of the host", of_model(host, get("/a")), "unknown host parameter"),
        ("a project in the body", project(named(Source::Body, "p")), "place"),
        ("a resource in the body", in_place(named(Source::Body, "p"), get("/a")), "place"),
        ("the project in host", project(named(Source::Header, "host")), "header"),
        ("the project in origin", project(named(Source::Header, "origin")), "header"),
        ("the resource in forwarded", in_place(named(Source::Header, "forwarded"), get("/a")), "header"),
        (
            "one of the query for project and model",
            of_model(named(Source::Query, "p"), project(named(Source::Query, "p"))),
            "one for both",
        ),
        (
            "one header for project and resource",
            in_place(named(Source::Header, "x"), project(named(Source::Header, "x"))),
            "one for both",
        ),
        (
            "public with a project",
            Rule { project: Some(named(Source::Query, "p")), ..public("/a") },
            "public",
        ),
        ("public with a model", Rule { model: Some(named(Source::Body, "m")), ..public("/a") }, "public"),
        ("public with a resource", in_place(named(Source::Query, "p"), public("/a")), "public"),
        ("public and fresh-only", Rule { freshness: Freshness::FreshOnly, ..public("/a") }, "public"),
        ("public for sessions", Rule { credentials: Credentials::Any, ..public("/a") }, "public"),
        ("public in shadow", Rule { shadow_until: Some(UnixSeconds(1)), ..public("/a") }, "public"),
        (
            "fresh-only in shadow",
            Rule { freshness: Freshness::FreshOnly, shadow_until: Some(UnixSeconds(1)), ..get("/a") },
            "shadow",
        ),
    ] {
        refuse(sets, name, &[rule], 0, why);
    }
    let conflict = [at("{a}.x", get("/{a}")), get("/{a}"), at("x", get("/{a}")), at("{b}.x", get("/{b}"))];
    refuse(sets, "contending under a host's parameter", &conflict, 3, "conflict");
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
        Rule { access: Permission::KeysCreate.into(), credentials: Credentials::Sessions, ..get("/a") };
    accept("a permission that sessions alone hold", &[sessions]);
    accept(
        "the same under other hosts",
        &[get("/a"), at("a", get("/a")), at("{p}.a", get("/a")), at("{p}.b", get("/a"))],
    );
    let path = |name: &str| Source::Path(name.into());
    let query = |name: &str| Source::Query(name.into());
    for (name, rule) in [
        ("public", public("/a")),
        ("public with its credential", Rule { forwarding: Forwarding::Kept, ..public("/a") }),
        ("a host of 253 bytes", at(&host_of(253), get("/a"))),
        ("in shadow", Rule { shadow_until: Some(UnixSeconds(u64::MAX)), ..get("/a") }),
        (
            "of the host, the query and the body",
            at(
                "{p}.x",
                of_model(
                    Source::Body("m".into()),
                    in_place(query("f"), Rule { project: Some(Source::Host("p".into())), ..get("/a") }),
                ),
            ),
        ),
        ("one of the query for resource and model", of_model(query("m"), in_place(query("m"), get("/a")))),
        ("one name in path and query", of_model(query("a"), of_project("a", get("/{a}")))),
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
            "host": null, "method": method, "path": path, "rule": rule.map(|(at, _)| at), "label": null,
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
    cases.extend(paths_of_hosts());
    cases
}

/// A rule, the host's label, and the path's parameters.
type Labelled<'a> = (usize, Option<&'a str>, &'a [(&'a str, &'a str)]);

/// A path under rules of its own.
fn own_path(rules: &[Rule], host: Option<&str>, path: &str, rule: Option<Labelled<'_>>) -> Value {
    let rules: Vec<Value> = rules.iter().map(describe::rule).collect();
    json!({
        "rules": rules, "host": host, "method": "GET", "path": path, "rule": rule.map(|(at, _, _)| at),
        "label": rule.and_then(|(_, label, _)| label), "parameters": rule.map(|(_, _, parameters)| parameters),
    })
}

fn paths_of_hosts() -> Vec<Value> {
    let rules = [
        get("/x"),
        at("a.example", get("/x")),
        at("{p}.example", get("/{rest}")),
        at("{q}.example", get("/y")),
        at("b.example", public("/z")),
    ];
    let case = |host, path, rule| own_path(&rules, host, path, rule);
    let every = Some((0, None, &[][..]));
    let mut cases = vec![
        case(None, "/x", every),
        case(Some(""), "/x", every),
        case(Some("example"), "/x", every),
        case(Some("b.a.example"), "/x", every),
        case(Some("a.example.org"), "/x", every),
        case(Some("[::1]:8080"), "/x", every),
        case(None, "/y", None),
        case(Some("b.a.example"), "/y", None),
        case(Some("a.example"), "/z", Some((2, Some("a"), &[("rest", "z")]))),
        case(Some("c.example"), "/x", Some((2, Some("c"), &[("rest", "x")]))),
        case(Some("C.Example.:443"), "/y", Some((3, Some("c"), &[]))),
        case(Some("b.example"), "/z", Some((4, None, &[]))),
        case(Some("b.example"), "/y", Some((3, Some("b"), &[]))),
    ];
    for host in ["a.example", "A.EXAMPLE", "a.example:80", "a.example.", "a.example.:80"] {
        cases.push(case(Some(host), "/x", Some((1, None, &[]))));
    }
    cases.push(case(Some(".example"), "/x", every));
    cases.push(case(Some(".a.example"), "/x", every));
    cases.extend(paths_within_escapes());
    cases
}

/// What matched first decides, though a parameter ends within an escape: no laxer rule takes the request over.
fn paths_within_escapes() -> Vec<Value> {
    let rules = [
        public("/{every}"),
        at("a.example", get("/{a}9")),
        at("a.example", get("/{b}")),
        at("{p}.example", get("/{c}A9")),
    ];
    let case = |host, path, rule| own_path(&rules, Some(host), path, rule);
    vec![
        case("a.example", "/%C3%A9", None),
        case("b.example", "/%C3%A9", None),
        case("a.example", "/%C3%A99", Some((1, None, &[("a", "\u{e9}")]))),
        case("a.example", "/%C3%A8", Some((2, None, &[("b", "\u{e8}")]))),
        case("b.example", "/%C3%A8", Some((0, None, &[("every", "\u{e8}")]))),
    ]
}

/// What a query says for `project_id`.
fn queries() -> Vec<Value> {
    let refused = [
        "project_id=a&project_id=b",
        "project_id=a&project_id=a",
        "project_id=a&Project_ID=b",
        "project_id=a&project%5Fid=b",
        "project%5fid=a",
        "PROJECT_ID=a",
        "project_id[]=a",
        "project_id[0]=a",
        "project_id=a&project_id%5B0%5D=b",
        "project.id=a",
        "project id=a",
        "project+id=a",
        "project%2Bid=a&+project_id=b",
        "+project_id=a",
        "%09project_id=a",
        "project_id%00x=a",
        "project_id%0a=a",
        "project_id",
        "project_id=a&project_id",
        "x=1;project_id=b&project_id=a",
        "project_id=a;y=1",
        "project_id=a;",
        ";project_id=a",
        "project_id=a+b",
        "project_id=a%",
        "project_id=a%2",
        "project_id=a%zz",
        "project_id=a%00",
        "project_id=a%7f",
        "project_id=a%2541",
        "project_id=%ff",
        "project_id=%C3",
        "project_id=\u{ff}",
        "project_id=a#",
        "x=1#&project_id=a",
        "#",
    ];
    let found = [
        ("", None),
        ("&&", None),
        ("=project_id", None),
        ("x=project_id&project=1&project_ids=2;3&project-id=4", None),
        ("xproject_id=1&project_id_=2", None),
        ("project_id=", Some("")),
        ("project_id=a", Some("a")),
        ("x=1;2&project_id=a%2Fb=c&y", Some("a/b=c")),
        ("project_id=%C3%A9%26%25", Some("\u{e9}&%")),
        ("project_id=%25zz", Some("%zz")),
        ("x=%zz&project_id=a?b", Some("a?b")),
    ];
    let refused = refused
        .into_iter()
        .map(|query| json!({ "name": "project_id", "query": query, "refused": "query_ambiguous" }));
    let found = found
        .into_iter()
        .map(|(query, value)| json!({ "name": "project_id", "query": query, "value": value }));
    refused.chain(found).collect()
}

/// What a body says in a field.
fn bodies() -> Vec<Value> {
    let case = |field: &str, body: &[u8], more: bool, text: Option<&str>| json!({ "field": field, "seen": hex(body), "more": more, "text": text });
    let deep = |depth: usize| format!("{{\"a\":{}{},\"model\":\"m\"}}", "[".repeat(depth), "]".repeat(depth));
    let mut cases = Vec::new();
    for body in [
        "",
        " ",
        "[]",
        "null",
        "\"model\"",
        "{",
        "{}",
        "{}x",
        "{}{}",
        "{\"model\":\"a\"",
        "{'model':'a'}",
        "{\"model\":\"a\",}",
        "{\"model\" \"a\"}",
        "{\"a\":01,\"model\":\"a\"}",
        "{\"a\":1.,\"model\":\"a\"}",
        "{\"a\":+1,\"model\":\"a\"}",
        "{\"a\":nul,\"model\":\"a\"}",
        "{\"a\":[1,],\"model\":\"a\"}",
        "{\"a\":\"\n\",\"model\":\"a\"}",
        "{\"a\":\"\\x\",\"model\":\"a\"}",
        "{/**/\"model\":\"a\"}",
        "\u{feff}{\"model\":\"a\"}",
        "{\"a\":{]},\"model\":\"a\"}",
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{\"model\":\"a\",\"model\":\"a\"}",
        "{\"model\":\"a\",\"Model\":\"b\"}",
        "{\"model\":\"a\",\"mod\\u0065l\":\"a\"}",
        "{\"MODEL\":\"a\"}",
        "{\"model\":null}",
        "{\"model\":1}",
        "{\"model\":[\"a\"]}",
        "{\"model\":\"\\ud800\"}",
        "{\"x\":\"model\"}",
        "{\"x\":{\"model\":\"a\"}}",
        &deep(65),
    ] {
        cases.push(case("model", body.as_bytes(), false, None));
    }
    for no_text in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xe2\x28\xa1",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\\u00g0",
        b"\\u12",
    ] {
        let body = [b"{\"a\":\"", no_text, b"\",\"model\":\"a\"}"].concat();
        cases.push(case("model", &body, false, None));
    }
    cases.push(case("key", "{\"key\":\"a\",\"\u{212a}ey\":\"b\"}".as_bytes(), false, None));
    cases.push(case("case", "{\"case\":\"a\",\"ca\u{17f}e\":\"b\"}".as_bytes(), false, None));
    for (body, text) in [
        (&*deep(64), "m"),
        ("{\"model\":\"a/b\"}", "a/b"),
        ("{\"mod\\u0065l\":\"a\"}", "a"),
        (
            " {\"x\" : {\"model\":\"no\"}, \"y\":[{\"model\":1}, -0.5e+3, true, null], \"model\" : \"\\u0061\\/\\ud83d\\ude00\" } ",
            "a/\u{1f600}",
        ),
        ("{\"\\ud800\":1,\"model\":\"\"}", ""),
    ] {
        cases.push(case("model", body.as_bytes(), false, Some(text)));
    }
    let body = "{\"messages\":[\"hello\"],\"model\":\"a\",\"stream\":true}";
    for (len, text) in [(10, None), (32, None), (33, Some("a")), (47, Some("a")), (body.len(), None)] {
        cases.push(case("model", &body.as_bytes()[..len], true, text));
    }
    cases.push(case("model", b"{\"model\":\"a\",\"model\":\"b", true, None));
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
    .map(|(path, why)| json!({ "host": null, "method": "GET", "path": path, "refused": why }))
    .collect()
}

/// Paths under rules of their own: what is tried, in which order, and how far back.
fn own_paths() -> Vec<Value> {
    let case = |patterns: &[&str], path: &str, rule: Option<(usize, &[(&str, &str)])>| {
        let rules: Vec<Rule> = patterns.iter().map(|pattern| get(pattern)).collect();
        own_path(&rules, None, path, rule.map(|(at, parameters)| (at, None, parameters)))
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
