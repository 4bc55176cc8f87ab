//! Invitations to a project: for whom, how long, how often, and what an external admin hears (X1, X4–X6, M2, M10).

use crate::collaborators::{Scene, with_id};
use latchkey_core::Role;
use latchkey_testkit::{Actor, Reply};
use serde_json::{Value, json};

pub(crate) const ACCEPT: &str = "/v1/invitations:accept";

/// Days, in seconds.
const fn days(count: u64) -> u64 {
    count * 24 * 60 * 60
}

impl Scene {
    /// The reply to inviting somebody: the invitation and its token.
    pub(crate) async fn invite(&self, by: &Actor, email: &str) -> Value {
        self.add(by, json!({ "email": email, "external": true })).await.expect(201).json()
    }

    fn invitation(&self, invited: &Value) -> String {
        self.at(&format!("/invitations/{}", invited["invitation"]["id"].as_str().unwrap()))
    }

    pub(crate) async fn status(&self, invited: &Value) -> Value {
        let owner = self.stage.sign_in("owner@acme.test").await;
        owner.get(&self.invitation(invited)).await.expect(200).json()["status"].clone()
    }

    /// A member of the organization who was removed from it.
    async fn removed(&self, email: &str) -> (Actor, String) {
        let (actor, id) = with_id(self.member(email, Role::Member).await).await;
        let member = format!("/v1/organizations/{}/members/{id}", self.organization);
        self.owner.delete(&member).await.expect(200);
        (actor, id)
    }
}

async fn accept(by: &Actor, invited: &Value) -> Reply {
    by.post(ACCEPT, json!({ "token": invited["token"] })).await
}

#[tokio::test]
async fn external_admin_hears_the_same_of_every_address_x5() {
    let scene = Scene::new().await;
    let (eve, _) = scene.external("eve@evil.test", Role::Admin).await;
    scene.member("member-1@acme.test", Role::Member).await;
    scene.member("admins-1@acme.test", Role::Admin).await;
    scene.stage.person("account1@else.test", None, None).await;
    scene.collaborator("part-of1@acme.test", Role::Member).await;
    scene.external("external@else.test", Role::Member).await;
    scene.removed("removed1@acme.test").await;
    let mut answers = Vec::new();
    for email in [
        "nobody-1@else.test",
        "member-1@acme.test",
        "admins-1@acme.test",
        "account1@else.test",
        "part-of1@acme.test",
        "external@else.test",
        "removed1@acme.test",
    ] {
        for external in [json!({}), json!({ "external": true }), json!({ "external": false })] {
            let mut body = json!({ "email": email, "role": "admin" });
            body.as_object_mut().unwrap().extend(external.as_object().unwrap().clone());
            let invited = scene.add(&eve, body.clone()).await.expect(201);
            let json = invited.json();
            let path = scene.invitation(&json);
            let again = scene.add(&eve, body).await;
            again.problem(409, "already_invited");
            let read = eve.get(&path).await.expect(200);
            let resent = eve.act(&format!("{path}/resend")).await.expect(200);
            let resent_json = resent.json();
            let cancelled = eve.delete(&path).await.expect(200);
            let id = json["invitation"]["id"].as_str().unwrap();
            let (first, second) = (json["token"].as_str().unwrap(), resent_json["token"].as_str().unwrap());
            let scrubbed = |text: &str| {
                let text = text.replace(email, "EMAIL").replace(id, "ID");
                text.replace(first, "FIRST").replace(second, "SECOND")
            };
            answers.push([invited, again, read, resent, cancelled].map(|reply| {
                let told = |name: &str| !["latchkey-generation", "etag", "location"].contains(&name);
                let header = |name: &str, value: &[u8]| {
                    format!("{name}: {}", scrubbed(&String::from_utf8_lossy(value)))
                };
                let headers = reply.headers.iter().filter(|(name, _)| told(name.as_str()));
                let mut headers: Vec<_> =
                    headers.map(|(name, value)| header(name.as_str(), value.as_bytes())).collect();
                headers.sort();
                (reply.status, headers, scrubbed(&reply.text()))
            }));
        }
    }
    for answer in &answers {
        assert_eq!(*answer, answers[0]);
    }
    // An id is no way around it: it is told to be none before anybody is looked up.
    let (_, id) = with_id(scene.member("other@acme.test", Role::Member).await).await;
    let answer =
        async |id: &str| scene.add(&eve, json!({ "user_id": id })).await.problem(422, "invalid_field");
    assert_eq!(answer(&id).await, answer("user_0000000000000000").await);
}

