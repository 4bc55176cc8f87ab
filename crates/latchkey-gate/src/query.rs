//! Names in a query that a route rule reads.
//!
//! What an origin takes for the value must be what the gate took for it, whatever it splits, decodes and folds. So a query
//! in which some reader could find the name twice, or find another value, is refused and never guessed at.

use crate::path::hex_pair;
use alloc::string::String;
use alloc::vec::Vec;

/// Some reader could find another value than the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The value of `name` in a query, percent-decoded; `None` if no reader would find one. Source: docs/spec/route-rules.md.
///
/// # Errors
/// [`Ambiguous`]: the client's fault.
pub fn value(query: &[u8], name: &str) -> Result<Option<String>, Ambiguous> {
    // Many readers end a query at `#`, and would not find what stands behind it.
    if query.contains(&b'#') {
        return Err(Ambiguous);
    }
    let mut found = None;
    for piece in query.split(|byte| *byte == b'&') {
        // Some readers cut at `;` as well.
        if piece.contains(&b';') && piece.split(|byte| *byte == b';').any(|part| is_read_as(part, name)) {
            return Err(Ambiguous);
        }
        if !is_read_as(piece, name) {
            continue;
        }
        let (spelled, value) = split_pair(piece).ok_or(Ambiguous)?;
        if spelled != name.as_bytes() || found.is_some() {
            return Err(Ambiguous);
        }
        found = Some(plain(value).ok_or(Ambiguous)?);
    }
    Ok(found)
}

/// Whether some reader would take a piece for this name: decoded, in any case, cut at a bracket or a control byte, with
/// blanks and dots read as `_`.
fn is_read_as(piece: &[u8], name: &str) -> bool {
    let spelled = split_pair(piece).map_or(piece, |(spelled, _)| spelled);
    let read = decode(spelled);
    let read = read.trim_ascii_start();
    let end = read.iter().position(|byte| *byte == b'[' || byte.is_ascii_control()).unwrap_or(read.len());
    let read = read.get(..end).unwrap_or_default();
    read.len() == name.len() && read.iter().zip(name.bytes()).all(|(byte, known)| fold(*byte) == fold(known))
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b' ' | b'.' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

fn split_pair(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = piece.iter().position(|byte| *byte == b'=')?;
    Some((piece.get(..at)?, piece.get(at + 1..)?))
}

/// What a value spells, if everybody reads it alike: no `+`, no control byte, nothing that decodes twice.
fn plain(value: &[u8]) -> Option<String> {
    if value.contains(&b'+') || value.contains(&b';') {
        return None;
    }
    let text = String::from_utf8(decode(value)).ok()?;
    let decodes_again = decode(text.as_bytes()) != text.as_bytes();
    let escapes = value.iter().filter(|byte| **byte == b'%').count();
    let spelled = value.len().checked_sub(escapes.checked_mul(2)?);
    let is_whole = spelled == Some(text.len());
    (is_whole && !decodes_again && !text.chars().any(char::is_control)).then_some(text)
}

/// Percent-decodes, and takes `+` for a blank; what is no escape stays as it is.
fn decode(raw: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (raw, Vec::with_capacity(raw.len()));
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => match behind.split_first_chunk::<2>() {
                Some((digits, behind)) if let Some(decoded) = hex_pair(*digits) => {
                    out.push(decoded);
                    rest = behind;
                }
                _ => out.push(b'%'),
            },
            b'+' => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    fn of(query: &str) -> Result<Option<String>, Ambiguous> {
        value(query.as_bytes(), "project_id")
    }

    #[test]
    fn value_that_some_reader_could_take_for_another_is_refused() {
        for query in [
            "project_id=a&project_id=b",
            "project_id=a&project_id=a",
            "project_id=a&Project_ID=b",
            "project_id=a&project%5Fid=b",
            "project%5fid=a",
            "PROJECT_ID=a",
            "project_id[]=a",
            "project_id=a&project_id%5B0%5D=b",
            "project.id=a",
            "project+id=a",
            "+project_id=a",
            "project_id%00x=a",
            "project_id",
            "project_id=a&project_id",
            "x=1;project_id=b&project_id=a",
            "project_id=a;y=1",
            "project_id=a%3Bb;",
            "project_id=a+b",
            "project_id=a%2",
            "project_id=a%zz",
            "project_id=a%00",
            "project_id=a%2541",
            "project_id=%ff",
        ] {
            assert_eq!(of(query), Err(Ambiguous), "{query}");
        }
    }

    #[test]
    fn value_is_found_once_and_decoded() {
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("&&x=project_id&project=1&project_ids=2;3"), Ok(None));
        assert_eq!(of("project_id="), Ok(Some(String::new())));
        assert_eq!(of("x=1;2&project_id=a%2Fb=c&y"), Ok(Some("a/b=c".to_owned())));
        assert_eq!(of("project_id=%C3%A9"), Ok(Some("\u{e9}".to_owned())));
    }
}
