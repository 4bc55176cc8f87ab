//! The one field of a JSON body that a route rule reads: which model is used.
//!
//! Only the beginning of a body is looked at, and what lies behind it goes to the origin unread. Readers of JSON differ in
//! what they do with a name that stands twice, and some fold its case; so a body in which two fields could be taken for the
//! one is refused as far as it is seen, and the origin is told which model was judged.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How much of a body is looked at, in bytes.
pub const BODY_SEEN_MAX: usize = 64 << 10;
/// How deep a body may be nested.
const DEPTH_MAX: u32 = 64;

/// Why a body does not say which model is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is no JSON object.
    NotAnObject,
    /// It has no such field.
    Absent,
    /// Several fields could be taken for it.
    Several,
    /// The field is no text.
    NotText,
    /// What was looked at ends before the field.
    Beyond,
}

/// How much of a body was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Its first [`BODY_SEEN_MAX`] bytes; more follow.
    Beginning,
}

/// The text of the field `name` of the object that `seen` is, or begins.
///
/// # Errors
/// [`BodyFault`], the client's fault.
pub fn find_text(seen: &[u8], extent: Extent, name: &str) -> Result<String, BodyFault> {
    let mut found = None;
    let mut reader = Reader { rest: seen, depth: 0 };
    match (reader.object(name, &mut found), extent) {
        (Ok(()), Extent::Whole) => found.ok_or(BodyFault::Absent),
        // The object ended, and something follows that is more than the blanks which were seen.
        (Ok(()), Extent::Beginning) => Err(BodyFault::NotAnObject),
        (Err(Halt::Ended), Extent::Beginning) => found.ok_or(BodyFault::Beyond),
        (Err(Halt::Ended), Extent::Whole) => Err(BodyFault::NotAnObject),
        (Err(Halt::Fault(fault)), _) => Err(fault),
    }
}

enum Halt {
    /// The bytes end in the middle.
    Ended,
    Fault(BodyFault),
}

type Read<T> = Result<T, Halt>;

const fn wrong<T>() -> Read<T> {
    Err(Halt::Fault(BodyFault::NotAnObject))
}

