//! Invitations to an organization: who sends and accepts one, and what ends it (M1, M2, M7, M10).

use crate::company::{Company, DAY_SECS, Sent, accept, items, statuses, user_id};
use latchkey_core::Role;
use serde_json::json;

#[tokio::test]
async fn invitation_wants_an_address_and_a_role_m2() {
    let company = Company::new().await;
    let path = company.at("/invitations");
    for (body, field) in [
        (json!({ "email": "nobody" }), "email"),
        (json!({ "email": "n@acme.test", "role": "owner" }), "role"),
        (json!({ "email": "n@acme.test", "days": 30 }), "days"),
    ] {
        let problem = company.owner.post(&path, body.clone()).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{body}");
    }
    company.owner.post(&path, json!({ "email": "owner@acme.test" })).await.problem(409, "already_member");
    let body = json!({ "email": "N@Else.test" });
    let made = company.owner.post(&path, body.clone()).await.expect(201).json();
    assert_eq!(made["invitation"]["role"], "member");
    assert_eq!(made["invitation"]["email"], "n@else.test");
    company.owner.post(&path, body).await.problem(409, "already_invited");
    let listed = company.owner.get(&path).await.expect(200);
    let token = made["token"].as_str().unwrap();
    assert!(!listed.text().contains(token), "the token is shown once");
    assert_eq!(items(listed), [made["invitation"].clone()]);
}

#[tokio::test]
async fn another_address_is_told_what_an_unknown_token_is_told_m2() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@acme.test", "admin").await;
    let other = company.stage.sign_in("other@acme.test").await;
    let wrong = accept(&other, &sent).await;
    wrong.problem(404, "not_found");
    for token in [format!("lki_{}", "0".repeat(43)), other.token().to_owned(), "x".to_owned()] {
        let unknown = other.post("/v1/invitations:accept", json!({ "token": token })).await;
        assert_eq!((unknown.status, &unknown.body), (404, &wrong.body));
    }
    company
        .stage
        .operator()
        .post("/v1/invitations:accept", json!({ "token": sent.token }))
        .await
        .problem(403, "forbidden");
    let (_, service) = company.service("admin").await;
    accept(&service, &sent).await.problem(404, "not_found");
    assert_eq!(company.status(&sent).await, "pending");
}

#[tokio::test]
async fn invitation_gives_its_role_once_m2() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@else.test", "admin").await;
    let newcomer = company.stage.sign_in("n@else.test").await;
    let mine = items(newcomer.get("/v1/me/invitations").await);
    assert_eq!(
        (mine.len(), &mine[0]["organization_name"], &mine[0]["role"]),
        (1, &json!("Acme"), &json!("admin"))
    );
    newcomer.get(&company.at("")).await.problem(404, "not_found");
    let accepted = accept(&newcomer, &sent).await.expect(200).json();
    assert_eq!(accepted, json!({ "organization_id": company.id, "role": "admin" }));
    newcomer.get(&company.at("/invitations")).await.expect(200);
    assert_eq!(company.status(&sent).await, "accepted");
    assert!(items(newcomer.get("/v1/me/invitations").await).is_empty());
    accept(&newcomer, &sent).await.problem(409, "invitation_closed");
    // Not after leaving either.
    newcomer.act(&company.at("/leave")).await.expect(200);
    accept(&newcomer, &sent).await.problem(409, "invitation_closed");
}

#[tokio::test]
async fn invitation_accepted_twice_at_once_is_accepted_once_m2() {
    let company = Company::new().await;
    for round in 0..20 {
        let email = format!("n{round}@acme.test");
        let sent = company.invited(&company.owner, &email, "member").await;
        let (one, two) = (company.stage.sign_in(&email).await, company.stage.sign_in(&email).await);
        let (first, second) = tokio::join!(accept(&one, &sent), accept(&two, &sent));
        assert_eq!(statuses(&first, &second), (200, 409), "round {round}");
        let refused = if first.status == 409 { first } else { second };
        refused.problem(409, "invitation_closed");
    }
    let entries = company.owner.get(&company.at("/audit?action=invitations.accept&limit=200")).await;
    assert_eq!(items(entries).len(), 20);
}

