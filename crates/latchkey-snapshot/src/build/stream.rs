//! A whole snapshot of any size in little memory, with the very bytes that [`Content`](super::Content) would give.
//!
//! 1. A [`Sorter`] makes a row of bytes of each record and says its kind and place. The caller keeps the rows of each
//!    [`Partition`], a range of places, where it likes, in any order: nothing here does I/O. Several sorters may work at
//!    once.
//! 2. A [`Cutter`] takes all rows of one partition, cuts them into pages by the rule of [`super::trie`] and hands out
//!    each page once it is encoded. Partitions may be cut at once, in any order; one that is too big for the memory at
//!    hand is divided first.
//! 3. [`Cutter::finish`] joins what was too little for a page of its own, and names everything.
//!
//! So memory holds one partition for each thread, and 48 bytes for each page.

mod rows;

use super::Object;
use super::content::Edition;
use super::encode::BuildError;
use super::index::Index;
use super::record::Record;
use super::row::Row;
use super::slot::{ImportedSlot, Shared, Slot};
use crate::names::{OrganizationNames, ProjectNames};
use crate::node::PageRef;
use crate::query::Kind;
use alloc::vec::Vec;
use latchkey_core::Pepper;
use rows::{Rowed, Rows};

/// Makes rows of records.
pub struct Sorter {
    number: u8,
    pepper: Pepper,
    shared: Shared,
}

/// Records of one kind whose places begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    kind: Kind,
    first: u64,
    bits: u32,
}

/// Makes pages of rows.
pub struct Cutter {
    shared: Shared,
    /// By sorter, then by its number of a permission set: our number.
    sets: Vec<Vec<u32>>,
    /// The same of narrowings.
    narrowings: Vec<Vec<u32>>,
}

/// What became of a partition.
#[derive(Debug)]
pub struct Piece {
    partition: Partition,
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    /// It gave these pages.
    Pages(Vec<PageRef>),
    /// It fits one page, perhaps together with its neighbours: so many rows.
    Few { rows: Vec<u8>, count: usize },
}

impl Sorter {
    /// As many sorters as asked for; their rows may be mixed.
    pub fn several(pepper: &Pepper, count: u8) -> Vec<Self> {
        (0..count).map(|number| Self { number, pepper: pepper.clone(), shared: Shared::new() }).collect()
    }

    /// Puts the record's row at the end of `out`; its kind and place. Of two records about the same thing neither is
    /// better: that is refused when they are cut.
    ///
    /// # Errors
    /// [`BuildError::TooLong`], when a name is longer than a row holds.
    pub fn sort(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(Kind, u64), BuildError> {
        match Row::of(record, &self.pepper, &mut self.shared) {
            Row::Slot(kind, slot) => slot.write(kind, self.number, out),
            Row::Imported(slot) => slot.write(Kind::ImportedKey, self.number, out),
            Row::Project(names) => names.write(Kind::ProjectNames, self.number, out),
            Row::Organization(names) => names.write(Kind::OrganizationNames, self.number, out),
        }
    }
}

impl Partition {
    /// The partition in which a place lies, where `bits` leading bits (at most 64) tell partitions apart.
    pub const fn holding(kind: Kind, place: u64, bits: u32) -> Self {
        let first = if bits == 0 { 0 } else { place >> (64 - bits) << (64 - bits) };
        Self { kind, first, bits }
    }

    /// What its records are about.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its first place.
    pub const fn first_place(&self) -> u64 {
        self.first
    }

    /// Divides rows of this partition: hands out each with the partition, `more` bits finer, in which it lies.
    ///
    /// # Errors
    /// [`BuildError::Lost`], when these are no rows.
    pub fn divide(&self, rows: &[u8], more: u32, mut out: impl FnMut(Self, &[u8])) -> Result<(), BuildError> {
        let bits = (self.bits + more).min(64);
        for row in Rows::of(self.kind, rows) {
            let (place, row) = row?;
            out(Self::holding(self.kind, place, bits), row);
        }
        Ok(())
    }
}

impl Cutter {
    /// A cutter of the rows that these sorters made: all that made any.
    pub fn new(sorters: Vec<Sorter>) -> Self {
        let mut cutter = Self { shared: Shared::new(), sets: Vec::new(), narrowings: Vec::new() };
        for sorter in sorters {
            let at = usize::from(sorter.number);
            cutter.sets.resize_with(cutter.sets.len().max(at + 1), Vec::new);
            cutter.narrowings.resize_with(cutter.narrowings.len().max(at + 1), Vec::new);
            cutter.sets[at] = cutter.shared.sets.adopt(&sorter.shared.sets);
            cutter.narrowings[at] = cutter.shared.narrowings.adopt(&sorter.shared.narrowings);
        }
        cutter
    }

