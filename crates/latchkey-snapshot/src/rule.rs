//! A route rule as the manifest carries it: which permission a method and a path need, and where the request names the
//! project, the resource and the model. What hosts and patterns mean is the gate's to say.
//!
//! | bytes | field |
//! |---|---|
//! | 2 + n | host, 0 to 253 bytes; none: every host |
//! | 2 + n | pattern, 1 to 512 bytes |
//! | 2 + n | method, 1 to 16 of `A-Z` |
//! | 1 | credential: 0 is taken away before the origin, 1 is passed on |
//! | 1 | access: 0 public, 1 needs a permission; only then what follows |
//! | 1 | permission, its number |
//! | 1 | freshness: 0 normal, 1 fresh-only |
//! | 1 | credentials: 1 keys, 2 sessions, 3 both |
//! | 1 | project source, 0 for the credential's own; then its name |
//! | 1 | resource type, 0 for none; then a source and its name |
//! | 1 | model source, 0 for none; then its name |
//! | 8 | shadow until, Unix seconds; 0 for not at all |
//!
//! A source is 1 a path parameter, 2 a header, 3 a query parameter, 4 a parameter of the host, 5 a field of the body; its
//! name is two bytes of length and the text.

use crate::cursor::{Cursor, Fault, ParseError};
use alloc::borrow::ToOwned;
use alloc::string::String;
use latchkey_core::{Permission, ResourceType, UnixSeconds};

/// Bytes of a host at most.
pub const HOST_LEN_MAX: usize = 253;
/// Bytes of a label of a host at most.
pub const LABEL_LEN_MAX: usize = 63;
/// Bytes of a pattern at most.
pub const PATTERN_LEN_MAX: usize = 512;
/// Bytes of a method at most.
pub const METHOD_LEN_MAX: usize = 16;
/// Bytes of a parameter's name at most.
pub const PARAMETER_LEN_MAX: usize = 32;
/// Bytes of a header's name at most.
pub const HEADER_LEN_MAX: usize = 64;
/// Bytes of the name of a query parameter, or of a field of the body, at most.
pub const NAME_LEN_MAX: usize = 64;

/// What one route needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The host, in lower case, perhaps with a parameter as its first label: `{project}.api.example.com`; `None`: every
    /// host.
    pub host: Option<String>,
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path pattern, in the language of docs/spec/route-rules.md: `/v1/files/{file}`.
    pub pattern: String,
    /// Who may come. Where that is everybody, nothing below says anything.
    pub access: Access,
    /// Whether old knowledge will do.
    pub freshness: Freshness,
    /// Which kinds of credential may come.
    pub credentials: Credentials,
    /// Where the project is named; `None`: the credential's own is meant, or the one that a session's header names.
    pub project: Option<Source>,
    /// Where a resource is named, if one is.
    pub resource: Option<ResourceSource>,
    /// Where the model is named, if it is.
    pub model: Option<Source>,
    /// Until when what would be refused is let pass all the same, if it is.
    pub shadow_until: Option<UnixSeconds>,
    /// What becomes of the credential of a request that goes on.
    pub forwarding: Forwarding,
}

/// Who may come to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, with or without a credential.
    Public,
    /// Whoever holds this permission in the project.
    Permission(Permission),
}

impl From<Permission> for Access {
    fn from(permission: Permission) -> Self {
        Self::Permission(permission)
    }
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

/// What becomes of the credential of a request that goes on to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Forwarding {
    /// The origin never sees it.
    Removed = 0,
    /// It is passed on.
    Kept = 1,
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

impl Forwarding {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Removed, Self::Kept].into_iter().find(|forwarding| *forwarding as u8 == byte)
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

impl Freshness {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Normal, Self::FreshOnly].into_iter().find(|freshness| *freshness as u8 == byte)
    }
}

/// Where a request names something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the path parameter with this name.
    Path(String),
    /// In the header with this name, in lower case.
    Header(String),
    /// In the query parameter with this name.
    Query(String),
    /// In the parameter of the host with this name.
    Host(String),
    /// In the field with this name of the body, which is a JSON object. Only a model is ever read there.
    Body(String),
}

/// Where the resource of a request is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSource {
    /// The resource's type.
    pub resource: ResourceType,
    /// Where its id stands; never in the body.
    pub source: Source,
}

impl Source {
    /// The name of what holds it.
    pub fn name(&self) -> &str {
        match self {
            Self::Path(name)
            | Self::Header(name)
            | Self::Query(name)
            | Self::Host(name)
            | Self::Body(name) => name,
        }
    }

    /// Whether its name is one that such a source may have.
    pub fn is_named_well(&self) -> bool {
        match self {
            Self::Path(name) | Self::Host(name) => Rule::is_parameter(name),
            Self::Header(name) => Rule::is_header(name),
            Self::Query(name) | Self::Body(name) => Rule::is_name(name),
        }
    }

    /// The byte that stands for its kind in a signed rule; 0 is none.
    pub const fn byte(&self) -> u8 {
        match self {
            Self::Path(_) => 1,
            Self::Header(_) => 2,
            Self::Query(_) => 3,
            Self::Host(_) => 4,
            Self::Body(_) => 5,
        }
    }

    fn of(byte: u8, name: String) -> Option<Self> {
        Some(match byte {
            1 => Self::Path(name),
            2 => Self::Header(name),
            3 => Self::Query(name),
            4 => Self::Host(name),
            5 => Self::Body(name),
            _ => return None,
        })
    }
}

