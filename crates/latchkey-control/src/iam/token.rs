//! Tokens for the control plane itself: `lko_…` for operators, `lks_…` for sessions, `lka_…` for service accounts,
//! `lku_…` for usage reports, `lki_…` in invitation links; 256 bits, opaque.
//!
//! A token is shown once and kept as a digest. It is found by its digest, so no comparison of secrets takes
//! place whose time could tell anything.

use latchkey_core::Dice;
use latchkey_core::base62;
use std::fmt;
use zeroize::Zeroizing;

/// Characters behind the prefix: 256 bits.
pub const TOKEN_BODY_LEN: usize = 43;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `lko_…`
    Operator,
    /// `lks_…`
    Session,
    /// `lka_…`, of a service account.
    Service,
    /// `lku_…`, which brings usage.
    Usage,
    /// `lki_…`, the secret part of an invitation's link. It identifies nobody.
    Invitation,
}

/// A token's text: as it was made, or as a request carried it. Shows nothing, and is wiped when dropped.
pub struct PlainToken {
    text: Zeroizing<String>,
    kind: TokenKind,
}

/// The digest under which a token is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Session, Self::Service, Self::Usage, Self::Invitation];

    /// What such a token begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "lko_",
            Self::Session => "lks_",
            Self::Service => "lka_",
            Self::Usage => "lku_",
            Self::Invitation => "lki_",
        }
    }
}

impl PlainToken {
    /// A new token.
    pub fn generate(kind: TokenKind, dice: &mut Dice) -> Self {
        let mut body = Zeroizing::new([0; TOKEN_BODY_LEN]);
        dice.base62(&mut *body);
        let mut text = Zeroizing::new(String::with_capacity(kind.prefix().len() + TOKEN_BODY_LEN));
        text.push_str(kind.prefix());
        // Only base62 was written.
        text.push_str(std::str::from_utf8(&*body).unwrap_or_default());
        Self { text, kind }
    }

    /// The token that a request carried, if it is well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = TokenKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let body = text.as_bytes().get(kind.prefix().len()..)?;
        (body.len() == TOKEN_BODY_LEN && base62::is_base62(body))
            .then(|| Self { text: Zeroizing::new(text.to_owned()), kind })
    }

    /// The text, for the one place that shows it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What it stands for.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The digest under which it is stored.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(blake3::derive_key("latchkey control token v1", self.text.as_bytes()))
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainToken({:?}, ..)", self.kind)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_nothing_and_text_comes_back() {
        let token = PlainToken::generate(TokenKind::Operator, &mut Dice::from_seed(&[4; 32]));
        assert_eq!(format!("{token:?}"), "PlainToken(Operator, ..)");
        assert_eq!(PlainToken::parse(token.expose()).unwrap().digest(), token.digest());
    }

    #[test]
    fn malformed_token_is_none() {
        let token = PlainToken::generate(TokenKind::Session, &mut Dice::from_seed(&[4; 32]));
        let text = token.expose();
        for bad in [
            &text[1..],
            &text[..46],
            &format!("{text}a"),
            &format!(" {text}"),
            &text.replace("lks_", "lkx_"),
            "lko_",
        ] {
            assert!(PlainToken::parse(bad).is_none(), "{bad}");
        }
    }
}
