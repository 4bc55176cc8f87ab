//! Somebody who calls the API, and what they are told.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request};
use latchkey_control::http::{Route, openapi, routes};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::OnceCell;
use tower::ServiceExt;

/// Somebody with a credential, or without one.
#[derive(Clone)]
pub struct Actor {
    router: Router,
    token: Option<String>,
}

/// What the API answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Actor {
    /// Whoever holds this token.
    pub fn new(router: Router, token: Option<String>) -> Self {
        Self { router, token }
    }

    /// The token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    /// `POST` with a body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    /// `POST` without a body.
    pub async fn act(&self, path: &str) -> Reply {
        self.call("POST", path, None).await
    }

    /// `PATCH`
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, Some(body)).await
    }

    /// `PUT`
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.call("PUT", path, Some(body)).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).await
    }

    /// Any method, with or without a JSON body.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call_with(&[], method, path, body).await
    }

    /// The same with these headers.
    pub async fn call_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            None => Body::empty(),
            Some(value) => {
                request = request.header("content-type", "application/json");
                Body::from(value.to_string())
            }
        };
        self.send(request.body(body).expect("the test's request is well formed")).await
    }

    /// A request as it is, without this actor's credential.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.expect("the router never fails");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("the whole body is there");
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, body: body.to_vec() };
        check_documented(&method, &path, &reply);
        reply
    }
}

/// Checks that a refusal is one that the OpenAPI document names.
fn check_documented(method: &Method, path: &str, reply: &Reply) {
    let code = match reply.header("content-type") {
        Some("application/problem+json") => reply.json()["code"].clone(),
        _ => return,
    };
    let code = code.as_str().unwrap_or_default();
    ROUTES.with(|known| {
        let is_it = |route: &&Route| route.method == *method && route.is_at(path);
        let Some(route) = known.get_or_init(routes).iter().find(is_it) else { return };
        let is_documented = openapi::is_documented(route, reply.status, code);
        assert!(
            is_documented,
            "`{}` refuses with {} `{code}`: add it to its row's `.codes`",
            route.name, reply.status
        );
    });
}

thread_local! {
    static ROUTES: OnceCell<Vec<Route>> = const { OnceCell::new() };
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.read()
    }

    /// The body as one of the API's types.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {} {}", self.status, self.text()),
        }
    }

    /// The reply, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Checks that it is a problem with this status and code, and returns it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        problem
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
