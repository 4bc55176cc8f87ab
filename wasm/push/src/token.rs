//! Tokens that a caller presents as they are: the push token and the forward-auth token.

use core::fmt;

/// Bytes a token has at least; a shorter one is a mistake of the operator and opens nothing.
pub const TOKEN_LEN_MIN: usize = 16;

/// The digest of a token, all that is kept of it.
#[derive(Clone, Copy)]
pub struct Token(blake3::Hash);

impl Token {
    /// The token with this text, if it is long enough to be one.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= TOKEN_LEN_MIN).then(|| Self(blake3::hash(text.as_bytes())))
    }

    /// Whether `text` is the token. Both sides are hashed, and the digests are compared in constant time.
    pub fn is(&self, text: &str) -> bool {
        self.0 == blake3::hash(text.as_bytes())
    }

    /// Whether an `Authorization` header is `Bearer`, one space and the token; the scheme in any case.
    pub fn is_bearer(&self, header: &str) -> bool {
        match header.split_at_checked(BEARER.len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => self.is(token),
            _ => false,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

const BEARER: &str = "Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_opens() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is_bearer("Bearer 0123456789abcdef") && token.is_bearer("bearer 0123456789abcdef"));
        for header in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer  0123456789abcdef", "Basic x"]
        {
            assert!(!token.is_bearer(header), "{header}");
        }
    }

    #[test]
    fn a_short_token_is_none() {
        assert!(Token::new("0123456789abcde").is_none());
    }
}
