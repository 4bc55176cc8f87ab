//! Known answers from two implementations that are not ours (the crates `tlog_tiles` 0.2 and `signed_note` 0.2,
//! and Python's `hashlib` with the definitions of RFC 6962 typed in), and properties at any size.

use super::note::{CheckpointKey, CheckpointSigner, NoteError};
use super::proof::{self, Nodes, ProofError, check_consistency, check_inclusion};
use super::tile::{Tile, subtree};
use super::tree::{Checkpoint, Frontier, Hash, leaf_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_api::AuditRecord;
use proptest::prelude::*;
use std::convert::Infallible;

/// Leaves whose every perfect subtree can be asked for.
struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let first = (index << level) as usize;
        Ok(subtree(&self.0[first..first + (1 << level)]))
    }
}

impl Leaves {
    fn new(count: u64) -> Self {
        Self((0..count).map(|number| leaf_hash(format!("entry {number}").as_bytes())).collect())
    }

    fn tree(&self, size: u64) -> Checkpoint {
        Frontier::from_iter(self.0[..size as usize].iter().copied()).checkpoint()
    }

    fn inclusion(&mut self, position: u64, size: u64) -> Vec<Hash> {
        let Ok(proof) = proof::inclusion(self, position, size);
        proof.unwrap()
    }

    fn consistency(&mut self, earlier: u64, later: u64) -> Vec<Hash> {
        let Ok(proof) = proof::consistency(self, earlier, later);
        proof.unwrap()
    }
}

const NAME: &str = "0123456789abcdef0123456789abcdef/audit";
const KEY: &str =
    "0123456789abcdef0123456789abcdef/audit+c44ddf34+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
const NOTE: &str = "0123456789abcdef0123456789abcdef/audit\n\
    11\n\
    MpIghwdLQvu/Ojo2cjqyeCX9m62x4pvd68P+qD6ewE0=\n\
    \n\
    — 0123456789abcdef0123456789abcdef/audit xE3fNJ1m4g13nKqVes8k11C70BQm3+Jsd/ZzhjN0rd5XdRwAixKm0TAkYO096YqX8edWS0bO90c6m+iHOgRz02HvOQs=\n";

#[test]
fn roots_and_every_proof_up_to_40_leaves_are_those_of_others() {
    let mut leaves = Leaves::new(40);
    let mut all = Vec::new();
    for size in 1..=40u64 {
        for position in 0..size {
            all.extend([size.to_le_bytes(), position.to_le_bytes()].concat());
            all.extend(leaves.inclusion(position, size).concat());
            all.extend(leaves.consistency(position, size).concat());
        }
        let Ok(root) = proof::root(&mut leaves, size);
        assert_eq!(root, leaves.tree(size).root);
        all.extend(root);
    }
    assert_eq!(STANDARD.encode(leaf_hash(&all)), "E7kSFrHRGqvUTbE702ZPusKnCzxYGzpR7Fr1NrKeusA=");
}

#[test]
fn root_of_certificate_transparencys_own_test_is_ours() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let root = Frontier::from_iter(leaves.map(leaf_hash)).root();
    assert_eq!(root[..8], [0x5d, 0xc9, 0xda, 0x79, 0xa7, 0x06, 0x59, 0xa9]);
}

#[test]
fn checkpoint_is_the_note_that_another_implementation_signs() {
    let signer = CheckpointSigner::new(NAME, &[7; 32]).unwrap();
    assert_eq!(signer.key().to_string(), KEY);
    let tree = Leaves::new(11).tree(11);
    assert_eq!(signer.sign(&tree), NOTE);
    assert_eq!(CheckpointKey::parse(KEY).unwrap().open(NOTE), Ok(tree));
}

/// The example of docs/spec/audit-log.md; its hash was made by Python's `hashlib`.
#[test]
fn specifications_examples_are_true() {
    let page = include_str!("../../../../docs/spec/audit-log.md");
    let line = page.lines().find(|line| line.starts_with("{\"position\"")).unwrap();
    let record: AuditRecord = serde_json::from_str(line).unwrap();
    let salt = STANDARD.decode(record.salt.unwrap()).unwrap();
    let leaf = [record.entry.unwrap().get().as_bytes(), &salt].concat();
    assert_eq!(STANDARD.encode(leaf_hash(&leaf)), record.leaf_hash);
    assert!(page.contains(NOTE) && page.contains(KEY));
}

