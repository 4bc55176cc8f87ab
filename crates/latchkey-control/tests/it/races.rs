//! Two at once: whichever comes first, one outcome is right (M9, O3, M2). Slugs and archiving are in `projects`,
//! rotation in `rotation`, import in `imports`.

use latchkey_core::Role;
use latchkey_testkit::{Actor, Reply, Stage};
use serde_json::{Value, json};

/// Rounds of each race, so that either side comes first now and then.
pub(crate) const ROUNDS: usize = 40;

struct Scene {
    stage: Stage,
    organization: String,
    owner: Actor,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let organization = stage.organization("Acme", "owner@acme.test").await.organization.id;
        let owner = stage.sign_in("owner@acme.test").await;
        Self { stage, organization, owner }
    }

    async fn admin(&self, email: &str) -> (Actor, String) {
        let admin = self.stage.person(email, Some((&self.organization, Role::Admin)), None).await;
        let id = admin.get("/v1/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
        (admin, id)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/organizations/{}{rest}", self.organization)
    }

    async fn admins(&self) -> Vec<Value> {
        let page = self.owner.get(&self.path("/members?limit=200")).await.expect(200).json();
        let items = page["items"].as_array().unwrap().iter().filter(|one| one["role"] == "admin");
        items.cloned().collect()
    }
}

/// Runs both on the runtime's threads, the second first in every other round.
pub(crate) async fn at_once<A, B>(round: usize, one: A, other: B) -> (Reply, Reply)
where
    A: Future<Output = Reply> + Send + 'static,
    B: Future<Output = Reply> + Send + 'static,
{
    if round.is_multiple_of(2) {
        let (one, other) = (tokio::spawn(one), tokio::spawn(other));
        (one.await.unwrap(), other.await.unwrap())
    } else {
        let other = tokio::spawn(other);
        let one = tokio::spawn(one);
        (one.await.unwrap(), other.await.unwrap())
    }
}

pub(crate) fn delete(by: &Actor, path: String) -> impl Future<Output = Reply> + Send + use<> {
    let by = by.clone();
    async move { by.delete(&path).await }
}

pub(crate) fn post(
    by: &Actor,
    path: String,
    body: Option<Value>,
) -> impl Future<Output = Reply> + Send + use<> {
    let by = by.clone();
    async move { by.call("POST", &path, body).await }
}

pub(crate) fn patch(by: &Actor, path: String, body: Value) -> impl Future<Output = Reply> + Send + use<> {
    let by = by.clone();
    async move { by.patch(&path, body).await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_removed_twice_at_once_is_removed_once_m9() {
    let scene = Scene::new().await;
    let (helper, _) = scene.admin("helper@acme.test").await;
    for round in 0..ROUNDS {
        let (_, id) = scene.admin(&format!("admin-{round}@acme.test")).await;
        let path = scene.path(&format!("/members/{id}"));
        let (one, other) =
            at_once(round, delete(&scene.owner, path.clone()), delete(&helper, path.clone())).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404], "{} {}", one.text(), other.text());
        scene.owner.get(&path).await.problem(404, "not_found");
    }
    let departures = scene.owner.get(&scene.path("/departures?limit=200")).await.expect(200).json();
    assert_eq!(departures["items"].as_array().unwrap().len(), ROUNDS);
    assert_eq!(scene.admins().await.len(), 2);
}

/// The owner is an admin for ever, so there is always a last one; of two others who remove each other one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_admins_who_remove_each_other_one_stays_m9() {
    let scene = Scene::new().await;
    for round in 0..ROUNDS {
        let (one, one_id) = scene.admin(&format!("one-{round}@acme.test")).await;
        let (other, other_id) = scene.admin(&format!("other-{round}@acme.test")).await;
        let (first, second) = at_once(
            round,
            delete(&one, scene.path(&format!("/members/{other_id}"))),
            delete(&other, scene.path(&format!("/members/{one_id}"))),
        )
        .await;
        let left = match (first.status, second.status) {
            (200, 404) => one_id,
            (404, 200) => other_id,
            _ => panic!("{first:?} {second:?}"),
        };
        let admins = scene.admins().await;
        assert_eq!(admins.len(), 2, "{admins:?}");
        assert!(admins.iter().any(|admin| admin["user_id"] == *left));
        scene.owner.delete(&scene.path(&format!("/members/{left}"))).await.expect(200);
    }
}

