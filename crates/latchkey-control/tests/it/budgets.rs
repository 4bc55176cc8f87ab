//! Budgets (B2): who sets them, what they count, when they are reached and when they resume.

use crate::usage_stage::Scene;
use latchkey_control::app::caretaker::Caretaker;
use latchkey_control::iam::{BudgetScope, NoticeKind};
use latchkey_control::store::{Effect, Touched, View};
use latchkey_core::{KeyId, OrganizationNumber, ProjectNumber, Role};
use latchkey_testkit::{Actor, Reply};
use serde_json::{Value, json};

async fn put(by: &Actor, path: &str, body: Value) -> Reply {
    by.call("PUT", path, Some(body)).await
}

fn paths(scene: &Scene) -> [String; 3] {
    [
        format!("/v1/organizations/{}/budget", scene.organization),
        format!("/v1/projects/{}/budget", scene.project),
        format!("/v1/keys/{}/budget", scene.key.id),
    ]
}

/// What edges were told of budgets so far.
fn told(scene: &Scene) -> Vec<(BudgetScope, Effect)> {
    let view = scene.stage.control.store().read().unwrap();
    let touches =
        view.outbox_after(latchkey_core::Generation(0)).unwrap().flat_map(|one| one.unwrap().touches);
    let budget = |touch: latchkey_control::store::Touch| match touch.noun {
        Touched::Budget(scope) => Some((scope, touch.effect)),
        _ => None,
    };
    touches.filter_map(budget).collect()
}

fn notices(scene: &Scene) -> usize {
    let view = scene.stage.control.store().read().unwrap();
    let number = OrganizationNumber(1);
    let places = [None, Some(ProjectNumber(scene.number(&scene.project)))];
    let all = places.into_iter().flat_map(|project| view.notices_of(number, project, None, 100).unwrap());
    all.filter(|notice| notice.what == NoticeKind::BudgetExhausted).count()
}

#[tokio::test]
async fn budget_is_reached_at_its_limit_and_resumes_when_raised_b2() {
    let scene = Scene::new().await;
    let family = KeyId::parse(scene.key.id.as_bytes()).unwrap();
    let number = ProjectNumber(scene.number(&scene.project));
    let scopes = [
        BudgetScope::Organization(OrganizationNumber(1)),
        BudgetScope::Project(number),
        BudgetScope::Key(family),
    ];
    for (index, (path, scope)) in paths(&scene).iter().zip(scopes).enumerate() {
        scene.owner.get(path).await.problem(404, "not_found");
        let (spent, before) = (index as u64 * 10, told(&scene).len());
        let limit = json!({ "requests_max": spent + 10, "period": "total" });
        let made = put(&scene.owner, path, limit).await.expect(200).json();
        assert_eq!((&made["exhausted"], &made["spent"]["requests"]), (&json!(false), &json!(spent)));
        scene.report(index * 2, vec![scene.line(9)]).await;
        assert_eq!(told(&scene).len(), before);
        scene.report(index * 2 + 1, vec![scene.line(1)]).await;
        let reached = scene.owner.get(path).await.expect(200).json();
        assert_eq!(
            (&reached["exhausted"], &reached["spent"]["requests"]),
            (&json!(true), &json!(spent + 10))
        );
        assert_eq!(told(&scene)[before..], [(scope, Effect::Refuses)]);
        assert_eq!(notices(&scene), index + 1);
        let limit = json!({ "requests_max": 1000, "period": "total" });
        assert_eq!(put(&scene.owner, path, limit).await.expect(200).json()["exhausted"], false);
        assert_eq!(told(&scene)[before + 1..], [(scope, Effect::Grants)]);
    }
}

#[tokio::test]
async fn exhausted_budget_is_told_once_b2() {
    let scene = Scene::new().await;
    let [_, project, _] = paths(&scene);
    put(&scene.owner, &project, json!({ "requests_max": 5, "period": "day" })).await.expect(200);
    scene.report(1, vec![scene.line(5)]).await;
    scene.report(2, vec![scene.line(5)]).await;
    assert_eq!((notices(&scene), told(&scene).len()), (1, 1));
    // Setting it again while it is reached tells nothing new.
    put(&scene.owner, &project, json!({ "requests_max": 6, "period": "day" })).await.expect(200);
    assert_eq!((notices(&scene), told(&scene).len()), (1, 1));
}

