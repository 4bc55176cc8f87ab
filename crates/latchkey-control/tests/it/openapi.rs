//! The OpenAPI document: what is committed is what the routes say, and it is whole.
//!
//! `cargo xtask golden` writes it anew. That routes refuse only as it says is checked by every test's `Actor`.

use latchkey_control::http::{openapi, routes};
use latchkey_testkit::{Stage, check_golden};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn golden_openapi() {
    check_golden("openapi.json", openapi::text());
}

/// What need not be asked for has no default of another type than its own.
#[test]
fn no_default_is_null() {
    assert!(!openapi::text().contains("\"default\": null"));
}

#[tokio::test]
async fn document_is_served_to_anybody() {
    let reply = Stage::new().await.anonymous().get("/openapi.json").await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), openapi::document());
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openapi::document();
    let mut references = Vec::new();
    each(&document, &mut |value| references.extend(value["$ref"].as_str().map(str::to_owned)));
    assert!(references.len() > 100);
    for reference in references {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference}");
    }
}

#[test]
fn every_route_is_described_under_a_name_of_its_own() {
    let document = openapi::document();
    let mut names = BTreeSet::new();
    for route in routes() {
        let path = route.path.replace("{*", "{").replace('/', "~1");
        let operation = &document.pointer(&format!("/paths/{path}/{}", route.method.as_str().to_lowercase()));
        let operation = operation.unwrap_or_else(|| panic!("{} is missing", route.path));
        assert!(names.insert(route.name), "`{}` names two routes", route.name);
        assert!(route.summary.ends_with('.') && operation["summary"] == route.summary, "{}", route.path);
        let is_open = operation["security"] == json!([]);
        assert_eq!(is_open, operation["responses"]["401"].is_null(), "{}", route.path);
    }
}

/// What is kept for replays leaves out what has the type of a secret, so every secret of a reply must have it.
#[test]
fn every_secret_of_a_reply_has_the_type_that_is_left_out_k2() {
    let document = openapi::document();
    let mut secrets = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // Requests refuse unknown fields; replies say nothing of them.
        let is_request = schema["additionalProperties"] == false;
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let words = ["secret", "token", "password", "link"];
            if is_request || !words.iter().any(|word| field.split('_').next_back() == Some(word)) {
                continue;
            }
            let is_text = schema["type"] == "string" || schema["type"] == json!(["string", "null"]);
            assert!(!is_text, "{name}.{field} is a plain text");
            secrets += usize::from(schema_name(schema) == Some("Revealed"));
        }
    }
    assert!(secrets >= 5, "it looks in the wrong place");
}

fn schema_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn each(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|field| each(field, see)),
        Value::Array(items) => items.iter().for_each(|item| each(item, see)),
        _ => {}
    }
}
