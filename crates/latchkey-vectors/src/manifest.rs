//! Vectors of the manifest. Those of its canaries are in `canary`.

mod canary;

use crate::case::{Cases, field, reason};
use crate::describe;
use crate::root::INSTALLATION;
use crate::sign::{bad_public_keys, public};
use canary::Canary;
use latchkey_core::{Permission, ResourceType};
use latchkey_snapshot::{Fault, Manifest, ObjectRef};
use serde_json::{Value, json};

/// The parts of a manifest, free to hold nonsense.
#[derive(Clone)]
struct Parts {
    grace: u32,
    prefix: Vec<u8>,
    sections: Vec<Section>,
    exceptions: Vec<(u8, Vec<u32>)>,
    session_keys: Vec<Key>,
    edge_keys: Vec<Key>,
    canaries: Vec<Canary>,
    cors: Option<Cors>,
    /// Stands for 0 or 1 in front of what `cors` says.
    cors_byte: u8,
    rules: Vec<Rule>,
}

#[derive(Clone)]
struct Cors {
    /// Origins, headers, exposed headers.
    lists: [Vec<Vec<u8>>; 3],
    max_age: u32,
}

#[derive(Clone)]
struct Section {
    kind: u8,
    records: u64,
    nodes: Vec<(u64, u32, [u8; 32])>,
}

type Key = ([u8; 32], u64, u64);

#[derive(Clone)]
struct Rule {
    host: Vec<u8>,
    method: Vec<u8>,
    pattern: Vec<u8>,
    credential: u8,
    /// Only if it is 1, what follows is written.
    access: u8,
    permission: u8,
    freshness: u8,
    credentials: u8,
    project: SourceBytes,
    resource: (u8, Option<SourceBytes>),
    model: SourceBytes,
    shadow: u64,
}

/// A source's byte and, if it has one, its name.
type SourceBytes = (u8, Option<Vec<u8>>);

fn rule(method: &str, pattern: &str) -> Rule {
    Rule {
        host: vec![],
        method: method.into(),
        pattern: pattern.into(),
        credential: 0,
        access: 1,
        permission: Permission::FilesRead.number(),
        freshness: 0,
        credentials: 1,
        project: (0, None),
        resource: (0, None),
        model: (0, None),
        shadow: 0,
    }
}

impl Parts {
    fn smallest() -> Self {
        Self {
            grace: 0,
            prefix: b"lk".to_vec(),
            sections: vec![],
            exceptions: vec![],
            session_keys: vec![],
            edge_keys: vec![],
            canaries: vec![],
            cors: None,
            cors_byte: 0,
            rules: vec![],
        }
    }

    fn full() -> Self {
        let mut session_keys = vec![(public(41), 0, u64::MAX), (public(42), 5, 5)];
        session_keys.sort_unstable();
        let file = Rule {
            permission: Permission::FilesDelete.number(),
            freshness: 1,
            project: (1, Some(b"project".to_vec())),
            credentials: 2,
            resource: (ResourceType::File as u8, Some((1, Some(b"file_1".to_vec())))),
            model: (1, Some(b"model".to_vec())),
            ..rule("DELETE", "/v1/projects/{project}/files/{file_1}")
        };
        let read =
            Rule { method: b"GET".to_vec(), permission: Permission::FilesRead.number(), ..file.clone() };
        let invoke = Rule {
            credentials: 3,
            model: (2, Some(b"latchkey-model".to_vec())),
            permission: Permission::InferenceInvoke.number(),
            ..rule("POST", "/v1/completions")
        };
        Self {
            grace: 900,
            prefix: b"lk_live".to_vec(),
            sections: vec![
                Section { kind: 1, records: 5000, nodes: vec![(0, 100, [1; 32]), (1 << 63, 100, [2; 32])] },
                Section { kind: 3, records: 1, nodes: vec![(7, 55, [3; 32])] },
                Section { kind: 6, records: u64::MAX, nodes: vec![(0, 12_295, [4; 32])] },
            ],
            exceptions: vec![
                (1, vec![3]),
                (2, vec![1, 256, 65_536, u32::MAX]),
                (3, vec![10]),
                (4, vec![1, 3]),
                (5, vec![0, 10]),
            ],
            session_keys,
            edge_keys: vec![(public(43), 0, u64::MAX)],
            canaries: canary::every(),
            cors: Some(Cors::full()),
            cors_byte: 1,
            rules: [
                vec![rule("GET", "/v1/caf\u{e9}"), rule("POST", "/v1/files"), file, read, invoke],
                elsewhere(),
            ]
            .concat(),
        }
        .sorted()
    }

