//! Vectors of docs/spec/key-format.md.

use crate::case::hex;
use crate::describe::wide;
use latchkey_core::key::{CHECKSUM_LEN, SECRET_LEN};
use latchkey_core::{
    Generation, KeyId, KeyText, MintSecret, OrganizationNumber, PlainKey, Prefix, ProjectNumber, base62,
};
use serde_json::{Value, json};

const MINT: [u8; 32] = [0x4d; 32];
const SECRET: &[u8; SECRET_LEN] = b"3xJ9mQ0vLr7TzKc5WbN2yHd8GfA";

pub(crate) fn vectors() -> Value {
    json!({
        "about": "docs/spec/key-format.md: numbers of 64 bits are decimal strings, bytes are hexadecimal",
        "mint_secret": hex(MINT),
        "base62": base62_cases(),
        "prefixes": prefix_cases(),
        "keys": key_cases(),
        "texts": text_cases(),
        "hints": hint_cases(),
        "generation_tokens": token_cases(),
    })
}

fn base62_cases() -> Value {
    let spelled = |number: u64, width: usize| {
        let mut text = vec![0; width];
        base62::encode(number, &mut text);
        json!({ "text": String::from_utf8(text).unwrap(), "number": wide(number) })
    };
    let mut cases: Vec<Value> = ["", "-", "_", " ", "a b", "é"]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| json!({ "text": text, "number": null }))
        .collect();
    cases.push(json!({ "text": "LygHa16AHYG", "number": null }));
    cases.push(json!({ "text": "zzzzzzzzzzz", "number": null }));
    cases.extend([
        spelled(0, 11),
        spelled(61, 1),
        spelled(62, 2),
        spelled(0xffff_ffff, 6),
        spelled(u64::MAX, 11),
    ]);
    cases.into()
}

fn prefix_cases() -> Value {
    let longest = "abcdefghijkl";
    let cases = [
        ("", "length"),
        ("a", "length"),
        ("abcdefghijklm", "length"),
        ("aB", "character"),
        ("a-b", "character"),
        ("é", "character"),
        ("ab_", "underscore"),
        ("__", "underscore"),
        ("lkt", "reserved"),
        ("lko_live", "reserved"),
    ];
    let refused = cases.into_iter().map(|(text, why)| json!({ "text": text, "refused": why }));
    let accepted = ["lk", "a_b", "_a", "09", "lkt1", "a_lkt", longest]
        .into_iter()
        .map(|text| json!({ "text": text, "refused": null }));
    refused.chain(accepted).collect()
}

fn key(prefix: &str, id: u64, secret: &[u8; SECRET_LEN]) -> PlainKey {
    let prefix = Prefix::parse(prefix).unwrap();
    PlainKey::assemble(&prefix, KeyId::from_number(id), secret, &MintSecret::new(MINT))
}

fn key_cases() -> Value {
    let all: [(&str, u64, &[u8; SECRET_LEN]); 4] = [
        ("lk_live", 0x9e37_0123_4567_89ab, SECRET),
        ("lk", 0, &[b'0'; SECRET_LEN]),
        ("abcdefghijkl", u64::MAX, &[b'z'; SECRET_LEN]),
        ("a_b", 1, b"abcdefghijklmnopqrstuvwxyzA"),
    ];
    let described = all.into_iter().map(|(prefix, id, secret)| {
        let plain = key(prefix, id, secret);
        let text = plain.expose();
        let (body, checksum) = text.split_at(text.len() - CHECKSUM_LEN);
        json!({
            "prefix": prefix, "id_number": wide(id), "secret": String::from_utf8(secret.to_vec()).unwrap(),
            "text": text, "id": plain.id().to_string(), "hint": plain.id().hint(),
            "mint_check": &body[body.len() - 5..], "checksum": checksum, "digest": hex(plain.digest().0),
        })
    });
    described.collect()
}

/// Ends `body` with the checksum that belongs to it.
fn reseal(body: &[u8]) -> Vec<u8> {
    let mut checksum = [0; CHECKSUM_LEN];
    base62::encode(u64::from(crc32fast::hash(body)), &mut checksum);
    [body, &checksum].concat()
}

