//! Signatures of every kind: good ones, and those that no signer makes.

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey};
use latchkey_snapshot::signature::{Domain, SignerId};
use sha2::{Digest as _, Sha512};

/// An entry of a signature block.
pub(crate) type Entry = (SignerId, [u8; 64]);

/// The signing key whose 32 secret bytes are all `seed`.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Its public half.
pub(crate) fn public(seed: u8) -> [u8; 32] {
    key(seed).verifying_key().to_bytes()
}

/// How a signature names it.
pub(crate) fn id(seed: u8) -> SignerId {
    SignerId::of(&public(seed))
}

/// `seed`'s signature over `message` as it is.
pub(crate) fn bare(seed: u8, message: &[u8]) -> Entry {
    (id(seed), key(seed).sign(message).to_bytes())
}

/// `seed`'s signature over `body` in its domain.
pub(crate) fn entry(seed: u8, domain: Domain, body: &[u8]) -> Entry {
    bare(seed, &domain.message(body))
}

/// `body` with the signatures of these seeds, in order.
pub(crate) fn seal(body: &[u8], domain: Domain, seeds: &[u8]) -> Vec<u8> {
    let mut entries: Vec<Entry> = seeds.iter().map(|seed| entry(*seed, domain, body)).collect();
    entries.sort_unstable();
    with(body, &entries)
}

/// `body` with these entries as they come.
pub(crate) fn with(body: &[u8], entries: &[Entry]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.push(entries.len() as u8);
    for (signer, signature) in entries {
        bytes.extend(signer.0);
        bytes.extend(signature);
    }
    bytes
}

/// The order of the base point, little-endian (RFC 8032, 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The same signature with the group's order added to its S: valid where S is reduced first.
pub(crate) fn unreduced((signer, signature): Entry) -> Entry {
    let mut out = signature;
    let mut carry = 0u16;
    for (byte, add) in out[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    (signer, out)
}

/// A signature whose R is the neutral point: it satisfies the equation, and says nothing of the message's R.
pub(crate) fn small_r(seed: u8, message: &[u8]) -> Entry {
    let mut r = [0; 32];
    r[0] = 1;
    signed(&public(seed), r, Scalar::ZERO, seed, message)
}

/// A signature whose R has a part of order 8: valid where the cofactor is multiplied in, and only there.
pub(crate) fn mixed_r(seed: u8, message: &[u8]) -> Entry {
    let r = EdwardsPoint::mul_base(&Scalar::ONE) + EIGHT_TORSION[1];
    signed(&public(seed), r.compress().0, Scalar::ONE, seed, message)
}

/// A public key with a part of order 8, which is no small order.
pub(crate) fn mixed_public(seed: u8) -> [u8; 32] {
    (EdwardsPoint::mul_base(&key(seed).to_scalar()) + EIGHT_TORSION[1]).compress().0
}

/// The signature of such a key: valid without the cofactor, too, or with it alone.
pub(crate) fn by_mixed(seed: u8, message: &[u8], without_cofactor: bool) -> Entry {
    let public = mixed_public(seed);
    let r = |nonce| EdwardsPoint::mul_base(&Scalar::from(nonce)).compress().0;
    // The part of order 8 vanishes where the challenge is a multiple of 8.
    let vanishes = |nonce| challenge(&r(nonce), &public, message).as_bytes()[0].is_multiple_of(8);
    let nonce = (1u64..).find(|nonce| vanishes(*nonce) == without_cofactor).unwrap();
    signed(&public, r(nonce), Scalar::from(nonce), seed, message)
}

/// The signature with this R, whose discrete logarithm is `nonce` but for a part of small order.
fn signed(public: &[u8; 32], r: [u8; 32], nonce: Scalar, seed: u8, message: &[u8]) -> Entry {
    let s = nonce + challenge(&r, public, message) * key(seed).to_scalar();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(s.as_bytes());
    (SignerId::of(public), signature)
}

fn challenge(r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
    let digest: [u8; 64] = Sha512::digest([&r[..], public, message].concat()).into();
    Scalar::from_bytes_mod_order_wide(&digest)
}

/// Encodings that are no public key: why, and the bytes.
pub(crate) fn bad_public_keys() -> Vec<(&'static str, [u8; 32])> {
    let first = |byte: u8| {
        let mut bytes = [0; 32];
        bytes[0] = byte;
        bytes
    };
    // p + n: the same y as n, in a form that no encoder writes.
    let above_p = |n: u8| {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xed + n;
        bytes[31] = 0x7f;
        bytes
    };
    let mut minus_one = above_p(0);
    minus_one[0] = 0xec;
    vec![
        ("is no point of the curve", first(2)),
        ("is the neutral point", first(1)),
        ("has order 2", minus_one),
        ("has order 4", [0; 32]),
        ("has small order and is not canonical", above_p(1)),
        ("is not canonical", above_p(3)),
    ]
}