    fn sorted(mut self) -> Self {
        self.rules.sort_by_key(|rule| (rule.host.clone(), rule.pattern.clone(), rule.method.clone()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"LKM4".to_vec();
        bytes.extend(INSTALLATION);
        bytes.extend(5u64.to_le_bytes());
        bytes.extend(0x0123_4567_89ab_cdefu64.to_be_bytes());
        bytes.extend(self.grace.to_le_bytes());
        text(&mut bytes, &self.prefix);
        bytes.push(self.sections.len() as u8);
        self.sections.iter().for_each(|section| section.write(&mut bytes));
        write_exceptions(&mut bytes, &self.exceptions);
        for keys in [&self.session_keys, &self.edge_keys] {
            bytes.push(keys.len() as u8);
            for (public, not_before, not_after) in keys {
                bytes.extend(public);
                bytes.extend(not_before.to_le_bytes());
                bytes.extend(not_after.to_le_bytes());
            }
        }
        bytes.push(self.canaries.len() as u8);
        self.canaries.iter().for_each(|canary| canary.write(&mut bytes));
        bytes.push(self.cors_byte);
        self.cors.iter().for_each(|cors| cors.write(&mut bytes));
        bytes.extend((self.rules.len() as u16).to_le_bytes());
        self.rules.iter().for_each(|rule| rule.write(&mut bytes));
        bytes
    }
}

/// Exceptions by class, as a manifest and a delta have them.
pub(crate) fn write_exceptions(bytes: &mut Vec<u8>, exceptions: &[(u8, Vec<u32>)]) {
    bytes.push(exceptions.len() as u8);
    for (class, numbers) in exceptions {
        bytes.push(*class);
        bytes.extend((numbers.len() as u32).to_le_bytes());
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    }
}

impl Section {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind);
        bytes.extend(self.records.to_le_bytes());
        bytes.extend((self.nodes.len() as u16).to_le_bytes());
        for (first_place, len, digest) in &self.nodes {
            bytes.extend(first_place.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(digest);
        }
    }
}

impl Rule {
    fn write(&self, bytes: &mut Vec<u8>) {
        text(bytes, &self.host);
        text(bytes, &self.pattern);
        text(bytes, &self.method);
        bytes.extend([self.credential, self.access]);
        if self.access != 1 {
            return;
        }
        bytes.extend([self.permission, self.freshness, self.credentials]);
        source(bytes, &self.project);
        bytes.push(self.resource.0);
        self.resource.1.iter().for_each(|resource| source(bytes, resource));
        source(bytes, &self.model);
        bytes.extend(self.shadow.to_le_bytes());
    }
}

fn source(bytes: &mut Vec<u8>, (byte, name): &SourceBytes) {
    bytes.push(*byte);
    name.iter().for_each(|name| text(bytes, name));
}

impl Cors {
    fn full() -> Self {
        let list = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        Self {
            lists: [
                list(&["http://[::1]:8080", "https://app.example.com"]),
                list(&["authorization", "content-type"]),
                list(&["latchkey-stale"]),
            ],
            max_age: 600,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for list in &self.lists {
            bytes.push(list.len() as u8);
            list.iter().for_each(|one| text(bytes, one));
        }
        bytes.extend(self.max_age.to_le_bytes());
    }
}

/// Rules of hosts, with every source, public and in shadow.
fn elsewhere() -> Vec<Rule> {
    let named = |byte: u8, name: &str| (byte, Some(name.as_bytes().to_vec()));
    let of = |host: &str, rule: Rule| Rule { host: host.into(), ..rule };
    vec![
        of(
            "{project}.api.example.com",
            Rule {
                project: named(4, "project"),
                resource: (ResourceType::File as u8, Some(named(3, "file.id"))),
                model: named(5, "model"),
                shadow: 1_800_000_600,
                ..rule("POST", "/v1/chat")
            },
        ),
        of(
            "api.example.com",
            Rule {
                project: named(3, "Project-Id"),
                resource: (ResourceType::File as u8, Some(named(2, "x-file"))),
                model: named(3, "m"),
                credential: 1,
                ..rule("GET", "/v1/files")
            },
        ),
        of("api.example.com", Rule { project: named(2, "x-project"), ..rule("POST", "/v1/files") }),
        Rule { access: 0, ..rule("GET", "/health") },
        Rule { access: 0, credential: 1, ..rule("GET", "/docs") },
    ]
}

fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text);
}

