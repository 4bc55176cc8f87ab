//! Organizations, projects, people, sessions, resources.

use latchkey_api::{CreatedSession, Organization, Page, Project, Resource};
use latchkey_core::Role;
use latchkey_testkit::{Stage, StageConfig};
use serde_json::json;

#[tokio::test]
async fn organization_begins_with_its_owner_and_default_project_o2() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme, Inc.", "Owner@Acme.test").await;
    assert!(acme.default_project.default);
    assert_eq!(acme.default_project.slug, "acme-inc-default");
    let owner = stage.sign_in("owner@acme.TEST").await;
    let me = owner.get("/v1/me").await.expect(200).json();
    assert_eq!(me["email"], "owner@acme.test");
    assert_eq!(me["organizations"][0]["role"], "admin");
    let project: Project =
        owner.get(&format!("/v1/projects/{}", acme.default_project.id)).await.expect(200).read();
    assert_eq!(project.role, Some(latchkey_api::Role::Admin));
    let second = stage.organization("Acme, Inc.", "owner@acme.test").await;
    assert!(second.default_project.slug.starts_with("acme-inc-default-"));
    assert_eq!(second.organization.owner_id, acme.organization.owner_id);
    assert_eq!(owner.get("/v1/organizations").await.read::<Page<Organization>>().items.len(), 2);
}

#[tokio::test]
async fn slug_is_unique_in_the_installation_j3() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "a@acme.test").await;
    let other = stage.organization("Other", "o@other.test").await;
    let (a, o) = (stage.sign_in("a@acme.test").await, stage.sign_in("o@other.test").await);
    let body = json!({ "name": "Red", "slug": "red" });
    let projects = |id: &str| format!("/v1/organizations/{id}/projects");
    a.post(&projects(&acme.organization.id), body.clone()).await.expect(201);
    o.post(&projects(&other.organization.id), body.clone()).await.problem(409, "slug_taken");
    a.post(&projects(&acme.organization.id), body).await.problem(409, "slug_taken");
    let bad = json!({ "name": "Red", "slug": "proj_aaaaaaaaaaaaaaaa" });
    a.post(&projects(&acme.organization.id), bad).await.problem(422, "invalid_field");
    let page: Page<Project> = a.get(&projects(&acme.organization.id)).await.expect(200).read();
    assert_eq!(page.items.iter().map(|one| &*one.slug).collect::<Vec<_>>(), ["acme-default", "red"]);
    let first = a.get(&format!("{}?limit=1", projects(&acme.organization.id))).await;
    let next = first.read::<Page<Project>>().next.unwrap();
    let rest = a.get(&format!("{}?limit=1&cursor={next}", projects(&acme.organization.id))).await;
    assert_eq!(rest.read::<Page<Project>>().items[0].slug, "red");
}

#[tokio::test]
async fn suspended_organization_is_refused_and_comes_back_o6() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let path = format!("/v1/organizations/{}", acme.organization.id);
    let keys = format!("/v1/projects/{}/keys", acme.default_project.id);
    stage.operator().act(&format!("{path}/suspend")).await.expect(200);
    owner.get(&path).await.problem(403, "suspended");
    owner.post(&keys, json!({ "name": "k" })).await.problem(403, "suspended");
    owner.act(&format!("{path}/resume")).await.problem(403, "suspended");
    stage.operator().act(&format!("{path}/resume")).await.expect(200);
    owner.post(&keys, json!({ "name": "k" })).await.expect(201);
}

#[tokio::test]
async fn operator_signs_nobody_in_unless_the_installation_says_so() {
    let stage = Stage::set(StageConfig { operator_sign_in: false, ..StageConfig::default() }).await;
    stage.organization("Acme", "owner@acme.test").await;
    let body = json!({ "email": "owner@acme.test" });
    stage.operator().post("/v1/operator/sessions", body).await.problem(403, "operator_sign_in_off");
}

