//! Collaborators of a project: added, changed, removed (J5, J7–J9, X6, X7). `externals` has what external ones reach,
//! `project_invitations` how somebody becomes one.

use latchkey_core::Role;
use latchkey_testkit::{Actor, Reply, Stage};
use serde_json::{Value, json};

/// A project, open, that lets external collaborators in. Everything happens at 2026-11-23T10:00:00Z.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) organization: String,
    pub(crate) default_project: String,
    pub(crate) project: String,
    /// Its admin, by being an admin of the organization.
    pub(crate) owner: Actor,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let stage = Stage::new().await;
        let made = stage.organization("Acme", "owner@acme.test").await;
        let (organization, default_project) = (made.organization.id, made.default_project.id);
        let owner = stage.sign_in("owner@acme.test").await;
        let project = create(&owner, &organization, "red").await;
        Self { stage, organization, default_project, project, owner }
    }

    /// A path of the project.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("/v1/projects/{}{rest}", self.project)
    }

    pub(crate) fn one(&self, id: &str) -> String {
        self.at(&format!("/collaborators/{id}"))
    }

    pub(crate) async fn member(&self, email: &str, role: Role) -> Actor {
        self.stage.person(email, Some((&self.organization, role)), None).await
    }

    /// A member with a role in the project.
    pub(crate) async fn collaborator(&self, email: &str, role: Role) -> (Actor, String) {
        let roles = (Some((&*self.organization, Role::Member)), Some((&*self.project, role)));
        with_id(self.stage.person(email, roles.0, roles.1).await).await
    }

    /// Somebody who is no member, with a role in the project.
    pub(crate) async fn external(&self, email: &str, role: Role) -> (Actor, String) {
        with_id(self.stage.person(email, None, Some((&self.project, role))).await).await
    }

    pub(crate) async fn add(&self, by: &Actor, body: Value) -> Reply {
        by.post(&self.at("/collaborators"), body).await
    }

    pub(crate) async fn switch(&self, allowed: bool) {
        self.owner.put(&self.at("/external"), json!({ "allowed": allowed })).await.expect(200);
    }

    /// Who takes part, by address.
    pub(crate) async fn emails(&self) -> Vec<String> {
        let page = self.owner.get(&self.at("/collaborators")).await.expect(200).json();
        let email = |one: &Value| one["email"].as_str().unwrap().to_owned();
        let mut emails: Vec<_> = page["items"].as_array().unwrap().iter().map(email).collect();
        emails.sort();
        emails
    }
}

pub(crate) async fn create(owner: &Actor, organization: &str, slug: &str) -> String {
    let body = json!({ "name": "Red", "slug": slug });
    let made = owner.post(&format!("/v1/organizations/{organization}/projects"), body).await.expect(201);
    let project = made.json()["id"].as_str().unwrap().to_owned();
    owner.put(&format!("/v1/projects/{project}/external"), json!({ "allowed": true })).await.expect(200);
    project
}

