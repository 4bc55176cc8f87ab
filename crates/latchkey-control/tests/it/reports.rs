//! Usage as it arrives (B3): by its own credential alone, once, and held where it is not believed.

use crate::usage_stage::{Scene, batch_id, line};
use latchkey_control::app::caretaker::Caretaker;
use latchkey_control::store::View;
use latchkey_core::Role;
use serde_json::json;

#[tokio::test]
async fn only_the_usage_credential_brings_usage_b3() {
    let scene = Scene::new().await;
    let body = json!({ "id": batch_id(1), "lines": [scene.line(3)] });
    for by in [&scene.owner, &scene.stage.operator(), &scene.stage.holder(&scene.secret)] {
        let problem = by.post("/v1/usage/batches", body.clone()).await.problem(403, "forbidden");
        assert_eq!(problem["permission"], "usage.report");
    }
    assert_eq!(scene.requests().await, 0);
}

#[tokio::test]
async fn revoked_usage_credential_is_refused_b3() {
    let scene = Scene::new().await;
    let list = scene.stage.operator().get("/v1/operator/usage-tokens").await.expect(200).json();
    assert_eq!(list["items"][0]["name"], "edges");
    assert!(list["items"][0].get("token").is_none());
    scene.stage.operator().delete("/v1/operator/usage-tokens/2").await.problem(404, "not_found");
    scene.stage.operator().delete("/v1/operator/usage-tokens/1").await.expect(200);
    scene.report_raw(1, vec![scene.line(3)]).await.problem(401, "revoked");
    assert_eq!(scene.requests().await, 0);
    let next = scene.stage.operator().post("/v1/operator/usage-tokens", json!({ "name": "new" })).await;
    assert_eq!(next.expect(201).json()["usage_token"]["id"], 2);
}

#[tokio::test]
async fn batch_counts_once_however_often_it_comes_b3() {
    let scene = Scene::new().await;
    let first = scene.report_raw(1, vec![scene.line(3)]).await.expect(202);
    assert_eq!(first.json(), json!({ "id": batch_id(1), "status": "counted" }));
    for lines in [vec![scene.line(3)], vec![scene.line(50)]] {
        let again = scene.report_raw(1, lines).await.expect(202);
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("latchkey-generation"), None, "nothing was changed");
    }
    assert_eq!(scene.requests().await, 3);
    // Whoever gathers what several edges counted may have a line twice.
    scene.report(2, vec![scene.line(4), scene.line(5)]).await;
    assert_eq!(scene.requests().await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_sent_twice_at_once_counts_once_b3() {
    let scene = Scene::new().await;
    let send = || {
        let (reporter, line) = (scene.reporter.clone(), scene.line(3));
        let body = json!({ "id": batch_id(1), "lines": [line] });
        tokio::spawn(async move { reporter.post("/v1/usage/batches", body).await })
    };
    let sent: Vec<_> = (0..8).map(|_| send()).collect();
    for reply in sent {
        assert_eq!(reply.await.unwrap().expect(202).json()["status"], "counted");
    }
    assert_eq!(scene.requests().await, 3);
}

#[tokio::test]
async fn batch_that_is_malformed_is_refused_with_its_field() {
    let scene = Scene::new().await;
    let with = |name: &str, value: serde_json::Value| {
        let mut line = scene.line(1);
        line[name] = value;
        vec![scene.line_of("files.read", 1), line]
    };
    let day = "2026-11-23T10:00:00.5Z";
    for (lines, field) in [
        (vec![], "lines"),
        (vec![scene.line(1); 10_001], "lines"),
        (with("requests", json!(0)), "lines[1].requests"),
        (with("requests", json!(-1)), "lines[1].requests"),
        (with("subject", json!({ "key": "short" })), "lines[1].subject"),
        (with("subject", json!({ "identity": "user_aaaaaaaaaaaaaaaa" })), "lines[1].subject"),
        (with("permission", json!("a".repeat(65))), "lines[1].permission"),
        (with("day", json!("2026-11-31")), "lines[1].day"),
        (with("last_at", json!(day)), "lines[1].last_at"),
        (with("cost", json!(1)), "lines[1].cost"),
    ] {
        let problem = scene.report_raw(1, lines).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field);
    }
    for id in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
        let body = json!({ "id": id, "lines": [scene.line(1)] });
        let problem = scene.reporter.post("/v1/usage/batches", body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "id");
    }
    assert_eq!(scene.requests().await, 0);
}

