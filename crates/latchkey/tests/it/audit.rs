//! The audit log's copies: made of a live server and of a stopped one, verified offline, and refused once altered.

use crate::served::{Client, Installation};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_snapshot::{Root, UnverifiedHead};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A served installation with a log that spans more than one tile.
struct Scene {
    installation: Installation,
    owner: String,
    project: String,
    organization: String,
    key: String,
}

impl Scene {
    fn new() -> Self {
        let installation = Installation::new();
        let (owner, project) = installation.populate();
        let key = run(&["audit", "key", "--dir", text(&installation.path("data"))]);
        let key = String::from_utf8(key.stdout).unwrap().trim().to_owned();
        let organization = Client::new(&installation.url(), &owner).get("/v1/organizations").1;
        let organization = organization["items"][0]["id"].as_str().unwrap().to_owned();
        let scene = Self { installation, owner, project, organization, key };
        scene.grow(261);
        scene
    }

    fn grow(&self, count: usize) {
        let client = Client::new(&self.installation.url(), &self.owner);
        for _ in 0..count {
            client.post(&format!("/v1/projects/{}/keys", self.project), &json!({"name": "k"}));
        }
    }

    /// A copy from the live API, of all or of the organization's own.
    fn export(&self, name: &str, organization: Option<&str>, earlier: &[&Path]) -> PathBuf {
        let out = self.installation.path(name);
        let token = if organization.is_some() { &self.owner } else { &self.installation.operator };
        let mut command = latchkey();
        command.args([
            "audit",
            "export",
            "--url",
            &self.installation.url(),
            "--key",
            &self.key,
            "--out",
            text(&out),
        ]);
        if let Some(id) = organization {
            command.args(["--organization", id]);
        }
        for path in earlier {
            command.args(["--earlier", text(path)]);
        }
        succeeded(&command.env("LATCHKEY_TOKEN", token).output().unwrap());
        out
    }

    fn verify(&self, copy: &Path, more: &[&str]) -> Output {
        let mut command = latchkey();
        command.args(["audit", "verify", text(copy), "--key", &self.key]).args(more);
        command.output().unwrap()
    }

    fn verified(&self, copy: &Path, more: &[&str]) -> String {
        succeeded(&self.verify(copy, more))
    }

    #[track_caller]
    fn refused(&self, copy: &Path, more: &[&str], reason: &str) {
        let output = self.verify(copy, more);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(reason), "`{reason}` is not in: {error}");
    }
}

fn latchkey() -> Command {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
}

