//! What an application says itself that a request needs, where no route rule is to say it.
//!
//! It is judged as a rule's would be and by the same code: it becomes a rule of its own, and what it names becomes what
//! that rule's parameters spell. So nothing is laxer here than under a signed rule. The request's path is not looked at.

use crate::matcher::Texts;
use crate::route::Route;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Permission, ResourceType};
use latchkey_snapshot::{Credentials, Freshness, ResourceSource, Rule, Source};

/// What one request needs. Only API keys may come unless [`Need::of`] says otherwise.
#[derive(Clone)]
pub struct Need {
    rule: Rule,
    /// What is named, and what it is named, percent-encoded.
    names: Vec<String>,
    texts: Vec<String>,
}

impl Need {
    /// This permission, in the credential's own project or the one that a session's header names.
    pub fn new(permission: Permission) -> Self {
        // Neither method nor pattern is looked at.
        Self { rule: Rule::new("GET", "/", permission), names: Vec::new(), texts: Vec::new() }
    }

    /// In the project with this id or slug.
    #[must_use]
    pub fn in_project(mut self, text: &str) -> Self {
        self.rule.project = Some(self.named(PROJECT, text));
        self
    }

    /// On the resource with this id, which must be one of the project.
    #[must_use]
    pub fn on(mut self, resource: ResourceType, id: &str) -> Self {
        let source = self.named(RESOURCE, id);
        self.rule.resource = Some(ResourceSource { resource, source });
        self
    }

    /// With this model.
    #[must_use]
    pub fn with_model(mut self, name: &str) -> Self {
        self.rule.model = Some(self.named(MODEL, name));
        self
    }

    /// With the model that this field of the body names, which is asked for only for keys that are narrowed to models.
    #[must_use]
    pub fn with_model_in_body(mut self, field: &str) -> Self {
        self.rule.model = Some(Source::Body(field.to_owned()));
        self
    }

    /// By these kinds of credential.
    #[must_use]
    pub fn of(mut self, credentials: Credentials) -> Self {
        self.rule.credentials = credentials;
        self
    }

    /// Never answered from knowledge older than a second.
    #[must_use]
    pub fn fresh_only(mut self) -> Self {
        self.rule.freshness = Freshness::FreshOnly;
        self
    }

    /// The last text of a name counts.
    fn named(&mut self, name: &str, text: &str) -> Source {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            self.names.remove(at);
            self.texts.remove(at);
        }
        self.names.push(name.to_owned());
        self.texts.push(encode(text));
        Source::Path(name.to_owned())
    }

    /// As a rule that was found. Its place is in no manifest.
    pub(crate) fn route(&self) -> Route<'_, '_> {
        Route::of(&self.rule, &self.names, Texts::of(self.texts.iter().map(String::as_str)))
    }
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Need({:?})", self.rule.access)
    }
}

/// What spells this text, whatever is in it.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

const PROJECT: &str = "project";
const RESOURCE: &str = "resource";
const MODEL: &str = "model";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_spelled_as_it_was_said() {
        for text in ["alpha", "", "%41", "a/b?c#d", "..", "\u{e9}\0", "{project}"] {
            let need = Need::new(Permission::FilesRead).in_project("x").with_model("y").in_project(text);
            assert_eq!(need.route().parameter(PROJECT).as_deref(), Some(text));
            assert_eq!(need.route().parameter(MODEL).as_deref(), Some("y"));
        }
    }
}
