//! Session tokens: whose are believed, and for how long.

use crate::fixture::*;
use latchkey_core::{IdentityId, SessionId, UnixMillis, UnixSeconds, base64url};
use latchkey_snapshot::build::{BuildError, Signer, TokenContent};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::token::{TEXT_LEN, TOKEN_LEN};
use latchkey_snapshot::*;
use proptest::prelude::*;

const INSTALLATION: Installation = Installation([7; 16]);

fn content() -> TokenContent {
    TokenContent {
        installation: INSTALLATION,
        session: SessionId::from_body(*b"5rzhnWRaaVsRgx1k").unwrap(),
        identity: IdentityId::from_body(*b"0YQm9pZtK3vXcB7d").unwrap(),
        issued: NOW.seconds(),
        expires: NOW.seconds().plus_secs(600),
    }
}

fn session_key(signer: &Signer) -> TokenKey {
    TokenKey { public: signer.public(), not_before: NOW.seconds(), not_after: NOW.seconds().plus_secs(100) }
}

fn text(content: TokenContent) -> String {
    content.sign(&signer(4)).unwrap().expose().to_owned()
}

fn verify(text: &str, now: UnixMillis) -> Result<SessionToken, TokenError> {
    UnverifiedToken::parse(text.as_bytes())?.verify(&INSTALLATION, &[session_key(&signer(4))], now)
}

/// The token with these bytes changed, in its canonical text.
fn changed(change: impl Fn(&mut [u8])) -> String {
    let (text, mut bytes) = (text(content()), [0; TOKEN_LEN]);
    base64url::decode(&text.as_bytes()[4..], &mut bytes).unwrap();
    change(&mut bytes);
    let mut out = [0; TEXT_LEN - 4];
    base64url::encode(&bytes, &mut out);
    format!("lkt_{}", String::from_utf8(out.to_vec()).unwrap())
}

#[test]
fn every_flipped_bit_and_every_other_character_of_a_token_is_refused() {
    for bit in 0..TOKEN_LEN * 8 {
        assert!(verify(&changed(|bytes| bytes[bit / 8] ^= 1 << (bit % 8)), NOW).is_err(), "bit {bit}");
    }
    let good = text(content());
    for index in 0..TEXT_LEN {
        let right = good.as_bytes()[index];
        for byte in [right ^ 1, right ^ 2, right ^ 0x80, b'=', b'+'] {
            let mut other = good.clone().into_bytes();
            other[index] = byte;
            let token = UnverifiedToken::parse(&other);
            let verdict =
                token.and_then(|token| token.verify(&INSTALLATION, &[session_key(&signer(4))], NOW));
            assert!(verdict.is_err(), "{index} {byte}");
        }
    }
}

#[test]
fn text_that_is_no_token_is_refused() {
    let good = text(content());
    let check = |text: &str, error| assert_eq!(verify(text, NOW), Err(error), "{text}");
    check("", TokenError::Length);
    check(&good[..good.len() - 1], TokenError::Length);
    check(&format!("{good}="), TokenError::Length);
    check(&good.replace("lkt_", "lks_"), TokenError::Prefix);
    check(&format!("{}+", &good[..good.len() - 1]), TokenError::Encoding);
    check(&changed(|bytes| bytes[0] = 2), TokenError::Version);
    check(&changed(|bytes| bytes[9] = b'_'), TokenError::Session);
    check(&changed(|bytes| bytes[25] = b'-'), TokenError::Identity);
    check(
        &changed(|bytes| bytes[49..57].copy_from_slice(&NOW.seconds().0.to_le_bytes())),
        TokenError::Lifetime,
    );
    check(&changed(|bytes| bytes[49] = bytes[49].wrapping_add(1)), TokenError::Lifetime);
    check(&changed(|bytes| bytes[41..49].fill(0xFF)), TokenError::Lifetime);
    check(&changed(|bytes| bytes[1] ^= 1), TokenError::Signer);
    check(&changed(|bytes| bytes[120] ^= 1), TokenError::Signature);
}

#[test]
fn token_of_a_stranger_or_for_another_installation_is_refused() {
    let by_stranger = content().sign(&signer(5)).unwrap();
    assert_eq!(verify(by_stranger.expose(), NOW), Err(TokenError::Signer));
    let elsewhere = text(TokenContent { installation: Installation([8; 16]), ..content() });
    assert_eq!(verify(&elsewhere, NOW), Err(TokenError::Signature));
    let token = || UnverifiedToken::parse(text(content()).as_bytes()).unwrap();
    assert_eq!(token().verify(&INSTALLATION, &[], NOW), Err(TokenError::Signer));
}

