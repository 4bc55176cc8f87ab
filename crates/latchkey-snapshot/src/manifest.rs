//! The manifest: everything an edge needs besides the records. Resident in every isolate.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `LKM4` |
//! | 4 | 16 | installation |
//! | 20 | 8 | generation |
//! | 28 | 8 | pepper id |
//! | 36 | 4 | grace, seconds |
//! | 40 | 2 + n | key prefix |
//! | – | 1 | section count; then sections ascending by kind: kind 1, record count 8, node count 2, nodes of 44 |
//! | – | 1 | exception class count; then classes ascending: class 1, count 4, numbers of 4 ascending |
//! | – | 1 | session key count; then keys of 48 |
//! | – | 1 | edge key count; then keys of 48 |
//! | – | 1 | canary count; then canaries of 50, ascending by kind, then tag |
//! | – | – | cross-origin requests: see `cors` |
//! | – | 2 | rule count; then rules, ascending by host, pattern, method |

use crate::canary::Canary;
use crate::cors::Cors;
use crate::cursor::{Cursor, Fault, ParseError};
pub use crate::exceptions::{ExceptionClass, Exceptions};
use crate::node::NodeRef;
use crate::object::{ObjectError, ObjectRef};
use crate::query::Kind;
use crate::root::{Installation, read_public_key, read_validity};
use crate::rule::Rule;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use latchkey_core::key::{PREFIX_LEN_MAX, PREFIX_LEN_MIN, Prefix};
use latchkey_core::{Generation, UnixSeconds};

/// Bytes a manifest may have at most.
pub const MANIFEST_LEN_MAX: usize = 4 << 20;
/// Route rules a manifest may carry at most.
pub const RULES_MAX: usize = 4096;
/// Session keys, and edge keys, a manifest may name at most.
pub const TOKEN_KEYS_MAX: usize = 8;
/// The longest grace that may be set: one day.
pub const GRACE_SECS_MAX: u32 = 86_400;
pub(crate) const MAGIC: &[u8; 4] = b"LKM4";

/// A verified manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The installation it belongs to.
    pub installation: Installation,
    /// The newest change it knows.
    pub generation: Generation,
    /// Which pepper its tags are under.
    pub pepper_id: [u8; 8],
    /// How long past `as_of` a stale edge may still answer, in seconds.
    pub grace_secs: u32,
    /// How this installation's keys begin.
    pub prefix: Prefix,
    /// Where the records are, ascending by kind; a kind without records has no section.
    pub sections: Vec<Section>,
    /// What is refused as a whole.
    pub exceptions: Exceptions,
    /// Keys that sign session tokens.
    pub session_keys: Vec<TokenKey>,
    /// Keys that sign an edge's assertions to origins.
    pub edge_keys: Vec<TokenKey>,
    /// What must come out of some look-ups before it serves.
    pub canaries: Vec<Canary>,
    /// Which pages in browsers may call, if any may.
    pub cors: Option<Cors>,
    /// What each route needs.
    pub rules: Vec<Rule>,
    /// The BLAKE3 digest of the bytes of the two fields before: which version of the rules this is.
    pub routing: [u8; 32],
}

/// The records of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What they are about.
    pub kind: Kind,
    /// How many there are.
    pub records: u64,
    /// The nodes that name their pages, ascending by first place; never empty.
    pub nodes: Vec<NodeRef>,
}

/// An Ed25519 key that signs tokens, with the time in which they are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The public key.
    pub public: VerifyingKey,
    /// From when on.
    pub not_before: UnixSeconds,
    /// Until and including when.
    pub not_after: UnixSeconds,
}

