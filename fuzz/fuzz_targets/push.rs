//! Any bytes as whatever reaches an edge or a hub beside the signed objects: an entry of the shared cache, a claim, and
//! the texts of headers, paths and settings. What is read is written the same way again.

#![no_main]

use latchkey_core::UnixMillis;
use latchkey_fuzz::NOW;
use latchkey_push::peppers::PepperSet;
use latchkey_push::relay::Relays;
use latchkey_push::shared::{self, ENTRY_LEN_MAX, Entry, Urgency};
use latchkey_push::{Target, Token};
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "a-token-of-the-operator";

fuzz_target!(|bytes: &[u8]| {
    entry(bytes);
    if let Some(claim) = shared::parse_claim(bytes) {
        assert_eq!(shared::encode_claim(claim), bytes);
    }
    assert_eq!(shared::as_of(bytes).is_some(), bytes.len() >= 16);
    if let Ok(text) = std::str::from_utf8(bytes) {
        words(text);
    }
});

fn entry(bytes: &[u8]) {
    let Some(entry) = Entry::parse(bytes) else { return };
    assert!(bytes.len() <= ENTRY_LEN_MAX);
    assert_eq!(entry.encode(), bytes);
    for urgency in [Urgency::Behind { chance: 1 }, Urgency::Before { held: UnixMillis(0) }] {
        let serves = entry.serves(urgency, NOW);
        assert!(!serves || entry.put.since_ms(NOW) <= 1000 && NOW.since_ms(entry.put) <= 1000);
        let _ = entry.serves_while_claimed(urgency, shared::parse_claim(&bytes[..8]), NOW);
    }
}

fn words(text: &str) {
    if let Some(target) = Target::parse(text) {
        assert_eq!(target.to_string(), text);
    }
    let set = PepperSet::parse(Some(text));
    assert_eq!(PepperSet::parse(Some(&set.to_string())), set);
    assert!(set.to_string().len() <= 4 * 17);
    if let Some(relays) = Relays::parse(text) {
        let hints = relays.hints();
        assert!(hints.len() <= 9 && hints.iter().all(|hint| text.contains(hint)));
        assert_eq!(Relays::parse(&hints.join(",")).as_ref(), Some(&relays));
        assert_eq!(relays.near(Some(text), None), hints.first().copied());
    }
    let is_bearer = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("Bearer "))
        && text.get(7..) == Some(TOKEN);
    assert_eq!(Token::new(TOKEN).unwrap().is_bearer(text), is_bearer);
    assert_eq!(Token::new(text).is_some_and(|token| token.is(text)), text.len() >= 16);
}
