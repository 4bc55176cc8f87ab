use super::*;
use clap::Parser;
use std::path::Path;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: TrialArguments,
}

/// 2026-11-23T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_392_000_000);

const RULES: &str = r#"
[cors]
origins = ["https://app.example"]

[[route]]
method = "POST"
path = "/v1/chat"
permission = "inference.invoke"
model = { body = "model" }

[[route]]
method = "GET"
path = "/v1/projects/{project}/files/{file}"
permission = "files.read"
credentials = ["key", "session"]
project = { path = "project" }
resource = { type = "file", path = "file" }

[[route]]
host = "{project}.api.example"
method = "DELETE"
path = "/clusters/{cluster}"
permission = "clusters.delete"
project = { host = "project" }
resource = { type = "cluster", path = "cluster" }
freshness = "fresh-only"

[[route]]
method = "GET"
path = "/health"
public = true

[[route]]
method = "GET"
path = "/old"
permission = "clusters.delete"
shadow_until = 2026-12-01T00:00:00Z
"#;

/// Tries the words of a command line behind the file's name, and expects this.
#[track_caller]
fn check(words: &[&str], expected: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let (rules, body) = (scratch.path().join("routes.toml"), scratch.path().join("body"));
    fs::write(&rules, RULES).unwrap();
    fs::write(&body, "{\"model\":\"llama-3\"}").unwrap();
    let words = words.iter().map(|word| if *word == "BODY" { body.to_str().unwrap() } else { word });
    let line = ["latchkey", rules.to_str().unwrap()].into_iter().chain(words);
    let arguments = Line::parse_from(line.chain(["--expect", expected])).arguments;
    if let Err(error) = run(&arguments, NOW) {
        panic!("{error:#}");
    }
}

#[test]
fn trial_says_what_an_edge_would() {
    let file = "/v1/projects/demo/files/report-1";
    check(&["GET", file, "--as", "nobody"], "unauthenticated");
    check(&["GET", file], "not_found");
    check(&["GET", file, "--resource", "file:report-1", "--project", "other"], "not_found");
    check(&["GET", "/v1/projects/demo/files/..", "--resource", "file:report-1"], "path_dot_segment");
    check(&["PUT", file, "--resource", "file:report-1"], "not_found");
    check(&["GET", file, "--resource", "file:report-1", "--permission", "files.view"], "permission_denied");
    check(&["GET", file, "--resource", "file:report-1", "--only-resource", "file:other*"], "narrowed");
    check(&["GET", file, "--resource", "file:report-1", "--network", "10.0.0.0/8"], "network_not_allowed");
    check(&["GET", file, "--resource", "file:report-1", "--only-resource", "file:rep*"], "allow");
    check(&["GET", file, "--resource", "file:report-1", "--as", "member"], "allow");
    check(&["POST", "/v1/chat", "--as", "admin"], "project_header_missing");
    check(&["POST", "/v1/chat", "--as", "admin", "--header", "latchkey-project: demo"], "credential_kind");
    check(&["POST", "/v1/chat", "--model", "gpt*", "--body", "BODY"], "narrowed");
    check(&["POST", "/v1/chat", "--model", "llama*"], "narrowed");
    check(&["POST", "/v1/chat", "--model", "llama*", "--body", "BODY"], "allow");
    check(&["POST", "/v1/chat"], "allow");
}

#[test]
fn trial_knows_hosts_public_routes_shadows_and_preflights() {
    let cluster = ["--resource", "cluster:c-1", "--as", "admin-key"];
    let at = |url: &'static str| [&["DELETE", url][..], &cluster].concat();
    check(&at("https://other.api.example/clusters/c-1"), "not_found");
    check(&at("https://api.example/clusters/c-1"), "not_found");
    check(&at("https://DEMO.api.example:443/clusters/c-1"), "allow");
    let member = ["DELETE", "https://demo.api.example/clusters/c-1", "--resource", "cluster:c-1"];
    check(&member, "permission_denied");
    check(&["GET", "/health", "--as", "nobody"], "public");
    check(&["GET", "/old", "--as", "nobody"], "unauthenticated");
    let preflight = |origin: &'static str| {
        [
            "OPTIONS",
            "/v1/chat",
            "--header",
            origin,
            "--header",
            "access-control-request-method: POST",
            "--as",
            "nobody",
        ]
    };
    check(&preflight("origin: https://evil.example"), "origin_not_allowed");
    check(&preflight("origin: https://app.example"), "preflight");
}

#[test]
fn shadow_tells_that_it_passes() {
    let routing = super::super::parse(RULES, NOW.seconds()).unwrap();
    let line = ["latchkey", "routes.toml", "GET", "/old", "--as", "nobody"];
    let arguments = Line::parse_from(line).arguments;
    let stand = Stand::new(&routing, &arguments, NOW).unwrap();
    let (target, headers) = (Target::parse("/old").unwrap(), Given::parse(&[]).unwrap());
    let report = try_out(&routing, &stand, &arguments, &target, &headers, NOW).unwrap();
    assert_eq!(report.outcome, "unauthenticated");
    assert_eq!(report.fields["passes"], true);
    assert_eq!(report.fields["line"], 35);
    assert_eq!(report.fields["cause"], "credential_missing");
}

#[test]
fn trial_in_the_documentation_is_what_is_printed() {
    let documentation = include_str!("../../../../../docs/operations.md");
    let (_, told) = documentation.split_once("$ latchkey routes test ").unwrap();
    let (words, told) = told.split_once("```").unwrap().0.split_once('\n').unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (file, words) = words.split_once(' ').unwrap();
    let line = ["latchkey", file].into_iter().chain(words.split(' '));
    let arguments = Line::parse_from(line).arguments;
    let routing = load(&repository.join(file), NOW.seconds()).unwrap();
    let stand = Stand::new(&routing, &arguments, NOW).unwrap();
    let (target, headers) = (Target::parse(&arguments.url).unwrap(), Given::parse(&[]).unwrap());
    let report = try_out(&routing, &stand, &arguments, &target, &headers, NOW).unwrap();
    assert_eq!(report.text(), told);
}
