//! Canonical request paths. A path is matched exactly as it was received and goes to the origin exactly so;
//! therefore one that an origin could read in two ways is refused.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Bytes a path may have at most.
pub const PATH_LEN_MAX: usize = 4096;

/// Why a path is refused; the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// More than 4,096 bytes.
    TooLong,
    /// It does not begin with `/`.
    NotAbsolute,
    /// Two slashes in a row, or a slash at the end.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A `\`, plain or encoded.
    Backslash,
    /// A control byte, plain or encoded.
    ControlByte,
    /// A byte that no path has unencoded; `;` too, because some origins cut a segment there.
    Byte,
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// An encoded `/`.
    EncodedSlash,
    /// An encoded character that must stand plain: an unreserved one, or one that a route's own text has.
    NeedlessEscape,
    /// What the escapes spell is not UTF-8.
    NotUtf8,
}

/// A canonical path.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    text: &'a str,
    is_escaped: bool,
}

impl<'a> Path<'a> {
    /// Checks a path as it was received. `plain` are characters that may not be encoded besides the unreserved.
    pub(crate) fn parse(raw: &'a [u8], plain: &Characters) -> Result<Self, PathError> {
        if raw.len() > PATH_LEN_MAX {
            return Err(PathError::TooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(PathError::NotAbsolute);
        }
        let is_simple = is_simple(raw);
        let is_escaped = !is_simple && check_bytes(raw, plain)?;
        if !is_simple {
            check_segments(raw)?;
        }
        let text = core::str::from_utf8(raw).map_err(|_| PathError::Byte)?;
        if is_escaped && decode_bytes(raw).is_none_or(|bytes| core::str::from_utf8(&bytes).is_err()) {
            return Err(PathError::NotUtf8);
        }
        Ok(Self { text, is_escaped })
    }

    pub(crate) const fn as_str(self) -> &'a str {
        self.text
    }

    /// Whether it has an escape.
    pub(crate) const fn is_escaped(self) -> bool {
        self.is_escaped
    }
}

/// What a part of a canonical path spells.
pub(crate) fn decode(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('%') {
        return Some(Cow::Borrowed(part));
    }
    String::from_utf8(decode_bytes(part.as_bytes())?).ok().map(Cow::Owned)
}

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Characters(u128);

impl Characters {
    pub(crate) const fn insert(&mut self, byte: u8) {
        if byte < 128 {
            self.0 |= 1 << byte;
        }
    }

    const fn contains(self, byte: u8) -> bool {
        byte < 128 && self.0 >> byte & 1 == 1
    }
}

/// Whether the byte may stand plain in a path (RFC 3986 `pchar`), `;` excepted.
pub(crate) const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a path is plain from end to end and no segment is empty or begins with a dot, as it is with nearly every path. One
/// pass says so; what is not simple may be canonical all the same.
fn is_simple(raw: &[u8]) -> bool {
    let (mut wrong, mut behind_slash) = (0, 0);
    for byte in raw {
        let kind = KINDS[usize::from(*byte)];
        wrong |= kind & (OTHER | behind_slash);
        behind_slash = (kind & 1) << 1;
    }
    wrong == 0 && behind_slash == 0
}

/// Checks every byte and escape; says whether there is an escape at all.
fn check_bytes(raw: &[u8], plain: &Characters) -> Result<bool, PathError> {
    let (mut rest, mut escaped) = (raw, false);
    while let Some((byte, behind)) = rest.split_first() {
        rest = match byte {
            b'%' => {
                escaped = true;
                let (digits, behind) = behind.split_first_chunk::<2>().ok_or(PathError::BadEscape)?;
                let byte = hex_pair(*digits).ok_or(PathError::BadEscape)?;
                check_escape(byte, plain)?;
                if byte == b'%' && behind.first_chunk::<2>().is_some_and(|digits| hex_pair(*digits).is_some())
                {
                    // Whoever decodes twice would read another path.
                    return Err(PathError::NeedlessEscape);
                }
                behind
            }
            b'\\' => return Err(PathError::Backslash),
            byte if byte.is_ascii_control() => return Err(PathError::ControlByte),
            byte if KINDS[usize::from(*byte)] != OTHER => behind,
            _ => return Err(PathError::Byte),
        };
    }
    Ok(escaped)
}

/// What may not stand plain in a path.
const OTHER: u8 = 0b100;
const PLAIN: u8 = 0;
/// What may not stand behind a slash where a path is simple has this bit.
const DOT: u8 = 0b010;
/// And what is one has the lowest.
const SLASH: u8 = 0b011;

/// By byte: which of these it is.
const KINDS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => SLASH,
            b'.' => DOT,
            other if is_plain(other) => PLAIN,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

fn check_escape(byte: u8, plain: &Characters) -> Result<(), PathError> {
    match byte {
        b'/' => Err(PathError::EncodedSlash),
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::Byte),
        byte if byte.is_ascii_control() => Err(PathError::ControlByte),
        byte if is_unreserved(byte) || plain.contains(byte) => Err(PathError::NeedlessEscape),
        _ => Ok(()),
    }
}

fn check_segments(raw: &[u8]) -> Result<(), PathError> {
    if raw == b"/" {
        return Ok(());
    }
    for segment in raw.split(|byte| *byte == b'/').skip(1) {
        match segment {
            b"" => return Err(PathError::EmptySegment),
            b"." | b".." => return Err(PathError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

fn decode_bytes(raw: &[u8]) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (raw, Vec::with_capacity(raw.len()));
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte == b'%' {
            let (digits, behind) = behind.split_first_chunk::<2>()?;
            out.push(hex_pair(*digits)?);
            rest = behind;
        } else {
            out.push(*byte);
        }
    }
    Some(out)
}

pub(crate) fn hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

impl PathError {
    /// Every one.
    #[cfg(test)]
    pub(crate) const ALL: [PathError; 11] = [
        Self::TooLong,
        Self::NotAbsolute,
        Self::EmptySegment,
        Self::DotSegment,
        Self::Backslash,
        Self::ControlByte,
        Self::Byte,
        Self::BadEscape,
        Self::EncodedSlash,
        Self::NeedlessEscape,
        Self::NotUtf8,
    ];

    /// The stable code a client is told.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "path_too_long",
            Self::NotAbsolute => "path_not_absolute",
            Self::EmptySegment => "path_empty_segment",
            Self::DotSegment => "path_dot_segment",
            Self::Backslash => "path_backslash",
            Self::ControlByte => "path_control_byte",
            Self::Byte => "path_byte",
            Self::BadEscape => "path_bad_escape",
            Self::EncodedSlash => "path_encoded_slash",
            Self::NeedlessEscape => "path_needless_escape",
            Self::NotUtf8 => "path_not_utf8",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the path has more than {PATH_LEN_MAX} bytes"),
            Self::NotAbsolute => f.write_str("the path does not begin with `/`"),
            Self::EmptySegment => f.write_str("the path has an empty segment"),
            Self::DotSegment => f.write_str("the path has a segment `.` or `..`"),
            Self::Backslash => f.write_str("the path has a backslash"),
            Self::ControlByte => f.write_str("the path has a control byte"),
            Self::Byte => f.write_str("the path has a byte that must be percent-encoded"),
            Self::BadEscape => f.write_str("the path has a `%` without two hexadecimal digits"),
            Self::EncodedSlash => f.write_str("the path has an encoded `/`"),
            Self::NeedlessEscape => f.write_str("the path encodes a character that must stand plain"),
            Self::NotUtf8 => f.write_str("the path does not spell UTF-8"),
        }
    }
}

impl core::error::Error for PathError {}
