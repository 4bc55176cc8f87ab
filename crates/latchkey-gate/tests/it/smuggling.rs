//! Attempts to be read as somebody else, or as somewhere else: one table of all of them and what the gate says, in
//! tests/golden/smuggling.txt. `cargo xtask golden` writes it; the word of each refusal is for a person to review.

use crate::stage::*;
use latchkey_core::Role;
use latchkey_gate::*;
use std::fmt::Write as _;

/// Where everybody who may do anything is let in.
const PATH: &[u8] = b"/v1/assets/a";

fn outcome(verdict: &Verdict) -> String {
    match verdict.outcome {
        Outcome::Pass(_) => panic!("no route is public or in shadow"),
        Outcome::Allow(_) => "ALLOWED".into(),
        Outcome::Refuse(refusal) if refusal.code() == refusal.cause() => refusal.code().into(),
        Outcome::Refuse(refusal) => format!("{} ({})", refusal.code(), refusal.cause()),
    }
}

/// How an attempt is shown: what is no printable ASCII as its escape, and long texts by their length.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 120 {
        return format!("{}.. ({} bytes)", bytes[..40].escape_ascii(), bytes.len());
    }
    bytes.escape_ascii().to_string()
}

struct Table {
    stage: Stage,
    shell: Shell,
    key: String,
    text: String,
}

impl Table {
    fn new() -> Self {
        let mut stage = Stage::new();
        let key = stage.add_key(1, Role::Member).text;
        stage.publish();
        let shell = stage.warm_shell();
        Self { stage, shell, key, text: String::new() }
    }

    fn heading(&mut self, heading: &str) {
        writeln!(self.text, "{heading}").unwrap();
    }

    /// One attempt, which must not be let in.
    fn refuse(&mut self, name: &str, request: &Request<'_>) {
        let said = outcome(&self.shell.ask(&mut self.stage, request, Question::Route));
        assert_ne!(said, "ALLOWED", "{name}");
        writeln!(self.text, "  {name:<60} {said}").unwrap();
    }

    fn paths(&mut self, method: &str, paths: &[&[u8]]) {
        let bearer = format!("Bearer {}", self.key);
        for path in paths {
            let request = Request::new(method, path, Header::One(bearer.as_bytes()));
            self.refuse(&format!("{method} {}", shown(path)), &request);
        }
    }
}

fn authorizations(table: &mut Table) {
    table.heading("authorization");
    let key = table.key.clone();
    table.refuse("none", &Request::new("GET", PATH, Header::None));
    table.refuse("two headers, whatever they say", &Request::new("GET", PATH, Header::Many));
    let bearer = format!("Bearer {key}");
    for (name, value) in [
        ("empty", String::new()),
        ("the scheme alone", "Bearer ".into()),
        ("no scheme", key.clone()),
        ("another scheme", format!("Basic {key}")),
        ("no space", format!("Bearer{key}")),
        ("two spaces", format!("Bearer  {key}")),
        ("a tab for the space", format!("Bearer\t{key}")),
        ("a space before", format!(" Bearer {key}")),
        ("a space behind", format!("{bearer} ")),
        ("folded, CR LF", format!("Bearer\r\n {key}")),
        ("folded, LF", format!("Bearer \n {key}")),
        ("a header behind CR LF", format!("{bearer}\r\nX-Other: 1")),
        ("a NUL behind", format!("{bearer}\0")),
        ("joined by a comma, itself twice", format!("{bearer}, {bearer}")),
        ("joined by a comma, another first", format!("Basic YTpi, {bearer}")),
        ("joined by a comma, another last", format!("{bearer}, Basic YTpi")),
        ("quoted", format!("Bearer \"{key}\"")),
        ("a parameter behind", format!("{bearer};a=b")),
        ("the scheme in another script", format!("\u{412}earer {key}")),
        ("the key in capitals", format!("Bearer {}", key.to_uppercase())),
        ("the key percent-encoded", format!("Bearer %{:02x}{}", key.as_bytes()[0], &key[1..])),
        ("the key without its end", bearer[..bearer.len() - 1].into()),
        ("the key and a character", format!("{bearer}a")),
        ("64 KiB", format!("Bearer {}", "a".repeat(65_536))),
    ] {
        table.refuse(name, &Request::new("GET", PATH, Header::One(value.as_bytes())));
    }
    let bytes = [b"Bearer \xff".as_slice(), key.as_bytes()].concat();
    table.refuse("bytes that are not UTF-8", &Request::new("GET", PATH, Header::One(&bytes)));
}

