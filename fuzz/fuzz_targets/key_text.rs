//! Any bytes as a key's text, and as a generation token: what parses is made of its own parts again.

#![no_main]

use latchkey_core::key::{CHECKSUM_LEN, MINT_CHECK_LEN, Prefix, SECRET_LEN};
use latchkey_core::{Generation, KeyText, PlainKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mint = latchkey_fuzz::mint();
    for prefix in ["lk_test", "lk_live", "lk"] {
        let prefix = Prefix::parse(prefix).unwrap();
        let Ok(key) = KeyText::parse(text, &prefix) else { continue };
        let end = text.len() - CHECKSUM_LEN - MINT_CHECK_LEN;
        let secret = text[end - SECRET_LEN..end].try_into().unwrap();
        let again = PlainKey::assemble(&prefix, key.id(), secret, &mint);
        let same = again.expose().as_bytes() == text;
        assert_eq!(same, key.mint_check_matches(&mint), "only the mint check may differ");
        assert_eq!(same, again.digest() == key.digest());
    }
    let secret = mint.generation_secret();
    if let Some(generation) = Generation::from_token(text, &secret) {
        assert_eq!(generation.token(&secret).as_str().as_bytes(), text);
    }
});
