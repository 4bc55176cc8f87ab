//! The OpenAPI 3.1 document, made from the table of routes: `GET /openapi.json`.
//!
//! [`document`] is the start. What holds for every route of a kind (headers, error codes) is said here once, beside
//! the code that makes it hold (`manners`, `limits`, `auth`).

use super::error::{NOT_MODIFIED, NOTHING_NEW, SHOWN, UNPROVEN, status};
use super::manners::IDEMPOTENCY_KEY_CHARS_MAX;
use super::route::{Needs, Reply, Route, Shape};
use super::{error, routes};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use latchkey_api::{Code, Problem};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The media type of every error.
const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// What stands in paths: name, pattern, and what it is.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("batch", "^[0-9A-Za-z]{1,64}$", "A batch's id."),
    ("digest", "^[0-9a-f]{64}$", "The BLAKE3 digest of an object."),
    ("id", "^[0-9A-Za-z._:-]{1,96}$", "The platform's own name of the resource."),
    ("index", "^[0-9a-z./]{1,64}$", "A tile's index as C2SP tlog-tiles writes it, its slashes as they are."),
    ("invitation", "^inv_[0-9A-Za-z]{16}$", "An invitation."),
    ("key", "^[0-9A-Za-z]{11}$", "A key's public id."),
    ("level", "^[0-9]{1,2}$", "A tile's level."),
    ("notice", "^note_[0-9A-Za-z]{16}$", "A notice."),
    ("number", "^[0-9]{1,20}$", "The number of a set of route rules."),
    ("organization", "^org_[0-9A-Za-z]{16}$", "An organization."),
    ("position", "^[0-9]{1,20}$", "An entry's position in the log, from 0."),
    ("project", "^(proj_[0-9A-Za-z]{16}|[a-z0-9-]{3,63})$", "A project: its id or its slug."),
    ("session", "^sess_[0-9A-Za-z]{16}$", "A session."),
    ("token", "^[0-9]{1,10}$", "A token's number."),
    ("type", "^[a-z]{1,16}$", "A type of resource."),
    ("user", "^user_[0-9A-Za-z]{16}$", "An account."),
    ("version", "^[0-9]{1,10}$", "A root's version."),
];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

/// `GET /openapi.json`
pub(super) async fn read() -> Response {
    ([(header::CONTENT_TYPE, JSON)], text()).into_response()
}

/// The document as it is served.
pub fn text() -> &'static str {
    &DOCUMENT
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<Problem>();
    let routes = routes();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in &routes {
        let operation = operation(route, &mut generator);
        let methods = paths.entry(route.path.replace("{*", "{")).or_default();
        methods.insert(route.method.as_str().to_lowercase(), operation);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(let_secrets_be_absent);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Latchkey",
            "description": "Identity and access for a multi-tenant API platform: the control plane.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "tags": routes.iter().map(tag).collect::<BTreeSet<_>>().iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters(),
            "headers": headers(),
            "responses": all_refusals(&routes),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A session's token, a service account's, an operator's, one that brings usage, an API key, or what native gates read with.",
                },
            },
        },
    })
}

/// Whether the document says that the route may refuse so.
pub fn is_documented(route: &Route, status: u16, code: &str) -> bool {
    refusals(route).iter().any(|(of, codes)| *of == status && codes.contains(code))
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "description": who(route.needs),
        "tags": [tag(route)],
        "parameters": parameters_of(route),
        "responses": responses(route, generator),
    });
    if route.needs == Needs::Nothing {
        operation["security"] = json!([]);
    }
    if let Some(body) = route.body {
        operation["requestBody"] =
            json!({ "required": true, "content": { JSON: { "schema": body(generator) } } });
    }
    operation
}

/// The noun of a route's name.
fn tag(route: &Route) -> &'static str {
    route.name.split('.').next().unwrap_or(route.name)
}

