//! Proofs: that a leaf is in a tree, and that a tree is the beginning of another one.
//!
//! Made as RFC 6962 §2.1.1 and §2.1.2 define them, from whatever [`Nodes`] gives; checked by the algorithms of
//! RFC 9162 §2.1.3.2 and §2.1.4.2, which share no code with the making.

use super::tree::{Checkpoint, Hash, empty_root, inner_hash};
use std::fmt;

/// Where the nodes of a tree come from.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The root of the perfect subtree over the leaves from `index << level` on, `1 << level` of them. It is
    /// asked only for subtrees that lie within the tree's size.
    ///
    /// # Errors
    /// The source's.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the first `size` leaves.
///
/// # Errors
/// The nodes'.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// The siblings on the way from a leaf to the root of a tree of `size`, the lowest first; `None` if the leaf is
/// not in that tree.
///
/// # Errors
/// The nodes'.
pub fn inclusion<N: Nodes>(nodes: &mut N, position: u64, size: u64) -> Result<Option<Vec<Hash>>, N::Error> {
    if position >= size {
        return Ok(None);
    }
    let (mut proof, mut from, mut to) = (Vec::new(), 0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if position < middle {
            proof.push(range(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range(nodes, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// What proves that the tree of size `earlier` is the beginning of that of size `later`; `None` if it is larger.
///
/// # Errors
/// The nodes'.
pub fn consistency<N: Nodes>(nodes: &mut N, earlier: u64, later: u64) -> Result<Option<Vec<Hash>>, N::Error> {
    if earlier > later {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if earlier == 0 || earlier == later {
        return Ok(Some(proof));
    }
    let (mut from, mut to) = (0, later);
    while to != earlier {
        let middle = from + split(to - from);
        if earlier <= middle {
            proof.push(range(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range(nodes, from, middle)?);
            from = middle;
        }
    }
    if from != 0 {
        // The earlier tree's right edge is no node that its reader knows by heart.
        proof.push(range(nodes, from, to)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Checks that `leaf` stands at `position` of the tree.
///
/// # Errors
/// [`ProofError`].
pub fn check_inclusion(
    leaf: &Hash,
    position: u64,
    proof: &[Hash],
    tree: &Checkpoint,
) -> Result<(), ProofError> {
    if position >= tree.size {
        return Err(ProofError::Beyond);
    }
    let (mut index, mut last, mut node) = (position, tree.size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if index & 1 == 1 || index == last {
            node = inner_hash(sibling, &node);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            node = inner_hash(&node, sibling);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    match (last, node == tree.root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// Checks that the earlier tree is the beginning of the later one.
///
/// # Errors
/// [`ProofError`].
pub fn check_consistency(earlier: &Checkpoint, later: &Checkpoint, proof: &[Hash]) -> Result<(), ProofError> {
    if earlier.size > later.size {
        return Err(ProofError::Beyond);
    }
    if earlier.size == 0 || earlier.size == later.size {
        let is_root =
            if earlier.size == 0 { earlier.root == empty_root() } else { earlier.root == later.root };
        return match (proof.is_empty(), is_root) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Earlier),
            (false, _) => Err(ProofError::Length),
        };
    }
    // A perfect earlier tree is itself the first node, and left out.
    let is_perfect = earlier.size.is_power_of_two();
    let whole = is_perfect.then_some(&earlier.root);
    let mut path = whole.into_iter().chain(proof);
    let first = path.next().ok_or(ProofError::Length)?;
    let shift = (earlier.size - 1).trailing_ones();
    let (mut index, mut last) = (((earlier.size - 1) >> shift), (later.size - 1) >> shift);
    let (mut old, mut new) = (*first, *first);
    for node in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if index & 1 == 1 || index == last {
            old = inner_hash(node, &old);
            new = inner_hash(node, &new);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            new = inner_hash(&new, node);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    match (last, old == earlier.root, new == later.root) {
        (0, true, true) => Ok(()),
        (0, false, _) => Err(ProofError::Earlier),
        (0, true, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofError {
    /// The position, or the earlier tree, lies beyond the tree.
    Beyond,
    /// The proof has hashes too few or too many.
    Length,
    /// The proof leads to another root than the tree's.
    Root,
    /// The proof does not lead to the earlier tree's root: it is not the beginning of the later one.
    Earlier,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beyond => "it lies beyond the tree",
            Self::Length => "the proof has hashes too few or too many",
            Self::Root => "the proof leads to another root",
            Self::Earlier => "the earlier tree is not the beginning of the later one",
        })
    }
}

impl std::error::Error for ProofError {}

/// The hash over the leaves from `from` up to but excluding `to`, where `from` is one that the tree splits at.
fn range<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let len = to - from;
    if len.is_power_of_two() {
        let level = len.trailing_zeros();
        return nodes.node(level, from >> level);
    }
    let middle = from + split(len);
    let left = range(nodes, from, middle)?;
    Ok(inner_hash(&left, &range(nodes, middle, to)?))
}

/// The largest power of two below `len`, which is 2 at least.
const fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}
