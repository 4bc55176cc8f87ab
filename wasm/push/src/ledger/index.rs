//! What a manifest leads to, as far as it is known: the manifest, its nodes, their pages; and what is missing of it.

use super::{Read, Refusal};
use latchkey_snapshot::{Manifest, Node, ObjectDigest, ObjectError, ObjectRef, query::Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Objects that one manifest may lead to; a hundred million keys need about 30,000.
pub const NAMED_MAX: usize = 200_000;

/// Whether the hub holds an object.
type Holds<'a> = &'a dyn Fn(&ObjectDigest) -> bool;

/// What a manifest leads to.
#[derive(Clone)]
pub(super) struct Index {
    named: BTreeMap<ObjectDigest, Named>,
    missing: BTreeSet<ObjectDigest>,
    grace_secs: Option<u32>,
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
    /// A page; what it says is the edge's to check.
    Page,
}

impl Index {
    /// What is known of a manifest from the objects held.
    pub(super) fn open(manifest: ObjectRef, holds: Holds<'_>, read: Read<'_>) -> Result<Self, Refusal> {
        let mut index = Self { named: BTreeMap::new(), missing: BTreeSet::new(), grace_secs: None };
        let mut new = Vec::new();
        index.name(Named { reference: manifest, role: Role::Manifest }, &mut new);
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
        index.expand(*named, bytes, &mut new).map_err(Refusal::Object)?;
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

    pub(super) fn missing_count(&self) -> usize {
        self.missing.len()
    }

    pub(super) fn first_missing(&self, most: usize) -> Vec<ObjectDigest> {
        self.missing.iter().take(most).copied().collect()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
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

    fn expand(&mut self, named: Named, bytes: &[u8], new: &mut Vec<ObjectDigest>) -> Result<(), ObjectError> {
        match named.role {
            Role::Manifest => {
                let manifest = Manifest::parse(&named.reference, bytes)?;
                self.grace_secs = Some(manifest.grace_secs);
                for section in manifest.sections {
                    for node in section.nodes {
                        self.name(Named { reference: node.object, role: Role::Node(section.kind) }, new);
                    }
                }
            }
            Role::Node(kind) => {
                for page in Node::parse(kind, &named.reference, bytes)?.pages() {
                    self.name(Named { reference: page.object, role: Role::Page }, new);
                }
            }
            Role::Page => {
                named.reference.admit(bytes)?;
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
