//! The session token: what a signed-in person presents to an edge. Specified in docs/spec/session-token.md.
//!
//! It is `lkt_` and the base64url text of these bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version 1 |
//! | 1 | 8 | signer id |
//! | 9 | 16 | session: its id without `sess_` |
//! | 25 | 16 | identity: its id without `idn_` |
//! | 41 | 8 | issued, Unix seconds |
//! | 49 | 8 | expires, Unix seconds |
//! | 57 | 64 | signature |
//!
//! The token says who, never what they may do: that is in the snapshot.

mod remembered;

pub use remembered::RememberedTokens;

use crate::manifest::TokenKey;
use crate::root::Installation;
use crate::signature::SignerId;
use core::fmt;
use ed25519_dalek::Signature;
use latchkey_core::{IdentityId, SessionId, UnixMillis, UnixSeconds, base64url};

/// What the text begins with.
pub const PREFIX: &str = "lkt_";
/// Characters of the text.
pub const TEXT_LEN: usize = PREFIX.len() + base64url::len_of(TOKEN_LEN);
/// Bytes that the text holds.
pub const TOKEN_LEN: usize = SIGNED_LEN + 64;
/// The longest time from issued to expires, in seconds.
pub const LIFETIME_SECS_MAX: u64 = 600;
/// How far the signer's clock may be ahead of the reader's.
pub const AHEAD_MS_MAX: u64 = 1000;
/// The version of the format.
pub(crate) const VERSION: u8 = 1;
/// Bytes before the signature.
pub(crate) const SIGNED_LEN: usize = 57;
const DOMAIN: &[u8; 26] = b"latchkey session token v1\0";
const MESSAGE_LEN: usize = DOMAIN.len() + 16 + SIGNED_LEN;

/// A token that is well formed and whose signature nobody has looked at yet.
#[derive(Clone)]
pub struct UnverifiedToken {
    content: SessionToken,
    signed: [u8; SIGNED_LEN],
    signature: Signature,
}

/// A token that a session key of the installation signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken {
    signer: SignerId,
    session: SessionId,
    identity: IdentityId,
    issued: UnixSeconds,
    expires: UnixSeconds,
}

/// Why a text is no session token that counts. Only [`TokenError::Expired`] says that it once did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It has not as many characters as a token.
    Length,
    /// It does not begin with `lkt_`.
    Prefix,
    /// It is not base64url, or not the one text of its bytes.
    Encoding,
    /// It is of another version of the format.
    Version,
    /// The session's characters are none of an id.
    Session,
    /// The identity's characters are none of an id.
    Identity,
    /// It does not expire after it was issued, or more than ten minutes after.
    Lifetime,
    /// No session key with the signer's id was valid when it was issued.
    Signer,
    /// The signature is not the signer's over this token for this installation.
    Signature,
    /// It was issued more than a second ahead of the clock.
    Ahead,
    /// Its time is over.
    Expired,
}

impl UnverifiedToken {
    /// Reads a token. It says nothing yet about who made it.
    ///
    /// # Errors
    /// [`TokenError`], up to [`TokenError::Lifetime`]: the fault of whoever presents it.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        if text.len() != TEXT_LEN {
            return Err(TokenError::Length);
        }
        let text = text.strip_prefix(PREFIX.as_bytes()).ok_or(TokenError::Prefix)?;
        let mut bytes = [0; TOKEN_LEN];
        base64url::decode(text, &mut bytes).ok_or(TokenError::Encoding)?;
        if bytes[0] != VERSION {
            return Err(TokenError::Version);
        }
        let content = SessionToken {
            signer: SignerId(part(&bytes, 1)),
            session: SessionId::from_body(part(&bytes, 9)).ok_or(TokenError::Session)?,
            identity: IdentityId::from_body(part(&bytes, 25)).ok_or(TokenError::Identity)?,
            issued: UnixSeconds(u64::from_le_bytes(part(&bytes, 41))),
            expires: UnixSeconds(u64::from_le_bytes(part(&bytes, 49))),
        };
        if !is_lifetime(content.issued, content.expires) {
            return Err(TokenError::Lifetime);
        }
        Ok(Self {
            content,
            signed: part(&bytes, 0),
            signature: Signature::from_bytes(&part(&bytes, SIGNED_LEN)),
        })
    }

    /// Believes the token if one of `keys`, the session keys of the installation's manifest, signed it, and its time
    /// is now. This takes some 50 µs: whoever remembers the result asks [`SessionToken::check`] again.
    ///
    /// # Errors
    /// [`TokenError`], from [`TokenError::Signer`] on.
    pub fn verify(
        self,
        installation: &Installation,
        keys: &[TokenKey],
        now: UnixMillis,
    ) -> Result<SessionToken, TokenError> {
        let message = message(installation, &self.signed);
        let mut signers = self.content.signers(keys).peekable();
        signers.peek().ok_or(TokenError::Signer)?;
        if !signers.any(|key| key.public.verify_strict(&message, &self.signature).is_ok()) {
            return Err(TokenError::Signature);
        }
        self.content.check(keys, now)?;
        Ok(self.content)
    }
}