#[tokio::test]
async fn invitation_cancelled_and_accepted_at_once_is_one_of_both_m2() {
    let company = Company::new().await;
    for round in 0..20 {
        let email = format!("n{round}@acme.test");
        let sent = company.invited(&company.owner, &email, "member").await;
        let newcomer = company.stage.sign_in(&email).await;
        let path = company.at(&format!("/invitations/{}", sent.id));
        let (accepted, cancelled) = tokio::join!(accept(&newcomer, &sent), company.owner.delete(&path));
        assert_eq!(statuses(&accepted, &cancelled), (200, 409), "round {round}");
        let is_in = newcomer.get(&company.at("")).await.status == 200;
        assert_eq!(is_in, accepted.status == 200, "round {round}");
    }
}

#[tokio::test]
async fn one_address_invited_twice_at_once_is_invited_once_m2() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let path = company.at("/invitations");
    for round in 0..20 {
        let body = json!({ "email": format!("n{round}@acme.test") });
        let (one, two) =
            tokio::join!(admin.post(&path, body.clone()), company.owner.post(&path, body.clone()));
        assert_eq!(statuses(&one, &two), (201, 409), "round {round}");
    }
}

#[tokio::test]
async fn expired_invitation_is_never_revived_m2() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    company.stage.clock.advance_secs(7 * DAY_SECS);
    let owner = company.stage.sign_in("owner@acme.test").await;
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &sent).await.problem(409, "invitation_closed");
    let path = company.at(&format!("/invitations/{}", sent.id));
    owner.act(&format!("{path}/resend")).await.problem(409, "invitation_closed");
    owner.delete(&path).await.problem(409, "invitation_closed");
    assert_eq!(owner.get(&path).await.expect(200).json()["status"], "expired");
    assert!(items(newcomer.get("/v1/me/invitations").await).is_empty());
    // The address may be invited anew.
    let anew = company.invited(&owner, "n@acme.test", "member").await;
    accept(&newcomer, &sent).await.problem(409, "invitation_closed");
    company.stage.clock.advance_secs(7 * DAY_SECS - 1);
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &anew).await.expect(200);
}

#[tokio::test]
async fn resending_makes_a_new_link_and_kills_the_old_m2() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    company.stage.clock.advance_secs(6 * DAY_SECS);
    let owner = company.stage.sign_in("owner@acme.test").await;
    let path = company.at(&format!("/invitations/{}", sent.id));
    let again = Sent::read(&owner.act(&format!("{path}/resend")).await.expect(200));
    assert_eq!(again.id, sent.id);
    assert_ne!(again.token, sent.token);
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &sent).await.problem(404, "not_found");
    // 7 days from the resending on.
    company.stage.clock.advance_secs(7 * DAY_SECS - 1);
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &again).await.expect(200);
}

#[tokio::test]
async fn cancelled_invitation_stays_cancelled_m2() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    let path = company.at(&format!("/invitations/{}", sent.id));
    assert_eq!(company.owner.delete(&path).await.expect(200).json()["status"], "cancelled");
    company.owner.delete(&path).await.problem(409, "invitation_closed");
    company.owner.act(&format!("{path}/resend")).await.problem(409, "invitation_closed");
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &sent).await.problem(409, "invitation_closed");
    company.invited(&company.owner, "n@acme.test", "member").await;
}

#[tokio::test]
async fn invitation_of_another_organization_is_not_there_r2() {
    let company = Company::new().await;
    company.stage.organization("Other", "olga@other.test").await;
    let olga = company.stage.sign_in("olga@other.test").await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    let hers = olga.get("/v1/organizations").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/organizations/{hers}/invitations/{}", sent.id);
    olga.get(&path).await.problem(404, "not_found");
    olga.delete(&path).await.problem(404, "not_found");
    olga.act(&format!("{path}/resend")).await.problem(404, "not_found");
    assert_eq!(company.status(&sent).await, "pending");
}