#[tokio::test]
async fn invited_person_takes_part_as_an_external_x1() {
    let scene = Scene::new().await;
    for role in ["member", "admin"] {
        let email = format!("{role}@else.test");
        let body = json!({ "email": email, "external": true, "role": role });
        let invited = scene.add(&scene.owner, body).await.expect(201).json();
        let (guest, id) = with_id(scene.stage.sign_in(&email).await).await;
        guest.get(&scene.at("")).await.problem(404, "not_found");
        let accepted = accept(&guest, &invited).await.expect(200).json();
        assert_eq!((&accepted["project_id"], &accepted["role"]), (&json!(scene.project), &json!(role)));
        assert_eq!(guest.get(&scene.at("")).await.expect(200).json()["role"], role);
        let shown = scene.owner.get(&scene.one(&id)).await.expect(200).json();
        assert_eq!((&shown["external"], &shown["effective_role"]), (&json!(true), &json!(role)));
    }
}

#[tokio::test]
async fn invitation_is_for_one_address_and_works_once_x5() {
    let scene = Scene::new().await;
    let invited = scene.invite(&scene.owner, "guest@else.test").await;
    let other = scene.stage.sign_in("other@else.test").await;
    accept(&scene.stage.anonymous(), &invited).await.problem(401, "unauthenticated");
    accept(&other, &invited).await.problem(404, "not_found");
    accept(&scene.owner, &invited).await.problem(404, "not_found");
    accept(&other, &json!({ "token": "lki_nothing" })).await.problem(404, "not_found");
    let (guest, id) = with_id(scene.stage.sign_in("guest@else.test").await).await;
    accept(&guest, &invited).await.expect(200);
    accept(&guest, &invited).await.problem(409, "invitation_closed");
    scene.owner.delete(&scene.one(&id)).await.expect(200);
    accept(&guest, &invited).await.problem(409, "invitation_closed");
    guest.get(&scene.at("")).await.problem(404, "not_found");
    assert_eq!(scene.status(&invited).await, "accepted");
    scene
        .owner
        .act(&format!("{}/resend", scene.invitation(&invited)))
        .await
        .problem(409, "invitation_closed");
}

#[tokio::test]
async fn invitation_lasts_seven_days_and_is_never_revived_x5() {
    let scene = Scene::new().await;
    let (in_time, late) = (
        scene.invite(&scene.owner, "in-time@else.test").await,
        scene.invite(&scene.owner, "late@else.test").await,
    );
    scene.stage.clock.advance_secs(days(7) - 1);
    accept(&scene.stage.sign_in("in-time@else.test").await, &in_time).await.expect(200);
    scene.stage.clock.advance_secs(1);
    let guest = scene.stage.sign_in("late@else.test").await;
    accept(&guest, &late).await.problem(409, "invitation_closed");
    assert_eq!(scene.status(&late).await, "expired");
    let owner = scene.stage.sign_in("owner@acme.test").await;
    owner.act(&format!("{}/resend", scene.invitation(&late))).await.problem(409, "invitation_closed");
    owner.delete(&scene.invitation(&late)).await.problem(409, "invitation_closed");
    // A new one is another.
    let again = scene.invite(&owner, "late@else.test").await;
    accept(&guest, &late).await.problem(409, "invitation_closed");
    accept(&guest, &again).await.expect(200);
}

