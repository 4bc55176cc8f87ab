//! Reads of the audit log: entries, searches, proofs, tiles.

use super::entry::EntryFacts;
use super::index::{Block, Marks, Pattern, Terms, terms_of};
use super::tiles::{StoredNodes, hashes};
use super::{AuditLeaf, checkpoint, leaf};
use crate::store::error::StoreError;
use crate::store::tables::Tables;
use crate::store::view::Answer;
use crate::tlog::tile::TILE_WIDTH;
use crate::tlog::{Checkpoint, Hash, Tile, proof};
use latchkey_core::{OrganizationNumber, ProjectNumber, UnixMillis};
use redb::ReadableTable;
use std::ops::ControlFlow;

/// Blocks of 256 entries that one search looks through at most: a million entries.
const BLOCKS_SEARCHED_MAX: usize = 4096;
/// Bytes of entries after which a search stops: one entry may tell of 10,000 keys.
pub const FOUND_BYTES_MAX: usize = 8 << 20;

/// What is looked for. Whatever is `None` may be anything.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// In whose log.
    pub organization: Option<OrganizationNumber>,
    /// In which project.
    pub project: Option<ProjectNumber>,
    /// Who did it: an id, or `installation` or `reporter`.
    pub actor: Option<String>,
    /// What the action's name begins with.
    pub action: Option<String>,
    /// What kind of thing it was done to.
    pub subject_kind: Option<String>,
    /// To which of them.
    pub subject_id: Option<String>,
    /// Not before this.
    pub from: Option<UnixMillis>,
    /// Before this.
    pub to: Option<UnixMillis>,
}

/// Some of what a search finds.
#[derive(Debug, Clone, Default)]
pub struct AuditFound {
    /// Positions and entries, in the order that was asked for.
    pub entries: Vec<(u64, AuditLeaf)>,
    /// Where to go on; `None` if there is nothing more.
    pub next: Option<u64>,
}

/// The reads of the audit log.
pub trait AuditView {
    /// The log's size and root.
    ///
    /// # Errors
    /// Those of the disk, as for all methods here.
    fn audit_checkpoint(&self) -> Answer<Checkpoint>;
    /// The entry at a position, counted from 0.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_leaf(&self, position: u64) -> Answer<Option<AuditLeaf>>;
    /// Whose log the entry at a position is in.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_place(
        &self,
        position: u64,
    ) -> Answer<Option<(Option<OrganizationNumber>, Option<ProjectNumber>)>>;
    /// Entries below a position (or all), the newest first. A page may be empty and not the last one.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_search(&self, filter: &AuditFilter, below: Option<u64>, limit: usize) -> Answer<AuditFound>;
    /// Entries from a position on and below `size`, the oldest first, of one organization or all.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_from(
        &self,
        organization: Option<OrganizationNumber>,
        from: u64,
        size: u64,
        limit: usize,
    ) -> Answer<AuditFound>;
    /// For each position the proof that it is in the tree of `size`; `None` if that is larger than the log, or
    /// one of them is not in it.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_inclusion(&self, positions: &[u64], size: u64) -> Answer<Option<Vec<Vec<Hash>>>>;
    /// The proof that the tree of one size is the beginning of that of another; `None` if it is not shorter, or
    /// the other is larger than the log.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_consistency(&self, earlier: u64, later: u64) -> Answer<Option<Vec<Hash>>>;
    /// The root of the tree of a size; `None` if that is larger than the log.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_root(&self, size: u64) -> Answer<Option<Hash>>;
    /// The hashes of a tile; `None` if the log has no such tile yet.
    ///
    /// # Errors
    /// Those of the disk.
    fn audit_tile(&self, tile: &Tile) -> Answer<Option<Vec<Hash>>>;
}

impl<T: Tables> AuditView for T {
    fn audit_checkpoint(&self) -> Answer<Checkpoint> {
        checkpoint(self)
    }

    fn audit_leaf(&self, position: u64) -> Answer<Option<AuditLeaf>> {
        leaf(self, position)
    }

    fn audit_place(
        &self,
        position: u64,
    ) -> Answer<Option<(Option<OrganizationNumber>, Option<ProjectNumber>)>> {
        let Some(leaf) = leaf(self, position)? else { return Ok(None) };
        let number = |number: u32| (number != 0).then_some(number);
        let Terms { organization, project, .. } = leaf.terms;
        Ok(Some((number(organization).map(OrganizationNumber), number(project).map(ProjectNumber))))
    }

    fn audit_search(&self, filter: &AuditFilter, below: Option<u64>, limit: usize) -> Answer<AuditFound> {
        let size = checkpoint(self)?.size;
        let top = below.unwrap_or(size).min(size);
        let mut search = Search::new(self, filter, limit);
        match search.newest_first(top, size) {
            ControlFlow::Continue(()) => Ok(search.found),
            ControlFlow::Break(Ok(next)) => Ok(AuditFound { next: Some(next), ..search.found }),
            ControlFlow::Break(Err(error)) => Err(error),
        }
    }

