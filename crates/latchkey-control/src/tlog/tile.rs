//! Tiles: the tree cut into pieces of eight levels, named as C2SP tlog-tiles does (`tile/0/x001/234.p/5`).
//!
//! A tile is up to 256 consecutive nodes of one level, 8 times its own level above the leaves. Nothing here holds
//! a tile's bytes but [`subtree`], which hashes them.

use super::tree::{Hash, inner_hash};
use std::fmt;

/// Nodes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
pub const TILE_LEVELS: u32 = 8;
/// The highest level of tile that 64 bits of size can have.
const LEVEL_MAX: u8 = 7;

/// The name of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Its level: 0 holds leaves.
    pub level: u8,
    /// Its place in that level.
    pub index: u64,
    /// Nodes in it, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// Every tile of a tree of `size`, each at its full width there, the lowest level first.
    pub fn of_size(size: u64) -> impl Iterator<Item = Self> {
        (0..=LEVEL_MAX).flat_map(move |level| {
            let nodes = nodes_at(level, size);
            (0..nodes.div_ceil(TILE_WIDTH)).map(move |index| {
                let width = (nodes - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
                Self { level, index, width }
            })
        })
    }

    /// Whether a tree of `size` has this tile with at least that many nodes.
    pub fn is_within(&self, size: u64) -> bool {
        let first = self.index.checked_mul(TILE_WIDTH);
        first
            .and_then(|first| first.checked_add(u64::from(self.width)))
            .is_some_and(|end| self.level <= LEVEL_MAX && end <= nodes_at(self.level, size))
    }

    /// The tile that `level` and what follows it in the path name; canonical spellings only.
    pub fn parse(level: &str, rest: &str) -> Option<Self> {
        let level = decimal(level).and_then(|level| u8::try_from(level).ok())?;
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => (index, decimal(width).filter(|width| (1..TILE_WIDTH).contains(width))?),
        };
        let mut number = 0u64;
        let groups: Vec<&str> = index.split('/').collect();
        for (at, group) in groups.iter().enumerate() {
            let digits = if at + 1 < groups.len() { group.strip_prefix('x')? } else { group };
            let is_group = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            // A leading group of zeros is another spelling of the name without it.
            let is_leading_zero = at == 0 && groups.len() > 1 && digits == "000";
            (is_group && !is_leading_zero).then_some(())?;
            number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        (level <= LEVEL_MAX).then_some(Self { level, index: number, width: width as u16 })
    }
}

impl fmt::Display for Tile {
    /// The path below the log's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}", self.level)?;
        let groups = (0..7).rev().map(|power| (power, self.index / 1000u64.pow(power)));
        for (power, upper) in groups.filter(|(power, upper)| *power == 0 || *upper > 0) {
            write!(f, "/{}{:03}", if power > 0 { "x" } else { "" }, upper % 1000)?;
        }
        if u64::from(self.width) < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The root over a power of two of nodes. Of any other number, that of the leading ones that are one.
pub fn subtree(nodes: &[Hash]) -> Hash {
    match nodes {
        [] => [0; 32],
        [node] => *node,
        _ => {
            let (left, right) = nodes.split_at(nodes.len() / 2);
            inner_hash(&subtree(left), &subtree(right))
        }
    }
}

fn nodes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(TILE_LEVELS * u32::from(level)).unwrap_or(0)
}

/// A decimal number without leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<Tile> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        Tile::parse(level, rest)
    }

    #[test]
    fn names_are_those_of_the_specification() {
        for (level, index, width, path) in [
            (0, 0, 256, "tile/0/000"),
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (1, 999, 17, "tile/1/999.p/17"),
            (2, 1000, 1, "tile/2/x001/000.p/1"),
            (0, u64::MAX >> 8, 256, "tile/0/x072/x057/x594/x037/x927/935"),
        ] {
            let tile = Tile { level, index, width };
            assert_eq!(tile.to_string(), path);
            assert_eq!(parse(path), Some(tile));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for path in [
            "tile/00/000",
            "tile/8/000",
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/",
            "tile//000",
            "tile/0/+01",
            "tile/-1/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn tree_of_70_000_has_the_tiles_of_the_specification() {
        let tiles: Vec<Tile> = Tile::of_size(70_000).collect();
        let of =
            |level, width| tiles.iter().filter(|tile| (tile.level, tile.width) == (level, width)).count();
        assert_eq!([of(0, 256), of(0, 112), of(1, 256), of(1, 17), of(2, 1)], [273, 1, 1, 1, 1]);
        assert_eq!(tiles.len(), 277);
        assert!(tiles.iter().all(|tile| tile.is_within(70_000) && !tile.is_within(0)));
        assert!(!Tile { level: 0, index: 273, width: 113 }.is_within(70_000));
        assert_eq!(Tile::of_size(0).count(), 0);
        assert_eq!(Tile::of_size(256).count(), 2);
    }
}