/// Nothing of a batch counts while one line of it is not believed.
#[tokio::test]
async fn implausible_batch_is_held_as_a_whole_b3() {
    let scene = Scene::new().await;
    let other = scene.stage.organization("Other", "o@other.test").await;
    let elsewhere = scene.number(&other.default_project.id);
    let at = |day: &str| (json!(day), json!(format!("{day}T10:00:00Z")));
    let doubtful = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut line = scene.line(1);
        change(&mut line);
        line
    };
    let dated = |day: &str| doubtful(&|line| (line["day"], line["last_at"]) = at(day));
    let cases = [
        (doubtful(&|line| line["subject"] = json!({ "key": "AAAAAAAAAAA" })), "no such key or identity"),
        (
            doubtful(&|line| line["subject"] = json!({ "identity": "idn_aaaaaaaaaaaaaaaa" })),
            "no such key or identity",
        ),
        (doubtful(&|line| line["project"] = json!(4_000_000)), "no such project"),
        (doubtful(&|line| line["project"] = json!(elsewhere)), "the key belongs to another project"),
        (doubtful(&|line| line["permission"] = json!("inference.steal")), "no such permission in a project"),
        (
            doubtful(&|line| line["permission"] = json!("org.billing.write")),
            "no such permission in a project",
        ),
        (doubtful(&|line| line["permission"] = json!("keys.create")), "a key never holds this permission"),
        (dated("2026-11-24"), "it lies ahead"),
        (dated("2026-11-15"), "the day is more than 7 days ago"),
        (doubtful(&|line| line["day"] = json!("2026-11-22")), "`last_at` is not on `day`"),
        (doubtful(&|line| line["requests"] = json!(100_000_001)), "more requests than is plausible"),
    ];
    for (index, (line, reason)) in cases.iter().enumerate() {
        let lines = vec![scene.line_of("files.read", 1), line.clone()];
        let reply = scene.report_raw(index, lines).await.expect(202);
        assert_eq!(reply.json()["status"], "held", "{reason}");
        let path = format!("/v1/operator/usage/batches/{}", batch_id(index));
        let held = scene.stage.operator().get(&path).await.expect(200).json();
        assert_eq!(held["batch"]["reason"], format!("lines[1]: {reason}"));
        assert_eq!((&held["batch"]["reporter"], &held["lines"][1]), (&json!("edges"), line));
    }
    assert_eq!(scene.requests().await, 0);
    let list = scene.stage.operator().get("/v1/operator/usage/batches").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), cases.len());
    for day in ["2026-11-16", "2026-11-23"] {
        let reply = scene.report_raw(day.len() + 100, vec![dated(day)]).await.expect(202);
        assert_eq!(reply.json()["status"], "counted");
    }
    scene.report_raw(300, vec![scene.line(100_000_000)]).await.expect(202);
}