    fn audit_from(
        &self,
        organization: Option<OrganizationNumber>,
        from: u64,
        size: u64,
        limit: usize,
    ) -> Answer<AuditFound> {
        let size = checkpoint(self)?.size.min(size);
        let filter = AuditFilter { organization, ..AuditFilter::default() };
        let mut search = Search::new(self, &filter, limit);
        match search.oldest_first(from, size) {
            ControlFlow::Continue(()) => Ok(search.found),
            ControlFlow::Break(Ok(next)) => Ok(AuditFound { next: Some(next), ..search.found }),
            ControlFlow::Break(Err(error)) => Err(error),
        }
    }

    fn audit_inclusion(&self, positions: &[u64], size: u64) -> Answer<Option<Vec<Vec<Hash>>>> {
        let now = checkpoint(self)?.size;
        if size > now {
            return Ok(None);
        }
        let mut nodes = StoredNodes::new(self, now);
        positions.iter().map(|position| proof::inclusion(&mut nodes, *position, size)).collect()
    }

    fn audit_consistency(&self, earlier: u64, later: u64) -> Answer<Option<Vec<Hash>>> {
        let now = checkpoint(self)?.size;
        if later > now {
            return Ok(None);
        }
        proof::consistency(&mut StoredNodes::new(self, now), earlier, later)
    }

    fn audit_root(&self, size: u64) -> Answer<Option<Hash>> {
        let now = checkpoint(self)?.size;
        if size > now {
            return Ok(None);
        }
        proof::root(&mut StoredNodes::new(self, now), size).map(Some)
    }

    fn audit_tile(&self, tile: &Tile) -> Answer<Option<Vec<Hash>>> {
        if tile.is_within(checkpoint(self)?.size) { hashes(self, tile).map(Some) } else { Ok(None) }
    }
}

/// A search ends by itself, or breaks off: at the position to go on at, or with an error.
type Step = ControlFlow<Answer<u64>>;

/// Numbers of blocks, each with the entries in it that can be meant.
type Blocks<'a> = Box<dyn DoubleEndedIterator<Item = Answer<(u64, Marks)>> + 'a>;

struct Search<'a, T> {
    tables: &'a T,
    filter: &'a AuditFilter,
    pattern: Pattern,
    limit: usize,
    blocks: usize,
    bytes: usize,
    found: AuditFound,
}

impl<'a, T: Tables> Search<'a, T> {
    fn new(tables: &'a T, filter: &'a AuditFilter, limit: usize) -> Self {
        let pattern = Pattern {
            organization: filter.organization.map(|number| number.0),
            project: filter.project.map(|number| number.0),
            from_ms: filter.from.map(|at| at.0),
            to_ms: filter.to.map(|at| at.0),
            ..Pattern::default()
        };
        let pattern = pattern.words(
            filter.actor.as_deref(),
            filter.subject_kind.as_deref(),
            filter.subject_id.as_deref(),
            filter.action.as_deref(),
        );
        Self { tables, filter, pattern, limit, blocks: 0, bytes: 0, found: AuditFound::default() }
    }

    fn newest_first(&mut self, top: u64, size: u64) -> Step {
        let complete = size / TILE_WIDTH;
        for position in (complete * TILE_WIDTH..top).rev() {
            let terms = or_break(terms_of(self.tables, position))?;
            self.offer(position, &terms, position + 1)?;
        }
        let Some(last) = top.min(complete * TILE_WIDTH).checked_sub(1) else { return Step::Continue(()) };
        let blocks = or_break(self.blocks(0, last / TILE_WIDTH))?;
        for block in blocks.rev() {
            let (block, marks) = or_break(block)?;
            let first = block * TILE_WIDTH;
            self.look_into(first + TILE_WIDTH)?;
            let row = or_break(self.block_row(block))?;
            let terms = or_break(Block::read(&row))?;
            if self.pattern.from_ms.is_some_and(|from| terms.latest_ms < from) {
                return Step::Continue(());
            }
            for slot in (0..TILE_WIDTH as usize).rev().filter(|slot| marks.has(*slot)) {
                let position = first + slot as u64;
                if position < top {
                    self.offer(position, &terms.terms(slot), position + 1)?;
                }
            }
        }
        Step::Continue(())
    }