#[tokio::test]
async fn invitation_dies_with_its_senders_right_and_stays_dead_m2() {
    let company = Company::new().await;
    let newcomer = company.stage.sign_in("n@acme.test").await;
    for (round, end) in ["demoted", "removed", "left"].into_iter().enumerate() {
        let email = format!("a{round}@acme.test");
        let admin = company.joined(&email, "admin").await;
        let sent = company.invited(&admin, "n@acme.test", "admin").await;
        let other = company.invited(&company.owner, &format!("o{round}@acme.test"), "member").await;
        match end {
            "demoted" => company.set_role(&company.owner, &admin, "member").await.expect(200),
            "removed" => company.remove(&company.owner, &admin).await.expect(200),
            _ => admin.act(&company.at("/leave")).await.expect(200),
        };
        assert_eq!(company.status(&sent).await, "cancelled", "{end}");
        assert_eq!(company.status(&other).await, "pending", "{end}");
        assert!(items(newcomer.get("/v1/me/invitations").await).is_empty(), "{end}");
        accept(&newcomer, &sent).await.problem(409, "invitation_closed");
        // The right regained revives nothing.
        if end == "demoted" {
            company.set_role(&company.owner, &admin, "admin").await.expect(200);
        } else {
            company.stage.clock.advance_secs(1);
            let back = company.invited(&company.owner, &email, "admin").await;
            accept(&admin, &back).await.expect(200);
        }
        accept(&newcomer, &sent).await.problem(409, "invitation_closed");
        let path = company.at(&format!("/invitations/{}", sent.id));
        company.owner.act(&format!("{path}/resend")).await.problem(409, "invitation_closed");
    }
    newcomer.get(&company.at("")).await.problem(404, "not_found");
}

#[tokio::test]
async fn resent_invitation_lives_by_whoever_resent_it_m2() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let sent = company.invited(&admin, "n@acme.test", "member").await;
    let path = company.at(&format!("/invitations/{}/resend", sent.id));
    let again = Sent::read(&company.owner.act(&path).await.expect(200));
    company.remove(&company.owner, &admin).await.expect(200);
    let newcomer = company.stage.sign_in("n@acme.test").await;
    accept(&newcomer, &again).await.expect(200);
}

#[tokio::test]
async fn sender_demoted_while_it_is_accepted_leaves_one_right_outcome_m2() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    for round in 0..20 {
        let email = format!("n{round}@acme.test");
        let sent = company.invited(&admin, &email, "member").await;
        let newcomer = company.stage.sign_in(&email).await;
        let (accepted, demoted) =
            tokio::join!(accept(&newcomer, &sent), company.set_role(&company.owner, &admin, "member"));
        demoted.expect(200);
        let expected = if accepted.status == 200 { "accepted" } else { "cancelled" };
        assert_eq!(company.status(&sent).await, expected, "round {round}");
        company.set_role(&company.owner, &admin, "admin").await.expect(200);
    }
}

#[tokio::test]
async fn removal_cancels_the_invitations_to_the_removed_m7() {
    let company = Company::new().await;
    let red = company.project(&company.owner, "red").await;
    company.owner.put(&format!("/v1/projects/{red}/external"), json!({ "allowed": true })).await.expect(200);
    let member = company.joined("m@acme.test", "member").await;
    let sent = company.invited_to_project(&company.owner, &red, "m@acme.test").await;
    company.remove(&company.owner, &member).await.expect(200);
    accept(&member, &sent).await.problem(409, "invitation_closed");
    assert!(items(member.get("/v1/me/invitations").await).is_empty());
}

