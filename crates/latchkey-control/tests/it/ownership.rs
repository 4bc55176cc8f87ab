//! The ownership of an organization and its transfer (O3, O3a).

use crate::company::{Company, DAY_SECS, items, statuses, user_id};
use latchkey_testkit::{Actor, Reply};
use serde_json::json;

async fn offer(company: &Company, by: &Actor, to: &Actor) -> Reply {
    by.post(&company.at("/ownership"), json!({ "user_id": user_id(to).await })).await
}

async fn take(company: &Company, who: &Actor) -> Reply {
    who.act(&company.at("/ownership/accept")).await
}

#[tokio::test]
async fn only_the_owner_offers_and_only_to_another_admin_o3() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let member = company.joined("m@acme.test", "member").await;
    let stranger = company.stage.sign_in("s@else.test").await;
    let (_, service) = company.service("admin").await;
    for by in [&admin, &member, &service] {
        let refused = offer(&company, by, &admin).await.problem(403, "forbidden");
        assert_eq!(refused["permission"], "org.ownership");
        let refused = by.delete(&company.at("/ownership")).await.problem(403, "forbidden");
        assert_eq!(refused["permission"], "org.ownership");
    }
    offer(&company, &stranger, &admin).await.problem(404, "not_found");
    for to in [&company.owner, &member, &stranger, &service] {
        let problem = offer(&company, &company.owner, to).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "user_id");
    }
    let path = company.at("/ownership");
    company.owner.post(&path, json!({ "user_id": "x" })).await.problem(422, "invalid_field");
    let body = json!({ "user_id": user_id(&admin).await, "force": true });
    assert_eq!(company.owner.post(&path, body).await.problem(422, "invalid_field")["field"], "force");
    company.owner.delete(&path).await.problem(404, "not_found");
    assert!(company.owner.get(&path).await.expect(200).json()["offer"].is_null());
}

#[tokio::test]
async fn only_the_named_admin_accepts_and_others_are_told_the_permission_o3() {
    let company = Company::new().await;
    let heir = company.joined("a@acme.test", "admin").await;
    let admin = company.joined("b@acme.test", "admin").await;
    let member = company.joined("m@acme.test", "member").await;
    let stranger = company.stage.sign_in("s@else.test").await;
    let operator = company.stage.operator();
    for round in ["nothing offered", "offered to another"] {
        for who in [&company.owner, &admin, &member, &operator] {
            let refused = take(&company, who).await.problem(403, "forbidden");
            assert_eq!(refused["permission"], "org.ownership", "{round}");
        }
        take(&company, &stranger).await.problem(404, "not_found");
        if round == "nothing offered" {
            take(&company, &heir).await.problem(403, "forbidden");
            offer(&company, &company.owner, &heir).await.expect(201);
        }
    }
    let twin = company.sign_in_as("a@acme.test", "https://evil.test", "a").await;
    take(&company, &twin).await.problem(404, "not_found");
    take(&company, &heir).await.expect(200);
}

#[tokio::test]
async fn ownership_is_transferred_in_two_audited_steps_o3() {
    let company = Company::new().await;
    let heir = company.joined("a@acme.test", "admin").await;
    let shown = offer(&company, &company.owner, &heir).await.expect(201).json();
    assert_eq!(shown["owner_id"], user_id(&company.owner).await);
    assert_eq!(shown["offer"]["to"], user_id(&heir).await);
    assert_eq!(shown["offer"]["expires_at"], "2026-11-30T10:00:00Z");
    assert_eq!(heir.get(&company.at("/ownership")).await.expect(200).json(), shown);

    let taken = take(&company, &heir).await.expect(200).json();
    assert_eq!(taken, json!({ "owner_id": user_id(&heir).await }));
    take(&company, &heir).await.problem(403, "forbidden");
    assert_eq!(heir.get(&company.at("")).await.json()["owner_id"], taken["owner_id"]);
    let offers = items(heir.get(&company.at("/audit?action=ownership")).await);
    assert_eq!(offers.len(), 2, "{offers:?}");
    // The owner before is an admin like any other, and the new one is not to be removed.
    company.remove(&company.owner, &heir).await.problem(409, "owner");
    offer(&company, &company.owner, &heir).await.problem(403, "forbidden");
    company.set_role(&heir, &company.owner, "member").await.expect(200);
    company.remove(&heir, &company.owner).await.expect(200);
}

