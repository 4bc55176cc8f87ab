//! Resources (IAM P3, G1).

use crate::timestamp::Timestamp;
use latchkey_core as core_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of resource that can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the word of IAM.md, table P3")]
pub enum ResourceType {
    Cluster,
    Volume,
    Model,
    Endpoint,
    Evaluation,
    File,
}

/// `POST /v1/projects/{project}/resources`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterResource {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The platform's own name of it, unique with its type in the installation for ever.
    pub id: String,
}

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The platform's own name of it.
    pub id: String,
    /// `proj_…`
    pub project_id: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

macro_rules! same_words {
    ($($variant:ident)*) => {
        impl From<core_words::ResourceType> for ResourceType {
            fn from(kind: core_words::ResourceType) -> Self {
                match kind { $(core_words::ResourceType::$variant => Self::$variant,)* }
            }
        }
        impl From<ResourceType> for core_words::ResourceType {
            fn from(kind: ResourceType) -> Self {
                match kind { $(ResourceType::$variant => Self::$variant,)* }
            }
        }
    };
}

same_words!(Cluster Volume Model Endpoint Evaluation File);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_core() {
        for kind in core_words::ResourceType::ALL {
            let word = serde_json::to_value(ResourceType::from(kind)).unwrap();
            assert_eq!(word, kind.as_str());
        }
    }
}