/// A key that is withdrawn takes its tokens with it, remembered ones too.
#[test]
fn token_lives_only_as_long_as_its_key_was_valid_when_it_was_issued() {
    let at = |issued: u64| {
        let issued = UnixSeconds(NOW.seconds().0 - 1000 + issued);
        text(TokenContent { issued, expires: issued.plus_secs(60), ..content() })
    };
    let now = |issued: u64| UnixMillis(NOW.0 - 1_000_000 + issued * 1000);
    assert_eq!(verify(&at(999), now(999)), Err(TokenError::Signer));
    assert_eq!(verify(&at(1101), now(1101)), Err(TokenError::Signer));
    let token = verify(&at(1100), now(1100)).unwrap();
    assert!(verify(&at(1000), now(1000)).is_ok());
    assert_eq!(token.check(&[session_key(&signer(4))], now(1159)), Ok(()));
    assert_eq!(token.check(&[session_key(&signer(5))], now(1100)), Err(TokenError::Signer));
}

#[test]
fn token_counts_from_a_second_before_it_was_issued_until_it_expires() {
    let good = text(content());
    assert_eq!(verify(&good, UnixMillis(NOW.0 - 1001)), Err(TokenError::Ahead));
    assert!(verify(&good, UnixMillis(NOW.0 - 1000)).is_ok());
    assert!(verify(&good, UnixMillis(NOW.0 + 599_999)).is_ok());
    assert_eq!(verify(&good, UnixMillis(NOW.0 + 600_000)), Err(TokenError::Expired));
    let forged = changed(|bytes| bytes[120] ^= 1);
    assert_eq!(verify(&forged, UnixMillis(NOW.0 + 600_000)), Err(TokenError::Signature));
}

#[test]
fn token_says_what_was_signed_and_shows_nothing() {
    let signed = content().sign(&signer(4)).unwrap();
    let token = verify(signed.expose(), NOW).unwrap();
    assert_eq!((*token.session(), *token.identity()), (content().session, content().identity));
    assert_eq!(token.expires(), content().expires);
    assert_eq!(signed.expose().len(), TEXT_LEN);
    let unverified = UnverifiedToken::parse(signed.expose().as_bytes()).unwrap();
    let shown = format!("{signed:?} {unverified:?}");
    assert!(!shown.contains(&signed.expose()[100..]) && !shown.contains("0YQm9pZtK3vXcB7d"), "{shown}");
}

#[test]
fn token_that_would_last_too_long_or_not_at_all_is_not_signed() {
    for secs in [0, 601] {
        let content = TokenContent { expires: NOW.seconds().plus_secs(secs), ..content() };
        assert!(matches!(content.sign(&signer(4)), Err(BuildError::TooMany(_))), "{secs}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered_without_panic(body in "[A-Za-z0-9_-]{162}", now: u64) {
        let token = UnverifiedToken::parse(format!("lkt_{body}").as_bytes());
        let verdict = token.map(|token| token.verify(&INSTALLATION, &[session_key(&signer(4))], UnixMillis(now)));
        prop_assert!(!matches!(verdict, Ok(Ok(_))));
    }

    #[test]
    fn any_moment_of_a_token_is_answered_without_panic(issued: u64, lasts in 1u64..=600, now: u64) {
        let issued = UnixSeconds(issued);
        let expires = UnixSeconds(issued.0.saturating_add(lasts));
        let key = TokenKey { public: signer(4).public(), not_before: UnixSeconds(0), not_after: UnixSeconds(u64::MAX) };
        if let Ok(text) = (TokenContent { issued, expires, ..content() }).sign(&signer(4)) {
            let token = UnverifiedToken::parse(text.expose().as_bytes()).unwrap();
            let _ = token.verify(&INSTALLATION, &[key], UnixMillis(now));
        }
    }
}

/// What is remembered is the signature alone: time and keys are asked for again, and a changed token is another.
#[test]
fn remembered_token_is_refused_like_any_other() {
    let tokens = RememberedTokens::new(&[9; 32]);
    let keys = [session_key(&signer(4))];
    let ask = |text: &str, installation: Installation, keys: &[TokenKey], now: UnixMillis| {
        tokens.verify(UnverifiedToken::parse(text.as_bytes()).unwrap(), &installation, keys, now)
    };
    let good = text(content());
    let verified = verify(&good, NOW).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&good, INSTALLATION, &keys, NOW), Ok(verified));
    }
    assert_eq!(ask(&good, INSTALLATION, &keys, NOW.plus_ms(600_000)), Err(TokenError::Expired));
    assert_eq!(ask(&good, INSTALLATION, &keys, UnixMillis(NOW.0 - 2000)), Err(TokenError::Ahead));
    assert_eq!(ask(&good, INSTALLATION, &[], NOW), Err(TokenError::Signer));
    assert_eq!(ask(&good, INSTALLATION, &[session_key(&signer(5))], NOW), Err(TokenError::Signer));
    assert_eq!(ask(&good, Installation([8; 16]), &keys, NOW), Err(TokenError::Signature));
    for byte in 57..TOKEN_LEN {
        let other = changed(|bytes| bytes[byte] ^= 1);
        assert_eq!(ask(&other, INSTALLATION, &keys, NOW), Err(TokenError::Signature), "{byte}");
    }
    assert_eq!(ask(&good, INSTALLATION, &keys, NOW), Ok(verified));
}