    fn oldest_first(&mut self, from: u64, size: u64) -> Step {
        let all = or_break(checkpoint(self.tables))?.size;
        let complete = all / TILE_WIDTH;
        if from < size.min(complete * TILE_WIDTH) {
            let last = (size - 1) / TILE_WIDTH;
            let blocks = or_break(self.blocks(from / TILE_WIDTH, last.min(complete - 1)))?;
            for block in blocks {
                let (block, marks) = or_break(block)?;
                let first = block * TILE_WIDTH;
                self.look_into(first)?;
                let row = or_break(self.block_row(block))?;
                let terms = or_break(Block::read(&row))?;
                for slot in (0..TILE_WIDTH as usize).filter(|slot| marks.has(*slot)) {
                    let position = first + slot as u64;
                    if (from..size).contains(&position) {
                        self.offer(position, &terms.terms(slot), position)?;
                    }
                }
            }
        }
        for position in from.max(complete * TILE_WIDTH)..size {
            let terms = or_break(terms_of(self.tables, position))?;
            self.offer(position, &terms, position)?;
        }
        Step::Continue(())
    }

    /// The blocks between these two that can hold something, and which of their entries.
    fn blocks(&self, first: u64, last: u64) -> Answer<Blocks<'a>> {
        let Some(organization) = self.pattern.organization else {
            return Ok(Box::new((first..=last).map(|block| Ok((block, Marks::ALL)))));
        };
        let rows = self.tables.audit_organizations().range((organization, first)..=(organization, last))?;
        Ok(Box::new(rows.map(|row| {
            let (place, marks) = row?;
            Ok((place.value().1, Marks(*marks.value())))
        })))
    }

    fn block_row(&self, block: u64) -> Answer<Vec<u8>> {
        let row = self.tables.audit_blocks().get(block)?;
        Ok(row.ok_or(StoreError::Corrupt("audit_blocks"))?.value().to_vec())
    }

    /// Counts a block that is opened; breaks off at `here` if it would be one too many.
    fn look_into(&mut self, here: u64) -> Step {
        if self.blocks == BLOCKS_SEARCHED_MAX {
            return Step::Break(Ok(here));
        }
        self.blocks += 1;
        Step::Continue(())
    }

    /// Takes the entry if it is one that is looked for; breaks off at `here` if the page is full.
    fn offer(&mut self, position: u64, terms: &Terms, here: u64) -> Step {
        if !self.pattern.matches(terms) {
            return Step::Continue(());
        }
        if self.found.entries.len() == self.limit || self.bytes >= FOUND_BYTES_MAX {
            return Step::Break(Ok(here));
        }
        let entry = or_break(leaf(self.tables, position))?;
        let entry = or_break(entry.ok_or(StoreError::Corrupt("audit")))?;
        if or_break(is_meant(self.filter, &entry))? {
            self.bytes += entry.content.as_ref().map_or(0, |content| content.entry.len());
            self.found.entries.push((position, entry));
        }
        Step::Continue(())
    }
}

/// Whether the entry itself, and not only its fingerprints, says what is looked for. Of an erased one nothing is
/// known but where and when.
fn is_meant(filter: &AuditFilter, leaf: &AuditLeaf) -> Answer<bool> {
    let AuditFilter { actor, action, subject_kind, subject_id, .. } = filter;
    if actor.is_none() && action.is_none() && subject_kind.is_none() && subject_id.is_none() {
        return Ok(true);
    }
    let Some(content) = &leaf.content else { return Ok(false) };
    let facts: EntryFacts = serde_json::from_str(&content.entry).map_err(|_| StoreError::Corrupt("audit"))?;
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    Ok(is(actor, facts.who.name())
        && is(subject_kind, &facts.subject.kind)
        && is(subject_id, &facts.subject.id)
        && action.as_deref().is_none_or(|action| facts.what.starts_with(action)))
}

fn or_break<V>(answer: Answer<V>) -> ControlFlow<Answer<u64>, V> {
    match answer {
        Ok(value) => ControlFlow::Continue(value),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit::index::keep;
    use crate::store::tables::{WriteTables, meta};

    /// Searches a log of so many blocks, none of whose entries is meant, and says where to go on.
    #[track_caller]
    fn check(blocks: usize, next: Option<u64>) {
        let database =
            redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut tables = WriteTables::open(&transaction).unwrap();
        let entries = [Terms::from_bytes(&[7; 28]); TILE_WIDTH as usize];
        (0..blocks as u64).for_each(|block| keep(&mut tables, block, &entries).unwrap());
        let size = blocks as u64 * TILE_WIDTH;
        let frontier = [&size.to_le_bytes()[..], &[0; 32].repeat(size.count_ones() as usize)].concat();
        tables.meta.insert(meta::AUDIT, frontier.as_slice()).unwrap();
        let filter = AuditFilter { actor: Some("nobody".to_owned()), ..AuditFilter::default() };
        let found = tables.audit_search(&filter, None, 1).unwrap();
        assert_eq!((found.entries.len(), found.next), (0, next));
        if let Some(next) = next {
            assert_eq!(tables.audit_search(&filter, Some(next), 1).unwrap().next, None);
        }
    }

    #[test]
    fn search_stops_after_a_million_entries_and_says_where_to_go_on() {
        check(BLOCKS_SEARCHED_MAX, None);
        check(BLOCKS_SEARCHED_MAX + 1, Some(TILE_WIDTH));
    }
}
