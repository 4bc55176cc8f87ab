//! What takes long in a gate: it goes on while its key is let in, and ends when it is not.

use super::{ARRIVE_MAX, MODELS, Scene, exchange, read_until};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const STREAM: &str = "/v1/projects/alpha/models/stream";

impl Scene {
    fn open(&self, head: &str, key: &str, rest: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.gate.as_ref().unwrap().address(0)).unwrap();
        stream.set_read_timeout(Some(ARRIVE_MAX)).unwrap();
        let head = format!("{head} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n{rest}");
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }
}

/// All that there is to read until the other side ends.
fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has ended as well; one that goes on runs into the limit.
    let ended = stream.read_to_end(&mut bytes);
    let is_over =
        ended.as_ref().map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |_| true);
    assert!(is_over, "it never ended: {ended:?}");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn stream_websocket_and_upload_of_a_revoked_key_end_and_those_of_another_go_on() {
    let scene = Scene::new();
    let (id, key) = scene.key();
    let (_, other) = scene.key();
    for one in [&key, &other] {
        scene.until(MODELS, one, |status, _| status == 200);
    }
    let chunked = "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let websocket = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
    let [mut ends, mut goes_on] =
        [&key, &other].map(|key| scene.open(&format!("POST {STREAM}"), key, chunked));
    let [mut socket, mut kept] =
        [&key, &other].map(|key| scene.open(&format!("GET {MODELS}"), key, websocket));
    // The origin answers it once it has all of it.
    let upload = scene.open(&format!("POST {MODELS}"), &key, "content-length: 9\r\n\r\nfir");
    for stream in [&mut ends, &mut goes_on] {
        read_until(stream, "first");
    }
    for stream in [&mut socket, &mut kept] {
        read_until(stream, "\r\n\r\n");
        stream.write_all(b"ping").unwrap();
        read_until(stream, "ping");
    }
    let seen = scene.echo.count();
    scene.owner.post(&format!("/v1/keys/{id}/revoke"), &json!({}));
    let stream = rest_of(ends);
    assert!(!stream.ends_with("0\r\n\r\n"), "it broke off, and does not look whole: {stream}");
    rest_of(socket);
    let refused = rest_of(upload);
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains("\"revoked\""), "{refused}");
    goes_on.write_all(b"6\r\nsecond\r\n").unwrap();
    read_until(&mut goes_on, "second");
    kept.write_all(b"pong").unwrap();
    read_until(&mut kept, "pong");
    assert_eq!(scene.echo.count(), seen);
    // None of that was an answer.
    let scrape = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut metrics = String::new();
    let began = Instant::now();
    while metrics.is_empty() || metrics.contains("latchkey_gate_rejudged_total{outcome=\"allowed\"} 0\n") {
        assert!(began.elapsed() < ARRIVE_MAX, "what goes on was never judged: {metrics}");
        metrics = exchange(scene.gate.as_ref().unwrap().address(1), scrape).1;
    }
    for line in [
        "latchkey_gate_rejudged_total{outcome=\"refused\"} 3\n",
        "latchkey_gate_answers_total{cause=\"revoked\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}
