//! What an organization's admins set (M1, M6, K10).

use crate::company::{Company, items};
use serde_json::json;

#[tokio::test]
async fn settings_refuse_what_is_not_understood_and_change_nothing_r4() {
    let company = Company::new().await;
    let path = company.at("/settings");
    let before = company.owner.get(&path).await.expect(200).json();
    for (body, field) in [
        (json!({ "join_method": "email" }), "join_method"),
        (json!({ "session_minutes": 60, "keys": { "idle_days_max": 0 } }), "keys.idle_days_max"),
        (
            json!({ "session_minutes": 60, "keys": { "lifetime_minutes_max": 0 } }),
            "keys.lifetime_minutes_max",
        ),
        (json!({ "keys": { "warning_days": 366 } }), "keys.warning_days"),
        (json!({ "keys": { "forever": true } }), "keys.forever"),
        (json!({ "session_hours": 1 }), "session_hours"),
    ] {
        let problem = company.owner.patch(&path, body.clone()).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{body}");
    }
    company.owner.patch(&path, json!({})).await.problem(422, "invalid_field");
    assert_eq!(company.owner.get(&path).await.json(), before);
    assert!(
        items(company.owner.get(&company.at("/audit?action=organizations.change_settings")).await).is_empty()
    );
}

#[tokio::test]
async fn session_lifetime_has_bounds_and_holds_for_new_sessions_m6() {
    let company = Company::new().await;
    let path = company.at("/settings");
    assert_eq!(company.owner.get(&path).await.expect(200).json()["session_minutes"], 720);
    for minutes in [0, 4, 43_201] {
        let refused = company.owner.patch(&path, json!({ "session_minutes": minutes })).await;
        assert_eq!(refused.problem(422, "invalid_field")["field"], "session_minutes");
    }
    company.owner.patch(&path, json!({ "session_minutes": 5 })).await.expect(200);
    let short = company.stage.sign_in("owner@acme.test").await;
    // Whoever is no member of it, and another identity of the owner's account, keep the usual time.
    let stranger = company.stage.sign_in("s@else.test").await;
    let twin = company.sign_in_as("owner@acme.test", "https://id.test", "1").await;
    company.stage.clock.advance_secs(5 * 60 - 1);
    short.get("/v1/me").await.expect(200);
    company.stage.clock.advance_secs(1);
    short.get("/v1/me").await.problem(401, "expired");
    for lasting in [&company.owner, &stranger, &twin] {
        lasting.get("/v1/me").await.expect(200);
    }
}

#[tokio::test]
async fn shortest_lifetime_of_ones_organizations_counts_m6() {
    let company = Company::new().await;
    let other = company.stage.organization("Other", "owner@acme.test").await.organization.id;
    let strict = format!("/v1/organizations/{other}/settings");
    company.owner.patch(&strict, json!({ "session_minutes": 10 })).await.expect(200);
    company.owner.patch(&company.at("/settings"), json!({ "session_minutes": 1000 })).await.expect(200);
    let session = company.stage.sign_in("owner@acme.test").await;
    company.stage.clock.advance_secs(10 * 60);
    session.get("/v1/me").await.problem(401, "expired");
}

#[tokio::test]
async fn settings_change_what_is_named_and_null_lifts_k10() {
    let company = Company::new().await;
    let path = company.at("/settings");
    let keys = json!({ "lifetime_minutes_max": 60, "expiry_required": true, "idle_days_max": 30 });
    let set = company.owner.patch(&path, json!({ "keys": keys })).await.expect(200).json();
    assert_eq!(set["keys"], keys);
    assert_eq!((&set["join_method"], &set["session_minutes"]), (&json!("invitation"), &json!(720)));
    let lifted = json!({ "keys": { "lifetime_minutes_max": null, "warning_days": 7 } });
    let now = company.owner.patch(&path, lifted).await.expect(200).json();
    assert_eq!(now["keys"], json!({ "expiry_required": true, "idle_days_max": 30, "warning_days": 7 }));
    assert_eq!(company.owner.get(&path).await.json(), now);
    let audited = items(company.owner.get(&company.at("/audit?action=organizations.change_settings")).await);
    assert_eq!(audited.len(), 2);
}

#[tokio::test]
async fn organization_gets_another_name_p1() {
    let company = Company::new().await;
    for name in ["", " ", "a\u{0}b"] {
        let refused = company.owner.patch(&company.at(""), json!({ "name": name })).await;
        assert_eq!(refused.problem(422, "invalid_field")["field"], "name");
    }
    let body = json!({ "name": "B", "owner_id": "user_aaaaaaaaaaaaaaaa" });
    company.owner.patch(&company.at(""), body).await.problem(422, "invalid_field");
    assert_eq!(company.owner.get(&company.at("")).await.json()["name"], "Acme");
    company.owner.patch(&company.at(""), json!({ "name": "Beta" })).await.expect(200);
    assert_eq!(company.owner.get("/v1/me").await.json()["organizations"][0]["name"], "Beta");
}
