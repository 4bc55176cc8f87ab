//! What is published, read back whole and verified as an edge would: nothing in here was taken on anybody's word.

use super::source::{Source, SourceError};
use latchkey_core::{Generation, OrganizationNumber, ProjectNumber};
use latchkey_snapshot::delta::{CHAIN_MAX, Found};
use latchkey_snapshot::node::PageRef;
use latchkey_snapshot::{
    Delta, Entry, Exceptions, Head, HeadError, InlineSubject, Installation, Kind, Manifest, Names, Node,
    ObjectError, ObjectRef, Page, Query, Root, RootError, UnverifiedHead,
};
use std::collections::BTreeMap;
use std::fmt;

/// Everything that a head leads to.
#[derive(Debug)]
pub struct Snapshot {
    /// The root that the head was signed under.
    pub root: Root,
    /// The head.
    pub head: Head,
    /// What its statement says is effective now.
    pub state: PublishedState,
    /// The base before it, with its chain, while edges may still stand on that.
    pub previous: Option<PublishedState>,
}

/// A base and the chain of deltas over it.
#[derive(Debug)]
pub struct PublishedState {
    /// The base's manifest.
    pub manifest: Manifest,
    /// The deltas, the newest first.
    pub chain: Vec<Delta>,
    /// What is refused as a whole, the chain included.
    pub exceptions: Exceptions,
    /// The base's index, by kind.
    pub nodes: BTreeMap<Kind, Vec<Node>>,
    /// The base's pages of records by kind, with their first places.
    pub pages: BTreeMap<Kind, Vec<(u64, Page)>>,
    /// The base's pages of names, by kind.
    pub names: BTreeMap<Kind, Vec<Names>>,
}

impl Snapshot {
    /// Reads all of what a source holds. `roots` are those that are known here, one after the other; newer ones are
    /// followed there. The head must be under the newest of all of them.
    ///
    /// # Errors
    /// [`PublishedError`], at the first thing that is missing or wrong.
    pub fn read(roots: &[Vec<u8>], source: &dyn Source) -> Result<Self, PublishedError> {
        let bytes = source.head()?.ok_or(PublishedError::Nothing)?;
        let unverified = UnverifiedHead::parse(&bytes).map_err(PublishedError::Head)?;
        let root = newest_root(roots, source)?;
        let (under, newest) = (unverified.root_version(), root.version());
        if under < newest {
            return Err(PublishedError::RootIsOlder { head: under, newest });
        }
        if under > newest {
            return Err(PublishedError::Root { version: newest.saturating_add(1), fault: None });
        }
        let head = unverified.verify(&root).map_err(PublishedError::Head)?;
        let statement = &head.statement;
        let expected = (statement.installation, statement.generation);
        let state = PublishedState::read(source, expected, &statement.manifest, statement.tip.as_ref())?;
        let previous = statement.previous.as_ref();
        let previous =
            previous.map(|one| PublishedState::read(source, expected, &one.manifest, Some(&one.tip)));
        let previous = previous.transpose()?;
        Ok(Self { root, head, state, previous })
    }

    /// Whether an inline revocation names this.
    pub fn revokes_inline(&self, subject: InlineSubject) -> bool {
        self.head.inline.iter().any(|inline| inline.subject == subject)
    }
}

impl PublishedState {
    /// Reads a base and the chain that ends at `tip`, which together are an installation's state at a generation.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub fn read(
        source: &dyn Source,
        (installation, generation): (Installation, Generation),
        base: &ObjectRef,
        tip: Option<&ObjectRef>,
    ) -> Result<Self, PublishedError> {
        Reader { source, installation, generation }.state(base, tip)
    }

    /// What is said of the thing that `query` names, and the page that says it.
    pub fn find(&self, query: &Query) -> Option<(&Page, Entry)> {
        for delta in &self.chain {
            match delta.find(query) {
                Found::Gone => return None,
                Found::Here(page, entry) => return Some((page, entry)),
                Found::Unknown => {}
            }
        }
        let pages = self.pages.get(&query.kind)?;
        let at = pages.partition_point(|(first, _)| *first <= query.place).checked_sub(1)?;
        let (_, page) = pages.get(at)?;
        page.find(query).map(|entry| (page, entry))
    }

    /// The greatest organization number and the greatest project number that have names.
    pub fn greatest_numbers(&self) -> (OrganizationNumber, ProjectNumber) {
        let (mut organization, mut project) = (0, 0);
        let base = self.names.values().flatten();
        for names in self.chain.iter().flat_map(Delta::names).chain(base) {
            match names {
                Names::Projects(list) => {
                    project = list.iter().map(|one| one.number.0).fold(project, u32::max);
                }
                Names::Organizations(list) => {
                    organization = list.iter().map(|one| one.number.0).fold(organization, u32::max);
                }
            }
        }
        (OrganizationNumber(organization), ProjectNumber(project))
    }
}

