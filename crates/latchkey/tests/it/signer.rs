//! `latchkey signer` on files: what is refused, the ceremony, rotation, revocation, and what a crash leaves behind.

use latchkey_snapshot::Root;
use latchkey_snapshot::root::{KeyRole, RootKey};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An installation that nobody serves, and a drawer for keys that are elsewhere.
struct Vault {
    scratch: tempfile::TempDir,
}

impl Vault {
    fn new(offline: &[&str]) -> Self {
        let vault = Self { scratch: tempfile::tempdir().unwrap() };
        let data = vault.dir();
        let mut arguments = vec!["init", "--dir", data.to_str().unwrap(), "--prefix", "lk_test"];
        arguments.extend(offline);
        vault.run(&arguments).unwrap();
        vault
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What it printed, or why it failed. Never a seed, but for those that edges are to hold.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let command = env!("CARGO_BIN_EXE_latchkey");
        let output = Command::new(command).args(arguments).current_dir(self.scratch.path()).output().unwrap();
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        let is_for_edges = arguments.first() == Some(&"edge-env");
        for (name, seed) in self.seeds() {
            if is_for_edges && name.starts_with("edge") {
                continue;
            }
            assert!(!stdout.contains(&seed) && !stderr.contains(&seed), "a private key was shown");
        }
        if status.success() { Ok(stdout) } else { Err(stderr) }
    }

    fn signer(&self, line: &str) -> Result<String, String> {
        let arguments: Vec<&str> = std::iter::once("signer").chain(line.split(' ')).collect();
        self.run(&arguments)
    }

    /// The files of keys, and the seed in each.
    fn seeds(&self) -> Vec<(String, String)> {
        let Ok(folder) = fs::read_dir(self.dir().join("keys")) else { return Vec::new() };
        let text = |path: PathBuf| fs::read_to_string(path).unwrap();
        let entry = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), text(entry.path())[..64].to_owned())
        };
        folder.map(|found| entry(found.unwrap())).collect()
    }

    fn key_files(&self) -> Vec<String> {
        let folder = fs::read_dir(self.dir().join("keys")).unwrap();
        let mut names: Vec<_> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The newest root, as an edge gets there that is pinned to the first.
    fn root(&self) -> Root {
        let read = |version: u32| fs::read(self.dir().join(format!("roots/{version}"))).ok();
        let mut root = Root::pinned(&read(1).unwrap()).unwrap();
        while let Some(bytes) = read(root.version() + 1) {
            root = root.successor(&bytes).unwrap();
        }
        root
    }

    fn public(&self, file: &str) -> String {
        self.signer(&format!("key public {file}")).unwrap().trim().to_owned()
    }
}