impl Manifest {
    /// Reads the manifest that a statement names.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn parse(reference: &ObjectRef, bytes: &[u8]) -> Result<Self, ObjectError> {
        Ok(Self::read(reference.admit(bytes)?)?)
    }

    /// The records of a kind, if there are any.
    pub fn section(&self, kind: Kind) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::open("manifest", MAGIC, bytes)?;
        cursor.ensure("end", bytes.len() <= MANIFEST_LEN_MAX, Fault::OutOfRange)?;
        let mut manifest = Self {
            installation: Installation(cursor.array("installation")?),
            generation: Generation(cursor.u64("generation")?),
            pepper_id: cursor.array("pepper id")?,
            grace_secs: read_grace(&mut cursor)?,
            prefix: read_prefix(&mut cursor)?,
            sections: read_sections(&mut cursor)?,
            exceptions: Exceptions::read(&mut cursor)?,
            session_keys: read_token_keys(&mut cursor, "session key count")?,
            edge_keys: read_token_keys(&mut cursor, "edge key count")?,
            canaries: Canary::read_list(&mut cursor)?,
            cors: None,
            rules: Vec::new(),
            routing: [0; 32],
        };
        let routing = cursor.rest();
        manifest.cors = Cors::read(&mut cursor)?;
        manifest.rules = read_rules(&mut cursor)?;
        manifest.routing = *blake3::hash(routing).as_bytes();
        cursor.finish()?;
        Ok(manifest)
    }
}

fn read_grace(cursor: &mut Cursor<'_>) -> Result<u32, ParseError> {
    let before = cursor.clone();
    let grace_secs = cursor.u32("grace")?;
    before.ensure("grace", grace_secs <= GRACE_SECS_MAX, Fault::OutOfRange)?;
    Ok(grace_secs)
}

fn read_prefix(cursor: &mut Cursor<'_>) -> Result<Prefix, ParseError> {
    let before = cursor.clone();
    let text = cursor.text("key prefix", PREFIX_LEN_MIN, PREFIX_LEN_MAX)?;
    Prefix::parse(text).map_err(|_| before.fault("key prefix", Fault::OutOfRange))
}

fn read_sections(cursor: &mut Cursor<'_>) -> Result<Vec<Section>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8("section count")?);
    before.ensure("section count", count <= Kind::ALL.len(), Fault::OutOfRange)?;
    let mut sections: Vec<Section> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = cursor.clone();
        let section = read_section(cursor)?;
        let ascending = sections.last().is_none_or(|last| last.kind < section.kind);
        before.ensure("sections", ascending, Fault::NotAscending)?;
        sections.push(section);
    }
    Ok(sections)
}

fn read_section(cursor: &mut Cursor<'_>) -> Result<Section, ParseError> {
    let before = cursor.clone();
    let kind = Kind::from_byte(cursor.u8("section kind")?);
    let kind = kind.ok_or_else(|| before.fault("section kind", Fault::OutOfRange))?;
    let before = cursor.clone();
    let records = cursor.u64("section records")?;
    before.ensure("section records", records > 0, Fault::OutOfRange)?;
    let before = cursor.clone();
    let count = usize::from(cursor.u16("node count")?);
    before.ensure("node count", count > 0, Fault::OutOfRange)?;
    let mut nodes: Vec<NodeRef> = Vec::new();
    for _ in 0..count {
        let before = cursor.clone();
        let node = NodeRef::read(cursor)?;
        let ascending = nodes.last().is_none_or(|last| last.first_place < node.first_place);
        before.ensure("nodes", ascending, Fault::NotAscending)?;
        nodes.push(node);
    }
    Ok(Section { kind, records, nodes })
}

fn read_token_keys(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Vec<TokenKey>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u8(field)?);
    before.ensure(field, count <= TOKEN_KEYS_MAX, Fault::OutOfRange)?;
    let mut keys: Vec<TokenKey> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = cursor.clone();
        let public = read_public_key(cursor)?;
        let ascending = keys.last().is_none_or(|last| last.public.as_bytes() < public.as_bytes());
        before.ensure("public key", ascending, Fault::NotAscending)?;
        let (not_before, not_after) = read_validity(cursor)?;
        keys.push(TokenKey { public, not_before, not_after });
    }
    Ok(keys)
}

fn read_rules(cursor: &mut Cursor<'_>) -> Result<Vec<Rule>, ParseError> {
    let before = cursor.clone();
    let count = usize::from(cursor.u16("rule count")?);
    before.ensure("rule count", count <= RULES_MAX, Fault::OutOfRange)?;
    let mut rules: Vec<Rule> = Vec::new();
    for _ in 0..count {
        let before = cursor.clone();
        let rule = Rule::read(cursor)?;
        let ascending = rules.last().is_none_or(|last| last.key() < rule.key());
        before.ensure("rules", ascending, Fault::NotAscending)?;
        rules.push(rule);
    }
    Ok(rules)
}
