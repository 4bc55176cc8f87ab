//! Does a new base follow from the one before it and its deltas (DESIGN §4)? Only then is it signed.
//!
//! Both sides are read from their bytes as an edge reads them, so what is compared is what edges would answer. What was
//! touched is looked up on both sides; of everything else the pages that differ must say the same. A base that says
//! something else of what nobody touched is what a fault of ours, or of the memory, would look like.

use super::chain::Line;
use latchkey_core::{KeyId, OrganizationNumber, ProjectNumber};
use latchkey_snapshot::build::{Object, Touched};
use latchkey_snapshot::{
    Delta, Entry, Exceptions, Found, Kind, Manifest, Names, Node, ObjectDigest, ObjectRef, OrganizationNames,
    Page, ProjectNames, Query,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

/// How a base fails to follow from what was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breach {
    /// An object that was built cannot be read.
    Unreadable(&'static str),
    /// It answers otherwise on something that was touched than the deltas do.
    Touched(Kind),
    /// It says something else of what nobody touched.
    Untouched(Kind),
    /// It refuses other organizations and projects as a whole.
    Exceptions,
    /// It does not answer as the store does.
    Canary,
}

/// Whether `base` says what `line` says at its end, but for what is `owed`, which no delta could say.
///
/// # Errors
/// [`Breach`]: the base must not be signed.
pub(super) fn check(line: &Line, base: &Line, owed: &Touched) -> Result<(), Breach> {
    let old = Reader::open(line.base())?;
    let new = Reader::open(base.base())?;
    let chain = deltas(line)?;
    let mut known: HashSet<(Kind, Tag)> = HashSet::new();
    for query in line.touched().queries() {
        known.insert((query.kind, query.tag));
        if !is_in(owed, &query) && old.find_over(&chain, &query)? != new.find(&query)? {
            return Err(Breach::Touched(query.kind));
        }
    }
    known.extend(owed.queries().map(|query| (query.kind, query.tag)));
    for kind in Kind::ALL {
        let is_same = if kind.is_names() {
            !owed.is_empty() || same_names(kind, (&old, &new), &chain)?
        } else {
            same_records(kind, (&old, &new), &known)?
        };
        if !is_same {
            return Err(Breach::Untouched(kind));
        }
    }
    if owed.is_empty() && in_force(line, &chain) != new.manifest.exceptions {
        return Err(Breach::Exceptions);
    }
    check_canaries(base)
}

/// Whether a line answers its canaries as its base says.
///
/// # Errors
/// [`Breach`].
pub(super) fn check_canaries(line: &Line) -> Result<(), Breach> {
    let reader = Reader::open(line.base())?;
    let chain = deltas(line)?;
    for canary in &reader.manifest.canaries {
        let found = match find_in(&chain, &canary.query) {
            Found::Here(_, entry) => Some(entry),
            Found::Gone => None,
            Found::Unknown => {
                let page = reader.page_of(&canary.query)?;
                page.and_then(|page| page.find(&canary.query))
            }
        };
        if !canary.holds(found.as_ref()) {
            return Err(Breach::Canary);
        }
    }
    Ok(())
}

/// The deltas of a line, the newest first.
fn deltas(line: &Line) -> Result<Vec<Delta>, Breach> {
    let chain = line.chain().map(|delta| Delta::parse(&delta.reference, &delta.bytes));
    chain.collect::<Result<_, _>>().map_err(|_| Breach::Unreadable("delta"))
}

/// What deltas say, the newest first.
fn find_in<'a>(chain: &'a [Delta], query: &Query) -> Found<'a> {
    let said = chain.iter().map(|delta| delta.find(query));
    said.into_iter().find(|found| !matches!(found, Found::Unknown)).unwrap_or(Found::Unknown)
}

type Tag = [u8; 10];

/// All that an edge learns of a record.
#[derive(PartialEq, Eq)]
struct Told {
    binding: latchkey_snapshot::Binding,
    expiry: Option<latchkey_core::ExpiryMinute>,
    state: latchkey_snapshot::KeyState,
    is_out_of_budget: bool,
    is_external: bool,
    /// As text: what it narrows to has no order of its own to compare by.
    narrowing: Option<String>,
    key_id: Option<KeyId>,
}

impl Told {
    fn of(page: &Page, entry: &Entry) -> Self {
        let narrowing = page.narrowing(entry).map(|narrowing| {
            let networks: Vec<_> = narrowing.networks().collect();
            let resources: Vec<_> = narrowing.resources().collect();
            let models: Vec<_> = narrowing.models().collect();
            format!("{:?} {networks:?} {resources:?} {models:?}", narrowing.rate())
        });
        Self {
            binding: entry.binding,
            expiry: entry.expiry,
            state: entry.state,
            is_out_of_budget: entry.is_out_of_budget,
            is_external: entry.is_external,
            narrowing,
            key_id: page.imported_key_id(entry),
        }
    }
}