    /// Cuts all rows of a partition, and hands out the pages.
    ///
    /// # Errors
    /// [`BuildError`]; [`BuildError::Twice`], when two rows are about the same thing.
    pub fn cut(
        &self,
        partition: Partition,
        rows: &[u8],
        emit: &mut dyn FnMut(Object),
    ) -> Result<Piece, BuildError> {
        let cut = match partition.kind {
            Kind::ImportedKey => self.cut_rows::<ImportedSlot>(partition, rows, emit),
            Kind::ProjectNames => self.cut_rows::<ProjectNames>(partition, rows, emit),
            Kind::OrganizationNames => self.cut_rows::<OrganizationNames>(partition, rows, emit),
            _ => self.cut_rows::<Slot>(partition, rows, emit),
        }?;
        Ok(Piece { partition, cut })
    }

    /// Joins the pieces of all partitions, in any order, hands out what is missing, and returns the manifest.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn finish(
        &self,
        mut pieces: Vec<Piece>,
        edition: &Edition<'_>,
        emit: &mut dyn FnMut(Object),
    ) -> Result<Object, BuildError> {
        pieces.sort_unstable_by_key(|piece| piece.partition);
        let mut index = Index::default();
        for of_kind in pieces.chunk_by(|a, b| a.partition.kind == b.partition.kind) {
            let kind = of_kind.first().map_or(Kind::NativeKey, |piece| piece.partition.kind);
            let mut pages = Vec::new();
            self.join(Partition { kind, first: 0, bits: 0 }, of_kind, &mut pages, emit)?;
            index.add(kind, &pages)?.into_iter().for_each(&mut *emit);
        }
        index.manifest(edition)
    }

    /// The pages below a prefix, of which these are all pieces.
    fn join(
        &self,
        prefix: Partition,
        pieces: &[Piece],
        pages: &mut Vec<PageRef>,
        emit: &mut dyn FnMut(Object),
    ) -> Result<(), BuildError> {
        let few = |piece: &Piece| match &piece.cut {
            Cut::Few { count, .. } => Some(*count),
            Cut::Pages(_) => None,
        };
        match pieces {
            [] => return Ok(()),
            [Piece { partition, cut: Cut::Pages(list) }] if partition.bits == prefix.bits => {
                pages.extend(list);
                return Ok(());
            }
            _ => {}
        }
        if let Some(count) = pieces.iter().map(few).sum::<Option<usize>>()
            && let Some((page, object)) = self.one_page(prefix, count, pieces)?
        {
            pages.push(page);
            emit(object);
            return Ok(());
        }
        if prefix.bits == 64 {
            return Err(BuildError::Lost("partition"));
        }
        let middle = prefix.first | 1u64 << (63 - prefix.bits);
        let (low, high) = pieces.split_at(pieces.partition_point(|piece| piece.partition.first < middle));
        let bits = prefix.bits + 1;
        self.join(Partition { bits, ..prefix }, low, pages, emit)?;
        self.join(Partition { first: middle, bits, ..prefix }, high, pages, emit)
    }

    /// The one page of pieces that are few, if they fit one.
    fn one_page(
        &self,
        prefix: Partition,
        count: usize,
        pieces: &[Piece],
    ) -> Result<Option<(PageRef, Object)>, BuildError> {
        let kind = prefix.kind;
        if count == 0 || count > rows::most(kind) {
            return Ok(None);
        }
        let rows: Vec<u8> = pieces.iter().flat_map(|piece| piece.cut.rows()).copied().collect();
        let object = match kind {
            Kind::ImportedKey => self.page_of_rows::<ImportedSlot>(kind, &rows),
            Kind::ProjectNames => self.page_of_rows::<ProjectNames>(kind, &rows),
            Kind::OrganizationNames => self.page_of_rows::<OrganizationNames>(kind, &rows),
            _ => self.page_of_rows::<Slot>(kind, &rows),
        }?;
        let name = |object: &Object| PageRef {
            first_place: prefix.first,
            records: count as u32,
            object: object.reference,
        };
        Ok(object.map(|object| (name(&object), object)))
    }