#[tokio::test]
async fn one_offer_at_a_time_o3a() {
    let company = Company::new().await;
    let (one, two) =
        (company.joined("a@acme.test", "admin").await, company.joined("b@acme.test", "admin").await);
    for round in 0..20 {
        let (first, second) =
            tokio::join!(offer(&company, &company.owner, &one), offer(&company, &company.owner, &two));
        assert_eq!(statuses(&first, &second), (201, 409), "round {round}");
        let refused = if first.status == 409 { first } else { second };
        refused.problem(409, "offer_open");
        company.owner.delete(&company.at("/ownership")).await.expect(200);
        take(&company, &one).await.problem(403, "forbidden");
        take(&company, &two).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn offer_accepted_and_taken_back_at_once_is_one_of_both_o3a() {
    let company = Company::new().await;
    let heir = company.joined("a@acme.test", "admin").await;
    let (mut owner, mut next) = (&company.owner, &heir);
    for round in 0..20 {
        offer(&company, owner, next).await.expect(201);
        let path = company.at("/ownership");
        let (taken, cancelled) = tokio::join!(take(&company, next), owner.delete(&path));
        match (taken.status, cancelled.status) {
            (200, 403) => std::mem::swap(&mut owner, &mut next),
            (403, 200) => {}
            both => panic!("round {round}: {both:?}"),
        }
        let shown = owner.get(&path).await.expect(200).json();
        assert_eq!(shown, json!({ "owner_id": user_id(owner).await }));
    }
}

#[tokio::test]
async fn offer_lasts_seven_days_o3a() {
    let company = Company::new().await;
    company.joined("a@acme.test", "admin").await;
    let heir = company.stage.sign_in("a@acme.test").await;
    offer(&company, &company.owner, &heir).await.expect(201);
    company.stage.clock.advance_secs(7 * DAY_SECS - 1);
    let (owner, heir) =
        (company.stage.sign_in("owner@acme.test").await, company.stage.sign_in("a@acme.test").await);
    offer(&company, &owner, &heir).await.problem(409, "offer_open");
    company.stage.clock.advance_secs(1);
    assert!(owner.get(&company.at("/ownership")).await.expect(200).json()["offer"].is_null());
    take(&company, &heir).await.problem(403, "forbidden");
    owner.delete(&company.at("/ownership")).await.problem(404, "not_found");
    offer(&company, &owner, &heir).await.expect(201);
    take(&company, &heir).await.expect(200);
}

#[tokio::test]
async fn offer_is_void_once_the_named_is_no_admin_and_stays_void_o3a() {
    let company = Company::new().await;
    let heir = company.joined("a@acme.test", "admin").await;
    offer(&company, &company.owner, &heir).await.expect(201);
    company.set_role(&company.owner, &heir, "member").await.expect(200);
    take(&company, &heir).await.problem(403, "forbidden");
    company.set_role(&company.owner, &heir, "admin").await.expect(200);
    take(&company, &heir).await.problem(403, "forbidden");
    assert!(heir.get(&company.at("/ownership")).await.expect(200).json()["offer"].is_null());

    offer(&company, &company.owner, &heir).await.expect(201);
    company.remove(&company.owner, &heir).await.expect(200);
    take(&company, &heir).await.problem(404, "not_found");
    company.stage.clock.advance_secs(1);
    let back = company.joined("a@acme.test", "admin").await;
    take(&company, &back).await.problem(403, "forbidden");

    offer(&company, &company.owner, &back).await.expect(201);
    back.act(&company.at("/leave")).await.expect(200);
    let back = company.joined("a@acme.test", "admin").await;
    take(&company, &back).await.problem(403, "forbidden");
}

#[tokio::test]
async fn nothing_deletes_an_account_o3() {
    let company = Company::new().await;
    // The owner cannot delete their own account: no route deletes one, whoever asks.
    for path in ["/v1/me".to_owned(), format!("/v1/users/{}", user_id(&company.owner).await)] {
        let refused = company.owner.delete(&path).await.status;
        assert!([404, 405].contains(&refused), "{path}: {refused}");
    }
    company.owner.get("/v1/me").await.expect(200);
}
