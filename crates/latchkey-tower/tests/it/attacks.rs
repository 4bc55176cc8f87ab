//! What must not reach a handler, and does not.

use crate::place::{Published, echo, send};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::any;
use latchkey_tower::{Client, Guard, Latchkey, Need, Permission};
use std::sync::atomic::Ordering;

fn app(guard: &Guard) -> Router {
    Router::new().fallback(any(echo)).layer(Latchkey::new(guard.clone()))
}

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

#[tokio::test]
async fn smuggled_requests_are_refused() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let (member, admin) = (bearer(place.key("member")), bearer(place.key("admin")));
    let own = ("authorization", member.as_str());
    let folded = format!("{member}, {admin}");
    for (method, target, headers, expected) in [
        ("GET", "/v1/projects/alpha/files", vec![], (401, "unauthenticated")),
        ("GET", "/v1/projects/alpha/files", vec![own, own], (401, "unauthenticated")),
        ("GET", "/v1/projects/alpha/files", vec![own, ("authorization", &*admin)], (401, "unauthenticated")),
        ("GET", "/v1/projects/alpha/files", vec![("authorization", &*folded)], (401, "unauthenticated")),
        ("GET", "/v1/projects/beta/files", vec![own], (404, "not_found")),
        ("GET", "/v1/projects/alpha/files", vec![own, ("latchkey-project", "beta")], (404, "not_found")),
        ("GET", "/v1/projects/alpha/../alpha/files", vec![own], (400, "path_dot_segment")),
        ("GET", "/v1/projects/alpha//files", vec![own], (400, "path_empty_segment")),
        ("GET", "/v1/projects/alpha/files/", vec![own], (400, "path_empty_segment")),
        ("GET", "/v1/projects/alpha%2Ffiles", vec![own], (400, "path_encoded_slash")),
        ("GET", "/v1/projects/%61lpha/files", vec![own], (400, "path_needless_escape")),
        ("GET", "/v1/other", vec![own], (404, "not_found")),
        ("DELETE", "/v1/clusters", vec![own], (403, "permission_denied")),
        ("OPTIONS", "/v1/clusters", vec![own], (404, "not_found")),
    ] {
        let (status, headers, body) = send(&app(&guard), request(method, target, &headers)).await;
        let code = body["code"].as_str().unwrap_or_default();
        assert_eq!((status, code), expected, "{method} {target}: {body}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn nobody_speaks_in_our_name_to_a_handler_nor_a_handler_to_a_client() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let key = bearer(place.key("member"));
    let sent = [
        ("authorization", key.as_str()),
        ("latchkey-key", "admin"),
        ("Latchkey_Role", "admin"),
        ("latchkey.project", "beta"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/v1/clusters"),
        ("x-kept", "yes"),
    ];
    let (status, headers, seen) = send(&app(&guard), request("GET", "/v1/projects/alpha/files", &sent)).await;
    assert_eq!((status, &seen["project"]), (200, &"alpha".into()));
    let names: Vec<&str> =
        seen["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    let ours = ["latchkey-key", "latchkey-project", "latchkey-organization", "latchkey-role"];
    assert!(names.iter().all(|name| ours.contains(name) || *name == "x-kept"), "{names:?}");
    assert_eq!(names.len(), 5);
    assert!(seen["headers"].to_string().contains("[\"latchkey-role\",\"member\"]"), "{seen}");
    assert_eq!(headers.get("latchkey-role"), None);
    assert_eq!(headers["latchkey-generation"], "10");
    assert_eq!(headers.get("latchkey-stale"), None);
}

#[tokio::test]
async fn caller_of_an_outer_guard_is_not_that_of_a_public_route() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let app = app(&guard).layer(Latchkey::new(guard.clone()).needing(|_| Need::new(Permission::FilesView)));
    let key = bearer(place.key("member"));
    // The outer one takes the credential, and the inner one, whose route is public, names nobody.
    let (status, _, seen) = send(&app, request("GET", "/files", &[("authorization", &key)])).await;
    assert_eq!((status, &seen["project"]), (200, &serde_json::Value::Null));
}

#[tokio::test]
async fn what_is_nested_is_judged_by_the_path_that_was_accepted() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let key = bearer(place.key("member"));
    let inner = Router::new().route("/files", any(echo)).layer(Latchkey::new(guard.clone()));
    let app = Router::new().nest("/v1/projects/{project}", inner.clone()).nest("/v1/admin", inner);
    let (status, _, seen) =
        send(&app, request("GET", "/v1/projects/alpha/files", &[("authorization", &key)])).await;
    assert_eq!((status, &seen["path"]), (200, &"/files".into()));
    let beta = send(&app, request("GET", "/v1/projects/beta/files", &[("authorization", &key)])).await;
    assert_eq!(beta.0, 404);
    // `/files` is public; `/v1/admin/files` is not.
    assert_eq!(send(&app, request("GET", "/v1/admin/files", &[])).await.0, 401);
    assert_eq!(send(&app, request("GET", "/v1/admin/files", &[("authorization", &key)])).await.0, 404);
}

#[tokio::test]
async fn path_that_was_rewritten_on_the_way_is_refused() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let inner = Router::new().fallback(any(echo)).layer(Latchkey::new(guard)).layer(
        axum::middleware::map_request(async |mut request: Request| {
            *request.uri_mut() = "/v1/clusters".parse().unwrap();
            request
        }),
    );
    let app = Router::new().fallback_service(inner);
    let (status, _, body) = send(&app, request("GET", "/files", &[])).await;
    assert_eq!((status, &body["code"]), (503, &"not_configured".into()));
}

