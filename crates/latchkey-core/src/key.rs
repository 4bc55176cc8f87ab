//! The API key's text: `<prefix>_<id>_<secret><mint check><checksum>`. Specified in docs/spec/key-format.md.
//!
//! [`KeyText::parse`] reads one, [`PlainKey::generate`] makes one. Only a [`KeyDigest`] is ever stored.

use crate::base62;
use crate::dice::Dice;
use crate::id::{KEY_ID_LEN, KeyId};
use crate::secret::MintSecret;
use core::fmt;
use sha2::Digest as _;
use zeroize::ZeroizeOnDrop;

/// Bytes of a native key at most: one BLAKE3 block.
pub const LEN_MAX: usize = 64;
/// Characters of the secret: 160 bits.
pub const SECRET_LEN: usize = 27;
/// Characters of the mint check: 29 bits.
pub const MINT_CHECK_LEN: usize = 5;
/// Characters of the checksum: 32 bits.
pub const CHECKSUM_LEN: usize = 6;
/// Characters of a prefix at most.
pub const PREFIX_LEN_MAX: usize = 12;
/// Characters of a prefix at least.
pub const PREFIX_LEN_MIN: usize = 2;

/// Bytes behind the prefix: `_`, id, `_`, secret, mint check, checksum.
const REST_LEN: usize = 1 + KEY_ID_LEN + 1 + SECRET_LEN + MINT_CHECK_LEN + CHECKSUM_LEN;
const _: () = assert!(PREFIX_LEN_MAX + REST_LEN <= LEN_MAX);

/// Prefixes that Latchkey's own tokens have. A key prefix is none of them and begins with none of them and `_`, so
/// that the beginning of a credential tells its kind.
pub const RESERVED_PREFIXES: [&str; 6] = ["lko", "lks", "lkt", "lku", "lka", "lki"];

/// The installation's own beginning of every key: 2 to 12 of `a-z`, `0-9`, `_`, not ending in `_`, not reserved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    text: [u8; PREFIX_LEN_MAX],
    len: u8,
}

/// Why a text is no prefix; the operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Fewer than 2 or more than 12 bytes.
    Length,
    /// A character outside `a-z`, `0-9`, `_` at this byte offset.
    Character(usize),
    /// `_` at the end.
    Underscore,
    /// One of [`RESERVED_PREFIXES`].
    Reserved,
}

impl Prefix {
    /// Parses a prefix.
    ///
    /// # Errors
    /// [`PrefixError`] says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let bytes = text.as_bytes();
        if !(PREFIX_LEN_MIN..=PREFIX_LEN_MAX).contains(&bytes.len()) {
            return Err(PrefixError::Length);
        }
        let foreign = |byte: &u8| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if let Some(offset) = bytes.iter().position(foreign) {
            return Err(PrefixError::Character(offset));
        }
        if bytes.ends_with(b"_") {
            return Err(PrefixError::Underscore);
        }
        if RESERVED_PREFIXES.contains(&text.split('_').next().unwrap_or_default()) {
            return Err(PrefixError::Reserved);
        }
        let mut prefix = Self { text: [0; PREFIX_LEN_MAX], len: bytes.len() as u8 };
        prefix.text[..bytes.len()].copy_from_slice(bytes);
        Ok(prefix)
    }

    /// The prefix's text.
    pub fn as_str(&self) -> &str {
        // Only ASCII was let in by `parse`.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether a text begins as this installation's keys do. Such a text is never read as another system's key.
    pub fn begins(&self, text: &[u8]) -> bool {
        text.strip_prefix(self.as_bytes()).is_some_and(|rest| rest.starts_with(b"_"))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len as usize]
    }
}

/// Bytes that another system's key has at least.
pub const IMPORTED_LEN_MIN: usize = 8;
/// Bytes that another system's key has at most.
pub const IMPORTED_LEN_MAX: usize = 512;

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({})", self.as_str())
    }
}

/// A native key's text as a request carried it: well formed, checksum right, not yet known to exist.
///
/// It borrows the request's bytes and shows none of them.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    text: &'a [u8],
    id: KeyId,
}

/// Why a text is no native key of this installation. All of them are one answer to the client (IAM R1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The length is not that of a key with this prefix.
    Length,
    /// The checksum does not match: a typo, a cut-off copy, or junk.
    Checksum,
    /// The prefix is another one.
    Prefix,
    /// A separator is missing, or a character is not base62.
    Character,
    /// The id's characters spell a number of 2^64 or more.
    Id,
}

