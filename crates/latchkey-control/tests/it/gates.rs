//! `/v1/gate/…`: what native gates read, who may, and what is answered to everything else.

use axum::body::Body;
use axum::http::Request;
use latchkey_control::http::{Bounds, Rate, serve};
use latchkey_snapshot::ObjectDigest;
use latchkey_testkit::{Actor, GATE_OBJECT, GATE_TOKEN, Reply, Stage, StageConfig, gate_head};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const OCTETS: &str = "application/octet-stream";

fn gate(stage: &Stage) -> Actor {
    stage.holder(GATE_TOKEN)
}

fn name(head: &[u8]) -> String {
    ObjectDigest::of(head).to_string()
}

fn object_path() -> String {
    format!("/v1/gate/objects/{}", name(GATE_OBJECT))
}

#[tokio::test]
async fn whoever_lacks_the_credential_is_shown_nothing_with_one_body() {
    let stage = Stage::new().await;
    let model = stage.anonymous().get("/v1/gate/head").await;
    model.problem(401, "unauthenticated");
    let wrong = format!("{}f", &GATE_TOKEN[..GATE_TOKEN.len() - 1]);
    let upper = GATE_TOKEN.to_uppercase();
    let longer = format!("{GATE_TOKEN}0");
    let paths =
        ["/v1/gate/head", "/v1/gate/roots/1", &object_path(), "/v1/gate/objects/0", "/v1/gate/nothing"];
    for path in paths {
        for token in ["", "x", &wrong, &upper, &longer, &GATE_TOKEN[1..]] {
            let reply = stage.holder(token).get(path).await;
            assert_eq!(
                (reply.status, &reply.body, &reply.headers),
                (401, &model.body, &model.headers),
                "{path}"
            );
        }
        let bearer = format!("Bearer {GATE_TOKEN}");
        for values in [[bearer.as_str(), &bearer], [&bearer, "Bearer x"], ["Basic x", &bearer]] {
            let request = Request::get(path).header("authorization", values[0]);
            let request = request.header("authorization", values[1]).body(Body::empty()).unwrap();
            let reply = stage.anonymous().send(request).await;
            assert_eq!((reply.status, &reply.body), (401, &model.body), "{path} {values:?}");
        }
        for odd in [format!("Basic {GATE_TOKEN}"), GATE_TOKEN.to_owned(), format!("Bearer  {GATE_TOKEN}")] {
            let request = Request::get(path).header("authorization", odd).body(Body::empty()).unwrap();
            assert_eq!(stage.anonymous().send(request).await.status, 401);
        }
    }
}

#[tokio::test]
async fn credential_of_gates_counts_nowhere_else() {
    let stage = Stage::new().await;
    for path in
        ["/v1/me", "/v1/organizations", "/v1/gate", "/v1/gat/head", "/v1/gate%2Fhead", "/v1//gate/head"]
    {
        gate(&stage).get(path).await.problem(401, "unauthenticated");
    }
    gate(&stage).post("/v1/gate/head", serde_json::json!({})).await.problem(405, "method_not_allowed");
    let refused = stage.operator().get("/v1/gate/head").await;
    assert_eq!(refused.problem(403, "forbidden")["permission"], "gate.read");
}

