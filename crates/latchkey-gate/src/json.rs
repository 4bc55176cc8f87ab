//! JSON, written field by field: what shells say is flat and short, and a library that can write anything weighs more than
//! all of it.

use alloc::string::{String, ToString};

/// An object that is being written. Whoever writes a name twice gets it twice.
#[derive(Debug)]
pub struct Object(String);

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// An object without fields.
    pub fn new() -> Self {
        Self(String::from("{"))
    }

    /// A field with a text.
    #[inline(never)]
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        push_text(&mut self.0, value);
        self
    }

    /// A field with a text, if there is one.
    pub fn some(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// A field with a text, or `null`.
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.bare(name, "null"),
        }
    }

    /// A field with a number.
    #[inline(never)]
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.bare(name, &value.to_string())
    }

    /// A field with a number, or `null`.
    pub fn number_or_null(&mut self, name: &str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(name, value),
            None => self.bare(name, "null"),
        }
    }

    /// A field that says yes or no.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.bare(name, if value { "true" } else { "false" })
    }

    /// A field with what is JSON already.
    #[inline(never)]
    pub fn bare(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    /// A field with another object.
    pub fn object(&mut self, name: &str, value: Self) -> &mut Self {
        self.bare(name, &value.end())
    }

    /// A field with a list of what is JSON already.
    #[inline(never)]
    pub fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) -> &mut Self {
        self.name(name);
        self.0.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.0.push_str(&value);
        }
        self.0.push(']');
        self
    }

    /// The object so far, without its end.
    pub(crate) fn open(self) -> String {
        self.0
    }

    /// The object as text.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_text(&mut self.0, name);
        self.0.push(':');
    }
}

/// A text in quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, text);
    out
}

#[inline(never)]
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\0'..='\x1f' => {
                out.push_str("\\u00");
                let code = character as usize;
                out.extend([code >> 4, code & 15].map(|digit| char::from(DIGITS[digit])));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// RFC 8259, as another reader understands it.
        #[test]
        fn any_text_is_read_back_as_it_was(name in any::<String>(), value in any::<String>(), number: u64) {
            let (mut object, mut inner) = (Object::new(), Object::new());
            inner.text(&name, &value).number_or_null("n", Some(number)).number_or_null("o", None);
            object.list("l", [quoted(&value), quoted("")]).flag("f", true).object("i", inner);
            let read: serde_json::Value = serde_json::from_str(&object.end()).unwrap();
            if name != "n" && name != "o" {
                prop_assert_eq!(read["i"][&name].as_str(), Some(&value[..]));
            }
            prop_assert_eq!(read["l"][0].as_str(), Some(&value[..]));
            prop_assert_eq!(read["i"]["n"].as_u64(), Some(number));
            prop_assert!(read["f"] == true && read["i"]["o"].is_null());
        }
    }
}