fn changed(mut parts: Parts, change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    change(&mut parts);
    parts.bytes()
}

fn refuse(cases: &mut Cases, name: &str, bytes: &[u8], at: &str, fault: Fault) {
    cases.refuse(name, json!({}), bytes, field("manifest", at, fault));
}

pub(crate) fn vectors() -> Value {
    let mut cases = Cases::default();
    refuse_form(&mut cases);
    refuse_sections(&mut cases);
    refuse_exceptions(&mut cases);
    refuse_keys(&mut cases);
    canary::refuse(&mut cases);
    refuse_rules(&mut cases);
    accept(&mut cases);
    json!({
        "about": "reference: what names the bytes, themselves if absent",
        "cases": cases.into_value(),
    })
}

fn refuse_form(cases: &mut Cases) {
    let good = Parts::full().bytes();
    let reference = json!({ "reference": describe::reference(&ObjectRef::to(&good)) });
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    cases.refuse("other bytes than named", reference.clone(), &flipped, reason("manifest", "digest"));
    cases.refuse(
        "more bytes than named",
        reference,
        &[&good[..], &[0]].concat(),
        reason("manifest", "length"),
    );
    refuse(cases, "cut in its pepper id", &good[..35], "pepper id", Fault::Truncated);
    refuse(cases, "a byte behind the end", &[&good[..], &[0]].concat(), "end", Fault::Trailing);
    refuse(cases, "another version", &[b"LKM2", &good[4..]].concat(), "magic", Fault::Magic);
    let mut long = good.clone();
    long.resize((4 << 20) + 1, 0);
    refuse(cases, "a byte more than 4 MiB", &long, "end", Fault::OutOfRange);
    let grace = changed(Parts::smallest(), |parts| parts.grace = 86_401);
    refuse(cases, "a grace of more than a day", &grace, "grace", Fault::OutOfRange);
    for (name, prefix, fault) in [
        ("a prefix of one character", &b"l"[..], Fault::OutOfRange),
        ("a prefix of 13 characters", b"abcdefghijklm", Fault::OutOfRange),
        ("a prefix in capitals", b"LK", Fault::OutOfRange),
        ("a prefix that ends in `_`", b"lk_", Fault::OutOfRange),
        ("a prefix that session tokens have", b"lkt", Fault::OutOfRange),
        ("a prefix that begins as session tokens do", b"lkt_live", Fault::OutOfRange),
        ("a prefix that is not UTF-8", b"l\xff", Fault::NotUtf8),
    ] {
        let bytes = changed(Parts::smallest(), |parts| parts.prefix = prefix.to_vec());
        refuse(cases, name, &bytes, "key prefix", fault);
    }
}

