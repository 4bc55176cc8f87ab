//! Why may somebody do something, or why not.

use crate::resource::ResourceType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/explain`: may this caller do this, and which rule decides?
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Who; whoever asks unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<ExplainCaller>,
    /// What they need, like `endpoints.invoke`.
    pub permission: String,
    /// In which organization: an id. Either this or `project`; a key has its own project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// In which project: an id or a slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// On which resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ExplainResource>,
    /// With which model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// From which client address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Whose case is explained.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExplainCaller {
    /// A key, by its public id.
    Key(String),
    /// A person or a service account, by id.
    User(String),
}

/// The resource in question.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainResource {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its id.
    pub id: String,
}

/// The answer, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Whether they may.
    pub allowed: bool,
    /// The rule that refuses: the number it has in the access model. Absent if they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Every rule that was asked, in the order in which they decide.
    pub steps: Vec<ExplainStep>,
}

/// One rule and whether it lets pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainStep {
    /// The rule's number in the access model, like `K7`.
    pub rule: String,
    /// What the rule asks.
    pub asks: String,
    /// Whether that is so.
    pub holds: bool,
}
