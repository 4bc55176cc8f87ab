//! No secret in the database, the snapshots or the log: the raw bytes are searched for every one that was made.

use crate::served::{Client, Installation};
use serde_json::json;
use std::fs;
use std::path::Path;

#[test]
fn no_file_but_the_secrets_own_holds_a_secret() {
    let mut installation = Installation::new();
    let (token, project) = installation.populate();
    let client = Client::new(&installation.url(), &token);
    let path = format!("/v1/projects/{project}/keys");
    let mut secrets = vec![installation.operator.clone(), token.clone()];
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        let made = client.post(&path, &json!({ "name": name }));
        secrets.push(made["secret"].as_str().unwrap().to_owned());
        ids.push(made["key"]["id"].as_str().unwrap().to_owned());
    }
    let batch = client.post(&format!("{path}:batch"), &json!({"keys": [{"name": "a"}, {"name": "b"}]}));
    secrets.extend(
        batch["items"].as_array().unwrap().iter().map(|made| made["secret"].as_str().unwrap().to_owned()),
    );
    client.post(&format!("/v1/keys/{}/revoke", ids[0]), &json!({}));
    // A request that is refused must not be quoted either.
    let (status, _) = client.try_post(&path, &json!({ "name": "x", "unknown": secrets[2] })).unwrap();
    assert!((400..500).contains(&status));
    assert_eq!(Client::new(&installation.url(), &secrets[2]).get("/v1/me").0, 401);
    let gate_token = fs::read_to_string(installation.path("data/secrets/gate-token")).unwrap();
    let gate = Client::new(&installation.url(), gate_token.trim());
    assert_eq!((gate.get("/v1/gate/roots/0").0, gate.get("/v1/me").0), (404, 401));
    wait_until_published(&installation.path("published"));
    installation.kill();

    let needles: Vec<&[u8]> = secrets.iter().map(|secret| tail(secret)).collect();
    let searched = search(&installation.path(""), &needles);
    assert!(searched >= 5, "only {searched} files were searched");
    // The gates' is in its own file and in no other.
    fs::remove_file(installation.path("data/secrets/gate-token")).unwrap();
    search(&installation.path(""), &[gate_token.trim().as_bytes()]);
}

/// The part of a key or token that is secret: what follows its public beginning.
fn tail(secret: &str) -> &[u8] {
    let body = secret.rsplit('_').next().unwrap();
    &body.as_bytes()[..body.len().min(20)]
}

fn wait_until_published(published: &Path) {
    let start = std::time::Instant::now();
    while !published.join("head").exists() {
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "nothing was published");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn search(folder: &Path, needles: &[&[u8]]) -> usize {
    let mut searched = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            searched += search(&path, needles);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == *needle);
            assert!(!found, "`{}` holds a secret", path.display());
        }
        searched += 1;
    }
    searched
}
