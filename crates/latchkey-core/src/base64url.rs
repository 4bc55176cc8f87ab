//! Base 64 with the URL-safe alphabet and no padding (RFC 4648, 5), one text for each bytes.

/// The alphabet; the value of a character is its position.
pub const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters that so many bytes take.
pub const fn len_of(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Writes `bytes` as text into `out`, of which [`len_of`] characters are used.
pub fn encode(bytes: &[u8], out: &mut [u8]) {
    let mut slots = out.iter_mut();
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for (index, slot) in slots.by_ref().take(chunk.len() + 1).enumerate() {
            *slot = ALPHABET[(word >> (18 - 6 * index) & 63) as usize];
        }
    }
}

/// Reads `text` into all of `out`: `None` unless it is the one text of as many bytes.
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<()> {
    (text.len() == len_of(out.len())).then_some(())?;
    for (characters, bytes) in text.chunks(4).zip(out.chunks_mut(3)) {
        let mut word = 0;
        for (index, character) in characters.iter().enumerate() {
            word |= value(*character)? << (18 - 6 * index);
        }
        let [_, read @ ..] = word.to_be_bytes();
        let (kept, lost) = read.split_at(bytes.len());
        lost.iter().all(|byte| *byte == 0).then_some(())?;
        bytes.copy_from_slice(kept);
    }
    Some(())
}

fn value(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn other_text_of_the_same_bytes_is_refused() {
        let mut out = [0; 1];
        for text in ["Zh", "Zz", "Z", "Zg=", "Zg==", "Z+", "Z/", "Z ", " Zg", "Z\u{e9}"] {
            assert_eq!(decode(text.as_bytes(), &mut out), None, "{text}");
        }
        assert_eq!((decode(b"Zg", &mut out), out), (Some(()), *b"f"));
        let mut out = [0; 2];
        assert_eq!(decode(b"Zm9", &mut out), None);
        assert_eq!((decode(b"Zm8", &mut out), out), (Some(()), *b"fo"));
    }

    /// RFC 4648, 10.
    #[test]
    fn test_vectors_of_the_rfc_hold() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = vec![0; len_of(bytes.len())];
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back_and_any_text_that_reads_is_theirs(bytes: [u8; 10], text in "[A-Za-z0-9_-]{14}") {
            let (mut encoded, mut back) = ([0; 14], [0; 10]);
            encode(&bytes, &mut encoded);
            prop_assert_eq!((decode(&encoded, &mut back), back), (Some(()), bytes));
            if decode(text.as_bytes(), &mut back).is_some() {
                encode(&back, &mut encoded);
                prop_assert_eq!(&encoded[..], text.as_bytes());
            }
        }
    }
}