    fn page_of_rows<T: Rowed>(&self, kind: Kind, rows: &[u8]) -> Result<Option<Object>, BuildError> {
        let mut items = self.read_rows::<T>(kind, rows)?;
        items.sort_unstable_by_key(|item| item.key().0);
        if !T::fit(self, &items) {
            return Ok(None);
        }
        refuse_twice(&items)?;
        T::page(self, kind, &items).map(Some)
    }

    fn cut_rows<T: Rowed>(
        &self,
        partition: Partition,
        rows: &[u8],
        emit: &mut dyn FnMut(Object),
    ) -> Result<Cut, BuildError> {
        let items = self.read_rows::<T>(partition.kind, rows)?;
        if items.len() <= rows::most(partition.kind) && T::fit(self, &items) {
            return Ok(Cut::Few { rows: rows.to_vec(), count: items.len() });
        }
        // The order of small pairs, since rows are big and each is wanted once.
        let mut order: Vec<(u64, u32)> = items.iter().map(|item| item.key().0).zip(0..).collect();
        order.sort_unstable();
        let mut below = Below { cutter: self, items: &items, leaf: Vec::new(), pages: Vec::new(), emit };
        below.cut(partition, &order)?;
        Ok(Cut::Pages(below.pages))
    }

    fn read_rows<T: Rowed>(&self, kind: Kind, rows: &[u8]) -> Result<Vec<T>, BuildError> {
        let mut items = Vec::with_capacity(rows.len() / rows::shortest(kind));
        for row in Rows::of(kind, rows) {
            items.push(T::read(self, row?.1)?);
        }
        Ok(items)
    }
}

impl Cut {
    fn rows(&self) -> &[u8] {
        match self {
            Self::Few { rows, .. } => rows,
            Self::Pages(_) => &[],
        }
    }
}

/// Cuts a partition that does not fit one page.
struct Below<'a, T> {
    cutter: &'a Cutter,
    items: &'a [T],
    leaf: Vec<T>,
    pages: Vec<PageRef>,
    emit: &'a mut dyn FnMut(Object),
}

impl<T: Rowed> Below<'_, T> {
    /// Cuts the items with these places and indices, all that lie below the prefix.
    fn cut(&mut self, prefix: Partition, order: &[(u64, u32)]) -> Result<(), BuildError> {
        let Partition { kind, first, bits } = prefix;
        if order.is_empty() {
            return Ok(());
        }
        if bits == 64 || order.len() <= rows::most(kind) {
            self.leaf.clear();
            self.leaf.extend(order.iter().map(|(_, at)| self.items[*at as usize].clone()));
            if bits == 64 || T::fit(self.cutter, &self.leaf) {
                refuse_twice(&self.leaf)?;
                let object = T::page(self.cutter, kind, &self.leaf)?;
                let (records, reference) = (order.len() as u32, object.reference);
                self.pages.push(PageRef { first_place: first, records, object: reference });
                (self.emit)(object);
                return Ok(());
            }
        }
        let middle = first | 1u64 << (63 - bits);
        let (low, high) = order.split_at(order.partition_point(|(place, _)| *place < middle));
        self.cut(Partition { bits: bits + 1, ..prefix }, low)?;
        self.cut(Partition { first: middle, bits: bits + 1, ..prefix }, high)
    }
}

/// Refuses items, ascending by place, of which two are about the same thing.
fn refuse_twice<T: Rowed>(items: &[T]) -> Result<(), BuildError> {
    for same in items.chunk_by(|a, b| a.key().0 == b.key().0).filter(|same| same.len() > 1) {
        let mut keys: Vec<_> = same.iter().map(|item| item.key().1).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(BuildError::Twice);
        }
    }
    Ok(())
}
