//! The head, the only mutable object, and the statement inside it.
//!
//! | offset | bytes | field of the head |
//! |---|---|---|
//! | 0 | 4 | magic `LKH1` |
//! | 4 | 4 | root version |
//! | 8 | 8 | as of, Unix milliseconds |
//! | 16 | 2 | statement length |
//! | 18 | – | statement |
//! | – | 1 | inline count, at most 64 |
//! | – | 20 each | inline revocations: generation 8, subject kind 1, reason 1, subject 10; ascending |
//! | – | – | signatures of head keys |
//!
//! | offset | bytes | field of the statement |
//! |---|---|---|
//! | 0 | 4 | magic `LKS3` |
//! | 4 | 16 | installation |
//! | 20 | 8 | generation |
//! | 28 | 8 | issued, Unix seconds |
//! | 36 | 8 | use by, Unix seconds |
//! | 44 | 36 | manifest: length, digest |
//! | 80 | 36 | delta tip: length, digest; zero for none |
//! | 116 | 80 | previous: manifest 36, its delta tip 36, until, Unix seconds 8; all zero for none |
//! | 196 | 40 | audit checkpoint: size, root |
//! | 236 | – | signatures of release keys |

use crate::cursor::{Cursor, Fault, ParseError};
use crate::delta::DELTA_LEN_MAX;
use crate::manifest::MANIFEST_LEN_MAX;
use crate::object::{ObjectDigest, ObjectRef};
use crate::root::{Installation, KeyRole, Root};
use crate::signature::{Domain, Signatures, SignerId};
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Generation, OrganizationNumber, ProjectNumber, UnixMillis, UnixSeconds};

/// Bytes a head may have at most.
pub const HEAD_LEN_MAX: usize = 4096;
/// How long a statement may be good for: one day. It bounds what a stolen signing key that has expired can
/// still backdate.
pub const USE_BY_SECS_MAX: u64 = 86_400;
/// How long after a statement the base before may be carried on at most: one day.
pub const PREVIOUS_SECS_MAX: u64 = 86_400;
/// Inline revocations a head may carry at most.
pub const INLINE_MAX: usize = 64;
pub(crate) const HEAD_MAGIC: &[u8; 4] = b"LKH1";
pub(crate) const STATEMENT_MAGIC: &[u8; 4] = b"LKS3";
pub(crate) const INLINE_SUBJECT_LEN: usize = 10;
/// Bytes of a reference.
pub(crate) const REFERENCE_LEN: usize = 36;
/// Bytes of the base before, with its tip and its end.
pub(crate) const PREVIOUS_LEN: usize = 2 * REFERENCE_LEN + 8;
const INLINE_TAG: u8 = 1;
const INLINE_PROJECT: u8 = 2;
const INLINE_ORGANIZATION: u8 = 3;

/// A head whose bytes are well formed and whose signatures nobody has looked at yet.
#[derive(Clone, Debug)]
pub struct UnverifiedHead<'a> {
    bytes: &'a [u8],
    root_version: u32,
    as_of: UnixMillis,
    statement: UnverifiedStatement<'a>,
    inline: Vec<Inline>,
    signed_len: usize,
    signatures: Signatures,
}

/// A head that the root vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version of the root it was signed under.
    pub root_version: u32,
    /// The signer's clock, read before it read the committed state.
    pub as_of: UnixMillis,
    /// What is published.
    pub statement: Statement,
    /// Revocations newer than the statement, ascending by generation.
    pub inline: Vec<Inline>,
    /// The digest of what the head keys signed: two heads of one rank must say the same. The signatures are left
    /// out, since whoever carries a head could add or drop one.
    pub digest: ObjectDigest,
    /// The head keys that signed it.
    pub signers: Vec<SignerId>,
    /// The release keys that signed its statement.
    pub statement_signers: Vec<SignerId>,
}

