//! The generation: the number of a committed change, and the opaque token that lets a client wait for it.

use crate::base62;
use crate::secret::GenerationSecret;
use core::fmt;
use subtle::ConstantTimeEq;

/// The number of a committed change, counted from 1 and never repeated. Every object that is published names
/// the generation it stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The token for clients: 11 characters of generation, 11 of a 64-bit MAC. An edge honours only such a
    /// token, so that nobody can make it wait for a generation that will never come.
    pub fn token(self, secret: &GenerationSecret) -> GenerationToken {
        let mut text = [0; TOKEN_LEN];
        base62::encode(self.0, &mut text[..11]);
        base62::encode(mac(self, secret), &mut text[11..]);
        GenerationToken(text)
    }

    /// The generation that a token names, or `None` if the token was not made with this secret.
    pub fn from_token(text: &[u8], secret: &GenerationSecret) -> Option<Self> {
        if text.len() != TOKEN_LEN {
            return None;
        }
        let generation = Self(base62::decode(&text[..11])?);
        let claimed = base62::decode(&text[11..])?;
        let genuine = claimed.to_le_bytes().ct_eq(&mac(generation, secret).to_le_bytes());
        bool::from(genuine).then_some(generation)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A generation as clients see it: an opaque text of 22 base62 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GenerationToken([u8; TOKEN_LEN]);

impl GenerationToken {
    /// The token's text.
    pub fn as_str(&self) -> &str {
        // Only base62 is ever written into it.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

const TOKEN_LEN: usize = 22;

fn mac(generation: Generation, secret: &GenerationSecret) -> u64 {
    let keyed = blake3::keyed_hash(secret.expose(), &generation.0.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&keyed.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_token_is_refused() {
        let secret = GenerationSecret::new([1; 32]);
        let token = Generation(42).token(&secret);
        assert_eq!(Generation::from_token(token.as_str().as_bytes(), &secret), Some(Generation(42)));
        assert_eq!(Generation::from_token(token.as_str().as_bytes(), &GenerationSecret::new([2; 32])), None);
        assert_eq!(Generation::from_token(b"42", &secret), None);
        for index in 0..TOKEN_LEN {
            let mut flipped = token.0;
            flipped[index] = if flipped[index] == b'0' { b'1' } else { b'0' };
            assert_eq!(Generation::from_token(&flipped, &secret), None, "character {index}");
        }
    }
}
