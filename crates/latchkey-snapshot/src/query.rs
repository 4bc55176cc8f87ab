//! The question a look-up asks: the keyed tag of a thing, and the place where its record would lie.
//!
//! One keyed BLAKE3 over `kind ‖ content` gives 32 bytes. Bytes 0–9 are the tag that the record holds, bytes
//! 16–23 choose the page, bytes 24–27 the bucket within it. For a kind with a tenant-affine hint, the hint
//! takes the top 16 bits of the place, so that one tenant's records share pages.

use latchkey_core::{
    IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationNumber, Pepper, ProjectNumber, ResourceId,
    ResourceType, SessionId,
};

/// Bytes of a tag: 80 bits.
pub const TAG_LEN: usize = 10;

/// What a record is about. The byte goes into the tag and stands in sections, nodes and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A native API key, by the BLAKE3 digest of its text.
    NativeKey = 1,
    /// An API key of another system, by the SHA-256 digest of its text.
    ImportedKey = 2,
    /// A resource in a project.
    Resource = 3,
    /// A project, by its permanent id or its slug as a path spells it.
    ProjectReference = 4,
    /// The names of projects, by number.
    ProjectNames = 5,
    /// The names of organizations, by number.
    OrganizationNames = 6,
    /// An identity's membership in an organization.
    Membership = 7,
    /// An identity's collaboration in a project.
    Collaboration = 8,
    /// A session that was ended before its time.
    EndedSession = 9,
}

impl Kind {
    /// Every kind, in the order of its byte.
    pub const ALL: [Kind; 9] = [
        Self::NativeKey,
        Self::ImportedKey,
        Self::Resource,
        Self::ProjectReference,
        Self::ProjectNames,
        Self::OrganizationNames,
        Self::Membership,
        Self::Collaboration,
        Self::EndedSession,
    ];

    /// The kind that a byte stands for, if any.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether its pages hold names rather than records.
    pub const fn is_names(self) -> bool {
        matches!(self, Self::ProjectNames | Self::OrganizationNames)
    }

    /// Whether it is about an API key, so that its records have a state, permissions and perhaps a narrowing.
    pub const fn is_key(self) -> bool {
        matches!(self, Self::NativeKey | Self::ImportedKey)
    }

    /// Whether its records have a role.
    pub const fn has_role(self) -> bool {
        self.is_key() || matches!(self, Self::Membership | Self::Collaboration)
    }
}

/// A look-up: kind, place, bucket and tag of one possible record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is looked up.
    pub kind: Kind,
    /// Which page would hold it: the one with the greatest first place at or below.
    pub place: u64,
    /// Which bucket of the page, scaled to its bucket count.
    pub bucket: u32,
    /// What its record would begin with.
    pub tag: [u8; TAG_LEN],
}

impl Query {
    /// The look-up of a native key.
    pub fn native_key(pepper: &Pepper, id: KeyId, digest: &KeyDigest) -> Self {
        Self::of(Kind::NativeKey, keyed_digest(pepper, Kind::NativeKey, &digest.0), Some(id.hint()))
    }

    /// The look-up of an imported key. Its text has no id in it, so it goes by hash alone.
    pub fn imported_key(pepper: &Pepper, digest: &ImportedDigest) -> Self {
        Self::of(Kind::ImportedKey, keyed_digest(pepper, Kind::ImportedKey, &digest.0), None)
    }

    /// The look-up of an identity's membership in an organization.
    pub fn membership(pepper: &Pepper, identity: &IdentityId, organization: OrganizationNumber) -> Self {
        let keyed = keyed_person(pepper, Kind::Membership, identity, organization.0);
        Self::of(Kind::Membership, keyed, Some(organization.hint()))
    }

    /// The look-up of an identity's collaboration in a project.
    pub fn collaboration(pepper: &Pepper, identity: &IdentityId, project: ProjectNumber) -> Self {
        let keyed = keyed_person(pepper, Kind::Collaboration, identity, project.0);
        Self::of(Kind::Collaboration, keyed, Some(project.hint()))
    }

    /// The look-up of a session among those that were ended before their time.
    pub fn ended_session(pepper: &Pepper, session: &SessionId) -> Self {
        let mut message = [0; 17];
        message[0] = Kind::EndedSession as u8;
        message[1..].copy_from_slice(session.body());
        Self::of(Kind::EndedSession, blake3::keyed_hash(pepper.expose(), &message), None)
    }

    /// The look-up of a resource in a project.
    pub fn resource(
        pepper: &Pepper,
        project: ProjectNumber,
        resource: ResourceType,
        id: ResourceId<'_>,
    ) -> Self {
        let [a, b, c, d] = project.0.to_le_bytes();
        let keyed = keyed_text(pepper, [Kind::Resource as u8, a, b, c, d, resource as u8], id.as_str());
        Self::of(Kind::Resource, keyed, Some(project.hint()))
    }

    /// The look-up of a project by its permanent id or its slug. The two cannot be confused: a slug has no `_`.
    pub fn project_reference(pepper: &Pepper, text: &str) -> Self {
        let keyed = keyed_text(pepper, [Kind::ProjectReference as u8], text);
        Self::of(Kind::ProjectReference, keyed, None)
    }

    /// The place of a number's names.
    pub const fn names_place(number: u32) -> u64 {
        (number as u64) << 32
    }

    fn of(kind: Kind, keyed: blake3::Hash, hint: Option<u16>) -> Self {
        let bytes = keyed.as_bytes();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&bytes[..TAG_LEN]);
        let spread = u64_at(bytes, 16);
        let place = match hint {
            Some(hint) => u64::from(hint) << 48 | spread >> 16,
            None => spread,
        };
        Self { kind, place, bucket: u64_at(bytes, 24) as u32, tag }
    }
}

fn keyed_digest(pepper: &Pepper, kind: Kind, digest: &[u8; 32]) -> blake3::Hash {
    let mut message = [0; 33];
    message[0] = kind as u8;
    message[1..].copy_from_slice(digest);
    blake3::keyed_hash(pepper.expose(), &message)
}

fn keyed_person(pepper: &Pepper, kind: Kind, identity: &IdentityId, number: u32) -> blake3::Hash {
    let mut message = [0; 21];
    message[0] = kind as u8;
    message[1..17].copy_from_slice(identity.body());
    message[17..].copy_from_slice(&number.to_le_bytes());
    blake3::keyed_hash(pepper.expose(), &message)
}

/// Of `head` and the text behind it. Nearly every text is short: then the whole message is made first, which spares the
/// state of a hash that could go on.
fn keyed_text<const N: usize>(pepper: &Pepper, head: [u8; N], text: &str) -> blake3::Hash {
    let mut message = [0; MESSAGE_LEN];
    if let Some((start, rest)) = message.split_first_chunk_mut()
        && let Some(part) = rest.get_mut(..text.len())
    {
        *start = head;
        part.copy_from_slice(text.as_bytes());
        return blake3::keyed_hash(pepper.expose(), &message[..N + text.len()]);
    }
    let mut hasher = blake3::Hasher::new_keyed(pepper.expose());
    hasher.update(&head).update(text.as_bytes()).finalize()
}

/// Two blocks of BLAKE3.
const MESSAGE_LEN: usize = 128;

fn u64_at(bytes: &[u8; 32], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}
