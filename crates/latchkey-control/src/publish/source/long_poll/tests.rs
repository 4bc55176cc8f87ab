//! A control plane that hangs, breaks off, talks without end, lies, or sends elsewhere.

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long an answer may take in these tests, where it never comes.
const SHORT: Duration = Duration::from_millis(100);
/// How long one may take that does come.
const LONG: Duration = Duration::from_secs(20);

/// A server that answers every request with this and then does nothing, or closes the connection.
async fn server(answer: Vec<u8>, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answered(stream, answer.clone(), then));
        }
    });
    url
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Hang,
    Repeat,
}

async fn answered(mut stream: TcpStream, answer: Vec<u8>, then: Then) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let Ok(1) = stream.read(&mut byte).await else { return };
        request.push(byte[0]);
    }
    let _ = stream.write_all(&answer).await;
    match then {
        Then::Close => {}
        Then::Hang => std::future::pending().await,
        Then::Repeat => {
            while stream.write_all(b"1000\r\n").await.is_ok() {
                let chunk = [vec![b'x'; 0x1000], b"\r\n".to_vec()].concat();
                if stream.write_all(&chunk).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn ok(len_declared: usize, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {len_declared}\r\n\r\n").as_bytes(), body].concat()
}

fn source(url: &str, answer_within: Duration) -> LongPollSource {
    LongPollSource::new(url, "token").unwrap().answering_within(answer_within)
}

#[track_caller]
fn says(outcome: Result<Option<Vec<u8>>, SourceError>, words: &str) {
    let error = outcome.unwrap_err();
    assert!(error.0.contains(words), "{error}");
    assert!(!error.0.contains("token") || words.contains("token"), "{error}");
}

#[tokio::test]
async fn answer_that_does_not_come_is_not_waited_for() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\n", &ok(9, b"half")] {
        let source = source(&server(answer.to_vec(), Then::Hang).await, SHORT);
        says(source.root(1).await, "in time");
        says(source.object(ObjectDigest::of(b"x"), 100).await, "in time");
        let began = Instant::now();
        says(source.head(None, 1).await, "in time");
        assert!(began.elapsed() >= Duration::from_secs(1), "the control plane may wait so long");
    }
}

#[tokio::test]
async fn answer_that_breaks_off_is_none() {
    let digest = ObjectDigest::of(b"object");
    for answer in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        &ok(6, b"obj"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nobj\r\n",
    ] {
        let source = source(&server(answer.to_vec(), Then::Close).await, LONG);
        says(source.object(digest, 100).await, "broke off");
        says(source.head(None, 1).await, "broke off");
    }
}

#[tokio::test]
async fn longer_answer_than_may_be_is_not_read() {
    // It says so itself: nothing more is waited for.
    let declared = source(&server(ok(HEAD_LEN_MAX + 1, b""), Then::Hang).await, LONG);
    says(declared.head(None, 1).await, "too long");
    let declared = source(&server(ok(7, b""), Then::Hang).await, LONG);
    says(declared.object(ObjectDigest::of(b"x"), 6).await, "too long");
    // It does not, and never ends.
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let endless = source(&server(endless, Then::Repeat).await, LONG);
    says(endless.head(None, 1).await, "too long");
    says(endless.root(1).await, "too long");
    says(endless.object(ObjectDigest::of(b"x"), 1 << 20).await, "too long");
}

#[tokio::test]
async fn object_is_the_one_that_was_asked_for() {
    let source = source(&server(ok(6, b"object"), Then::Close).await, LONG);
    assert_eq!(source.object(ObjectDigest::of(b"object"), 6).await, Ok(Some(b"object".to_vec())));
    says(source.object(ObjectDigest::of(b"another"), 6).await, "another object");
    // Of heads and roots the gate alone knows.
    assert_eq!(source.head(None, 1).await, Ok(Some(b"object".to_vec())));
    assert_eq!(source.root(1).await, Ok(Some(b"object".to_vec())));
}

#[tokio::test]
async fn refusals_are_told_apart_and_nobody_is_followed_elsewhere() {
    let elsewhere = server(ok(6, b"object"), Then::Close).await;
    for (answer, words) in [
        ("401 Unauthorized\r\n", "token is not known"),
        ("403 Forbidden\r\n", "it answered 403"),
        ("429 Too Many Requests\r\nretry-after: 1\r\n", "it answered 429"),
        ("503 Service Unavailable\r\nretry-after: 5\r\n", "it answered 503"),
        (&format!("302 Found\r\nlocation: {elsewhere}/\r\n"), "it answered 302"),
        ("206 Partial Content\r\n", "it answered 206"),
    ] {
        let answer = format!("HTTP/1.1 {answer}content-length: 0\r\n\r\n").into_bytes();
        let source = source(&server(answer, Then::Close).await, LONG);
        says(source.object(ObjectDigest::of(b"object"), 6).await, words);
        says(source.head(None, 1).await, words);
    }
    for nothing in ["204 No Content\r\n", "404 Not Found\r\ncontent-length: 0\r\n"] {
        let answer = format!("HTTP/1.1 {nothing}\r\n").into_bytes();
        let source = source(&server(answer, Then::Close).await, LONG);
        assert_eq!(source.head(None, 1).await, Ok(None));
        assert_eq!(source.root(7).await, Ok(None));
    }
    let unreachable = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    says(source(&unreachable, LONG).root(1).await, "no connection");
}

#[test]
fn control_plane_is_named_so_that_nobody_overhears_the_token() {
    for (url, fault) in [
        ("http://control.example", LongPollError::Plain),
        ("control.example", LongPollError::Url),
        ("ftp://control.example", LongPollError::Url),
        ("https://user@control.example", LongPollError::Parts),
        ("https://control.example?x=1", LongPollError::Parts),
    ] {
        assert_eq!(LongPollSource::new(url, "token").unwrap_err(), fault, "{url}");
    }
    assert_eq!(LongPollSource::new("https://a.example", "to\nken").unwrap_err(), LongPollError::Token);
    let source = LongPollSource::new("https://a.example/below/", "hidden").unwrap();
    assert_eq!(format!("{source:?}"), "LongPollSource(https://a.example/below)");
}
