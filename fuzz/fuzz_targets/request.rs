//! Any request at a gate that serves: method, path, authorization, minimum generation and project, a line each. Whoever
//! is let in had the one key or the one session there is, and a path that no origin can read in two ways.
//!
//! An authorization `K` or `S` stands for the key's or the session's, so that the fuzzer gets behind the door.

#![no_main]

use latchkey_core::ProjectNumber;
use latchkey_fuzz::{NOW, gate, identity, key, token};
use latchkey_gate::{Attempt, Gate, Header, Outcome, Question, Request, Step, Subject};
use libfuzzer_sys::fuzz_target;

thread_local!(static GATE: (Gate, String, String) =
    (gate(), format!("Bearer {}", key().expose()), format!("Bearer {}", token())));

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(method) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let path = lines.next().unwrap_or_default();
    let authorization = lines.next();
    let min_generation = lines.next();
    let project = lines.next().map_or(Header::None, Header::One);
    GATE.with(|(gate, of_key, of_session)| {
        let authorization = match authorization {
            Some(b"K") => Some(of_key.as_bytes()),
            Some(b"S") => Some(of_session.as_bytes()),
            other => other,
        };
        let request = Request {
            min_generation,
            project,
            ..Request::new(method, path, authorization.map_or(Header::None, Header::One))
        };
        for question in [Question::Route, Question::Whoami] {
            decide(gate, &request, question, authorization.unwrap_or_default());
        }
    });
});

fn decide(gate: &Gate, request: &Request<'_>, question: Question, authorization: &[u8]) {
    let mut attempt = Attempt::default();
    // Everything is loaded: a gate may ask for the head at most, and must end.
    for _ in 0..32 {
        let Step::Answer(verdict) = gate.decide(request, question, NOW, &mut attempt) else { continue };
        if let Outcome::Allow(grant) = verdict.outcome {
            match grant.subject {
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
                assert!(request.method == "GET" || request.method == "DELETE");
            }
        }
        return;
    }
    panic!("the gate goes on asking");
}