#[test]
fn note_of_the_go_package_is_verified_and_is_no_checkpoint() {
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = CheckpointKey::parse(key).unwrap();
    assert!(matches!(key.open(note), Err(NoteError::Form("a text that is not three lines"))));
    assert_eq!(key.open(&note.replace("answer", "Answer")), Err(NoteError::Signature));
}

#[test]
fn cosignatures_of_others_are_let_be() {
    let key = CheckpointKey::parse(KEY).unwrap();
    let witness = format!("— witness.example/w {}\n", STANDARD.encode([1; 76]));
    let namesake = format!("— {NAME} {}\n", STANDARD.encode([9; 68]));
    for note in [format!("{NOTE}{witness}"), format!("{NOTE}{namesake}{witness}")] {
        assert_eq!(key.open(&note).map(|tree| tree.size), Ok(11));
    }
    let (text, _) = NOTE.split_once('—').unwrap();
    assert_eq!(key.open(&format!("{text}{witness}")), Err(NoteError::Unsigned(NAME.to_owned())));
    let many = witness.repeat(super::note::NOTE_SIGNATURES_MAX);
    assert_eq!(key.open(&format!("{NOTE}{many}")), Err(NoteError::TooLong));
}

#[test]
fn altered_checkpoint_is_refused_with_its_reason() {
    let key = CheckpointKey::parse(KEY).unwrap();
    for (from, to) in [("11\n", "12\n"), ("MpIg", "MpIh"), ("11\n", "11\nmore\n")] {
        assert_eq!(key.open(&NOTE.replacen(from, to, 1)), Err(NoteError::Signature), "{from}");
    }
    for note in ["", "\n\n", NOTE.trim_end(), &NOTE.replace("\n\n", "\n"), &NOTE.replace('\n', "\r\n")] {
        assert!(matches!(key.open(note), Err(NoteError::Form(_))), "{note}");
    }
    let other = CheckpointSigner::new(NAME, &[8; 32]).unwrap();
    assert_eq!(other.key().open(NOTE), Err(NoteError::Unsigned(NAME.to_owned())));
    // The log's own key, and yet a text of another log: a signature holds for the name in it alone.
    let renamed = NOTE.replacen("0123", "3210", 1);
    assert_eq!(key.open(&renamed), Err(NoteError::Signature));
}

#[test]
fn key_that_does_not_fit_its_id_is_refused() {
    for text in ["", "a+b", "a b+c44ddf34+AepK", &KEY.replace("c44", "c45"), &KEY.replace("0123", "1123")] {
        assert!(CheckpointKey::parse(text).is_err(), "{text}");
    }
    for name in ["", "a b", "a+b", "a\nb", &"a".repeat(129)] {
        assert_eq!(CheckpointSigner::new(name, &[1; 32]).unwrap_err(), NoteError::Name);
    }
}

#[test]
fn nothing_is_beyond_the_tree_nor_consistent_with_less() {
    let mut leaves = Leaves::new(8);
    let Ok(beyond) = proof::inclusion(&mut leaves, 5, 5);
    let Ok(shrunk) = proof::consistency(&mut leaves, 6, 5);
    assert_eq!((beyond, shrunk), (None, None));
    let (small, large) = (leaves.tree(5), leaves.tree(6));
    assert_eq!(check_inclusion(&leaves.0[5], 5, &[], &small), Err(ProofError::Beyond));
    assert_eq!(check_consistency(&large, &small, &[]), Err(ProofError::Beyond));
    // A fork of the same size needs no proof to be seen.
    let fork = Checkpoint { root: [0; 32], ..small };
    assert_eq!(check_consistency(&small, &fork, &[]), Err(ProofError::Earlier));
    let empty = Leaves::new(0).tree(0);
    assert_eq!(check_consistency(&empty, &large, &[]), Ok(()));
    assert_eq!(check_consistency(&Checkpoint { size: 0, ..fork }, &large, &[]), Err(ProofError::Earlier));
}

