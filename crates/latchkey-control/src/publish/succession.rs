//! Does a new base follow from the one before it and its deltas (DESIGN §4)? Only then is it signed.
//!
//! Both sides are read from their bytes as an edge reads them, so what is compared is what edges would answer. What was
//! touched is looked up on both sides; of everything else the pages that differ must say the same. A base that says
//! something else of what nobody touched is what a fault of ours, or of the memory, would look like.

use super::chain::Line;
use latchkey_core::{OrganizationNumber, ProjectNumber};
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
    let mut known: HashSet<(Kind, Tag)> = owed.queries().map(|query| (query.kind, query.tag)).collect();
    let mut touched = Vec::new();
    for query in line.touched().queries() {
        let place = (query.kind, query.tag);
        if !known.contains(&place) && !same(old.find_over(&chain, &query)?, new.find(&query)?) {
            return Err(Breach::Touched(query.kind));
        }
        touched.push(place);
    }
    known.extend(touched);
    for kind in Kind::ALL {
        let is_same = if kind.is_names() {
            same_names(kind, (&old, &new), &chain, owed)?
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

/// A record, and the page that says it.
enum Said<'a> {
    /// In a delta.
    Delta(&'a Page, Entry),
    /// In a base.
    Base(Rc<Page>, Entry),
}

impl Said<'_> {
    fn parts(&self) -> (&Page, &Entry) {
        match self {
            Self::Delta(page, entry) => (page, entry),
            Self::Base(page, entry) => (page, entry),
        }
    }
}

/// Whether an edge learns the same.
fn same(one: Option<Said<'_>>, other: Option<Said<'_>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => says_same(one.parts(), other.parts()),
        _ => false,
    }
}

/// Whether an edge learns the same of both records. Pages are cut otherwise on both sides, so their tables differ.
fn says_same((one_page, one): (&Page, &Entry), (other_page, other): (&Page, &Entry)) -> bool {
    one.binding == other.binding
        && one.expiry == other.expiry
        && one.state == other.state
        && one.is_out_of_budget == other.is_out_of_budget
        && one.is_external == other.is_external
        && one_page.imported_key_id(one) == other_page.imported_key_id(other)
        && narrowed(one_page, one) == narrowed(other_page, other)
}

/// As text: what it narrows to has no order of its own to compare by.
fn narrowed(page: &Page, entry: &Entry) -> Option<String> {
    page.narrowing(entry).map(|narrowing| {
        let networks: Vec<_> = narrowing.networks().collect();
        let resources: Vec<_> = narrowing.resources().collect();
        let models: Vec<_> = narrowing.models().collect();
        format!("{:?} {networks:?} {resources:?} {models:?}", narrowing.rate())
    })
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

    fn read(&self, kind: Kind, pages: &[(u64, ObjectRef)]) -> Result<Vec<Page>, Breach> {
        let page = |(_, reference): &(u64, ObjectRef)| {
            let bytes = bytes_of(&self.objects, reference, "page")?;
            Page::parse(kind, reference, bytes.into()).map_err(|_| Breach::Unreadable("page"))
        };
        pages.iter().map(page).collect()
    }

    fn page_of(&self, query: &Query) -> Result<Option<Rc<Page>>, Breach> {
        let pages = self.pages(query.kind);
        let at = pages.partition_point(|(first, _)| *first <= query.place);
        let page = at.checked_sub(1).and_then(|at| pages.get(at));
        page.map(|(_, reference)| self.page(query.kind, reference)).transpose()
    }

    fn find(&self, query: &Query) -> Result<Option<Said<'static>>, Breach> {
        let page = self.page_of(query)?;
        Ok(page.and_then(|page| page.find(query).map(|entry| Said::Base(page, entry))))
    }

    /// What an edge finds that holds this base and these deltas, the newest first.
    fn find_over<'d>(&self, chain: &'d [Delta], query: &Query) -> Result<Option<Said<'d>>, Breach> {
        match find_in(chain, query) {
            Found::Unknown => self.find(query),
            Found::Gone => Ok(None),
            Found::Here(page, entry) => Ok(Some(Said::Delta(page, entry))),
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
            && !same_untouched(kind, (&old.read(kind, one)?, &new.read(kind, other)?), touched)
        {
            return Ok(false);
        }
        (left, right) = (&left[take_left..], &right[take_right..]);
    }
    Ok(true)
}

/// Whether two lists of pages that cover the same places say the same of what nobody touched. By tag, both at once: only
/// what differs is looked up among what was touched.
fn same_untouched(kind: Kind, (one, other): (&[Page], &[Page]), touched: &HashSet<(Kind, Tag)>) -> bool {
    let (one, other) = (by_tag(one), by_tag(other));
    let (mut left, mut right) = (one.as_slice(), other.as_slice());
    loop {
        let tags = left.first().into_iter().chain(right.first()).map(|(tag, ..)| tag);
        let Some(tag) = tags.min() else { return true };
        let here = left.first().filter(|(here, ..)| here == tag);
        let there = right.first().filter(|(there, ..)| there == tag);
        let is_same = match (here, there) {
            (Some((_, page, entry)), Some((_, other_page, other))) => {
                says_same((page, entry), (other_page, other))
            }
            _ => false,
        };
        if !is_same && !touched.contains(&(kind, *tag)) {
            return false;
        }
        (left, right) = (&left[usize::from(here.is_some())..], &right[usize::from(there.is_some())..]);
    }
}

type Record<'a> = (Tag, &'a Page, Entry);

