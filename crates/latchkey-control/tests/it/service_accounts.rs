//! Service accounts: members that are no persons, with management tokens (S3).

use crate::company::{Company, DAY_SECS, accept, items, text, user_id};
use latchkey_control::app::caretaker::Caretaker;
use latchkey_core::Role;
use serde_json::json;

#[tokio::test]
async fn service_account_is_made_by_an_admin_and_its_token_shown_once_s3() {
    let company = Company::new().await;
    let path = company.at("/service-accounts");
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "ci", "role": "owner" }), "role"),
        (json!({ "name": "ci", "email": "ci@acme.test" }), "email"),
        (json!({ "name": "ci", "expires_at": "2026-11-23T10:00:00Z" }), "expires_at"),
        (json!({ "name": "ci", "expires_at": "2027-11-23T10:00:01Z" }), "expires_at"),
    ] {
        let problem = company.owner.post(&path, body.clone()).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{body}");
    }
    assert!(items(company.owner.get(&path).await).is_empty());
    let body = json!({ "name": "ci", "expires_at": "2027-11-23T10:00:00Z" });
    let made = company.owner.post(&path, body).await.expect(201).json();
    assert_eq!(made["service_account"]["role"], "member");
    let listed = company.owner.get(&path).await.expect(200);
    assert!(!listed.text().contains(&text(&made["token"])), "the token is shown once");
    assert_eq!(items(listed), [made["service_account"].clone()]);
    let audited = company.owner.get(&company.at("/audit?action=service_accounts")).await.expect(200);
    assert!(!audited.text().contains(&text(&made["token"])), "the token is in no entry");
}

#[tokio::test]
async fn service_account_has_the_same_roles_and_the_same_audit_s3() {
    let company = Company::new().await;
    let (_, member) = company.service("member").await;
    let (id, admin) = company.service("admin").await;
    let refused = member.get(&company.at("/invitations")).await.problem(403, "forbidden");
    assert_eq!(refused["permission"], "org.members.invite");
    member.get(&company.at("/members")).await.expect(200);
    member.get(&format!("/v1/projects/{}/keys", company.default_project)).await.expect(200);
    let red = company.project(&admin, "red").await;
    company.stage.key(&admin, &red, Role::Admin).await;
    let me = admin.get("/v1/me").await.expect(200).json();
    assert_eq!((&me["kind"], &me["name"], &me["id"]), (&json!("service"), &json!("ci"), &json!(id)));
    let entries = items(company.owner.get(&company.at("/audit?action=keys.create")).await);
    assert!(entries[0].to_string().contains(&id), "{entries:?}");
    let members = items(company.owner.get(&company.at("/members")).await);
    assert_eq!(members.iter().filter(|one| one["kind"] == "service").count(), 2);
}

#[tokio::test]
async fn service_account_is_no_person_s3() {
    let company = Company::new().await;
    let (id, service) = company.service("admin").await;
    let admin = company.joined("a@acme.test", "admin").await;
    // A person is no service account.
    let person = company.at(&format!("/service-accounts/{}", user_id(&admin).await));
    company.owner.delete(&person).await.problem(404, "not_found");
    company.owner.post(&format!("{person}/rotate"), json!({})).await.problem(404, "not_found");
    admin.get("/v1/me").await.expect(200);
    // It is told of no invitation, and one to anybody is not its own.
    let sent = company.invited(&company.owner, "n@acme.test", "admin").await;
    accept(&service, &sent).await.problem(404, "not_found");
    assert!(items(service.get("/v1/me/invitations").await).is_empty());
    // Nothing of it is in another organization.
    let other = company.stage.organization("Other", "olga@other.test").await.organization.id;
    let olga = company.stage.sign_in("olga@other.test").await;
    service.get(&format!("/v1/organizations/{other}")).await.problem(404, "not_found");
    let theirs = format!("/v1/organizations/{other}/service-accounts/{id}");
    olga.post(&format!("{theirs}/rotate"), json!({})).await.problem(404, "not_found");
    olga.delete(&theirs).await.problem(404, "not_found");
    service.get(&company.at("")).await.expect(200);
}

