//! The words of a key's narrowing: what a pattern matches, what a model's name is, and how much of each there may
//! be (IAM K7). Client networks are in [`crate::network`].

use core::fmt;

/// Client networks that a key may be narrowed to at most.
pub const NETWORKS_MAX: usize = 64;
/// Resource patterns that a key may be narrowed to at most.
pub const RESOURCES_MAX: usize = 64;
/// Model patterns that a key may be narrowed to at most.
pub const MODELS_MAX: usize = 64;
/// Bytes a model's name may have at most.
pub const MODEL_LEN_MAX: usize = 128;

/// How a pattern is compared with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Matching {
    /// The text is the pattern.
    Exact = 0,
    /// The text begins with the pattern.
    Prefix = 1,
}

impl Matching {
    /// Both, in the order of their bytes.
    pub const ALL: [Matching; 2] = [Self::Exact, Self::Prefix];

    /// Whether `text` is what `pattern` means. Byte by byte: `A` is not `a`.
    pub fn matches(self, pattern: &str, text: &str) -> bool {
        match self {
            Self::Exact => text == pattern,
            Self::Prefix => text.starts_with(pattern),
        }
    }

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
        }
    }

    /// What a byte of a signed object stands for, if anything.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Exact),
            1 => Some(Self::Prefix),
            _ => None,
        }
    }
}

/// The platform's name of a model: 1 to 128 of printable ASCII without space, `"` and `\`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ModelName<'a>(&'a str);

/// Why a text is no model's name; the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelNameError {
    /// No bytes, or more than 128.
    Length,
    /// A character outside the set at this byte offset.
    Character(usize),
}

impl<'a> ModelName<'a> {
    /// Parses a model's name.
    ///
    /// # Errors
    /// [`ModelNameError`] says what is wrong and where.
    pub fn parse(text: &'a str) -> Result<Self, ModelNameError> {
        if text.is_empty() || text.len() > MODEL_LEN_MAX {
            return Err(ModelNameError::Length);
        }
        let foreign = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\\');
        match text.bytes().position(foreign) {
            Some(offset) => Err(ModelNameError::Character(offset)),
            None => Ok(Self(text)),
        }
    }

    /// The name's text.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ModelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a model's name has 1 to {MODEL_LEN_MAX} characters"),
            Self::Character(offset) => write!(
                f,
                "a model's name has only printable ASCII without space, `\"` and `\\`; byte {offset} is wrong"
            ),
        }
    }
}

impl core::error::Error for ModelNameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    #[test]
    fn pattern_matches_nothing_beyond_itself_k7() {
        for text in ["", "llama", "llama-3-70", "Llama-3", " llama-3", "xllama-3"] {
            assert!(!Matching::Exact.matches("llama-3", text), "{text}");
        }
        for text in ["", "llama", "Llama-3", " llama-3", "xllama-3"] {
            assert!(!Matching::Prefix.matches("llama-3", text), "{text}");
        }
        assert!(Matching::Exact.matches("llama-3", "llama-3"));
        assert!(
            Matching::Prefix.matches("llama-3", "llama-3")
                && Matching::Prefix.matches("llama-3", "llama-3-70")
        );
    }

    #[test]
    fn model_name_outside_its_characters_is_refused() {
        for (text, error) in [
            ("", ModelNameError::Length),
            (&*"m".repeat(129), ModelNameError::Length),
            ("a b", ModelNameError::Character(1)),
            ("a\"", ModelNameError::Character(1)),
            ("a\\", ModelNameError::Character(1)),
            ("a\u{7f}", ModelNameError::Character(1)),
            ("\n", ModelNameError::Character(0)),
            ("é", ModelNameError::Character(0)),
        ] {
            assert_eq!(ModelName::parse(text), Err(error), "{text}");
        }
        for text in ["meta-llama/Llama-3.3-70B:free@v2", &"m".repeat(128)] {
            assert_eq!(ModelName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn matching_comes_back_from_its_byte() {
        for byte in 0..=255u8 {
            assert_eq!(Matching::from_byte(byte).map(|matching| matching as u8), (byte < 2).then_some(byte));
        }
        assert_eq!(Matching::ALL.map(Matching::as_str), ["exact", "prefix"]);
    }
}
