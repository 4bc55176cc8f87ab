//! What an application says that it needs, as JSON. Whatever is not understood is refused.

use latchkey_core::{Permission, ResourceType};
use latchkey_gate::Need;
use latchkey_snapshot::Credentials;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    permission: String,
    project: Option<String>,
    resource: Option<Resource>,
    model: Option<Model>,
    credentials: Option<Kinds>,
    #[serde(default)]
    fresh: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    r#type: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Model {
    Said(String),
    InBody(Field),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    Key,
    Session,
    Any,
}

/// The need of this text.
///
/// # Errors
/// What is wrong with it, for whoever writes the application.
pub(crate) fn read(text: &str) -> Result<Need, String> {
    let said: Said = serde_json::from_str(text).map_err(|_| "`need` is not what a need can be".to_owned())?;
    let permission = Permission::from_word(&said.permission);
    let mut need =
        Need::new(permission.ok_or_else(|| format!("no permission is called `{}`", said.permission))?);
    if let Some(project) = &said.project {
        need = need.in_project(project);
    }
    if let Some(Resource { r#type, id }) = &said.resource {
        let known = ResourceType::ALL.iter().find(|one| one.as_str() == r#type);
        need = need.on(*known.ok_or_else(|| format!("no resource type is called `{type}`"))?, id);
    }
    need = match &said.model {
        None => need,
        Some(Model::Said(name)) => need.with_model(name),
        Some(Model::InBody(Field { body })) => need.with_model_in_body(body),
    };
    let need = match said.credentials {
        None | Some(Kinds::Key) => need,
        Some(Kinds::Session) => need.of(Credentials::Sessions),
        Some(Kinds::Any) => need.of(Credentials::Any),
    };
    Ok(if said.fresh { need.fresh_only() } else { need })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn need_that_is_not_understood_is_refused() {
        for text in [
            "",
            "null",
            "{}",
            "[]",
            "{\"permission\":\"files.veiw\"}",
            "{\"permission\":1}",
            "{\"permission\":\"files.view\",\"projekt\":\"a\"}",
            "{\"permission\":\"files.view\",\"project\":1}",
            "{\"permission\":\"files.view\",\"resource\":\"a\"}",
            "{\"permission\":\"files.view\",\"resource\":{\"type\":\"file\"}}",
            "{\"permission\":\"files.view\",\"resource\":{\"type\":\"fiel\",\"id\":\"a\"}}",
            "{\"permission\":\"files.view\",\"resource\":{\"type\":\"file\",\"id\":\"a\",\"x\":1}}",
            "{\"permission\":\"files.view\",\"model\":{\"header\":\"x\"}}",
            "{\"permission\":\"files.view\",\"credentials\":\"keys\"}",
            "{\"permission\":\"files.view\",\"fresh\":\"yes\"}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in [
            "{\"permission\":\"files.view\"}",
            "{\"permission\":\"files.read\",\"project\":\"a\",\"resource\":{\"type\":\"file\",\"id\":\"a\"}}",
            "{\"permission\":\"inference.invoke\",\"model\":\"m\",\"fresh\":true}",
            "{\"permission\":\"inference.invoke\",\"model\":{\"body\":\"model\"},\"credentials\":\"any\"}",
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
    }
}