pub(crate) async fn with_id(actor: Actor) -> (Actor, String) {
    let id = actor.get("/v1/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
    (actor, id)
}

#[tokio::test]
async fn organization_admin_is_not_demoted_in_a_project_j5() {
    let scene = Scene::new().await;
    let (admin, id) = with_id(scene.member("ann@acme.test", Role::Admin).await).await;
    admin.act(&scene.at("/join")).await.expect(200);
    let (lead, _) = scene.collaborator("lead@acme.test", Role::Admin).await;
    let path = scene.one(&id);
    for by in [&lead, &scene.owner, &admin] {
        by.patch(&path, json!({ "role": "member" })).await.problem(409, "organization_admin");
    }
    let shown = lead.get(&path).await.expect(200).json();
    assert_eq!((&shown["role"], &shown["effective_role"]), (&json!("member"), &json!("admin")));

    // What is granted in the project outlasts the organization's role.
    lead.patch(&path, json!({ "role": "admin" })).await.expect(200);
    let member = format!("/v1/organizations/{}/members/{id}", scene.organization);
    scene.owner.patch(&member, json!({ "role": "member" })).await.expect(200);
    assert_eq!(admin.get(&scene.at("")).await.expect(200).json()["role"], "admin");
    lead.patch(&path, json!({ "role": "member" })).await.expect(200);
    admin.get(&scene.at("/collaborators")).await.expect(200);
    let lacking = admin.patch(&path, json!({ "role": "admin" })).await.problem(403, "forbidden");
    assert_eq!(lacking["permission"], "collaborators.manage_roles");
}

#[tokio::test]
async fn nobody_is_removed_from_the_default_project_nor_invited_to_it_j7() {
    let scene = Scene::new().await;
    let invited = format!("/v1/organizations/{}/invitations", scene.organization);
    let token = scene.owner.post(&invited, json!({ "email": "bob@acme.test" })).await.expect(201).json();
    let (bob, id) = with_id(scene.stage.sign_in("bob@acme.test").await).await;
    bob.post("/v1/invitations:accept", json!({ "token": token["token"] })).await.expect(200);

    let path = format!("/v1/projects/{}/collaborators", scene.default_project);
    let one = format!("{path}/{id}");
    scene.owner.delete(&one).await.problem(409, "default_project");
    scene.owner.delete(&format!("{one}?revoke_keys=true")).await.problem(409, "default_project");
    bob.get(&one).await.expect(200);
    let body = json!({ "email": "eve@evil.test", "external": true });
    scene.owner.post(&path, body).await.problem(409, "default_project");
    // Promoting there is a role like any other, and ends with the membership.
    scene.owner.patch(&one, json!({ "role": "admin" })).await.expect(200);
    scene.owner.delete(&format!("/v1/organizations/{}/members/{id}", scene.organization)).await.expect(200);
    scene.owner.get(&one).await.problem(404, "not_found");
}

#[tokio::test]
async fn member_is_added_by_a_project_admin_at_once_j8() {
    let scene = Scene::new().await;
    let (plain, _) = scene.collaborator("plain@acme.test", Role::Member).await;
    let bob = scene.member("bob@acme.test", Role::Member).await;
    let ann = scene.member("ann@acme.test", Role::Admin).await;
    let stranger = scene.stage.person("eve@evil.test", None, None).await;
    let body = || json!({ "email": "Bob@Acme.test", "role": "admin" });
    scene.add(&scene.stage.anonymous(), body()).await.problem(401, "unauthenticated");
    scene.add(&stranger, body()).await.problem(404, "not_found");
    for weak in [&plain, &bob, &ann, &scene.stage.operator()] {
        let lacking = scene.add(weak, body()).await.problem(403, "forbidden");
        assert_eq!(lacking["permission"], "collaborators.add");
    }
    bob.get(&scene.at("/collaborators")).await.problem(403, "forbidden");

    let added = scene.add(&scene.owner, body()).await.expect(201).json();
    assert_eq!(added["collaborator"]["email"], "bob@acme.test");
    assert_eq!(added["collaborator"]["external"], false);
    bob.get(&scene.at("/collaborators")).await.expect(200);
    scene.add(&bob, json!({ "email": "ann@acme.test" })).await.expect(201);
    scene.add(&scene.owner, body()).await.problem(409, "already_collaborator");
    assert_eq!(
        scene.emails().await,
        ["ann@acme.test", "bob@acme.test", "owner@acme.test", "plain@acme.test"]
    );
}

#[tokio::test]
async fn somebody_else_is_not_added_without_being_told_external_j8() {
    let scene = Scene::new().await;
    scene.stage.person("eve@evil.test", None, None).await;
    for email in ["eve@evil.test", "nobody@evil.test"] {
        let problem = scene.add(&scene.owner, json!({ "email": email })).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "email");
    }
    assert_eq!(scene.emails().await, ["owner@acme.test"]);
}