#[tokio::test]
async fn project_invitation_outlives_a_demotion_only_by_a_project_admin_m2() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let (red, blue) = (company.project(&admin, "red").await, company.project(&company.owner, "blue").await);
    for project in [&red, &blue] {
        company.owner.act(&format!("/v1/projects/{project}/join")).await;
        let path = format!("/v1/projects/{project}/external");
        company.owner.put(&path, json!({ "allowed": true })).await.expect(200);
    }
    // In the one he is an admin himself, in the other only while he is the organization's.
    admin.act(&format!("/v1/projects/{blue}/join")).await.expect(200);
    let to_red = company.invited_to_project(&admin, &red, "x@else.test").await;
    let to_blue = company.invited_to_project(&admin, &blue, "x@else.test").await;
    company.set_role(&company.owner, &admin, "member").await.expect(200);
    let external = company.stage.sign_in("x@else.test").await;
    accept(&external, &to_blue).await.problem(409, "invitation_closed");
    accept(&external, &to_red).await.expect(200);
    external.get(&format!("/v1/projects/{red}")).await.expect(200);
}

#[tokio::test]
async fn organization_joins_by_one_way_at_a_time_m1() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    let key = company.stage.key(&member, &company.default_project, Role::Member).await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    let newcomer = company.stage.sign_in("n@acme.test").await;
    let settings = company.at("/settings");
    company.owner.patch(&settings, json!({ "join_method": "sso" })).await.expect(200);

    let body = json!({ "email": "other@acme.test" });
    company.owner.post(&company.at("/invitations"), body.clone()).await.problem(409, "sso_organization");
    let resend = company.at(&format!("/invitations/{}/resend", sent.id));
    company.owner.act(&resend).await.problem(409, "sso_organization");
    accept(&newcomer, &sent).await.problem(409, "sso_organization");
    newcomer.get(&company.at("")).await.problem(404, "not_found");
    // Members, projects and keys are kept.
    member.get(&company.at("")).await.expect(200);
    member.get(&format!("/v1/projects/{}", company.default_project)).await.expect(200);
    company.stage.holder(key.secret.expose()).get("/v1/whoami").await.expect(200);

    company.owner.patch(&settings, json!({ "join_method": "invitation" })).await.expect(200);
    company.owner.post(&company.at("/invitations"), body).await.expect(201);
    accept(&newcomer, &sent).await.expect(200);
}

#[tokio::test]
async fn membership_belongs_to_the_identity_that_accepted_m10() {
    let company = Company::new().await;
    let sent = company.invited(&company.owner, "n@acme.test", "admin").await;
    let one = company.sign_in_as("n@acme.test", "https://id.test", "n").await;
    let two = company.stage.sign_in("n@acme.test").await;
    assert_eq!(user_id(&one).await, user_id(&two).await);
    // What another provider says of an address is no proof of it: no list. The link's holder proves it.
    assert!(items(one.get("/v1/me/invitations").await).is_empty());
    assert_eq!(items(two.get("/v1/me/invitations").await).len(), 1);
    accept(&one, &sent).await.expect(200);
    one.get(&company.at("/invitations")).await.expect(200);
    two.get(&company.at("")).await.problem(404, "not_found");
    assert!(two.get("/v1/me").await.json()["organizations"].as_array().unwrap().is_empty());
    accept(&two, &sent).await.problem(409, "invitation_closed");
    two.get(&format!("/v1/projects/{}", company.default_project)).await.problem(404, "not_found");
}

#[tokio::test]
async fn external_who_becomes_a_member_stays_in_the_project_m4() {
    let company = Company::new().await;
    let red = company.project(&company.owner, "red").await;
    let switch = format!("/v1/projects/{red}/external");
    company.owner.put(&switch, json!({ "allowed": true })).await.expect(200);
    let person = company.stage.person("x@else.test", None, Some((&red, Role::Admin))).await;
    let sent = company.invited(&company.owner, "x@else.test", "member").await;
    accept(&person, &sent).await.expect(200);
    company.owner.put(&switch, json!({ "allowed": false })).await.expect(200);
    assert_eq!(person.get(&format!("/v1/projects/{red}")).await.expect(200).json()["role"], "admin");
    let me = person.get("/v1/me").await.expect(200).json();
    let parts = me["collaborations"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "and the Default Project");
    assert!(parts.iter().all(|one| one["external"] == false), "{me}");
}