#[tokio::test]
async fn newest_head_is_told_at_once_to_whoever_has_another() {
    let stage = Stage::new().await;
    let held = gate_head(1).0;
    for query in
        [String::new(), format!("?after={}", "0".repeat(64)), format!("?timeout_s=1&after={}", name(b"x"))]
    {
        let reply = gate(&stage).get(&format!("/v1/gate/head{query}")).await.expect(200);
        assert_eq!((reply.header("content-type"), &reply.body), (Some(OCTETS), &held));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn head_that_the_gate_has_is_waited_beyond() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let path = |head: &[u8]| format!("/v1/gate/head?timeout_s=7&after={}", name(head));
    let (first, second) = (gate_head(1).0, gate_head(2));
    let began = Instant::now();
    let reply = gate(&stage).get(&path(&first)).await.expect(204);
    assert_eq!((reply.body.len(), began.elapsed().as_secs()), (0, 7));
    let (actor, path) = (gate(&stage), path(&first));
    let waiting = tokio::spawn(async move { actor.get(&path).await });
    while stage.control.gates().unwrap().waiting() == 0 {
        tokio::task::yield_now().await;
    }
    stage.control.gates().unwrap().take_head(&second.0, &second.1).unwrap();
    assert_eq!(waiting.await.unwrap().expect(200).body, second.0);
}

#[tokio::test]
async fn head_is_named_by_its_digest_and_by_nothing_else() {
    let stage = Stage::new().await;
    let upper = name(b"x").to_uppercase();
    for query in [
        "after=".to_owned(),
        "after=1".to_owned(),
        format!("after={upper}"),
        format!("after={}0", name(b"x")),
        format!("after={0}&after={0}", name(b"x")),
        "timeout_s=0".to_owned(),
        "timeout_s=51".to_owned(),
        "timeout_s=-1".to_owned(),
        "before=1".to_owned(),
    ] {
        gate(&stage).get(&format!("/v1/gate/head?{query}")).await.problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn roots_and_objects_never_change_and_may_be_kept() {
    let stage = Stage::new().await;
    let root = stage.control.gates().unwrap().root(1).unwrap();
    for (path, bytes) in [("/v1/gate/roots/1".to_owned(), &root[..]), (object_path(), GATE_OBJECT)] {
        let reply = gate(&stage).get(&path).await.expect(200);
        assert_eq!((reply.header("content-type"), &reply.body[..]), (Some(OCTETS), bytes));
        assert_eq!(reply.header("cache-control"), Some("private, max-age=31536000, immutable"));
        gate(&stage).get(&format!("{path}?x=1")).await.problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn what_is_not_named_exactly_is_not_there() {
    let stage = Stage::new().await;
    let digest = name(GATE_OBJECT);
    let objects = [
        name(b"nothing"),
        digest.to_uppercase(),
        digest[1..].to_owned(),
        format!("{digest}0"),
        format!("{digest}.part"),
        format!("..%2Fobjects%2F{digest}"),
        format!("%2E%2E/objects/{digest}"),
        format!("../objects/{digest}"),
        format!("{digest}%00"),
        "%FF".to_owned(),
        format!("{digest}/"),
    ];
    let roots = ["0", "2", "01", "+1", "1.0", "-1", "4294967297", "%31%20", "..%2F..%2Fkeys%2Fhead", "1/"];
    let objects = objects.iter().map(|text| format!("/v1/gate/objects/{text}"));
    for path in objects.chain(roots.iter().map(|text| format!("/v1/gate/roots/{text}"))) {
        let reply = gate(&stage).get(&path).await;
        reply.problem(404, "not_found");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[tokio::test]
async fn gates_share_a_credential_and_are_not_counted_by_it() {
    let rate = Some(Rate { per_second: 1, burst: 2 });
    let bounds = Bounds { per_credential: rate, per_address: rate, ..Bounds::default() };
    let stage = Stage::set(StageConfig { bounds, ..StageConfig::default() }).await;
    for _ in 0..50 {
        gate(&stage).get(&object_path()).await.expect(200);
    }
    let statuses = async |token: &str| {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(stage.holder(token).get(&object_path()).await.status);
        }
        statuses
    };
    assert_eq!(statuses("guess").await, [401, 401, 429]);
}

#[tokio::test]
async fn one_more_than_may_wait_is_told_to_come_again() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let path = format!("/v1/gate/head?timeout_s=50&after={}", name(&gate_head(1).0));
    let gates = stage.control.gates().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    let most = latchkey_control::publish::sink::gates::WAITS_MAX;
    for _ in 0..most {
        let (actor, path) = (gate(&stage), path.clone());
        waiting.spawn(async move { actor.get(&path).await });
    }
    while gates.waiting() < most {
        tokio::task::yield_now().await;
    }
    let refused: Reply = gate(&stage).get(&path).await;
    refused.problem(503, "too_many_waits");
    assert_eq!(refused.header("retry-after"), Some("5"));
    gate(&stage).get("/v1/gate/head").await.expect(200);
}

/// A real socket: whoever hangs up gives back the place, and a stop answers those who wait.
#[tokio::test]
async fn client_that_hangs_up_frees_its_place() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = stage.router();
    let served = tokio::spawn(async move {
        serve(listener, router, &Bounds::default(), async { drop(stopped.await) }).await;
    });
    let gates = stage.control.gates().unwrap();
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let after = name(&gate_head(1).0);
        let head = format!("GET /v1/gate/head?timeout_s=50&after={after} HTTP/1.1\r\nhost: a\r\n");
        let rest = format!("authorization: Bearer {GATE_TOKEN}\r\nconnection: close\r\n\r\n");
        stream.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        stream
    };
    let reaches = async |count: usize| {
        let reached = async {
            while gates.waiting() != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("it never came to that");
    };
    let first = ask().await;
    reaches(1).await;
    let mut second = ask().await;
    reaches(2).await;
    drop(first);
    reaches(1).await;
    gates.close();
    stop.send(()).unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    tokio::time::timeout(Duration::from_secs(20), served).await.expect("the stop waits").unwrap();
}
