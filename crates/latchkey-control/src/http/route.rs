//! A route as a row of a table: from these rows come the router, the OpenAPI document and the access table.

use super::bounds::Bounds;
use super::manners::{Kind, Ways, mind};
use crate::app::Control;
use crate::iam::OperatorAct;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use latchkey_api::{Code, PageQuery};
use latchkey_core::Permission;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

/// One method on one path, and all that is said of it.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, in axum's pattern language, which is OpenAPI's.
    pub path: &'static str,
    /// What it is called: noun, dot, verb.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who may.
    pub needs: Needs,
    /// The schema of the body it takes.
    pub body: Option<Shape>,
    /// The schema of the query it takes.
    pub query: Option<Shape>,
    /// What it answers.
    pub reply: Reply,
    /// The error codes it has beyond those of every route like it.
    pub codes: &'static [Code],
    /// The media type that it answers in as well, if it is asked to.
    pub also: Option<&'static str>,
    /// Whether it may answer that nothing is new. 204.
    pub may_be_empty: bool,
    /// Bytes its body has at most, if it takes one.
    pub body_bytes_max: usize,
    /// Whether it changes something; `GET` never does.
    pub changes: bool,
    handler: MethodRouter<Arc<Control>>,
}

/// How a schema is made.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody, without a credential.
    Nothing,
    /// Any person or service account, about themselves.
    Own,
    /// Any credential; what is answered follows what it may know.
    Credential,
    /// Whoever has this permission in the organization or project that the path names.
    Permission(Permission),
    /// Whoever has one of these: it depends on what is changed.
    OneOf(&'static [Permission]),
    /// An operator.
    Operator(OperatorAct),
    /// The owner of the organization.
    Ownership,
    /// The admin to whom the ownership of the organization is offered.
    Succession,
    /// Whoever may join the project (P4).
    Join,
    /// An API key itself.
    Key,
    /// A credential that brings usage.
    Report,
    /// The credential that native gates read with.
    Gate,
}

/// What a route answers if all is well.
#[derive(Clone, Copy)]
pub enum Reply {
    /// A body of JSON: what was asked for, or the new state.
    Shown(Shape),
    /// A body of JSON: what was made. 201.
    Made(Shape),
    /// A body of JSON: it was taken in, and no more is told. 202.
    Taken(Shape),
    /// A body of another type.
    Text(&'static str),
}

impl Route {
    /// `GET path`.
    pub fn get<H: Handler<T, Arc<Control>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::GET, MethodFilter::GET, path, handler)
    }

    /// `POST path`.
    pub fn post<H: Handler<T, Arc<Control>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::POST, MethodFilter::POST, path, handler)
    }

    /// `PUT path`.
    pub fn put<H: Handler<T, Arc<Control>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PUT, MethodFilter::PUT, path, handler)
    }

    /// `PATCH path`.
    pub fn patch<H: Handler<T, Arc<Control>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    /// `DELETE path`.
    pub fn delete<H: Handler<T, Arc<Control>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn new<H: Handler<T, Arc<Control>>, T: 'static>(
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
    ) -> Self {
        Self {
            changes: method != Method::GET,
            method,
            path,
            name: "",
            summary: "",
            needs: Needs::Credential,
            body: None,
            query: None,
            reply: Reply::Text("text/plain"),
            codes: &[],
            also: None,
            may_be_empty: false,
            body_bytes_max: super::BODY_BYTES_MAX,
            handler: on(filter, handler),
        }
    }

    /// What it is called and does.
    pub const fn does(mut self, name: &'static str, summary: &'static str) -> Self {
        (self.name, self.summary) = (name, summary);
        self
    }

    /// Who may.
    pub const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Whoever has the permission may.
    pub const fn permission(self, permission: Permission) -> Self {
        self.needs(Needs::Permission(permission))
    }

    /// It takes this body.
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(|generator| generator.subschema_for::<T>());
        self
    }

    /// It takes this query.
    pub fn asks<T: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| generator.subschema_for::<T>());
        self
    }

    /// It is a list in pages.
    pub fn lists<T: JsonSchema>(self) -> Self {
        let route = self.shows::<latchkey_api::Page<T>>();
        if route.query.is_some() { route } else { route.asks::<PageQuery>() }
    }

    /// It answers with this body.
    pub fn shows<T: JsonSchema>(mut self) -> Self {
        self.reply = Reply::Shown(|generator| generator.subschema_for::<T>());
        self
    }

    /// It answers with what it made.
    pub fn makes<T: JsonSchema>(mut self) -> Self {
        self.reply = Reply::Made(|generator| generator.subschema_for::<T>());
        self
    }

    /// It takes something in and tells no more than this.
    pub fn accepts<T: JsonSchema>(mut self) -> Self {
        self.reply = Reply::Taken(|generator| generator.subschema_for::<T>());
        self
    }

    /// It answers with a body of this media type.
    pub const fn answers(mut self, media_type: &'static str) -> Self {
        self.reply = Reply::Text(media_type);
        self
    }

    /// It answers in this media type as well, if it is asked to.
    pub const fn or_answers(mut self, media_type: &'static str) -> Self {
        self.also = Some(media_type);
        self
    }

    /// It may answer that nothing is new.
    pub const fn or_nothing(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    /// The error codes it has beyond those of every route like it.
    pub const fn codes(mut self, codes: &'static [Code]) -> Self {
        self.codes = codes;
        self
    }

    /// It changes nothing, though it is no `GET`: the question is long.
    pub const fn only_asks(mut self) -> Self {
        self.changes = false;
        self
    }

    /// Bytes its body has at most, where that is not what all have.
    pub const fn body_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Whether this path is one of the route's.
    pub fn is_at(&self, path: &str) -> bool {
        let is_any = |segment: &str| segment.starts_with('{');
        let (mut path, mut pattern) = (path.split('/'), self.path.split('/'));
        loop {
            match (path.next(), pattern.next()) {
                (Some(_), Some(rest)) if rest.starts_with("{*") => return true,
                (Some(segment), Some(expected)) if is_any(expected) || segment == expected => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// Whether callers can wish how the change is done: once, only if it is unchanged, not at all.
    pub fn has_wishes(&self) -> bool {
        self.changes && self.needs != Needs::Nothing
    }

    /// The router with this route in it.
    pub(super) fn mount(self, router: Router<Arc<Control>>, bounds: &Bounds) -> Router<Arc<Control>> {
        let ways = Ways {
            kind: match (&self.method, self.has_wishes()) {
                (&Method::GET, _) => Kind::Read,
                (_, true) => Kind::Change,
                (_, false) => Kind::Ask,
            },
            takes_query: self.query.is_some(),
            body_bytes_max: self.body.map(|_| self.body_bytes_max),
            body_read: bounds.body_read,
        };
        let limit = DefaultBodyLimit::max(self.body_bytes_max);
        router.route(self.path, self.handler.route_layer(limit).route_layer(from_fn_with_state(ways, mind)))
    }
}
