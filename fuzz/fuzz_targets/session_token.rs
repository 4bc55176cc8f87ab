//! Any text as a session token: one that is let in is the very text that its signer made. And any moments in a token
//! that is signed: it counts exactly when the specification says so.

#![no_main]

use latchkey_core::{IdentityId, SessionId, UnixMillis, UnixSeconds};
use latchkey_fuzz::{INSTALLATION, NOW, signer};
use latchkey_snapshot::build::TokenContent;
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::{SessionToken, TokenError, UnverifiedToken};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    any_text(bytes);
    if let Some((moments, _)) = bytes.split_first_chunk() {
        any_moments(moments);
    }
});

/// The key that signs the tokens of tests/vectors/session-token.json.
const SEED: u8 = 41;

fn verify(text: &[u8], now: UnixMillis, valid: [u64; 2]) -> Result<SessionToken, TokenError> {
    let [not_before, not_after] = valid.map(UnixSeconds);
    let key = TokenKey { public: signer(SEED).public(), not_before, not_after };
    UnverifiedToken::parse(text)?.verify(&INSTALLATION, &[key], now)
}

fn any_text(text: &[u8]) {
    let Ok(token) = verify(text, NOW, [0, u64::MAX]) else { return };
    let content = TokenContent {
        installation: INSTALLATION,
        session: *token.session(),
        identity: *token.identity(),
        issued: token.issued(),
        expires: token.expires(),
    };
    assert_eq!(content.sign(&signer(SEED)).unwrap().expose().as_bytes(), text);
}

fn any_moments(moments: &[u8; 40]) {
    let (words, _) = moments.as_chunks::<8>();
    let [issued, lasts, ahead, not_before, not_after] =
        [0, 1, 2, 3, 4].map(|at| u64::from_le_bytes(words[at]));
    let expires = issued.saturating_add(lasts % 1000);
    let now = issued.saturating_mul(1000).saturating_add(ahead % 2_000_000).saturating_sub(10_000);
    let content = TokenContent {
        installation: INSTALLATION,
        session: SessionId::from_body([b's'; 16]).unwrap(),
        identity: IdentityId::from_body([b'i'; 16]).unwrap(),
        issued: UnixSeconds(issued),
        expires: UnixSeconds(expires),
    };
    let lifetime = (1..=600).contains(&(expires - issued));
    let Ok(text) = content.sign(&signer(SEED)) else { return assert!(!lifetime) };
    let counts = (not_before..=not_after).contains(&issued)
        && issued.saturating_mul(1000) <= now.saturating_add(1000)
        && now < expires.saturating_mul(1000);
    let verdict = verify(text.expose().as_bytes(), UnixMillis(now), [not_before, not_after]);
    assert!(lifetime && verdict.is_ok() == counts, "{issued} {expires} {now}: {verdict:?}");
}
