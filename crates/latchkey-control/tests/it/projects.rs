//! Projects over their life: what changes them, who joins and leaves, and how they end (J1–J10, X3, P4).

use latchkey_core::Role;
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};

struct Scene {
    stage: Stage,
    organization: String,
    default_project: String,
    /// Open, made by the owner.
    project: String,
    owner: Actor,
}

async fn scene() -> Scene {
    let stage = Stage::new().await;
    let made = stage.organization("Acme", "owner@acme.test").await;
    let (organization, default_project) = (made.organization.id, made.default_project.id);
    let owner = stage.sign_in("owner@acme.test").await;
    let project = create(&owner, &organization, "red").await;
    Scene { stage, organization, default_project, project, owner }
}

async fn create(owner: &Actor, organization: &str, slug: &str) -> String {
    let body = json!({ "name": "Red", "slug": slug });
    let made = owner.post(&format!("/v1/organizations/{organization}/projects"), body).await.expect(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

impl Scene {
    fn path(&self) -> String {
        format!("/v1/projects/{}", self.project)
    }

    fn settings(&self) -> String {
        format!("/v1/projects/{}/settings", self.project)
    }

    async fn member(&self, email: &str, role: Role) -> Actor {
        self.stage.person(email, Some((&self.organization, role)), None).await
    }

    async fn see_as(&self, visibility: &str) {
        self.owner.patch(&self.settings(), json!({ "visibility": visibility })).await.expect(200);
    }
}

#[tokio::test]
async fn old_slug_resolves_to_nothing_and_goes_to_nobody_else_j3() {
    let scene = scene().await;
    let changed = scene.owner.patch(&scene.settings(), json!({ "slug": "blue" })).await.expect(200).json();
    assert_eq!(changed["slug"], "blue");
    scene.owner.get("/v1/projects/red").await.problem(404, "not_found");
    scene.owner.get("/v1/projects/blue").await.expect(200);

    let other = scene.stage.organization("Evil", "eve@evil.test").await.organization.id;
    let eve = scene.stage.sign_in("eve@evil.test").await;
    let path = format!("/v1/organizations/{other}/projects");
    for slug in ["red", "blue"] {
        eve.post(&path, json!({ "name": "Red", "slug": slug })).await.problem(409, "slug_taken");
    }
    // The organization itself may use it again.
    create(&scene.owner, &scene.organization, "red").await;
    scene.owner.patch(&scene.settings(), json!({ "slug": "red" })).await.problem(409, "slug_taken");
}

#[tokio::test]
async fn one_of_two_claims_of_a_slug_wins_j3() {
    let scene = scene().await;
    let other = scene.stage.organization("Other", "olga@other.test").await.organization.id;
    let olga = scene.stage.sign_in("olga@other.test").await;
    for round in 0..20 {
        let slug = format!("wanted-{round}");
        let theirs = format!("/v1/organizations/{other}/projects");
        let path = scene.settings();
        let (one, two) = tokio::join!(
            scene.owner.patch(&path, json!({ "slug": slug })),
            olga.post(&theirs, json!({ "name": "Theirs", "slug": slug })),
        );
        match (one.status, two.status) {
            (200, 409) => assert_eq!(two.problem(409, "slug_taken")["status"], 409),
            (409, 201) => assert_eq!(one.problem(409, "slug_taken")["status"], 409),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn admin_who_did_not_join_has_three_permissions_there_j4() {
    let scene = scene().await;
    let admin = scene.member("ann@acme.test", Role::Admin).await;
    let path = scene.path();
    for refused in ["", "/keys", "/resources"] {
        let problem = admin.get(&format!("{path}{refused}")).await.problem(403, "forbidden");
        assert!(problem["permission"].is_string());
    }
    let lacking = admin.patch(&scene.settings(), json!({ "name": "Mine" })).await.problem(403, "forbidden");
    assert_eq!(lacking["permission"], "project.settings.write");
    let both = json!({ "name": "Mine", "visibility": "closed" });
    admin.patch(&scene.settings(), both).await.problem(403, "forbidden");
    admin.put(&format!("{path}/external"), json!({ "allowed": true })).await.problem(403, "forbidden");
    admin.patch(&scene.settings(), json!({ "visibility": "private" })).await.expect(200);
    admin.act(&format!("{path}/archive")).await.expect(200);
    admin.act(&format!("{path}/unarchive")).await.expect(200);

    let joined = admin.act(&format!("{path}/join")).await.expect(200).json();
    assert_eq!(joined["role"], "admin");
    admin.get(&format!("{path}/keys")).await.expect(200);
    admin.act(&format!("{path}/join")).await.problem(409, "already_collaborator");
}

#[tokio::test]
async fn joining_stores_member_also_for_an_admin_j5() {
    let scene = scene().await;
    let admin = scene.member("ann@acme.test", Role::Admin).await;
    admin.act(&format!("{}/join", scene.path())).await.expect(200);
    assert_eq!(admin.get(&scene.path()).await.expect(200).json()["role"], "admin");
    let id = admin.get("/v1/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
    let member = format!("/v1/organizations/{}/members/{id}", scene.organization);
    scene.owner.patch(&member, json!({ "role": "member" })).await.expect(200);
    assert_eq!(admin.get(&scene.path()).await.expect(200).json()["role"], "member");
}

#[tokio::test]
async fn visibility_says_who_sees_and_who_joins_p4() {
    let scene = scene().await;
    let outsider = scene.stage.person("eve@evil.test", None, None).await;
    let path = scene.path();
    let join = format!("{path}/join");
    for (visibility, sees, joins) in [("open", true, 200), ("closed", true, 403), ("private", false, 404)] {
        scene.see_as(visibility).await;
        let member = scene.member(&format!("{visibility}@acme.test"), Role::Member).await;
        let list = format!("/v1/organizations/{}/projects", scene.organization);
        let listed = member.get(&list).await.expect(200).json();
        let seen = listed["items"].as_array().unwrap().iter().any(|one| one["id"] == scene.project);
        assert_eq!(seen, sees, "{visibility}");
        assert_eq!(member.act(&join).await.status, joins, "{visibility}");
        let admin = scene.member(&format!("{visibility}-admin@acme.test"), Role::Admin).await;
        admin.act(&join).await.expect(200);
        outsider.act(&join).await.problem(404, "not_found");
        // Those who joined keep their access (J6).
        scene.owner.get(&path).await.expect(200);
    }
    scene.stage.anonymous().act(&join).await.problem(401, "unauthenticated");
    let first = scene.stage.sign_in("open@acme.test").await;
    first.get(&path).await.expect(200);
}

#[tokio::test]
async fn default_project_stays_open_joined_and_there_j7() {
    let scene = scene().await;
    let path = format!("/v1/projects/{}", scene.default_project);
    for refused in ["closed", "private"] {
        scene
            .owner
            .patch(&format!("{path}/settings"), json!({ "visibility": refused }))
            .await
            .problem(409, "default_project");
    }
    scene.owner.act(&format!("{path}/archive")).await.problem(409, "default_project");
    scene.owner.act(&format!("{path}/leave")).await.problem(409, "default_project");
    let body = json!({ "allowed": true });
    scene.owner.put(&format!("{path}/external"), body).await.problem(409, "default_project");
    let slug = scene.owner.get(&path).await.expect(200).json()["slug"].clone();
    let body = json!({ "slug": slug });
    scene.owner.call("DELETE", &path, Some(body)).await.problem(409, "default_project");
}

#[tokio::test]
async fn collaborator_leaves_and_is_out_at_once_j9() {
    let scene = scene().await;
    let member = scene.member("bob@acme.test", Role::Member).await;
    let leave = format!("{}/leave", scene.path());
    member.act(&leave).await.problem(403, "forbidden");
    member.act(&format!("{}/join", scene.path())).await.expect(200);
    let left = member.act(&leave).await.expect(200).json();
    assert_eq!(left["role"], Value::Null);
    member.get(&scene.path()).await.problem(403, "forbidden");
}

#[tokio::test]
async fn joining_again_tells_no_more_than_anything_else_there() {
    let scene = scene().await;
    let (join, organization) = (format!("{}/join", scene.path()), scene.organization.clone());
    let suspension = format!("/v1/organizations/{organization}");
    scene.owner.act(&join).await.problem(409, "already_collaborator");
    scene.stage.operator().act(&format!("{suspension}/suspend")).await.expect(200);
    scene.owner.act(&join).await.problem(403, "suspended");
    scene.stage.operator().act(&format!("{suspension}/resume")).await.expect(200);
    scene.owner.act(&format!("{}/archive", scene.path())).await.expect(200);
    scene.owner.act(&join).await.problem(403, "archived");
}

#[tokio::test]
async fn archived_project_refuses_everybody_and_loses_nothing_j10() {
    let scene = scene().await;
    let path = scene.path();
    let key = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let holder = scene.stage.holder(key.secret.expose());
    let explain = json!({ "permission": "files.read" });
    holder.post("/v1/explain", explain.clone()).await.expect(200);
    let member = scene.member("bob@acme.test", Role::Member).await;
    member.act(&format!("{path}/archive")).await.problem(403, "forbidden");
    scene.owner.act(&format!("{path}/unarchive")).await.problem(409, "not_archived");

    let archived = scene.owner.act(&format!("{path}/archive")).await.expect(200).json();
    assert!(archived["archived_at"].is_string());
    scene.owner.get(&format!("{path}/keys")).await.problem(403, "archived");
    scene.owner.patch(&scene.settings(), json!({ "name": "New" })).await.problem(403, "archived");
    member.act(&format!("{path}/join")).await.problem(403, "archived");
    holder.post("/v1/explain", explain.clone()).await.problem(401, "suspended");
    scene.owner.get(&path).await.expect(200);

    scene.owner.act(&format!("{path}/unarchive")).await.expect(200);
    scene.owner.get(&format!("{path}/keys")).await.expect(200);
    holder.post("/v1/explain", explain).await.expect(200);
}

#[tokio::test]
async fn project_is_deleted_once_archived_and_typed_j10() {
    let scene = scene().await;
    let path = scene.path();
    let key = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
    let slug = json!({ "slug": "red" });
    scene.owner.call("DELETE", &path, Some(slug.clone())).await.problem(409, "not_archived");
    scene.owner.act(&format!("{path}/archive")).await.expect(200);
    let typo = scene.owner.call("DELETE", &path, Some(json!({ "slug": "blue" }))).await;
    assert_eq!(typo.problem(422, "invalid_field")["field"], "slug");
    let member = scene.member("bob@acme.test", Role::Member).await;
    member.call("DELETE", &path, Some(slug.clone())).await.problem(403, "forbidden");
    scene.owner.call("DELETE", &path, Some(slug.clone())).await.expect(200);

    for gone in [path.clone(), "/v1/projects/red".to_owned(), format!("/v1/keys/{}", key.key.id)] {
        scene.owner.get(&gone).await.problem(404, "not_found");
        scene.stage.operator().get(&gone).await;
    }
    scene.owner.act(&format!("{path}/unarchive")).await.problem(404, "not_found");
    let list = format!("/v1/organizations/{}/projects", scene.organization);
    for reader in [&scene.owner, &scene.stage.operator()] {
        assert_eq!(reader.get(&list).await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    }
    let holder = scene.stage.holder(key.secret.expose());
    holder.post("/v1/explain", json!({ "permission": "files.read" })).await.problem(401, "suspended");
    // The slug stays the organization's.
    scene.stage.organization("Evil", "eve@evil.test").await;
    create(&scene.owner, &scene.organization, "red").await;
}

#[tokio::test]
async fn key_made_while_its_project_is_archived_has_one_outcome_j10() {
    let scene = scene().await;
    let (archive, keys) = (format!("{}/archive", scene.path()), format!("{}/keys", scene.path()));
    for round in 0..20 {
        let name = json!({ "name": format!("key {round}") });
        let (archived, made) = tokio::join!(scene.owner.act(&archive), scene.owner.post(&keys, name));
        assert_eq!(archived.status, 200);
        let holder = match made.status {
            201 => Some(scene.stage.holder(made.json()["secret"].as_str().unwrap())),
            _ => {
                made.problem(403, "archived");
                None
            }
        };
        // Made before or not at all: in an archived project no key works.
        if let Some(holder) = &holder {
            holder.post("/v1/explain", json!({ "permission": "files.read" })).await.problem(401, "suspended");
        }
        scene.owner.act(&format!("{}/unarchive", scene.path())).await.expect(200);
    }
}

#[tokio::test]
async fn switch_is_for_project_admins_who_are_members_x3() {
    let scene = scene().await;
    let path = scene.path();
    let external = format!("{path}/external");
    let body = || json!({ "allowed": true });
    let member = (scene.organization.as_str(), Role::Member);
    let plain = (scene.project.as_str(), Role::Member);
    let weak = scene.stage.person("bob@acme.test", Some(member), Some(plain)).await;
    let lacking = weak.put(&external, body()).await.problem(403, "forbidden");
    assert_eq!(lacking["permission"], "project.external.write");
    scene.owner.put(&external, body()).await.expect(200);
    let outside = scene.stage.person("eve@evil.test", None, Some((&scene.project, Role::Admin))).await;
    outside.get(&path).await.expect(200);
    let lacking = outside.put(&external, body()).await.problem(403, "forbidden");
    assert_eq!(lacking["permission"], "project.external.write");
    scene.owner.put(&external, json!({ "allowed": false })).await.expect(200);
    outside.get(&path).await.problem(404, "not_found");
    scene.owner.put(&external, body()).await.expect(200);
    outside.get(&path).await.expect(200);
}

#[tokio::test]
async fn bad_change_is_refused_with_its_field() {
    let scene = scene().await;
    for (body, field) in [
        (json!({}), ""),
        (json!({ "name": "" }), "name"),
        (json!({ "slug": "a" }), "slug"),
        (json!({ "slug": "UPPER" }), "slug"),
        (json!({ "visibility": "secret" }), "visibility"),
        (json!({ "name": "Fine", "slug": "-" }), "slug"),
        (json!({ "default": true }), "default"),
    ] {
        let problem = scene.owner.patch(&scene.settings(), body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field);
    }
    assert_eq!(scene.owner.get(&scene.path()).await.expect(200).json()["name"], "Red");
}
