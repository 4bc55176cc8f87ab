//! Checkpoints as signed notes: the text that anybody can keep, and that witnesses can cosign.
//!
//! [`CheckpointSigner`] writes one, [`CheckpointKey::open`] reads it back. Ed25519 over the text; no other object
//! of Latchkey is signed in this form or with this key.

use super::tree::Checkpoint;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes a note may have.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Signatures a note may have.
pub const NOTE_SIGNATURES_MAX: usize = 100;
/// Bytes a key's name may have.
const NAME_BYTES_MAX: usize = 128;
/// What C2SP signed-note calls an Ed25519 key.
const ED25519: u8 = 1;
/// What a signature line begins with.
const DASH: &str = "\u{2014} ";

/// The private key that signs checkpoints, and the log's name. It shows nothing of the key.
#[derive(Clone)]
pub struct CheckpointSigner {
    name: String,
    key: SigningKey,
}

impl CheckpointSigner {
    /// The signer that follows from the log's name and 32 secret bytes.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        Ok(Self { name: checked(name)?, key: SigningKey::from_bytes(seed) })
    }

    /// The public half.
    pub fn key(&self) -> CheckpointKey {
        CheckpointKey { name: self.name.clone(), public: self.key.verifying_key() }
    }

    /// A secret that follows from the private key and tells nothing of it; another for every purpose.
    pub(crate) fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(purpose, &*Zeroizing::new(self.key.to_bytes())))
    }

    /// The signed checkpoint. The same for the same checkpoint, always.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = format!("{}\n{}\n{}\n", self.name, checkpoint.size, STANDARD.encode(checkpoint.root));
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let block = [&self.key().id()[..], &signature].concat();
        format!("{text}\n{DASH}{} {}\n", self.name, STANDARD.encode(block))
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointSigner({})", self.name)
    }
}

/// The public key of a log, with the log's name: what a verifier is given once and keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointKey {
    name: String,
    public: VerifyingKey,
}

impl CheckpointKey {
    /// Reads `<name>+<id>+<key>`, as Go's `note` package and this type's `Display` write it.
    ///
    /// # Errors
    /// [`NoteError::Key`], [`NoteError::Name`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let public = bytes.strip_prefix(&[ED25519]).and_then(|bytes| <&[u8; 32]>::try_from(bytes).ok());
        let public = public.and_then(|bytes| VerifyingKey::from_bytes(bytes).ok()).ok_or(NoteError::Key)?;
        let key = Self { name: checked(name)?, public };
        if hex(key.id()) == id { Ok(key) } else { Err(NoteError::Key) }
    }

    /// The log's name: the first line of its checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checkpoint of a note that this key signed. Signatures by others are let be.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Form("a control character"));
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form("no blank line"))?;
        let text = format!("{text}\n");
        self.check_signatures(&text, signatures)?;
        self.read(&text)
    }

    fn check_signatures(&self, text: &str, block: &str) -> Result<(), NoteError> {
        let block = block.strip_suffix('\n').ok_or(NoteError::Form("no line end after the signatures"))?;
        let lines: Vec<&str> = block.split('\n').collect();
        if lines.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooLong);
        }
        let mut is_signed = false;
        for line in lines {
            let (name, bytes) = signature(line).ok_or(NoteError::Form("a line that is no signature"))?;
            let Some((id, bytes)) = bytes.split_first_chunk::<4>() else {
                return Err(NoteError::Form("a signature that is too short"));
            };
            if name != self.name || *id != self.id() {
                continue;
            }
            let bytes = <&[u8; 64]>::try_from(bytes).map_err(|_| NoteError::Signature)?;
            let verified = self.public.verify_strict(text.as_bytes(), &Signature::from_bytes(bytes));
            verified.map_err(|_| NoteError::Signature)?;
            is_signed = true;
        }
        if is_signed { Ok(()) } else { Err(NoteError::Unsigned(self.name.clone())) }
    }

    fn read(&self, text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.split_terminator('\n');
        let (Some(name), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Form("a text that is not three lines"));
        };
        if name != self.name {
            return Err(NoteError::Origin(name.to_owned()));
        }
        let number = size.parse().ok().filter(|number: &u64| number.to_string() == size);
        let size = number.ok_or(NoteError::Form("a size that is no number"))?;
        let root = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Checkpoint { size, root: root.ok_or(NoteError::Form("a root that is no hash"))? })
    }

    fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.public.as_bytes())
            .finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519][..], self.public.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id()), STANDARD.encode(key))
    }
}

/// Why a note or a key is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteError {
    /// A log's name is empty, long, or holds a space, a plus or a control character.
    Name,
    /// The text is no public key of a log.
    Key,
    /// The note is too long.
    TooLong,
    /// The note is no checkpoint; with what is wrong about it.
    Form(&'static str),
    /// The log with this name did not sign it, or not with this key.
    Unsigned(String),
    /// The signature by the key is wrong: the text was altered.
    Signature,
    /// The checkpoint is that of another log; with its name.
    Origin(String),
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("not a log's name"),
            Self::Key => f.write_str("not a log's public key, like `name+01234567+AQ…`"),
            Self::TooLong => f.write_str("the checkpoint is too long"),
            Self::Form(what) => write!(f, "not a checkpoint: {what}"),
            Self::Unsigned(name) => write!(f, "the checkpoint is not signed by this key of `{name}`"),
            Self::Signature => f.write_str("the checkpoint's signature is wrong"),
            Self::Origin(name) => write!(f, "the checkpoint is one of `{name}`"),
        }
    }
}

impl std::error::Error for NoteError {}

/// Name and bytes of a signature line.
fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
    is_name(name).then_some(())?;
    Some((name, STANDARD.decode(bytes).ok()?))
}

fn checked(name: &str) -> Result<String, NoteError> {
    if is_name(name) && name.len() <= NAME_BYTES_MAX { Ok(name.to_owned()) } else { Err(NoteError::Name) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|one| one.is_whitespace() || one.is_control() || one == '+')
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
