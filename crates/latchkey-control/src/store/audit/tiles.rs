//! The log's tree as tiles: a row for each full tile of leaves, and one for each tile above, which grows.
//!
//! A partial tile of leaves has no row: its hashes stand in the entries' own rows.

use super::split;
use crate::store::error::StoreError;
use crate::store::tables::{Tables, WriteTables};
use crate::tlog::tile::{TILE_LEVELS, TILE_WIDTH, subtree};
use crate::tlog::{Hash, Nodes, Tile, tree::inner_hash};
use redb::ReadableTable;
use std::collections::HashMap;

/// Tiles whose inner nodes are remembered while proofs are made.
const TILES_REMEMBERED_MAX: usize = 32;

/// Keeps a full tile of leaves, and its root in the tiles above.
pub(super) fn keep(tables: &mut WriteTables, block: u64, hashes: &[Hash]) -> Result<(), StoreError> {
    tables.audit_tiles.insert((0, block), hashes.as_flattened())?;
    let (mut root, mut index) = (subtree(hashes), block);
    for level in 1u8.. {
        let place = (level, index / TILE_WIDTH);
        let mut row = tables.audit_tiles.get(place)?.map_or(Vec::new(), |row| row.value().to_vec());
        if row.len() as u64 != (index % TILE_WIDTH) * size_of::<Hash>() as u64 {
            return Err(CORRUPT);
        }
        row.extend(root);
        tables.audit_tiles.insert(place, row.as_slice())?;
        let (nodes, _) = row.as_chunks();
        if nodes.len() as u64 != TILE_WIDTH {
            break;
        }
        (root, index) = (subtree(nodes), index / TILE_WIDTH);
    }
    Ok(())
}

/// The hashes of a tile that lies within the tree.
pub(super) fn hashes(tables: &impl Tables, tile: &Tile) -> Result<Vec<Hash>, StoreError> {
    let width = usize::from(tile.width);
    let hashes: Vec<Hash> = match tables.audit_tiles().get((tile.level, tile.index))? {
        Some(row) => row.value().as_chunks().0.iter().take(width).copied().collect(),
        None if tile.level == 0 => {
            let first = tile.index * TILE_WIDTH;
            let rows = tables.audit().range(first..first + u64::from(tile.width))?;
            rows.map(|row| Ok(split(row?.1.value())?.0)).collect::<Result<_, StoreError>>()?
        }
        None => Vec::new(),
    };
    if hashes.len() == width { Ok(hashes) } else { Err(CORRUPT) }
}

/// The nodes that proofs are made of.
pub(super) struct StoredNodes<'a, T> {
    tables: &'a T,
    size: u64,
    /// The inner nodes of tiles, level by level from the tile's own up.
    tiles: HashMap<(u8, u64), Vec<Vec<Hash>>>,
}

impl<'a, T: Tables> StoredNodes<'a, T> {
    /// Those of the tree as it is, of this size.
    pub(super) fn new(tables: &'a T, size: u64) -> Self {
        Self { tables, size, tiles: HashMap::new() }
    }

    fn levels(&self, level: u8, index: u64) -> Result<Vec<Vec<Hash>>, StoreError> {
        let nodes = self.size >> (TILE_LEVELS * u32::from(level));
        let width = nodes.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH) as u16;
        let mut levels = vec![hashes(self.tables, &Tile { level, index, width })?];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pairs = below.as_chunks::<2>().0;
            let above = pairs.iter().map(|[left, right]| inner_hash(left, right)).collect();
            levels.push(above);
        }
        Ok(levels)
    }
}

impl<T: Tables> Nodes for StoredNodes<'_, T> {
    type Error = StoreError;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let (above, inner) = ((level / TILE_LEVELS) as u8, level % TILE_LEVELS);
        let place = (above, (index << inner) / TILE_WIDTH);
        if !self.tiles.contains_key(&place) {
            if self.tiles.len() >= TILES_REMEMBERED_MAX {
                self.tiles.clear();
            }
            self.tiles.insert(place, self.levels(place.0, place.1)?);
        }
        let slot = (index % (TILE_WIDTH >> inner)) as usize;
        let levels = self.tiles.get(&place).ok_or(CORRUPT)?;
        levels.get(inner as usize).and_then(|nodes| nodes.get(slot)).copied().ok_or(CORRUPT)
    }
}

const CORRUPT: StoreError = StoreError::Corrupt("audit_tiles");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::proof::root;
    use crate::tlog::{Frontier, leaf_hash};

    /// The tree of 65,536 leaves and one tile more: the first size at which a tile of the second level is full.
    #[test]
    fn tiles_above_grow_and_hash_to_the_frontiers_root() {
        let database =
            redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut tables = WriteTables::open(&transaction).unwrap();
        let mut frontier = Frontier::default();
        for block in 0..257u64 {
            let leaves: Vec<Hash> =
                (0..TILE_WIDTH).map(|slot| leaf_hash(&(block * 256 + slot).to_le_bytes())).collect();
            leaves.iter().for_each(|leaf| frontier.append(*leaf));
            keep(&mut tables, block, &leaves).unwrap();
        }
        let width =
            |level, index| tables.audit_tiles.get((level, index)).unwrap().map(|row| row.value().len() / 32);
        let widths = [width(0, 256), width(1, 0), width(1, 1), width(2, 0), width(2, 1), width(3, 0)];
        assert_eq!(widths, [Some(256), Some(256), Some(1), Some(1), None, None]);
        let mut nodes = StoredNodes::new(&tables, frontier.size());
        assert_eq!(root(&mut nodes, frontier.size()).unwrap(), frontier.root());
        let first: Frontier = (0..65_536u64).map(|leaf| leaf_hash(&leaf.to_le_bytes())).collect();
        assert_eq!(nodes.node(16, 0).unwrap(), first.root());
    }

    #[test]
    fn tile_out_of_turn_is_refused() {
        let database =
            redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut tables = WriteTables::open(&transaction).unwrap();
        assert!(matches!(keep(&mut tables, 1, &[[1; 32]; 256]), Err(StoreError::Corrupt("audit_tiles"))));
    }
}
