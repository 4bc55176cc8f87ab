//! The root: which keys may sign what. Edges are pinned to one at deploy and follow its successors one by one.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKR1` |
//! | 4 | 16 | installation |
//! | 20 | 4 | version |
//! | 24 | 8 | issued, Unix seconds |
//! | 32 | 3 | thresholds: offline, release, head |
//! | 35 | 1 | key count |
//! | 36 | 49 each | keys: public key, role, not before, not after; ascending by public key |
//! | – | – | signatures |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::signature::{Domain, SIGNATURES_MAX, Signatures, SignerId};
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::VerifyingKey;
use latchkey_core::UnixSeconds;

/// Bytes a root may have at most.
pub const ROOT_LEN_MAX: usize = 8192;
/// Keys a root may name at most.
pub const KEYS_MAX: usize = 32;
pub(crate) const MAGIC: &[u8; 4] = b"LKR1";

/// The random name of an installation. Every signed object belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation(pub [u8; 16]);

/// What a signing key may sign. A key serves one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum KeyRole {
    /// Signs roots, and stays offline.
    Offline = 1,
    /// Signs statements: what grants.
    Release = 2,
    /// Signs heads: freshness and revocations.
    Head = 3,
}

impl KeyRole {
    pub(crate) const ALL: [KeyRole; 3] = [KeyRole::Offline, KeyRole::Release, KeyRole::Head];
}

/// A signing key with its role and the time in which what it signs is believed.
#[derive(Clone, Debug)]
pub struct RootKey {
    /// The Ed25519 public key.
    pub public: VerifyingKey,
    /// What it may sign.
    pub role: KeyRole,
    /// From when on.
    pub not_before: UnixSeconds,
    /// Until and including when.
    pub not_after: UnixSeconds,
}

/// A verified root.
#[derive(Clone, Debug)]
pub struct Root {
    installation: Installation,
    version: u32,
    issued: UnixSeconds,
    thresholds: [u8; 3],
    keys: Vec<RootKey>,
}

/// Why a root is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// More than 8,192 bytes.
    TooLong,
    /// Not a root.
    Parse(ParseError),
    /// A root of another installation.
    Installation,
    /// Not the version after the one held.
    Version {
        /// The version that came.
        got: u32,
        /// The version that would have followed.
        expected: u32,
    },
    /// Issued before its predecessor.
    Issued,
    /// Too few of its own offline keys signed it.
    OwnSignatures,
    /// Too few of its predecessor's offline keys signed it.
    PredecessorSignatures,
}

impl Root {
    /// The root that an edge is deployed with: believed because the operator pinned it, yet still checked
    /// against its own offline keys.
    ///
    /// # Errors
    /// [`RootError`], the operator's fault.
    pub fn pinned(bytes: &[u8]) -> Result<Self, RootError> {
        Self::read(bytes, None)
    }

    /// The root that follows this one, signed by enough offline keys of both.
    ///
    /// # Errors
    /// [`RootError`], the fault of whoever delivered it.
    pub fn successor(&self, bytes: &[u8]) -> Result<Self, RootError> {
        Self::read(bytes, Some(self))
    }

    /// The installation it belongs to.
    pub const fn installation(&self) -> Installation {
        self.installation
    }

    /// Its version, counted from 1.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// When it was made.
    pub const fn issued(&self) -> UnixSeconds {
        self.issued
    }

    /// The keys it names, ascending by public key.
    pub fn keys(&self) -> &[RootKey] {
        &self.keys
    }

    /// How many keys of the role must sign.
    pub const fn threshold(&self, role: KeyRole) -> u8 {
        self.thresholds[role as usize - 1]
    }

    /// Whether these are enough of its keys of `role`, each valid at `at`: what they signed together then, it vouches for.
    pub fn trusts(&self, role: KeyRole, at: UnixSeconds, signers: &[SignerId]) -> bool {
        let keys = self.valid(role, at).filter(|key| signers.contains(&SignerId::of(key.public.as_bytes())));
        keys.count() >= usize::from(self.threshold(role))
    }

    fn valid(&self, role: KeyRole, at: UnixSeconds) -> impl Iterator<Item = &RootKey> {
        self.keys.iter().filter(move |key| key.role == role && key.not_before <= at && at <= key.not_after)
    }

    /// The keys of `role`, valid at `at`, that signed `bytes`, if they are enough.
    pub(crate) fn vouches(
        &self,
        role: KeyRole,
        at: UnixSeconds,
        domain: Domain,
        bytes: &[u8],
        signatures: &Signatures,
    ) -> Option<Vec<SignerId>> {
        let signers = signatures.valid(domain, bytes, self.valid(role, at).map(|key| &key.public));
        (signers.len() >= usize::from(self.threshold(role))).then_some(signers)
    }

    fn read(bytes: &[u8], predecessor: Option<&Root>) -> Result<Self, RootError> {
        if bytes.len() > ROOT_LEN_MAX {
            return Err(RootError::TooLong);
        }
        let (root, signed_len, signatures) = parse(bytes)?;
        if let Some(held) = predecessor {
            root.check_follows(held)?;
        }
        let signed = bytes.get(..signed_len).unwrap_or_default();
        let enough = |by: &Root| {
            by.vouches(KeyRole::Offline, root.issued, Domain::Root, signed, &signatures).is_some()
        };
        if !enough(&root) {
            return Err(RootError::OwnSignatures);
        }
        if predecessor.is_some_and(|held| !enough(held)) {
            return Err(RootError::PredecessorSignatures);
        }
        Ok(root)
    }