/// What a release key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The installation it belongs to.
    pub installation: Installation,
    /// The newest change that the manifest and its deltas know.
    pub generation: Generation,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// From this second on it is stale.
    pub use_by: UnixSeconds,
    /// The manifest: the base.
    pub manifest: ObjectRef,
    /// The newest of the deltas since the base; `None` if the base knows all.
    pub tip: Option<ObjectRef>,
    /// The base before this one, with deltas of its own up to the same generation.
    pub previous: Option<Previous>,
    /// Leaves in the audit log.
    pub audit_size: u64,
    /// The Merkle root of the audit log (RFC 6962).
    pub audit_root: [u8; 32],
}

/// A base that edges may go on with for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its manifest.
    pub manifest: ObjectRef,
    /// The newest of the deltas since it.
    pub tip: ObjectRef,
    /// Until when it is carried on.
    pub until: UnixSeconds,
}

/// One revocation that rides in the head itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inline {
    /// The generation of the change that revoked.
    pub generation: Generation,
    /// What is refused.
    pub subject: InlineSubject,
    /// What the refused caller is told.
    pub reason: Reason,
}

/// What an inline revocation refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InlineSubject {
    /// What the record with this tag is about: a key, a membership, a collaboration, a session.
    Tag([u8; 10]),
    /// Everything in the project.
    Project(ProjectNumber),
    /// Everything in the organization.
    Organization(OrganizationNumber),
}

/// Why a proven credential is refused (IAM R1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Its time is over.
    Expired = 1,
    /// Revoked for good.
    Revoked = 2,
    /// Disabled for now.
    Disabled = 3,
    /// Its organization is suspended or its project archived.
    Suspended = 4,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// More than 4,096 bytes.
    TooLong,
    /// Not a head.
    Parse(ParseError),
    /// Signed under another version of the root than the one it is checked with.
    RootVersion {
        /// The version the head names.
        named: u32,
        /// The version held.
        held: u32,
    },
    /// It belongs to another installation.
    Installation,
    /// Too few release keys signed the statement.
    StatementSignatures,
    /// Too few head keys signed the head.
    HeadSignatures,
}

/// The order of heads: a smaller rank never replaces a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// A new root outranks everything signed before it.
    pub root_version: u32,
    /// Then the newer statement.
    pub generation: Generation,
    /// Then the younger head.
    pub as_of: UnixMillis,
}

impl Head {
    /// Where this head stands in the order.
    pub const fn rank(&self) -> Rank {
        Rank { root_version: self.root_version, generation: self.statement.generation, as_of: self.as_of }
    }

    /// The newest change this head carries, inline ones included.
    pub fn newest_generation(&self) -> Generation {
        self.inline.last().map_or(self.statement.generation, |inline| inline.generation)
    }
}

impl<'a> UnverifiedHead<'a> {
    /// Reads a head. It says nothing yet about who made it.
    ///
    /// # Errors
    /// [`HeadError::TooLong`] or [`HeadError::Parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HeadError> {
        if bytes.len() > HEAD_LEN_MAX {
            return Err(HeadError::TooLong);
        }
        Ok(Self::read(bytes)?)
    }

    /// The version of the root this head needs to be checked with. Not to be believed for anything else.
    pub const fn root_version(&self) -> u32 {
        self.root_version
    }

    /// The digest of what head keys signed. Equal to that of a verified head, it says the same.
    pub fn digest(&self) -> ObjectDigest {
        ObjectDigest::of(self.signed())
    }

    fn signed(&self) -> &'a [u8] {
        self.bytes.get(..self.signed_len).unwrap_or_default()
    }

    /// Believes the head if enough keys of `root`, valid when they signed, vouch for it and for its statement.
    ///
    /// # Errors
    /// [`HeadError`], the fault of whoever delivered it.
    pub fn verify(self, root: &Root) -> Result<Head, HeadError> {
        if self.root_version != root.version() {
            return Err(HeadError::RootVersion { named: self.root_version, held: root.version() });
        }
        let statement = &self.statement;
        if statement.content.installation != root.installation() {
            return Err(HeadError::Installation);
        }
        let at = self.as_of.seconds();
        let signers = root
            .vouches(KeyRole::Head, at, Domain::Head, self.signed(), &self.signatures)
            .ok_or(HeadError::HeadSignatures)?;
        let (issued, signatures) = (statement.content.issued, &statement.signatures);
        let statement_signers = root
            .vouches(KeyRole::Release, issued, Domain::Statement, statement.signed, signatures)
            .ok_or(HeadError::StatementSignatures)?;
        Ok(Head {
            signers,
            statement_signers,
            digest: self.digest(),
            root_version: self.root_version,
            as_of: self.as_of,
            statement: self.statement.content,
            inline: self.inline,
        })
    }

    fn read(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("head", HEAD_MAGIC, bytes)?;
        let root_version = cursor.u32("root version")?;
        let as_of = UnixMillis(cursor.u64("as of")?);
        let statement_len = usize::from(cursor.u16("statement length")?);
        let statement = UnverifiedStatement::read(cursor.take("statement", statement_len)?)?;
        let inline = read_inline(&mut cursor, statement.content.generation)?;
        let signed_len = cursor.at();
        let signatures = Signatures::read(&mut cursor)?;
        cursor.finish()?;
        Ok(Self { bytes, root_version, as_of, statement, inline, signed_len, signatures })
    }
}