#[tokio::test]
async fn service_account_is_added_by_its_id_and_never_as_an_external_s3() {
    let scene = Scene::new().await;
    let path = format!("/v1/organizations/{}/service-accounts", scene.organization);
    let made = scene.owner.post(&path, json!({ "name": "ci", "role": "member" })).await.expect(201).json();
    let token = made["token"].as_str().unwrap();
    let id = made["service_account"]["user_id"].as_str().unwrap();
    let body = json!({ "user_id": id, "external": true });
    assert_eq!(scene.add(&scene.owner, body).await.problem(422, "invalid_field")["field"], "user_id");
    let robot = scene.stage.holder(token);
    robot.get(&scene.at("/keys")).await.problem(403, "forbidden");
    let added = scene.add(&scene.owner, json!({ "user_id": id })).await.expect(201).json();
    assert_eq!(
        (&added["collaborator"]["kind"], &added["collaborator"]["name"]),
        (&json!("service"), &json!("ci"))
    );
    robot.get(&scene.at("/keys")).await.expect(200);
}

#[tokio::test]
async fn removed_collaborator_is_out_at_once_j9() {
    let scene = Scene::new().await;
    let (plain, id) = scene.collaborator("plain@acme.test", Role::Member).await;
    let (other, other_id) = scene.external("eve@evil.test", Role::Member).await;
    let lacking = plain.delete(&scene.one(&other_id)).await.problem(403, "forbidden");
    assert_eq!(lacking["permission"], "collaborators.remove");
    scene.stage.anonymous().delete(&scene.one(&id)).await.problem(401, "unauthenticated");
    scene.owner.delete(&scene.one("user_0000000000000000")).await.problem(404, "not_found");

    let removed = scene.owner.delete(&scene.one(&id)).await.expect(200).json();
    assert_eq!((&removed["collaborator"]["user_id"], &removed["keys_created"]), (&json!(id), &json!([])));
    plain.get(&scene.at("/keys")).await.problem(403, "forbidden");
    scene.owner.delete(&scene.one(&other_id)).await.expect(200);
    other.get(&scene.at("")).await.problem(404, "not_found");
    scene.owner.delete(&scene.one(&id)).await.problem(404, "not_found");
    assert_eq!(scene.emails().await, ["owner@acme.test"]);
}

/// Joining the organization makes an ordinary collaborator of an external one, and revives no access that ended.
#[tokio::test]
async fn external_admin_leaves_organization_admins_and_the_switch_alone_x6() {
    let scene = Scene::new().await;
    let (eve, _) = scene.external("eve@evil.test", Role::Admin).await;
    let (plain, plain_id) = scene.collaborator("plain@acme.test", Role::Member).await;
    let (ann, ann_id) = with_id(scene.member("ann@acme.test", Role::Admin).await).await;
    ann.act(&scene.at("/join")).await.expect(200);
    let owner_id = with_id(scene.owner.clone()).await.1;
    for id in [&ann_id, &owner_id] {
        for (method, rest, body, permission) in [
            ("DELETE", "", None, "collaborators.remove"),
            ("DELETE", "?revoke_keys=true", None, "collaborators.remove"),
            ("PATCH", "", Some(json!({ "role": "member" })), "collaborators.manage_roles"),
            ("PATCH", "", Some(json!({ "role": "admin" })), "collaborators.manage_roles"),
        ] {
            let refused = eve.call(method, &format!("{}{rest}", scene.one(id)), body).await;
            assert_eq!(refused.problem(403, "forbidden")["permission"], permission);
        }
    }
    for allowed in [true, false] {
        let refused = eve.put(&scene.at("/external"), json!({ "allowed": allowed })).await;
        assert_eq!(refused.problem(403, "forbidden")["permission"], "project.external.write");
    }
    // The rest of P2 they have.
    eve.patch(&scene.one(&plain_id), json!({ "role": "admin" })).await.expect(200);
    eve.delete(&scene.one(&plain_id)).await.expect(200);
    plain.get(&scene.at("/keys")).await.problem(403, "forbidden");
    ann.get(&scene.at("/keys")).await.expect(200);
}