impl<'a> KeyText<'a> {
    /// Reads a key of the installation with this prefix, without any hashing.
    ///
    /// # Errors
    /// [`KeyError`] names the first thing that is wrong, never the text.
    pub fn parse(text: &'a [u8], prefix: &Prefix) -> Result<Self, KeyError> {
        let start = prefix.len as usize;
        if text.len() != start + REST_LEN {
            return Err(KeyError::Length);
        }
        let (body, checksum) = text.split_at(text.len() - CHECKSUM_LEN);
        if base62::decode(checksum) != Some(u64::from(crc32fast::hash(body))) {
            return Err(KeyError::Checksum);
        }
        if &body[..start] != prefix.as_bytes() {
            return Err(KeyError::Prefix);
        }
        let id_end = start + 1 + KEY_ID_LEN;
        if body[start] != b'_' || body[id_end] != b'_' || !base62::is_base62(&body[id_end + 1..]) {
            return Err(KeyError::Character);
        }
        let id = &body[start + 1..id_end];
        if !base62::is_base62(id) {
            return Err(KeyError::Character);
        }
        KeyId::parse(id).map(|id| Self { text, id }).ok_or(KeyError::Id)
    }

    /// The key's public id, as its text claims it.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The digest under which the key is stored and looked up.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(*blake3::hash(self.text).as_bytes())
    }

    /// Whether the mint check was made with `secret`. It is no part of a verdict: it only says whether an
    /// unknown key may cost a fetch. Compared by value, not in constant time: it guards work, not access.
    pub fn mint_check_matches(&self, secret: &MintSecret) -> bool {
        let (minted, check) = self.text[..self.text.len() - CHECKSUM_LEN]
            .split_at(self.text.len() - CHECKSUM_LEN - MINT_CHECK_LEN);
        mint_check(minted, secret) == check
    }
}

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({})", self.id)
    }
}

/// The digest of a key's whole text: BLAKE3 for a native key. It is what the control plane stores.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// The digest of an imported key's whole text: SHA-256, by which keys of another system come in (IAM K9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportedDigest(pub [u8; 32]);

impl ImportedDigest {
    /// The digest under which a key with this text is looked up.
    pub fn of(text: &[u8]) -> Self {
        Self(sha2::Sha256::digest(text).into())
    }

    /// The digest of what a request presented, if it could be another system's key at all: 8 to 512 printable
    /// ASCII characters without space.
    pub fn of_presented(text: &[u8]) -> Option<Self> {
        let could_be = (IMPORTED_LEN_MIN..=IMPORTED_LEN_MAX).contains(&text.len());
        (could_be && text.iter().all(u8::is_ascii_graphic)).then(|| Self::of(text))
    }
}

impl fmt::Debug for ImportedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedDigest(..)")
    }
}

/// A key's text at the moment of its creation, the only time it is shown (IAM K2). Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct PlainKey {
    text: [u8; LEN_MAX],
    len: u8,
    #[zeroize(skip)]
    id: KeyId,
}

impl PlainKey {
    /// A new key under `hint`.
    pub fn generate(prefix: &Prefix, hint: u16, mint: &MintSecret, dice: &mut Dice) -> Self {
        let id = KeyId::generate(hint, dice);
        let mut secret = [0; SECRET_LEN];
        dice.base62(&mut secret);
        Self::assemble(prefix, id, &secret, mint)
    }

    /// The key with this id and these 27 base62 characters of secret.
    pub fn assemble(prefix: &Prefix, id: KeyId, secret: &[u8; SECRET_LEN], mint: &MintSecret) -> Self {
        let mut key = Self { text: [0; LEN_MAX], len: 0, id };
        key.push(prefix.as_bytes());
        key.push(b"_");
        key.push(&id.text());
        key.push(b"_");
        key.push(secret);
        let check = mint_check(key.as_bytes(), mint);
        key.push(&check);
        let mut checksum = [0; CHECKSUM_LEN];
        base62::encode(u64::from(crc32fast::hash(key.as_bytes())), &mut checksum);
        key.push(&checksum);
        key
    }

    /// The text, for the one reply that shows it.
    pub fn expose(&self) -> &str {
        // Only ASCII is ever pushed.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The key's public id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The digest under which the key is stored.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(*blake3::hash(self.as_bytes()).as_bytes())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len as usize]
    }

    fn push(&mut self, part: &[u8]) {
        let start = self.len as usize;
        self.text[start..start + part.len()].copy_from_slice(part);
        self.len += part.len() as u8;
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainKey({})", self.id)
    }
}

fn mint_check(minted: &[u8], secret: &MintSecret) -> [u8; MINT_CHECK_LEN] {
    let keyed = blake3::keyed_hash(secret.expose(), minted);
    let mut first = [0; 4];
    first.copy_from_slice(&keyed.as_bytes()[..4]);
    let mut check = [0; MINT_CHECK_LEN];
    base62::encode(u64::from(u32::from_le_bytes(first) & MINT_CHECK_MASK), &mut check);
    check
}