fn text_cases() -> Value {
    let plain = key("lk_test", 0x9e37_0123_4567_89ab, SECRET);
    let good = plain.expose().as_bytes();
    let body = &good[..good.len() - CHECKSUM_LEN];
    let sealed = |at: usize, byte: u8| {
        let mut changed = body.to_vec();
        changed[at] = byte;
        reseal(&changed)
    };
    let flipped = |at: usize, byte: u8| {
        let mut changed = good.to_vec();
        changed[at] = byte;
        changed
    };
    let mut minus = good.to_vec();
    minus.pop();
    let mut cases: Vec<Value> = [
        ("empty", vec![], "length"),
        ("without its last character", minus, "length"),
        ("with a line feed behind", [good, b"\n"].concat(), "length"),
        ("with a space in front", [b" ", good].concat(), "length"),
        ("a shorter prefix", key("lk", 1, SECRET).expose().as_bytes().to_vec(), "length"),
        ("a typo in the secret", flipped(30, b'!'), "checksum"),
        ("a typo in the checksum", flipped(good.len() - 1, b'-'), "checksum"),
        ("a checksum of 2^32 or more", flipped(good.len() - CHECKSUM_LEN, b'z'), "checksum"),
        (
            "another prefix of the same length",
            key("lk_live", 1, SECRET).expose().as_bytes().to_vec(),
            "prefix",
        ),
        ("a prefix in capitals", sealed(0, b'L'), "prefix"),
        ("no separator before the id", sealed(7, b'-'), "character"),
        ("no separator behind the id", sealed(19, b'0'), "character"),
        ("an underscore in the secret", sealed(25, b'_'), "character"),
        ("an underscore in the mint check", sealed(body.len() - 1, b'_'), "character"),
        ("a byte in the id that is no text", sealed(10, 0xff), "character"),
        ("an id of 2^64 or more", sealed(8, b'z'), "id"),
    ]
    .into_iter()
    .map(|(name, text, why)| json!({ "name": name, "prefix": "lk_test", "text": hex(text), "refused": why }))
    .collect();
    // The mint check is no part of the text's form: a key with another one is well formed, and seen as not minted.
    for (name, text) in
        [("a key", good.to_vec()), ("a key with a made-up mint check", sealed(body.len() - 1, b'0'))]
    {
        let prefix = Prefix::parse("lk_test").unwrap();
        let parsed = KeyText::parse(&text, &prefix).unwrap();
        cases.push(json!({
            "name": name, "prefix": "lk_test", "text": hex(&text),
            "accepted": {
                "id": parsed.id().to_string(), "hint": parsed.id().hint(), "digest": hex(parsed.digest().0),
                "minted": parsed.mint_check_matches(&MintSecret::new(MINT)),
            },
        }));
    }
    cases.into()
}

fn hint_cases() -> Value {
    [0, 1, 2, 3, 1000, 0x8000_0000, u32::MAX]
        .into_iter()
        .map(|number| {
            assert_eq!(OrganizationNumber(number).hint(), ProjectNumber(number).hint());
            json!({ "number": number, "hint": OrganizationNumber(number).hint() })
        })
        .collect()
}

fn token_cases() -> Value {
    let secret = MintSecret::new(MINT).generation_secret();
    let good = Generation(42).token(&secret);
    let foreign = Generation(42).token(&MintSecret::new([1; 32]).generation_secret());
    let refused = [
        String::new(),
        "42".to_owned(),
        good.as_str()[..21].to_owned(),
        format!("{}0", good.as_str()),
        foreign.as_str().to_owned(),
        format!("0000000000h{}", &good.as_str()[11..]),
        format!("zzzzzzzzzzz{}", &good.as_str()[11..]),
        format!("{}-", &good.as_str()[..21]),
    ];
    let refused = refused.into_iter().map(|token| json!({ "token": token, "generation": null }));
    let accepted = [0, 1, 42, u64::MAX].into_iter().map(|generation| {
        json!({ "token": Generation(generation).token(&secret).as_str(), "generation": wide(generation) })
    });
    refused.chain(accepted).collect()
}