#[tokio::test]
async fn budget_counts_cost_too_and_what_was_spent_before_it_was_set() {
    let scene = Scene::new().await;
    scene.set_prices(json!({ "inference.invoke": 100 })).await;
    scene.report(1, vec![scene.line(3)]).await;
    let [_, project, _] = paths(&scene);
    let body = json!({ "cost_micros_max": 400, "period": "month" });
    let made = put(&scene.owner, &project, body).await.expect(200).json();
    assert_eq!(made["spent"], json!({ "requests": 3, "cost_micros": 300 }));
    assert_eq!((&made["period_began"], &made["exhausted"]), (&json!("2026-11-01"), &json!(false)));
    scene.report(2, vec![scene.line(1)]).await;
    assert_eq!(scene.owner.get(&project).await.expect(200).json()["exhausted"], true);
    let body = json!({ "cost_micros_max": 400, "period": "month" });
    assert_eq!(put(&scene.owner, &project, body).await.expect(200).json()["exhausted"], true);
    scene.owner.delete(&project).await.expect(200);
    scene.owner.get(&project).await.problem(404, "not_found");
    let last = told(&scene).pop().unwrap();
    assert_eq!(last.1, Effect::Grants);
}

#[tokio::test]
async fn next_period_resumes_b2() {
    let scene = Scene::new().await;
    let [organization, project, key] = paths(&scene);
    for (path, period) in [(&organization, "day"), (&project, "month"), (&key, "total")] {
        put(&scene.owner, path, json!({ "requests_max": 5, "period": period })).await.expect(200);
    }
    scene.report(1, vec![scene.line(5)]).await;
    let exhausted = async || {
        let (mut all, owner) = (Vec::new(), scene.owner_again().await);
        for path in [&organization, &project, &key] {
            all.push(owner.get(path).await.expect(200).json()["exhausted"].as_bool().unwrap());
        }
        all
    };
    let pass = async || Caretaker::new(scene.stage.control.clone()).pass().await.unwrap();
    let generation = || scene.stage.control.store().read().unwrap().generation().unwrap();
    assert_eq!(exhausted().await, [true, true, true]);
    pass().await;
    // To the last second of the day, then into the next.
    scene.stage.clock.advance_secs(14 * 3600 - 1);
    pass().await;
    assert_eq!(exhausted().await, [true, true, true]);
    scene.stage.clock.advance_secs(1);
    pass().await;
    assert_eq!(exhausted().await, [false, true, true]);
    // To the first of December.
    scene.stage.clock.advance_secs(7 * 86_400);
    pass().await;
    assert_eq!(exhausted().await, [false, false, true]);
    let settled = generation();
    pass().await;
    assert_eq!(generation(), settled);
}

/// Yesterday's use that is reported today is yesterday's, and a period begins with what is already known of it.
#[tokio::test]
async fn late_report_counts_in_its_own_period_b2() {
    let scene = Scene::new().await;
    let [_, project, _] = paths(&scene);
    put(&scene.owner, &project, json!({ "requests_max": 5, "period": "day" })).await.expect(200);
    scene.report(1, vec![scene.line_on("2026-11-22", 50)]).await;
    let shown = scene.owner.get(&project).await.expect(200).json();
    assert_eq!((&shown["spent"]["requests"], &shown["exhausted"]), (&json!(0), &json!(false)));
    // A report of the new day rolls the budget over by itself.
    scene.report(2, vec![scene.line(4)]).await;
    scene.stage.clock.advance_secs(15 * 3600);
    scene.report(3, vec![scene.line_on("2026-11-24", 4), scene.line(1)]).await;
    let shown = scene.owner_again().await.get(&project).await.expect(200).json();
    assert_eq!((&shown["spent"]["requests"], &shown["period_began"]), (&json!(4), &json!("2026-11-24")));
}

#[tokio::test]
async fn who_may_set_which_budget_b2() {
    let scene = Scene::new().await;
    let [organization, project, key] = paths(&scene);
    let body = || json!({ "requests_max": 5, "period": "day" });
    let roles = (Some((&*scene.organization, Role::Member)), Some((&*scene.project, Role::Member)));
    let member = scene.stage.person("m@acme.test", roles.0, roles.1).await;
    let problem = put(&member, &organization, body()).await.problem(403, "forbidden");
    assert_eq!(problem["permission"], "org.billing.write");
    let problem = put(&member, &project, body()).await.problem(403, "forbidden");
    assert_eq!(problem["permission"], "project.settings.write");
    put(&member, &key, body()).await.expect(200);
    put(&scene.owner, &organization, body()).await.expect(200);
    put(&scene.owner, &project, body()).await.expect(200);
    for path in [&organization, &project, &key] {
        assert_eq!(member.get(path).await.expect(200).json()["requests_max"], 5);
    }
    member.delete(&organization).await.problem(403, "forbidden");
    member.delete(&project).await.problem(403, "forbidden");
    put(&scene.stage.operator(), &organization, body()).await.problem(403, "forbidden");
}