fn refuse_sections(cases: &mut Cases) {
    let section = |kind: u8| Section { kind, records: 1, nodes: vec![(7, 55, [3; 32])] };
    let mut refuse = |name: &str, sections: Vec<Section>, at: &str, fault| {
        refuse(cases, name, &changed(Parts::smallest(), |parts| parts.sections = sections), at, fault);
    };
    refuse("ten sections", vec![section(1); 10], "section count", Fault::OutOfRange);
    for kind in [0, 10, 255] {
        refuse(&format!("section kind {kind}"), vec![section(kind)], "section kind", Fault::OutOfRange);
    }
    refuse("one section twice", vec![section(1), section(1)], "sections", Fault::NotAscending);
    refuse("sections out of order", vec![section(3), section(1)], "sections", Fault::NotAscending);
    let none = Section { records: 0, ..section(1) };
    refuse("a section without records", vec![none], "section records", Fault::OutOfRange);
    let none = Section { nodes: vec![], ..section(1) };
    refuse("a section without nodes", vec![none], "node count", Fault::OutOfRange);
    let empty = Section { nodes: vec![(7, 0, [3; 32])], ..section(1) };
    refuse("an empty node", vec![empty], "node", Fault::OutOfRange);
    let twice = Section { nodes: vec![(7, 55, [3; 32]), (7, 55, [4; 32])], ..section(1) };
    refuse("one first place twice", vec![twice], "nodes", Fault::NotAscending);
    let back = Section { nodes: vec![(256, 55, [3; 32]), (7, 55, [4; 32])], ..section(1) };
    refuse("nodes out of order", vec![back], "nodes", Fault::NotAscending);
}

fn refuse_exceptions(cases: &mut Cases) {
    let mut refuse_classes = |name: &str, exceptions: &[(u8, &[u32])], at: &str, fault| {
        let exceptions = exceptions.iter().map(|(class, numbers)| (*class, numbers.to_vec())).collect();
        refuse(cases, name, &changed(Parts::smallest(), |parts| parts.exceptions = exceptions), at, fault);
    };
    refuse_classes(
        "six exception classes",
        &[(1, &[1]), (2, &[1]), (3, &[1]), (4, &[1]), (5, &[1]), (6, &[1])],
        "exception class count",
        Fault::OutOfRange,
    );
    refuse_classes("exception class 0", &[(0, &[1])], "exception class", Fault::OutOfRange);
    refuse_classes("exception class 6", &[(6, &[1])], "exception class", Fault::OutOfRange);
    refuse_classes(
        "one exception class twice",
        &[(1, &[1]), (1, &[2])],
        "exception class",
        Fault::NotAscending,
    );
    refuse_classes(
        "exception classes out of order",
        &[(2, &[1]), (1, &[2])],
        "exception class",
        Fault::NotAscending,
    );
    refuse_classes("an exception class without numbers", &[(1, &[])], "exception count", Fault::OutOfRange);
    refuse_classes("one number twice", &[(1, &[1, 1])], "exceptions", Fault::NotAscending);
    refuse_classes("numbers out of order", &[(1, &[256, 9])], "exceptions", Fault::NotAscending);
    let mut bytes = changed(Parts::smallest(), |parts| parts.exceptions = vec![(1, vec![1])]);
    let count_at = bytes.len() - 14;
    bytes[count_at..count_at + 4].fill(0xff);
    bytes.truncate(count_at + 8);
    refuse(cases, "more numbers than there are", &bytes, "exceptions", Fault::Truncated);
}

fn refuse_keys(cases: &mut Cases) {
    let mut both = [(public(41), 0, 9), (public(42), 0, 9)];
    both.sort_unstable();
    both.reverse();
    let mut refuse_both = |name: &str, keys: Vec<Key>, at: Option<&str>, fault| {
        for (which, count) in [("session", "session key count"), ("edge", "edge key count")] {
            let bytes = changed(Parts::smallest(), |parts| match which {
                "session" => parts.session_keys = keys.clone(),
                _ => parts.edge_keys = keys.clone(),
            });
            refuse(cases, &format!("{which} keys: {name}"), &bytes, at.unwrap_or(count), fault);
        }
    };
    refuse_both("nine", vec![both[0]; 9], None, Fault::OutOfRange);
    refuse_both("one twice", vec![both[0]; 2], Some("public key"), Fault::NotAscending);
    refuse_both("out of order", both.to_vec(), Some("public key"), Fault::NotAscending);
    refuse_both(
        "valid until before it begins",
        vec![(public(41), 5, 4)],
        Some("not after"),
        Fault::OutOfRange,
    );
    for (why, bytes) in bad_public_keys() {
        refuse_both(&format!("one that {why}"), vec![(bytes, 0, 9)], Some("public key"), Fault::OutOfRange);
    }
}

