//! The decision log of a gate: why, of whom, by which rule, and nothing that a caller chose.

use super::{MODELS, Scene, exchange};
use serde_json::Value;
use std::fs;

/// All that a line may have.
const FIELDS: [&str; 19] = [
    "v",
    "at_ms",
    "outcome",
    "code",
    "cause",
    "request",
    "method",
    "host",
    "rule",
    "permission",
    "key",
    "identity",
    "role",
    "project",
    "generation",
    "age_ms",
    "stale",
    "again",
    "took_ms",
];

/// A line that a process before did not finish, and its end.
const TORN: &str = r#"{"v":1,"at_"#;
const TORN_AND_ENDED: &str = "{\"v\":1,\"at_\n";

impl Scene {
    fn log_decisions(&mut self, shares: &str) {
        let file = self.installation.path("decisions.jsonl").to_str().unwrap().to_owned();
        self.extra = vec!["--decisions".to_owned(), shares.to_owned(), "--decisions-to".to_owned(), file];
        self.start_gate();
    }

    /// What was written by the time the gate has stopped.
    fn decisions(&mut self) -> (String, Vec<Value>) {
        self.gate.as_mut().unwrap().stop();
        let text = fs::read_to_string(self.installation.path("decisions.jsonl")).unwrap();
        let text = text.strip_prefix(TORN_AND_ENDED).map_or(text.clone(), str::to_owned);
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (text, lines)
    }
}

#[test]
fn every_decision_is_told_with_its_cause_and_nothing_that_the_caller_chose() {
    let mut scene = Scene::new();
    scene.log_decisions("1");
    let (id, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    const WORD: &str = "Wisely-Chosen-Word";
    let bearer = format!("authorization: Bearer {key}\r\n");
    let ray = "cf-ray: 8f1d2c3b4a596877-FRA\r\n";
    let long = format!("/v1/projects/alpha/models/{WORD}?token={key}&{WORD}");
    assert_eq!(scene.get(&long, &format!("{bearer}{ray}user-agent: {WORD}\r\ncookie: {key}\r\n")).0, 200);
    assert_eq!(scene.get(&format!("/{WORD}/{key}"), &format!("{bearer}traceparent: {key}\r\n")).0, 404);
    assert_eq!(scene.get(MODELS, &format!("{ray}cf-ray: {WORD}\r\n")).0, 401);
    assert_eq!(scene.with_key(MODELS, &format!("{key}{WORD}")).0, 401);
    assert_eq!(scene.with_key("/v1/projects/other/models/a", &key).0, 404);
    assert_eq!(scene.get("/v1/public", &format!("latchkey-project: {WORD}\r\n")).0, 200);
    assert_eq!(scene.get("/v1/shadow", &format!("authorization: Bearer {WORD}\r\n")).0, 200);
    let address = scene.gate.as_ref().unwrap().address(0);
    let request = format!("{WORD} {MODELS} HTTP/1.1\r\nhost: {WORD}\r\nconnection: close\r\n{bearer}\r\n");
    assert!(exchange(address, request.as_bytes()).0 >= 400);
    let (text, lines) = scene.decisions();
    let secret = key.rsplit('_').next().unwrap();
    for hidden in [WORD, key.as_str(), &secret[11..], "other", "?"] {
        assert!(!text.contains(hidden), "`{hidden}` is in {text}");
    }
    for line in &lines {
        let fields: Vec<_> = line.as_object().unwrap().keys().collect();
        assert!(fields.iter().all(|field| FIELDS.contains(&field.as_str())), "{line}");
        assert!(line["v"] == 1 && line["at_ms"].is_u64() && line["took_ms"].is_u64(), "{line}");
    }
    let find = |outcome: &str, cause: Option<&str>| {
        let is_it = |line: &&Value| line["outcome"] == outcome && line["cause"].as_str() == cause;
        lines.iter().rfind(is_it).unwrap_or_else(|| panic!("no {outcome} {cause:?} in {text}"))
    };
    let allowed = find("allowed", None);
    assert_eq!((&allowed["key"], &allowed["role"]), (&Value::from(id.as_str()), &Value::from("member")));
    assert_eq!(allowed["rule"], "/v1/projects/{project}/models/{*rest}");
    assert_eq!((&allowed["method"], &allowed["permission"]), (&"GET".into(), &"models.view".into()));
    assert_eq!(allowed["project"], scene.project.as_str());
    assert_eq!(allowed["request"], "8f1d2c3b4a596877-FRA");
    assert!(allowed["generation"].is_u64() && allowed["age_ms"].is_u64());
    let route = find("refused", Some("absent_route"));
    assert!(route["code"] == "not_found" && route["key"] == id.as_str() && route.get("rule").is_none());
    let project = find("refused", Some("absent_project"));
    assert!(project["key"] == id.as_str() && project["rule"] == "/v1/projects/{project}/models/{*rest}");
    let missing = find("refused", Some("credential_missing"));
    assert!(missing["code"] == "unauthenticated" && missing.get("request").is_none(), "{missing}");
    assert!(find("refused", Some("credential_malformed")).get("key").is_none());
    assert_eq!(find("public", None)["rule"], "/v1/public");
    assert_eq!(find("shadow", Some("credential_unknown"))["rule"], "/v1/shadow");
}

#[test]
fn each_kind_has_a_share_of_its_own_and_nothing_is_written_without_one() {
    let mut scene = Scene::new();
    let (_, key) = scene.key();
    fs::write(scene.installation.path("decisions.jsonl"), TORN).unwrap();
    scene.log_decisions("0,refused=1");
    scene.until(MODELS, &key, |status, _| status == 200);
    assert_eq!(scene.get("/v1/shadow", "").0, 200);
    assert_eq!(
        scene.get(MODELS, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n").0,
        401
    );
    let (status, metrics) = exchange(
        scene.gate.as_ref().unwrap().address(1),
        b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert!(status == 200 && metrics.contains("latchkey_gate_decisions_lost_total 0"), "{metrics}");
    let (text, lines) = scene.decisions();
    assert!(lines.iter().all(|line| line["outcome"] == "refused"), "{text}");
    assert!(lines.iter().any(|line| line["request"].as_str().is_some_and(|id| id.starts_with("00-4bf9"))));
    fs::remove_file(scene.installation.path("decisions.jsonl")).unwrap();
    scene.extra.clear();
    scene.start_gate();
    scene.until(MODELS, &key, |status, _| status == 200);
    scene.gate.as_mut().unwrap().stop();
    assert!(!scene.installation.path("decisions.jsonl").exists());
}