const MINT_CHECK_MASK: u32 = (1 << 29) - 1;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the key's length is wrong",
            Self::Checksum => "the key's checksum does not match",
            Self::Prefix => "the key's prefix is not this installation's",
            Self::Character => "the key has a character that no key has",
            Self::Id => "the key's id is out of range",
        })
    }
}

impl core::error::Error for KeyError {}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a key prefix has {PREFIX_LEN_MIN} to {PREFIX_LEN_MAX} characters"),
            Self::Character(offset) => {
                write!(
                    f,
                    "a key prefix has only `a-z`, `0-9` and `_`; the character at byte {offset} is another"
                )
            }
            Self::Underscore => f.write_str("a key prefix does not end with `_`"),
            Self::Reserved => f.write_str("a key prefix is none that other tokens of Latchkey have"),
        }
    }
}

impl core::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{format, string::String, vec::Vec};

    fn prefix() -> Prefix {
        Prefix::parse("lk_test").unwrap()
    }

    fn sample() -> PlainKey {
        PlainKey::generate(&prefix(), 9, &MintSecret::new([5; 32]), &mut Dice::from_seed(&[1; 32]))
    }

    #[test]
    fn every_single_character_change_is_refused() {
        let key = sample();
        let text = key.expose().as_bytes();
        for index in 0..text.len() {
            for byte in 0..=255u8 {
                let mut changed = text.to_vec();
                changed[index] = byte;
                assert_eq!(
                    KeyText::parse(&changed, &prefix()).is_ok(),
                    byte == text[index],
                    "{index} {byte}"
                );
            }
        }
    }

    #[test]
    fn truncated_and_extended_keys_are_refused() {
        let key = sample();
        let text = key.expose();
        for len in 0..text.len() {
            assert_eq!(KeyText::parse(&text.as_bytes()[..len], &prefix()).unwrap_err(), KeyError::Length);
        }
        assert!(KeyText::parse(format!("{text}0").as_bytes(), &prefix()).is_err());
        assert!(KeyText::parse(format!(" {text}").as_bytes(), &prefix()).is_err());
    }

    #[test]
    fn right_checksum_over_wrong_parts_is_refused() {
        let reseal = |mut text: Vec<u8>| {
            let body = text.len() - CHECKSUM_LEN;
            let crc = crc32fast::hash(&text[..body]);
            base62::encode(u64::from(crc), &mut text[body..]);
            KeyText::parse(&text, &prefix()).map(|key| key.id())
        };
        let key = sample();
        let change = |index: usize, byte: u8| {
            let mut text = key.expose().as_bytes().to_vec();
            text[index] = byte;
            reseal(text)
        };
        assert_eq!(change(0, b'x'), Err(KeyError::Prefix));
        assert_eq!(change(7, b'-'), Err(KeyError::Character));
        assert_eq!(change(19, b'0'), Err(KeyError::Character));
        assert_eq!(change(25, b'_'), Err(KeyError::Character));
        assert_eq!(change(10, 0xff), Err(KeyError::Character));
        assert_eq!(change(8, b'z'), Err(KeyError::Id));
    }

    #[test]
    fn foreign_mint_check_is_seen() {
        let key = sample();
        let text = KeyText::parse(key.expose().as_bytes(), &prefix()).unwrap();
        assert!(text.mint_check_matches(&MintSecret::new([5; 32])));
        assert!(!text.mint_check_matches(&MintSecret::new([6; 32])));
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = sample();
        let shown = format!("{key:?} {:?}", KeyText::parse(key.expose().as_bytes(), &prefix()).unwrap());
        let secret: String = key.expose().chars().skip(20).take(SECRET_LEN).collect();
        assert!(!shown.contains(&secret) && shown.contains(&format!("{}", key.id())));
    }

    #[test]
    fn prefix_outside_its_limits_is_refused() {
        for (text, error) in [
            ("a", PrefixError::Length),
            ("abcdefghijklm", PrefixError::Length),
            ("aB", PrefixError::Character(1)),
            ("ab_", PrefixError::Underscore),
            ("lkt", PrefixError::Reserved),
            ("lko_live", PrefixError::Reserved),
        ] {
            assert_eq!(Prefix::parse(text), Err(error));
        }
        assert!(Prefix::parse("abcdefghijkl").is_ok() && Prefix::parse("a_b").is_ok());
        assert!(Prefix::parse("lkt1").is_ok() && Prefix::parse("a_lkt").is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = KeyText::parse(&bytes, &prefix());
        }

        #[test]
        fn generated_key_parses_to_itself(seed: [u8; 32], hint: u16) {
            let key = PlainKey::generate(&prefix(), hint, &MintSecret::new(seed), &mut Dice::from_seed(&seed));
            let text = KeyText::parse(key.expose().as_bytes(), &prefix()).unwrap();
            prop_assert_eq!(text.id(), key.id());
            prop_assert_eq!(text.id().hint(), hint);
            prop_assert_eq!(text.digest(), key.digest());
        }
    }
}