#[tokio::test]
async fn resending_kills_the_old_link_and_cancelling_all_of_them_m2() {
    let scene = Scene::new().await;
    let invited = scene.invite(&scene.owner, "guest@else.test").await;
    let path = scene.invitation(&invited);
    let (plain, _) = scene.collaborator("plain@acme.test", Role::Member).await;
    for (method, path) in [
        ("GET", scene.at("/invitations")),
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/resend")),
    ] {
        let lacking = plain.call(method, &path, None).await.problem(403, "forbidden");
        assert_eq!(lacking["permission"], "collaborators.add");
    }
    let resent = scene.owner.act(&format!("{path}/resend")).await.expect(200).json();
    let guest = scene.stage.sign_in("guest@else.test").await;
    accept(&guest, &invited).await.problem(404, "not_found");
    scene.owner.delete(&path).await.expect(200);
    accept(&guest, &resent).await.problem(409, "invitation_closed");
    scene.owner.act(&format!("{path}/resend")).await.problem(409, "invitation_closed");
    let listed = scene.owner.get(&scene.at("/invitations")).await.expect(200);
    assert_eq!(listed.json()["items"][0]["status"], "cancelled");
    for shown in [listed.text(), scene.owner.get(&path).await.text()] {
        assert!(!shown.contains("token") && !shown.contains("lki_"), "{shown}");
    }
}

#[tokio::test]
async fn another_projects_invitation_is_not_there_j1() {
    let scene = Scene::new().await;
    let blue = crate::collaborators::create(&scene.owner, &scene.organization, "blue").await;
    let invited = scene.invite(&scene.owner, "guest@else.test").await;
    let id = invited["invitation"]["id"].as_str().unwrap();
    let elsewhere = format!("/v1/projects/{blue}/invitations/{id}");
    scene.owner.get(&elsewhere).await.problem(404, "not_found");
    scene.owner.delete(&elsewhere).await.problem(404, "not_found");
    scene.owner.act(&format!("{elsewhere}/resend")).await.problem(404, "not_found");
    let own = format!("/v1/organizations/{}/invitations", scene.organization);
    assert_eq!(scene.owner.get(&own).await.expect(200).json()["items"], json!([]));
    scene.owner.delete(&format!("{own}/{id}")).await.problem(404, "not_found");
    assert_eq!(scene.status(&invited).await, "pending");
}

#[tokio::test]
async fn access_belongs_to_the_identity_that_accepted_m10() {
    let scene = Scene::new().await;
    let invited = scene.invite(&scene.owner, "guest@else.test").await;
    let by_operator = scene.stage.sign_in("guest@else.test").await;
    let body = json!({
        "email": "guest@else.test",
        "identity": { "provider": "https://id.else.test", "subject": "7" },
    });
    let signed_in = scene.stage.operator().post("/v1/operator/sessions", body).await.expect(201).json();
    let by_provider = scene.stage.holder(signed_in["token"].as_str().unwrap());
    accept(&by_provider, &invited).await.expect(200);
    by_provider.get(&scene.at("/keys")).await.expect(200);
    for path in [scene.at(""), scene.at("/keys"), scene.at("/collaborators")] {
        by_operator.get(&path).await.problem(404, "not_found");
    }
    by_operator.act(&scene.at("/leave")).await.problem(404, "not_found");
    accept(&by_operator, &invited).await.problem(409, "invitation_closed");
}

