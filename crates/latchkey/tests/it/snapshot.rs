//! `latchkey snapshot`: what it tells of what is published, and what it does not believe.

use crate::restore::{key, latchkey, refused, succeeded, text};
use crate::served::{Client, Installation};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

/// An installation that published a project with keys.
struct Scene {
    installation: Installation,
    owner: Client,
    project: String,
}

impl Scene {
    fn new() -> Self {
        let installation = Installation::new();
        let (token, project) = installation.populate();
        let owner = Client::new(&installation.url(), &token);
        let scene = Self { installation, owner, project };
        (0..3).for_each(|_| drop(scene.key()));
        scene.settle();
        scene
    }

    fn key(&self) -> (String, String) {
        key(&self.owner, &self.project)
    }

    fn data(&self) -> PathBuf {
        self.installation.path("data")
    }

    fn place(&self) -> PathBuf {
        self.installation.path("published")
    }

    /// `latchkey snapshot` on the place, by the installation's roots.
    fn snapshot(&self, command: &str, more: &[&str]) -> Output {
        let (place, data) = (self.place(), self.data());
        latchkey(&[&["snapshot", command, text(&place), "--dir", text(&data)], more].concat(), "")
    }

    fn rebuild(&self, more: &[&str]) -> Output {
        let (place, data) = (self.place(), self.data());
        let all = ["snapshot", "rebuild", "--dir", text(&data), "--published", text(&place)];
        latchkey(&[&all[..], more].concat(), "")
    }

    fn inspected(&self) -> Value {
        serde_json::from_str(&succeeded(&self.snapshot("inspect", &["--json"]))).unwrap()
    }

