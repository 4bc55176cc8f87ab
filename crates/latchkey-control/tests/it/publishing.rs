//! What an operator sees of publishing, and how long it takes to see it.

use latchkey_api::{PublishHold, Publishing};
use latchkey_control::outside::Clock;
use latchkey_control::publish::{
    EdgeReport, FRESHNESS_BOUND_MS, Mark, PublishStatus, Published, REPORT_DELAY_MS, SinkStatus,
};
use latchkey_core::{Generation, UnixMillis};
use latchkey_testkit::{Stage, StageConfig};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Two sinks, and when each came to hold which generation.
fn status(marks: [(u64, UnixMillis); 2]) -> PublishStatus {
    let sink = |(generation, at)| SinkStatus {
        name: "hub".to_owned(),
        published: Generation(generation),
        statement: Generation(generation),
        as_of: at,
        last_error: None,
        clock_off_ms: 0,
        marks: vec![Mark { published: Generation(generation), statement: Generation(generation), at }],
        edges: Vec::new(),
    };
    PublishStatus { sinks: marks.map(sink).to_vec(), ..PublishStatus::default() }
}

fn organization() -> serde_json::Value {
    serde_json::json!({ "name": "Example", "owner_email": "owner@example.test" })
}

async fn stage() -> (Stage, watch::Sender<PublishStatus>) {
    let (board, publishing) = watch::channel(PublishStatus::default());
    let config = StageConfig { publishing: Some(publishing), ..StageConfig::default() };
    (Stage::set(config).await, board)
}

async fn ask(stage: &Stage, query: &str) -> Publishing {
    stage.operator().get(&format!("/v1/operator/publish{query}")).await.expect(200).read()
}

#[tokio::test]
async fn wait_ends_once_every_sink_holds_it_and_the_bound_has_passed() {
    let (stage, board) = stage().await;
    let created = stage.operator().post("/v1/organizations", organization()).await.expect(201);
    let token = created.header("latchkey-generation").unwrap().to_owned();
    let newest = stage.control.check_ready().unwrap().0;
    let now = stage.clock.now();
    tokio::time::pause();
    // One sink lacks it: nothing is reached, however long ago the other had it.
    board.send_replace(status([(newest - 1, now), (newest, now)]));
    let waited = ask(&stage, &format!("?wait={token}&timeout_s=9")).await.waited.unwrap();
    assert_eq!((waited.generation, waited.reached), (newest, false));
    board.send_replace(status([(newest, now), (newest, now)]));
    let began = Instant::now();
    let waited = ask(&stage, &format!("?wait={token}&timeout_s=9")).await.waited.unwrap();
    assert!(waited.reached && began.elapsed() >= Duration::from_millis(FRESHNESS_BOUND_MS));
    // Both have held it for longer than that: nobody has to wait.
    stage.clock.advance_secs(5);
    let began = Instant::now();
    let waited = ask(&stage, &format!("?wait={newest}")).await.waited.unwrap();
    assert!(waited.reached && began.elapsed() < Duration::from_millis(10));
    assert_eq!(ask(&stage, "").await.waited, None);
}

#[tokio::test]
async fn report_of_an_edge_contradicts_a_receipt_and_never_makes_one() {
    let (stage, board) = stage().await;
    stage.operator().post("/v1/organizations", organization()).await.expect(201);
    let newest = stage.control.check_ready().unwrap().0;
    let now = stage.clock.now();
    let report = |generation, at| EdgeReport { generation: Generation(generation), at, reports: 3 };
    let told = |generation, at| {
        let mut status = status([(newest, now), (newest, now)]);
        status.sinks[1].edges = vec![report(generation, at)];
        status
    };
    stage.clock.advance_secs(20);
    let late = now.plus_ms(FRESHNESS_BOUND_MS + REPORT_DELAY_MS + 1);
    for (generation, at, reached) in
        [(newest - 1, late, false), (newest, late, true), (newest - 1, now.plus_ms(100), true)]
    {
        board.send_replace(told(generation, at));
        let answer = ask(&stage, &format!("?wait={newest}")).await;
        let waited = answer.waited.unwrap();
        assert_eq!(waited.reached, reached, "{generation} at {at:?}");
        let contradicted = waited.contradicted.map(|report| (report.generation, report.reported_at_ms));
        assert_eq!(contradicted, (!reached).then_some((generation, at.0)));
        let edges = answer.sinks[1].edges.unwrap();
        assert_eq!((edges.oldest_generation, edges.reported_at_ms, edges.reports), (generation, at.0, 3));
        assert_eq!(answer.sinks[0].edges, None);
    }
    // Edges that know all of it make no receipt for a sink that says nothing of it.
    let mut lacking = told(newest, late);
    lacking.sinks[1].marks.clear();
    board.send_replace(lacking);
    tokio::time::pause();
    let waited = ask(&stage, &format!("?wait={newest}&timeout_s=1")).await.waited.unwrap();
    assert_eq!((waited.reached, waited.contradicted), (false, None));
    // A minute later the report says nothing any more.
    board.send_replace(told(newest - 1, late));
    stage.clock.advance_secs(60);
    let answer = ask(&stage, &format!("?wait={newest}")).await;
    assert!(answer.waited.unwrap().reached && answer.sinks[1].edges.is_none());
}

#[tokio::test]
async fn wait_for_what_is_not_there_is_refused() {
    let (stage, _board) = stage().await;
    let newest = stage.control.check_ready().unwrap().0;
    for query in [
        format!("wait={}", newest + 1),
        "wait=0000000000100000000000".to_owned(),
        "wait=soon".to_owned(),
        "wait=1&timeout_s=0".to_owned(),
        "wait=1&timeout_s=51".to_owned(),
        "until=1".to_owned(),
    ] {
        stage.operator().get(&format!("/v1/operator/publish?{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn what_an_operator_has_to_look_after_makes_it_unready() {
    let (stage, board) = stage().await;
    stage.anonymous().get("/readyz").await.expect(200);
    let failed = PublishStatus { error: Some("the build broke off".to_owned()), ..PublishStatus::default() };
    let published = Published { held_back: Some("a record".to_owned()), ..Published::default() };
    for status in [failed, PublishStatus { published, ..PublishStatus::default() }] {
        board.send_replace(status);
        let refused = stage.anonymous().get("/readyz").await.expect(503);
        assert_eq!(refused.json()["code"], "publishing_failed");
        assert!(
            !refused.text().contains("broke") && !refused.text().contains("record"),
            "strangers are not told why"
        );
    }
    assert_eq!(ask(&stage, "").await.held_back.as_deref(), Some("a record"));
    board.send_replace(PublishStatus::default());
    stage.anonymous().get("/readyz").await.expect(200);
}

#[tokio::test]
async fn hold_is_kept_and_asked_for_twice_is_the_same() {
    let (stage, _board) = stage().await;
    let operator = stage.operator();
    let held: PublishHold = operator.act("/v1/operator/publish/hold").await.expect(200).read();
    assert!(held.held_since.is_some());
    stage.clock.advance_secs(60);
    let again: PublishHold = operator.act("/v1/operator/publish/hold").await.expect(200).read();
    assert_eq!(again, held);
    assert_eq!(ask(&stage, "").await.held_since, held.held_since);
    stage.anonymous().get("/readyz").await.expect(200);
    for _ in 0..2 {
        let released: PublishHold = operator.act("/v1/operator/publish/release").await.expect(200).read();
        assert_eq!(released.held_since, None);
    }
    assert_eq!(ask(&stage, "").await.held_since, None);
}
