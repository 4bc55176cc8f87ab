//! Signing: the only place that holds a private key; session tokens are signed in `token`.

use super::encode::{BuildError, Bytes, count};
use crate::head::{HEAD_MAGIC, INLINE_MAX, Inline, PREVIOUS_LEN, Previous, STATEMENT_MAGIC};
use crate::object::ObjectRef;
use crate::root::{self, Installation, KEYS_MAX, RootKey};
use crate::signature::{Domain, SIGNATURES_MAX, SignerId};
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use latchkey_core::{Generation, UnixMillis, UnixSeconds};

/// A private signing key. It shows nothing of itself and is wiped when dropped.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// The key that follows from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    /// How a signature names this key.
    pub fn id(&self) -> SignerId {
        SignerId::of(self.public().as_bytes())
    }

    pub(super) const fn key(&self) -> &SigningKey {
        &self.0
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// What a root says.
#[derive(Clone, Debug)]
pub struct RootContent {
    /// The installation.
    pub installation: Installation,
    /// Its version, counted from 1.
    pub version: u32,
    /// When it is made.
    pub issued: UnixSeconds,
    /// How many offline, release and head keys must sign.
    pub thresholds: [u8; 3],
    /// The keys, in any order.
    pub keys: Vec<RootKey>,
}

/// What a statement says.
#[derive(Clone, Debug)]
pub struct StatementContent {
    /// The installation.
    pub installation: Installation,
    /// The newest change that the manifest and its deltas know.
    pub generation: Generation,
    /// When it is signed.
    pub issued: UnixSeconds,
    /// From when on it is stale.
    pub use_by: UnixSeconds,
    /// The manifest: the base.
    pub manifest: ObjectRef,
    /// The newest of the deltas since the base, if there are any.
    pub tip: Option<ObjectRef>,
    /// The base before this one, while edges may go on with it.
    pub previous: Option<Previous>,
    /// Leaves in the audit log.
    pub audit_size: u64,
    /// The Merkle root of the audit log.
    pub audit_root: [u8; 32],
}

/// What a head says.
#[derive(Clone, Copy, Debug)]
pub struct HeadContent<'a> {
    /// The root it is signed under.
    pub root_version: u32,
    /// The clock, read before the committed state was.
    pub as_of: UnixMillis,
    /// A signed statement.
    pub statement: &'a [u8],
    /// Revocations newer than the statement, in any order.
    pub inline: &'a [Inline],
}

impl RootContent {
    /// The signed root.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn sign(&self, signers: &[&Signer]) -> Result<Vec<u8>, BuildError> {
        sign(self.encode()?, Domain::Root, signers)
    }

    /// Everything up to the signatures.
    pub(super) fn encode(&self) -> Result<Bytes, BuildError> {
        let mut bytes = Bytes::magic(root::MAGIC);
        bytes.put(self.installation.0);
        bytes.put(self.version.to_le_bytes());
        bytes.put(self.issued.0.to_le_bytes());
        bytes.put(self.thresholds);
        bytes.put(count::<u8>("keys of a root", self.keys.len(), KEYS_MAX)?.to_le_bytes());
        let mut keys: Vec<&RootKey> = self.keys.iter().collect();
        keys.sort_by_key(|key| *key.public.as_bytes());
        for key in keys {
            bytes.put(key.public.as_bytes());
            bytes.put([key.role as u8]);
            bytes.put(key.not_before.0.to_le_bytes());
            bytes.put(key.not_after.0.to_le_bytes());
        }
        Ok(bytes)
    }
}

impl StatementContent {
    /// The signed statement.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn sign(&self, signers: &[&Signer]) -> Result<Vec<u8>, BuildError> {
        let mut bytes = Bytes::magic(STATEMENT_MAGIC);
        bytes.put(self.installation.0);
        bytes.put(self.generation.0.to_le_bytes());
        bytes.put(self.issued.0.to_le_bytes());
        bytes.put(self.use_by.0.to_le_bytes());
        bytes.reference(&self.manifest);
        bytes.optional_reference(self.tip.as_ref());
        match &self.previous {
            None => bytes.put([0; PREVIOUS_LEN]),
            Some(previous) => {
                bytes.reference(&previous.manifest);
                bytes.reference(&previous.tip);
                bytes.put(previous.until.0.to_le_bytes());
            }
        }
        bytes.put(self.audit_size.to_le_bytes());
        bytes.put(self.audit_root);
        sign(bytes, Domain::Statement, signers)
    }
}

impl HeadContent<'_> {
    /// The signed head.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn sign(&self, signers: &[&Signer]) -> Result<Vec<u8>, BuildError> {
        let mut bytes = Bytes::magic(HEAD_MAGIC);
        bytes.put(self.root_version.to_le_bytes());
        bytes.put(self.as_of.0.to_le_bytes());
        bytes.put(
            count::<u16>("bytes of a statement", self.statement.len(), usize::from(u16::MAX))?.to_le_bytes(),
        );
        bytes.put(self.statement);
        bytes.put(count::<u8>("inline revocations", self.inline.len(), INLINE_MAX)?.to_le_bytes());
        let mut inline = self.inline.to_vec();
        inline.sort_unstable();
        for entry in inline {
            let (kind, subject) = entry.subject.encode();
            bytes.put(entry.generation.0.to_le_bytes());
            bytes.put([kind, entry.reason as u8]);
            bytes.put(subject);
        }
        sign(bytes, Domain::Head, signers)
    }
}

/// Puts the signature block at the end.
fn sign(mut bytes: Bytes, domain: Domain, signers: &[&Signer]) -> Result<Vec<u8>, BuildError> {
    let message = domain.message(&bytes.0);
    let mut block: Vec<(SignerId, [u8; 64])> =
        signers.iter().map(|signer| (signer.id(), signer.0.sign(&message).to_bytes())).collect();
    block.sort_unstable();
    let different = block.is_sorted_by(|a, b| a.0 < b.0);
    if !different || !(1..=SIGNATURES_MAX).contains(&block.len()) {
        return Err(BuildError::Signers);
    }
    bytes.put([block.len() as u8]);
    for (id, signature) in block {
        bytes.put(id.0);
        bytes.put(signature);
    }
    Ok(bytes.0)
}