fn hex(key: &RootKey) -> String {
    key.public.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_role(root: &Root, role: KeyRole) -> Vec<String> {
    root.keys().iter().filter(|key| key.role == role).map(hex).collect()
}

fn contains(told: Result<String, String>, words: &[&str]) {
    let error = told.unwrap_err();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn key_file_is_new_private_and_never_overwritten() {
    let vault = Vault::new(&[]);
    let public = vault.signer("key new --role head --out new-head").unwrap();
    assert_eq!(public.trim(), vault.public("new-head"));
    assert_eq!(public.trim().len(), 64);
    let mode = fs::metadata(vault.path("new-head")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    contains(vault.signer("key new --role head --out new-head"), &["cannot write"]);
    fs::set_permissions(vault.path("new-head"), fs::Permissions::from_mode(0o640)).unwrap();
    contains(vault.signer("key public new-head"), &["can be read by others", "0600"]);
}

#[test]
fn draft_that_no_edge_would_take_is_refused() {
    let vault = Vault::new(&[]);
    let head = vault.public("data/keys/head");
    contains(
        vault.signer(&format!("root draft --dir data --remove {head} --out d")),
        &["no edge would take", "thresholds"],
    );
    contains(
        vault.signer(&format!("root draft --dir data --add release:{head} --out d")),
        &["no edge would take", "keys"],
    );
    contains(vault.signer("root draft --dir data --thresholds 2,1,1 --out d"), &["thresholds"]);
    contains(
        vault.signer(&format!("root draft --dir data --remove {} --out d", "0".repeat(64))),
        &["no key"],
    );
    contains(vault.signer("root draft --out d"), &["--dir"]);
    assert!(!vault.path("d").exists());
}

#[test]
fn ceremony_of_two_of_three_on_different_machines() {
    let vault = Vault::new(&["--offline-keys", "3", "--threshold", "2"]);
    for number in 1..=3 {
        let from = vault.dir().join(format!("keys/offline-{number}"));
        fs::rename(from, vault.path(&format!("offline-{number}"))).unwrap();
    }
    // Without the offline keys the everyday path is closed.
    contains(vault.signer("rotate --dir data --role head"), &["do not suffice", "0 of 2", "root draft"]);
    let new = vault.signer("key new --role release --out new-release").unwrap();
    let old = vault.public("data/keys/release");
    let draft = format!("root draft --dir data --add release:{} --remove {old} --out draft", new.trim());
    let told = vault.signer(&draft).unwrap();
    assert!(told.contains(&format!("+ release {}", new.trim())), "{told}");
    assert!(told.contains(&format!("- release {old}")), "{told}");
    fs::copy(vault.dir().join("roots/1"), vault.path("root-1")).unwrap();
    contains(vault.signer("root check --root root-1 draft"), &["not complete"]);
    contains(vault.signer("root install --dir data --key new-release draft"), &["refused", "0 of 2"]);
    vault.signer("root sign --key offline-1 draft").unwrap();
    vault.signer("root sign --key offline-1 draft").unwrap();
    contains(vault.signer("root install --dir data --key new-release draft"), &["1 of 2"]);
    // A key of another role signs no root.
    contains(vault.signer("root sign --key data/keys/head draft"), &["signs no root"]);
    vault.signer("root sign --key offline-3 draft").unwrap();
    let told = vault.signer("root check --dir data draft").unwrap();
    assert!(told.contains("2 of 2 signatures") && told.contains("complete"), "{told}");
    // The root drops the only release key that is held: its successor must come along.
    contains(vault.signer("root install --dir data draft"), &["server would refuse", "0 are held"]);
    assert_eq!(vault.root().version(), 1);
    vault.signer("root install --dir data --key new-release draft").unwrap();
    assert_eq!(of_role(&vault.root(), KeyRole::Release), [new.trim()]);
    assert_eq!(vault.public("data/keys/release-2"), new.trim());
    assert!(!vault.key_files().contains(&"release".to_owned()));
    contains(vault.signer("root install --dir data draft"), &["version 2 where 3 follows"]);
}

#[test]
fn root_of_another_installation_is_not_installed() {
    let (vault, other) = (Vault::new(&[]), Vault::new(&[]));
    other.signer("rotate --dir data --role head").unwrap();
    fs::copy(other.dir().join("roots/2"), vault.path("foreign")).unwrap();
    contains(vault.signer("root install --dir data foreign"), &["another installation"]);
    let mut bytes = fs::read(vault.path("foreign")).unwrap();
    bytes[60] ^= 1;
    fs::write(vault.path("foreign"), bytes).unwrap();
    contains(vault.signer("root install --dir data foreign"), &["refused"]);
    assert_eq!(vault.key_files(), ["audit", "edge", "head", "offline-1", "release", "session"]);
}

#[test]
fn rotation_overlaps_and_finishes() {
    let vault = Vault::new(&[]);
    contains(vault.signer("rotate --dir data --role head --finish"), &["nothing to finish"]);
    contains(vault.signer("rotate --dir data --role offline"), &["root draft"]);
    let old = vault.public("data/keys/head");
    vault.signer("rotate --dir data --role head").unwrap();
    let new = vault.public("data/keys/head-2");
    let mut both = [old.clone(), new.clone()];
    both.sort();
    assert_eq!(of_role(&vault.root(), KeyRole::Head), both);
    vault.signer("rotate --dir data --role head --finish").unwrap();
    assert_eq!((vault.root().version(), of_role(&vault.root(), KeyRole::Head)), (3, vec![new]));
    assert_eq!(vault.key_files(), ["audit", "edge", "head-2", "offline-1", "release", "session"]);
    vault.signer("rotate --dir data --role head").unwrap();
    assert!(vault.key_files().contains(&"head-3".to_owned()));
}

#[test]
fn stolen_key_is_gone_and_another_is_in_its_place() {
    let vault = Vault::new(&["--offline-keys", "2"]);
    contains(vault.signer(&format!("revoke --dir data --public {}", "1".repeat(64))), &["neither root 1"]);
    for (role, in_root) in [("head", KeyRole::Head), ("release", KeyRole::Release)] {
        let stolen = vault.public(&format!("data/keys/{role}"));
        vault.signer(&format!("revoke --dir data --public {stolen}")).unwrap();
        let new = vault.public(&format!("data/keys/{role}-2"));
        assert_eq!(of_role(&vault.root(), in_root), [new]);
        contains(vault.signer(&format!("revoke --dir data --public {stolen}")), &["neither root"]);
    }
    let lost = vault.public("data/keys/offline-1");
    vault.signer(&format!("revoke --dir data --public {lost}")).unwrap();
    let left = vault.public("data/keys/offline-2");
    assert_eq!(of_role(&vault.root(), KeyRole::Offline), [left.as_str()]);
    contains(vault.signer(&format!("revoke --dir data --public {left}")), &["0 offline keys would be left"]);
    assert_eq!(vault.root().version(), 4);
}

#[test]
fn session_key_overlaps_longer_than_a_token_lives() {
    let vault = Vault::new(&[]);
    vault.signer("rotate --dir data --role session").unwrap();
    contains(vault.signer("rotate --dir data --role session --finish"), &["may be good for another"]);
    assert_eq!(vault.root().version(), 1);
    // As if a day had passed.
    let path = vault.dir().join("keys/session-2");
    let text = fs::read_to_string(&path).unwrap();
    let (seed, validity) = text.split_once("\nvalid ").unwrap();
    let (from, until) = validity.trim().split_once(' ').unwrap();
    let from = from.parse::<u64>().unwrap() - 86_400;
    fs::write(&path, format!("{seed}\nvalid {from} {until}\n")).unwrap();
    vault.signer("rotate --dir data --role session --finish").unwrap();
    assert_eq!(vault.key_files(), ["audit", "edge", "head", "offline-1", "release", "session-2"]);
    let stolen = vault.public("data/keys/session-2");
    vault.signer(&format!("revoke --dir data --public {stolen}")).unwrap();
    assert_eq!(vault.key_files(), ["audit", "edge", "head", "offline-1", "release", "session-3"]);
}

#[test]
fn change_that_a_crash_cut_off_is_mended_or_forgotten() {
    let vault = Vault::new(&[]);
    vault.signer("rotate --dir data --role head").unwrap();
    let keys = vault.dir().join("keys");
    // After the root and before the key moved in.
    fs::rename(keys.join("head-2"), keys.join("head-2.part")).unwrap();
    // Before the root.
    vault.signer("key new --role release --out data/keys/release-2.part").unwrap();
    // While it was written.
    write_private(&keys.join("edge-2.part"), "00");
    vault.signer("rotate --dir data --role head --finish").unwrap();
    assert_eq!(vault.key_files(), ["audit", "edge", "head-2", "offline-1", "release", "session"]);
    // After a root that drops a key and before the key was deleted.
    let old = fs::read(keys.join("head-2")).unwrap();
    vault.signer("rotate --dir data --role head").unwrap();
    vault.signer("rotate --dir data --role head --finish").unwrap();
    write_private(&keys.join("head-2"), std::str::from_utf8(&old).unwrap());
    vault.signer("rotate --dir data --role release").unwrap();
    let held = ["audit", "edge", "head-3", "offline-1", "release", "release-2", "session"];
    assert_eq!(vault.key_files(), held);
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn edges_are_given_the_edge_key_that_signs() {
    let vault = Vault::new(&[]);
    let first_line = |name: &str| {
        let text = fs::read_to_string(vault.dir().join("keys").join(name)).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let given = |seed: &str| {
        let text = vault.run(&["edge-env", "--dir", "data"]).unwrap();
        text.lines().any(|line| line == format!("LATCHKEY_EDGE_KEY={seed}"))
    };
    let first = first_line("edge");
    assert!(given(&first));
    // The second signs a minute later: edges have to read of it first.
    vault.signer("rotate --dir data --role edge").unwrap();
    assert_ne!(first_line("edge-2"), first);
    assert!(given(&first));
}

#[test]
fn pepper_is_not_switched_before_every_edge_was_asked_and_nothing_is_skipped() {
    let vault = Vault::new(&[]);
    let secret = |name: &str| fs::read_to_string(vault.dir().join("secrets").join(name)).ok();
    let edge_env = || vault.run(&["edge-env", "--dir", "data"]).unwrap();
    let old = secret("pepper").unwrap();
    contains(vault.signer("pepper switch --dir data --force"), &["no next pepper"]);
    contains(vault.signer("pepper finish --dir data"), &["no pepper waits"]);
    assert!(!edge_env().contains("LATCHKEY_PEPPER_2"));
    vault.signer("pepper new --dir data").unwrap();
    let new = secret("pepper-next").unwrap();
    contains(vault.signer("pepper new --dir data"), &["there is a next pepper"]);
    assert!(edge_env().contains(&format!(
        "LATCHKEY_PEPPER={}\nLATCHKEY_PEPPER_2={}\n",
        old.trim(),
        new.trim()
    )));
    contains(vault.signer("pepper switch --dir data"), &["no edge is named"]);
    // Nobody listens there.
    contains(vault.signer("pepper switch --dir data --edge http://127.0.0.1:1"), &["cannot be asked"]);
    assert_eq!(secret("pepper"), Some(old.clone()));
    vault.signer("pepper switch --dir data --force").unwrap();
    assert_eq!((secret("pepper"), secret("pepper-last")), (Some(new.clone()), Some(old.clone())));
    assert!(edge_env().contains(&format!(
        "LATCHKEY_PEPPER={}\nLATCHKEY_PEPPER_2={}\n",
        new.trim(),
        old.trim()
    )));
    contains(vault.signer("pepper new --dir data"), &["not over"]);
    contains(vault.signer("pepper finish --dir data"), &["wait another"]);
    vault.signer("pepper finish --dir data --force").unwrap();
    assert_eq!((secret("pepper"), secret("pepper-last"), secret("pepper-next")), (Some(new), None, None));
    assert!(!edge_env().contains("LATCHKEY_PEPPER_2"));
}
