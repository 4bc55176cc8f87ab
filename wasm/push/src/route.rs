//! The paths of the protocol, behind the prefix that the edge and the hub each put before them.

use core::fmt;
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::head::HEAD_LEN_MAX;
use latchkey_snapshot::manifest::MANIFEST_LEN_MAX;
use latchkey_snapshot::root::ROOT_LEN_MAX;

/// Bytes an object may have at most; the manifest is the longest that the format knows.
pub const OBJECT_LEN_MAX: usize = MANIFEST_LEN_MAX;

/// What is pushed, or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The head.
    Head,
    /// The root of this version.
    Root(u32),
    /// The object with this digest.
    Object(ObjectDigest),
    /// What the hub says of itself.
    Status,
}

impl Target {
    /// The target that the rest of a path names: `head`, `root/{version}`, `objects/{digest}`, `status`. A version
    /// is decimal without leading zeros; a digest is 64 lower-case hexadecimal characters.
    pub fn parse(path: &str) -> Option<Self> {
        match path.split_once('/') {
            None if path == "head" => Some(Self::Head),
            None if path == "status" => Some(Self::Status),
            Some(("root", version)) => parse_version(version).map(Self::Root),
            Some(("objects", digest)) => ObjectDigest::parse_hex(digest).map(Self::Object),
            _ => None,
        }
    }

    /// How many bytes may be pushed to it.
    pub const fn len_max(&self) -> usize {
        match self {
            Self::Head => HEAD_LEN_MAX,
            Self::Root(_) => ROOT_LEN_MAX,
            Self::Object(_) => OBJECT_LEN_MAX,
            Self::Status => 0,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Root(version) => write!(f, "root/{version}"),
            Self::Object(digest) => write!(f, "objects/{digest}"),
            Self::Status => f.write_str("status"),
        }
    }
}

fn parse_version(text: &str) -> Option<u32> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_read_as_it_is_written() {
        let digest = ObjectDigest::of(b"x");
        for target in [Target::Head, Target::Root(12), Target::Object(digest), Target::Status] {
            assert_eq!(Target::parse(&target.to_string()), Some(target));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let upper = ObjectDigest::of(b"x").to_string().to_uppercase();
        for path in ["", "head/", "/head", "Head", "root/", "root/0", "root/01", "root/+1", "root/4294967296"]
        {
            assert_eq!(Target::parse(path), None, "{path}");
        }
        assert_eq!(Target::parse(&format!("objects/{upper}")), None);
        assert_eq!(Target::parse("objects/../head"), None);
    }
}
