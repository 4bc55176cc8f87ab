//! What heads reach through their stems: what is missing of that, and what nothing reaches any more.

use super::index::{Index, LEVELS, Stem};
use super::{Edition, HeadChange, Ledger, MISSING_LISTED_MAX, Read, Refusal};
use latchkey_snapshot::ObjectDigest;
use std::collections::BTreeSet;

impl Ledger {
    /// The indexes of those stems that no head named before.
    pub(super) fn open_new(&self, stems: &[Stem], read: Read<'_>) -> Result<Vec<(Stem, Index)>, Refusal> {
        let is_new = |stem: &&Stem| !self.indexes.iter().any(|(held, _)| held == *stem);
        let open = |stem: &Stem| Ok((*stem, Index::open(stem, &|digest| self.holds(digest), read)?));
        stems.iter().filter(is_new).map(open).collect()
    }

    /// The indexes of these stems, `new` ones among them.
    fn of<'a>(
        &'a self,
        stems: &'a [Stem],
        new: &'a [(Stem, Index)],
    ) -> impl Iterator<Item = &'a (Stem, Index)> {
        self.indexes.iter().chain(new).filter(|(stem, _)| stems.contains(stem))
    }

    fn missing<'a>(
        &'a self,
        stems: &'a [Stem],
        new: &'a [(Stem, Index)],
        level: usize,
    ) -> impl Iterator<Item = ObjectDigest> {
        self.of(stems, new).flat_map(move |(_, index)| index.missing_of(level))
    }

    /// What is missing, in the order in which it is to be pushed.
    pub(super) fn first_missing(&self, stems: &[Stem], new: &[(Stem, Index)]) -> Vec<ObjectDigest> {
        let mut listed = Vec::new();
        for level in 0..LEVELS {
            let missing: BTreeSet<_> = self.missing(stems, new, level).collect();
            listed.extend(missing.into_iter().take(MISSING_LISTED_MAX - listed.len()));
        }
        listed
    }

    /// How much is known to be missing of what held stems lead to.
    pub(super) fn missing_count(&self, stems: &[Stem]) -> usize {
        let missing = (0..LEVELS).flat_map(|level| self.missing(stems, &[], level));
        missing.collect::<BTreeSet<_>>().len()
    }

    /// Whether every chain begins at its base's generation, as far as both are known.
    pub(super) fn chains_fit(&self, stems: &[Stem], new: &[(Stem, Index)]) -> bool {
        let generation_of = |base| {
            let is_base = |(stem, _): &&(Stem, Index)| *stem == Stem::Manifest(base);
            self.of(stems, new).find(is_base).and_then(|(_, index)| index.base_generation)
        };
        self.of(stems, new).all(|(stem, index)| match (stem, index.base_generation) {
            (Stem::Tip { base, .. }, Some(from)) => generation_of(*base).is_none_or(|held| held == from),
            _ => true,
        })
    }

    /// The change to these heads.
    pub(super) fn change(
        &self,
        current: Option<Edition>,
        (next, pending): (Option<Edition>, Option<Edition>),
        new: Vec<(Stem, Index)>,
    ) -> HeadChange {
        let editions = [&current, &next, &pending];
        let is_kept =
            |stem: &Stem| editions.iter().copied().flatten().any(|edition| edition.stems.contains(stem));
        let (kept, dropped): (Vec<_>, Vec<_>) = self.indexes.iter().partition(|(stem, _)| is_kept(stem));
        let is_named =
            |digest: &ObjectDigest| kept.iter().copied().chain(&new).any(|(_, index)| index.names(digest));
        let mut unnamed: Vec<_> = dropped
            .iter()
            .flat_map(|(_, index)| index.names_all())
            .filter(|digest| self.objects.get(digest) == Some(&None) && !is_named(digest))
            .collect();
        unnamed.sort_unstable();
        unnamed.dedup();
        HeadChange { current, next, pending, indexes: new, unnamed }
    }
}