/// Whoever becomes the owner is an admin at that moment and from then on (O3, O3a, M9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_is_an_admin_however_demotion_and_acceptance_race_o3() {
    for round in 0..ROUNDS / 4 {
        let scene = Scene::new().await;
        let (heir, id) = scene.admin("heir@acme.test").await;
        let (helper, _) = scene.admin("helper@acme.test").await;
        scene.owner.post(&scene.path("/ownership"), json!({ "user_id": id })).await.expect(201);
        let (accepted, demoted) = at_once(
            round,
            post(&heir, scene.path("/ownership/accept"), None),
            patch(&helper, scene.path(&format!("/members/{id}")), json!({ "role": "member" })),
        )
        .await;
        let owner = |admins: &[Value]| {
            let owners: Vec<_> = admins.iter().filter(|admin| admin["owner"] == true).cloned().collect();
            assert_eq!(owners.len(), 1, "{admins:?}");
            owners[0]["user_id"].clone()
        };
        let admins = scene.admins().await;
        match (accepted.status, demoted.status) {
            (200, 409) => assert_eq!(owner(&admins), id.as_str()),
            (403 | 404 | 409, 200) => assert_ne!(owner(&admins), id.as_str()),
            _ => panic!("{} {}", accepted.text(), demoted.text()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitation_accepted_twice_at_once_is_used_once_m2() {
    let scene = Scene::new().await;
    for round in 0..ROUNDS {
        let email = format!("new-{round}@elsewhere.test");
        let invited =
            scene.owner.post(&scene.path("/invitations"), json!({ "email": email })).await.expect(201);
        let body = json!({ "token": invited.json()["token"] });
        let (here, there) = (scene.stage.sign_in(&email).await, scene.stage.sign_in(&email).await);
        let accept = |by: &Actor| post(by, "/v1/invitations:accept".to_owned(), Some(body.clone()));
        let (one, other) = at_once(round, accept(&here), accept(&there)).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.text(), other.text());
    }
    let members = scene.owner.get(&scene.path("/members?limit=200")).await.expect(200).json();
    assert_eq!(members["items"].as_array().unwrap().len(), ROUNDS + 1);
}

/// An invitation that is called back while it is accepted is one or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitation_is_accepted_or_called_back_never_both_m2() {
    let scene = Scene::new().await;
    for round in 0..ROUNDS {
        let email = format!("new-{round}@elsewhere.test");
        let invited =
            scene.owner.post(&scene.path("/invitations"), json!({ "email": email })).await.expect(201);
        let invited = invited.json();
        let invitation =
            scene.path(&format!("/invitations/{}", invited["invitation"]["id"].as_str().unwrap()));
        let guest = scene.stage.sign_in(&email).await;
        let body = json!({ "token": invited["token"] });
        let (accepted, cancelled) = at_once(
            round,
            post(&guest, "/v1/invitations:accept".to_owned(), Some(body)),
            delete(&scene.owner, invitation.clone()),
        )
        .await;
        let status = scene.owner.get(&invitation).await.expect(200).json()["status"].clone();
        let is_member = guest.get(&scene.path("/members")).await.status == 200;
        match (accepted.status, cancelled.status) {
            (200, 409) => assert_eq!((status.as_str(), is_member), (Some("accepted"), true)),
            (404 | 409, 200) => assert_eq!((status.as_str(), is_member), (Some("cancelled"), false)),
            _ => panic!("{} {}", accepted.text(), cancelled.text()),
        }
    }
}
