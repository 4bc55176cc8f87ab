//! External collaborators: what they reach, while the switch is on, until their access ends (X2–X4).

use crate::collaborators::{Scene, create};
use latchkey_core::Role;
use serde_json::{Value, json};

#[tokio::test]
async fn external_collaborator_reaches_the_project_and_nothing_else_x2() {
    let scene = Scene::new().await;
    let blue = create(&scene.owner, &scene.organization, "blue").await;
    let organization = format!("/v1/organizations/{}", scene.organization);
    for role in [Role::Member, Role::Admin] {
        let (eve, _) = scene.external(&format!("{}@evil.test", role.as_str()), role).await;
        assert_eq!(eve.get(&scene.at("")).await.expect(200).json()["organization_name"], "Acme");
        eve.get(&scene.at("/keys")).await.expect(200);
        for rest in
            ["", "/settings", "/members", "/projects", "/invitations", "/usage", "/budget", "/notices"]
        {
            eve.get(&format!("{organization}{rest}")).await.problem(404, "not_found");
        }
        for project in [&blue, &scene.default_project] {
            for rest in ["", "/keys", "/collaborators", "/notices", "/invitations"] {
                eve.get(&format!("/v1/projects/{project}{rest}")).await.problem(404, "not_found");
            }
            eve.act(&format!("/v1/projects/{project}/join")).await.problem(404, "not_found");
        }
        assert_eq!(eve.get("/v1/me").await.expect(200).json()["organizations"], json!([]));
    }
}

#[tokio::test]
async fn switch_suspends_external_collaborators_and_restores_them_x3() {
    let scene = Scene::new().await;
    let (eve, id) = scene.external("eve@evil.test", Role::Admin).await;
    let (plain, _) = scene.collaborator("plain@acme.test", Role::Member).await;
    let effective = async || plain.get(&scene.one(&id)).await.expect(200).json()["effective_role"].clone();
    assert_eq!(effective().await, "admin");

    scene.switch(false).await;
    eve.get(&scene.at("")).await.problem(404, "not_found");
    scene.add(&eve, json!({ "email": "mal@evil.test" })).await.problem(404, "not_found");
    eve.act(&scene.at("/leave")).await.problem(404, "not_found");
    eve.patch(&scene.one(&id), json!({ "role": "member" })).await.problem(404, "not_found");
    assert_eq!(effective().await, Value::Null);
    plain.get(&scene.at("/keys")).await.expect(200);
    let body = json!({ "email": "mal@evil.test", "external": true });
    scene.add(&scene.owner, body).await.problem(409, "externals_off");

    scene.switch(true).await;
    assert_eq!(effective().await, "admin");
    eve.get(&scene.at("/keys")).await.expect(200);
}

#[tokio::test]
async fn access_ends_at_its_minute_and_not_before_x4() {
    let scene = Scene::new().await;
    let (eve, id) = scene.external("eve@evil.test", Role::Member).await;
    let ends = |at: &str| json!({ "ends_at": at });
    for wrong in
        ["2026-11-23T10:05:30Z", "2026-11-23T10:00:00Z", "2026-11-23T09:00:00Z", "2037-01-01T00:00:00Z"]
    {
        let problem = scene.owner.patch(&scene.one(&id), ends(wrong)).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "ends_at", "{wrong}");
    }
    scene.owner.patch(&scene.one(&id), ends("2026-11-23T10:05:00Z")).await.expect(200);
    scene.stage.clock.advance_secs(299);
    eve.get(&scene.at("/keys")).await.expect(200);
    scene.stage.clock.advance_secs(1);
    eve.get(&scene.at("/keys")).await.problem(404, "not_found");
    let shown = scene.owner.get(&scene.one(&id)).await.expect(200).json();
    assert_eq!((&shown["role"], &shown["effective_role"]), (&json!("member"), &Value::Null));

    // What has ended stays so: they are invited anew, where all of X6 is asked.
    for body in [ends("2026-11-23T11:00:00Z"), json!({ "ends_at": null })] {
        let problem = scene.owner.patch(&scene.one(&id), body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "ends_at");
    }
    eve.get(&scene.at("")).await.problem(404, "not_found");
}

#[tokio::test]
async fn end_can_be_moved_and_lifted_while_access_lasts_x4() {
    let scene = Scene::new().await;
    let (eve, id) = scene.external("eve@evil.test", Role::Member).await;
    let path = scene.one(&id);
    scene.owner.patch(&path, json!({ "ends_at": "2026-11-23T10:05:00Z" })).await.expect(200);
    scene.owner.patch(&path, json!({ "ends_at": "2026-11-23T10:10:00Z" })).await.expect(200);
    scene.stage.clock.advance_secs(540);
    eve.get(&scene.at("")).await.expect(200);
    let lifted = scene.owner.patch(&path, json!({ "ends_at": null })).await.expect(200).json();
    assert_eq!(lifted["ends_at"], Value::Null);
    scene.stage.clock.advance_secs(3600);
    eve.get(&scene.at("")).await.expect(200);
}

#[tokio::test]
async fn external_admin_gives_nobody_a_longer_access_than_their_own_x4() {
    let scene = Scene::new().await;
    let (eve, id) = scene.external("eve@evil.test", Role::Admin).await;
    let (_, mal) = scene.external("mal@evil.test", Role::Member).await;
    scene.owner.patch(&scene.one(&id), json!({ "ends_at": "2026-11-23T12:00:00Z" })).await.expect(200);
    for one in [&id, &mal] {
        for end in [Value::Null, json!("2026-11-23T12:01:00Z")] {
            let problem = eve.patch(&scene.one(one), json!({ "ends_at": end })).await;
            assert_eq!(problem.problem(422, "invalid_field")["field"], "ends_at");
        }
    }
    for body in [
        json!({ "email": "new@evil.test" }),
        json!({ "email": "new@evil.test", "ends_at": "2026-11-23T12:01:00Z" }),
    ] {
        assert_eq!(scene.add(&eve, body).await.problem(422, "invalid_field")["field"], "ends_at");
    }
    eve.patch(&scene.one(&mal), json!({ "ends_at": "2026-11-23T12:00:00Z" })).await.expect(200);
}

#[tokio::test]
async fn joining_the_organization_revives_no_ended_access_x4() {
    let scene = Scene::new().await;
    scene.owner.patch(&scene.at("/settings"), json!({ "visibility": "private" })).await.expect(200);
    let (eve, id) = scene.external("eve@evil.test", Role::Admin).await;
    let (mal, mal_id) = scene.external("mal@evil.test", Role::Member).await;
    scene.owner.patch(&scene.one(&id), json!({ "ends_at": "2026-11-23T10:05:00Z" })).await.expect(200);
    scene.owner.patch(&scene.one(&mal_id), json!({ "ends_at": "2026-11-23T10:30:00Z" })).await.expect(200);
    scene.stage.clock.advance_secs(300);
    for (email, who) in [("eve@evil.test", &eve), ("mal@evil.test", &mal)] {
        let invited = format!("/v1/organizations/{}/invitations", scene.organization);
        let token = scene.owner.post(&invited, json!({ "email": email })).await.expect(201).json();
        who.post("/v1/invitations:accept", json!({ "token": token["token"] })).await.expect(200);
    }
    eve.get(&scene.at("")).await.problem(404, "not_found");
    scene.owner.get(&scene.one(&id)).await.problem(404, "not_found");
    let shown = mal.get(&scene.one(&mal_id)).await.expect(200).json();
    assert_eq!((&shown["external"], &shown["ends_at"]), (&json!(false), &Value::Null));
}
