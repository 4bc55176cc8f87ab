//! Signing session tokens.

use super::encode::BuildError;
use super::sign::Signer;
use crate::root::Installation;
use crate::token::{self, PREFIX, SIGNED_LEN, TEXT_LEN, TOKEN_LEN, VERSION};
use core::fmt;
use ed25519_dalek::Signer as _;
use latchkey_core::{IdentityId, SessionId, UnixSeconds, base64url};

/// What a session token says.
#[derive(Clone, Copy, Debug)]
pub struct TokenContent {
    /// The installation whose edges take it.
    pub installation: Installation,
    /// The session it belongs to.
    pub session: SessionId,
    /// Who presents it.
    pub identity: IdentityId,
    /// When it is signed.
    pub issued: UnixSeconds,
    /// From when on it is refused: at most ten minutes later.
    pub expires: UnixSeconds,
}

/// A signed token's text, which lets in whoever has it: for the one reply that carries it.
#[derive(Clone)]
pub struct TokenText([u8; TEXT_LEN]);

impl TokenContent {
    /// The signed token.
    ///
    /// # Errors
    /// [`BuildError::TooMany`], when it would last longer than the format allows or not at all.
    pub fn sign(&self, signer: &Signer) -> Result<TokenText, BuildError> {
        if !token::is_lifetime(self.issued, self.expires) {
            return Err(BuildError::TooMany("seconds of a session token"));
        }
        let mut bytes = [0; TOKEN_LEN];
        let (signed, signature) = bytes.split_at_mut(SIGNED_LEN);
        let issued = self.issued.0.to_le_bytes();
        let expires = self.expires.0.to_le_bytes();
        let id = signer.id().0;
        let parts: [&[u8]; 6] =
            [&[VERSION], &id, self.session.body(), self.identity.body(), &issued, &expires];
        for (slot, byte) in signed.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = *byte;
        }
        let mut before = [0; SIGNED_LEN];
        before.copy_from_slice(signed);
        let message = token::message(&self.installation, &before);
        signature.copy_from_slice(&signer.key().sign(&message).to_bytes());
        let mut text = [0; TEXT_LEN];
        let (prefix, encoded) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        base64url::encode(&bytes, encoded);
        Ok(TokenText(text))
    }
}

impl TokenText {
    /// The text.
    pub fn expose(&self) -> &str {
        // Only ASCII is ever written into it.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}