#[tokio::test]
async fn rotation_ends_the_old_token_at_once_s3() {
    let company = Company::new().await;
    let (id, old) = company.service("admin").await;
    let path = company.at(&format!("/service-accounts/{id}/rotate"));
    let late = json!({ "expires_at": "2030-01-01T00:00:00Z" });
    company.owner.post(&path, late).await.problem(422, "invalid_field");
    old.get(&company.at("")).await.expect(200);
    let mut before = old;
    for _ in 0..3 {
        let rotated = company.owner.post(&path, json!({})).await.expect(200).json();
        let now = company.stage.holder(&text(&rotated["token"]));
        before.get(&company.at("")).await.problem(401, "revoked");
        assert_eq!(user_id(&now).await, id);
        now.get(&company.at("/invitations")).await.expect(200);
        before = now;
    }
    // It may rotate itself.
    let rotated = before.post(&path, json!({})).await.expect(200).json();
    before.get("/v1/me").await.problem(401, "revoked");
    company.stage.holder(&text(&rotated["token"])).get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn two_rotations_at_once_leave_one_token_s3() {
    let company = Company::new().await;
    let (id, _) = company.service("member").await;
    let path = company.at(&format!("/service-accounts/{id}/rotate"));
    for round in 0..20 {
        let (one, two) =
            tokio::join!(company.owner.post(&path, json!({})), company.owner.post(&path, json!({})));
        let mut alive = 0;
        for reply in [one, two] {
            let token = text(&reply.expect(200).json()["token"]);
            alive += usize::from(company.stage.holder(&token).get("/v1/me").await.status == 200);
        }
        assert_eq!(alive, 1, "round {round}");
    }
}

#[tokio::test]
async fn token_ends_by_itself_after_a_year_at_most_s3() {
    let company = Company::new().await;
    let (_, service) = company.service("member").await;
    company.stage.clock.advance_secs(365 * DAY_SECS - 1);
    service.get("/v1/me").await.expect(200);
    company.stage.clock.advance_secs(1);
    service.get("/v1/me").await.problem(401, "expired");
}

#[tokio::test]
async fn deleted_service_account_ends_and_what_it_made_stays_s3() {
    let company = Company::new().await;
    for through in ["service-accounts", "members"] {
        let (id, service) = company.service("admin").await;
        let key = company.stage.key(&service, &company.default_project, Role::Member).await;
        let sent = company.invited(&service, &format!("{through}@else.test"), "member").await;
        company.owner.delete(&company.at(&format!("/{through}/{id}"))).await.expect(200);
        service.get("/v1/me").await.problem(401, "revoked");
        company.stage.holder(key.secret.expose()).get("/v1/whoami").await.expect(200);
        assert_eq!(company.status(&sent).await, "cancelled", "M2");
        company.owner.delete(&company.at(&format!("/service-accounts/{id}"))).await.problem(404, "not_found");
    }
    assert!(items(company.owner.get(&company.at("/service-accounts")).await).is_empty());
    // There is nobody who could come back.
    assert!(items(company.owner.get(&company.at("/departures")).await).is_empty());
}

/// Else a restore of a backup that has the token would bring it back: what is published would not know of its end.
#[tokio::test]
async fn end_of_a_token_is_remembered_for_as_long_as_it_would_have_lasted_s3() {
    let company = Company::new().await;
    let (id, before) = company.service("member").await;
    company.owner.post(&company.at(&format!("/service-accounts/{id}/rotate")), json!({})).await.expect(200);
    let pass = || async { Caretaker::new(company.stage.control.clone()).pass().await.unwrap() };
    company.stage.clock.advance_secs(365 * DAY_SECS - 1);
    pass().await;
    before.get("/v1/me").await.problem(401, "revoked");
    company.stage.clock.advance_secs(1);
    pass().await;
    before.get("/v1/me").await.problem(401, "unauthenticated");
}