    fn check_follows(&self, held: &Root) -> Result<(), RootError> {
        if self.installation != held.installation {
            return Err(RootError::Installation);
        }
        let expected = held.version.checked_add(1);
        if expected != Some(self.version) {
            let expected = expected.unwrap_or(held.version);
            return Err(RootError::Version { got: self.version, expected });
        }
        // Whoever signs chooses the moment, and keys count by it: one that is over must not speak for a time gone by.
        if self.issued < held.issued {
            return Err(RootError::Issued);
        }
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<(Root, usize, Signatures), ParseError> {
    let (root, mut cursor) = read_content(bytes)?;
    let signed_len = cursor.at();
    let signatures = Signatures::read(&mut cursor)?;
    cursor.finish()?;
    Ok((root, signed_len, signatures))
}

/// What a root says, signed or not, and where its signatures begin.
pub(crate) fn read_content(bytes: &[u8]) -> Result<(Root, Cursor<'_>), ParseError> {
    let mut cursor = Cursor::open("root", MAGIC, bytes)?;
    let installation = Installation(cursor.array("installation")?);
    let before = cursor.clone();
    let version = cursor.u32("version")?;
    before.ensure("version", version >= 1, Fault::OutOfRange)?;
    let issued = UnixSeconds(cursor.u64("issued")?);
    let before_thresholds = cursor.clone();
    let thresholds = cursor.array::<3>("thresholds")?;
    let keys = read_keys(&mut cursor)?;
    for role in KeyRole::ALL {
        let held = keys.iter().filter(|key| key.role == role).count();
        let threshold = usize::from(thresholds[role as usize - 1]);
        let reachable = (1..=held.min(SIGNATURES_MAX)).contains(&threshold);
        before_thresholds.ensure("thresholds", reachable, Fault::OutOfRange)?;
    }
    Ok((Root { installation, version, issued, thresholds, keys }, cursor))
}

fn read_keys(cursor: &mut Cursor<'_>) -> Result<Vec<RootKey>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8("key count")?);
    before.ensure("key count", count <= KEYS_MAX, Fault::OutOfRange)?;
    let mut keys: Vec<RootKey> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = cursor.clone();
        let key = read_key(cursor)?;
        let ascending = keys.last().is_none_or(|last| last.public.as_bytes() < key.public.as_bytes());
        before.ensure("keys", ascending, Fault::NotAscending)?;
        keys.push(key);
    }
    Ok(keys)
}

fn read_key(cursor: &mut Cursor<'_>) -> Result<RootKey, ParseError> {
    let public = read_public_key(cursor)?;
    let before = cursor.clone();
    let role = cursor.u8("key role")?;
    let role = KeyRole::ALL.into_iter().find(|known| *known as u8 == role);
    let role = role.ok_or_else(|| before.fault("key role", Fault::OutOfRange))?;
    let (not_before, not_after) = read_validity(cursor)?;
    Ok(RootKey { public, role, not_before, not_after })
}

pub(crate) fn read_public_key(cursor: &mut Cursor<'_>) -> Result<VerifyingKey, ParseError> {
    let before = cursor.clone();
    let bytes = cursor.array::<32>("public key")?;
    public_key(&bytes).ok_or_else(|| before.fault("public key", Fault::OutOfRange))
}

/// An Ed25519 public key in its canonical encoding, not of small order.
pub fn public_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok().filter(|_| is_reduced(bytes)).filter(|key| !key.is_weak())
}

/// Whether the y-coordinate is below 2^255 − 19; the decoder takes greater ones as well (RFC 8032, 5.1.3).
fn is_reduced(public: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = public;
    *low < 0xED || high & 0x7F != 0x7F || middle.iter().any(|byte| *byte != 0xFF)
}

pub(crate) fn read_validity(cursor: &mut Cursor<'_>) -> Result<(UnixSeconds, UnixSeconds), ParseError> {
    let not_before = UnixSeconds(cursor.u64("not before")?);
    let before = cursor.clone();
    let not_after = UnixSeconds(cursor.u64("not after")?);
    before.ensure("not after", not_before <= not_after, Fault::OutOfRange)?;
    Ok((not_before, not_after))
}

impl From<ParseError> for RootError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "root: more than {ROOT_LEN_MAX} bytes"),
            Self::Parse(error) => error.fmt(f),
            Self::Installation => f.write_str("root: it belongs to another installation"),
            Self::Version { got, expected } => write!(f, "root: version {got} where {expected} follows"),
            Self::Issued => f.write_str("root: issued before the one that it follows"),
            Self::OwnSignatures => f.write_str("root: too few of its own offline keys signed it"),
            Self::PredecessorSignatures => {
                f.write_str("root: too few of its predecessor's offline keys signed it")
            }
        }
    }
}

impl core::error::Error for RootError {}
