//! A project's slug: DNS-safe, 3 to 63 characters (IAM J3).

use core::fmt;

/// Characters a slug may have at most: the length of a DNS label.
pub const LEN_MAX: usize = 63;
/// Characters a slug has at least.
pub const LEN_MIN: usize = 3;

/// A slug that is a valid DNS label: `a-z`, `0-9` and inner `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug {
    text: [u8; LEN_MAX],
    len: u8,
}

/// Why a text is no slug; the user's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlugError {
    /// Fewer than 3 or more than 63 bytes.
    Length,
    /// A character outside `a-z`, `0-9`, `-` at this byte offset.
    Character(usize),
    /// A `-` at the beginning or the end.
    Hyphen,
}

impl Slug {
    /// Parses a slug.
    ///
    /// # Errors
    /// [`SlugError`] says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        let bytes = text.as_bytes();
        if !(LEN_MIN..=LEN_MAX).contains(&bytes.len()) {
            return Err(SlugError::Length);
        }
        let foreign = |byte: &u8| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if let Some(offset) = bytes.iter().position(foreign) {
            return Err(SlugError::Character(offset));
        }
        if bytes.starts_with(b"-") || bytes.ends_with(b"-") {
            return Err(SlugError::Hyphen);
        }
        let mut slug = Self { text: [0; LEN_MAX], len: bytes.len() as u8 };
        slug.text[..bytes.len()].copy_from_slice(bytes);
        Ok(slug)
    }

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        // Only ASCII was let in by `parse`.
        core::str::from_utf8(&self.text[..self.len as usize]).unwrap_or_default()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slug({})", self.as_str())
    }
}

impl fmt::Display for SlugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a slug has {LEN_MIN} to {LEN_MAX} characters"),
            Self::Character(offset) => {
                write!(f, "a slug has only `a-z`, `0-9` and `-`; the character at byte {offset} is another")
            }
            Self::Hyphen => f.write_str("a slug neither begins nor ends with `-`"),
        }
    }
}

impl core::error::Error for SlugError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slug_is_a_dns_label() {
        for good in ["abc", "a-1", "0x0", &"a".repeat(63)] {
            assert_eq!(Slug::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Slug::parse("ab"), Err(SlugError::Length));
        assert_eq!(Slug::parse(&"a".repeat(64)), Err(SlugError::Length));
        assert_eq!(Slug::parse("abC"), Err(SlugError::Character(2)));
        assert_eq!(Slug::parse("proj_x"), Err(SlugError::Character(4)));
        assert_eq!(Slug::parse("-ab"), Err(SlugError::Hyphen));
        assert_eq!(Slug::parse("ab-"), Err(SlugError::Hyphen));
    }
    use std::prelude::v1::*;
}
