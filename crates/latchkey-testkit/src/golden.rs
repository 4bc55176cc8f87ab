//! Golden files: what the code makes, committed to be reviewed. `cargo xtask golden` writes them.

use std::fmt::Write;
use std::path::Path;

/// Set by `cargo xtask golden`: then files are written instead of compared.
const WRITE: &str = "LATCHKEY_GOLDEN";
/// Lines of a difference that are shown.
const SHOWN_LINES_MAX: usize = 200;

/// Compares the text with `tests/golden/<name>` of the repository, or writes it there.
///
/// # Panics
/// They differ; it shows where, under the last line that begins at the margin.
pub fn check_golden(name: &str, text: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let path = root.join(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(&root).expect("the repository can be written");
        std::fs::write(&path, text).expect("the repository can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != text {
        panic!(
            "tests/golden/{name} is not what the code makes; if the change is meant, run `cargo xtask golden`\n{}",
            difference(&committed, text)
        );
    }
}

/// The lines that are gone (`-`) and new (`+`), each under the heading that it stands under.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (sections(old), sections(new));
    let mut shown = String::new();
    for (heading, lines) in &old {
        let now = new.iter().find(|(one, _)| one == heading).map_or(&[][..], |(_, lines)| lines);
        compare(&mut shown, heading, lines, now);
    }
    for (heading, lines) in new.iter().filter(|(heading, _)| !old.iter().any(|(one, _)| one == heading)) {
        compare(&mut shown, heading, &[], lines);
    }
    let total = shown.lines().count();
    let mut cut: String =
        shown.lines().take(SHOWN_LINES_MAX).fold(String::new(), |text, line| text + line + "\n");
    if total > SHOWN_LINES_MAX {
        let _ = writeln!(cut, "… and {} lines more", total - SHOWN_LINES_MAX);
    }
    cut
}

fn compare(shown: &mut String, heading: &str, old: &[&str], new: &[&str]) {
    if old == new {
        return;
    }
    let _ = writeln!(shown, "  {heading}");
    old.iter().filter(|line| !new.contains(line)).for_each(|line| {
        let _ = writeln!(shown, "- {line}");
    });
    new.iter().filter(|line| !old.contains(line)).for_each(|line| {
        let _ = writeln!(shown, "+ {line}");
    });
}

/// The text cut at the lines that begin at the margin.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections = vec![("(beginning)", Vec::new())];
    for line in text.lines().filter(|line| !line.is_empty()) {
        match sections.last_mut() {
            Some((_, lines)) if line.starts_with(' ') => lines.push(line),
            _ => sections.push((line, Vec::new())),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_names_the_heading_and_the_lines() {
        let old = "a\n  200 owner\n  403 member\nb\n  200 all\n";
        let new = "a\n  200 owner member\nb\n  200 all\nc\n  200 new\n";
        assert_eq!(
            difference(old, new),
            "  a\n-   200 owner\n-   403 member\n+   200 owner member\n  c\n+   200 new\n"
        );
        assert_eq!(difference(old, old), "");
    }
}