fn who(needs: Needs) -> String {
    match needs {
        Needs::Nothing => "For anybody, without a credential.".to_owned(),
        Needs::Own => "For a person or a service account, about themselves.".to_owned(),
        Needs::Credential => "For any credential; the answer follows what it may know.".to_owned(),
        Needs::Permission(permission) => format!("Needs `{permission}`."),
        Needs::OneOf(permissions) => {
            let words: Vec<String> = permissions.iter().map(|one| format!("`{one}`")).collect();
            format!("Needs one of {}, by what it is about.", words.join(", "))
        }
        Needs::Operator(act) => format!("For operators: `{}`.", act.as_str()),
        Needs::Ownership => "For the owner of the organization.".to_owned(),
        Needs::Succession => "For the admin to whom the ownership is offered.".to_owned(),
        Needs::Join => "For whoever may join the project.".to_owned(),
        Needs::Key => "For an API key.".to_owned(),
        Needs::Report => "For a credential that brings usage.".to_owned(),
        Needs::Gate => "For the credential that native gates read with.".to_owned(),
    }
}

fn parameters_of(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> =
        in_path.map(|name| reference("parameters", name.trim_start_matches('*'))).collect();
    all.extend(route.query.into_iter().flat_map(in_query));
    let of_manners: &[&str] = match (&route.method, route.reply, route.has_wishes()) {
        (&Method::GET, Reply::Shown(_), _) => &["If-None-Match"],
        (_, _, true) => &["Idempotency-Key", "If-Match", "dry_run"],
        _ => &[],
    };
    all.extend(of_manners.iter().map(|name| reference("parameters", name)));
    all
}

/// The fields of a query, each a parameter.
fn in_query(shape: Shape) -> Vec<Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let schema = shape(&mut settings.into_generator()).to_value();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let is_required = required.iter().any(|one| *one == json!(name));
        json!({ "name": name, "in": "query", "required": is_required, "description": description, "schema": without_null(schema) })
    };
    fields.into_iter().map(parameter).collect()
}

/// A query has no `null`: what may be absent is absent.
fn without_null(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        choices.retain(|one| one["type"] != "null");
        if let [only] = &choices[..] {
            return only.clone();
        }
    }
    schema
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let (status, description, mut content) = match route.reply {
        Reply::Shown(shape) => (SHOWN, "All is well.", json!({ JSON: { "schema": shape(generator) } })),
        Reply::Made(shape) => {
            (error::CREATED, "It was made.", json!({ JSON: { "schema": shape(generator) } }))
        }
        Reply::Taken(shape) => {
            (error::TAKEN, "It was taken in.", json!({ JSON: { "schema": shape(generator) } }))
        }
        Reply::Text(JSON) => (SHOWN, "All is well.", json!({ JSON: { "schema": {} } })),
        Reply::Text(media_type) => {
            (SHOWN, "All is well.", json!({ media_type: { "schema": { "type": "string" } } }))
        }
    };
    if let Some(media_type) = route.also {
        content[media_type] = json!({ "schema": { "type": "string" } });
    }
    let is_tagged = route.method == Method::GET && matches!(route.reply, Reply::Shown(_));
    let names: &[&str] = match (is_tagged, route.has_wishes()) {
        (true, _) => &["ETag"],
        (_, true) => &["Idempotency-Replayed", "Latchkey-Dry-Run", "Latchkey-Generation"],
        _ => &[],
    };
    let mut responses = Map::new();
    responses.insert(
        status.as_u16().to_string(),
        json!({ "description": description, "headers": header_references(names), "content": content }),
    );
    if is_tagged {
        let known = json!({ "description": "It is as `If-None-Match` says.", "headers": header_references(&["ETag"]) });
        responses.insert(NOT_MODIFIED.as_u16().to_string(), known);
    }
    if route.may_be_empty {
        responses.insert(NOTHING_NEW.as_u16().to_string(), json!({ "description": "Nothing is new." }));
    }
    for (status, codes) in refusals(route) {
        responses.insert(status.to_string(), reference("responses", &refusal_name(status, &codes)));
    }
    Value::Object(responses)
}

/// What refusals with this status and one of these codes are called; many routes refuse alike.
fn refusal_name(status: u16, codes: &BTreeSet<&'static str>) -> String {
    let words: Vec<&str> = codes.iter().copied().collect();
    format!("{status}.{}", words.join("."))
}

fn all_refusals(routes: &[Route]) -> Map<String, Value> {
    let all = routes.iter().flat_map(refusals);
    all.map(|(status, codes)| (refusal_name(status, &codes), refusal(status, &codes))).collect()
}

