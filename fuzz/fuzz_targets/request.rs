//! Any request at a gate that serves: method, path, authorization and minimum generation, a line each. Whoever is let
//! in had the one key there is, and a path that no origin can read in two ways.

#![no_main]

use latchkey_fuzz::{NOW, gate, key};
use latchkey_gate::{Attempt, Authorization, Gate, Outcome, Question, Request, Step};
use libfuzzer_sys::fuzz_target;

thread_local!(static GATE: Gate = gate());

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(method) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let path = lines.next().unwrap_or_default();
    let authorization = lines.next();
    let request = Request {
        method,
        path,
        authorization: authorization.map_or(Authorization::None, Authorization::One),
        min_generation: lines.next(),
    };
    for question in [Question::Route, Question::Whoami] {
        GATE.with(|gate| decide(gate, &request, question, authorization));
    }
});

fn decide(gate: &Gate, request: &Request<'_>, question: Question, authorization: Option<&[u8]>) {
    let mut attempt = Attempt::default();
    // Everything is loaded: a gate may ask for the head at most, and must end.
    for _ in 0..32 {
        let Step::Answer(verdict) = gate.decide(request, question, NOW, &mut attempt) else { continue };
        if let Outcome::Allow(grant) = verdict.outcome {
            assert_eq!(grant.key, key().id());
            assert!(authorization.is_some_and(|value| value.ends_with(key().expose().as_bytes())));
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
