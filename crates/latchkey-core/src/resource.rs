//! Resources: what a project holds (IAM P3, G1). The pair (type, id) is unique in the installation.

use core::fmt;

/// The kinds of resource that can be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ResourceType {
    /// A GPU cluster.
    Cluster = 1,
    /// A volume of clusters.
    Volume = 2,
    /// A fine-tuned model.
    Model = 3,
    /// A dedicated endpoint.
    Endpoint = 4,
    /// An evaluation.
    Evaluation = 5,
    /// A file.
    File = 6,
}

impl ResourceType {
    /// Every type, in the order of its byte.
    pub const ALL: [ResourceType; 6] =
        [Self::Cluster, Self::Volume, Self::Model, Self::Endpoint, Self::Evaluation, Self::File];

    /// The singular word used in the API and in route rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Volume => "volume",
            Self::Model => "model",
            Self::Endpoint => "endpoint",
            Self::Evaluation => "evaluation",
            Self::File => "file",
        }
    }

    /// The type that `word` names, if any.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The type that a byte of a signed object stands for, if any.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Bytes a resource id may have at most.
pub const ID_LEN_MAX: usize = 96;

/// The platform's own name of a resource: 1 to 96 of `A-Z a-z 0-9 . _ -`, and not made of dots alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResourceId<'a>(&'a str);

/// Why a text is no resource id; the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceIdError {
    /// No bytes, or more than 96.
    Length,
    /// A character outside the set at this byte offset, or nothing but dots.
    Character(usize),
}

impl<'a> ResourceId<'a> {
    /// Parses a resource id.
    ///
    /// # Errors
    /// [`ResourceIdError`] says what is wrong and where.
    pub fn parse(text: &'a str) -> Result<Self, ResourceIdError> {
        if text.is_empty() || text.len() > ID_LEN_MAX {
            return Err(ResourceIdError::Length);
        }
        let foreign = |byte: u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        match text.bytes().position(foreign) {
            Some(offset) => Err(ResourceIdError::Character(offset)),
            None if text.bytes().all(|byte| byte == b'.') => Err(ResourceIdError::Character(0)),
            None => Ok(Self(text)),
        }
    }

    /// The id's text.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ResourceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a resource id has 1 to {ID_LEN_MAX} characters"),
            Self::Character(offset) => write!(
                f,
                "a resource id has only letters, digits, `.`, `_` and `-`, not dots alone; byte {offset} is wrong"
            ),
        }
    }
}

impl core::error::Error for ResourceIdError {}
