//! Base 62 over `0-9A-Za-z`, most significant character first, fixed width.
//!
//! The alphabet is in ASCII order, so fixed-width texts sort as their numbers do.

/// The alphabet; the value of a character is its position.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether every byte is a base62 character.
pub fn is_base62(text: &[u8]) -> bool {
    text.iter().fold(0, |bad, byte| bad | VALUES[*byte as usize]) < NONE
}

/// Writes `value` into all of `out`; what does not fit in its width is lost, so the caller picks the width.
pub fn encode(mut value: u64, out: &mut [u8]) {
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
}

/// The number that `text` spells, or `None` for a foreign character or a value of 2^64 or more.
pub fn decode(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, byte| {
        let digit = VALUES[*byte as usize];
        (digit < NONE).then_some(())?;
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

/// Marks a byte outside the alphabet; its bit is in no value, so values can be or-ed together and compared once.
const NONE: u8 = 0x40;

static VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut index = 0;
    while index < 62 {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_2_pow_64_is_refused() {
        let mut text = [0; 11];
        encode(u64::MAX, &mut text);
        assert_eq!(&text, b"LygHa16AHYF");
        assert_eq!(decode(&text), Some(u64::MAX));
        assert_eq!(decode(b"LygHa16AHYG"), None);
        assert_eq!(decode(b"zzzzzzzzzzz"), None);
    }

    #[test]
    fn foreign_byte_is_refused() {
        for byte in 0..=255u8 {
            let known = ALPHABET.contains(&byte);
            assert_eq!(is_base62(&[b'0', byte]), known, "byte {byte}");
            assert_eq!(decode(&[byte]).is_some(), known, "byte {byte}");
        }
    }
}
