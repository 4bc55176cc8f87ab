//! Texts that people type: names and e-mail addresses, parsed once into types that cannot hold nonsense.

use std::fmt;

/// Characters a name has at most.
pub const NAME_CHARS_MAX: usize = 100;
/// Bytes an e-mail address has at most.
pub const EMAIL_BYTES_MAX: usize = 254;

/// A name of something: 1 to 100 characters on one line, without space at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// An e-mail address in the one form under which it is stored: ASCII, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Email(String);

/// Why a text is no name or no address; the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// A name without a character, or with more than 100.
    NameLength,
    /// A name with a control character, or with space at an end.
    NameCharacter,
    /// An address that is not of the form `local@domain`.
    Email,
}

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if !(1..=NAME_CHARS_MAX).contains(&text.chars().count()) {
            return Err(TextError::NameLength);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(TextError::NameCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// Parses an address, and brings it into its one form.
    ///
    /// The whole of it is lowered: no provider in use tells `Ada@` from `ada@`, and two accounts for one
    /// mailbox would be worse than none for a stickler. Letters outside ASCII are not taken yet.
    ///
    /// # Errors
    /// [`TextError::Email`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let (local, domain) = text.split_once('@').ok_or(TextError::Email)?;
        let is_dot_atom = |part: &str| part.split('.').all(|atom| !atom.is_empty());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
        let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        let is_good = text.len() <= EMAIL_BYTES_MAX
            && is_dot_atom(local)
            && is_dot_atom(domain)
            && local.bytes().all(plain)
            && domain.bytes().all(label);
        is_good.then(|| Self(text.to_ascii_lowercase())).ok_or(TextError::Email)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameLength => write!(f, "a name has 1 to {NAME_CHARS_MAX} characters"),
            Self::NameCharacter => f.write_str("a name is one line without space at its ends"),
            Self::Email => f.write_str("not an e-mail address like `ada@example.com`"),
        }
    }
}

impl std::error::Error for TextError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_outside_its_limits_is_refused() {
        assert!(Name::parse(&"é".repeat(100)).is_ok());
        for bad in ["", " a", "a ", "a\nb", "a\u{0}", &"a".repeat(101)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn address_has_one_form() {
        assert_eq!(Email::parse("Ada.L+x@Example.COM").unwrap().as_str(), "ada.l+x@example.com");
        for bad in
            ["", "ada", "@x", "ada@", "a@b@c", "a b@c", "ada@exam ple", "a..b@c", "a@b.", "ä@b.c", "a\n@b.c"]
        {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Email::parse(&format!("{}@b.c", "a".repeat(250))).is_ok());
        assert!(Email::parse(&format!("{}@b.c", "a".repeat(251))).is_err());
    }
}
