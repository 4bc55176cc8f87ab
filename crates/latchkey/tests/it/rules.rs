//! Route rules of a running server: read again on a signal or an operator's word, kept when the file is wrong, and told of
//! afterwards.

use crate::served::{Client, Installation};
use serde_json::Value;
use std::fs;
use std::process::Command;

const ONE: &str = "[[route]]\nmethod = \"GET\"\npath = \"/v1/one\"\npermission = \"models.view\"\n";

struct Scene {
    installation: Installation,
}

impl Scene {
    fn new() -> Self {
        let mut installation = Installation::new();
        installation.stop();
        fs::write(installation.path("routes.toml"), ONE).unwrap();
        installation.start();
        Self { installation }
    }

    fn write(&self, text: &str) {
        fs::write(self.installation.path("routes.toml"), text).unwrap();
    }

    fn sets(&self) -> Vec<Value> {
        let (status, page) =
            Client::new(&self.installation.url(), &self.installation.operator).get("/v1/operator/routes");
        assert_eq!(status, 200);
        page["items"].as_array().unwrap().clone()
    }

    /// Runs `latchkey routes` against the server: whether it ended well, and all that it said.
    fn routes(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .arg("routes")
            .args(arguments)
            .args(["--url", &self.installation.url()])
            .env("LATCHKEY_TOKEN", &self.installation.operator)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn signal_puts_the_file_in_force_and_a_wrong_one_changes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.sets().len(), 1);
    scene.write(&ONE.replace("GET", "get"));
    scene.installation.signal("HUP");
    scene.installation.log_says("line 2, column 10");
    assert_eq!(scene.sets().len(), 1);
    scene.write(&ONE.replace("/v1/one", "/v1/two"));
    scene.installation.signal("HUP");
    scene.installation.log_says("other route rules are in force number=2");
    let sets = scene.sets();
    assert_eq!((sets.len(), &sets[0]["number"]), (2, &Value::from(2)));
    // A start that finds what was in force is no change.
    scene.installation.stop();
    scene.installation.start();
    assert_eq!(scene.sets(), sets);
}

#[test]
fn operator_applies_the_file_and_reads_what_was_in_force_before() {
    let scene = Scene::new();
    let two = ONE.replace("/v1/one", "/v1/two");
    scene.write(&two);
    let (done, told, _) = scene.routes(&["apply"]);
    assert!(done && told.starts_with("2  "), "{told}");
    scene.write("[[route]]\nmethod = \"GET\"\npath = \"/v1/one\"\npermision = \"models.view\"\n");
    let (done, _, why) = scene.routes(&["apply"]);
    assert!(!done && why.contains("line 4, column 1"), "{why}");

    let (_, history, _) = scene.routes(&["history"]);
    assert_eq!(history.lines().count(), 2, "{history}");
    let version = scene.sets()[1]["version"].as_str().unwrap().to_owned();
    assert_eq!(scene.routes(&["show", &version[..12]]).1, ONE);
    assert_eq!(scene.routes(&["show", "1"]).1, ONE);
    assert_eq!(scene.routes(&["show"]).1, two);
    assert_eq!(scene.routes(&["show", "--at", "2200-01-01T00:00:00Z"]).1, two);
    let (done, _, why) = scene.routes(&["show", "--at", "2020-01-01T00:00:00Z"]);
    assert!(!done && why.contains("no such set"), "{why}");
}
