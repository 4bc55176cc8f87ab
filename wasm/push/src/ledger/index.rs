//! What a statement's objects lead to, as far as it is known: a manifest to its nodes and their pages, a chain's tip to
//! the deltas before it; and what is missing of that.

use super::{Read, Refusal};
use latchkey_core::Generation;
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::head::Statement;
use latchkey_snapshot::{Delta, Manifest, Node, ObjectDigest, ObjectRef, query::Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Objects that one manifest may lead to; a hundred million keys need about 30,000.
pub const NAMED_MAX: usize = 200_000;

/// Whether the hub holds an object.
type Holds<'a> = &'a dyn Fn(&ObjectDigest) -> bool;

/// An object that a statement itself names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stem {
    /// A base.
    Manifest(ObjectRef),
    /// The newest delta of a chain.
    Tip { tip: ObjectRef, base: ObjectRef, generation: Generation },
}

/// What a stem leads to.
#[derive(Clone)]
pub(super) struct Index {
    named: BTreeMap<ObjectDigest, Named>,
    missing: BTreeSet<ObjectDigest>,
    grace_secs: Option<u32>,
    /// A manifest's generation; of a chain, the one that its base must have. `None` as long as it is not known.
    pub(super) base_generation: Option<Generation>,
}

#[derive(Clone, Copy)]
struct Named {
    reference: ObjectRef,
    role: Role,
}

#[derive(Clone, Copy)]
enum Role {
    Manifest,
    Node(Kind),
    Delta(Link),
    /// A page; what it says is the edge's to check.
    Page,
}

/// What a delta must be to have its place in a chain.
#[derive(Clone, Copy)]
struct Link {
    base: ObjectRef,
    generation: Generation,
    /// Deltas from the tip to this one, both counted.
    depth: usize,
}

impl Role {
    /// When it can be known at the earliest: what is missing is named in this order.
    const fn level(&self) -> usize {
        match self {
            Self::Manifest => 0,
            Self::Delta(link) if link.depth == 1 => 0,
            Self::Node(_) | Self::Delta(_) => 1,
            Self::Page => 2,
        }
    }
}

/// Levels of what may be missing.
pub(super) const LEVELS: usize = 3;

impl Stem {
    /// What a statement names: its base and chain, and those before them.
    pub(super) fn all_of(statement: &Statement) -> Vec<Self> {
        let generation = statement.generation;
        let mut stems = vec![Self::Manifest(statement.manifest)];
        stems.extend(statement.tip.map(|tip| Self::Tip { tip, base: statement.manifest, generation }));
        if let Some(previous) = &statement.previous {
            let (base, tip) = (previous.manifest, previous.tip);
            stems.extend([Self::Manifest(base), Self::Tip { tip, base, generation }]);
        }
        stems
    }

    fn named(&self) -> Named {
        match *self {
            Self::Manifest(reference) => Named { reference, role: Role::Manifest },
            Self::Tip { tip, base, generation } => {
                Named { reference: tip, role: Role::Delta(Link { base, generation, depth: 1 }) }
            }
        }
    }
}

impl Index {
    /// What is known of a stem from the objects held.
    pub(super) fn open(stem: &Stem, holds: Holds<'_>, read: Read<'_>) -> Result<Self, Refusal> {
        let (named, missing) = (BTreeMap::new(), BTreeSet::new());
        let mut index = Self { named, missing, grace_secs: None, base_generation: None };
        let mut new = Vec::new();
        index.name(stem.named(), &mut new);
        index.follow(new, holds, read)?;
        Ok(index)
    }

    /// The index once these bytes are held too; `None` where they name nothing further.
    pub(super) fn learn(
        &self,
        digest: &ObjectDigest,
        bytes: &[u8],
        holds: Holds<'_>,
        read: Read<'_>,
    ) -> Result<Option<Self>, Refusal> {
        let Some(named) = self.named.get(digest).filter(|_| self.missing.contains(digest)) else {
            return Ok(None);
        };
        if let Role::Page = named.role {
            named.reference.admit(bytes).map_err(Refusal::Object)?;
            return Ok(None);
        }
        let mut index = self.clone();
        let mut new = Vec::new();
        index.expand(*named, bytes, &mut new)?;
        index.follow(new, holds, read)?;
        Ok(Some(index))
    }

