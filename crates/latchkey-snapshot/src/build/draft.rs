//! A root on its way from one offline key to the next: what it says, and the signatures that it has so far.
//!
//! Its bytes are those of a root, but for a signature count that may be 0. No reader takes it before enough have
//! signed; nothing turns a draft into a [`Root`] but reading its bytes as one.

use super::encode::BuildError;
use super::sign::{RootContent, Signer};
use crate::cursor::ParseError;
use crate::root::{self, KeyRole, ROOT_LEN_MAX, Root};
use crate::signature::{Domain, SIGNATURES_MAX, SignerId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

/// A root that may still lack signatures.
#[derive(Clone, Debug)]
pub struct RootDraft {
    content: RootContent,
    /// What is signed.
    bytes: Vec<u8>,
    signatures: BTreeMap<SignerId, [u8; 64]>,
}

impl RootDraft {
    /// A draft that nobody has signed.
    ///
    /// # Errors
    /// [`BuildError`], also when a reader would refuse it however many signed.
    pub fn new(content: &RootContent) -> Result<Self, BuildError> {
        let mut bytes = content.encode()?.0;
        bytes.push(0);
        Self::read(&bytes).map_err(BuildError::Unreadable)
    }

    /// Reads a draft, or a root, which is a draft that enough have signed.
    ///
    /// # Errors
    /// [`ParseError`]; signatures that are wrong are no error, they count for nothing.
    pub fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let bytes = bytes.get(..bytes.len().min(ROOT_LEN_MAX + 1)).unwrap_or_default();
        let (root, mut cursor) = root::read_content(bytes)?;
        let signed = cursor.consumed().to_vec();
        let before = cursor.clone();
        let count = usize::from(cursor.u8("signatures")?);
        before.ensure("signatures", count <= SIGNATURES_MAX, crate::Fault::OutOfRange)?;
        let mut signatures = BTreeMap::new();
        for _ in 0..count {
            let before = cursor.clone();
            let signer = SignerId(cursor.array("signatures")?);
            let ascends = signatures.last_key_value().is_none_or(|(last, _)| *last < signer);
            before.ensure("signatures", ascends, crate::Fault::NotAscending)?;
            signatures.insert(signer, cursor.array("signatures")?);
        }
        cursor.finish()?;
        Ok(Self { content: content(&root), bytes: signed, signatures })
    }

    /// What it says. Nobody vouches for it yet.
    pub const fn content(&self) -> &RootContent {
        &self.content
    }

    /// Adds a key's signature.
    ///
    /// # Errors
    /// [`BuildError::Signers`], when there would be more than an object takes.
    pub fn sign(&mut self, signer: &Signer) -> Result<(), BuildError> {
        let signature = signer.key().sign(&Domain::Root.message(&self.bytes)).to_bytes();
        let is_new = !self.signatures.contains_key(&signer.id());
        if is_new && self.signatures.len() >= SIGNATURES_MAX {
            return Err(BuildError::Signers);
        }
        self.signatures.insert(signer.id(), signature);
        Ok(())
    }

    /// Whether this key signed it, rightly.
    pub fn is_signed_by(&self, public: &VerifyingKey) -> bool {
        let signature = self.signatures.get(&SignerId::of(public.as_bytes()));
        signature.is_some_and(|signature| {
            let message = Domain::Root.message(&self.bytes);
            public.verify_strict(&message, &Signature::from_bytes(signature)).is_ok()
        })
    }

    /// Its bytes: those of a root once somebody has signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        // At most eight, as `sign` and `read` see to.
        bytes.push(u8::try_from(self.signatures.len()).unwrap_or(u8::MAX));
        for (signer, signature) in &self.signatures {
            bytes.extend_from_slice(&signer.0);
            bytes.extend_from_slice(signature);
        }
        bytes
    }
}

impl RootContent {
    /// What a root says, for the one that follows it.
    pub fn of(root: &Root) -> Self {
        content(root)
    }
}

fn content(root: &Root) -> RootContent {
    RootContent {
        installation: root.installation(),
        version: root.version(),
        issued: root.issued(),
        thresholds: [KeyRole::Offline, KeyRole::Release, KeyRole::Head].map(|role| root.threshold(role)),
        keys: root.keys().to_vec(),
    }
}
