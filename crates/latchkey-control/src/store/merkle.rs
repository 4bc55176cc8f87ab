//! The audit log's tree (RFC 6962 §2.1): only its frontier, the roots of the perfect subtrees at its right edge.
//!
//! An append and a root take O(log n) and no other node is needed; proofs are built from the stored leaf hashes.

use sha2::{Digest, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// The tree as far as appending needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frontier {
    size: u64,
    /// One root for each bit set in `size`, the largest first.
    roots: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash at the right.
    pub(super) fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            node = inner(&left, &node);
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root over all leaves; of none, the hash of nothing.
    pub(super) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else { return Sha256::digest(b"").into() };
        roots.fold(*smallest, |right, left| inner(left, &right))
    }

    /// The frontier as bytes: the size, then the roots.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_le_bytes().to_vec();
        self.roots.iter().for_each(|root| bytes.extend_from_slice(root));
        bytes
    }

    /// The frontier that the bytes hold, if they hold one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<8>()?;
        let (roots, trailing) = rest.as_chunks::<32>();
        let size = u64::from_le_bytes(*size);
        let is_whole = trailing.is_empty() && roots.len() == size.count_ones() as usize;
        is_whole.then(|| Self { size, roots: roots.to_vec() })
    }
}

/// The hash of a leaf.
pub(super) fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest(b"").into(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                inner(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn root_is_that_of_rfc_6962_at_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for number in 0..130u32 {
            assert_eq!(frontier.root(), by_definition(&leaves), "{number} leaves");
            assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier.clone()));
            leaves.push(leaf_hash(&number.to_le_bytes()));
            frontier.append(leaves[number as usize]);
        }
    }

    #[test]
    fn frontier_with_a_root_too_few_or_too_many_is_refused() {
        let mut frontier = Frontier::default();
        (0..3).for_each(|_| frontier.append([7; 32]));
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 32]), None);
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()), None);
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 1]), None);
    }
}
