//! Domain-separated Ed25519: who signed which bytes, and whether that is enough of them.

use crate::cursor::{Cursor, Fault, ParseError};
use alloc::vec::Vec;
use ed25519_dalek::{Signature, VerifyingKey};

/// Signatures an object may carry at most.
pub const SIGNATURES_MAX: usize = 8;

/// The first eight bytes of a derived digest of an Ed25519 public key: how a signature names its signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignerId(pub [u8; 8]);

impl SignerId {
    /// The name of this public key.
    pub fn of(public: &[u8; 32]) -> Self {
        let derived = blake3::derive_key("latchkey signing key id v1", public);
        let mut id = [0; 8];
        id.copy_from_slice(&derived[..8]);
        Self(id)
    }
}

/// What is signed, so that no signature over one kind of object holds for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A root.
    Root,
    /// A statement.
    Statement,
    /// A head.
    Head,
}

impl Domain {
    /// The bytes that go before the object's own in the signed message.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Domain::Root => b"latchkey root v1\0",
            Domain::Statement => b"latchkey statement v1\0",
            Domain::Head => b"latchkey head v1\0",
        }
    }

    /// The message that is signed.
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), bytes].concat()
    }
}

/// The signature block at an object's end: `count u8`, then signer id and signature of each, ascending.
#[derive(Clone, Debug)]
pub(crate) struct Signatures(Vec<(SignerId, Signature)>);

impl Signatures {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let start = cursor.clone();
        let count = usize::from(cursor.u8("signatures")?);
        start.ensure("signatures", (1..=SIGNATURES_MAX).contains(&count), Fault::OutOfRange)?;
        let mut list: Vec<(SignerId, Signature)> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = cursor.clone();
            let signer = SignerId(cursor.array("signatures")?);
            let ascending = list.last().is_none_or(|(last, _)| *last < signer);
            before.ensure("signatures", ascending, Fault::NotAscending)?;
            list.push((signer, Signature::from_bytes(&cursor.array("signatures")?)));
        }
        Ok(Self(list))
    }

    /// Those of `keys` that signed these bytes, each once. A signature by nobody there, or a wrong one, counts for
    /// nothing.
    pub(crate) fn valid<'k>(
        &self,
        domain: Domain,
        bytes: &[u8],
        keys: impl Iterator<Item = &'k VerifyingKey>,
    ) -> Vec<SignerId> {
        let message = domain.message(bytes);
        keys.filter_map(|key| {
            let id = SignerId::of(key.as_bytes());
            let (_, signature) = self.0.iter().find(|(signer, _)| *signer == id)?;
            key.verify_strict(&message, signature).is_ok().then_some(id)
        })
        .collect()
    }
}