#[tokio::test]
async fn removal_lists_their_keys_and_revokes_them_if_told_x7() {
    let scene = Scene::new().await;
    for (email, query, status) in [
        ("one@acme.test", "", "active"),
        ("two@acme.test", "?revoke_keys=false", "active"),
        ("three@acme.test", "?revoke_keys=true", "revoked"),
    ] {
        let (bob, id) = scene.collaborator(email, Role::Member).await;
        let others = scene.stage.key(&scene.owner, &scene.project, Role::Member).await;
        let (first, second) = (
            scene.stage.key(&bob, &scene.project, Role::Member).await,
            scene.stage.key(&bob, &scene.project, Role::Member).await,
        );
        bob.act(&format!("/v1/keys/{}/revoke", second.key.id)).await.expect(200);
        let removed = scene.owner.delete(&format!("{}{query}", scene.one(&id))).await.expect(200).json();
        let expected = json!([{ "id": first.key.id, "name": "a key", "status": status }]);
        assert_eq!(removed["keys_created"], expected);
        let key = scene.owner.get(&format!("/v1/keys/{}", first.key.id)).await.expect(200).json();
        assert_eq!(key["status"], status);
        let theirs = scene.stage.holder(first.secret.expose()).get("/v1/whoami").await;
        if status == "revoked" {
            theirs.problem(401, "revoked");
        } else {
            theirs.expect(200);
        }
        scene.stage.holder(others.secret.expose()).get("/v1/whoami").await.expect(200);
    }
    let (_, id) = scene.collaborator("four@acme.test", Role::Member).await;
    for query in ["?revoke_keys=yes", "?keys=true", "?revoke_keys=true&revoke_keys=true"] {
        scene.owner.delete(&format!("{}{query}", scene.one(&id))).await.problem(400, "invalid_query");
    }
    scene.owner.get(&scene.one(&id)).await.expect(200);
}

#[tokio::test]
async fn bad_input_is_refused_with_its_field_and_nothing_half_done() {
    let scene = Scene::new().await;
    let (_, id) = scene.collaborator("bob@acme.test", Role::Member).await;
    let (_, eve) = scene.external("eve@evil.test", Role::Member).await;
    let (_, member) = with_id(scene.member("ann@acme.test", Role::Member).await).await;
    let before = scene.stage.control.check_ready().unwrap();
    for (body, field) in [
        (json!({}), "email"),
        (json!({ "email": "ann" }), "email"),
        (json!({ "email": "ann@acme.test", "user_id": member }), "user_id"),
        (json!({ "user_id": "ann" }), "user_id"),
        (json!({ "email": "ann@acme.test", "role": "owner" }), "role"),
        (json!({ "email": "ann@acme.test", "ends_at": "2026-11-24T10:00:00Z" }), "ends_at"),
        (json!({ "email": "new@evil.test", "external": true, "ends_at": "2026-11-23T10:00:30Z" }), "ends_at"),
        (json!({ "email": "new@evil.test", "external": 1 }), "external"),
        (json!({ "email": "new@evil.test", "external": true, "until": 1 }), "until"),
        (json!({ "external": true }), "email"),
    ] {
        let problem = scene.add(&scene.owner, body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
    }
    for (who, body, field) in [
        (&id, json!({}), ""),
        (&id, json!({ "role": "owner" }), "role"),
        (&id, json!({ "role": "admin", "ends_at": "2026-11-24T10:00:00Z" }), "ends_at"),
        (&eve, json!({ "role": "admin", "ends_at": "2026-11-23T10:00:30Z" }), "ends_at"),
        (&eve, json!({ "role": "admin", "ends_at": "soon" }), "ends_at"),
        (&eve, json!({ "role": "admin", "external": false }), "external"),
    ] {
        let problem = scene.owner.patch(&scene.one(who), body).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
    }
    assert_eq!(scene.stage.control.check_ready().unwrap(), before);
    assert_eq!(scene.emails().await, ["bob@acme.test", "eve@evil.test", "owner@acme.test"]);
    assert_eq!(scene.owner.get(&scene.one(&eve)).await.json()["role"], "member");
}