#[tokio::test]
async fn held_batch_counts_once_it_is_accepted_and_only_then_b3() {
    let scene = Scene::new().await;
    scene.report_raw(1, vec![scene.line(200_000_000)]).await.expect(202);
    let path = format!("/v1/operator/usage/batches/{}", batch_id(1));
    let operator = scene.stage.operator();
    assert_eq!(scene.requests().await, 0);
    let accepted = operator.act(&format!("{path}/accept")).await.expect(200).json();
    assert_eq!((&accepted["status"], &accepted["lines_held"]), (&json!("counted"), &json!(0)));
    assert_eq!(scene.requests().await, 200_000_000);
    operator.act(&format!("{path}/accept")).await.problem(409, "usage_settled");
    operator.act(&format!("{path}/discard")).await.problem(409, "usage_settled");
    assert_eq!(scene.report_raw(1, vec![scene.line(1)]).await.json()["status"], "counted");
    assert_eq!(scene.requests().await, 200_000_000);
    let list = operator.get("/v1/operator/usage/batches").await.expect(200).json();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn discarded_batch_never_counts_b3() {
    let scene = Scene::new().await;
    scene.report_raw(1, vec![scene.line(200_000_000)]).await.expect(202);
    let path = format!("/v1/operator/usage/batches/{}", batch_id(1));
    let operator = scene.stage.operator();
    assert_eq!(operator.act(&format!("{path}/discard")).await.expect(200).json()["status"], "discarded");
    operator.act(&format!("{path}/accept")).await.problem(409, "usage_settled");
    let again = scene.report_raw(1, vec![scene.line(3)]).await.expect(202);
    assert_eq!(again.json()["status"], "discarded");
    assert_eq!(scene.requests().await, 0);
}

/// Usage belongs to what exists, and to no day that has not come: no operator can say otherwise.
#[tokio::test]
async fn what_nothing_stands_behind_cannot_be_accepted() {
    let scene = Scene::new().await;
    let mut unknown = scene.line(1);
    unknown["subject"] = json!({ "key": "AAAAAAAAAAA" });
    let mut ahead = scene.line(1);
    (ahead["day"], ahead["last_at"]) = (json!("2026-11-24"), json!("2026-11-24T00:00:00Z"));
    for (id, line) in [(1, unknown), (2, ahead)] {
        scene.report_raw(id, vec![scene.line_of("files.read", 1), line]).await.expect(202);
        let path = format!("/v1/operator/usage/batches/{}/accept", batch_id(id));
        scene.stage.operator().act(&path).await.problem(409, "usage_uncountable");
    }
    assert_eq!(scene.requests().await, 0);
    scene.stage.clock.advance_secs(14 * 3600);
    let path = format!("/v1/operator/usage/batches/{}/accept", batch_id(2));
    scene.stage.operator().act(&path).await.expect(200);
    assert_eq!(scene.requests().await, 2);
}

/// What is forgotten could not count again: its days are too old by then.
#[tokio::test]
async fn forgotten_batch_is_held_when_it_comes_again_b3() {
    let scene = Scene::new().await;
    let pass = async || Caretaker::new(scene.stage.control.clone()).pass().await.unwrap();
    let path = format!("/v1/operator/usage/batches/{}", batch_id(1));
    scene.report(1, vec![scene.line(3)]).await;
    scene.stage.clock.advance_secs(10 * 86_400);
    pass().await;
    scene.stage.operator().get(&path).await.expect(200);
    scene.stage.clock.advance_secs(1);
    pass().await;
    scene.stage.operator().get(&path).await.problem(404, "not_found");
    let again = scene.report_raw(1, vec![scene.line(3)]).await.expect(202);
    assert_eq!(again.json()["status"], "held");
    assert_eq!(scene.requests().await, 3);
}

#[tokio::test]
async fn session_use_is_its_persons_whatever_they_are_now() {
    let scene = Scene::new().await;
    let roles = (None, Some((&*scene.project, Role::Member)));
    let external = scene.stage.person("x@else.test", roles.0, roles.1).await;
    let me = external.get("/v1/me").await.expect(200).json();
    let user = me["id"].as_str().unwrap();
    let identity = scene.identity_of(user);
    let mut used = line(json!({ "identity": identity }), scene.number(&scene.project), "files.read", 4);
    scene.report(1, vec![used.clone()]).await;
    // What a person may do in a project and a key never: it counts.
    used["permission"] = json!("keys.create");
    scene.report(2, vec![used]).await;
    let usage = scene.usage("?group_by=person,permission").await;
    let rows = usage["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["user_id"] == user && row["requests"] == 4), "{usage}");
}

#[tokio::test]
async fn key_was_last_used_at_the_latest_report_k3() {
    let scene = Scene::new().await;
    let used_at = |key: &str| {
        let id = latchkey_core::KeyId::parse(key.as_bytes()).unwrap();
        scene.stage.control.store().read().unwrap().key_use(id).unwrap()
    };
    assert_eq!(used_at(&scene.key.id), None);
    scene.report(1, vec![scene.line(3)]).await;
    let first = used_at(&scene.key.id).unwrap();
    let mut earlier = scene.line(3);
    (earlier["day"], earlier["last_at"]) = (json!("2026-11-20"), json!("2026-11-20T09:00:00Z"));
    scene.report(2, vec![earlier]).await;
    assert_eq!(used_at(&scene.key.id), Some(first));
    // A clock that is a little ahead does not make a use of the future.
    let mut ahead = scene.line(3);
    ahead["last_at"] = json!("2026-11-23T10:00:30Z");
    scene.report(3, vec![ahead]).await;
    assert_eq!(used_at(&scene.key.id).unwrap().0, 1_795_428_000_000);
}