/// The newest root: the last of those that are known, and of those that follow it in the place. A head under any
/// other proves nothing: whoever stole that one's keys can sign as many.
fn newest_root(known: &[Vec<u8>], source: &dyn Source) -> Result<Root, PublishedError> {
    let fault = |version, fault| PublishedError::Root { version, fault };
    let (first, rest) = known.split_first().ok_or(PublishedError::Nothing)?;
    let mut root = Root::pinned(first).map_err(|error| fault(1, Some(error)))?;
    for bytes in rest {
        let next = root.version().saturating_add(1);
        root = root.successor(bytes).map_err(|error| fault(next, Some(error)))?;
    }
    for _ in 0..ROOT_HOPS_MAX {
        let next = root.version().saturating_add(1);
        let Some(bytes) = source.root(next)? else { return Ok(root) };
        root = root.successor(&bytes).map_err(|error| fault(next, Some(error)))?;
    }
    match source.root(root.version().saturating_add(1))? {
        None => Ok(root),
        Some(_) => Err(PublishedError::TooManyRoots),
    }
}

struct Reader<'a> {
    source: &'a dyn Source,
    installation: Installation,
    generation: Generation,
}

impl Reader<'_> {
    fn state(&self, base: &ObjectRef, tip: Option<&ObjectRef>) -> Result<PublishedState, PublishedError> {
        let manifest = self.part("manifest".to_owned(), base, |bytes| Manifest::parse(base, &bytes))?;
        let wrong = |what| PublishedError::Misplaced { what, digest: base.digest().to_string() };
        if manifest.installation != self.installation {
            return Err(wrong("the manifest is of another installation".to_owned()));
        }
        let chain = self.chain(base, &manifest, tip)?;
        let newest = chain.first().map_or(manifest.generation, |delta| delta.removals.generation);
        if newest != self.generation {
            return Err(wrong(
                "the base and its chain end at another generation than the statement".to_owned(),
            ));
        }
        let mut exceptions = manifest.exceptions.clone();
        for delta in chain.iter().rev() {
            exceptions = exceptions.plus(&delta.removals.begun).minus(&delta.lifted);
        }
        let (nodes, pages, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut state = PublishedState { manifest, chain, exceptions, nodes, pages, names };
        self.index(&mut state)?;
        Ok(state)
    }

    /// The deltas from the tip back to the base, the newest first.
    fn chain(
        &self,
        base: &ObjectRef,
        manifest: &Manifest,
        tip: Option<&ObjectRef>,
    ) -> Result<Vec<Delta>, PublishedError> {
        let mut chain: Vec<Delta> = Vec::new();
        let mut next = tip.copied();
        while let Some(reference) = next {
            let what = format!("delta {} of the chain", chain.len());
            let digest = reference.digest().to_string();
            let wrong = |fault: &str| PublishedError::Misplaced {
                what: format!("{what}: {fault}"),
                digest: digest.clone(),
            };
            if chain.len() == CHAIN_MAX {
                return Err(wrong("the chain is too long"));
            }
            let delta = self.part(what.clone(), &reference, |bytes| Delta::parse(&reference, &bytes))?;
            let here = &delta.removals;
            if here.base != *base
                || here.installation != manifest.installation
                || here.pepper_id != manifest.pepper_id
            {
                return Err(wrong("it belongs to another base"));
            }
            if chain.last().is_some_and(|child| child.removals.from != here.generation) {
                return Err(wrong("the one after it continues another generation"));
            }
            if here.parent.is_none() && here.from != manifest.generation {
                return Err(wrong("it does not continue its base"));
            }
            next = here.parent;
            chain.push(delta);
        }
        Ok(chain)
    }

    fn index(&self, state: &mut PublishedState) -> Result<(), PublishedError> {
        for section in &state.manifest.sections {
            let kind = section.kind;
            let (mut records, mut nodes) = (0u64, Vec::new());
            for (at, named) in section.nodes.iter().enumerate() {
                let until = section.nodes.get(at + 1).map(|next| next.first_place);
                let what = format!("node {at} of {kind:?}");
                let node =
                    self.part(what.clone(), &named.object, |bytes| Node::parse(kind, &named.object, &bytes))?;
                let (first, last) = (node.pages().first(), node.pages().last());
                let fits = first.is_some_and(|page| page.first_place == named.first_place)
                    && last.is_some_and(|page| until.is_none_or(|until| page.first_place < until));
                if !fits {
                    let what = format!("{what}: its pages do not lie where the manifest says");
                    return Err(PublishedError::Misplaced {
                        what,
                        digest: named.object.digest().to_string(),
                    });
                }
                for (page, of) in node.pages().iter().enumerate() {
                    records += u64::from(of.records);
                    self.page(
                        kind,
                        format!("page {page} of {what}"),
                        of,
                        &mut state.pages,
                        &mut state.names,
                    )?;
                }
                nodes.push(node);
            }
            if records != section.records {
                let what = format!("{kind:?}: {records} records where the manifest says {}", section.records);
                return Err(PublishedError::Misplaced { what, digest: String::new() });
            }
            state.nodes.insert(kind, nodes);
        }
        Ok(())
    }

    fn page(
        &self,
        kind: Kind,
        what: String,
        named: &PageRef,
        pages: &mut BTreeMap<Kind, Vec<(u64, Page)>>,
        names: &mut BTreeMap<Kind, Vec<Names>>,
    ) -> Result<(), PublishedError> {
        let records = if kind.is_names() {
            let page =
                self.part(what.clone(), &named.object, |bytes| Names::parse(kind, &named.object, &bytes))?;
            let records = match &page {
                Names::Projects(list) => list.len(),
                Names::Organizations(list) => list.len(),
            };
            names.entry(kind).or_default().push(page);
            records
        } else {
            let page = self
                .part(what.clone(), &named.object, |bytes| Page::parse(kind, &named.object, bytes.into()))?;
            let records = page.records();
            pages.entry(kind).or_default().push((named.first_place, page));
            records
        };
        if records == named.records as usize {
            return Ok(());
        }
        let what = format!("{what}: its node says another number of records");
        Err(PublishedError::Misplaced { what, digest: named.object.digest().to_string() })
    }

    fn part<T>(
        &self,
        what: String,
        reference: &ObjectRef,
        parse: impl FnOnce(Vec<u8>) -> Result<T, ObjectError>,
    ) -> Result<T, PublishedError> {
        let digest = reference.digest();
        let bytes = self.source.object(digest, reference.len_bytes() as usize)?;
        let Some(bytes) = bytes else {
            return Err(PublishedError::Missing { what, digest: digest.to_string() });
        };
        parse(bytes).map_err(|fault| PublishedError::Object { what, digest: digest.to_string(), fault })
    }
}