/// A reader of RFC 8259, to the letter.
struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl Reader<'_> {
    /// The whole body, and nothing but blanks behind it.
    fn object(&mut self, name: &str, found: &mut Option<String>) -> Read<()> {
        self.blanks();
        self.expect(b'{')?;
        self.fields(|reader, field| {
            if !reads_as(&field, name) {
                return reader.value();
            }
            if found.is_some() {
                return Err(Halt::Fault(BodyFault::Several));
            }
            if reader.peek()? != b'"' {
                return Err(Halt::Fault(BodyFault::NotText));
            }
            let text = reader.text()?.ok_or(Halt::Fault(BodyFault::NotText))?;
            if field.as_deref() != Some(name) {
                return Err(Halt::Fault(BodyFault::Several));
            }
            *found = Some(text);
            Ok(())
        })?;
        self.blanks();
        if self.rest.is_empty() { Ok(()) } else { wrong() }
    }

    /// The fields of an object whose brace was read, and the brace that ends it.
    fn fields(&mut self, mut field: impl FnMut(&mut Self, Option<String>) -> Read<()>) -> Read<()> {
        self.blanks();
        if self.take(b'}')? {
            return Ok(());
        }
        loop {
            self.blanks();
            let name = self.text()?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            field(self, name)?;
            self.blanks();
            if self.take(b'}')? {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn value(&mut self) -> Read<()> {
        match self.peek()? {
            b'"' => self.text().map(drop),
            b'{' => self.nested(|reader| reader.fields(|reader, _| reader.value())),
            b'[' => self.nested(Self::items),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Read<()>) -> Read<()> {
        self.step()?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return wrong();
        }
        inside(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn items(&mut self) -> Read<()> {
        self.blanks();
        if self.take(b']')? {
            return Ok(());
        }
        loop {
            self.blanks();
            self.value()?;
            self.blanks();
            if self.take(b']')? {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A text, quotes and all; `None` if it spells no Unicode.
    fn text(&mut self) -> Read<Option<String>> {
        self.expect(b'"')?;
        let (mut bytes, mut is_unicode) = (Vec::new(), true);
        loop {
            match self.step()? {
                b'"' => break,
                b'\\' => match self.escape()? {
                    Some(character) => {
                        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    None => is_unicode = false,
                },
                byte if byte < b' ' => return wrong(),
                byte => bytes.push(byte),
            }
        }
        // Bytes that are no UTF-8 make it no JSON at all.
        let text = String::from_utf8(bytes).or_else(|_| wrong())?;
        Ok(is_unicode.then_some(text))
    }

    fn escape(&mut self) -> Read<Option<char>> {
        Ok(Some(match self.step()? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return wrong(),
        }))
    }

    /// What four digits spell, or eight of a surrogate pair; `None` for half of one.
    fn unicode(&mut self) -> Read<Option<char>> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first));
        }
        if self.peek()? != b'\\' {
            return Ok(None);
        }
        let before = self.rest;
        self.step()?;
        if self.peek()? != b'u' {
            self.rest = before;
            return Ok(None);
        }
        self.step()?;
        let second = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.rest = before;
            return Ok(None);
        }
        Ok(char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)))
    }

    fn four_digits(&mut self) -> Read<u32> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = char::from(self.step()?).to_digit(16);
            number = number << 4 | digit.map_or_else(wrong, Ok)?;
        }
        Ok(number)
    }

    fn number(&mut self) -> Read<()> {
        self.take(b'-')?;
        if !self.take(b'0')? {
            self.digits()?;
        }
        if self.take(b'.')? {
            self.digits()?;
        }
        if self.take(b'e')? || self.take(b'E')? {
            let _ = self.take(b'+')? || self.take(b'-')?;
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        if !self.step()?.is_ascii_digit() {
            return wrong();
        }
        while self.peek()?.is_ascii_digit() {
            self.step()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Read<()> {
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    fn blanks(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', behind)) = self.rest.split_first() {
            self.rest = behind;
        }
    }

    fn peek(&self) -> Read<u8> {
        self.rest.first().copied().ok_or(Halt::Ended)
    }

    fn step(&mut self) -> Read<u8> {
        let (byte, behind) = self.rest.split_first().ok_or(Halt::Ended)?;
        self.rest = behind;
        Ok(*byte)
    }

    fn take(&mut self, expected: u8) -> Read<bool> {
        let is_there = self.peek()? == expected;
        if is_there {
            self.step()?;
        }
        Ok(is_there)
    }

    fn expect(&mut self, expected: u8) -> Read<()> {
        if self.step()? == expected { Ok(()) } else { wrong() }
    }
}

/// Whether some reader would take a field for this one: readers fold case, some of them beyond ASCII. Names that rules read
/// are ASCII, so of Unicode's mappings those count that lead there.
fn reads_as(field: &Option<String>, name: &str) -> bool {
    let Some(field) = field else { return false };
    let mut rest = name.bytes().map(|byte| byte.to_ascii_lowercase());
    let mut bytes =
        field.chars().flat_map(|character| match FOLDED.iter().find(|(one, _)| *one == character) {
            Some((_, folded)) => Folded::Text(folded.bytes()),
            None => Folded::One(Some(character)),
        });
    bytes.all(|byte| rest.next() == Some(byte)) && rest.next().is_none()
}

/// Characters whose capital, made small again, is ASCII, and what that is.
const FOLDED: [(char, &str); 11] = [
    ('\u{131}', "i"),
    ('\u{df}', "ss"),
    ('\u{17f}', "s"),
    ('\u{212a}', "k"),
    ('\u{fb00}', "ff"),
    ('\u{fb01}', "fi"),
    ('\u{fb02}', "fl"),
    ('\u{fb03}', "ffi"),
    ('\u{fb04}', "ffl"),
    ('\u{fb05}', "st"),
    ('\u{fb06}', "st"),
];

/// What a character is folded to; what leads nowhere near ASCII is a byte that no name has.
enum Folded {
    Text(core::str::Bytes<'static>),
    One(Option<char>),
}

impl Iterator for Folded {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match self {
            Self::Text(bytes) => bytes.next(),
            Self::One(one) => one.take().map(|one| u8::try_from(one).unwrap_or(u8::MAX).to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "the body is no JSON object",
            Self::Absent => "the body does not name the model",
            Self::Several => "the body could be read as naming several models",
            Self::NotText => "the body names the model by something that is no text",
            Self::Beyond => "the body names no model within its first 65,536 bytes",
        })
    }
}

impl core::error::Error for BodyFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::format;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, BodyFault>) {
        let found = find_text(body.as_bytes(), Extent::Whole, "model");
        assert_eq!(found.as_deref().map_err(|fault| *fault), expected, "{body}");
    }

    #[test]
    fn body_that_could_be_read_as_naming_several_models_is_refused() {
        for body in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","Model":"b"}"#,
            r#"{"model":"a","mod\u0065l":"a"}"#,
            r#"{"MODEL":"a"}"#,
        ] {
            check(body, Err(BodyFault::Several));
        }
        let kelvin = "{\"key\":\"a\",\"\u{212a}ey\":\"b\"}";
        assert_eq!(find_text(kelvin.as_bytes(), Extent::Whole, "key"), Err(BodyFault::Several));
    }

    #[test]
    fn every_character_that_unicode_folds_to_ascii_is_folded() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let folded: String = character.to_uppercase().flat_map(char::to_lowercase).collect();
            if folded.is_ascii() {
                assert!(reads_as(&Some(character.into()), &folded), "{character:?}");
            } else {
                let listed = FOLDED.iter().any(|(one, _)| *one == character);
                assert!(!listed && !reads_as(&Some(character.into()), "k"), "{character:?}");
            }
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for body in [
            "",
            " ",
            "[]",
            "null",
            "\"model\"",
            "{",
            "{}x",
            "{}{}",
            "{\"model\":\"a\"",
            "{'model':'a'}",
            "{\"model\":\"a\",}",
            "{\"model\" \"a\"}",
            "{\"a\":01,\"model\":\"a\"}",
            "{\"a\":1.,\"model\":\"a\"}",
            "{\"a\":nul,\"model\":\"a\"}",
            "{\"a\":[1,],\"model\":\"a\"}",
            "{\"a\":\"\n\",\"model\":\"a\"}",
            "{\"a\":\"\\x\",\"model\":\"a\"}",
            "{/**/\"model\":\"a\"}",
            "\u{feff}{\"model\":\"a\"}",
            "{\"a\":{]},\"model\":\"a\"}",
            "{\"a\":-,\"model\":\"a\"}",
            "{\"a\":1e,\"model\":\"a\"}",
        ] {
            check(body, Err(BodyFault::NotAnObject));
        }
        assert_eq!(
            find_text(b"{\"a\":\"\xff\",\"model\":\"a\"}", Extent::Whole, "model"),
            Err(BodyFault::NotAnObject)
        );
        let deep =
            |depth: usize| format!("{{\"a\":{}{},\"model\":\"m\"}}", "[".repeat(depth), "]".repeat(depth));
        check(&deep(64), Ok("m"));
        check(&deep(65), Err(BodyFault::NotAnObject));
    }

    #[test]
    fn model_is_found_wherever_it_stands_at_the_top() {
        check(r#"{"model":"a/b"}"#, Ok("a/b"));
        check(
            r#" { "x" : {"model":"no"} , "y":[{"model":1}, -0.5e+3, true, null], "model" : "\u0061\/\ud83d\ude00" } "#,
            Ok("a/\u{1f600}"),
        );
        check(r#"{"x":"model"}"#, Err(BodyFault::Absent));
        check("{}", Err(BodyFault::Absent));
        check(r#"{"model":null}"#, Err(BodyFault::NotText));
        check(r#"{"model":["a"]}"#, Err(BodyFault::NotText));
        check(r#"{"model":"\ud800"}"#, Err(BodyFault::NotText));
        check(r#"{"\ud800":1,"model":"a"}"#, Ok("a"));
    }

    #[test]
    fn beginning_of_a_body_names_the_model_or_not() {
        let body = br#"{"messages":["hello"],"model":"a","stream":true}"#;
        let end = body.len() - r#","stream":true}"#.len();
        for len in 0..body.len() {
            let found = find_text(&body[..len], Extent::Beginning, "model");
            let expected = if len < end { Err(BodyFault::Beyond) } else { Ok("a".to_owned()) };
            assert_eq!(found, expected, "{len}");
        }
        assert_eq!(find_text(body, Extent::Beginning, "model"), Err(BodyFault::NotAnObject));
    }
}
