//! What is let in, and what becomes of it.

use crate::place::{Published, echo, send};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::routing::any;
use latchkey_tower::{Client, Latchkey, Need, Permission};
use std::time::{Duration, Instant};

fn request(method: &str, target: &str, key: &str) -> Request {
    let builder = Request::builder().method(method).uri(target);
    builder.header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn revoked_key_is_refused_as_soon_as_its_head_is_read() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let app = Router::new().fallback(any(echo)).layer(Latchkey::new(guard.clone()));
    let ask = || request("GET", "/v1/projects/alpha/files", place.key("member"));
    assert_eq!(send(&app, ask()).await.0, 200);
    place.revoke("member");
    let began = Instant::now();
    loop {
        let (status, headers, body) = send(&app, ask()).await;
        if status == 401 {
            assert_eq!(body["code"], "revoked");
            assert_eq!(headers["www-authenticate"], "Bearer error=\"invalid_token\"");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "it is still let in");
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&app, request("GET", "/v1/kept", place.key("admin"))).await.0, 200);
}

#[tokio::test]
async fn credential_goes_on_only_where_the_rule_keeps_it() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let app = Router::new().fallback(any(echo)).layer(Latchkey::new(guard));
    for (target, is_kept) in [("/v1/kept", true), ("/v1/projects/alpha/files", false)] {
        let (status, _, seen) = send(&app, request("GET", target, place.key("member"))).await;
        assert_eq!(status, 200);
        assert_eq!(seen["headers"].to_string().contains("\"authorization\""), is_kept, "{target}");
    }
}

#[tokio::test]
async fn application_may_say_itself_what_a_request_needs() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let needs = |parts: &Parts| {
        let project = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let permission =
            if parts.method == "DELETE" { Permission::ClustersDelete } else { Permission::FilesView };
        Need::new(permission).in_project(&project)
    };
    let app = Router::new().fallback(any(echo)).layer(Latchkey::new(guard).needing(needs));
    for (method, target, key, expected) in [
        ("GET", "/own/alpha", "member", 200),
        ("GET", "/own/beta", "member", 404),
        ("GET", "/own/nobody", "member", 404),
        ("DELETE", "/own/alpha", "member", 403),
        ("DELETE", "/own/alpha", "admin", 200),
        // That a rule makes it public is nothing to an application that says what it needs.
        ("GET", "/files", "member", 404),
    ] {
        let (status, _, body) = send(&app, request(method, target, place.key(key))).await;
        assert_eq!(status, expected, "{method} {target} {key}: {body}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_answered_as_the_rules_say() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let app = Router::new().fallback(any(echo)).layer(Latchkey::new(guard));
    // A gate that knows no rules yet answers no preflight.
    assert_eq!(send(&app, request("GET", "/v1/kept", place.key("member"))).await.0, 200);
    let preflight = |origin: &str| {
        let mut request = Request::builder().method("OPTIONS").uri("/v1/kept").body(Body::empty()).unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        request
    };
    let (status, headers, _) = send(&app, preflight("https://app.example")).await;
    assert_eq!((status, headers["access-control-allow-methods"].to_str().unwrap()), (204, "GET"));
    assert_eq!(send(&app, preflight("https://other.example")).await.0, 403);
    let mut asked = request("GET", "/v1/kept", place.key("member"));
    asked.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    let (_, headers, _) = send(&app, asked).await;
    assert_eq!(headers["access-control-allow-origin"], "https://app.example");
}

#[tokio::test]
async fn key_is_told_who_it_is() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let reply = guard.whoami(&request("GET", "/v1/whoami", place.key("beta")).into_parts().0, None).await;
    assert_eq!(reply.status(), 200);
    let body = axum::body::to_bytes(Body::new(reply.into_body()), 1 << 16).await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["project"]["slug"], "beta");
    guard.close().await;
}