#[derive(Clone, Debug)]
struct UnverifiedStatement<'a> {
    content: Statement,
    signed: &'a [u8],
    signatures: Signatures,
}

impl<'a> UnverifiedStatement<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("statement", STATEMENT_MAGIC, bytes)?;
        let installation = Installation(cursor.array("installation")?);
        let generation = Generation(cursor.u64("generation")?);
        let issued = UnixSeconds(cursor.u64("issued")?);
        let before = cursor.clone();
        let use_by = UnixSeconds(cursor.u64("use by")?);
        let allowed = issued < use_by && use_by <= issued.plus_secs(USE_BY_SECS_MAX);
        before.ensure("use by", allowed, Fault::OutOfRange)?;
        let manifest = read_reference(&mut cursor, "manifest", MANIFEST_LEN_MAX)?;
        let tip = read_optional_reference(&mut cursor, "delta tip", DELTA_LEN_MAX)?;
        let previous = read_previous(&mut cursor, &manifest, issued)?;
        let audit_size = cursor.u64("audit size")?;
        let audit_root = cursor.array("audit root")?;
        let signed = cursor.consumed();
        let signatures = Signatures::read(&mut cursor)?;
        cursor.finish()?;
        let content = Statement {
            installation,
            generation,
            issued,
            use_by,
            manifest,
            tip,
            previous,
            audit_size,
            audit_root,
        };
        Ok(Self { content, signed, signatures })
    }
}

/// A length and a digest, together the name of an object that is neither empty nor longer than its kind allows.
pub(crate) fn read_reference(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    len_max: usize,
) -> Result<ObjectRef, ParseError> {
    let before = cursor.clone();
    let len_bytes = cursor.u32(field)?;
    before.ensure(field, (1..=len_max).contains(&(len_bytes as usize)), Fault::OutOfRange)?;
    Ok(ObjectRef::named(ObjectDigest(cursor.array(field)?), len_bytes))
}

/// A reference, or as many zero bytes for none.
pub(crate) fn read_optional_reference(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    len_max: usize,
) -> Result<Option<ObjectRef>, ParseError> {
    if cursor.clone().take(field, REFERENCE_LEN)? == [0; REFERENCE_LEN] {
        cursor.take(field, REFERENCE_LEN)?;
        return Ok(None);
    }
    read_reference(cursor, field, len_max).map(Some)
}

