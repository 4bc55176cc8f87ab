//! docs/security.md names a test for every attack: each is there.

use std::path::{Path, PathBuf};

#[test]
fn every_attack_names_tests_that_are_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(folder.join("docs/security.md")).unwrap();
    let rust = sources(folder, "rs");
    let scripts = ["worker", "peers"].map(|name| sources(&folder.join("tests").join(name), "mjs")).concat();
    for (section, rows_min) in [
        ("## Attacks on what is published", 15),
        ("## Attacks on a request", 30),
        ("## Attacks on the control plane", 25),
    ] {
        let table = text.split(section).nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| is_row(line)).collect();
        assert!(rows.len() > rows_min, "{section}: {} rows", rows.len());
        for row in rows {
            check_row(row, &rust, &scripts);
        }
    }
}

fn check_row(row: &str, rust: &[String], scripts: &[String]) {
    let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
    let (tests, _) = tests.split_once("story step").unwrap_or((tests, ""));
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    let titles: Vec<&str> = tests.split('"').skip(1).step_by(2).collect();
    assert!(!names.is_empty() || !titles.is_empty(), "no test: {row}");
    for name in names {
        assert!(has(rust, &format!("fn {name}(")), "`{name}` is no test: {row}");
    }
    for title in titles {
        let is_there =
            ["test('", "test(named('"].iter().any(|begin| has(scripts, &format!("{begin}{title}'")));
        assert!(is_there, "\"{title}\" is no test: {row}");
    }
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| attack |")
}

fn has(sources: &[String], text: &str) -> bool {
    sources.iter().any(|source| source.contains(text))
}

/// The files below a folder whose name ends so.
fn sources(folder: &Path, extension: &str) -> Vec<String> {
    let (mut folders, mut sources) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let (inner, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && !["target", "node_modules"].contains(&&*name)
        };
        folders.extend(inner.into_iter().filter(is_ours));
        let files = files.into_iter().filter(|path| path.extension().is_some_and(|is| is == extension));
        sources.extend(files.map(|path| std::fs::read_to_string(path).unwrap()));
    }
    sources
}
