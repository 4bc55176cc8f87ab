//! The decision log of a guard: why, of whom, by which rule, and nothing that a caller chose.

use crate::place::{Published, echo, send};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use latchkey_tower::{DecisionLog, Guard, GuardSettings, Latchkey, Shares};
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const WORD: &str = "Wisely-Chosen-Word";

#[tokio::test]
async fn every_decision_that_is_drawn_is_told_with_its_cause_and_nothing_that_the_caller_chose() {
    let (place, paper) = (Published::new(), Paper::default());
    let shares = Shares::parse("1").unwrap();
    let log = DecisionLog::start(shares, 7, paper.clone()).unwrap();
    let guard = Guard::start(GuardSettings { decisions: Some(log), ..place.settings() }).await.unwrap();
    let app = Router::new().fallback(any(echo)).layer(Latchkey::new(guard.clone()));
    let key = place.key("member");
    for (target, key, expected) in [
        ("/v1/projects/alpha/files".to_owned(), key.to_owned(), 200),
        (format!("/v1/projects/{WORD}/files?{key}"), key.to_owned(), 404),
        (format!("/{WORD}"), key.to_owned(), 404),
        ("/v1/projects/alpha/files".to_owned(), format!("{key}{WORD}"), 401),
        ("/files".to_owned(), WORD.to_owned(), 200),
    ] {
        let request = Request::builder().uri(target).header("authorization", format!("Bearer {key}"));
        let request = request.header("traceparent", WORD).body(Body::empty()).unwrap();
        assert_eq!(send(&app, request).await.0, expected);
    }
    guard.close().await;
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["outcome"].as_str().unwrap(), line["cause"].as_str())).collect();
    assert_eq!(told.len(), 5, "{text}");
    assert_eq!((told[0], told[1]), (("allowed", None), ("refused", Some("absent_project"))));
    assert_eq!((told[2].1, told[4]), (Some("absent_route"), ("public", None)));
    assert_eq!(lines[0]["rule"], "/v1/projects/{project}/files");
    assert!(lines[0]["key"].is_string() && lines[0]["project"].is_string(), "{text}");
    for hidden in [WORD, key, &key[key.len() - 20..]] {
        assert!(!text.contains(hidden), "{text}");
    }
}
