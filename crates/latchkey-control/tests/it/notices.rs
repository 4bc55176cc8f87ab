//! Who is shown which notices (K12, J4).

use crate::collaborators::{Scene, create};
use latchkey_control::iam::{Notice, NoticeKind};
use latchkey_control::store::Change;
use latchkey_core::{OrganizationId, Role};
use serde_json::json;

impl Scene {
    /// A key made and reported as leaked, which its project hears of.
    async fn leak(&self, project: &str) -> String {
        let made = self.stage.key(&self.owner, project, Role::Member).await;
        let body = json!({ "secret": made.secret.expose() });
        self.stage.anonymous().post("/v1/leaks", body).await.expect(202);
        made.key.id
    }
}

#[tokio::test]
async fn notices_of_a_project_are_for_its_collaborators_k12() {
    let scene = Scene::new().await;
    let path = scene.at("/notices");
    let admin = scene.member("ann@acme.test", Role::Admin).await;
    let member = scene.member("bob@acme.test", Role::Member).await;
    scene.stage.anonymous().get(&path).await.problem(401, "unauthenticated");
    let stranger = scene.stage.person("eve@evil.test", None, None).await;
    stranger.get(&path).await.problem(404, "not_found");
    for outside in [&admin, &member, &scene.stage.operator()] {
        let lacking = outside.get(&path).await.problem(403, "forbidden");
        assert_eq!(lacking["permission"], "collaborators.read");
    }
    let key = scene.leak(&scene.project).await;
    let (plain, _) = scene.collaborator("plain@acme.test", Role::Member).await;
    let (external, _) = scene.external("ext@evil.test", Role::Member).await;
    for reader in [&scene.owner, &plain, &external] {
        let page = reader.get(&path).await.expect(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), 1);
        let notice = &page["items"][0];
        assert_eq!((&notice["what"], &notice["subject"]), (&json!("key_leaked"), &json!(key)));
        assert_eq!(
            (&notice["project_id"], &notice["at"]),
            (&json!(scene.project), &json!("2026-11-23T10:00:00Z"))
        );
    }
}

#[tokio::test]
async fn newest_notice_comes_first_and_pages_hold_each_once_k12() {
    let scene = Scene::new().await;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(scene.leak(&scene.project).await);
    }
    keys.reverse();
    let mut read = Vec::new();
    let mut path = scene.at("/notices?limit=2");
    loop {
        let page = scene.owner.get(&path).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        read.extend(items.iter().map(|one| one["subject"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = scene.at(&format!("/notices?limit=2&cursor={next}"));
    }
    assert_eq!(read, keys);
    for wrong in ["limit=0", "limit=201", "cursor=first", "what=key_leaked"] {
        scene.owner.get(&scene.at(&format!("/notices?{wrong}"))).await.problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn one_project_hears_nothing_of_another_nor_the_organization_j1() {
    let scene = Scene::new().await;
    let blue = create(&scene.owner, &scene.organization, "blue").await;
    scene.leak(&scene.project).await;
    let organization = format!("/v1/organizations/{}/notices", scene.organization);
    for elsewhere in [format!("/v1/projects/{blue}/notices"), organization] {
        assert_eq!(scene.owner.get(&elsewhere).await.expect(200).json()["items"], json!([]));
    }
}

#[tokio::test]
async fn notices_of_an_organization_are_for_its_admins_j4() {
    let scene = Scene::new().await;
    let path = format!("/v1/organizations/{}/notices", scene.organization);
    let (member, _) = scene.collaborator("bob@acme.test", Role::Admin).await;
    let (external, _) = scene.external("ext@evil.test", Role::Admin).await;
    scene.stage.anonymous().get(&path).await.problem(401, "unauthenticated");
    external.get(&path).await.problem(404, "not_found");
    for weak in [&member, &scene.stage.operator()] {
        weak.get(&path).await.problem(403, "forbidden");
    }
    let id = OrganizationId::parse(&scene.organization).unwrap();
    scene
        .stage
        .put(move |view, ctx| {
            let organization = view.organization_by_id(&id).unwrap().unwrap().number;
            let notice = Notice {
                number: view.next_notice().unwrap(),
                organization,
                project: None,
                what: NoticeKind::BudgetExhausted,
                subject: id.to_string(),
                at: ctx.now,
            };
            (vec![Change::from(notice)], ())
        })
        .await;
    let admin = scene.member("ann@acme.test", Role::Admin).await;
    for reader in [&admin, &scene.owner] {
        let page = reader.get(&path).await.expect(200).json();
        assert_eq!(page["items"][0]["what"], "budget_exhausted");
        assert!(page["items"][0].get("project_id").is_none());
    }
}