fn by_tag(pages: &[Page]) -> Vec<Record<'_>> {
    let records = pages.iter().flat_map(|page| page.entries().map(move |(tag, entry)| (*tag, page, entry)));
    let mut records: Vec<Record<'_>> = records.collect();
    records.sort_unstable_by_key(|(tag, ..)| *tag);
    records
}

/// Whether everything is called the same, but for what is owed: names are few, so all of the pages that differ are read.
fn same_names(
    kind: Kind,
    (old, new): (&Reader, &Reader),
    chain: &[Delta],
    owed: &Touched,
) -> Result<bool, Breach> {
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
    let mut said = Called::default();
    for names in chain.iter().rev().flat_map(Delta::names).filter(|names| is_of(kind, names)) {
        said.take(names);
    }
    // A name that was said anew as it was stands on a page that both sides have.
    if !said.is_within(&now) {
        for page in &shared {
            let both = new.names(page, kind)?;
            before.take(&both);
            now.take(&both);
        }
    }
    before.projects.append(&mut said.projects);
    before.organizations.append(&mut said.organizations);
    let owed: HashSet<u64> = owed.names(kind).collect();
    before.leave(&owed);
    now.leave(&owed);
    Ok(before == now)
}

const fn is_of(kind: Kind, names: &Names) -> bool {
    match names {
        Names::Projects(_) => matches!(kind, Kind::ProjectNames),
        Names::Organizations(_) => matches!(kind, Kind::OrganizationNames),
    }
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

    /// Whether the other has a name for each of these.
    fn is_within(&self, other: &Self) -> bool {
        self.projects.keys().all(|number| other.projects.contains_key(number))
            && self.organizations.keys().all(|number| other.organizations.contains_key(number))
    }

    /// Forgets those at these places.
    fn leave(&mut self, places: &HashSet<u64>) {
        self.projects.retain(|number, _| !places.contains(&Query::names_place(number.0)));
        self.organizations.retain(|number, _| !places.contains(&Query::names_place(number.0)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::chain::{ChainLimits, Moment};
    use latchkey_core::key::Prefix;
    use latchkey_core::{Dice, Generation, Pepper, ProjectId, Slug, UnixSeconds};
    use latchkey_snapshot::Installation;
    use latchkey_snapshot::build::{Content, Edition, Record};

    fn named(number: u32, name: &str) -> Record<'static> {
        Record::ProjectNames(ProjectNames {
            number: ProjectNumber(number),
            organization: OrganizationNumber(1),
            id: ProjectId::generate(&mut Dice::from_seed(&[number as u8; 32])),
            slug: Slug::parse(&format!("project-{number}")).unwrap(),
            name: name.into(),
        })
    }

    fn moment(generation: u64, exceptions: &Exceptions) -> Moment<'_> {
        Moment { installation: Installation([7; 16]), generation: Generation(generation), exceptions }
    }

    fn content(names: &[(u32, &str)]) -> Content {
        let mut content = Content::new(Pepper::new([4; 32]));
        names.iter().for_each(|(number, name)| content.put(named(*number, name)));
        content.take_touched();
        content
    }

    fn line(content: &mut Content, generation: u64) -> Line {
        let none = Exceptions::default();
        let edition = Edition {
            installation: Installation([7; 16]),
            generation: Generation(generation),
            pepper_id: content.pepper_id(),
            grace_secs: 900,
            prefix: Prefix::parse("lk").unwrap(),
            exceptions: &none,
            session_keys: &[],
            edge_keys: &[],
            canaries: &[],
            cors: None,
            rules: &[],
        };
        let built = content.build(&edition).unwrap();
        Line::on(0, built, &moment(generation, &none), UnixSeconds(0))
    }

    const BREACH: Result<(), Breach> = Err(Breach::Untouched(Kind::ProjectNames));

    #[test]
    fn base_that_lost_a_name_which_a_delta_said_does_not_follow() {
        let mut now = content(&[(1, "one")]);
        let mut old = line(&mut now, 5);
        now.put(named(2, "two"));
        let none = Exceptions::default();
        let touched = now.take_touched();
        old.follow(&now, &moment(6, &none), &touched, &ChainLimits::default()).unwrap();
        let nothing = Touched::default();
        assert_eq!(check(&old, &line(&mut now, 6), &nothing), Ok(()));
        assert_eq!(check(&old, &line(&mut content(&[(1, "one")]), 6), &nothing), BREACH);
        let other = &mut content(&[(1, "one"), (2, "other")]);
        assert_eq!(check(&old, &line(other, 6), &nothing), BREACH);
    }

    #[test]
    fn name_that_was_said_anew_as_it_was_stands_on_a_page_of_both_bases() {
        let mut now = content(&[(1, "one")]);
        let mut old = line(&mut now, 5);
        now.put(named(1, "one"));
        let none = Exceptions::default();
        let touched = now.take_touched();
        old.follow(&now, &moment(6, &none), &touched, &ChainLimits::default()).unwrap();
        assert_eq!(check(&old, &line(&mut now, 6), &Touched::default()), Ok(()));
    }

    #[test]
    fn names_are_compared_though_others_are_owed() {
        let mut now = content(&[(1, "one"), (2, "two")]);
        let old = line(&mut now, 5);
        now.put(named(2, "other"));
        let owed = now.take_touched();
        assert_eq!(check(&old, &line(&mut now, 6), &owed), Ok(()));
        now.put(named(1, "corrupted"));
        assert_eq!(check(&old, &line(&mut now, 6), &owed), BREACH);
    }
}