#[tokio::test]
async fn handler_sees_the_host_that_was_judged() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let key = bearer(place.key("member"));
    let own = ("authorization", key.as_str());
    let admin = ("host", "admin.example");
    assert_eq!(send(&app(&guard), request("GET", "/v1/hosted", &[own, admin])).await.0, 403);
    let absolute = request("GET", "http://admin.example/v1/hosted", &[own, ("host", "other.example")]);
    assert_eq!(send(&app(&guard), absolute).await.0, 403);
    let twice = request("GET", "/v1/hosted", &[own, ("host", "other.example"), admin]);
    let (status, _, seen) = send(&app(&guard), twice).await;
    assert_eq!(status, 200);
    assert!(!seen["headers"].to_string().contains("admin.example"), "{seen}");
}

#[tokio::test]
async fn model_is_read_in_the_body_and_the_body_goes_on_whole() {
    let place = Published::new();
    let guard = place.guard(Client::Unknown).await;
    let key = bearer(place.key("model"));
    let post = |body: &str| {
        let mut request = request("POST", "/v1/chat", &[("authorization", key.as_str())]);
        *request.body_mut() = Body::from(body.to_owned());
        request
    };
    for body in ["", "{}", "{\"model\":\"large\"}", "{\"model\":\"small\",\"model\":\"large\"}"] {
        assert_eq!(send(&app(&guard), post(body)).await.0, 403, "{body}");
    }
    let long = format!("{{\"x\":\"{}\",\"model\":\"small\"}}", "a".repeat(70_000));
    assert_eq!(send(&app(&guard), post(&long)).await.0, 403);
    let body = format!("{{\"model\":\"small\",\"x\":\"{}\"}}", "a".repeat(70_000));
    let (status, _, seen) = send(&app(&guard), post(&body)).await;
    assert_eq!((status, &seen["model"], &seen["body"]), (200, &"small".into(), &body.into()));
}

#[tokio::test]
async fn address_that_is_not_known_is_in_no_network() {
    let place = Published::new();
    let key = bearer(place.key("network"));
    let own = ("authorization", key.as_str());
    let ask = |client: Client, headers: Vec<(&'static str, &'static str)>| {
        let (place, headers) = (place.clone(), [vec![own], headers].concat());
        let request = request("GET", "/v1/projects/alpha/files", &headers);
        async move { send(&app(&place.guard(client).await), request).await.0 }
    };
    assert_eq!(ask(Client::Unknown, vec![("x-client", "10.0.0.1")]).await, 403);
    // Nothing here says who is at the other end.
    assert_eq!(ask(Client::Peer, vec![("x-client", "10.0.0.1")]).await, 403);
    let header = || Client::Header("x-client".to_owned());
    assert_eq!(ask(header(), vec![("x-client", "10.0.0.1"), ("x-client", "10.0.0.1")]).await, 403);
    assert_eq!(ask(header(), vec![("x-client", "11.0.0.1")]).await, 403);
    assert_eq!(ask(header(), vec![("x-client", "10.0.0.1")]).await, 200);
}

#[tokio::test]
async fn source_that_is_down_from_the_start_lets_nobody_in() {
    let place = Published::new();
    place.is_down.store(true, Ordering::SeqCst);
    let guard = place.guard(Client::Unknown).await;
    let key = bearer(place.key("member"));
    let (status, headers, body) =
        send(&app(&guard), request("GET", "/v1/projects/alpha/files", &[("authorization", &key)])).await;
    assert_eq!((status, &body["code"]), (503, &"no_snapshot".into()));
    assert_eq!(headers["retry-after"], "1");
}
