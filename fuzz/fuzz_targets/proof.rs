//! Any hashes as a proof of the audit log: they prove of no stranger that it is in the log, and of no other tree that it
//! is the log's beginning. A right proof proves; with any change it does not.

#![no_main]

use latchkey_control::tlog::proof::{check_consistency, check_inclusion, consistency, inclusion};
use latchkey_control::tlog::tile::subtree;
use latchkey_control::tlog::{Checkpoint, Frontier, Hash, Nodes, leaf_hash};
use libfuzzer_sys::fuzz_target;
use std::convert::Infallible;
use std::sync::LazyLock;

/// Entries of the log.
const SIZE: u64 = 100;

static LEAVES: LazyLock<Vec<Hash>> =
    LazyLock::new(|| (0..SIZE).map(|position| leaf_hash(&position.to_le_bytes())).collect());

/// The log's nodes, each made of its leaves.
struct Log;

impl Nodes for Log {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let first = (index << level) as usize;
        Ok(subtree(&LEAVES[first..first + (1 << level)]))
    }
}

fn tree(size: u64) -> Checkpoint {
    LEAVES.iter().copied().take(size as usize).collect::<Frontier>().checkpoint()
}

/// The proof after a change: a flipped byte, one hash less, or one more. `None` if nothing is left to change.
fn changed(mut proof: Vec<Hash>, how: u8, at: usize) -> Option<Vec<Hash>> {
    match how % 3 {
        0 => {
            let slot = at.checked_rem(proof.len() * 32)?;
            proof[slot / 32][slot % 32] ^= how.max(1);
        }
        1 => drop(proof.pop()?),
        _ => proof.push([how; 32]),
    }
    Some(proof)
}

fuzz_target!(|input: (u64, u64, u8, u16, &[u8])| {
    let (one, other, how, at, bytes) = input;
    let any = bytes.as_chunks::<32>().0;
    let (log, stranger) = (tree(SIZE), leaf_hash(b"no entry of the log"));
    let beside = Checkpoint { size: other, root: leaf_hash(b"another root") };
    assert!(check_inclusion(&stranger, one, any, &log).is_err());
    assert!(check_inclusion(&stranger, one, any, &beside).is_err());
    assert!(check_consistency(&beside, &log, any).is_err());
    assert!(check_consistency(&log, &beside, any).is_err());

    let (size, at) = (1 + other % SIZE, usize::from(at));
    let (tree_then, position) = (tree(size), one % size);
    let leaf = &LEAVES[position as usize];
    let Ok(proof) = inclusion(&mut Log, position, size);
    let proof = proof.unwrap();
    assert_eq!(check_inclusion(leaf, position, &proof, &tree_then), Ok(()));
    assert!(check_inclusion(&stranger, position, &proof, &tree_then).is_err());
    assert!(check_inclusion(leaf, position + 1, &proof, &tree_then).is_err());
    if let Some(changed) = changed(proof, how, at) {
        assert!(check_inclusion(leaf, position, &changed, &tree_then).is_err());
    }
    let Ok(proof) = consistency(&mut Log, size, SIZE);
    let proof = proof.unwrap();
    assert_eq!(check_consistency(&tree_then, &log, &proof), Ok(()));
    if let Some(changed) = changed(proof, how, at) {
        assert!(check_consistency(&tree_then, &log, &changed).is_err());
    }
});
