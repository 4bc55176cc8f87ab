//! Any request at a gate that serves: method, path, authorization, minimum generation, project, the client's address and
//! the header that names the model, a line each. Whoever
//! is let in had one of the two keys or the one session there is, an address and a model that the key may have, and a path that no origin can read in two ways.
//!
//! An authorization `K`, `N` or `S` stands for that of the key, of the narrowed key or of the session, so that the fuzzer
//! gets behind the door.

#![no_main]

use latchkey_core::{Network, ProjectNumber};
use latchkey_fuzz::{MODEL_HEADER, NOW, gate, identity, key, narrowed_key, token};
use latchkey_gate::{Attempt, Gate, Header, Headers, Outcome, Question, Request, Step, Subject};
use libfuzzer_sys::fuzz_target;

thread_local!(static GATE: (Gate, [String; 3]) = (
    gate(),
    [key().expose(), narrowed_key().expose(), &token()].map(|text| format!("Bearer {text}")),
));

/// The header that names the model, if it is there.
struct Model<'a>(Option<&'a str>);

impl Headers for Model<'_> {
    fn one(&self, name: &str) -> Option<String> {
        assert_eq!(name, MODEL_HEADER);
        self.0.map(str::to_owned)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(method) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let path = lines.next().unwrap_or_default();
    let authorization = lines.next();
    let min_generation = lines.next();
    let project = lines.next().map_or(Header::None, Header::One);
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let client = text().and_then(|text| text.parse().ok());
    let model = Model(text());
    GATE.with(|(gate, [of_key, of_narrowed, of_session])| {
        let authorization = match authorization {
            Some(b"K") => Some(of_key.as_bytes()),
            Some(b"N") => Some(of_narrowed.as_bytes()),
            Some(b"S") => Some(of_session.as_bytes()),
            other => other,
        };
        let request = Request {
            min_generation,
            project,
            client,
            headers: &model,
            ..Request::new(method, path, authorization.map_or(Header::None, Header::One))
        };
        for question in [Question::Route, Question::Whoami] {
            decide(gate, &request, question, authorization.unwrap_or_default(), model.0);
        }
    });
});

fn decide(gate: &Gate, request: &Request<'_>, question: Question, authorization: &[u8], model: Option<&str>) {
    let mut attempt = Attempt::default();
    // Everything is loaded: a gate may ask for the head at most, and must end.
    for _ in 0..32 {
        let Step::Answer(verdict) = gate.decide(request, question, NOW, &mut attempt) else { continue };
        if let Outcome::Allow(grant) = verdict.outcome {
            match grant.subject {
                Subject::Key(id) if id == narrowed_key().id() => {
                    assert!(authorization.ends_with(narrowed_key().expose().as_bytes()));
                    let network = Network::parse("10.0.0.0/8").unwrap();
                    assert!(request.client.is_some_and(|client| network.contains(client)));
                    let bears_model =
                        request.path == b"/v1/inference" || request.path.starts_with(b"/v1/any/");
                    let is_asked = question == Question::Route && bears_model;
                    assert!(!is_asked || model.is_some_and(|model| model.starts_with("llama-3")));
                }
                Subject::Key(id) => {
                    assert_eq!(id, key().id());
                    assert!(authorization.ends_with(key().expose().as_bytes()));
                }
                Subject::Session(who) => {
                    assert_eq!((who, question), (identity(), Question::Route));
                    assert!(authorization.ends_with(token().as_bytes()));
                }
            }
            assert_eq!(grant.binding.project, ProjectNumber(10));
            assert_eq!(grant.permission.is_none(), question == Question::Whoami);
            if question == Question::Route {
                let path = std::str::from_utf8(request.path).unwrap();
                let doubtful = ["//", "/./", "/../", "\\", "%2f", "%2F", "%5c", "%5C"];
                assert!(path.starts_with('/') && !doubtful.iter().any(|part| path.contains(part)), "{path}");
                assert!(["GET", "DELETE", "POST"].contains(&request.method));
            }
        }
        return;
    }
    panic!("the gate goes on asking");
}
