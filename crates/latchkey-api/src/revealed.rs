//! A secret inside the one reply that shows it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::cell::Cell;
use std::fmt;
use zeroize::Zeroizing;

/// A secret on its way to its owner. It has no `Display` and no `Serialize`: a body that shows it names
/// [`Revealed::show_once`] at the field, so each such place can be found. Wiped when dropped.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Revealed(String);

impl JsonSchema for Revealed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Revealed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A secret, shown this once." })
    }
}

impl Revealed {
    /// Takes the secret's text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Writes the text into the reply.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn show_once<S: Serializer>(secret: &Revealed, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if IS_VEILED.get() { VEILED } else { &secret.0 })
    }
}

/// The body as JSON without any field that holds a secret. No secret is written anywhere meanwhile: what can be
/// kept or shown again is made by this.
///
/// # Errors
/// Those of the serializer.
pub fn without_secrets(body: &impl Serialize) -> serde_json::Result<Value> {
    let veil = Veil::drawn();
    let mut value = serde_json::to_value(body)?;
    drop(veil);
    remove_veiled(&mut value);
    Ok(value)
}

thread_local! {
    /// Whether secrets are left out of what this thread writes.
    static IS_VEILED: Cell<bool> = const { Cell::new(false) };
}

/// Stands where a secret is left out, until the field itself is. No text that the API takes has such a character.
const VEILED: &str = "\u{0}veiled";

/// While it lives, this thread writes no secret; also if the writing panics.
struct Veil {
    before: bool,
}

impl Veil {
    fn drawn() -> Self {
        Self { before: IS_VEILED.replace(true) }
    }
}

impl Drop for Veil {
    fn drop(&mut self) {
        IS_VEILED.set(self.before);
    }
}

fn remove_veiled(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| field != VEILED);
            fields.values_mut().for_each(remove_veiled);
        }
        Value::Array(items) => {
            items.retain(|item| item != VEILED);
            items.iter_mut().for_each(remove_veiled);
        }
        _ => {}
    }
}

impl Drop for Revealed {
    fn drop(&mut self) {
        drop(Zeroizing::new(std::mem::take(&mut self.0)));
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revealed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Serialize)]
    struct Body {
        name: &'static str,
        #[serde(serialize_with = "Revealed::show_once")]
        secret: Revealed,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<Body>,
    }

    fn body(items: Vec<Body>) -> Body {
        Body { name: "a", secret: Revealed::new("s3cret"), items }
    }

    #[test]
    fn veil_leaves_out_secrets_at_any_depth_k2() {
        let veiled = without_secrets(&body(vec![body(vec![])])).unwrap();
        assert_eq!(veiled, json!({ "name": "a", "items": [{ "name": "a" }] }));
        assert_eq!(serde_json::to_value(body(vec![])).unwrap()["secret"], "s3cret");
    }

    #[test]
    fn veil_falls_when_writing_fails() {
        struct Failing;
        impl Serialize for Failing {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("on purpose"))
            }
        }
        assert!(without_secrets(&Failing).is_err());
        assert_eq!(serde_json::to_value(body(vec![])).unwrap()["secret"], "s3cret");
    }
}
