//! What native gates read from a running control plane, and the credential that they read it with.

use crate::served::{Client, Installation};
use latchkey_control::publish::LongPollSource;
use latchkey_snapshot::{ObjectDigest, Root, UnverifiedHead};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const TOKEN: &str = "data/secrets/gate-token";
const ARRIVE_MAX: Duration = Duration::from_secs(30);

fn token(installation: &Installation) -> String {
    fs::read_to_string(installation.path(TOKEN)).unwrap().trim().to_owned()
}

#[test]
fn installation_that_is_older_than_the_credential_is_given_one() {
    let mut installation = Installation::new();
    let first = token(&installation);
    installation.stop();
    fs::remove_file(installation.path(TOKEN)).unwrap();
    installation.start();
    installation.log_says("`secrets/gate-token` was missing and has been made");
    let made = token(&installation);
    let mode = fs::metadata(installation.path(TOKEN)).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, made.len(), made == first), (0o600, 64, false));
    let status = |token: &str| Client::new(&installation.url(), token).get("/v1/gate/roots/0").0;
    assert_eq!((status(&made), status(&first)), (404, 401));
    // The next start finds it.
    installation.stop();
    installation.start();
    assert_eq!(token(&installation), made);
    // One that others can read is none.
    installation.stop();
    fs::set_permissions(installation.path(TOKEN), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!installation.serves(), "it was served");
}

#[test]
fn revocation_reaches_whoever_waits_for_it() {
    let installation = Installation::new();
    let (owner, project) = installation.populate();
    let owner = Client::new(&installation.url(), &owner);
    let key = owner.post(&format!("/v1/projects/{project}/keys"), &json!({ "name": "a" }));
    let key = key["key"]["id"].as_str().unwrap();
    let source = LongPollSource::new(&installation.url(), &token(&installation)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let root = runtime.block_on(source.root(1)).unwrap().unwrap();
    assert_eq!(root, fs::read(installation.path("data/roots/1")).unwrap());
    let root = Root::pinned(&root).unwrap();
    let mut after = None;
    let mut next = || {
        let bytes = runtime.block_on(source.head(after, 20)).unwrap().expect("no head came");
        after = Some(ObjectDigest::of(&bytes));
        UnverifiedHead::parse(&bytes).unwrap().verify(&root).unwrap()
    };
    let began = Instant::now();
    let before = next().newest_generation();
    owner.post(&format!("/v1/keys/{key}/revoke"), &json!({}));
    loop {
        let head = next();
        if head.newest_generation() > before {
            let manifest = &head.statement.manifest;
            let object = source.object(manifest.digest(), manifest.len_bytes() as usize);
            assert!(runtime.block_on(object).unwrap().is_some());
            return;
        }
        assert!(began.elapsed() < ARRIVE_MAX, "it never came");
    }
}
