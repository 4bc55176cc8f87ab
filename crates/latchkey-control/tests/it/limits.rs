//! How often somebody may ask, and how long they may take about it.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use latchkey_control::http::{Bounds, Rate, serve};
use latchkey_testkit::{Actor, Reply, Stage, StageConfig};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

async fn stage(bounds: Bounds) -> Stage {
    Stage::set(StageConfig { bounds, ..StageConfig::default() }).await
}

async fn limited() -> Stage {
    let per_credential = Some(Rate { per_second: 1, burst: 20 });
    stage(Bounds { per_credential, per_address: Rate::per_second(2), ..Bounds::default() }).await
}

/// Asks until it is refused as too often, and says after how many that was.
async fn ask_until_refused(actor: &Actor, path: &str) -> (usize, Reply) {
    let mut count = 0;
    loop {
        let reply = actor.get(path).await;
        if reply.status == 429 {
            return (count, reply);
        }
        count += 1;
        assert!(count < 100, "never refused");
    }
}

#[tokio::test]
async fn credential_may_ask_so_often_and_no_other_pays_for_it() {
    let stage = limited().await;
    let (one, other) = (stage.sign_in("a@a.test").await, stage.sign_in("b@b.test").await);
    let (count, refused) = ask_until_refused(&one, "/v1/me").await;
    assert_eq!(count, 20);
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    other.get("/v1/me").await.expect(200);
    one.post("/v1/organizations", json!({})).await.problem(429, "rate_limited");
    stage.clock.advance_secs(1);
    one.get("/v1/me").await.expect(200);
    one.get("/v1/me").await.problem(429, "rate_limited");
}

#[tokio::test]
async fn address_may_fail_so_often_and_whoever_is_genuine_does_not_pay_for_it() {
    let stage = limited().await;
    let genuine = stage.sign_in("a@a.test").await;
    let junk = stage.holder("lks_0000000000000000000000000000000000000000000");
    let (count, refused) = ask_until_refused(&junk, "/v1/me").await;
    assert_eq!(count, 4);
    refused.problem(429, "rate_limited");
    stage.anonymous().get("/v1/me").await.problem(429, "rate_limited");
    genuine.get("/v1/me").await.expect(200);
    stage.anonymous().get("/healthz").await.expect(200);

    let from = |address: &str| {
        let mut request = Request::get("/v1/me").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(address.parse::<SocketAddr>().unwrap()));
        request
    };
    for index in 0..4 {
        let reply = junk.send(from(&format!("[2001:db8::{index}]:1"))).await;
        reply.problem(401, "unauthenticated");
    }
    junk.send(from("[2001:db8::9]:2")).await.problem(429, "rate_limited");
    junk.send(from("[2001:db8:0:1::9]:2")).await.problem(401, "unauthenticated");
    stage.clock.advance_secs(1);
    junk.send(from("[2001:db8::9]:2")).await.problem(401, "unauthenticated");
}

/// A real socket in front of a stage.
struct Served {
    address: SocketAddr,
    operator: String,
    stop: Option<oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn with(bounds: Bounds) -> Self {
        let stage = stage(bounds.clone()).await;
        let operator = stage.operator().token().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = stage.router();
        let done = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, router, &bounds, stopped).await;
        });
        Self { address, operator, stop: Some(stop), done }
    }

    /// A request whose body of ten bytes has only begun.
    async fn begin(&self) -> TcpStream {
        let head = format!(
            "POST /v1/organizations HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 10\r\n\r\n[",
            self.operator
        );
        self.connect(&head).await
    }

    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// All that comes until the other side closes; a stream that is never closed fails the test.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut text));
    assert!(read.await.is_ok_and(|read| read.is_ok()), "the connection stays open");
    text
}

const SHORT: Duration = Duration::from_millis(50);
const WHOLE: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn head_that_does_not_arrive_ends_the_connection() {
    let served = Served::with(Bounds { head_read: SHORT, ..Bounds::default() }).await;
    for slow in ["", "GET /healthz HTTP/1.1\r\nhost: a\r\n", "GET"] {
        assert!(!rest(served.connect(slow).await).await.contains("200 OK"), "{slow}");
    }
    assert!(rest(served.connect(WHOLE).await).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn body_that_does_not_arrive_is_not_waited_for() {
    let served = Served::with(Bounds { body_read: SHORT, ..Bounds::default() }).await;
    let answer = rest(served.begin().await).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
}

#[tokio::test]
async fn request_is_over_after_so_long() {
    let served = Served::with(Bounds { request: SHORT, ..Bounds::default() }).await;
    let answer = rest(served.begin().await).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("timed_out"), "{answer}");
}

#[tokio::test]
async fn connection_beyond_the_bound_waits_for_one_to_end() {
    let served = Served::with(Bounds { connections_max: 1, ..Bounds::default() }).await;
    let mut first = served.begin().await;
    let mut second = served.connect(WHOLE).await;
    let mut byte = [0; 1];
    assert!(tokio::time::timeout(SHORT, second.read(&mut byte)).await.is_err(), "it was answered");
    first.write_all(b"12345678]").await.unwrap();
    assert!(rest(first).await.starts_with("HTTP/1.1 422 "));
    assert!(rest(second).await.contains("200 OK"));
}

#[tokio::test]
async fn request_that_runs_is_answered_before_the_stop() {
    let mut served = Served::with(Bounds::default()).await;
    let mut running = served.begin().await;
    // An answer to another request shows that the first one is being read.
    assert!(rest(served.connect(WHOLE).await).await.contains("200 OK"));
    served.stop.take().unwrap().send(()).unwrap();
    running.write_all(b"12345678]").await.unwrap();
    assert!(rest(running).await.starts_with("HTTP/1.1 422 "));
    served.done.await.unwrap();
}
