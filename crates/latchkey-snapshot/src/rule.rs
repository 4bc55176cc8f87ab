//! A route rule as the manifest carries it: which permission a method and a path need, and where the path
//! names the project, the resource and the model. What a pattern means is the gate's to say.
//!
//! | bytes | field |
//! |---|---|
//! | 2 + n | method, 1 to 16 of `A-Z` |
//! | 2 + n | pattern, 1 to 512 bytes |
//! | 1 | permission, its number |
//! | 1 | freshness: 0 normal, 1 fresh-only |
//! | 1 | credentials: 1 keys, 2 sessions, 3 both |
//! | 1 | project source: 0 the credential's own, 1 a path parameter |
//! | 2 + n | the parameter's name, only if so: 1 to 32 of `a-z0-9_` |
//! | 1 | resource type, 0 for none |
//! | 2 + n | the parameter's name, only if there is one |
//! | 1 | model source: 0 none, 1 a path parameter, 2 a header |
//! | 2 + n | the parameter's name, or the header's: 1 to 64 of `a-z0-9-` |

use crate::cursor::{Cursor, Fault, ParseError};
use alloc::borrow::ToOwned;
use alloc::string::String;
use latchkey_core::{Permission, ResourceType};

/// Bytes of a pattern at most.
pub const PATTERN_LEN_MAX: usize = 512;
/// Bytes of a method at most.
pub const METHOD_LEN_MAX: usize = 16;
/// Bytes of a parameter's name at most.
pub const PARAMETER_LEN_MAX: usize = 32;
/// Bytes of a header's name at most.
pub const HEADER_LEN_MAX: usize = 64;

/// What one route needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path pattern, in the language of docs/spec/route-rules.md: `/v1/files/{file}`.
    pub pattern: String,
    /// The permission the caller must hold in the project.
    pub permission: Permission,
    /// Whether old knowledge will do.
    pub freshness: Freshness,
    /// Which kinds of credential may come.
    pub credentials: Credentials,
    /// Where the project is named.
    pub project: ProjectSource,
    /// Where a resource is named, if one is.
    pub resource: Option<ResourceSource>,
    /// Where the model is named, if it is.
    pub model: Option<ModelSource>,
}

/// Which kinds of credential a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Credentials {
    /// API keys alone.
    Keys = 1,
    /// Session tokens alone.
    Sessions = 2,
    /// Both.
    Any = 3,
}

impl Credentials {
    /// Whether an API key, native or imported, may come.
    pub const fn takes_keys(self) -> bool {
        matches!(self, Self::Keys | Self::Any)
    }

    /// Whether a session token may come.
    pub const fn takes_sessions(self) -> bool {
        matches!(self, Self::Sessions | Self::Any)
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Keys, Self::Sessions, Self::Any].into_iter().find(|credentials| *credentials as u8 == byte)
    }
}

/// How young the snapshot must be for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Freshness {
    /// The bound of the installation, and its stale policy.
    Normal = 0,
    /// At most one second old, never stale.
    FreshOnly = 1,
}

/// Where the project of a request is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectSource {
    /// Nowhere: the credential's own project is meant.
    Credential,
    /// In the path parameter with this name, as permanent id or slug.
    Path(String),
}

/// Where the resource of a request is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSource {
    /// The resource's type.
    pub resource: ResourceType,
    /// The path parameter that holds its id.
    pub parameter: String,
}

/// Where the model of a request is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// In the path parameter with this name.
    Path(String),
    /// In the header with this name, in lower case.
    Header(String),
}

impl Rule {
    /// Whether the method is one that a rule may have.
    pub fn is_method(text: &str) -> bool {
        (1..=METHOD_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
    }

    /// Whether the text is one that a parameter may be called.
    pub fn is_parameter(text: &str) -> bool {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        (1..=PARAMETER_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// Whether the text is a header's name as a rule writes it: in lower case.
    pub fn is_header(text: &str) -> bool {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=HEADER_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let before = cursor.clone();
        let method = cursor.text("rule method", 1, METHOD_LEN_MAX)?;
        before.ensure("rule method", Self::is_method(method), Fault::OutOfRange)?;
        let before = cursor.clone();
        let pattern = cursor.text("rule pattern", 1, PATTERN_LEN_MAX)?;
        before.ensure("rule pattern", pattern.starts_with('/'), Fault::OutOfRange)?;
        Ok(Self {
            method: method.to_owned(),
            pattern: pattern.to_owned(),
            permission: read_known(cursor, "rule permission", Permission::from_number)?,
            freshness: read_known(cursor, "rule freshness", Freshness::from_byte)?,
            credentials: read_known(cursor, "rule credentials", Credentials::from_byte)?,
            project: read_project_source(cursor)?,
            resource: read_resource_source(cursor)?,
            model: read_model_source(cursor)?,
        })
    }
}

impl Freshness {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Normal, Self::FreshOnly].into_iter().find(|freshness| *freshness as u8 == byte)
    }
}

fn read_known<T>(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    known: impl Fn(u8) -> Option<T>,
) -> Result<T, ParseError> {
    let before = cursor.clone();
    known(cursor.u8(field)?).ok_or_else(|| before.fault(field, Fault::OutOfRange))
}

fn read_project_source(cursor: &mut Cursor<'_>) -> Result<ProjectSource, ParseError> {
    let before = cursor.clone();
    match cursor.u8("rule project source")? {
        0 => Ok(ProjectSource::Credential),
        1 => Ok(ProjectSource::Path(read_parameter(cursor)?)),
        _ => Err(before.fault("rule project source", Fault::OutOfRange)),
    }
}

fn read_resource_source(cursor: &mut Cursor<'_>) -> Result<Option<ResourceSource>, ParseError> {
    let before = cursor.clone();
    let byte = cursor.u8("rule resource type")?;
    if byte == 0 {
        return Ok(None);
    }
    let resource = ResourceType::from_byte(byte);
    let resource = resource.ok_or_else(|| before.fault("rule resource type", Fault::OutOfRange))?;
    Ok(Some(ResourceSource { resource, parameter: read_parameter(cursor)? }))
}

fn read_model_source(cursor: &mut Cursor<'_>) -> Result<Option<ModelSource>, ParseError> {
    let before = cursor.clone();
    match cursor.u8("rule model source")? {
        0 => Ok(None),
        1 => Ok(Some(ModelSource::Path(read_parameter(cursor)?))),
        2 => Ok(Some(ModelSource::Header(read_header(cursor)?))),
        _ => Err(before.fault("rule model source", Fault::OutOfRange)),
    }
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let before = cursor.clone();
    let name = cursor.text("rule header", 1, HEADER_LEN_MAX)?;
    before.ensure("rule header", Rule::is_header(name), Fault::OutOfRange)?;
    Ok(name.to_owned())
}

fn read_parameter(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let before = cursor.clone();
    let name = cursor.text("rule parameter", 1, PARAMETER_LEN_MAX)?;
    before.ensure("rule parameter", Rule::is_parameter(name), Fault::OutOfRange)?;
    Ok(name.to_owned())
}
