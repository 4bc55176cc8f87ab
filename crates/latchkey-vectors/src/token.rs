//! Vectors of the session token.

use crate::case::hex;
use crate::describe::{self, wide};
use crate::sign::{bare, id, public, small_r, unreduced};
use latchkey_core::{UnixMillis, UnixSeconds, base64url};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::token::{LIFETIME_SECS_MAX, TOKEN_LEN};
use latchkey_snapshot::{Installation, UnverifiedToken};
use serde_json::{Value, json};

const INSTALLATION: [u8; 16] = crate::root::INSTALLATION;
const ISSUED: u64 = 1_800_000_000;
/// The seed of the key that signs.
const SIGNER: u8 = 41;
/// The seed of a key that stopped being valid a second before the tokens are issued.
const RETIRED: u8 = 42;

/// The fields of a token, free to hold nonsense.
#[derive(Clone)]
struct Fields {
    version: u8,
    signer: [u8; 8],
    session: [u8; 16],
    identity: [u8; 16],
    issued: u64,
    expires: u64,
}

impl Fields {
    fn good() -> Self {
        Self {
            version: 1,
            signer: id(SIGNER).0,
            session: *b"5rzhnWRaaVsRgx1k",
            identity: *b"0YQm9pZtK3vXcB7d",
            issued: ISSUED,
            expires: ISSUED + LIFETIME_SECS_MAX,
        }
    }

    fn signed(&self) -> Vec<u8> {
        let times = [self.issued.to_le_bytes(), self.expires.to_le_bytes()].concat();
        [&[self.version], &self.signer[..], &self.session, &self.identity, &times].concat()
    }

    fn message(&self, installation: [u8; 16]) -> Vec<u8> {
        [b"latchkey session token v1\0", &installation[..], &self.signed()].concat()
    }

    fn sealed(&self, signature: &[u8; 64]) -> String {
        text(&[&self.signed()[..], signature].concat())
    }

    /// Signed as well as it can be.
    fn text(&self) -> String {
        self.by(SIGNER)
    }

    fn by(&self, seed: u8) -> String {
        self.sealed(&bare(seed, &self.message(INSTALLATION)).1)
    }
}

fn text(bytes: &[u8]) -> String {
    let mut out = vec![0; base64url::len_of(bytes.len())];
    base64url::encode(bytes, &mut out);
    format!("lkt_{}", String::from_utf8(out).unwrap())
}

fn keys() -> Vec<TokenKey> {
    let key = |seed: u8, not_after: u64| TokenKey {
        public: crate::sign::key(seed).verifying_key(),
        not_before: UnixSeconds(ISSUED - 86_400),
        not_after: UnixSeconds(not_after),
    };
    let mut keys = vec![key(SIGNER, ISSUED + 1), key(RETIRED, ISSUED - 1)];
    keys.sort_by_key(|key| *key.public.as_bytes());
    keys
}

fn verdict(text: &str, now: u64) -> Value {
    let token = UnverifiedToken::parse(text.as_bytes());
    let token = token.and_then(|token| token.verify(&Installation(INSTALLATION), &keys(), UnixMillis(now)));
    describe::token(&token.unwrap())
}

pub(crate) fn vectors() -> Value {
    let keys: Vec<Value> = [(SIGNER, ISSUED + 1), (RETIRED, ISSUED - 1)]
        .into_iter()
        .map(|(seed, not_after)| {
            json!({
                "public": hex(public(seed)), "not_before": wide(ISSUED - 86_400), "not_after": wide(not_after),
            })
        })
        .collect();
    let refused = refused().into_iter().chain(refused_in_time());
    let refused = refused.map(
        |(name, text, now, why)| json!({ "name": name, "text": text, "now": wide(now), "refused": why }),
    );
    let cases: Vec<Value> = refused.chain(accepted()).collect();
    json!({
        "about": "a text read with the installation's session keys when the clock says now, in milliseconds",
        "installation": hex(INSTALLATION),
        "keys": keys,
        "cases": cases,
    })
}

type Case = (&'static str, String, u64, &'static str);