fn flipped(mut hashes: Vec<Hash>, at: usize, bit: usize) -> Vec<Hash> {
    let at = at % hashes.len();
    hashes[at][bit / 8] ^= 1 << (bit % 8);
    hashes
}

proptest! {
    #[test]
    fn every_leaf_is_proven_and_no_other_in_its_place(size in 1u64..700, place in 0u64..700, at in 0usize..64, bit in 0usize..256) {
        let (mut leaves, position) = (Leaves::new(size), place % size);
        let (tree, leaf) = (leaves.tree(size), leaves.0[position as usize]);
        let proof = leaves.inclusion(position, size);
        prop_assert_eq!(check_inclusion(&leaf, position, &proof, &tree), Ok(()));
        let other = flipped(vec![leaf], 0, bit)[0];
        prop_assert_eq!(check_inclusion(&other, position, &proof, &tree), Err(ProofError::Root));
        let fork = Checkpoint { root: flipped(vec![tree.root], 0, bit)[0], ..tree };
        prop_assert_eq!(check_inclusion(&leaf, position, &proof, &fork), Err(ProofError::Root));
        for elsewhere in [position ^ 1, position + 1, position / 2, size].into_iter().filter(|one| *one != position) {
            prop_assert!(check_inclusion(&leaf, elsewhere, &proof, &tree).is_err());
        }
        let longer = [proof.clone(), vec![leaf]].concat();
        prop_assert_eq!(check_inclusion(&leaf, position, &longer, &tree), Err(ProofError::Length));
        if !proof.is_empty() {
            prop_assert!(check_inclusion(&leaf, position, &flipped(proof.clone(), at, bit), &tree).is_err());
            prop_assert!(check_inclusion(&leaf, position, &proof[..proof.len() - 1], &tree).is_err());
        }
    }

    #[test]
    fn every_beginning_is_proven_and_nothing_else_is_one(earlier in 0u64..700, more in 0u64..700, at in 0usize..64, bit in 0usize..256) {
        let later = earlier + more;
        let mut leaves = Leaves::new(later);
        let (old, new) = (leaves.tree(earlier), leaves.tree(later));
        let proof = leaves.consistency(earlier, later);
        prop_assert_eq!(check_consistency(&old, &new, &proof), Ok(()));
        let forked = Checkpoint { root: flipped(vec![old.root], 0, bit)[0], ..old };
        prop_assert!(check_consistency(&forked, &new, &proof).is_err());
        let longer = [proof.clone(), vec![new.root]].concat();
        prop_assert_eq!(check_consistency(&old, &new, &longer), Err(ProofError::Length));
        if earlier > 0 {
            let altered = Checkpoint { root: flipped(vec![new.root], 0, bit)[0], ..new };
            prop_assert!(check_consistency(&old, &altered, &proof).is_err());
        }
        if !proof.is_empty() {
            prop_assert!(check_consistency(&old, &new, &flipped(proof.clone(), at, bit)).is_err());
            prop_assert!(check_consistency(&old, &new, &proof[..proof.len() - 1]).is_err());
        }
    }

    #[test]
    fn tiles_of_any_size_hash_to_the_tree(size in 0u64..3000) {
        let mut leaves = Leaves::new(size);
        for tile in Tile::of_size(size) {
            prop_assert!(tile.is_within(size));
            let name = tile.to_string();
            let (level, rest) = name.strip_prefix("tile/").unwrap().split_once('/').unwrap();
            prop_assert_eq!(Tile::parse(level, rest), Some(tile));
        }
        let Ok(root) = proof::root(&mut leaves, size);
        prop_assert_eq!(root, leaves.tree(size).root);
    }

    #[test]
    fn any_text_opens_or_is_refused(text in "\\PC{0,200}") {
        let key = CheckpointKey::parse(KEY).unwrap();
        prop_assert!(key.open(&text).is_err());
        let _ = CheckpointKey::parse(&text);
    }
}
