//! What takes long, and asks whether it may go on.

use crate::place::Published;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use latchkey_tower::{Client, Latchkey, Need, Permission, Recheck};
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// An application whose handlers hand out what they would ask with.
fn app(latchkey: Latchkey) -> Router {
    let handler = async |Extension(recheck): Extension<Recheck>| {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(recheck);
        response
    };
    Router::new().fallback(any(handler)).layer(latchkey)
}

async fn recheck(app: &Router, target: &str, key: &str) -> Recheck {
    let request = Request::builder().uri(target).header("authorization", format!("Bearer {key}"));
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.extensions().get::<Recheck>().unwrap().clone()
}

async fn ends(recheck: &Recheck) {
    let began = Instant::now();
    while recheck.still_allowed().await {
        assert!(began.elapsed() < Duration::from_secs(5), "it is still let in");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_let_in_is_not_any_more_once_its_key_is_revoked() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let by_rules = app(Latchkey::new(guard.clone()));
    let by_need = app(Latchkey::new(guard.clone()).needing(|_| Need::new(Permission::FilesView)));
    let files = "/v1/projects/alpha/files";
    let member = recheck(&by_rules, files, place.key("member")).await;
    let needed = recheck(&by_need, "/own", place.key("member")).await;
    let admin = recheck(&by_rules, files, place.key("admin")).await;
    let public = recheck(&by_rules, "/files", place.key("member")).await;
    for one in [&member, &needed, &admin, &public] {
        assert!(one.still_allowed().await);
    }
    place.revoke("member");
    ends(&member).await;
    ends(&needed).await;
    assert!(admin.still_allowed().await && public.still_allowed().await);
    assert!(!format!("{member:?}").contains(place.key("member")));
}

#[tokio::test]
async fn inner_guard_asks_for_its_own_need() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    // The outer one takes the credential, and the inner one lets everybody in.
    let outer = Latchkey::new(guard.clone()).needing(|_| Need::new(Permission::FilesView));
    let app = app(Latchkey::new(guard)).layer(outer);
    let inner = recheck(&app, "/files", place.key("member")).await;
    place.revoke("member");
    assert!(inner.still_allowed().await);
}