fn run(arguments: &[&str]) -> Output {
    let output = latchkey().args(arguments).output().unwrap();
    succeeded(&output);
    output
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines of a copy's entries, changed.
fn edit(copy: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let path = copy.join("entries.jsonl");
    let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

/// A copy of a copy, to be spoiled.
fn spoiled(copy: &Path, name: &str) -> PathBuf {
    let target = copy.with_file_name(name);
    let _ = fs::remove_dir_all(&target);
    duplicate(copy, &target);
    target
}

fn duplicate(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match path.is_dir() {
            true => duplicate(&path, &target),
            false => assert!(fs::copy(&path, &target).is_ok()),
        }
    }
}

#[test]
fn copy_of_the_whole_log_is_verified_live_and_stopped_a1() {
    let mut scene = Scene::new();
    let first = scene.export("first", None, &[]);
    let printed = scene.verified(&first, &[]);
    assert!(printed.contains("the log is whole: 265 entries, 0 of them erased"), "{printed}");
    let operator = Client::new(&scene.installation.url(), &scene.installation.operator);
    for position in [7, 262] {
        operator.post(&format!("/v1/operator/audit/{position}/erase"), &json!({}));
    }
    let second = scene.export("second", None, &[]);
    let kept = first.join("checkpoint");
    let printed = scene.verified(&second, &["--earlier", text(&kept)]);
    assert!(printed.contains("267 entries, 2 of them erased") && printed.contains("1 earlier"), "{printed}");

    let from_open = latchkey()
        .args(["audit", "export", "--dir", text(&scene.installation.path("data"))])
        .args(["--out", text(&scene.installation.path("busy"))])
        .output()
        .unwrap();
    assert!(!from_open.status.success());
    scene.installation.stop();
    let third = scene.installation.path("third");
    run(&["audit", "export", "--dir", text(&scene.installation.path("data")), "--out", text(&third)]);
    for name in ["checkpoint", "entries.jsonl", "tile/0/000", "tile/0/001.p/11", "tile/1/000.p/1"] {
        assert_eq!(fs::read(second.join(name)).unwrap(), fs::read(third.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn altered_copy_of_the_whole_log_is_refused_at_its_position_a1() {
    let scene = Scene::new();
    let early = scene.export("early", None, &[]);
    scene.grow(3);
    let copy = scene.export("copy", None, &[]);
    let check = |change: &dyn Fn(&mut Vec<String>), reason: &str| {
        let altered = spoiled(&copy, "altered");
        edit(&altered, change);
        scene.refused(&altered, &[], reason);
    };
    check(&|lines| lines[9] = lines[9].replace("keys.create", "keys.revoke"), "entry 9 was altered");
    check(&|lines| lines[9] = without(&lines[9], &["salt"]), "entry 9 has an entry without its salt");
    check(&|lines| lines[9] = rehashed(&lines[9], &lines[10]), "entry 9 was altered");
    check(&|lines| drop(lines.remove(9)), "entry 9 is missing: the next one is entry 10");
    check(&|lines| lines.swap(9, 10), "entry 9 is missing");
    check(&|lines| lines.insert(9, lines[8].clone()), "entry 8 stands where entry 9 should");
    check(&|lines| lines.truncate(260), "entry 260 is missing");
    check(&|lines| lines.push(lines[9].replace("\"position\":9,", "\"position\":268,")), "entry 268");
    check(&|lines| lines[3].push('x'), "line 4 is no entry");

    let flip = |name: &str, at: usize, reason: &str, more: &[&str]| {
        let altered = spoiled(&copy, "altered");
        let mut bytes = fs::read(altered.join(name)).unwrap();
        bytes[at] ^= 1;
        fs::write(altered.join(name), bytes).unwrap();
        scene.refused(&altered, more, reason);
    };
    flip("tile/1/000.p/1", 0, "`tile/1/000.p/1`: hash 0 is not that of the tile below it", &[]);
    flip("tile/0/000", 40, "hash 0 is not that of the tile below it", &[]);
    flip("tile/0/001.p/12", 40, "root is not the checkpoint's", &[]);
    let kept = early.join("checkpoint");
    flip("tile/0/000", 40, "one of them was altered or removed", &["--earlier", text(&kept)]);
    flip("checkpoint", 5, "checkpoint", &[]);

    let cut = spoiled(&copy, "cut");
    fs::remove_file(cut.join("tile/0/000")).unwrap();
    scene.refused(&cut, &[], "tile/0/000");
    let swapped = spoiled(&copy, "swapped");
    fs::copy(&kept, swapped.join("checkpoint")).unwrap();
    scene.refused(&swapped, &[], "tile/0/001.p/9");
    scene.refused(&early, &["--earlier", text(&copy.join("checkpoint"))], "entries were cut off");
}

#[test]
fn checkpoint_of_another_log_is_refused_a1() {
    let scene = Scene::new();
    let copy = scene.export("copy", None, &[]);
    let other = Installation::new();
    let key = run(&["audit", "key", "--dir", text(&other.path("data"))]);
    let key = String::from_utf8(key.stdout).unwrap();
    let output = latchkey().args(["audit", "verify", text(&copy), "--key", key.trim()]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not signed by this key"));
    assert_eq!(output.status.code(), Some(1));
    let output = latchkey().args(["audit", "verify", text(&copy), "--key", "x"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a log's public key"));
    // A witness's line changes nothing.
    let note = fs::read_to_string(copy.join("checkpoint")).unwrap();
    fs::write(copy.join("checkpoint"), format!("{note}\u{2014} witness.example AAAAAAAA\n")).unwrap();
    scene.verified(&copy, &[]);
}

#[test]
fn organizations_own_copy_is_verified_and_none_is_left_out_of_it_a1() {
    let scene = Scene::new();
    let early = scene.export("early", Some(&scene.organization), &[]);
    let kept = early.join("checkpoint");
    scene.grow(3);
    let copy = scene.export("copy", Some(&scene.organization), &[&kept]);
    let printed = scene.verified(&copy, &["--earlier", text(&kept)]);
    assert!(printed.contains("266 entries are in the log") && printed.contains("1 earlier"), "{printed}");
    scene.refused(&copy, &["--earlier", text(&spoiled(&early, "same").join("none"))], "none");

    let entries = copy.join("entries.jsonl");
    scene.refused(&entries, &[], "takes `--checkpoint`");
    scene.verified(&entries, &["--checkpoint", text(&copy.join("checkpoint"))]);
    let check = |change: &dyn Fn(&mut Vec<String>), reason: &str| {
        let altered = spoiled(&copy, "altered");
        edit(&altered, change);
        scene.refused(&altered, &[], reason);
    };
    let position = |line: &str| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
    let ninth = {
        let text = fs::read_to_string(&entries).unwrap();
        position(text.lines().nth(9).unwrap())
    };
    check(
        &|lines| lines[9] = lines[9].replace("keys.create", "keys.revoke"),
        &format!("entry {ninth} was altered"),
    );
    check(
        &|lines| lines[9] = format!("{}}}", lines[9].split_once(",\"proof\"").unwrap().0),
        &format!("entry {ninth} has no proof"),
    );
    check(
        &|lines| lines[9] = reproven(&lines[9], &lines[10]),
        &format!("entry {ninth} is not in the checkpoint's tree"),
    );
    check(
        &|lines| lines[9] = without(&lines[9], &["entry", "salt"]).replace(&ninth.to_string(), "2"),
        "stands behind",
    );
    check(&|lines| drop(lines.remove(9)), "an entry of its organization is missing");
    check(&|lines| drop(lines.remove(0)), "an entry of its organization is missing");
    check(&|lines| lines.swap(9, 10), "an entry of its organization is missing");
    let part = spoiled(&copy, "part");
    edit(&part, |lines| drop(lines.drain(..4)));
    scene.verified(&part, &["--part"]);

    let forged = spoiled(&copy, "forged");
    let proof = fs::read_dir(forged.join("consistency")).unwrap().next().unwrap().unwrap().path();
    let mut value: Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
    value["hashes"].as_array_mut().unwrap().swap(0, 1);
    fs::write(&proof, value.to_string()).unwrap();
    scene.refused(&forged, &["--earlier", text(&kept)], "does not begin with this checkpoint's");
    fs::remove_file(&proof).unwrap();
    scene.refused(&forged, &["--earlier", text(&kept)], "the copy has no `consistency/");
}

#[test]
fn head_bears_the_root_that_the_log_has_at_its_size_a1() {
    let scene = Scene::new();
    let root = Root::pinned(&fs::read(scene.installation.path("data/roots/1")).unwrap()).unwrap();
    let head = published(&scene.installation.path("published/head"));
    let statement = UnverifiedHead::parse(&head).unwrap().verify(&root).unwrap().statement;
    assert!(statement.audit_size > 0);
    let operator = Client::new(&scene.installation.url(), &scene.installation.operator);
    let path = format!("/v1/operator/audit/proof?from={0}&to={0}", statement.audit_size);
    let (status, proof) = operator.get(&path);
    assert_eq!((status, &proof["to_root"]), (200, &Value::from(STANDARD.encode(statement.audit_root))));
}

/// The newest head that was published.
fn published(path: &Path) -> Vec<u8> {
    let start = Instant::now();
    loop {
        if let Ok(head) = fs::read(path) {
            return head;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "nothing was published");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A line without some of its fields. What is left keeps its bytes.
fn without(line: &str, fields: &[&str]) -> String {
    let mut value: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
    fields.iter().for_each(|field| drop(value.remove(*field)));
    Value::from(value).to_string()
}

/// A line with the hash of another: an entry that was exchanged.
fn rehashed(line: &str, other: &str) -> String {
    moved(line, other, "leaf_hash")
}

/// A line with the proof of another.
fn reproven(line: &str, other: &str) -> String {
    moved(line, other, "proof")
}

fn moved(line: &str, other: &str, field: &str) -> String {
    let of = |line: &str| serde_json::from_str::<Value>(line).unwrap()[field].to_string();
    line.replace(&of(line), &of(other))
}