impl SessionToken {
    /// The session it belongs to.
    pub const fn session(&self) -> &SessionId {
        &self.session
    }

    /// Who presents it.
    pub const fn identity(&self) -> &IdentityId {
        &self.identity
    }

    /// When it was signed.
    pub const fn issued(&self) -> UnixSeconds {
        self.issued
    }

    /// From which second on it is refused.
    pub const fn expires(&self) -> UnixSeconds {
        self.expires
    }

    /// Whether a token that was verified before still counts: its key is still there, and its time is now.
    ///
    /// # Errors
    /// [`TokenError::Signer`], [`TokenError::Ahead`] or [`TokenError::Expired`].
    pub fn check(&self, keys: &[TokenKey], now: UnixMillis) -> Result<(), TokenError> {
        if self.signers(keys).next().is_none() {
            return Err(TokenError::Signer);
        }
        if self.issued.millis() > now.plus_ms(AHEAD_MS_MAX) {
            return Err(TokenError::Ahead);
        }
        if self.expires.millis() <= now {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// The keys that may have signed it: under its signer id, and valid when it was issued.
    fn signers<'k>(&self, keys: &'k [TokenKey]) -> impl Iterator<Item = &'k TokenKey> + use<'k> {
        let Self { signer, issued, .. } = *self;
        keys.iter().filter(move |key| {
            (key.not_before..=key.not_after).contains(&issued)
                && SignerId::of(key.public.as_bytes()) == signer
        })
    }
}

/// Whether a token may last from `issued` to `expires`.
pub(crate) fn is_lifetime(issued: UnixSeconds, expires: UnixSeconds) -> bool {
    expires.0.checked_sub(issued.0).is_some_and(|secs| (1..=LIFETIME_SECS_MAX).contains(&secs))
}

/// What is signed.
pub(crate) fn message(installation: &Installation, signed: &[u8; SIGNED_LEN]) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    let (domain, rest) = message.split_at_mut(DOMAIN.len());
    let (name, token) = rest.split_at_mut(installation.0.len());
    domain.copy_from_slice(DOMAIN);
    name.copy_from_slice(&installation.0);
    token.copy_from_slice(signed);
    message
}

/// `N` bytes of the token, which has more than `at + N`.
fn part<const N: usize>(bytes: &[u8; TOKEN_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedToken({})", self.content.session)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the token's length is wrong",
            Self::Prefix => "the token's prefix is another",
            Self::Encoding => "the token is not base64url in its canonical form",
            Self::Version => "the token is of another version",
            Self::Session => "the token names no session",
            Self::Identity => "the token names no identity",
            Self::Lifetime => "the token's lifetime is out of range",
            Self::Signer => "no session key that was valid then has the token's signer id",
            Self::Signature => "the token's signature is wrong",
            Self::Ahead => "the token was issued ahead of the clock",
            Self::Expired => "the token has expired",
        })
    }
}

impl core::error::Error for TokenError {}
