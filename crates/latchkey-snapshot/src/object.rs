//! Immutable objects: known by length and digest before a byte of them is parsed.

use crate::cursor::ParseError;
use core::fmt;

/// The BLAKE3 digest of an immutable object's bytes; its name in every sink.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectDigest(pub [u8; 32]);

impl ObjectDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest that 64 lower-case hexadecimal characters spell.
    pub fn parse_hex(text: &str) -> Option<Self> {
        let canonical =
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        canonical.then(|| blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes())))?
    }
}

impl fmt::Display for ObjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for ObjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An object that a verified object names: its digest and its length. The fields are private, so that holding
/// one proves that a signature stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    digest: ObjectDigest,
    len_bytes: u32,
}

/// Why bytes are not the object that was named. Whoever delivered them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// They are not as many as the reference says.
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes that the reference names.
        named: u32,
    },
    /// Their digest is another.
    Digest,
    /// They are what was named, yet no such object: the signer's fault.
    Parse(ParseError),
}

impl ObjectRef {
    pub(crate) const fn named(digest: ObjectDigest, len_bytes: u32) -> Self {
        Self { digest, len_bytes }
    }

    /// A reference to these very bytes, for the writer and for fuzzers.
    #[cfg(feature = "build")]
    pub fn to(bytes: &[u8]) -> Self {
        Self { digest: ObjectDigest::of(bytes), len_bytes: bytes.len() as u32 }
    }

    /// The object's digest.
    pub const fn digest(&self) -> ObjectDigest {
        self.digest
    }

    /// The object's length in bytes.
    pub const fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    /// Passes bytes that are the named object, before anything parses them.
    ///
    /// # Errors
    /// [`ObjectError::Length`], checked first and without hashing, or [`ObjectError::Digest`].
    pub fn admit<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], ObjectError> {
        if bytes.len() != self.len_bytes as usize {
            return Err(ObjectError::Length { got: bytes.len(), named: self.len_bytes });
        }
        if ObjectDigest::of(bytes) != self.digest {
            return Err(ObjectError::Digest);
        }
        Ok(bytes)
    }
}

impl From<ParseError> for ObjectError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { got, named } => write!(f, "the object has {got} bytes where {named} are named"),
            Self::Digest => f.write_str("the object's digest is not the named one"),
            Self::Parse(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ObjectError {}
