//! A secret inside the one reply that shows it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serializer};
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
        serializer.serialize_str(&secret.0)
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