fn refuse_rules(cases: &mut Cases) {
    let mut many = Parts::smallest().bytes();
    let count_at = many.len() - 2;
    many[count_at..].copy_from_slice(&4097u16.to_le_bytes());
    refuse(cases, "4,097 rules", &many, "rule count", Fault::OutOfRange);
    refuse_cors(cases);
    let good = rule("GET", "/v1/files");
    let mut refuse_rules = |name: &str, rules: Vec<Rule>, at: &str, fault| {
        refuse(cases, name, &changed(Parts::smallest(), |parts| parts.rules = rules), at, fault);
    };
    refuse_rules("one rule twice", vec![good.clone(), good.clone()], "rules", Fault::NotAscending);
    refuse_rules(
        "patterns out of order",
        vec![rule("GET", "/b"), rule("PUT", "/a")],
        "rules",
        Fault::NotAscending,
    );
    refuse_rules(
        "methods out of order",
        vec![rule("PUT", "/a"), rule("GET", "/a")],
        "rules",
        Fault::NotAscending,
    );
    let later = Rule { host: b"b".to_vec(), ..rule("GET", "/a") };
    refuse_rules("hosts out of order", vec![later, rule("GET", "/b")], "rules", Fault::NotAscending);
    let mut refuse_one = |name: &str, change: &dyn Fn(&mut Rule), at: &str, fault| {
        let mut changed = good.clone();
        change(&mut changed);
        refuse_rules(name, vec![changed], at, fault);
    };
    for (name, method, fault) in [
        ("an empty method", &b""[..], Fault::OutOfRange),
        ("a method of 17 characters", &[b'A'; 17], Fault::OutOfRange),
        ("a method in small letters", b"get", Fault::OutOfRange),
        ("a method that is not UTF-8", b"G\xff", Fault::NotUtf8),
    ] {
        refuse_one(name, &|rule| rule.method = method.to_vec(), "rule method", fault);
    }
    for host in [
        "API.example",
        "a..b",
        ".a",
        "a.",
        "a_b",
        "a:80",
        "{p}",
        "{}.a",
        "{P}.a",
        "x{p}.a",
        "{p}x.a",
        "a.{p}.b",
        "{*p}.a",
        "*.a",
        &"a".repeat(64),
        &[&*"a.".repeat(126), "aa"].concat(),
    ] {
        let shown = if host.len() > 60 { "that is too long" } else { host };
        refuse_one(&format!("host {shown}"), &|rule| rule.host = host.into(), "rule host", Fault::OutOfRange);
    }
    refuse_one("a host that is not UTF-8", &|rule| rule.host = b"\xff".to_vec(), "rule host", Fault::NotUtf8);
    refuse_one("credential 2", &|rule| rule.credential = 2, "rule credential", Fault::OutOfRange);
    refuse_one("access 2", &|rule| rule.access = 2, "rule access", Fault::OutOfRange);
    for (name, pattern, fault) in [
        ("an empty pattern", vec![], Fault::OutOfRange),
        ("a pattern of 513 bytes", vec![b'/'; 513], Fault::OutOfRange),
        ("a pattern without `/` in front", b"v1".to_vec(), Fault::OutOfRange),
        ("a pattern that is not UTF-8", b"/\xff".to_vec(), Fault::NotUtf8),
    ] {
        refuse_one(name, &|rule| rule.pattern = pattern.clone(), "rule pattern", fault);
    }
    for number in [16, 79, 255] {
        refuse_one(
            &format!("permission number {number}"),
            &|rule| rule.permission = number,
            "rule permission",
            Fault::OutOfRange,
        );
    }
    refuse_one("freshness 2", &|rule| rule.freshness = 2, "rule freshness", Fault::OutOfRange);
    for credentials in [0, 4] {
        refuse_one(
            &format!("credentials {credentials}"),
            &|rule| rule.credentials = credentials,
            "rule credentials",
            Fault::OutOfRange,
        );
    }
    refuse_one("model source 6", &|rule| rule.model.0 = 6, "rule model source", Fault::OutOfRange);
    refuse_one("project source 6", &|rule| rule.project.0 = 6, "rule project source", Fault::OutOfRange);
    let body = || (5, Some(b"field".to_vec()));
    refuse_one(
        "a project in the body",
        &|rule| rule.project = body(),
        "rule project source",
        Fault::OutOfRange,
    );
    for (name, source) in [("in the body", body()), ("nowhere", (0, None))] {
        refuse_one(
            &format!("a resource {name}"),
            &|rule| rule.resource = (6, Some(source.clone())),
            "rule resource source",
            Fault::OutOfRange,
        );
    }
    refuse_one("resource type 7", &|rule| rule.resource.0 = 7, "rule resource type", Fault::OutOfRange);
    let names: [(&str, &[u8], &[u8], Fault); 14] = [
        ("an empty name", &[1, 2, 3, 4, 5], b"", Fault::OutOfRange),
        ("a name of 33 characters", &[1, 4], &[b'a'; 33], Fault::OutOfRange),
        ("a name of 65 characters", &[2, 3, 5], &[b'a'; 65], Fault::OutOfRange),
        ("a name in capitals", &[1, 2, 4], b"File", Fault::OutOfRange),
        ("a name with a `_`", &[2], b"x_file", Fault::OutOfRange),
        ("a name with a `-`", &[1, 4], b"x-file", Fault::OutOfRange),
        ("a name with a `.`", &[1, 2, 4], b"x.file", Fault::OutOfRange),
        ("a name with a `[`", &[3, 5], b"file[]", Fault::OutOfRange),
        ("a name with a blank", &[1, 2, 3, 4, 5], b"x file", Fault::OutOfRange),
        ("a name with a `%`", &[3], b"x%66ile", Fault::OutOfRange),
        ("a name with a `&`", &[3], b"x&file", Fault::OutOfRange),
        ("a name with a `*`", &[1, 4], b"*file", Fault::OutOfRange),
        ("a name that is not ASCII", &[1, 2, 3, 4, 5], "f\u{e9}".as_bytes(), Fault::OutOfRange),
        ("a name that is not UTF-8", &[1, 2, 3, 4, 5], b"f\xff", Fault::NotUtf8),
    ];
    for (what, sources, name, fault) in names {
        for byte in sources {
            let source = || (*byte, Some(name.to_vec()));
            let about = |of: &str| format!("{what} for the {of}, source {byte}");
            refuse_one(&about("model"), &|rule| rule.model = source(), "rule source name", fault);
            if *byte != 5 {
                refuse_one(&about("project"), &|rule| rule.project = source(), "rule source name", fault);
                refuse_one(
                    &about("resource"),
                    &|rule| rule.resource = (6, Some(source())),
                    "rule source name",
                    fault,
                );
            }
        }
    }
}

