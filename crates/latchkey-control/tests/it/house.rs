//! What holds for the source itself: words that stand in one place only.

use std::path::{Path, PathBuf};

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

#[track_caller]
fn check_word_stands_only_in(word: &str, home: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    // What is read of a peer's answer is no answer of ours.
    let is_client = |file: &PathBuf| {
        ["publish/sink", "publish/source"].iter().any(|client| file.starts_with(source.join(client)))
    };
    for file in sources(&source).into_iter().filter(|file| !is_client(file)) {
        let is_home = file.strip_prefix(&source).unwrap().starts_with(home);
        let is_named = std::fs::read_to_string(&file).unwrap().contains(word);
        assert!(is_home || !is_named, "`{}` names `{word}`", file.display());
        seen += usize::from(is_home && is_named);
    }
    assert!(seen > 0, "`{word}` was not even seen in `{home}`");
}

#[test]
fn status_codes_stand_in_one_file_invariant_5() {
    check_word_stands_only_in("StatusCode::", "http/error.rs");
}

#[test]
fn only_the_store_names_redb_invariant_8() {
    check_word_stands_only_in("redb::", "store");
}

#[test]
fn only_the_rules_make_a_permit_invariant_4() {
    check_word_stands_only_in("Permit {", "iam/permit.rs");
}