fn projects(table: &mut Table) {
    table.heading("latchkey-project of a session");
    let person = table.stage.add_collaborator(1, Role::Member, Role::Member);
    table.stage.publish();
    table.shell.refresh(&table.stage);
    table.shell.load(&table.stage);
    let bearer = format!("Bearer {}", table.stage.token_of(&person));
    let authorization = Header::One(bearer.as_bytes());
    let request = Request {
        project: Header::One(b"alpha"),
        ..Request::new("GET", b"/v1/sessions/files", authorization)
    };
    assert_fresh(&table.shell.ask(&mut table.stage, &request, Question::Route));
    let long = "a".repeat(65_536);
    for (name, project) in [
        ("none", Header::None),
        ("two headers", Header::Many),
        ("empty", Header::One(&b""[..])),
        ("in capitals", Header::One(b"ALPHA")),
        ("two by a comma", Header::One(b"alpha, beta")),
        ("a space behind", Header::One(b"alpha ")),
        ("a NUL behind", Header::One(b"alpha\0")),
        ("percent-encoded", Header::One(b"%61lpha")),
        ("another project", Header::One(b"beta")),
        ("64 KiB", Header::One(long.as_bytes())),
    ] {
        table.refuse(name, &Request { project, ..request });
    }
}

fn methods(table: &mut Table) {
    table.heading("methods");
    for method in ["", "get", "Get", "GET ", " GET", "GE\0T", "GET\r\n", "PUT", "CONNECT", "*"] {
        let bearer = format!("Bearer {}", table.key);
        let request = Request::new(method, PATH, Header::One(bearer.as_bytes()));
        table.refuse(&format!("\"{}\"", method.escape_default()), &request);
    }
}

fn paths(table: &mut Table) {
    table.heading("other forms of a target");
    table.paths(
        "GET",
        &[b"", b"*", b"v1/assets/a", b"http://host/v1/assets/a", b"//host/v1/assets/a", b"host:443", b"?a"],
    );
    table.heading("dots and slashes");
    table.paths(
        "GET",
        &[
            b"/v1/assets/../inference",
            b"/v1/assets/./a",
            b"/v1/assets/..",
            b"/v1/assets/a/..",
            b"/v1//assets/a",
            b"/v1/assets/a/",
            b"/v1/assets/a//",
            b"/v1/assets/..;/inference",
            b"/v1/assets/a;b",
            b"/v1/assets;jsessionid=1/a",
            b"/v1\\assets\\a",
            b"/v1/assets/..\\inference",
        ],
    );
    table.heading("escapes");
    table.paths(
        "GET",
        &[
            b"/v1/assets/%2e%2e/inference",
            b"/v1/assets/.%2E/inference",
            b"/v1/assets%2fa",
            b"/v1/assets%2Fa",
            b"/v1/assets/a%5cb",
            b"/v1/assets/a%5Cb",
            b"/v1/assets/a%3Bb",
            b"/v1/%61ssets/a",
            b"/v1/assets/%252e%252e/inference",
            b"/v1/assets/%25252e",
            b"/v1/assets/%%32%65",
            b"/v1/assets/%",
            b"/v1/assets/%2",
            b"/v1/assets/%zz",
            b"/v1/assets/%u002e",
            b"/v1/assets/%00",
            b"/v1/assets/%0d%0aX:%20y",
            b"/v1/assets/%7f",
        ],
    );
    table.heading("bytes");
    table.paths(
        "GET",
        &[
            b"/v1/assets/a\0",
            b"/v1/assets/a\r\nX: y",
            b"/v1/assets/a\n",
            b"/v1/assets/a b",
            b"/v1/assets/a\tb",
            b"/v1/assets/a#b",
            b"/v1/assets/a?b",
            b"/v1/assets/\xc3\xa9",
            b"/v1/assets/\xff",
            b"/v1/assets/%c0%af",
            b"/v1/assets/%e0%80%af",
            b"/v1/assets/%f0%80%80%af",
            b"/v1/assets/%ed%a0%80",
            b"/v1/assets/%ff",
            b"/v1/assets/\xef\xbc\x8f",
        ],
    );
    table.heading("casing and length");
    let long = [b"/v1/assets/".as_slice(), &[b'a'; 4086]].concat();
    let huge = vec![b'/'; 1 << 20];
    table.paths("GET", &[b"/V1/assets/a", b"/v1/ASSETS/a", b"/v1/assets", &long, &huge]);
}

#[test]
fn golden_smuggling() {
    let mut table = Table::new();
    let bearer = format!("Bearer {}", table.key);
    let request = Request::new("GET", PATH, Header::One(bearer.as_bytes()));
    assert_fresh(&table.shell.ask(&mut table.stage, &request, Question::Route));
    authorizations(&mut table);
    methods(&mut table);
    paths(&mut table);
    projects(&mut table);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/smuggling.txt");
    if std::env::var_os("LATCHKEY_GOLDEN").is_some() {
        std::fs::write(path, &table.text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), table.text, "run `cargo xtask golden`");
}