fn refusal(status: u16, codes: &BTreeSet<&'static str>) -> Value {
    let names: &[&str] = match status {
        _ if status == UNPROVEN.as_u16() => &["WWW-Authenticate"],
        _ if codes.contains(Code::RateLimited.as_str()) => &["Retry-After"],
        _ => &[],
    };
    let words: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let fields = json!({ "code": { "enum": codes }, "status": { "const": status } });
    let schema = json!({ "allOf": [reference("schemas", "Problem"), { "properties": fields }] });
    json!({
        "description": words.join(", "),
        "headers": header_references(names),
        "content": { PROBLEM: { "schema": schema } },
    })
}

/// The codes with which a route may refuse or fail, by status: those of every route like it, and its own.
fn refusals(route: &Route) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut codes =
        vec![Code::Internal, Code::StorageFailed, Code::TimedOut, Code::InvalidQuery, Code::BodyTimeout];
    codes.extend(match route.body {
        Some(_) => {
            &[Code::InvalidJson, Code::UnsupportedMediaType, Code::BodyTooLarge, Code::InvalidField][..]
        }
        None => &[Code::UnexpectedBody],
    });
    if route.has_wishes() {
        codes.extend([Code::InvalidHeader, Code::IdempotencyMismatch, Code::PreconditionFailed]);
    }
    if route.path.starts_with("/v1/") {
        codes.push(Code::RateLimited);
    }
    if !matches!(route.needs, Needs::Nothing) {
        codes.push(Code::Forbidden);
    }
    if route.path.contains('{') {
        codes.extend([Code::NotFound, Code::Suspended, Code::Archived]);
    }
    codes.extend(route.codes);
    let mut refusals: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for code in codes {
        refusals.entry(status(code).as_u16()).or_default().insert(code.as_str());
    }
    if route.needs != Needs::Nothing {
        let unproven = [Code::Unauthenticated, Code::Expired, Code::Revoked, Code::Disabled, Code::Suspended]
            .map(Code::as_str);
        refusals.entry(UNPROVEN.as_u16()).or_default().extend(unproven);
    }
    refusals
}

fn parameters() -> Value {
    let mut all = Map::new();
    for (name, pattern, description) in PARAMETERS {
        let schema = json!({ "type": "string", "pattern": pattern });
        let parameter = json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema });
        all.insert((*name).to_owned(), parameter);
    }
    let others = [
        (
            "Idempotency-Key",
            "header",
            json!({ "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX, "pattern": "^[ -~]+$" }),
            "The change is made once, however often it is asked with this key within a day; later replies are the first one without its secrets.",
        ),
        (
            "If-Match",
            "header",
            json!({ "type": "string", "pattern": "^(\\*|(W/)?\"[^\"]*\"(, *(W/)?\"[^\"]*\")*)$" }),
            "The change is made only if the thing is in one of the states with these entity tags.",
        ),
        (
            "If-None-Match",
            "header",
            json!({ "type": "string" }),
            "Nothing is sent if the thing is in one of the states with these entity tags.",
        ),
        (
            "dry_run",
            "query",
            json!({ "type": "string", "const": "true" }),
            "Everything is checked and nothing is changed; the reply is what it would be, without secrets.",
        ),
    ];
    for (name, place, schema, description) in others {
        let parameter = json!({ "name": name, "in": place, "required": false, "description": description, "schema": schema });
        all.insert(name.to_owned(), parameter);
    }
    Value::Object(all)
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let mark = |description: &str| json!({ "description": description, "schema": { "type": "string", "const": "true" } });
    json!({
        "ETag": text("Names the state that is shown."),
        "Latchkey-Generation": text("Names the change: an edge that is sent it answers no earlier state. Absent on dry runs."),
        "Idempotency-Replayed": mark("The change was made by an earlier request with the same `Idempotency-Key`."),
        "Latchkey-Dry-Run": mark("Nothing was changed."),
        "Retry-After": { "description": "Seconds until the next request is taken.", "schema": { "type": "integer", "minimum": 1 } },
        "WWW-Authenticate": text("`Bearer`, as RFC 6750 says."),
    })
}

fn header_references(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), reference("headers", name))).collect::<Map<_, _>>().into()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// A secret is shown once, so a reply that is shown again has none (K2).
fn let_secrets_be_absent(schema: &mut Value) {
    let secret = reference("schemas", "Revealed");
    let is_secret = |name: &Value, fields: &Value| {
        let field = &fields[name.as_str().unwrap_or_default()];
        field["$ref"] == secret["$ref"]
    };
    let fields = schema["properties"].clone();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !is_secret(name, &fields));
    }
}