#[tokio::test]
async fn session_ends_by_itself_and_by_its_owner_s1() {
    let stage = Stage::new().await;
    stage.organization("Acme", "owner@acme.test").await;
    let body = json!({ "email": "owner@acme.test" });
    let wrong = json!({ "email": "nobody" });
    stage.operator().post("/v1/operator/sessions", wrong).await.problem(422, "invalid_field");
    let first: CreatedSession = stage.operator().post("/v1/operator/sessions", body).await.expect(201).read();
    let (one, two) = (stage.holder(first.token.expose()), stage.sign_in("owner@acme.test").await);
    let listed = two.get("/v1/me/sessions").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    two.delete(&format!("/v1/me/sessions/{}", first.session.id)).await.expect(200);
    one.get("/v1/me").await.problem(401, "revoked");
    stage.clock.advance_secs(12 * 60 * 60 - 1);
    two.get("/v1/me").await.expect(200);
    stage.clock.advance_secs(1);
    two.get("/v1/me").await.problem(401, "expired");
}

#[tokio::test]
async fn session_of_another_is_not_there() {
    let stage = Stage::new().await;
    stage.organization("Acme", "a@acme.test").await;
    stage.organization("Other", "o@other.test").await;
    let (a, o) = (stage.sign_in("a@acme.test").await, stage.sign_in("o@other.test").await);
    let id = a.get("/v1/me/sessions").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    o.delete(&format!("/v1/me/sessions/{id}")).await.problem(404, "not_found");
    a.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn resource_is_registered_once_for_ever_g1() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let other = stage.organization("Other", "o@other.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let path = format!("/v1/projects/{}/resources", acme.default_project.id);
    let elsewhere = format!("/v1/projects/{}/resources", other.default_project.id);
    let body = json!({ "type": "cluster", "id": "c-1" });
    owner.post(&path, body.clone()).await.problem(403, "forbidden");
    stage.operator().post(&path, body.clone()).await.expect(201);
    stage.operator().post(&elsewhere, body.clone()).await.problem(409, "resource_taken");
    stage.operator().post(&path, json!({ "type": "volume", "id": "c-1" })).await.expect(201);
    stage.operator().delete(&format!("{elsewhere}/cluster/c-1")).await.problem(404, "not_found");
    stage.operator().delete(&format!("{path}/cluster/c-1")).await.expect(200);
    stage.operator().delete(&format!("{path}/cluster/c-1")).await.problem(404, "not_found");
    stage.operator().post(&path, body).await.problem(409, "resource_taken");
    for bad in [
        json!({ "type": "thing", "id": "x" }),
        json!({ "type": "file", "id": "a/b" }),
        json!({ "type": "file", "id": ".." }),
    ] {
        stage.operator().post(&path, bad).await.problem(422, "invalid_field");
    }
    let page: Page<Resource> = owner.get(&path).await.expect(200).read();
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn member_sees_open_projects_and_own_ones_only_p4() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let organization = &*acme.organization.id;
    let member = stage.person("m@acme.test", Some((organization, Role::Member)), None).await;
    let page: Page<Project> =
        member.get(&format!("/v1/organizations/{organization}/projects")).await.expect(200).read();
    assert_eq!((page.items.len(), page.items[0].role), (1, None));
}

#[tokio::test]
async fn cursor_of_another_list_is_refused_like_a_missing_one() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let other = stage.organization("Other", "o@other.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let projects = format!("/v1/organizations/{}/projects", acme.organization.id);
    for cursor in [&*other.default_project.id, "proj_aaaaaaaaaaaaaaaa"] {
        owner.get(&format!("{projects}?cursor={cursor}")).await.problem(400, "invalid_query");
    }
    for cursor in [&*other.organization.id, "org_aaaaaaaaaaaaaaaa"] {
        owner.get(&format!("/v1/organizations?cursor={cursor}")).await.problem(400, "invalid_query");
    }
    let page = stage.operator().get("/v1/organizations?limit=1").await.read::<Page<Organization>>();
    let next = page.next.unwrap();
    let rest = stage.operator().get(&format!("/v1/organizations?cursor={next}")).await;
    assert_eq!(rest.read::<Page<Organization>>().items, [other.organization]);
}

#[tokio::test]
async fn health_needs_no_credential() {
    let stage = Stage::new().await;
    stage.anonymous().get("/healthz").await.expect(200);
    stage.anonymous().get("/readyz").await.expect(200);
}