fn refuse_cors(cases: &mut Cases) {
    let mut refuse_one = |name: &str, change: &dyn Fn(&mut Cors), at: &str, fault| {
        let mut cors = Cors::full();
        change(&mut cors);
        let bytes =
            changed(Parts::smallest(), |parts| (parts.cors, parts.cors_byte) = (Some(cors.clone()), 1));
        refuse(cases, &format!("cross-origin requests: {name}"), &bytes, at, fault);
    };
    refuse_one("no origin", &|cors| cors.lists[0].clear(), "cors origin", Fault::OutOfRange);
    let origins =
        |count: usize| (0..count).map(|at| format!("https://a{at:02}").into_bytes()).collect::<Vec<_>>();
    refuse_one("65 origins", &|cors| cors.lists[0] = origins(65), "cors origin", Fault::OutOfRange);
    refuse_one(
        "`*` and another",
        &|cors| cors.lists[0].insert(0, b"*".to_vec()),
        "cors origin",
        Fault::NotCanonical,
    );
    let long = [b"https://".to_vec(), vec![b'a'; 248]].concat();
    for (name, origin, fault) in [
        ("an empty origin", &b""[..], Fault::OutOfRange),
        ("an origin of 256 bytes", &*long, Fault::OutOfRange),
        ("`null`", b"null", Fault::OutOfRange),
        ("another scheme", b"ftp://a", Fault::OutOfRange),
        ("no host", b"https://", Fault::OutOfRange),
        ("capitals", b"https://A", Fault::OutOfRange),
        ("a path", b"https://a/", Fault::OutOfRange),
        ("the scheme's own port", b"https://a:443", Fault::OutOfRange),
        ("the other scheme's own port", b"http://a:80", Fault::OutOfRange),
        ("a port of no digits", b"https://a:", Fault::OutOfRange),
        ("a user", b"https://u@a", Fault::OutOfRange),
        ("what is not UTF-8", b"https://\xff", Fault::NotUtf8),
    ] {
        refuse_one(name, &|cors| cors.lists[0] = vec![origin.to_vec()], "cors origin", fault);
    }
    let headers = |count: usize| (0..count).map(|at| format!("h{at:02}").into_bytes()).collect::<Vec<_>>();
    for (list, at) in [(1, "cors header"), (2, "cors exposed header")] {
        refuse_one(&format!("65 of {at}"), &|cors| cors.lists[list] = headers(65), at, Fault::OutOfRange);
        refuse_one(
            &format!("{at} in capitals"),
            &|cors| cors.lists[list] = vec![b"X-A".to_vec()],
            at,
            Fault::OutOfRange,
        );
    }
    for (list, at) in [(0, "cors origin"), (1, "cors header"), (2, "cors exposed header")] {
        refuse_one(
            &format!("{at} twice"),
            &|cors| {
                let first = cors.lists[list][0].clone();
                cors.lists[list].insert(0, first);
            },
            at,
            Fault::NotAscending,
        );
    }
    refuse_one(
        "a max age of more than a day",
        &|cors| cors.max_age = 86_401,
        "cors max age",
        Fault::OutOfRange,
    );
    let byte = changed(Parts::smallest(), |parts| parts.cors_byte = 2);
    refuse(cases, "cors 2", &byte, "cors", Fault::OutOfRange);
}

fn accept(cases: &mut Cases) {
    let widest = Parts {
        grace: 86_400,
        prefix: b"abcdefghijkl".to_vec(),
        canaries: (0..16).map(|tag| canary::absent(9, tag)).collect(),
        cors: Some(Cors { lists: [vec![b"*".to_vec()], vec![], vec![]], max_age: 86_400 }),
        cors_byte: 1,
        rules: vec![Rule {
            host: ["a.".repeat(126).as_bytes(), b"a"].concat(),
            method: vec![b'A'; 16],
            pattern: [b"/", &[b'p'; 511][..]].concat(),
            project: (1, Some(vec![b'a'; 32])),
            model: (2, Some(vec![b'a'; 64])),
            shadow: u64::MAX,
            ..rule("", "")
        }],
        ..Parts::smallest()
    };
    for (name, parts) in
        [("nothing in it", Parts::smallest()), ("everything in it", Parts::full()), ("at its limits", widest)]
    {
        let bytes = parts.bytes();
        let manifest = Manifest::parse(&ObjectRef::to(&bytes), &bytes).unwrap();
        cases.accept(name, json!({}), &bytes, describe::manifest(&manifest));
    }
}