    /// Waits until the place has a statement of all that is committed.
    fn settle(&self) {
        let operator = Client::new(&self.installation.url(), &self.installation.operator);
        let start = Instant::now();
        loop {
            let committed = operator.get("/v1/operator/publish").1["committed"].clone();
            if self.place().join("head").exists()
                && self.inspected()["head"]["statement"]["generation"] == committed
            {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it is never published");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every object that is there.
    fn objects(&self) -> Vec<PathBuf> {
        let mut objects: Vec<_> =
            fs::read_dir(self.place().join("objects")).unwrap().map(|entry| entry.unwrap().path()).collect();
        objects.sort();
        objects
    }

    /// Objects that the head leads to.
    fn named(&self) -> Vec<PathBuf> {
        let is_named = |path: &PathBuf| self.snapshot("verify", &["--object", text(path)]).status.success();
        self.objects().into_iter().filter(is_named).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    for folder in ["objects", "roots"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
        }
    }
    fs::copy(from.join("head"), to.join("head")).unwrap();
}

#[test]
fn inspect_and_verify_tell_what_is_published() {
    let mut scene = Scene::new();
    scene.installation.stop();
    let told = scene.inspected();
    assert_eq!(told["head"]["root_version"], 1);
    assert_eq!(told["state"]["base"]["prefix"], "lk_test");
    let text_of = succeeded(&scene.snapshot("inspect", &[]));
    assert!(text_of.contains("head.statement.generation: "), "{text_of}");
    assert!(text_of.contains("state.base.session_keys: 1"), "{text_of}");
    let verified = succeeded(&scene.snapshot("verify", &[]));
    for words in ["every one whole", "1 canaries answer", "0 rules compile", "s old, good for another"] {
        assert!(verified.contains(words), "{verified}");
    }
    let (root, place) = (scene.data().join("roots/1"), scene.place());
    succeeded(&latchkey(&["snapshot", "verify", text(&place), "--root", text(&root)], ""));
    // Another installation's root vouches for nothing here.
    let stranger = Installation::new();
    let root = stranger.path("data/roots/1");
    refused(
        &latchkey(&["snapshot", "verify", text(&place), "--root", text(&root)], ""),
        "not to be believed",
    );
    refused(&latchkey(&["snapshot", "verify", text(&place)], ""), "--root");
    let nowhere = scene.installation.path("nowhere");
    refused(
        &latchkey(&["snapshot", "inspect", text(&nowhere), "--root", text(&root)], ""),
        "is no directory",
    );
}

#[test]
fn verify_refuses_an_object_that_is_flipped_missing_or_another() {
    let mut scene = Scene::new();
    scene.installation.stop();
    // A restart begins with a base of all there is.
    scene.installation.start();
    scene.settle();
    scene.installation.stop();
    let named = scene.named();
    assert!(named.len() >= 3, "manifest, node, page: {named:?}");
    for path in &named {
        let whole = fs::read(path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(path, flipped).unwrap();
        refused(&scene.snapshot("verify", &[]), "not to be believed");
        refused(&scene.snapshot("verify", &["--object", text(path)]), "not to be believed");
        fs::remove_file(path).unwrap();
        refused(&scene.snapshot("verify", &[]), "is not there");
        fs::write(path, whole).unwrap();
    }
    let [one, other, ..] = named.as_slice() else { panic!("{named:?}") };
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    fs::write(one, &second).unwrap();
    fs::write(other, &first).unwrap();
    refused(&scene.snapshot("verify", &[]), "not to be believed");
    fs::write(one, first).unwrap();
    fs::write(other, second).unwrap();
    succeeded(&scene.snapshot("verify", &[]));
    let unnamed = scene.installation.path("unnamed");
    fs::write(&unnamed, b"no object").unwrap();
    refused(
        &scene.snapshot("verify", &["--object", text(&unnamed)]),
        "no object that the published head leads to",
    );
}

/// Whoever stole the first root's keys and can write to the place puts any old head there.
#[test]
fn head_of_a_root_that_was_replaced_is_refused_by_every_command() {
    let mut scene = Scene::new();
    let old = fs::read(scene.place().join("head")).unwrap();
    scene.installation.signer("rotate --dir DIR --role head");
    let start = Instant::now();
    let head = scene.place().join("head");
    // While the new root is there and no head under it yet, there is nothing to be believed.
    while !scene.snapshot("verify", &[]).status.success() || scene.inspected()["head"]["root_version"] != 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "no head under root 2");
        std::thread::sleep(Duration::from_millis(50));
    }
    scene.installation.stop();
    fs::write(&head, &old).unwrap();
    let words = "the head is under root 1, which root 2 replaced";
    refused(&scene.snapshot("verify", &[]), words);
    refused(&scene.snapshot("inspect", &[]), words);
    refused(&scene.rebuild(&[]), words);
    let (place, first) = (scene.place(), scene.data().join("roots/1"));
    // Pinned to the first root, it is seen by the one that is there.
    refused(&latchkey(&["snapshot", "verify", text(&place), "--root", text(&first)], ""), words);
}

#[test]
fn diff_names_what_was_added_removed_and_changed() {
    let mut scene = Scene::new();
    let (id, _) = scene.key();
    scene.settle();
    let before = scene.installation.path("before");
    copy(&scene.place(), &before);
    scene.owner.post(&format!("/v1/keys/{id}/revoke"), &json!({}));
    scene.key();
    scene.settle();
    scene.installation.stop();
    let (data, after) = (scene.data(), scene.place());
    let diff = |one: &Path, other: &Path| {
        succeeded(&latchkey(&["snapshot", "diff", text(one), text(other), "--dir", text(&data)], ""))
    };
    let told = diff(&before, &after);
    let lines = |text: &str, sign: &str| text.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((lines(&told, "+ NativeKey "), lines(&told, "~ NativeKey ")), (1, 1), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    let back = diff(&after, &before);
    assert_eq!((lines(&back, "- NativeKey "), lines(&back, "~ NativeKey ")), (1, 1), "{back}");
    assert_eq!(diff(&before, &before), "no difference\n");
    let json = ["snapshot", "diff", text(&before), text(&after), "--dir", text(&data), "--json"];
    let json: Value = serde_json::from_str(&succeeded(&latchkey(&json, ""))).unwrap();
    assert_eq!(json["records"]["NativeKey"]["added"].as_array().unwrap().len(), 1);
}

#[test]
fn rebuild_says_the_same_with_deltas_and_the_same_bytes_without() {
    let mut scene = Scene::new();
    refused(&scene.rebuild(&[]), "state.redb");
    let (id, _) = scene.key();
    scene.owner.post(&format!("/v1/keys/{id}/revoke"), &json!({}));
    scene.settle();
    scene.installation.stop();
    assert!(!scene.inspected()["state"]["deltas"].as_array().unwrap().is_empty());
    let told = succeeded(&scene.rebuild(&[]));
    assert!(told.contains("deltas say the same"), "{told}");
    for words in ["NOT COMPARED", "--routes", "--grace-secs", "--canary"] {
        assert!(told.contains(words), "{told}");
    }
    scene.installation.start();
    scene.settle();
    scene.installation.stop();
    assert!(succeeded(&scene.rebuild(&[])).contains("the same bytes"));
    let config = scene.installation.path("config.toml");
    fs::write(&config, "grace_secs = 900\n").unwrap();
    let told = succeeded(&scene.rebuild(&["--config", text(&config)]));
    assert!(told.contains("the same bytes") && !told.contains("NOT COMPARED"), "{told}");
}

#[test]
fn rebuild_refuses_what_the_installation_does_not_say() {
    let mut scene = Scene::new();
    let (id, _) = scene.key();
    scene.settle();
    scene.installation.stop();
    refused(&scene.rebuild(&["--grace-secs", "901"]), "~ manifest grace");
    refused(&scene.rebuild(&["--canary", &id]), "~ manifest canaries");
    let routes = scene.installation.path("routes.toml");
    let rule = "[[route]]\nmethod = \"POST\"\npath = \"/v1/chat\"\npermission = \"inference.invoke\"\n";
    fs::write(&routes, rule).unwrap();
    refused(&scene.rebuild(&["--routes", text(&routes)]), "- rules POST /v1/chat");
    // Who swapped the manifest would name a session key of their own: here it is the installation that has another.
    let key = scene.data().join("keys/session");
    let own = fs::read(&key).unwrap();
    fs::write(&key, "ab".repeat(32) + "\n").unwrap();
    refused(&scene.rebuild(&[]), "~ manifest session keys");
    fs::write(&key, own).unwrap();
    let key = scene.data().join("keys/edge");
    fs::write(&key, "cd".repeat(32) + "\n").unwrap();
    refused(&scene.rebuild(&[]), "~ manifest edge keys");
}