impl Rule {
    /// A rule for every host that takes keys, with the project of the key, and nothing else said.
    pub fn new(method: impl Into<String>, pattern: impl Into<String>, access: impl Into<Access>) -> Self {
        Self {
            host: None,
            method: method.into(),
            pattern: pattern.into(),
            access: access.into(),
            freshness: Freshness::Normal,
            credentials: Credentials::Keys,
            project: None,
            resource: None,
            model: None,
            shadow_until: None,
            forwarding: Forwarding::Removed,
        }
    }

    /// The permission that is needed; `None` where everybody may come.
    pub const fn permission(&self) -> Option<Permission> {
        match self.access {
            Access::Public => None,
            Access::Permission(permission) => Some(permission),
        }
    }

    /// By what rules are ordered in a manifest; no two have the same.
    pub fn key(&self) -> (&str, &str, &str) {
        (self.host.as_deref().unwrap_or_default(), &self.pattern, &self.method)
    }

    /// Whether the method is one that a rule may have.
    pub fn is_method(text: &str) -> bool {
        (1..=METHOD_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
    }

    /// Whether the text is a host as a rule writes it: labels of `a-z0-9-` with dots between them, the first of which may
    /// be a parameter if others follow.
    pub fn is_host(text: &str) -> bool {
        let (parameter, rest) = Self::split_host(text);
        let is_label = |label: &str| {
            let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            (1..=LABEL_LEN_MAX).contains(&label.len()) && label.bytes().all(allowed)
        };
        text.len() <= HOST_LEN_MAX
            && parameter.is_none_or(Self::is_parameter)
            && rest.split('.').all(is_label)
    }

    /// The parameter that is a host's first label, if it has one, and all that stands behind it.
    pub fn split_host(host: &str) -> (Option<&str>, &str) {
        let split = host.strip_prefix('{').and_then(|behind| behind.split_once("}."));
        split.map_or((None, host), |(parameter, rest)| (Some(parameter), rest))
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

    /// Whether the text is one that a query parameter, or a field of a body, may be called in a rule.
    pub fn is_name(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let before = cursor.clone();
        let host = Some(cursor.text("rule host", 0, HOST_LEN_MAX)?).filter(|host| !host.is_empty());
        before.ensure("rule host", host.is_none_or(Self::is_host), Fault::OutOfRange)?;
        let before = cursor.clone();
        let pattern = cursor.text("rule pattern", 1, PATTERN_LEN_MAX)?;
        before.ensure("rule pattern", pattern.starts_with('/'), Fault::OutOfRange)?;
        let before = cursor.clone();
        let method = cursor.text("rule method", 1, METHOD_LEN_MAX)?;
        before.ensure("rule method", Self::is_method(method), Fault::OutOfRange)?;
        let forwarding = read_known(cursor, "rule credential", Forwarding::from_byte)?;
        let before = cursor.clone();
        let rule = Self {
            host: host.map(ToOwned::to_owned),
            forwarding,
            ..Self::new(method, pattern, Access::Public)
        };
        match cursor.u8("rule access")? {
            0 => Ok(rule),
            1 => rule.read_need(cursor),
            _ => Err(before.fault("rule access", Fault::OutOfRange)),
        }
    }

    /// What is said only of a route that needs a permission.
    fn read_need(self, cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            access: Access::Permission(read_known(cursor, "rule permission", Permission::from_number)?),
            freshness: read_known(cursor, "rule freshness", Freshness::from_byte)?,
            credentials: read_known(cursor, "rule credentials", Credentials::from_byte)?,
            project: read_source(cursor, "rule project source", Body::Never)?,
            resource: read_resource_source(cursor)?,
            model: read_source(cursor, "rule model source", Body::Too)?,
            shadow_until: match cursor.u64("rule shadow")? {
                0 => None,
                until => Some(UnixSeconds(until)),
            },
            ..self
        })
    }
}

/// Whether something may be read from the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Too,
    Never,
}

fn read_known<T>(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    known: impl Fn(u8) -> Option<T>,
) -> Result<T, ParseError> {
    let before = cursor.clone();
    known(cursor.u8(field)?).ok_or_else(|| before.fault(field, Fault::OutOfRange))
}

fn read_source(
    cursor: &mut Cursor<'_>,
    field: &'static str,
    body: Body,
) -> Result<Option<Source>, ParseError> {
    let before = cursor.clone();
    let byte = cursor.u8(field)?;
    if byte == 0 {
        return Ok(None);
    }
    let nameless = Source::of(byte, String::new()).filter(|source| body == Body::Too || source.byte() != 5);
    before.ensure(field, nameless.is_some(), Fault::OutOfRange)?;
    let before = cursor.clone();
    let name = cursor.text("rule source name", 1, NAME_LEN_MAX)?;
    let source = Source::of(byte, name.to_owned()).filter(Source::is_named_well);
    source.map(Some).ok_or_else(|| before.fault("rule source name", Fault::OutOfRange))
}

fn read_resource_source(cursor: &mut Cursor<'_>) -> Result<Option<ResourceSource>, ParseError> {
    let before = cursor.clone();
    let byte = cursor.u8("rule resource type")?;
    if byte == 0 {
        return Ok(None);
    }
    let resource = ResourceType::from_byte(byte);
    let resource = resource.ok_or_else(|| before.fault("rule resource type", Fault::OutOfRange))?;
    let before = cursor.clone();
    let source = read_source(cursor, "rule resource source", Body::Never)?;
    let source = source.ok_or_else(|| before.fault("rule resource source", Fault::OutOfRange))?;
    Ok(Some(ResourceSource { resource, source }))
}
