//! The push protocol, as a hub on this machine sees it.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use latchkey_snapshot::ObjectRef;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

type Request = (Method, String, Option<String>, Bytes);

/// A server that answers everything alike and remembers what it was asked.
async fn hub(status: u16, body: &'static str) -> (EdgeSink, Arc<Mutex<Vec<Request>>>) {
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let log = Arc::clone(&seen);
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes| async move {
        let header = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        log.lock().unwrap().push((method, uri.path().to_owned(), header, bytes));
        (axum::http::StatusCode::from_u16(status).unwrap(), body)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (EdgeSink::new(&format!("http://{address}/base/"), "secret-token").unwrap(), seen)
}

#[tokio::test]
async fn everything_goes_to_its_path_with_the_token() {
    let (sink, seen) = hub(204, "").await;
    let object = Object { reference: ObjectRef::to(b"page"), bytes: b"page"[..].into() };
    sink.put_root(2, b"root").await.unwrap();
    sink.put_object(&object).await.unwrap();
    assert_eq!(sink.put_head(b"head", &Named::default()).await, Ok(Told::default()));
    let seen = seen.lock().unwrap();
    let paths: Vec<&str> = seen.iter().map(|(_, path, ..)| path.as_str()).collect();
    let digest = object.reference.digest();
    let prefix = "/base/.latchkey/push";
    let expected =
        [format!("{prefix}/root/2"), format!("{prefix}/objects/{digest}"), format!("{prefix}/head")];
    assert_eq!(paths, expected);
    assert!(seen.iter().all(|(method, _, token, _)| {
        *method == Method::PUT && token.as_deref() == Some("Bearer secret-token")
    }));
    assert_eq!(seen[2].3, "head");
}

async fn refusal_to_head(status: u16, body: &'static str) -> SinkError {
    hub(status, body).await.0.put_head(b"head", &Named::default()).await.unwrap_err()
}

#[tokio::test]
async fn each_refusal_is_told_apart() {
    let digest = ObjectDigest::of(b"x");
    let body: &'static str =
        Box::leak(format!("{{\"code\":\"objects_missing\",\"missing\":[\"{digest}\"]}}").into_boxed_str());
    assert_eq!(refusal_to_head(409, body).await, SinkError::Missing(vec![digest]));
    let older = "{\"code\":\"older\",\"generation\":5,\"as_of\":9}";
    assert_eq!(
        refusal_to_head(409, older).await,
        SinkError::Older { held: Some((Generation(5), UnixMillis(9))) }
    );
    assert_eq!(refusal_to_head(401, "").await, SinkError::Unauthorized);
    assert!(matches!(refusal_to_head(503, "").await, SinkError::Unavailable(_)));
    assert!(matches!(refusal_to_head(409, "not json").await, SinkError::Refused(_)));
    assert!(matches!(refusal_to_head(307, "").await, SinkError::Refused(_)));
    let listed =
        refusal_to_head(422, "{\"code\":\"head_signatures\",\"detail\":\"too few\\u0007 keys\"}").await;
    assert_eq!(listed, SinkError::Refused("it answered 422 head_signatures too few keys".to_owned()));
}

#[tokio::test]
async fn digest_that_is_none_is_no_list_of_missing_objects() {
    let refused = refusal_to_head(409, "{\"code\":\"objects_missing\",\"missing\":[\"../../x\"]}").await;
    assert!(matches!(refused, SinkError::Refused(_)));
}

#[tokio::test]
async fn clock_and_status_are_read() {
    let (sink, _) =
        hub(200, "{\"generation\":4,\"as_of\":7,\"now\":8,\"root_version\":1,\"extra\":[]}").await;
    let told = Told { now: Some(UnixMillis(8)), edges: Vec::new() };
    assert_eq!(sink.put_head(b"head", &Named::default()).await, Ok(told));
    let held = Held { root_version: 1, head: Some((Generation(4), UnixMillis(7))) };
    assert_eq!(sink.held().await, Ok(held));
    let (sink, _) = hub(200, "{\"generation\":null,\"as_of\":null,\"root_version\":1}").await;
    assert_eq!(sink.held().await, Ok(Held { root_version: 1, head: None }));
    // Under an older root than the hub's newest: outranked.
    let (sink, _) =
        hub(200, "{\"generation\":4,\"as_of\":7,\"root_version\":2,\"head_root_version\":1}").await;
    assert_eq!(sink.held().await, Ok(Held { root_version: 2, head: None }));
    let (sink, _) =
        hub(200, "{\"generation\":4,\"as_of\":7,\"root_version\":2,\"head_root_version\":2}").await;
    let held = Held { root_version: 2, head: Some((Generation(4), UnixMillis(7))) };
    assert_eq!(sink.held().await, Ok(held));
    let (sink, _) = hub(200, "<html>").await;
    assert!(matches!(sink.held().await, Err(SinkError::Unavailable(_))));
}

#[tokio::test]
async fn peppers_of_edges_are_read_and_an_old_hub_names_none() {
    let (sink, _) = hub(200, "{\"generation\":4,\"as_of\":7,\"now\":8,\"root_version\":1}").await;
    assert_eq!(sink.peppers().await, Ok(PepperReports { now: UnixMillis(8), peppers: Vec::new() }));
    let told = "{\"now\":9,\"peppers\":[{\"id\":\"00000000000000ff\",\"with_at\":5,\"without_at\":null},\
                {\"id\":\"no id\",\"with_at\":5},{\"id\":\"ff\",\"with_at\":6,\"without_at\":4}]}";
    let (sink, _) = hub(200, told).await;
    let report = |with_at, without_at: Option<u64>| PepperReport {
        id: [0, 0, 0, 0, 0, 0, 0, 255],
        with_at: UnixMillis(with_at),
        without_at: without_at.map(UnixMillis),
    };
    let reports = vec![report(5, None), report(6, Some(4))];
    assert_eq!(sink.peppers().await, Ok(PepperReports { now: UnixMillis(9), peppers: reports }));
    let (sink, _) = hub(200, "<html>").await;
    assert!(matches!(sink.peppers().await, Err(SinkError::Unavailable(_))));
}

async fn told(body: &'static str) -> Vec<(u64, u64, u64)> {
    let told = hub(200, body).await.0.put_head(b"head", &Named::default()).await.unwrap();
    told.edges.iter().map(|report| (report.generation.0, report.at.0, report.reports)).collect()
}

#[tokio::test]
async fn reports_of_edges_are_read_and_nonsense_is_none() {
    let report = "{\"oldest_generation\":4,\"reported_at\":90,\"reports\":2}";
    let body = format!("{{\"now\":100000,\"edges\":[{report},{report}]}}").leak();
    assert_eq!(told(body).await, [(4, 90, 2); 2]);
    // As many as there can be, and one more.
    let reports = [report; REPORTS_MAX + 1].join(",");
    assert_eq!(told(format!("{{\"edges\":[{reports}]}}").leak()).await, []);
    let one_less = [report; REPORTS_MAX].join(",");
    assert_eq!(told(format!("{{\"edges\":[{one_less}]}}").leak()).await.len(), REPORTS_MAX);
    for edges in ["null", "7", "[7]", "[{}]", "[{\"oldest_generation\":-4,\"reported_at\":90,\"reports\":2}]"]
    {
        let body = format!("{{\"now\":8,\"edges\":{edges}}}").leak();
        assert_eq!(told(body).await, [], "{edges}");
        let clock = hub(200, body).await.0.put_head(b"head", &Named::default()).await.unwrap().now;
        assert_eq!(clock, Some(UnixMillis(8)), "{edges}: the clock is told all the same");
    }
}

#[test]
fn url_that_would_show_the_token_is_refused() {
    let error = |url| EdgeSink::new(url, "t").map(drop).unwrap_err();
    assert_eq!(error("http://edge.example.com"), EdgeError::Plain);
    assert_eq!(error("https://user@edge.example.com"), EdgeError::Parts);
    assert_eq!(error("https://edge.example.com/?a=b"), EdgeError::Parts);
    assert_eq!(error("edge.example.com"), EdgeError::Url);
    assert_eq!(error("file:///etc/passwd"), EdgeError::Parts);
    assert_eq!(EdgeSink::new("https://edge.example.com", "a\nb").map(drop), Err(EdgeError::Token));
    for good in ["https://edge.example.com/x", "http://127.0.0.1:8787", "http://localhost", "http://[::1]:1"]
    {
        assert!(EdgeSink::new(good, "t").is_ok(), "{good}");
    }
}

#[test]
fn debug_shows_no_token() {
    let sink = EdgeSink::new("https://edge.example.com", "secret-token").unwrap();
    assert_eq!(format!("{sink:?}"), "EdgeSink(https://edge.example.com)");
}