/// A base, as an edge reads it.
struct Reader<'a> {
    manifest: Manifest,
    objects: HashMap<ObjectDigest, &'a Object>,
    /// Of each kind, the pages by first place.
    pages: BTreeMap<Kind, Vec<(u64, ObjectRef)>>,
    /// The page that was read last: look-ups come by place.
    last: RefCell<Option<(ObjectDigest, Rc<Page>)>>,
}

impl<'a> Reader<'a> {
    fn open(base: &'a [Object]) -> Result<Self, Breach> {
        let [manifest, rest @ ..] = base else { return Err(Breach::Unreadable("manifest")) };
        let manifest = Manifest::parse(&manifest.reference, &manifest.bytes);
        let manifest = manifest.map_err(|_| Breach::Unreadable("manifest"))?;
        let objects: HashMap<_, _> = rest.iter().map(|object| (object.reference.digest(), object)).collect();
        let mut pages: BTreeMap<Kind, Vec<_>> = BTreeMap::new();
        for section in &manifest.sections {
            let list = pages.entry(section.kind).or_default();
            for node in &section.nodes {
                let bytes = bytes_of(&objects, &node.object, "node")?;
                let node = Node::parse(section.kind, &node.object, bytes);
                let node = node.map_err(|_| Breach::Unreadable("node"))?;
                list.extend(node.pages().iter().map(|page| (page.first_place, page.object)));
            }
        }
        Ok(Self { manifest, objects, pages, last: RefCell::new(None) })
    }

    fn pages(&self, kind: Kind) -> &[(u64, ObjectRef)] {
        self.pages.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn page(&self, kind: Kind, reference: &ObjectRef) -> Result<Rc<Page>, Breach> {
        if let Some((digest, page)) = &*self.last.borrow()
            && *digest == reference.digest()
        {
            return Ok(Rc::clone(page));
        }
        let bytes = bytes_of(&self.objects, reference, "page")?;
        let page = Page::parse(kind, reference, bytes.into());
        let page = Rc::new(page.map_err(|_| Breach::Unreadable("page"))?);
        *self.last.borrow_mut() = Some((reference.digest(), Rc::clone(&page)));
        Ok(page)
    }

    fn page_of(&self, query: &Query) -> Result<Option<Rc<Page>>, Breach> {
        let pages = self.pages(query.kind);
        let at = pages.partition_point(|(first, _)| *first <= query.place);
        let page = at.checked_sub(1).and_then(|at| pages.get(at));
        page.map(|(_, reference)| self.page(query.kind, reference)).transpose()
    }

    fn find(&self, query: &Query) -> Result<Option<Told>, Breach> {
        let page = self.page_of(query)?;
        Ok(page.and_then(|page| page.find(query).map(|entry| Told::of(&page, &entry))))
    }

    /// What an edge finds that holds this base and these deltas, the newest first.
    fn find_over(&self, chain: &[Delta], query: &Query) -> Result<Option<Told>, Breach> {
        match find_in(chain, query) {
            Found::Unknown => self.find(query),
            Found::Gone => Ok(None),
            Found::Here(page, entry) => Ok(Some(Told::of(page, &entry))),
        }
    }

    fn names(&self, reference: &ObjectRef, kind: Kind) -> Result<Names, Breach> {
        let bytes = bytes_of(&self.objects, reference, "names")?;
        Names::parse(kind, reference, bytes).map_err(|_| Breach::Unreadable("names"))
    }
}

fn bytes_of<'a>(
    objects: &HashMap<ObjectDigest, &'a Object>,
    reference: &ObjectRef,
    what: &'static str,
) -> Result<&'a [u8], Breach> {
    objects.get(&reference.digest()).map(|object| &*object.bytes).ok_or(Breach::Unreadable(what))
}

fn is_in(touched: &Touched, query: &Query) -> bool {
    !touched.is_empty() && touched.queries().any(|one| one == *query)
}