/// Lowering an admin key's budget narrows it, as anybody of the project may; the rest un-narrows it (K6a).
#[tokio::test]
async fn member_cannot_loosen_an_admin_keys_budget_k6a() {
    let scene = Scene::new().await;
    let roles = (Some((&*scene.organization, Role::Member)), Some((&*scene.project, Role::Member)));
    let member = scene.stage.person("m@acme.test", roles.0, roles.1).await;
    let key = scene.stage.key(&scene.owner, &scene.project, Role::Admin).await.key;
    let path = format!("/v1/keys/{}/budget", key.id);
    let limit = |most: u64, period: &str| json!({ "requests_max": most, "period": period });
    put(&member, &path, limit(10, "day")).await.expect(200);
    put(&member, &path, limit(9, "day")).await.expect(200);
    let cost = json!({ "requests_max": 9, "cost_micros_max": 7, "period": "day" });
    put(&member, &path, cost.clone()).await.expect(200);
    let without = json!({ "cost_micros_max": 7, "period": "day" });
    for looser in [limit(10, "day"), limit(9, "day"), limit(1, "month"), limit(1, "total"), without] {
        let problem = put(&member, &path, looser).await.problem(403, "forbidden");
        assert_eq!(problem["permission"], "keys.create");
    }
    member.delete(&path).await.problem(403, "forbidden");
    let shown = scene.owner.get(&path).await.expect(200).json();
    assert_eq!((&shown["requests_max"], &shown["cost_micros_max"]), (&json!(9), &json!(7)));
    put(&scene.owner, &path, limit(10, "day")).await.expect(200);
    scene.owner.delete(&path).await.expect(200);
}

#[tokio::test]
async fn limit_that_is_none_is_refused_with_its_field() {
    let scene = Scene::new().await;
    for path in paths(&scene) {
        for (body, field) in [
            (json!({ "period": "day" }), ""),
            (json!({ "requests_max": 1 }), ""),
            (json!({ "requests_max": 0, "period": "day" }), "requests_max"),
            (json!({ "requests_max": 1_000_000_000_000_001_u64, "period": "day" }), "requests_max"),
            (json!({ "cost_micros_max": 0, "period": "day" }), "cost_micros_max"),
            (json!({ "cost_micros_max": -1, "period": "day" }), "cost_micros_max"),
            (json!({ "requests_max": 1, "period": "week" }), "period"),
            (json!({ "requests_max": 1, "period": "day", "spent": 0 }), "spent"),
        ] {
            let problem = put(&scene.owner, &path, body).await.problem(422, "invalid_field");
            assert_eq!(problem["field"], field, "{problem}");
        }
        scene.owner.get(&path).await.problem(404, "not_found");
        scene.owner.delete(&path).await.problem(404, "not_found");
    }
}

/// Suspension, archive and budget are separate bits: lifting one lifts no other (B2).
#[tokio::test]
async fn lifting_one_bit_lifts_no_other_b2() {
    let scene = Scene::new().await;
    let [organization, ..] = paths(&scene);
    put(&scene.owner, &organization, json!({ "requests_max": 5, "period": "total" })).await.expect(200);
    scene.report(1, vec![scene.line(5)]).await;
    let act = async |verb: &str| {
        let path = format!("/v1/organizations/{}/{verb}", scene.organization);
        scene.stage.operator().act(&path).await.expect(200);
    };
    act("suspend").await;
    scene.owner.get(&organization).await.problem(403, "suspended");
    // Late reports of what was used before still count.
    scene.report(2, vec![scene.line_on("2026-11-22", 5)]).await;
    act("resume").await;
    assert_eq!(scene.owner.get(&organization).await.expect(200).json()["exhausted"], true);
    let view = scene.stage.control.store().read().unwrap();
    assert!(!view.organization(OrganizationNumber(1)).unwrap().unwrap().is_suspended());
    drop(view);
    // An exhausted budget stops nothing here: reading, key management, the budget itself.
    let key = scene.stage.key(&scene.owner, &scene.project, Role::Member).await.key;
    scene.owner.act(&format!("/v1/keys/{}/revoke", key.id)).await.expect(200);
    act("suspend").await;
    scene.owner.get(&organization).await.problem(403, "suspended");
}
