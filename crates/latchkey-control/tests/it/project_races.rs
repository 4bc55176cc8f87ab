//! Two at once in a project: an invitation is used once, a person is added once (J8, X5, M2).

use crate::collaborators::Scene;
use crate::project_invitations::ACCEPT;
use crate::races::{ROUNDS, at_once, delete, post};
use latchkey_core::Role;
use latchkey_testkit::Actor;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn project_invitation_accepted_twice_at_once_is_used_once_x5() {
    let scene = Scene::new().await;
    for round in 0..ROUNDS {
        let email = format!("guest-{round}@else.test");
        let invited = scene.invite(&scene.owner, &email).await;
        let body = json!({ "token": invited["token"] });
        let (here, there) = (scene.stage.sign_in(&email).await, scene.stage.sign_in(&email).await);
        let accept = |by: &Actor| post(by, ACCEPT.to_owned(), Some(body.clone()));
        let (one, other) = at_once(round, accept(&here), accept(&there)).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.text(), other.text());
    }
    assert_eq!(scene.emails().await.len(), ROUNDS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn project_invitation_is_accepted_or_its_sender_was_gone_never_both_m2() {
    let scene = Scene::new().await;
    for round in 0..ROUNDS {
        let (_, id) = scene.external(&format!("eve-{round}@evil.test"), Role::Admin).await;
        let eve = scene.stage.sign_in(&format!("eve-{round}@evil.test")).await;
        let email = format!("guest-{round}@else.test");
        let invited = scene.invite(&eve, &email).await;
        let guest = scene.stage.sign_in(&email).await;
        let body = json!({ "token": invited["token"] });
        let (accepted, removed) =
            at_once(round, post(&guest, ACCEPT.to_owned(), Some(body)), delete(&scene.owner, scene.one(&id)))
                .await;
        assert_eq!(removed.status, 200, "{}", removed.text());
        let takes_part = guest.get(&scene.at("")).await.status == 200;
        match accepted.status {
            200 => assert_eq!((takes_part, scene.status(&invited).await), (true, json!("accepted"))),
            409 => assert_eq!((takes_part, scene.status(&invited).await), (false, json!("cancelled"))),
            _ => panic!("{}", accepted.text()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_person_added_or_invited_twice_at_once_is_so_once_j8() {
    let scene = Scene::new().await;
    let (lead, _) = scene.collaborator("lead@acme.test", Role::Admin).await;
    let path = scene.at("/collaborators");
    for round in 0..ROUNDS {
        let email = format!("bob-{round}@acme.test");
        scene.member(&email, Role::Member).await;
        let guest = json!({ "email": format!("guest-{round}@else.test"), "external": true });
        for body in [json!({ "email": email }), guest] {
            let add = |by: &Actor| post(by, path.clone(), Some(body.clone()));
            let (one, other) = at_once(round, add(&scene.owner), add(&lead)).await;
            let mut statuses = [one.status, other.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409], "{} {}", one.text(), other.text());
        }
    }
    assert_eq!(scene.emails().await.len(), ROUNDS + 2);
    let invitations = scene.owner.get(&scene.at("/invitations?limit=200")).await.expect(200).json();
    assert_eq!(invitations["items"].as_array().unwrap().len(), ROUNDS);
}