/// What is refused whatever the clock says.
fn refused() -> Vec<Case> {
    let good = Fields::good();
    let whole = good.text();
    let bytes = {
        let mut bytes = [0; TOKEN_LEN];
        base64url::decode(&whole.as_bytes()[4..], &mut bytes).unwrap();
        bytes
    };
    let cut = |len: usize| whole[..len].to_owned();
    let last = |character: char| format!("{}{character}", &whole[..whole.len() - 1]);
    let signed = |fields: &Fields| fields.text();
    let signature = bare(SIGNER, &good.message(INSTALLATION));
    let mut flipped = signature.1;
    flipped[63] ^= 1;
    let cases = [
        ("empty", String::new(), "length"),
        ("without its last character", cut(165), "length"),
        ("with padding", format!("{whole}=="), "length"),
        ("with a line feed behind", format!("{whole}\n"), "length"),
        ("bytes too few", text(&bytes[..120]), "length"),
        ("a session's own token", whole.replace("lkt_", "lks_"), "prefix"),
        ("a prefix in capitals", whole.replace("lkt_", "LKT_"), "prefix"),
        ("standard base 64", last('+'), "encoding"),
        ("a space inside", whole.replacen('A', " ", 1), "encoding"),
        ("bits behind the last byte", last('B'), "encoding"),
        ("version 0", signed(&Fields { version: 0, ..good.clone() }), "version"),
        ("version 2", signed(&Fields { version: 2, ..good.clone() }), "version"),
        ("a session that is no id", signed(&Fields { session: [b'-'; 16], ..good.clone() }), "session"),
        ("an identity that is no id", signed(&Fields { identity: [0xff; 16], ..good.clone() }), "identity"),
        ("over before it begins", signed(&Fields { expires: ISSUED - 1, ..good.clone() }), "lifetime"),
        ("over as it begins", signed(&Fields { expires: ISSUED, ..good.clone() }), "lifetime"),
        ("601 seconds", signed(&Fields { expires: ISSUED + 601, ..good.clone() }), "lifetime"),
        ("for ever", signed(&Fields { expires: u64::MAX, ..good.clone() }), "lifetime"),
        ("a signer nobody knows", Fields { signer: [0; 8], ..good.clone() }.text(), "signer"),
        ("a key that was retired", Fields { signer: id(RETIRED).0, ..good.clone() }.by(RETIRED), "signer"),
        ("another key under the signer's id", good.by(RETIRED), "signature"),
        ("another signature", good.sealed(&flipped), "signature"),
        ("for another installation", good.sealed(&bare(SIGNER, &good.message([8; 16])).1), "signature"),
        ("without the domain", good.sealed(&bare(SIGNER, &good.signed()).1), "signature"),
        ("an S that is not reduced", good.sealed(&unreduced(signature).1), "signature"),
        ("an R of small order", good.sealed(&small_r(SIGNER, &good.message(INSTALLATION)).1), "signature"),
        (
            "another identity under the same signature",
            {
                let other = Fields { identity: *b"0YQm9pZtK3vXcB7e", ..good.clone() };
                other.sealed(&signature.1)
            },
            "signature",
        ),
    ];
    cases.map(|(name, text, why)| (name, text, ISSUED * 1000, why)).to_vec()
}

/// What is refused because of the clock.
fn refused_in_time() -> Vec<Case> {
    let good = Fields::good();
    let begin = ISSUED * 1000;
    let long_ago = Fields { issued: ISSUED - 86_401, expires: ISSUED - 86_400 + 100, ..good.clone() };
    let later = Fields { issued: ISSUED + 2, expires: ISSUED + 100, ..good.clone() };
    vec![
        ("issued before its key was valid", long_ago.text(), begin - 86_401_000, "signer"),
        ("issued after its key was valid", later.text(), begin + 2000, "signer"),
        ("1,001 ms before it was issued", good.text(), begin - 1001, "ahead"),
        ("the millisecond it expires", good.text(), begin + 600_000, "expired"),
        ("long expired", good.text(), u64::MAX, "expired"),
        ("another signature on an expired token", good.by(RETIRED), begin + 600_000, "signature"),
    ]
}

fn accepted() -> Vec<Value> {
    let good = Fields::good();
    let begin = ISSUED * 1000;
    let short = Fields { issued: ISSUED + 1, expires: ISSUED + 2, ..good.clone() };
    [
        ("a token", good.text(), begin),
        ("a second before it was issued", good.text(), begin - 1000),
        ("the last millisecond", good.text(), begin + 599_999),
        ("one second, in the last of its key", short.text(), begin + 1500),
    ]
    .into_iter()
    .map(|(name, text, now)| {
        let said = verdict(&text, now);
        json!({ "name": name, "text": text, "now": wide(now), "accepted": said })
    })
    .collect()
}