#[tokio::test]
async fn invitation_carries_its_end_and_dies_with_it_x4() {
    let scene = Scene::new().await;
    let body = |email: &str| json!({ "email": email, "external": true, "ends_at": "2026-11-23T10:05:00Z" });
    let invited = scene.add(&scene.owner, body("guest@else.test")).await.expect(201).json();
    assert_eq!(invited["invitation"]["expires_at"], "2026-11-23T10:05:00Z");
    let late = scene.add(&scene.owner, body("late@else.test")).await.expect(201).json();
    let guest = scene.stage.sign_in("guest@else.test").await;
    accept(&guest, &invited).await.expect(200);
    scene.stage.clock.advance_secs(299);
    guest.get(&scene.at("")).await.expect(200);
    scene.stage.clock.advance_secs(1);
    guest.get(&scene.at("")).await.problem(404, "not_found");
    let slow = scene.stage.sign_in("late@else.test").await;
    accept(&slow, &late).await.problem(409, "invitation_closed");
    // Whose access has ended can be invited again.
    let again = scene.invite(&scene.owner, "guest@else.test").await;
    accept(&guest, &again).await.expect(200);
    guest.get(&scene.at("")).await.expect(200);
}

#[tokio::test]
async fn member_who_accepts_becomes_an_ordinary_collaborator_x1() {
    let scene = Scene::new().await;
    let body = json!({ "email": "bob@acme.test", "external": true, "ends_at": "2026-11-23T10:05:00Z" });
    let invited = scene.add(&scene.owner, body).await.expect(201).json();
    let (bob, id) = with_id(scene.member("bob@acme.test", Role::Member).await).await;
    accept(&bob, &invited).await.expect(200);
    let shown = bob.get(&scene.one(&id)).await.expect(200).json();
    assert_eq!((&shown["external"], &shown["ends_at"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn nobody_is_let_in_while_the_switch_is_off_x3() {
    let scene = Scene::new().await;
    let invited = scene.invite(&scene.owner, "guest@else.test").await;
    let guest = scene.stage.sign_in("guest@else.test").await;
    scene.switch(false).await;
    accept(&guest, &invited).await.problem(409, "externals_off");
    scene.owner.act(&format!("{}/resend", scene.invitation(&invited))).await.problem(409, "externals_off");
    assert_eq!(scene.status(&invited).await, "pending");
    scene.switch(true).await;
    accept(&guest, &invited).await.expect(200);
}

#[tokio::test]
async fn invitation_dies_with_its_senders_right_to_send_it_m2() {
    let scene = Scene::new().await;
    let demoted = json!({ "role": "member" });
    let ended = json!({ "ends_at": "2026-11-23T10:03:00Z" });
    for (round, (way, body)) in
        [("DELETE", None), ("PATCH", Some(demoted)), ("PATCH", Some(ended))].into_iter().enumerate()
    {
        let (eve, id) = scene.external(&format!("eve-{round}@evil.test"), Role::Admin).await;
        let email = format!("guest-{round}@else.test");
        let invited = scene.invite(&eve, &email).await;
        scene.owner.call(way, &scene.one(&id), body).await.expect(200);
        scene.stage.clock.advance_secs(60);
        let guest = scene.stage.sign_in(&email).await;
        accept(&guest, &invited).await.problem(409, "invitation_closed");
        guest.get(&scene.at("")).await.problem(404, "not_found");
        assert_eq!(guest.get("/v1/me/invitations").await.expect(200).json()["items"], json!([]));
    }
}

#[tokio::test]
async fn removed_person_returns_only_through_an_organization_admin_x6() {
    let scene = Scene::new().await;
    let (bob, id) = scene.removed("bob@acme.test").await;
    let (eve, _) = scene.external("eve@evil.test", Role::Admin).await;
    let (lead, _) = scene.collaborator("lead@acme.test", Role::Admin).await;
    for by in [&eve, &lead] {
        let invited = scene.invite(by, "bob@acme.test").await;
        accept(&bob, &invited).await.problem(409, "removed");
        bob.get(&scene.at("")).await.problem(404, "not_found");
        scene.owner.delete(&scene.invitation(&invited)).await.expect(200);
    }
    scene.add(&lead, json!({ "email": "bob@acme.test" })).await.problem(422, "invalid_field");

    // Through one they do, each time anew.
    let body = json!({ "email": "bob@acme.test", "external": true, "ends_at": "2026-11-23T10:05:00Z" });
    let invited = scene.add(&scene.owner, body).await.expect(201).json();
    accept(&bob, &invited).await.expect(200);
    bob.get(&scene.at("")).await.expect(200);
    scene.stage.clock.advance_secs(300);
    for by in [&eve, &lead] {
        let refused = by.patch(&scene.one(&id), json!({ "ends_at": null })).await;
        assert_eq!(refused.problem(422, "invalid_field")["field"], "ends_at");
        let invited = scene.invite(by, "bob@acme.test").await;
        accept(&bob, &invited).await.problem(409, "removed");
        scene.owner.delete(&scene.invitation(&invited)).await.expect(200);
    }
    let readmit = format!("/v1/organizations/{}/members/{id}/readmit", scene.organization);
    scene.owner.act(&readmit).await.expect(200);
    let invited = scene.invite(&eve, "bob@acme.test").await;
    accept(&bob, &invited).await.expect(200);
}

#[tokio::test]
async fn invitation_from_before_the_removal_is_dead_x6() {
    let scene = Scene::new().await;
    let (bob, id) = with_id(scene.member("bob@acme.test", Role::Member).await).await;
    let invited = scene.invite(&scene.owner, "bob@acme.test").await;
    let member = format!("/v1/organizations/{}/members/{id}", scene.organization);
    scene.owner.delete(&member).await.expect(200);
    accept(&bob, &invited).await.problem(409, "invitation_closed");
    bob.get(&scene.at("")).await.problem(404, "not_found");
}

#[tokio::test]
async fn removed_collaborator_does_not_return_by_an_older_invitation_j9() {
    let scene = Scene::new().await;
    let (eve, _) = scene.external("eve@evil.test", Role::Admin).await;
    let (bob, id) = scene.collaborator("bob@acme.test", Role::Member).await;
    let invited = scene.invite(&eve, "bob@acme.test").await;
    accept(&bob, &invited).await.problem(409, "already_collaborator");
    scene.owner.delete(&scene.one(&id)).await.expect(200);
    accept(&bob, &invited).await.problem(409, "invitation_closed");
    bob.get(&scene.at("/collaborators")).await.problem(403, "forbidden");
}

#[tokio::test]
async fn what_becomes_of_a_member_tells_an_external_admin_nothing_x5() {
    let scene = Scene::new().await;
    let (eve, _) = scene.external("eve@evil.test", Role::Admin).await;
    for (email, way) in [("removed@acme.test", "DELETE"), ("leaving@acme.test", "POST")] {
        let (bob, id) = with_id(scene.member(email, Role::Member).await).await;
        let invited = scene.invite(&eve, email).await;
        let before = eve.get(&scene.invitation(&invited)).await.expect(200).text();
        let organization = format!("/v1/organizations/{}", scene.organization);
        match way {
            "DELETE" => scene.owner.delete(&format!("{organization}/members/{id}")).await.expect(200),
            _ => bob.act(&format!("{organization}/leave")).await.expect(200),
        };
        assert_eq!(eve.get(&scene.invitation(&invited)).await.expect(200).text(), before);
    }
}

#[tokio::test]
async fn replay_of_an_invitation_shows_no_token_k2() {
    let scene = Scene::new().await;
    let body = json!({ "email": "guest@else.test", "external": true });
    let headers = [("idempotency-key", "once")];
    let path = scene.at("/collaborators");
    let call = async || scene.owner.call_with(&headers, "POST", &path, Some(body.clone())).await.expect(201);
    let (first, again) = (call().await.json(), call().await);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json()["invitation"], first["invitation"]);
    assert!(!again.text().contains(first["token"].as_str().unwrap()) && !again.text().contains("lki_"));
}