/// Why what is published cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishedError {
    /// The place cannot be read.
    Source(SourceError),
    /// There is no head.
    Nothing,
    /// There is no such root, or it is no successor.
    Root {
        /// Which.
        version: u32,
        /// What is wrong; `None` if it is not there.
        fault: Option<RootError>,
    },
    /// The place has more roots after those that are known than an edge would follow.
    TooManyRoots,
    /// The head is under a root that was replaced: its keys may be anybody's by now.
    RootIsOlder {
        /// The root that the head names.
        head: u32,
        /// The newest one.
        newest: u32,
    },
    /// The head is none of this installation's.
    Head(HeadError),
    /// An object that is named is not there.
    Missing {
        /// Which, in words.
        what: String,
        /// Its digest.
        digest: String,
    },
    /// An object is not what is named, or not canonical.
    Object {
        /// Which, in words.
        what: String,
        /// Its digest.
        digest: String,
        /// What is wrong.
        fault: ObjectError,
    },
    /// An object does not fit where it is named.
    Misplaced {
        /// Which, and how.
        what: String,
        /// Its digest; empty if it is no one object's fault.
        digest: String,
    },
}

impl From<SourceError> for PublishedError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl fmt::Display for PublishedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Nothing => f.write_str("no head is published there"),
            Self::Root { version, fault: None } => write!(f, "root {version} is not there"),
            Self::Root { version, fault: Some(fault) } => write!(f, "root {version}: {fault}"),
            Self::TooManyRoots => {
                write!(f, "more than {ROOT_HOPS_MAX} roots follow the newest that is known here")
            }
            Self::RootIsOlder { head, newest } => write!(
                f,
                "the head is under root {head}, which root {newest} replaced: nothing under it is believed any more"
            ),
            Self::Head(error) => write!(f, "the head: {error}"),
            Self::Missing { what, digest } => write!(f, "{what} is not there: {digest}"),
            Self::Object { what, digest, fault } => write!(f, "{what}, {digest}: {fault}"),
            Self::Misplaced { what, digest } => write!(f, "{what} {digest}"),
        }
    }
}

impl std::error::Error for PublishedError {}

/// Roots that are followed one after the other at most, as an edge does.
const ROOT_HOPS_MAX: u32 = 16;