    /// Notes that a page came.
    pub(super) fn arrived(&mut self, digest: &ObjectDigest) {
        self.missing.remove(digest);
    }

    pub(super) fn names(&self, digest: &ObjectDigest) -> bool {
        self.named.contains_key(digest)
    }

    pub(super) fn names_all(&self) -> impl Iterator<Item = ObjectDigest> {
        self.named.keys().copied()
    }

    pub(super) fn missing(&self, digest: &ObjectDigest) -> Option<ObjectRef> {
        self.missing.get(digest).and_then(|digest| self.named.get(digest)).map(|named| named.reference)
    }

    /// What is missing of a level.
    pub(super) fn missing_of(&self, level: usize) -> impl Iterator<Item = ObjectDigest> + '_ {
        let is_of = move |digest: &&ObjectDigest| {
            self.named.get(digest).is_some_and(|named| named.role.level() == level)
        };
        self.missing.iter().filter(is_of).copied()
    }

    pub(super) fn grace_secs(&self) -> Option<u32> {
        self.grace_secs
    }

    /// Expands whatever is held of these, and of what they lead to. One that cannot be read counts as missing.
    fn follow(
        &mut self,
        mut new: Vec<ObjectDigest>,
        holds: Holds<'_>,
        read: Read<'_>,
    ) -> Result<(), Refusal> {
        while let Some(digest) = new.pop() {
            let Some(named) = self.named.get(&digest).copied().filter(|_| holds(&digest)) else { continue };
            if let Role::Page = named.role {
                self.missing.remove(&digest);
            } else if let Some(bytes) = read(&digest) {
                let _ = self.expand(named, &bytes, &mut new);
            }
            if self.named.len() > NAMED_MAX {
                return Err(Refusal::TooManyObjects);
            }
        }
        Ok(())
    }

    fn expand(&mut self, named: Named, bytes: &[u8], new: &mut Vec<ObjectDigest>) -> Result<(), Refusal> {
        match named.role {
            Role::Manifest => {
                let manifest = Manifest::parse(&named.reference, bytes).map_err(Refusal::Object)?;
                self.base_generation = Some(manifest.generation);
                self.grace_secs = Some(manifest.grace_secs);
                for section in manifest.sections {
                    for node in section.nodes {
                        self.name(Named { reference: node.object, role: Role::Node(section.kind) }, new);
                    }
                }
            }
            Role::Node(kind) => {
                let node = Node::parse(kind, &named.reference, bytes).map_err(Refusal::Object)?;
                for page in node.pages() {
                    self.name(Named { reference: page.object, role: Role::Page }, new);
                }
            }
            Role::Delta(link) => {
                let delta = Delta::parse(&named.reference, bytes).map_err(Refusal::Object)?.removals;
                if delta.base != link.base || delta.generation != link.generation {
                    return Err(Refusal::Chain);
                }
                match delta.parent {
                    None => self.base_generation = Some(delta.from),
                    Some(_) if link.depth == CHAIN_MAX => return Err(Refusal::Chain),
                    Some(reference) => {
                        let link = Link { generation: delta.from, depth: link.depth + 1, ..link };
                        self.name(Named { reference, role: Role::Delta(link) }, new);
                    }
                }
            }
            Role::Page => {
                named.reference.admit(bytes).map_err(Refusal::Object)?;
            }
        }
        self.missing.remove(&named.reference.digest());
        Ok(())
    }

    fn name(&mut self, named: Named, new: &mut Vec<ObjectDigest>) {
        let digest = named.reference.digest();
        if self.named.contains_key(&digest) {
            return;
        }
        self.named.insert(digest, named);
        self.missing.insert(digest);
        new.push(digest);
    }
}
