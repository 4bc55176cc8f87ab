//! Reading fields in byte order, each with a name, so that a refusal says what was wrong and where.

use core::fmt;

/// Why bytes are not an object: which field, at which offset, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The kind of object, a word of the specification.
    pub object: &'static str,
    /// The field, as the specification names it.
    pub field: &'static str,
    /// Bytes from the object's start to the field.
    pub offset: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes end inside it.
    Truncated,
    /// Bytes follow after the object's end.
    Trailing,
    /// It is not this kind of object, or another version of the format.
    Magic,
    /// Its value is none that the specification allows.
    OutOfRange,
    /// It does not come strictly after the one before it.
    NotAscending,
    /// It is not UTF-8.
    NotUtf8,
    /// The same content has another, canonical, form.
    NotCanonical,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field, offset, fault } = self;
        let what = match fault {
            Fault::Truncated => "the bytes end inside it",
            Fault::Trailing => "bytes follow after the end",
            Fault::Magic => "it is another kind of object or another version",
            Fault::OutOfRange => "its value is not allowed",
            Fault::NotAscending => "it does not come strictly after the one before it",
            Fault::NotUtf8 => "it is not UTF-8",
            Fault::NotCanonical => "it is not in its canonical form",
        };
        write!(f, "{object}: `{field}` at byte {offset}: {what}")
    }
}

impl core::error::Error for ParseError {}

/// A position in the bytes of one object. Every read moves it and names its field.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    object: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins to read `object`, whose first four bytes must be `magic`.
    pub(crate) fn open(object: &'static str, magic: &[u8; 4], bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Self::inside(object, bytes);
        if cursor.array::<4>("magic")? == *magic {
            Ok(cursor)
        } else {
            Err(ParseError { object, field: "magic", offset: 0, fault: Fault::Magic })
        }
    }

    /// Begins to read a part of `object`, or one that has no magic.
    pub(crate) const fn inside(object: &'static str, bytes: &'a [u8]) -> Self {
        Self { object, bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next `len` bytes as a part of the same object, which ends with them.
    pub(crate) fn part(&mut self, field: &'static str, len: usize) -> Result<Self, ParseError> {
        let start = self.clone();
        self.take(field, len)?;
        Ok(Self { bytes: self.consumed(), ..start })
    }

    /// Everything not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Everything read so far.
    pub(crate) fn consumed(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ParseError> {
        let taken = self.rest().get(..len).ok_or_else(|| self.fault(field, Fault::Truncated))?;
        self.at += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A text behind two bytes of length, of `min` to `max` bytes.
    pub(crate) fn text(
        &mut self,
        field: &'static str,
        min: usize,
        max: usize,
    ) -> Result<&'a str, ParseError> {
        let start = self.clone();
        let len = usize::from(self.u16(field)?);
        start.ensure(field, (min..=max).contains(&len), Fault::OutOfRange)?;
        core::str::from_utf8(self.take(field, len)?).map_err(|_| start.fault(field, Fault::NotUtf8))
    }

    /// Refuses the field at the present position unless `holds`.
    pub(crate) fn ensure(&self, field: &'static str, holds: bool, fault: Fault) -> Result<(), ParseError> {
        if holds { Ok(()) } else { Err(self.fault(field, fault)) }
    }

    /// The refusal of the field at the present position.
    pub(crate) fn fault(&self, field: &'static str, fault: Fault) -> ParseError {
        ParseError { object: self.object, field, offset: self.at, fault }
    }

    /// Refuses bytes behind the object.
    pub(crate) fn finish(self) -> Result<(), ParseError> {
        self.finish_as("end")
    }

    /// Refuses bytes behind a part, whose name is `field`.
    pub(crate) fn finish_as(self, field: &'static str) -> Result<(), ParseError> {
        self.ensure(field, self.at == self.bytes.len(), Fault::Trailing)
    }
}
