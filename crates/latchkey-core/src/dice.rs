//! Randomness as an input: a stream of bytes stretched from a seed that the caller drew.
//!
//! A use case that is run again with the same seed makes the same ids and secrets, which is what lets the
//! store retry it. The stream is BLAKE3's extendable output keyed with the seed.

/// A stream of random bytes that follows from its seed alone.
pub struct Dice(blake3::OutputReader);

impl Dice {
    /// A stream from 32 bytes that came from the operating system's random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(b"latchkey dice v1");
        Self(hasher.finalize_xof())
    }

    /// Fills `out` with the next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    /// The next `N` bytes of the stream.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Fills `out` with base62 characters, each equally likely: six bits a try, 62 and 63 thrown away.
    pub fn base62(&mut self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            for byte in self.bytes::<32>() {
                let value = byte & 0x3f;
                if value < 62 && filled < out.len() {
                    out[filled] = crate::base62::ALPHABET[value as usize];
                    filled += 1;
                }
            }
        }
    }
}

impl core::fmt::Debug for Dice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Dice(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_characters_are_sampled_without_bias() {
        let mut dice = Dice::from_seed(&[7; 32]);
        let mut counts = [0u32; 256];
        let mut text = [0u8; 620];
        for _ in 0..1000 {
            dice.base62(&mut text);
            text.iter().for_each(|byte| counts[*byte as usize] += 1);
        }
        // 10,000 expected a character, standard deviation 99: six of them on either side.
        for byte in crate::base62::ALPHABET {
            assert!(
                (9_400..10_600).contains(&counts[*byte as usize]),
                "{} came {} times",
                *byte as char,
                counts[*byte as usize]
            );
        }
    }
}