fn read_previous(
    cursor: &mut Cursor<'_>,
    manifest: &ObjectRef,
    issued: UnixSeconds,
) -> Result<Option<Previous>, ParseError> {
    if cursor.clone().take("previous", PREVIOUS_LEN)? == [0; PREVIOUS_LEN] {
        cursor.take("previous", PREVIOUS_LEN)?;
        return Ok(None);
    }
    let before = cursor.clone();
    let previous = read_reference(cursor, "previous manifest", MANIFEST_LEN_MAX)?;
    before.ensure("previous manifest", previous != *manifest, Fault::NotCanonical)?;
    let tip = read_reference(cursor, "previous delta tip", DELTA_LEN_MAX)?;
    let before = cursor.clone();
    let until = UnixSeconds(cursor.u64("previous until")?);
    let allowed = issued < until && until <= issued.plus_secs(PREVIOUS_SECS_MAX);
    before.ensure("previous until", allowed, Fault::OutOfRange)?;
    Ok(Some(Previous { manifest: previous, tip, until }))
}

fn read_inline(cursor: &mut Cursor<'_>, statement: Generation) -> Result<Vec<Inline>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8("inline count")?);
    before.ensure("inline count", count <= INLINE_MAX, Fault::OutOfRange)?;
    let mut list: Vec<Inline> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = cursor.clone();
        let inline = read_one_inline(cursor)?;
        before.ensure("inline generation", inline.generation > statement, Fault::OutOfRange)?;
        let key = |inline: &Inline| (inline.generation, inline.subject);
        let ascending = list.last().is_none_or(|last| key(last) < key(&inline));
        before.ensure("inline", ascending, Fault::NotAscending)?;
        list.push(inline);
    }
    Ok(list)
}

fn read_one_inline(cursor: &mut Cursor<'_>) -> Result<Inline, ParseError> {
    let generation = Generation(cursor.u64("inline generation")?);
    let before_kind = cursor.clone();
    let kind = cursor.u8("inline subject kind")?;
    let known = (INLINE_TAG..=INLINE_ORGANIZATION).contains(&kind);
    before_kind.ensure("inline subject kind", known, Fault::OutOfRange)?;
    let before = cursor.clone();
    let reason = cursor.u8("inline reason")?;
    let reason = Reason::from_byte(reason).ok_or_else(|| before.fault("inline reason", Fault::OutOfRange))?;
    let before = cursor.clone();
    let bytes = cursor.array::<INLINE_SUBJECT_LEN>("inline subject")?;
    let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let padded = kind == INLINE_TAG || bytes[4..].iter().all(|byte| *byte == 0);
    before.ensure("inline subject", padded, Fault::NotCanonical)?;
    let subject = match kind {
        INLINE_TAG => InlineSubject::Tag(bytes),
        INLINE_PROJECT => InlineSubject::Project(ProjectNumber(number)),
        INLINE_ORGANIZATION => InlineSubject::Organization(OrganizationNumber(number)),
        _ => return Err(before_kind.fault("inline subject kind", Fault::OutOfRange)),
    };
    Ok(Inline { generation, subject, reason })
}

impl InlineSubject {
    /// The kind and the ten bytes that stand for it.
    #[cfg(feature = "build")]
    pub(crate) fn encode(&self) -> (u8, [u8; INLINE_SUBJECT_LEN]) {
        let numbered = |number: u32| {
            let mut bytes = [0; INLINE_SUBJECT_LEN];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            bytes
        };
        match self {
            Self::Tag(tag) => (INLINE_TAG, *tag),
            Self::Project(number) => (INLINE_PROJECT, numbered(number.0)),
            Self::Organization(number) => (INLINE_ORGANIZATION, numbered(number.0)),
        }
    }
}

impl Reason {
    /// The word that the refused caller is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Expired, Self::Revoked, Self::Disabled, Self::Suspended]
            .into_iter()
            .find(|reason| *reason as u8 == byte)
    }
}

impl From<ParseError> for HeadError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "head: more than {HEAD_LEN_MAX} bytes"),
            Self::Parse(error) => error.fmt(f),
            Self::RootVersion { named, held } => {
                write!(f, "head: signed under root version {named}, held is {held}")
            }
            Self::Installation => f.write_str("head: it belongs to another installation"),
            Self::StatementSignatures => f.write_str("head: too few release keys signed its statement"),
            Self::HeadSignatures => f.write_str("head: too few head keys signed it"),
        }
    }
}

impl core::error::Error for HeadError {}
