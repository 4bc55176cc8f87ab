//! The floors of ARCHITECTURE.md: a crate stands only on lower ones, and the lowest do no I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every crate of the workspace and its floor. A crate that is missing here fails the test.
const FLOORS: &[(&str, u8)] = &[
    ("latchkey-core", 0),
    ("latchkey-snapshot", 1),
    ("latchkey-api", 1),
    ("latchkey-gate", 2),
    ("latchkey-control", 2),
    ("latchkey-native", 3),
    ("latchkey-tower", 4),
    ("latchkey", 4),
    ("latchkey-testkit", 3),
    ("latchkey-vectors", 3),
    ("latchkey-push", 3),
    ("latchkey-edge", 4),
    ("latchkey-hub", 4),
    ("latchkey-library", 4),
    ("latchkey-tests", 4),
    ("latchkey-bench", 4),
    ("latchkey-bench-worker", 4),
    ("xtask", 4),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifests() -> Vec<(String, toml::Table, PathBuf)> {
    let mut folders: Vec<PathBuf> = ["bench", "tests", "xtask"].map(|name| root().join(name)).to_vec();
    for shelf in ["crates", "wasm"] {
        if let Ok(entries) = std::fs::read_dir(root().join(shelf)) {
            folders.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    folders
        .into_iter()
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| {
            let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let table: toml::Table = text.parse().unwrap();
            (table["package"]["name"].as_str().unwrap().to_owned(), table, folder)
        })
        .collect()
}

#[test]
fn crate_stands_only_on_lower_floors() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut seen = 0;
    for (name, table, _) in manifests() {
        let floor = *floors.get(name.as_str()).unwrap_or_else(|| panic!("`{name}` has no floor"));
        for section in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in dependencies.keys().filter(|dependency| dependency.starts_with("latchkey")) {
                let below = floors[dependency.as_str()];
                assert!(below < floor, "`{name}` (floor {floor}) stands on `{dependency}` (floor {below})");
                seen += 1;
            }
        }
    }
    assert!(seen >= 1, "no dependency between crates was seen: the test looks in the wrong place");
}

#[test]
fn lowest_crates_do_no_io_read_no_clock_and_draw_no_randomness() {
    const FORBIDDEN: &[&str] = &[
        "std::fs",
        "std::net",
        "std::io",
        "std::time",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "getrandom",
        "OsRng",
    ];
    for (name, _, folder) in manifests() {
        if !["latchkey-core", "latchkey-snapshot", "latchkey-gate"].contains(&name.as_str()) {
            continue;
        }
        for file in sources(&folder.join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for word in FORBIDDEN {
                assert!(!text.contains(word), "`{}` names `{word}`", file.display());
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Invariant 5, for the native gate.
#[test]
fn status_codes_of_the_native_gate_stand_in_one_file() {
    let source = root().join("crates/latchkey-native/src");
    let mut seen = 0;
    for entry in
        std::fs::read_dir(&source).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        let is_named = std::fs::read_to_string(entry.path()).unwrap().contains("StatusCode::");
        assert!(!is_named || entry.file_name() == "respond.rs", "`{}` names one", entry.path().display());
        seen += usize::from(is_named);
    }
    assert_eq!(seen, 1, "it looks in the wrong place");
}
