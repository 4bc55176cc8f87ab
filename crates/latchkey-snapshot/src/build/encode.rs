//! Bytes of names, nodes and the manifest, field by field as the reader's tables list them.

use super::Object;
use super::content::Edition;
use crate::canary::{CANARIES_MAX, CANARY_LEN, Canary};
use crate::cors::{Cors, HEADERS_MAX, ORIGINS_MAX};
use crate::head::REFERENCE_LEN;
use crate::manifest::{self, ExceptionClass, Exceptions, Section, TokenKey};
use crate::names::{self, OrganizationNames, ProjectNames};
use crate::node::{self, NodeRef, PageRef};
use crate::object::ObjectRef;
use crate::query::Kind;
use crate::rule::{Access, Rule, Source};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why content cannot be written. The control plane's own limits make each of them impossible; they are
/// checked all the same, since an edge would refuse what came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// More than a named limit of the format allows.
    TooMany(&'static str),
    /// A text that is longer than its field allows.
    TooLong(&'static str),
    /// What was written is not what the reader accepts.
    Unreadable(crate::cursor::ParseError),
    /// A record names something that is not there, a fault of the writer itself.
    Lost(&'static str),
    /// Two records about the same thing, where each must be the only one.
    Twice,
    /// No signer, or one signer twice.
    Signers,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(what) => write!(f, "more {what} than the format allows"),
            Self::TooLong(what) => write!(f, "a {what} is longer than the format allows"),
            Self::Unreadable(error) => write!(f, "the reader would refuse it: {error}"),
            Self::Lost(what) => write!(f, "a record names a {what} that is not there"),
            Self::Twice => f.write_str("two records are about the same thing"),
            Self::Signers => f.write_str("an object needs one to eight different signers"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Bytes in the making.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn magic(magic: &[u8; 4]) -> Self {
        Self(magic.to_vec())
    }

    pub(super) fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.extend_from_slice(bytes.as_ref());
    }

    pub(super) fn reference(&mut self, reference: &ObjectRef) {
        self.put(reference.len_bytes().to_le_bytes());
        self.put(reference.digest().0);
    }

    /// A reference, or zeros for none.
    pub(super) fn optional_reference(&mut self, reference: Option<&ObjectRef>) {
        match reference {
            Some(reference) => self.reference(reference),
            None => self.put([0; REFERENCE_LEN]),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), BuildError> {
        let len = u16::try_from(text.len()).map_err(|_| BuildError::TooLong("text"))?;
        self.put(len.to_le_bytes());
        self.put(text);
        Ok(())
    }
}

/// Narrows a count to its field.
pub(super) fn count<N: TryFrom<usize>>(
    what: &'static str,
    count: usize,
    max: usize,
) -> Result<N, BuildError> {
    let allowed = (count <= max).then_some(count);
    allowed.and_then(|count| N::try_from(count).ok()).ok_or(BuildError::TooMany(what))
}

/// The page of names of these projects.
pub(super) fn project_names(list: &[ProjectNames]) -> Result<Object, BuildError> {
    let mut bytes = names_header(Kind::ProjectNames, list.len())?;
    list.iter().try_for_each(|names| project_entry(&mut bytes, names))?;
    Ok(Object::new(bytes.0))
}

pub(super) fn project_entry(bytes: &mut Bytes, names: &ProjectNames) -> Result<(), BuildError> {
    bytes.put(names.number.0.to_le_bytes());
    bytes.put(names.organization.0.to_le_bytes());
    bytes.put(names.id.body());
    bytes.text(names.slug.as_str())?;
    bytes.text(&names.name)
}

/// The page of names of these organizations.
pub(super) fn organization_names(list: &[OrganizationNames]) -> Result<Object, BuildError> {
    let mut bytes = names_header(Kind::OrganizationNames, list.len())?;
    list.iter().try_for_each(|names| organization_entry(&mut bytes, names))?;
    Ok(Object::new(bytes.0))
}

pub(super) fn organization_entry(bytes: &mut Bytes, names: &OrganizationNames) -> Result<(), BuildError> {
    bytes.put(names.number.0.to_le_bytes());
    bytes.put(names.id.body());
    bytes.text(&names.name)
}

fn names_header(kind: Kind, len: usize) -> Result<Bytes, BuildError> {
    let mut bytes = Bytes::magic(names::MAGIC);
    bytes.put([kind as u8]);
    bytes.put(count::<u32>("names of a page", len, names::NAMES_MAX)?.to_le_bytes());
    Ok(bytes)
}

/// The node that names these pages.
pub(super) fn node(kind: Kind, pages: &[PageRef]) -> Result<Object, BuildError> {
    let mut bytes = Bytes::magic(node::MAGIC);
    bytes.put([kind as u8]);
    bytes.put(count::<u16>("pages of a node", pages.len(), node::NODE_PAGES_MAX)?.to_le_bytes());
    for page in pages {
        bytes.put(page.first_place.to_le_bytes());
        bytes.put(page.object.len_bytes().to_le_bytes());
        bytes.put(page.records.to_le_bytes());
        bytes.put(page.object.digest().0);
    }
    Ok(Object::new(bytes.0))
}

/// The manifest of an edition with these sections.
pub(super) fn manifest(edition: &Edition<'_>, sections: &[Section]) -> Result<Object, BuildError> {
    let mut bytes = Bytes::magic(manifest::MAGIC);
    bytes.put(edition.installation.0);
    bytes.put(edition.generation.0.to_le_bytes());
    bytes.put(edition.pepper_id);
    bytes.put(edition.grace_secs.to_le_bytes());
    bytes.text(edition.prefix.as_str())?;
    bytes.put([sections.len() as u8]);
    for section in sections {
        bytes.put([section.kind as u8]);
        bytes.put(section.records.to_le_bytes());
        bytes.put(count::<u16>("nodes", section.nodes.len(), usize::from(u16::MAX))?.to_le_bytes());
        section.nodes.iter().for_each(|node| node_ref(&mut bytes, node));
    }
    exceptions(&mut bytes, edition.exceptions)?;
    token_keys(&mut bytes, "session keys", edition.session_keys)?;
    token_keys(&mut bytes, "edge keys", edition.edge_keys)?;
    canaries(&mut bytes, edition.canaries)?;
    routing(&mut bytes, edition.cors, edition.rules)?;
    if bytes.0.len() > manifest::MANIFEST_LEN_MAX {
        return Err(BuildError::TooLong("manifest"));
    }
    Ok(Object::new(bytes.0))
}

fn node_ref(bytes: &mut Bytes, node: &NodeRef) {
    bytes.put(node.first_place.to_le_bytes());
    bytes.reference(&node.object);
}

pub(super) fn exceptions(bytes: &mut Bytes, exceptions: &Exceptions) -> Result<(), BuildError> {
    let classes = || {
        let all = ExceptionClass::ALL.into_iter();
        all.map(|class| (class, exceptions.numbers(class))).filter(|(_, numbers)| !numbers.is_empty())
    };
    bytes.put([classes().count() as u8]);
    for (class, numbers) in classes() {
        bytes.put([class as u8]);
        bytes.put(count::<u32>("exceptions", numbers.len(), u32::MAX as usize)?.to_le_bytes());
        numbers.iter().for_each(|number| bytes.put(number.to_le_bytes()));
    }
    Ok(())
}

fn token_keys(bytes: &mut Bytes, what: &'static str, keys: &[TokenKey]) -> Result<(), BuildError> {
    let mut ordered: Vec<&TokenKey> = keys.iter().collect();
    ordered.sort_by_key(|key| *key.public.as_bytes());
    bytes.put(count::<u8>(what, keys.len(), manifest::TOKEN_KEYS_MAX)?.to_le_bytes());
    for key in ordered {
        bytes.put(key.public.as_bytes());
        bytes.put(key.not_before.0.to_le_bytes());
        bytes.put(key.not_after.0.to_le_bytes());
    }
    Ok(())
}

fn canaries(bytes: &mut Bytes, canaries: &[Canary]) -> Result<(), BuildError> {
    let mut ordered: Vec<&Canary> = canaries.iter().collect();
    ordered.sort_by_key(|canary| canary.key());
    bytes.put(count::<u8>("canaries", canaries.len(), CANARIES_MAX)?.to_le_bytes());
    for Canary { query, expected } in ordered {
        bytes.put([query.kind as u8]);
        bytes.put(query.place.to_le_bytes());
        bytes.put(query.bucket.to_le_bytes());
        bytes.put(query.tag);
        let Some(expected) = expected else {
            bytes.put([0; CANARY_LEN - 23]);
            continue;
        };
        let binding = &expected.binding;
        bytes.put([1]);
        bytes.put(binding.project.0.to_le_bytes());
        bytes.put(binding.organization.0.to_le_bytes());
        bytes.put([binding.role.map_or(0, |role| role as u8), expected.state as u8]);
        bytes.put(binding.permissions.bits().to_le_bytes());
    }
    Ok(())
}

/// The BLAKE3 digest by which a manifest with these says which version of them it has.
///
/// # Errors
/// [`BuildError`]: a manifest cannot have them.
pub fn routing_digest(cors: Option<&Cors>, list: &[Rule]) -> Result<[u8; 32], BuildError> {
    let mut bytes = Bytes(Vec::new());
    routing(&mut bytes, cors, list)?;
    Ok(*blake3::hash(&bytes.0).as_bytes())
}

fn routing(bytes: &mut Bytes, cors: Option<&Cors>, list: &[Rule]) -> Result<(), BuildError> {
    match cors {
        None => bytes.put([0]),
        Some(cors) => {
            bytes.put([1]);
            texts(bytes, "cors origins", &cors.origins, ORIGINS_MAX)?;
            texts(bytes, "cors headers", &cors.headers, HEADERS_MAX)?;
            texts(bytes, "exposed cors headers", &cors.exposed, HEADERS_MAX)?;
            bytes.put(cors.max_age_secs.to_le_bytes());
        }
    }
    rules(bytes, list)
}

fn texts(bytes: &mut Bytes, what: &'static str, list: &[String], max: usize) -> Result<(), BuildError> {
    let mut ordered: Vec<&String> = list.iter().collect();
    ordered.sort();
    bytes.put(count::<u8>(what, ordered.len(), max)?.to_le_bytes());
    ordered.into_iter().try_for_each(|text| bytes.text(text))
}

fn rules(bytes: &mut Bytes, rules: &[Rule]) -> Result<(), BuildError> {
    let mut ordered: Vec<&Rule> = rules.iter().collect();
    ordered.sort_by_key(|rule| rule.key());
    bytes.put(count::<u16>("route rules", rules.len(), manifest::RULES_MAX)?.to_le_bytes());
    ordered.into_iter().try_for_each(|one| rule(bytes, one))
}

fn rule(bytes: &mut Bytes, rule: &Rule) -> Result<(), BuildError> {
    let (host, pattern, method) = rule.key();
    bytes.text(host)?;
    bytes.text(pattern)?;
    bytes.text(method)?;
    bytes.put([rule.forwarding as u8]);
    let Access::Permission(permission) = rule.access else {
        bytes.put([0]);
        return Ok(());
    };
    bytes.put([1, permission.number(), rule.freshness as u8, rule.credentials as u8]);
    source(bytes, rule.project.as_ref())?;
    bytes.put([rule.resource.as_ref().map_or(0, |source| source.resource as u8)]);
    if let Some(resource) = &rule.resource {
        source(bytes, Some(&resource.source))?;
    }
    source(bytes, rule.model.as_ref())?;
    bytes.put(rule.shadow_until.map_or(0, |until| until.0).to_le_bytes());
    Ok(())
}

fn source(bytes: &mut Bytes, source: Option<&Source>) -> Result<(), BuildError> {
    match source {
        None => bytes.put([0]),
        Some(source) => {
            bytes.put([source.byte()]);
            bytes.text(source.name())?;
        }
    }
    Ok(())
}