/// Whether what nobody touched reads the same on both sides. Pages that both sides have are passed over; where the
/// cut differs, as many are compared at once as cover the same places.
fn same_records(
    kind: Kind,
    (old, new): (&Reader, &Reader),
    touched: &HashSet<(Kind, Tag)>,
) -> Result<bool, Breach> {
    let (mut left, mut right) = (old.pages(kind), new.pages(kind));
    while !left.is_empty() || !right.is_empty() {
        let (mut take_left, mut take_right) = (1.min(left.len()), 1.min(right.len()));
        loop {
            match (left.get(take_left), right.get(take_right)) {
                (Some((a, _)), Some((b, _))) if a == b => break,
                (Some((a, _)), Some((b, _))) if a < b => take_left += 1,
                (Some(_), Some(_)) | (None, Some(_)) => take_right += 1,
                (Some(_), None) => take_left += 1,
                (None, None) => break,
            }
        }
        let (one, other) = (&left[..take_left], &right[..take_right]);
        let is_shared = |list: &[(u64, ObjectRef)]| list.iter().map(|(_, page)| *page).collect::<Vec<_>>();
        if is_shared(one) != is_shared(other)
            && untouched(old, kind, one, touched)? != untouched(new, kind, other, touched)?
        {
            return Ok(false);
        }
        (left, right) = (&left[take_left..], &right[take_right..]);
    }
    Ok(true)
}

fn untouched(
    reader: &Reader,
    kind: Kind,
    pages: &[(u64, ObjectRef)],
    touched: &HashSet<(Kind, Tag)>,
) -> Result<Vec<(Tag, Told)>, Breach> {
    let mut records = Vec::new();
    for (_, reference) in pages {
        let page = reader.page(kind, reference)?;
        for (tag, entry) in page.entries().filter(|(tag, _)| !touched.contains(&(kind, **tag))) {
            records.push((*tag, Told::of(&page, &entry)));
        }
    }
    records.sort_unstable_by_key(|(tag, _)| *tag);
    Ok(records)
}

/// Whether everything is called the same: names are few, so all of the pages that differ are read.
fn same_names(kind: Kind, (old, new): (&Reader, &Reader), chain: &[Delta]) -> Result<bool, Breach> {
    let shared: BTreeSet<ObjectRef> = {
        let olds: BTreeSet<ObjectRef> = old.pages(kind).iter().map(|(_, page)| *page).collect();
        new.pages(kind).iter().map(|(_, page)| *page).filter(|page| olds.contains(page)).collect()
    };
    let mut before = Called::default();
    for (_, page) in old.pages(kind).iter().filter(|(_, page)| !shared.contains(page)) {
        before.take(&old.names(page, kind)?);
    }
    let mut now = Called::default();
    for (_, page) in new.pages(kind).iter().filter(|(_, page)| !shared.contains(page)) {
        now.take(&new.names(page, kind)?);
    }
    // A name that was said anew as it was stands on a page that both sides have.
    for names in chain.iter().rev().flat_map(Delta::names) {
        before.take_known(names, &now);
    }
    Ok(before == now)
}

/// What things are called, by number.
#[derive(Default, PartialEq, Eq)]
struct Called {
    projects: BTreeMap<ProjectNumber, ProjectNames>,
    organizations: BTreeMap<OrganizationNumber, OrganizationNames>,
}

impl Called {
    fn take(&mut self, names: &Names) {
        match names {
            Names::Projects(list) => {
                self.projects.extend(list.iter().map(|names| (names.number, names.clone())));
            }
            Names::Organizations(list) => {
                self.organizations.extend(list.iter().map(|names| (names.number, names.clone())));
            }
        }
    }

    /// Takes those that are of pages which differ.
    fn take_known(&mut self, names: &Names, now: &Self) {
        match names {
            Names::Projects(list) => {
                let known = list.iter().filter(|names| now.projects.contains_key(&names.number));
                self.projects.extend(known.map(|names| (names.number, names.clone())));
            }
            Names::Organizations(list) => {
                let known = list.iter().filter(|names| now.organizations.contains_key(&names.number));
                self.organizations.extend(known.map(|names| (names.number, names.clone())));
            }
        }
    }
}

/// What base and deltas refuse as a whole.
fn in_force(line: &Line, chain: &[Delta]) -> Exceptions {
    let begun = line.began_with().clone();
    chain.iter().rev().fold(begun, |held, delta| held.plus(&delta.removals.begun).minus(&delta.lifted))
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => write!(f, "its {what} cannot be read"),
            Self::Touched(kind) => {
                write!(f, "it answers otherwise than the deltas on a record of kind {}", *kind as u8)
            }
            Self::Untouched(kind) => {
                write!(f, "it says something else of a record of kind {} that nobody touched", *kind as u8)
            }
            Self::Exceptions => f.write_str("it refuses other organizations or projects as a whole"),
            Self::Canary => f.write_str("a canary does not answer as the store does"),
        }
    }
}
